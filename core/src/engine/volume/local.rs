// SPDX-License-Identifier: GPL-2.0-or-later
//! Answers of the local disk.

use super::{Todo, Volume};
use crate::engine::{
    link::Link,
    mem::Mem,
    op::{flag, Kind, OpId},
};

impl<M: Mem> Volume<M> {
    /// The disk finished `op`. Any context, including hard interrupt: what takes longer is left
    /// to [`Volume::run_ready`].
    pub fn local_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        let at = self.ops.at_mut(op);
        if !at.any(flag::LOCAL_PENDING) {
            self.late_done(op);
            return;
        }
        at.clear(flag::LOCAL_PENDING | flag::WATCHED);
        at.set(flag::LOCAL_COMPLETED | if ok { flag::LOCAL_OK } else { 0 });
        if at.kind == Kind::PeerWrite && ok {
            let sectors = u64::from(at.len_sectors);
            self.counters.lower_pending = self.counters.lower_pending.saturating_sub(1);
            self.counters.written_sectors = self.counters.written_sectors.saturating_add(sectors);
            self.peer_write_landed(op, link);
            return self.disk_answered();
        }
        self.other_done(op, ok, link);
    }

    /// The rest of [`Self::local_done`].
    #[inline(never)]
    fn other_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        let at = self.ops.at(op);
        // Not all of it is copied: this runs for every block.
        let (kind, reads, sectors) = (at.kind, at.reads(), u64::from(at.len_sectors));
        self.counters.lower_pending = self.counters.lower_pending.saturating_sub(1);
        let counter = if reads {
            &mut self.counters.read_sectors
        } else {
            &mut self.counters.written_sectors
        };
        *counter = counter.saturating_add(sectors);
        if matches!(
            kind,
            Kind::RsRead | Kind::RsTarget | Kind::OvOwn | Kind::OvPeer
        ) {
            let counter = &mut self.counters.background_sectors;
            *counter = counter.saturating_add(sectors);
        }
        if !ok {
            self.disk_failed_on(op, link);
        }
        match kind {
            Kind::AppRead | Kind::AppWrite => {
                if self.withheld > 0 && kind == Kind::AppWrite {
                    self.answer_superseded(op, link);
                }
                self.settle(op, link);
            }
            Kind::PeerWrite => self.peer_write_done(op, ok, link),
            Kind::PeerRead => self.peer_read_done(op, ok, link),
            Kind::RsRead => self.rs_read_done(op, ok, link),
            Kind::RsTarget if reads => self.checksum_read_done(op, ok, link),
            Kind::RsTarget => self.rs_write_done(op, ok, link),
            Kind::OvOwn => self.queue_compare(op),
            Kind::OvPeer => self.verify_served(op, link),
            Kind::Late | Kind::Free => {}
        }
        self.disk_answered();
    }

    /// Somebody may wait for the disk to owe nothing.
    #[inline]
    pub(super) fn disk_answered(&mut self) {
        if self.drained() {
            let tend = if self.detaching {
                Todo::READY
            } else {
                Todo::NONE
            };
            self.todo(Todo::WAKE.with(tend));
        }
    }

    /// Whether the disk owes no answer.
    pub fn drained(&self) -> bool {
        self.counters.lower_pending == 0
    }

    /// A block failed: marks it and follows on-io-error (replication-semantics section 9).
    fn disk_failed_on(&mut self, op: OpId, _link: &mut dyn Link) {
        let at = *self.ops.at(op);
        // A disk that refuses a discard is not broken.
        if !matches!(
            at.action,
            crate::engine::op::Action::Data | crate::engine::op::Action::Flush
        ) {
            return;
        }
        if at.len_sectors > 0 {
            self.set_out_of_sync(at.sector, at.len_sectors);
            self.doubt_checksum(at.sector, at.len_sectors);
        }
        self.own_disk_lacks_write(op);
        self.io_error_pending = true;
        self.todo(Todo::READY);
    }
}
