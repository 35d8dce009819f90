// SPDX-License-Identifier: GPL-2.0-or-later
//! The host's part that talks to the peer, through the real encoding.

use super::{
    admin::Admin,
    disk::Payload,
    heap::Rng,
    kind::Kind,
    node::{Node, Phase, Sending},
};
use drbd_core::{
    engine::{
        link::Link,
        send_queue::{Outgoing, SendItem},
        volume::End,
    },
    state::Conn,
    wire::{
        alg_name::AlgName,
        block::Barrier,
        command::Command,
        handshake::{ConnFlags, Protocol},
        packet::Packet,
        MAX_FRAME,
    },
};
use std::collections::VecDeque;

/// One packet on its way: its real bytes, and the token of its payload.
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) payload: Option<Payload>,
    pub(crate) body: Vec<u8>,
}

/// What is on its way to one node.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) data: VecDeque<Frame>,
    pub(crate) meta: VecDeque<Frame>,
    /// Nothing follows.
    pub(crate) eof: bool,
}

/// A connection: `to[n]` leads to node n.
pub(crate) struct Wire {
    pub(crate) number: u64,
    pub(crate) to: [Pipe; 2],
    pub(crate) joined: [bool; 2],
    /// Which node resolves conflicts.
    pub(crate) resolver: usize,
}

/// Packets a socket buffers before the sender blocks.
pub(crate) const SOCKET_PACKETS: usize = 12;

pub(crate) fn protocol_error(why: &'static str) -> End {
    End {
        conn: Conn::ProtocolError,
        why,
    }
}

impl Node {
    pub(crate) fn own_protocol(&self) -> Protocol {
        let [after_sb_0p, after_sb_1p, after_sb_2p] = self.peer_options.after_sb;
        Protocol {
            protocol: self.protocol,
            after_sb_0p,
            after_sb_1p,
            after_sb_2p,
            conn_flags: if self.discard_my_data {
                ConnFlags::DISCARD_MY_DATA
            } else {
                ConnFlags::NONE
            },
            two_primaries: self.kind == Kind::TwoPrimaries,
            integrity_alg: AlgName::EMPTY,
        }
    }

    /// The sockets are up and the dialect is agreed on.
    pub(crate) fn join(&mut self, number: u64, resolver: bool, now: u64, rng: &mut Rng) {
        self.phase = Phase::Joined(number);
        self.end = None;
        self.queues.send.open();
        let two_primaries = self.kind == Kind::TwoPrimaries;
        let max_epoch_size = 1 + rng.below(6) as u32;
        self.queues.send.set_options(max_epoch_size, two_primaries);
        self.queues.replies.open();
        self.queues.pings = 0;
        self.pings_answered = 0;
        self.sending = None;
        self.barrier = None;
        self.early = None;
        self.forgive_ms = now + 1000;
        self.conn_answer = None;
        if let Some(Admin::Disconnect(asked)) = &mut self.admin {
            // The question was lost with the last connection.
            *asked = false;
        }
        let protocol = self.own_protocol();
        assert!(self.queues.control(0, Packet::Protocol(protocol)));
        for vol in &mut self.vols {
            vol.volume.add_entropy(rng.next());
            vol.volume.set_peer_options(self.peer_options);
            vol.volume.set_one_shot(self.discard_my_data, false);
            vol.volume.connected(self.dialect, self.protocol, resolver);
            let context = vol.volume.context_mut();
            context.two_primaries = self.kind == Kind::TwoPrimaries;
            context.state_sent = true;
            vol.volume.send_handshake(&mut self.queues);
            vol.volume
                .set_conn(Conn::WfReportParams, &mut self.queues, now);
            vol.after();
        }
    }

    fn put(
        &self,
        wire: &mut Pipe,
        meta: bool,
        volume: u16,
        packet: &Packet,
        body: Vec<u8>,
        payload: Option<Payload>,
    ) {
        let len = payload
            .as_ref()
            .map_or(body.len() as u64, |payload| payload.len * 512);
        let mut bytes = vec![0; MAX_FRAME];
        let used = packet
            .encode_frame(self.dialect, volume, len as u32, &mut bytes)
            .unwrap_or_else(|error| panic!("{packet:?}: {error}"));
        bytes.truncate(used);
        if self.trace {
            eprintln!("      {} sends {packet:?}", self.index);
        }
        let frame = Frame {
            bytes,
            payload,
            body,
        };
        if wire.eof {
            // The network is cut: it is lost.
        } else if meta {
            wire.meta.push_back(frame);
        } else {
            wire.data.push_back(frame);
        }
    }

    pub(crate) fn can_send_data(&self, pipe: &Pipe) -> bool {
        pipe.data.len() < SOCKET_PACKETS && (self.sending.is_some() || self.queues.send_event)
    }

    /// The sender does one step.
    pub(crate) fn send_data(&mut self, pipe: &mut Pipe, now: u64) {
        match self.sending.take() {
            Some(Sending::Op(v, op)) => {
                let vol = &mut self.vols[v];
                vol.volume.handed_over(op, &mut self.queues);
                vol.after();
                return;
            }
            Some(Sending::Bitmap(v)) => {
                self.send_bitmap(v, pipe, now);
                return;
            }
            None => {}
        }
        assert!(!self.queues.send.overflowed(), "send queue overflow");
        let Some(outgoing) = self.queues.send.pop() else {
            self.queues.send_event = false;
            return;
        };
        match outgoing {
            Outgoing::Control(volume, packet) => {
                self.put(pipe, false, volume, &packet, Vec::new(), None);
            }
            Outgoing::Barrier(number) => {
                let packet = Packet::Barrier(Barrier { number });
                self.put(pipe, false, 0, &packet, Vec::new(), None);
            }
            Outgoing::Item(SendItem::Bitmap { volume }) => {
                self.sending = Some(Sending::Bitmap(usize::from(volume)));
            }
            Outgoing::Item(
                SendItem::Write { volume, op, .. }
                | SendItem::Read { volume, op }
                | SendItem::OutOfSync { volume, op }
                | SendItem::RsRequest { volume, op }
                | SendItem::Reply { volume, op },
            ) => self.send_op(volume, op, outgoing, pipe),
            Outgoing::Item(SendItem::Control) => {}
        }
    }

    fn send_op(&mut self, volume: u16, op: u32, outgoing: Outgoing, pipe: &mut Pipe) {
        let v = usize::from(volume);
        let vol = &mut self.vols[v];
        let Some((packet, len)) = vol.volume.packet_of(op) else {
            panic!("{outgoing:?} stands for no packet");
        };
        let fits = match outgoing {
            Outgoing::Item(SendItem::Write { .. }) => {
                matches!(
                    packet,
                    Packet::Data(_) | Packet::Trim(_) | Packet::Zeroes(_)
                )
            }
            Outgoing::Item(SendItem::Read { .. }) => matches!(packet, Packet::DataRequest(_)),
            Outgoing::Item(SendItem::OutOfSync { .. }) => matches!(packet, Packet::OutOfSync(_)),
            Outgoing::Item(SendItem::RsRequest { .. }) => {
                matches!(
                    packet,
                    Packet::RsDataRequest(_)
                        | Packet::CsumRsRequest(_)
                        | Packet::RsThinReq(_)
                        | Packet::OvRequest(_)
                )
            }
            Outgoing::Item(SendItem::Reply { .. }) => {
                matches!(
                    packet,
                    Packet::DataReply(_)
                        | Packet::RsDataReply(_)
                        | Packet::RsDeallocated(_)
                        | Packet::OvReply(_)
                )
            }
            _ => false,
        };
        assert!(fits, "{outgoing:?} became {packet:?}");
        let slot = &mut vol.slots[op as usize];
        let payload = match packet {
            Packet::Data(_) => {
                let req = slot.app.expect("a write has its request");
                Some(Payload::all(req.sector, req.len, req.tag))
            }
            Packet::DataReply(_) | Packet::RsDataReply(_) => {
                Some(slot.payload.take().expect("a reply has its payload"))
            }
            _ => None,
        };
        let body = match packet {
            Packet::CsumRsRequest(_) | Packet::OvReply(_) => {
                // Zeroes stand for what could not be read.
                let digest = slot.payload.take().map(|block| block.digest());
                digest.unwrap_or_else(|| vec![0; 4])
            }
            _ => Vec::new(),
        };
        assert_eq!(
            payload.as_ref().map_or(0, |payload| payload.len * 512),
            u64::from(len)
        );
        self.put(pipe, false, volume, &packet, body, payload);
        self.sending = Some(Sending::Op(v, op));
    }

    fn send_bitmap(&mut self, v: usize, pipe: &mut Pipe, now: u64) {
        let mut body = vec![0; 4096];
        let vol = &mut self.vols[v];
        match vol.volume.bitmap_chunk(&mut body) {
            Some(chunk) => {
                body.truncate(chunk.len);
                let packet = if chunk.command == Command::CompressedBitmap {
                    Packet::CompressedBitmap
                } else {
                    Packet::Bitmap
                };
                self.put(pipe, false, v as u16, &packet, body, None);
                self.sending = Some(Sending::Bitmap(v));
            }
            None => {
                vol.volume.bitmap_sent(&mut self.queues, now);
                vol.after();
            }
        }
    }

    /// The meta sender sends one packet.
    pub(crate) fn send_meta(&mut self, pipe: &mut Pipe) {
        assert!(!self.queues.replies.overflowed(), "reply queue overflow");
        let Some(item) = self.queues.replies.pop() else {
            return;
        };
        let Some((volume, packet)) = item.packet() else {
            panic!("{item:?} is no packet");
        };
        self.put(pipe, true, volume, &packet, Vec::new(), None);
    }
}
