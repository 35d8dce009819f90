// SPDX-License-Identifier: GPL-2.0-or-later
//! What an input leaves to be done for single operations: taken under the volume's lock, done
//! without it.

use crate::{
    attached::Attached,
    device::{Device, Inner, Slot},
    device_io::{status_of, submit_write, DiskWrite},
    os::{
        batch::Batch,
        bio::{Bio, BioData},
        lock::Arc,
        pages::{PagePool, Payload},
    },
};
use drbd_core::engine::{
    op::OpId,
    volume::{Effect, IoResult},
};

/// Effects carried out between two takes of the lock.
pub(crate) const BATCH: usize = 4;

/// What is done without the lock, at most so much at once.
pub(crate) struct Works(Batch<Work, BATCH>);

/// Something to do without the lock.
pub(crate) enum Work {
    App(Arc<Attached>, BioData, OpId),
    /// The same in pages of ours.
    Bounce(Arc<Attached>, PagePool, BioData, OpId),
    Write(Arc<Attached>, DiskWrite),
    Read(Arc<Attached>, Payload, OpId, u64),
    /// The same into new memory.
    ReadNew(Arc<Attached>, OpId, u64, u32),
    /// There is no disk any more that could do it.
    NoDisk(OpId, Option<Payload>),
    Complete(Bio, IoResult),
    Drop(Slot),
}

impl Works {
    /// Nothing to do. Context: any.
    #[inline]
    pub(crate) fn new() -> Self {
        Works(Batch::new())
    }

    /// Whether there is nothing to do. Context: any.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends operations and drops what belonged to them; nothing else was asked for. Context: any.
    #[inline]
    pub(crate) fn end_all(mut self) {
        while let Some(work) = self.0.pop() {
            match work {
                Work::Complete(bio, result) => bio.complete(status_of(result)),
                Work::Drop(slot) => drop(slot),
                Work::App(..)
                | Work::Bounce(..)
                | Work::Write(..)
                | Work::Read(..)
                | Work::ReadNew(..)
                | Work::NoDisk(..) => {}
            }
        }
    }
}

impl Device {
    /// Context: task, no lock held.
    #[inline]
    pub(crate) fn perform_all(&self, mut works: Works) {
        while let Some(work) = works.0.pop() {
            self.perform(work);
        }
    }

    #[inline]
    fn perform(&self, work: Work) {
        match work {
            Work::Complete(bio, result) => bio.complete(status_of(result)),
            Work::Drop(slot) => drop(slot),
            Work::App(disk, data, op) => disk.data.submit_clone(data, u64::from(op)),
            Work::Bounce(disk, pool, data, op) => self.submit_bounced(&disk, &pool, data, op),
            Work::Read(disk, payload, op, sector) => {
                disk.data.submit_read(sector, payload, u64::from(op));
            }
            Work::ReadNew(disk, op, sector, len_sectors) => {
                // Without waiting: what holds the memory may be behind this in the same task.
                let len = (len_sectors as usize).saturating_mul(512);
                match self.pool.try_alloc(len) {
                    Some(payload) => disk.data.submit_read(sector, payload, u64::from(op)),
                    None => self.no_memory_for(op),
                }
            }
            Work::Write(disk, write) => submit_write(&disk, write),
            Work::NoDisk(op, payload) => self.local_done(op, false, payload),
        }
    }
}

impl Inner {
    /// Takes what there is to do for single operations, as much as fits.
    pub(crate) fn collect(&mut self, works: &mut Works, may_submit: bool) {
        while !works.0.is_full() {
            let Some(effect) = self.volume.next_effect(may_submit) else {
                return;
            };
            if let Effect::Release { op } = effect {
                // Mostly what belonged to it is at the disk, or gone with it.
                if self.has_slot(op) {
                    let slot = self.take_slot(op);
                    let _ = works.0.push(Work::Drop(slot));
                }
                continue;
            }
            let _ = works.0.push(self.work_of(effect));
        }
    }

    #[inline]
    fn work_of(&mut self, effect: Effect) -> Work {
        match effect {
            Effect::Complete { op, result } => {
                let mut slot = self.take_slot(op);
                match slot.bio.take() {
                    Some(bio) => Work::Complete(bio, result),
                    None => Work::Drop(slot),
                }
            }
            Effect::Release { op } => Work::Drop(self.take_slot(op)),
            Effect::SubmitApp { op } => {
                let slot = self.slots.get(op as usize);
                let bio = slot.and_then(|slot| slot.bio.as_ref());
                match (&self.direct, bio) {
                    (Some(disk), Some(bio)) => Work::App(disk.clone(), bio.data(), op),
                    (None, _) => self.bounce_work(op),
                    (Some(_), None) => Work::Drop(Slot::default()),
                }
            }
            Effect::SubmitWrite {
                op,
                action,
                sector,
                len_sectors,
                bio,
            } => {
                let payload = self.take_payload(op);
                let Some(disk) = &self.attached else {
                    return Work::NoDisk(op, payload);
                };
                let write = DiskWrite {
                    payload,
                    op,
                    action,
                    sector,
                    len_sectors,
                    flags: bio,
                };
                Work::Write(disk.clone(), write)
            }
            Effect::SubmitRead {
                op,
                sector,
                len_sectors,
            } => {
                let payload = self.take_payload(op);
                match (&self.attached, payload) {
                    (Some(disk), Some(payload)) => Work::Read(disk.clone(), payload, op, sector),
                    (Some(disk), None) => Work::ReadNew(disk.clone(), op, sector, len_sectors),
                    (None, payload) => Work::NoDisk(op, payload),
                }
            }
        }
    }
}
