// SPDX-License-Identifier: GPL-2.0-or-later
//! disk-timeout: what goes to the disk is in pages of ours, not in the application's.
//!
//! When a disk is given up its requests end, and the application does with its pages what it likes,
//! while the disk may still read or write the memory that it was told of. So with the option set that
//! memory is a copy, which stays with the request until the disk answers (design section 8.6).

use crate::{
    device::{Attached, Device},
    device_io::submit_write,
    mem::Fifo,
    os::{
        bio::BioData,
        pages::{PagePool, Payload},
    },
};
use drbd_core::engine::op::{flag, Action, Kind, OpId};

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
            let token = BOUNCED | u64::from(op);
            submit_write(disk, None, token, at.action, at.sector, at.len_sectors, at.bio);
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
            let payload = Some(payload);
            submit_write(disk, payload, token, at.action, at.sector, at.len_sectors, at.bio);
        } else {
            self.local_done(op, false, None);
        }
    }

    /// Has the worker find pages for `op`.
    fn starve(&self, data: BioData, op: OpId) {
        let left = match &mut self.inner.lock().starved {
            Some(queue) => queue.push((data, op)).err(),
            None => Some((data, op)),
        };
        if let Some((data, op)) = left {
            // There is room for every operation.
            drop(data);
            self.local_done(op, false, None);
        }
        self.worker_event.signal();
    }

    /// Submits what waits for pages; true if something goes on waiting. Context: the worker.
    pub(crate) fn feed_starved(&self) -> bool {
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
                        self.starve(data, op);
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
