// SPDX-License-Identifier: GPL-2.0-or-later
//! One operation on a volume, and the slab that holds them all.
//!
//! Application requests, mirrored writes of a peer, reads for a peer and resync blocks share one
//! slab: they exclude each other by range, complete through the same door, and the host knows each
//! by one index. Slots are reused; a generation in the wire handle tells a late answer from a
//! current one (wire-protocol section 4, "block_id").

use super::mem::Mem;

/// Index of an operation; [`NIL`] names none.
pub type OpId = u32;

/// No operation.
pub const NIL: OpId = u32::MAX;

/// What an operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An unused slot.
    Free,
    /// A read of the application.
    AppRead,
    /// A write, discard, write-zeroes or flush of the application.
    AppWrite,
    /// A write that the peer mirrors to us.
    PeerWrite,
    /// A read that the peer asks for (P_DATA_REQUEST).
    PeerRead,
    /// A resync block that we, the source, read for the peer.
    RsRead,
    /// A resync block that we, the target, asked for and then write.
    RsTarget,
    /// A block whose digest we asked for in online verify, and then read.
    OvOwn,
    /// A block that we read for the peer's online verify.
    OvPeer,
    /// It is over, but for a disk that was given up and has it still.
    Late,
}

/// What a write does to the blocks it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Transfers data.
    Data,
    /// Discards; contents become undefined or zero.
    Discard,
    /// Writes zeroes; may unmap.
    ZeroesUnmap,
    /// Writes zeroes and keeps the blocks allocated.
    ZeroesKeep,
    /// Only flushes (no range).
    Flush,
}

/// Flags of a bio that travel with a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BioFlags {
    /// Forced unit access.
    pub fua: bool,
    /// Flush the cache before.
    pub preflush: bool,
    /// Somebody waits for it.
    pub sync: bool,
}

/// Request flags (replication-semantics section 6.2) plus the engine's own waiting states.
pub mod flag {
    /// The local disk has it and has not answered.
    pub const LOCAL_PENDING: u64 = 1;
    /// The local disk answered.
    pub const LOCAL_COMPLETED: u64 = 1 << 1;
    /// The local disk did it.
    pub const LOCAL_OK: u64 = 1 << 2;
    /// An answer of the peer is awaited.
    pub const NET_PENDING: u64 = 1 << 3;
    /// It is in the send queue.
    pub const NET_QUEUED: u64 = 1 << 4;
    /// It was handed to the socket.
    pub const NET_SENT: u64 = 1 << 5;
    /// Barrier acknowledged, or the connection is gone.
    pub const NET_DONE: u64 = 1 << 6;
    /// The peer has it as the protocol demands.
    pub const NET_OK: u64 = 1 << 7;
    /// The peer set the range in sync.
    pub const NET_SIS: u64 = 1 << 8;
    /// The upper layer may not hear of it yet.
    pub const HELD: u64 = 1 << 9;
    /// Protocol B: completes on P_RECV_ACK.
    pub const EXP_RECEIVE_ACK: u64 = 1 << 10;
    /// Protocol C: completes on P_WRITE_ACK.
    pub const EXP_WRITE_ACK: u64 = 1 << 11;
    /// Lives until its epoch is acknowledged.
    pub const EXP_BARR_ACK: u64 = 1 << 12;
    /// Holds references on activity-log extents.
    pub const IN_ACT_LOG: u64 = 1 << 13;
    /// The upper layer was told.
    pub const DONE_UPPER: u64 = 1 << 14;
    /// Is in the range index.
    pub const INDEXED: u64 = 1 << 15;
    /// Waits for an overlapping operation.
    pub const WAIT_RANGE: u64 = 1 << 16;
    /// Waits for an activity-log transaction.
    pub const WAIT_AL: u64 = 1 << 17;
    /// Waits for the volume to accept application I/O again.
    pub const PARKED: u64 = 1 << 18;
    /// A resync target block whose data has arrived.
    pub const RS_WRITING: u64 = 1 << 19;
    /// Only a P_OUT_OF_SYNC goes to the peer. Of a resync block that is being written: the source
    /// wrote it again, and said so by one.
    pub const OUT_OF_SYNC: u64 = 1 << 20;
    /// The peer allows us to set the range in sync (DP_MAY_SET_IN_SYNC).
    pub const MAY_SET_IN_SYNC: u64 = 1 << 21;
    /// The peer asked for P_RECV_ACK.
    pub const WANT_RECV_ACK: u64 = 1 << 22;
    /// The peer asked for P_WRITE_ACK.
    pub const WANT_WRITE_ACK: u64 = 1 << 23;
    /// The connection it came from is gone: do not answer.
    pub const ORPHAN: u64 = 1 << 24;
    /// Counts in the receive epoch.
    pub const IN_EPOCH: u64 = 1 << 25;
    /// A write of a Primary that had no disk: no other copy of it exists.
    pub const ONLY_COPY: u64 = 1 << 38;
    /// All bits were set since it was launched: what the peer says of its bits is older than that.
    pub const BEFORE_BULK: u64 = 1 << 39;
    /// It was launched.
    pub const LAUNCHED: u64 = 1 << 26;
    /// Resync data of zeroes only (P_RS_DEALLOCATED).
    pub const RS_DEALLOCATED: u64 = 1 << 35;
    /// A thin resync request (P_RS_THIN_REQ).
    pub const RS_THIN: u64 = 1 << 37;
    /// A failed read that goes to the other side.
    pub const RETRY: u64 = 1 << 29;
    /// Its completion waits to be taken by the host.
    pub const COMPLETING: u64 = 1 << 30;
    /// It is over: its slot waits for the send queue, or for the host to drop what belongs to it.
    pub const GONE: u64 = 1 << 31;
    /// One of the disks did not take it: its end waits for the metadata that says so.
    pub const REFUSED: u64 = 1 << 32;
    /// Of a resync block: it moves only if its digest is not the source's.
    pub const CHECKSUM: u64 = 1 << 36;
    /// Two Primaries: the peer's write goes first, and this one again after it.
    pub const POSTPONED: u64 = 1 << 33;
    /// Two Primaries: the peer's write is not carried out, and was answered so.
    pub const REJECTED: u64 = 1 << 34;
    /// Two Primaries: a write of the peer's on the same sectors was refused here for want of a disk. It does not come again.
    pub const PEER_REFUSED: u64 = 1 << 41;
    /// Of a rejected write: the answer waits for the own disk.
    pub const WITHHELD: u64 = 1 << 40;
    /// The disk was given up before it answered: the slot is kept until it does.
    pub const LATE: u64 = 1 << 27;
    /// disk-timeout: the disk has had it since `disk_ms`, if not longer.
    pub const WATCHED: u64 = 1 << 28;

    /// What became of a write since it was launched: one that is to be launched again forgets all of it.
    pub const SINCE_LAUNCH: u64 = LAUNCHED
        | LOCAL_COMPLETED
        | LOCAL_OK
        | NET_SENT
        | NET_DONE
        | NET_OK
        | NET_SIS
        | BEFORE_BULK
        | EXP_WRITE_ACK
        | PEER_REFUSED;
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// What it is for.
    pub kind: Kind,
    /// What a write does.
    pub action: Action,
    /// See [`flag`].
    pub flags: u64,
    /// First sector.
    pub sector: u64,
    /// Sectors; 0 for an empty flush.
    pub len_sectors: u32,
    /// Flags of the bio.
    pub bio: BioFlags,
    /// Replication epoch of an application write.
    pub epoch: u32,
    /// Handle of the peer (echoed in answers).
    pub block_id: u64,
    /// Distinguishes the uses of this slot.
    pub generation: u32,
    /// With [`flag::WATCHED`]: when it was first seen on the disk, in milliseconds that wrap.
    pub(crate) disk_ms: u32,
    /// Order of arrival among overlapping operations.
    pub order: u64,
    /// Record of the activity log that it waits for; of a resync block, when its data came.
    pub ticket: u64,
    /// Virtual time of submission, for timeouts.
    pub start_ms: u64,
    pub(crate) links: [Link; 3],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) prev: OpId,
    pub(crate) next: OpId,
}

impl Link {
    const NONE: Link = Link {
        prev: NIL,
        next: NIL,
    };
}

/// See [`Op::payload_sectors`].
#[inline]
pub(crate) fn payload_sectors(action: Action, len_sectors: u32) -> u64 {
    match action {
        Action::Data => u64::from(len_sectors),
        Action::Flush | Action::Discard | Action::ZeroesUnmap | Action::ZeroesKeep => 0,
    }
}

impl Op {
    /// An unused slot, to fill new storage with.
    pub const FREE: Op = Op {
        kind: Kind::Free,
        action: Action::Data,
        flags: 0,
        sector: 0,
        len_sectors: 0,
        bio: BioFlags {
            fua: false,
            preflush: false,
            sync: false,
        },
        epoch: 0,
        block_id: 0,
        generation: 0,
        disk_ms: 0,
        order: 0,
        ticket: 0,
        start_ms: 0,
        links: [Link::NONE; 3],
    };

    /// One past the last sector.
    #[inline]
    pub fn end(&self) -> u64 {
        self.sector.saturating_add(u64::from(self.len_sectors))
    }

    /// Sectors that are sent with it: a discard and its like are told in a packet without data.
    #[inline]
    pub(crate) fn payload_sectors(&self) -> u64 {
        payload_sectors(self.action, self.len_sectors)
    }

    /// Length in bytes.
    #[inline]
    pub fn len_bytes(&self) -> u32 {
        self.len_sectors.saturating_mul(512)
    }

    /// Whether it reads from the disk, or did.
    pub fn reads(&self) -> bool {
        match self.kind {
            Kind::AppRead | Kind::PeerRead | Kind::RsRead | Kind::OvOwn | Kind::OvPeer => true,
            // For its digest.
            Kind::RsTarget => self.any(flag::CHECKSUM),
            Kind::AppWrite | Kind::PeerWrite | Kind::Late | Kind::Free => false,
        }
    }

    /// Whether all of `mask` is set.
    pub fn has(&self, mask: u64) -> bool {
        self.flags & mask == mask
    }

    /// Whether any of `mask` is set.
    pub fn any(&self, mask: u64) -> bool {
        self.flags & mask != 0
    }

    /// Sets flags.
    pub fn set(&mut self, mask: u64) {
        self.flags |= mask;
    }

    /// Clears flags.
    pub fn clear(&mut self, mask: u64) {
        self.flags &= !mask;
    }
}

/// Which of an operation's links a list uses. Work lists, for what is to be submitted, to be
/// completed or waits: one at a time.
pub(crate) const WORK: usize = 0;
/// The transfer log.
pub(crate) const LOG: usize = 1;
/// The range index.
pub(crate) const RANGE: usize = 2;

/// A doubly linked list of operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<const VIA: usize = WORK> {
    pub(crate) head: OpId,
    pub(crate) tail: OpId,
}

impl<const VIA: usize> List<VIA> {
    pub(crate) const fn new() -> Self {
        List {
            head: NIL,
            tail: NIL,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

/// All operations of a volume.
///
/// # Invariants
///
/// A slot is on the free list exactly when its kind is [`Kind::Free`].
pub struct Slab<M: Mem> {
    buf: M::Buf<Op>,
    /// Stands in for an index that does not exist, so that access is total.
    null: Op,
    free: OpId,
    used: u32,
}

impl<M: Mem> Slab<M> {
    /// A slab over `buf`, whose contents are overwritten.
    pub fn new(mut buf: M::Buf<Op>) -> Self {
        let mut free = NIL;
        for (index, op) in buf.as_mut().iter_mut().enumerate().rev() {
            *op = Op::FREE;
            set_next::<WORK>(op, free);
            free = u32::try_from(index).unwrap_or(NIL);
        }
        Slab {
            buf,
            null: Op::FREE,
            free,
            used: 0,
        }
    }

    /// Slots in all.
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.buf.as_ref().len()).unwrap_or(u32::MAX)
    }

    /// Slots in use.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// The operation `id`; a free dummy if there is none.
    pub fn at(&self, id: OpId) -> &Op {
        self.buf.as_ref().get(id as usize).unwrap_or(&self.null)
    }

    /// The operation `id`, to change.
    pub fn at_mut(&mut self, id: OpId) -> &mut Op {
        let Slab { buf, null, .. } = self;
        buf.as_mut().get_mut(id as usize).unwrap_or(null)
    }

    /// Takes a slot; `None` when all are in use.
    pub fn alloc(&mut self, kind: Kind) -> Option<OpId> {
        let id = self.free;
        if id == NIL {
            return None;
        }
        let generation = self.at(id).generation.wrapping_add(1);
        self.free = link::<WORK>(self.at(id)).next;
        *self.at_mut(id) = Op {
            kind,
            generation,
            ..Op::FREE
        };
        self.used = self.used.saturating_add(1);
        Some(id)
    }

    /// Gives a slot back.
    pub fn free(&mut self, id: OpId) {
        if self.at(id).kind == Kind::Free {
            debug_assert!(false, "operation freed twice");
            return;
        }
        let free = self.free;
        let op = self.at_mut(id);
        op.kind = Kind::Free;
        op.flags = 0;
        set_next::<WORK>(op, free);
        self.free = id;
        self.used = self.used.saturating_sub(1);
    }

    /// Moves everything into a larger buffer, keeping the indexes; returns the old one.
    pub fn grow(&mut self, mut buf: M::Buf<Op>) -> Result<M::Buf<Op>, M::Buf<Op>> {
        let old_len = self.buf.as_ref().len();
        if buf.as_ref().len() < old_len {
            return Err(buf);
        }
        let mut free = self.free;
        for (index, op) in buf.as_mut().iter_mut().enumerate().rev() {
            match self.buf.as_ref().get(index) {
                Some(old) => *op = *old,
                None => {
                    *op = Op::FREE;
                    set_next::<WORK>(op, free);
                    free = u32::try_from(index).unwrap_or(NIL);
                }
            }
        }
        self.free = free;
        Ok(core::mem::replace(&mut self.buf, buf))
    }

    /// The handle that goes to the peer: never all ones, and never 0.
    pub fn handle(&self, id: OpId) -> u64 {
        (u64::from(self.at(id).generation & 0x7fff_ffff) << 32) | u64::from(id.wrapping_add(1))
    }

    /// The operation of a handle that the peer echoed, if it is still the same one.
    pub fn by_handle(&self, handle: u64) -> Option<OpId> {
        let id = u32::try_from(handle & 0xffff_ffff).ok()?.checked_sub(1)?;
        if self.at(id).kind == Kind::Free || self.handle(id) != handle {
            return None;
        }
        Some(id)
    }

    #[inline]
    pub(crate) fn push_back<const VIA: usize>(&mut self, list: &mut List<VIA>, id: OpId) {
        *link_mut::<VIA>(self.at_mut(id)) = Link {
            prev: list.tail,
            next: NIL,
        };
        if list.tail == NIL {
            list.head = id;
        } else {
            link_mut::<VIA>(self.at_mut(list.tail)).next = id;
        }
        list.tail = id;
    }

    pub(crate) fn unlink<const VIA: usize>(&mut self, list: &mut List<VIA>, id: OpId) {
        let Link { prev, next } = *link::<VIA>(self.at(id));
        if prev == NIL {
            list.head = next;
        } else {
            link_mut::<VIA>(self.at_mut(prev)).next = next;
        }
        if next == NIL {
            list.tail = prev;
        } else {
            link_mut::<VIA>(self.at_mut(next)).prev = prev;
        }
    }

    #[inline]
    pub(crate) fn pop_front<const VIA: usize>(&mut self, list: &mut List<VIA>) -> Option<OpId> {
        let id = list.head;
        if id == NIL {
            return None;
        }
        let next = link::<VIA>(self.at(id)).next;
        list.head = next;
        if next == NIL {
            list.tail = NIL;
        } else {
            link_mut::<VIA>(self.at_mut(next)).prev = NIL;
        }
        Some(id)
    }

    #[inline]
    pub(crate) fn next_in<const VIA: usize>(&self, _: &List<VIA>, id: OpId) -> OpId {
        link::<VIA>(self.at(id)).next
    }

    /// Indexes of all operations in use, in slot order.
    pub fn iter_used(&self) -> impl Iterator<Item = OpId> + '_ {
        self.buf
            .as_ref()
            .iter()
            .enumerate()
            .filter(|(_, op)| op.kind != Kind::Free)
            .filter_map(|(index, _)| u32::try_from(index).ok())
    }
}

#[inline]
fn link<const VIA: usize>(op: &Op) -> &Link {
    let [work, log, range] = &op.links;
    match VIA {
        WORK => work,
        LOG => log,
        _ => range,
    }
}

#[inline]
fn link_mut<const VIA: usize>(op: &mut Op) -> &mut Link {
    let [work, log, range] = &mut op.links;
    match VIA {
        WORK => work,
        LOG => log,
        _ => range,
    }
}

fn set_next<const VIA: usize>(op: &mut Op, next: OpId) {
    link_mut::<VIA>(op).next = next;
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{super::mem::tests::Heap, *};
    use std::vec;

    fn slab(n: usize) -> Slab<Heap> {
        Slab::new(vec![Op::FREE; n].into_boxed_slice())
    }

    #[test]
    fn a_late_handle_does_not_name_the_next_user_of_its_slot() {
        let mut ops = slab(1);
        let id = ops.alloc(Kind::AppWrite).unwrap();
        let handle = ops.handle(id);
        assert_eq!(ops.by_handle(handle), Some(id));
        assert!(ops.alloc(Kind::AppWrite).is_none());
        ops.free(id);
        assert_eq!(ops.by_handle(handle), None);
        let again = ops.alloc(Kind::AppWrite).unwrap();
        assert_eq!(again, id);
        assert_eq!(ops.by_handle(handle), None);
        assert_eq!(ops.by_handle(u64::MAX), None);
        assert_eq!(ops.by_handle(0), None);
    }

    #[test]
    fn lists_keep_order_and_unlink_anywhere() {
        let mut ops = slab(4);
        let mut list = List::<LOG>::new();
        let ids: [OpId; 4] = core::array::from_fn(|_| ops.alloc(Kind::AppWrite).unwrap());
        for id in ids {
            ops.push_back(&mut list, id);
        }
        ops.unlink(&mut list, ids[1]);
        ops.unlink(&mut list, ids[3]);
        assert_eq!(ops.pop_front(&mut list), Some(ids[0]));
        assert_eq!(ops.pop_front(&mut list), Some(ids[2]));
        assert_eq!(ops.pop_front(&mut list), None);
        assert!(list.is_empty());
    }

    #[test]
    fn growing_keeps_indexes() {
        let mut ops = slab(1);
        let a = ops.alloc(Kind::AppWrite).unwrap();
        let handle = ops.handle(a);
        assert!(ops.grow(vec![Op::FREE; 3].into_boxed_slice()).is_ok());
        assert_eq!(ops.by_handle(handle), Some(a));
        assert!(ops.alloc(Kind::AppRead).is_some());
        assert!(ops.alloc(Kind::AppRead).is_some());
        assert!(ops.alloc(Kind::AppRead).is_none());
        assert_eq!(ops.used(), 3);
    }
}
