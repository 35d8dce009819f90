// SPDX-License-Identifier: GPL-2.0-or-later
//! Between the engine's operations and the kernel's: bios from above, requests to the disk.

use crate::{
    attached::Attached,
    device::Device,
    os::{
        backing::{IoDone, WriteFlags},
        bio::{Bio, Op as BioOp},
        disk::BlockDriver,
        lock::{Full, Relaxed},
        pages::Payload,
        status::Status,
    },
};
use drbd_core::{
    engine::{
        op::{Action, BioFlags, OpId},
        volume::{Admission, AppIo, IoResult},
    },
    state::Role,
};
use kernel::prelude::*;

/// A write of the peer, or of a resync, for the disk.
pub(crate) struct DiskWrite {
    pub(crate) payload: Option<Payload>,
    pub(crate) op: OpId,
    pub(crate) action: Action,
    pub(crate) sector: u64,
    pub(crate) len_sectors: u32,
    pub(crate) flags: BioFlags,
}

/// Modifiers of a write, for the disk. Context: any.
#[inline]
pub(crate) fn write_flags(flags: BioFlags) -> WriteFlags {
    WriteFlags {
        preflush: flags.preflush,
        fua: flags.fua,
        sync: flags.sync,
        meta: false,
    }
}

/// Gives it to the disk. Context: task.
pub(crate) fn submit_write(disk: &Attached, write: DiskWrite) {
    let token = u64::from(write.op);
    submit_write_as(disk, write, token);
}

/// Gives it to the disk as `token`. Context: task.
#[inline]
pub(crate) fn submit_write_as(disk: &Attached, write: DiskWrite, token: u64) {
    match (write.action, write.payload) {
        (Action::Data, Some(payload)) => {
            let flags = write_flags(write.flags);
            disk.data.submit_write(write.sector, payload, flags, token);
        }
        (Action::Flush | Action::Data, _) => disk.data.submit_flush(token),
        (action, _) => submit_range(disk, action, write.sector, write.len_sectors, token),
    }
}

/// A discard or zeroes. Discarding what is not whole granules would leave old data behind: zeroes
/// are what the peer may rely on (wire-protocol section 6.4).
#[inline(never)]
fn submit_range(disk: &Attached, action: Action, sector: u64, len_sectors: u32, token: u64) {
    let unmap = action != Action::ZeroesKeep;
    if action == Action::Discard && disk.discards(sector, len_sectors) {
        disk.data.submit_discard(sector, len_sectors, token);
    } else {
        disk.data
            .submit_write_zeroes(sector, len_sectors, unmap, token);
    }
}

/// The block layer's status of a result. Context: any.
pub(crate) fn status_of(result: IoResult) -> Status {
    match result {
        IoResult::Done => Status::OK,
        IoResult::Error => Status::IOERR,
        IoResult::Unsupported => Status::NOTSUPP,
    }
}

/// A bio in the engine's terms. Context: any.
pub(crate) fn app_io(bio: &Bio) -> AppIo {
    let flags = bio.flags();
    let (write, action) = match bio.op() {
        BioOp::Read => (false, Action::Data),
        BioOp::Write => (true, Action::Data),
        BioOp::Discard => (true, Action::Discard),
        BioOp::WriteZeroes if flags.nounmap => (true, Action::ZeroesKeep),
        BioOp::WriteZeroes => (true, Action::ZeroesUnmap),
        BioOp::Flush | BioOp::Other => (true, Action::Flush),
    };
    AppIo {
        write,
        action,
        sector: bio.sector(),
        len_sectors: bio.len() / 512,
        bio: BioFlags {
            fua: flags.fua,
            preflush: flags.preflush,
            sync: flags.sync,
        },
    }
}

impl Device {
    /// Offers a bio to the engine, behind those that wait already. It comes back with what it ends
    /// with, or without when too many wait. Context: task.
    #[inline]
    fn offer(&self, bio: Bio) -> Option<(Bio, Option<IoResult>)> {
        let io = app_io(&bio);
        self.with(|inner, link, now| {
            if inner.pending.is_empty() {
                match inner.volume.submit(io, link, now) {
                    Admission::Accepted(op) => {
                        inner.keep_bio(op, bio);
                        return None;
                    }
                    Admission::Refused(result) => return Some((bio, Some(result))),
                    Admission::Later => {}
                }
            }
            inner.pending.push(bio).err().map(|bio| (bio, None))
        })
    }
}

impl BlockDriver for Device {
    fn submit(&self, bio: Bio) {
        if bio.op() == BioOp::Other {
            bio.complete(Status::NOTSUPP);
            return;
        }
        let mut back = self.offer(bio);
        while let Some((bio, result)) = back {
            match result {
                Some(result) => return bio.complete(status_of(result)),
                None => {
                    // Backpressure: the submitter waits while too much waits already.
                    let _ = self
                        .changed
                        .wait_until(None, None, || !self.inner.lock().pending.is_full());
                    back = self.offer(bio);
                }
            }
        }
    }

    fn open(&self, write: bool) -> Result {
        if self.going_down.load(Relaxed) {
            return Err(ENODEV);
        }
        let mut inner = self.inner.lock();
        if inner.volume.state().role != Role::Primary {
            return Err(if write { EROFS } else { EMEDIUMTYPE });
        }
        let first = self.openers.fetch_add(1, Full) == 0;
        if write {
            let _ = self.writers.fetch_add(1, Full);
        }
        inner.volume.context_mut().device_open = true;
        drop(inner);
        if first {
            self.tell();
        }
        Ok(())
    }

    fn release(&self) {
        let mut inner = self.inner.lock();
        let left = self.openers.fetch_sub(1, Full).wrapping_sub(1);
        if left <= 0 {
            inner.volume.context_mut().device_open = false;
        }
        drop(inner);
        if left <= 0 {
            self.tell();
        }
        self.changed.wake_all();
    }
}

impl IoDone for Device {
    fn io_done(&self, token: u64, status: Status, pages: Option<Payload>) {
        match u32::try_from(token) {
            Ok(op) => self.local_done(op, status.is_ok(), pages),
            Err(_) => self.bounced_done(token, status.is_ok(), pages),
        }
    }
}
