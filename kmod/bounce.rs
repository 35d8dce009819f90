// SPDX-License-Identifier: GPL-2.0-or-later
//! disk-timeout: what goes to the disk is in pages of ours, not in the application's.
//!
//! When a disk is given up its requests end, and the application does with its pages what it likes,
//! while the disk may still read or write the memory that it was told of. So with the option set that
//! memory is a copy, which stays with the request until the disk answers (design section 8.6).

use crate::{
    attached::Attached,
    device::{Device, Inner, Slot},
    device_io::{submit_write_as, DiskWrite},
    mem::Fifo,
    os::{
        bio::BioData,
        lock::Relaxed,
        pages::{PagePool, Payload},
    },
    work::Work,
};
use drbd_core::engine::op::{flag, Action, Kind, Op, OpId};

/// Set in the token of what was bounced; the operation is in the rest of it.
const BOUNCED: u64 = 1 << 32;

/// How often it is looked whether pages came back, milliseconds.
pub(crate) const HUNGRY_MS: u32 = 20;

impl Device {
    /// Gives an application's request to the disk in pages from `pool`. If there are none the worker
    /// does it later: what holds them may be behind this in the same task. Context: task, no lock held.
    // Out of line: it is not for those who do without the option.
    #[inline(never)]
    pub(crate) fn submit_bounced(
        &self,
        disk: &Attached,
        pool: &PagePool,
        data: BioData,
        op: OpId,
    ) {
        let at = self.peek(|volume| *volume.op(op));
        if at.len_sectors == 0 || at.kind != Kind::AppRead && at.action != Action::Data {
            // Nothing but the range is told to the disk.
            drop(data);
            submit_write_as(disk, write_of(&at, None, op), BOUNCED | u64::from(op));
            return;
        }
        match pool.alloc_now(data.len()) {
            Some(payload) => self.submit_copied(disk, payload, data, op),
            None => self.starve(data, op),
        }
    }

    fn submit_copied(&self, disk: &Attached, mut payload: Payload, data: BioData, op: OpId) {
        let at = self.peek(|volume| *volume.op(op));
        let token = BOUNCED | u64::from(op);
        if at.kind == Kind::AppRead {
            drop(data);
            disk.data.submit_read(at.sector, payload, token);
            return;
        }
        let copied = data.copy_to_payload(&mut payload).is_ok();
        drop(data);
        if copied {
            submit_write_as(disk, write_of(&at, Some(payload), op), token);
        } else {
            self.local_done(op, false, None);
        }
    }

    /// Has the worker find pages for `op`.
    fn starve(&self, data: BioData, op: OpId) {
        self.let_wait(data, op);
        self.worker_event.signal();
    }

    fn let_wait(&self, data: BioData, op: OpId) {
        let left = match &mut self.inner.lock().starved {
            Some(queue) => queue.push((data, op)).err(),
            None => Some((data, op)),
        };
        if let Some((data, op)) = left {
            // There is room for every operation.
            drop(data);
            self.local_done(op, false, None);
        }
        self.starves.store(true, Relaxed);
    }

    /// Submits what waits for pages; true if something goes on waiting. Context: the worker.
    pub(crate) fn feed_starved(&self) -> bool {
        if !self.starves.load(Relaxed) {
            return false;
        }
        // Before it is looked: what comes meanwhile says so again.
        self.starves.store(false, Relaxed);
        loop {
            let (next, attached, pool) = {
                let mut inner = self.inner.lock();
                let next = inner.starved.as_mut().and_then(Fifo::pop);
                (next, inner.attached.clone(), inner.bounce.clone())
            };
            let Some((data, op)) = next else {
                return false;
            };
            let given_up = self.peek(|volume| volume.op(op).any(flag::LATE));
            match (attached, pool) {
                (Some(disk), Some(pool)) if !given_up => match pool.alloc_now(data.len()) {
                    Some(payload) => self.submit_copied(&disk, payload, data, op),
                    None => {
                        self.let_wait(data, op);
                        return true;
                    }
                },
                (Some(disk), None) if !given_up => disk.data.submit_clone(data, u64::from(op)),
                (_, _) => {
                    drop(data);
                    self.local_done(op, false, None);
                }
            }
        }
    }

    /// The disk finished what was bounced. Context: any.
    #[inline(never)]
    pub(crate) fn bounced_done(&self, token: u64, ok: bool, payload: Option<Payload>) {
        let op = u32::try_from(token & !BOUNCED).unwrap_or(u32::MAX);
        let data = if ok { self.awaits_data(op) } else { None };
        let mut ok = ok;
        if let (Some(data), Some(payload)) = (&data, &payload) {
            // Its pages stay as long as `data` does, even if it is given up meanwhile: then the
            // peer's data is the same.
            ok = data.copy_from_payload(payload).is_ok();
        }
        drop((data, payload));
        self.local_done(op, ok, None);
    }

    /// Where the data of a read goes to that was not given up.
    fn awaits_data(&self, op: OpId) -> Option<BioData> {
        let inner = self.inner.lock();
        let at = inner.volume.op(op);
        if at.kind != Kind::AppRead || !at.any(flag::LOCAL_PENDING) {
            return None;
        }
        let slot = inner.slots.get(op as usize)?;
        slot.bio.as_ref().map(|bio| bio.data())
    }
}

impl Inner {
    /// `op` of the application for a disk that is not given its pages, or for none.
    #[inline(never)]
    pub(crate) fn bounce_work(&self, op: OpId) -> Work {
        let slot = self.slots.get(op as usize);
        let bio = slot.and_then(|slot| slot.bio.as_ref());
        match (&self.attached, &self.bounce, bio) {
            (None, _, _) => Work::NoDisk(op, None),
            (Some(disk), Some(pool), Some(bio)) => {
                Work::Bounce(disk.clone(), pool.clone(), bio.data(), op)
            }
            (Some(disk), None, Some(bio)) => Work::App(disk.clone(), bio.data(), op),
            (Some(_), _, None) => Work::Drop(Slot::default()),
        }
    }
}

/// `at` for the disk.
fn write_of(at: &Op, payload: Option<Payload>, op: OpId) -> DiskWrite {
    DiskWrite {
        payload,
        op,
        action: at.action,
        sector: at.sector,
        len_sectors: at.len_sectors,
        flags: at.bio,
    }
}
