// SPDX-License-Identifier: GPL-2.0-or-later
//! Between the engine's operations and the kernel's: bios from above, requests to the disk.

use crate::{
    device::{Attached, Device},
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
        op::{Action, BioFlags},
        volume::{Admission, AppIo, IoResult},
    },
    state::Role,
};
use kernel::prelude::*;

/// Gives a write of the peer to the disk. Context: task.
pub(crate) fn submit_write(
    disk: &Attached,
    payload: Option<Payload>,
    token: u64,
    action: Action,
    sector: u64,
    len_sectors: u32,
    flags: BioFlags,
) {
    let facts = disk.data.facts();
    let granularity = u64::from(facts.discard_granularity / 512).max(1);
    let aligned = sector.checked_rem(granularity) == Some(0)
        && u64::from(len_sectors).checked_rem(granularity) == Some(0);
    match (action, payload) {
        (Action::Data, Some(payload)) => {
            let flags = WriteFlags {
                preflush: flags.preflush,
                fua: flags.fua,
                sync: flags.sync,
                meta: false,
            };
            disk.data.submit_write(sector, payload, flags, token);
        }
        (Action::Flush | Action::Data, _) => disk.data.submit_flush(token),
        // Discarding what is not whole granules would leave old data behind: zeroes are what
        // the peer may rely on (wire-protocol section 6.4).
        (Action::Discard, _) if facts.discard_max_sectors > 0 && aligned => {
            disk.data.submit_discard(sector, len_sectors, token);
        }
        (Action::Discard | Action::ZeroesUnmap, _) => {
            disk.data
                .submit_write_zeroes(sector, len_sectors, true, token);
        }
        (Action::ZeroesKeep, _) => {
            disk.data
                .submit_write_zeroes(sector, len_sectors, false, token);
        }
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

impl BlockDriver for Device {
    fn submit(&self, bio: Bio) {
        if bio.op() == BioOp::Other {
            bio.complete(Status::NOTSUPP);
            return;
        }
        // Backpressure: the submitter waits while too much waits already.
        let _ = self
            .changed
            .wait_until(None, None, || !self.inner.lock().pending.is_full());
        let io = app_io(&bio);
        let refused = self.with(|inner, link, now| {
            if !inner.pending.is_empty() {
                return inner
                    .pending
                    .push(bio)
                    .err()
                    .map(|bio| (bio, IoResult::Error));
            }
            match inner.volume.submit(io, link, now) {
                Admission::Accepted(op) => {
                    inner.keep_bio(op, Some(bio));
                    None
                }
                Admission::Later => inner
                    .pending
                    .push(bio)
                    .err()
                    .map(|bio| (bio, IoResult::Error)),
                Admission::Refused(result) => Some((bio, result)),
            }
        });
        if let Some((bio, result)) = refused {
            bio.complete(status_of(result));
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
