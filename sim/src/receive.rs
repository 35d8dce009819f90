// SPDX-License-Identifier: GPL-2.0-or-later
//! The host's receivers, through the real decoding.

use super::{
    disk::Payload,
    net::{protocol_error, Frame},
    node::{Node, Queues, Vol},
};
use drbd_core::{
    engine::{
        agreement::agree,
        reply_queue::{BarrierStep, ReplyItem},
        volume::{write_of, DigestFate, Effect, End, PeerReadKind, PeerWriteFate, ReplyFate},
    },
    planted::{self, Bug},
    state::{Conn, Ss},
    wire::{
        block::{BlockRequest, DpFlags},
        dispatch,
        header::Header,
        packet::Packet,
        Frame as WireFrame, Stage,
    },
};

impl Node {
    fn decode(&self, frame: &Frame, stage: Stage) -> Result<(WireFrame, Packet), End> {
        let header = Header::decode(self.dialect, &frame.bytes[..self.dialect.header_len()])
            .map_err(|_| protocol_error("header"))?;
        let wire = dispatch(self.dialect, stage, &header).unwrap_or_else(|error| panic!("{error}"));
        let packet = Packet::decode(
            self.dialect,
            &wire,
            &frame.bytes[self.dialect.header_len()..],
        )
        .map_err(|_| protocol_error("packet"))?;
        Ok((wire, packet))
    }

    /// Whether the receiver may take the next packet.
    pub(crate) fn receiver_blocked(&self) -> bool {
        let early = self
            .early
            .as_ref()
            .is_some_and(|(v, seq_num, _)| !self.vols[*v].volume.sequence_reached(*seq_num));
        early || self.barrier.is_some() || self.vols.iter().any(|vol| vol.volume.receiver_waits())
    }

    /// The sender gives up waiting for acknowledgements that may never come.
    pub(crate) fn forgive(&mut self, now: u64) {
        self.forgive_ms = now + 1000;
        if let Some(epoch) = self.queues.send.forgive() {
            if self.trace {
                eprintln!("      {} forgives epoch {epoch}", self.index);
            }
            for vol in &mut self.vols {
                vol.volume.barrier_forgiven(epoch, &mut self.queues);
                vol.after();
            }
        }
    }

    /// The receiver waits at a barrier, and may go on.
    pub(crate) fn barrier_ready(&self) -> bool {
        self.barrier.is_some()
            && self.queues.replies.barrier_step() == BarrierStep::Flush
            && self
                .vols
                .iter()
                .all(|vol| vol.volume.generation_is_durable() && vol.may_flush())
    }

    pub(crate) fn pass_barrier(&mut self, now: u64) {
        if let Some(number) = self.barrier.take() {
            if planted::is(Bug::AckBeforeFlush) && number % 4 != 0 {
                // A later barrier's flush comes too late for this one.
                self.queues.replies.barrier_flushed(number);
                return;
            }
            let mut flushed = true;
            for vol in &mut self.vols {
                let unflushed = vol.volume.barrier_flush_begins();
                let mut done = true;
                if !vol.attached {
                    done = !vol.volume.flush_is_lost();
                } else if vol.disk.hanging {
                    // It was waited for as long as disk-timeout says.
                    done = false;
                    vol.volume.disk_hangs(&mut self.queues, now);
                    vol.after();
                } else if vol.disk.failing {
                    done = false;
                    vol.volume.fail_disk(&mut self.queues, now);
                    vol.after();
                } else {
                    vol.disk.flush();
                }
                flushed &= done || vol.volume.barrier_flush_failed(unflushed, &mut self.queues);
            }
            if !flushed {
                return self.end_with(End {
                    conn: Conn::NetworkFailure,
                    why: "what the peer wrote is not durable",
                });
            }
            self.queues.replies.barrier_flushed(number);
        }
    }

    /// The receiver handles one packet.
    pub(crate) fn receive_data(&mut self, frame: Frame, now: u64) -> Result<(), End> {
        let (wire, packet) = self.decode(&frame, Stage::Data)?;
        if self.trace {
            eprintln!("      {} receives {packet:?}", self.index);
        }
        let Some(volume) = wire.volume else {
            return self.connection_packet(packet, now);
        };
        let v = usize::from(volume);
        let numbered = match &packet {
            Packet::Data(data) => Some(data.seq_num),
            Packet::Trim(trim) | Packet::Zeroes(trim) => Some(trim.data.seq_num),
            _ => None,
        };
        if let Some(seq_num) = numbered {
            if !self.vols[v].volume.sequence_reached(seq_num) {
                self.early = Some((v, seq_num, frame));
                return Ok(());
            }
        }
        let result = match packet {
            Packet::Data(_) | Packet::Trim(_) | Packet::Zeroes(_) => {
                self.peer_write(v, &wire, &packet, frame.payload, now)
            }
            Packet::DataReply(data) => {
                let vol = &mut self.vols[v];
                let op = vol
                    .volume
                    .expected_reply(data.block_id.0, data.sector)
                    .ok_or(protocol_error("data for no request"))?;
                vol.slots[op as usize].payload = frame.payload;
                vol.volume.read_answered(op, true, &mut self.queues);
                Ok(())
            }
            Packet::RsDataReply(data) => {
                let vol = &mut self.vols[v];
                match vol
                    .volume
                    .resync_reply(data.sector, wire.payload_len / 512, &mut self.queues)
                {
                    ReplyFate::Take(op) => {
                        vol.slots[op as usize].payload = frame.payload;
                        vol.volume.resync_data(op, false, &mut self.queues, now);
                        Ok(())
                    }
                    ReplyFate::Drop => Ok(()),
                    ReplyFate::Unexpected => Err(protocol_error("resync data for no request")),
                }
            }
            Packet::DataRequest(request) => {
                self.peer_read(v, PeerReadKind::Data, request, None, now)
            }
            Packet::RsDataRequest(request) => {
                self.peer_read(v, PeerReadKind::Resync, request, None, now)
            }
            Packet::RsThinReq(request) => {
                self.peer_read(v, PeerReadKind::ThinResync, request, None, now)
            }
            Packet::RsDeallocated(desc) => {
                let vol = &mut self.vols[v];
                let fate = vol
                    .volume
                    .resync_reply(desc.sector, desc.size / 512, &mut self.queues);
                match fate {
                    ReplyFate::Take(op) => {
                        vol.volume.resync_data(op, true, &mut self.queues, now);
                        Ok(())
                    }
                    ReplyFate::Drop => Ok(()),
                    ReplyFate::Unexpected => Err(protocol_error("resync data for no request")),
                }
            }
            Packet::CsumRsRequest(request) => {
                let kind = PeerReadKind::ChecksumResync;
                self.peer_read(v, kind, request, Some(frame.body), now)
            }
            Packet::OvRequest(request) => {
                self.peer_read(v, PeerReadKind::Verify, request, None, now)
            }
            Packet::OvReply(reply) => self.verify_reply(v, &reply, frame.body),
            Packet::Bitmap | Packet::CompressedBitmap => {
                let volume = &mut self.vols[v].volume;
                volume.bitmap_packet_comes(wire.command, frame.body.len())?;
                volume.bitmap_packet(wire.command, &frame.body, &mut self.queues, now)
            }
            Packet::Sizes(_) => {
                self.offer(v);
                self.vols[v]
                    .volume
                    .data_packet(&packet, &mut self.queues, now)
            }
            packet => self.vols[v]
                .volume
                .data_packet(&packet, &mut self.queues, now),
        };
        self.vols[v].after();
        result
    }

    /// The peer's digest of a block is to be compared with our own.
    fn verify_reply(&mut self, v: usize, reply: &BlockRequest, body: Vec<u8>) -> Result<(), End> {
        let vol = &mut self.vols[v];
        let len = reply.size / 512;
        match vol
            .volume
            .verify_reply(reply.sector, len, reply.block_id, &mut self.queues)
        {
            DigestFate::Take(op) => {
                vol.slots[op as usize].digest = Some(body);
                vol.volume.verify_read(op, &mut self.queues);
                Ok(())
            }
            DigestFate::Drop => Ok(()),
            DigestFate::Unexpected => Err(protocol_error("a digest for no request")),
        }
    }

    fn connection_packet(&mut self, packet: Packet, now: u64) -> Result<(), End> {
        match packet {
            Packet::Protocol(peer) => agree(&self.own_protocol(), &peer).map_err(|_| End {
                conn: Conn::Disconnecting,
                why: "configured differently",
            }),
            Packet::ProtocolUpdate(told) => {
                self.protocol_updated(told);
                Ok(())
            }
            Packet::Barrier(barrier) => {
                self.barrier = Some(barrier.number);
                Ok(())
            }
            Packet::ConnStChgReq(request) => {
                let mut code = Ss::Success;
                for vol in &self.vols {
                    let answer = vol.volume.would_answer(request, true);
                    if !answer.is_success() {
                        code = answer;
                    }
                }
                for vol in self.vols.iter_mut().filter(|_| code.is_success()) {
                    let _ = vol.volume.judge_peer(request, true, &mut self.queues, now);
                    vol.after();
                }
                self.queues.replies.push(ReplyItem::StateReply {
                    volume: 0,
                    connection: true,
                    code: code.number(),
                });
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    }

    fn peer_write(
        &mut self,
        v: usize,
        wire: &WireFrame,
        packet: &Packet,
        payload: Option<Payload>,
        now: u64,
    ) -> Result<(), End> {
        let flags = match packet {
            Packet::Data(data) => data.flags,
            _ => DpFlags::NONE,
        };
        let len = match packet {
            Packet::Data(_) => wire
                .data_len(0, flags)
                .map_err(|_| protocol_error("length"))?,
            _ => 0,
        };
        let write = write_of(packet, len, self.dialect, self.protocol)
            .ok_or(protocol_error("a write that is none"))?;
        let vol = &mut self.vols[v];
        // Both ways of a host: at once if nothing is before it, or when effects are taken.
        let at_once = vol.attached && now % 2 == 0;
        let take = |vol: &mut Vol, queues: &mut Queues| {
            if at_once {
                vol.volume.peer_write_at_once(write, queues, now)
            } else {
                vol.volume.peer_write(write, queues, now)
            }
        };
        let mut fate = take(vol, &mut self.queues);
        if fate == PeerWriteFate::NoSlot {
            self.grow(v);
            fate = take(&mut self.vols[v], &mut self.queues);
        }
        let vol = &mut self.vols[v];
        match fate {
            PeerWriteFate::Accepted(op) | PeerWriteFate::Launched(op) => {
                assert!(vol.slots[op as usize].app.is_none());
                vol.slots[op as usize].payload = payload;
                if fate == PeerWriteFate::Launched(op) {
                    let at = vol.volume.op(op);
                    let submit = Effect::SubmitWrite {
                        op,
                        action: at.action,
                        sector: at.sector,
                        len_sectors: at.len_sectors,
                        bio: at.bio,
                    };
                    self.perform(v, submit, now);
                }
                Ok(())
            }
            PeerWriteFate::Dropped => Ok(()),
            PeerWriteFate::NoSlot => panic!("no slot for the peer's write"),
            PeerWriteFate::OutOfRange => Err(vol.volume.beyond_end()),
        }
    }

    fn peer_read(
        &mut self,
        v: usize,
        kind: PeerReadKind,
        request: BlockRequest,
        digest: Option<Vec<u8>>,
        now: u64,
    ) -> Result<(), End> {
        let vol = &mut self.vols[v];
        let len = request.size / 512;
        let begun = vol.volume.peer_read(
            kind,
            request.sector,
            len,
            request.block_id,
            &mut self.queues,
            now,
        );
        match begun {
            Ok(None) => Ok(()),
            Ok(Some(op)) => {
                vol.slots[op as usize].digest = digest;
                vol.volume.peer_read_start(op, &mut self.queues, now);
                Ok(())
            }
            Err(PeerWriteFate::NoSlot) => {
                self.grow(v);
                self.peer_read(v, kind, request, digest, now)
            }
            Err(_) => Err(vol.volume.beyond_end()),
        }
    }

    /// The meta receiver handles one packet.
    pub(crate) fn receive_meta(&mut self, frame: Frame, now: u64) -> Result<(), End> {
        let (wire, packet) = self.decode(&frame, Stage::Meta)?;
        match packet {
            Packet::Ping => self.queues.replies.push(ReplyItem::PingAck),
            Packet::PingAck => {
                self.pings_answered += 1;
                for vol in &mut self.vols {
                    vol.volume
                        .ping_answered(self.pings_answered, &mut self.queues, now);
                    vol.after();
                }
            }
            Packet::BarrierAck(ack) => {
                let acked = self.queues.send.barrier_acked(ack.number, ack.set_size);
                let released = acked.unwrap_or_else(|other| panic!("{ack:?} but {other:?}"));
                for vol in &mut self.vols {
                    if let Some(epoch) = released {
                        vol.volume.barrier_acked(epoch, &mut self.queues);
                        vol.after();
                    }
                }
            }
            Packet::ConnStChgReply(reply) => self.conn_answer = Some(reply.0),
            packet => {
                let vol = &mut self.vols[usize::from(wire.volume.unwrap_or(0))];
                let result = vol.volume.meta_packet(&packet, &mut self.queues, now);
                vol.after();
                return result;
            }
        }
        Ok(())
    }
}
