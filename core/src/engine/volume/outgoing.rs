// SPDX-License-Identifier: GPL-2.0-or-later
//! The packets that stand for operations.

use super::Volume;
use crate::{
    engine::{
        mem::Mem,
        op::{flag, Action, Kind, OpId},
    },
    wire::{
        block::{BlockData, BlockDesc, BlockId, BlockRequest, DpFlags, Trim},
        command::Command,
        packet::Packet,
    },
};

impl<M: Mem> Volume<M> {
    /// The packet for operation `op` of the send queue, and how many bytes of payload follow.
    /// `None` if there is nothing to send any more. It is sent before the next is asked for: it may
    /// have a number (wire-protocol section 6.1).
    pub fn packet_of(&mut self, op: OpId) -> Option<(Packet, u32)> {
        let at = *self.ops.at(op);
        let size = at.len_bytes();
        let handle = BlockId(self.ops.handle(op));
        let packet = match at.kind {
            Kind::AppWrite if at.any(flag::OUT_OF_SYNC) => {
                let sector = at.sector;
                (Packet::OutOfSync(BlockDesc { sector, size }), 0)
            }
            Kind::AppWrite => {
                let seq_num = self.next_sequence();
                self.write_packet(op, seq_num)
            }
            Kind::AppRead => {
                let request = BlockRequest {
                    sector: at.sector,
                    block_id: handle,
                    size,
                };
                (Packet::DataRequest(request), 0)
            }
            Kind::OvOwn => {
                let request = BlockRequest {
                    sector: at.sector,
                    block_id: BlockId::SYNCER,
                    size,
                };
                (Packet::OvRequest(request), 0)
            }
            // The host adds the digest, or zeroes when the read failed.
            Kind::OvPeer => {
                let reply = BlockRequest {
                    sector: at.sector,
                    block_id: Self::verify_answer_id(),
                    size,
                };
                (Packet::OvReply(reply), 0)
            }
            Kind::RsTarget => {
                let request = BlockRequest {
                    sector: at.sector,
                    block_id: BlockId::SYNCER,
                    size,
                };
                // The host adds the digest.
                let packet = if at.any(flag::CHECKSUM) {
                    Packet::CsumRsRequest(request)
                } else if at.any(flag::RS_THIN) {
                    Packet::RsThinReq(request)
                } else {
                    Packet::RsDataRequest(request)
                };
                (packet, 0)
            }
            Kind::RsRead if at.any(flag::RS_DEALLOCATED) => {
                let sector = at.sector;
                (Packet::RsDeallocated(BlockDesc { sector, size }), 0)
            }
            Kind::PeerRead | Kind::RsRead => {
                let data = BlockData {
                    sector: at.sector,
                    block_id: BlockId(at.block_id),
                    seq_num: 0,
                    flags: DpFlags::NONE,
                };
                if at.kind == Kind::PeerRead {
                    (Packet::DataReply(data), size)
                } else {
                    (Packet::RsDataReply(data), size)
                }
            }
            Kind::PeerWrite | Kind::Late | Kind::Free => return None,
        };
        Some(packet)
    }

    /// The structure of P_DATA if `op` is a write with data that goes to the peer as such, and how
    /// many bytes of payload follow: what [`Self::packet_of`] says of it, and with the same duty.
    #[inline]
    pub fn data_of(&mut self, op: OpId) -> Option<(BlockData, u32)> {
        let at = self.ops.at(op);
        let plain =
            at.kind == Kind::AppWrite && at.action == Action::Data && !at.any(flag::OUT_OF_SYNC);
        if !plain {
            return None;
        }
        let size = at.len_bytes();
        let seq_num = self.next_sequence();
        Some((self.write_data(op, seq_num), size))
    }

    fn write_packet(&self, op: OpId, seq_num: u32) -> (Packet, u32) {
        let at = self.ops.at(op);
        let size = at.len_bytes();
        let data = self.write_data(op, seq_num);
        match at.action {
            Action::Data | Action::Flush => (Packet::Data(data), size),
            Action::Discard => (Packet::Trim(Trim { data, size }), 0),
            Action::ZeroesUnmap | Action::ZeroesKeep => (Packet::Zeroes(Trim { data, size }), 0),
        }
    }

    #[inline]
    fn write_data(&self, op: OpId, seq_num: u32) -> BlockData {
        let at = self.ops.at(op);
        let when = |on: bool, flag: DpFlags| if on { flag } else { DpFlags::NONE };
        let what = match at.action {
            Action::Data | Action::Flush => DpFlags::NONE,
            Action::Discard => DpFlags::DISCARD,
            Action::ZeroesUnmap => DpFlags::DISCARD.union(DpFlags::ZEROES),
            Action::ZeroesKeep => DpFlags::ZEROES,
        };
        // Only while the write keeps others off its range can its acknowledgement clear bits, and not if it will not be
        // believed, see `distrust_answers`.
        let believed = at.any(flag::EXP_WRITE_ACK) && !at.any(flag::BEFORE_BULK);
        let in_sync = believed && self.state.resyncs();
        let flags = what
            .union(when(at.bio.sync, DpFlags::RW_SYNC))
            .union(when(at.bio.fua, DpFlags::FUA))
            .union(when(at.bio.preflush, DpFlags::FLUSH))
            .union(when(in_sync, DpFlags::MAY_SET_IN_SYNC))
            .union(when(
                at.any(flag::EXP_RECEIVE_ACK),
                DpFlags::SEND_RECEIVE_ACK,
            ))
            .union(when(at.any(flag::EXP_WRITE_ACK), DpFlags::SEND_WRITE_ACK));
        BlockData {
            sector: at.sector,
            block_id: BlockId(self.ops.handle(op)),
            seq_num,
            flags: self.peer.dialect.dp_flags(flags),
        }
    }

    /// Whether the peer takes write-zeroes as such: not if it did not offer, nor if this node did
    /// not because the stock driver drops the connection over it when data-integrity-alg is set.
    pub(super) fn peer_may_write_zeroes(&self) -> bool {
        !self.peer.linked || self.peer.dialect.may_send(Command::Zeroes)
    }

    /// Whether the peer takes discards and write-zeroes as such.
    pub fn peer_may_discard(&self) -> bool {
        !self.peer.linked || self.peer.dialect.may_discard()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{md::Then, rig};
    use super::*;
    use crate::{engine::mem::tests::Heap, state::Conn};

    fn may_set_in_sync(volume: &mut Volume<Heap>, op: OpId) -> bool {
        let data = volume.data_of(op);
        data.is_some_and(|(data, _)| data.flags.contains(DpFlags::MAY_SET_IN_SYNC))
    }

    #[test]
    fn a_write_from_before_a_full_sync_sets_nothing_in_sync() {
        let mut volume = rig::volume(Conn::Connected, 8192);
        let mut peer = rig::Peer::default();
        let before = rig::submit(&mut volume, &mut peer, true, 64);
        volume.start_bulk(true, Then::Nothing);
        volume.hard(&mut peer, 0, |state| state.conn = Conn::SyncSource);
        rig::write_metadata(&mut volume, &mut peer);
        volume.tend_disk(&mut peer, 0);
        let after = rig::submit(&mut volume, &mut peer, true, 128);
        assert!(!may_set_in_sync(&mut volume, before));
        assert!(may_set_in_sync(&mut volume, after));
    }
}
