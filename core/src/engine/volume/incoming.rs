// SPDX-License-Identifier: GPL-2.0-or-later
//! Packets about a volume that carry no bulk data, and what the others mean.

use super::{PeerWrite, Refusal, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{Action, BioFlags},
    },
    state::Conn,
    wire::{
        block::{BlockAck, BlockData, BlockId, DpFlags},
        dialect::{Dialect, Features},
        handshake::ReplicationProtocol,
        packet::Packet,
    },
};

/// Why and how a packet ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// State to enter: ProtocolError and NetworkFailure reconnect, Disconnecting does not.
    pub conn: Conn,
    /// For the log.
    pub why: &'static str,
}

impl End {
    pub(super) const fn protocol(why: &'static str) -> End {
        End {
            conn: Conn::ProtocolError,
            why,
        }
    }

    pub(super) const fn network(why: &'static str) -> End {
        End {
            conn: Conn::NetworkFailure,
            why,
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        let why = match refusal {
            Refusal::PeerTooSmall { .. } => "the peer's disk is too small for the data here",
            Refusal::WrongData => "the peer has other data than this diskless Primary works with",
            Refusal::Handshake(met) => {
                use crate::uuid::Refusal as R;
                match met.outcome {
                    crate::uuid::Outcome::Refuse(R::Unrelated) => {
                        "unrelated data: the two disks never had anything in common"
                    }
                    crate::uuid::Outcome::Refuse(R::SplitBrain) => {
                        "split brain: both disks changed without the other"
                    }
                    crate::uuid::Outcome::Refuse(R::SourceInconsistent) => {
                        "the newer data is inconsistent"
                    }
                    crate::uuid::Outcome::Refuse(R::PrimaryAsTarget) => {
                        "a Primary would have to take over the peer's data"
                    }
                    crate::uuid::Outcome::Refuse(R::TooOld) => "the peer is too old to decide",
                    crate::uuid::Outcome::Refuse(R::DryRun(_)) => "only a dry run was asked for",
                    crate::uuid::Outcome::Go(_) | crate::uuid::Outcome::TryDemote => {
                        "the handshake failed"
                    }
                }
            }
            Refusal::State(_) => "the state that results from the handshake is not allowed",
            Refusal::Closing => "the connection is being closed",
            Refusal::Malformed => "a state word that means nothing",
        };
        let conn = match refusal {
            Refusal::Malformed => Conn::ProtocolError,
            Refusal::Closing => Conn::NetworkFailure,
            Refusal::Handshake(met) => match met.outcome {
                crate::uuid::Outcome::Refuse(crate::uuid::Refusal::DryRun(_)) => {
                    Conn::ProtocolError
                }
                crate::uuid::Outcome::Refuse(_)
                | crate::uuid::Outcome::Go(_)
                | crate::uuid::Outcome::TryDemote => Conn::Disconnecting,
            },
            Refusal::PeerTooSmall { .. } | Refusal::WrongData | Refusal::State(_) => {
                Conn::Disconnecting
            }
        };
        End { conn, why }
    }
}

/// The write that P_DATA, P_TRIM or P_ZEROES stands for (wire-protocol sections 4.1 and 6.4).
///
/// `payload_bytes` is the length of the data behind P_DATA.
pub fn write_of(
    packet: &Packet,
    payload_bytes: u32,
    dialect: Dialect,
    protocol: ReplicationProtocol,
) -> Option<PeerWrite> {
    let wzeroes = dialect.features().contains(Features::WZEROES);
    let (data, size, action) = match packet {
        Packet::Data(data) => return Some(write_of_data(data, payload_bytes, dialect, protocol)),
        // Without the feature an older sender may mean zero-out by it.
        Packet::Trim(trim) if wzeroes => (&trim.data, trim.size, Action::Discard),
        Packet::Trim(trim) => (&trim.data, trim.size, Action::ZeroesUnmap),
        Packet::Zeroes(trim) if trim.data.flags.contains(DpFlags::DISCARD) => {
            (&trim.data, trim.size, Action::ZeroesUnmap)
        }
        Packet::Zeroes(trim) => (&trim.data, trim.size, Action::ZeroesKeep),
        _ => return None,
    };
    Some(write_of_block(data, action, size, dialect, protocol))
}

/// The write that P_DATA with `payload_bytes` of data stands for.
#[inline]
pub fn write_of_data(
    data: &BlockData,
    payload_bytes: u32,
    dialect: Dialect,
    protocol: ReplicationProtocol,
) -> PeerWrite {
    let action = if payload_bytes == 0 {
        Action::Flush
    } else {
        Action::Data
    };
    write_of_block(data, action, payload_bytes, dialect, protocol)
}

#[inline]
fn write_of_block(
    data: &BlockData,
    action: Action,
    size: u32,
    dialect: Dialect,
    protocol: ReplicationProtocol,
) -> PeerWrite {
    let BlockData {
        sector,
        block_id,
        flags,
        seq_num,
    } = *data;
    // Before protocol 100 the receiver goes by its own configuration.
    let (want_recv_ack, want_write_ack) = if dialect.has_ack_flags() {
        (
            flags.contains(DpFlags::SEND_RECEIVE_ACK),
            flags.contains(DpFlags::SEND_WRITE_ACK),
        )
    } else {
        (
            protocol == ReplicationProtocol::B,
            protocol == ReplicationProtocol::C,
        )
    };
    PeerWrite {
        action,
        sector,
        len_sectors: size / 512,
        block_id,
        bio: BioFlags {
            fua: flags.contains(DpFlags::FUA),
            preflush: flags.contains(DpFlags::FLUSH),
            sync: flags.contains(DpFlags::RW_SYNC),
        },
        want_recv_ack,
        want_write_ack,
        may_set_in_sync: flags.contains(DpFlags::MAY_SET_IN_SYNC),
        seq_num,
    }
}

fn sectors(ack: &BlockAck) -> u32 {
    ack.size / 512
}

impl<M: Mem> Volume<M> {
    /// A packet of the data socket without bulk data. Receiver.
    pub fn data_packet(
        &mut self,
        packet: &Packet,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), End> {
        match packet {
            Packet::SyncParam(param) => self.sync_param_received(param),
            Packet::Sizes(sizes) => Ok(self.sizes_received(sizes, link, now_ms)?),
            Packet::Uuids(told) => Ok(self.uuids_received(*told, link, now_ms)?),
            Packet::State(told) => Ok(self.state_received(*told, link, now_ms)?),
            Packet::SyncUuid(uuid) => self.sync_uuid_received(*uuid, link, now_ms),
            Packet::StateChgReq(request) => {
                self.peer_requests(*request, link, now_ms);
                Ok(())
            }
            Packet::OutOfSync(desc) => self.peer_out_of_sync(desc.sector, desc.size / 512),
            Packet::UnplugRemote => Ok(()),
            _ => Err(End::protocol("a packet that belongs elsewhere")),
        }
    }

    /// A packet of the meta socket. Meta receiver.
    pub fn meta_packet(
        &mut self,
        packet: &Packet,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), End> {
        let result = self.meta_packet_inner(packet, link, now_ms);
        if let Some(seq_num) = Self::sequence_of(packet) {
            self.note_sequence(seq_num);
        }
        result
    }

    fn meta_packet_inner(
        &mut self,
        packet: &Packet,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), End> {
        match packet {
            Packet::RecvAck(ack) => self.acked(ack, false, link),
            Packet::WriteAck(ack) => self.acked(ack, false, link),
            Packet::RsWriteAck(ack) if ack.block_id == BlockId::SYNCER => {
                self.resync_acked(ack.sector, sectors(ack));
                Ok(())
            }
            Packet::RsWriteAck(ack) => self.acked(ack, true, link),
            Packet::Superseded(ack) => self.write_superseded(ack.block_id.0, ack.sector, link),
            Packet::RetryWrite(ack) => self.write_postponed(ack.block_id.0, ack.sector, link),
            Packet::NegAck(ack) if ack.block_id == BlockId::SYNCER => {
                self.resync_refused(sectors(ack));
                Ok(())
            }
            Packet::NegAck(ack) => {
                self.write_refused(ack.block_id.0, ack.sector, sectors(ack), link);
                Ok(())
            }
            Packet::NegDreply(ack) => {
                let op = self
                    .expected_reply(ack.block_id.0, ack.sector)
                    .ok_or(End::network("P_NEG_DREPLY for no request"))?;
                self.read_answered(op, false, link);
                Ok(())
            }
            Packet::NegRsDreply(ack) => {
                self.resync_not_served(*ack, true);
                Ok(())
            }
            Packet::RsIsInSync(ack) => {
                self.resync_in_sync(ack);
                Ok(())
            }
            Packet::OvResult(ack) => {
                self.verify_result_received(*ack, link, now_ms);
                Ok(())
            }
            Packet::RsCancel(ack) => {
                self.resync_not_served(*ack, false);
                Ok(())
            }
            Packet::StateChgReply(reply) => {
                self.request_answered(reply.0, link, now_ms);
                Ok(())
            }
            _ => Err(End {
                conn: Conn::Disconnecting,
                why: "a packet that nobody sends here",
            }),
        }
    }

    /// P_WRITE_ACK and P_RECV_ACK, as [`Self::meta_packet`] handles them. Meta receiver.
    #[inline]
    pub fn ack_received(&mut self, ack: &BlockAck, link: &mut dyn Link) -> Result<(), End> {
        let result = self.acked(ack, false, link);
        self.note_sequence(ack.seq_num);
        result
    }

    fn acked(&mut self, ack: &BlockAck, in_sync: bool, link: &mut dyn Link) -> Result<(), End> {
        self.write_acked(ack.block_id.0, ack.sector, in_sync, link)
    }
}
