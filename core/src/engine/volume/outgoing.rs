// SPDX-License-Identifier: GPL-2.0-or-later
//! The packets that stand for operations.

use super::Volume;
use crate::{
    engine::{
        mem::Mem,
        op::{flag, Action, Kind, OpId},
    },
    state::Conn,
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

    fn write_packet(&self, op: OpId, seq_num: u32) -> (Packet, u32) {
        let at = self.ops.at(op);
        let size = at.len_bytes();
        let syncing = self.state.conn >= Conn::SyncSource && self.state.conn <= Conn::PausedSyncT;
        let zeroes = matches!(at.action, Action::ZeroesKeep | Action::ZeroesUnmap);
        let mut flags = DpFlags::NONE;
        for (on, flag) in [
            (at.bio.sync, DpFlags::RW_SYNC),
            (at.bio.fua, DpFlags::FUA),
            (at.bio.preflush, DpFlags::FLUSH),
            // Only while the write keeps others off its range can its acknowledgement clear bits.
            (
                syncing && at.any(flag::EXP_WRITE_ACK),
                DpFlags::MAY_SET_IN_SYNC,
            ),
            (at.any(flag::EXP_RECEIVE_ACK), DpFlags::SEND_RECEIVE_ACK),
            (at.any(flag::EXP_WRITE_ACK), DpFlags::SEND_WRITE_ACK),
            (
                matches!(at.action, Action::Discard | Action::ZeroesUnmap),
                DpFlags::DISCARD,
            ),
            (zeroes, DpFlags::ZEROES),
        ] {
            if on {
                flags = flags.union(flag);
            }
        }
        let data = BlockData {
            sector: at.sector,
            block_id: BlockId(self.ops.handle(op)),
            seq_num,
            flags: self.peer.dialect.dp_flags(flags),
        };
        match at.action {
            Action::Data | Action::Flush => (Packet::Data(data), size),
            Action::Discard => (Packet::Trim(Trim { data, size }), 0),
            Action::ZeroesUnmap | Action::ZeroesKeep => (Packet::Zeroes(Trim { data, size }), 0),
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
