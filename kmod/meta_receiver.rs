// SPDX-License-Identifier: GPL-2.0-or-later
//! The meta receiver: acknowledgements, and whether the peer is alive (wire-protocol section 10).

use crate::{
    ahead::Ahead,
    connection::Connection,
    device_cache::DeviceCache,
    liveness::NO_ANSWER,
    os::{
        kthread::Ctl,
        recv::{RecvError, RecvWait},
        socket::Socket,
        timer::now_ms,
    },
};
use drbd_core::{
    engine::{reply_queue::ReplyItem, volume::End},
    state::Conn,
    wire::{
        block_frame::{decode_barrier_ack, decode_ack, BARRIER_FRAME, BLOCK_FRAME},
        dialect::Dialect,
        dispatch,
        header::Header,
        packet::Packet,
        Stage,
    },
};
use kernel::prelude::*;

fn broken(why: &'static str) -> End {
    End {
        conn: Conn::NetworkFailure,
        why,
    }
}

/// The meta receiver's thread.
pub(crate) fn run(connection: &Connection, socket: &Socket, dialect: Dialect, ctl: &Ctl) {
    let mut receiver = MetaReceiver {
        connection,
        socket,
        dialect,
        devices: DeviceCache::default(),
        pinged_ms: None,
        idle_ms: 0,
        silent_ms: 0,
        answer_ms: 0,
        conf_version: None,
        ahead: Ahead::new(),
    };
    while !ctl.should_stop() && !connection.is_ending() {
        if let Err(end) = receiver.packet() {
            connection.end(end);
            return;
        }
    }
}

struct MetaReceiver<'a> {
    connection: &'a Connection,
    socket: &'a Socket,
    dialect: Dialect,
    devices: DeviceCache,
    /// When the ping was sent whose answer is awaited.
    pinged_ms: Option<u64>,
    /// ping-int and ping-timeout, and the version of the options that they are from.
    idle_ms: u32,
    answer_ms: u32,
    /// How long the data socket had been silent when a wait for this one ended: the next is shorter
    /// by that, or a peer that dies were noticed after twice ping-int.
    silent_ms: u32,
    conf_version: Option<u32>,
    ahead: Ahead<AHEAD_BYTES>,
}

/// Acknowledgements come in bursts.
const AHEAD_BYTES: usize = 1024;
/// Acknowledgements handled under one lock: each may end a request.
const BURST: usize = 4;

impl MetaReceiver<'_> {
    fn packet(&mut self) -> Result<(), End> {
        let header_len = self.dialect.header_len();
        self.receive(header_len)?;
        if let Some((volume, _)) = decode_ack(self.ahead.all()) {
            return self.write_acks(volume);
        }
        if let Some((number, set_size)) = decode_barrier_ack(self.ahead.all()) {
            self.ahead.drop_front(BARRIER_FRAME);
            let _ = self.connection.liveness.note_received();
            return self.barrier_ack(number, set_size);
        }
        self.other_packet(header_len)
    }

    /// P_BARRIER_ACK: the peer has an epoch on stable storage.
    fn barrier_ack(&mut self, number: u32, set_size: u32) -> Result<(), End> {
        let queues = &self.connection.queues;
        let Ok(released) = queues.barrier_acked(number, set_size) else {
            return Err(End {
                conn: Conn::ProtocolError,
                why: "a barrier acknowledgement that does not fit what was sent",
            });
        };
        let Some(epoch) = released else {
            return Ok(());
        };
        let devices = self.devices.take_all(self.connection);
        for device in devices.iter() {
            device.with(|inner, link, _| inner.volume.barrier_acked(epoch, link));
        }
        self.devices.put_all(devices);
        Ok(())
    }

    /// P_WRITE_ACK or P_RECV_ACK, the first of those that are there.
    fn write_acks(&mut self, volume: u16) -> Result<(), End> {
        let _ = self.connection.liveness.note_received();
        let device = self
            .devices
            .take(self.connection, volume)
            .ok_or(broken("a packet for an unknown volume"))?;
        let ahead = &mut self.ahead;
        let result = device.with(|inner, link, _| {
            for _ in 0..BURST {
                match decode_ack(ahead.all()) {
                    Some((same, ack)) if same == volume => {
                        ahead.drop_front(BLOCK_FRAME);
                        inner.volume.ack_received(&ack, link)?;
                    }
                    Some(_) | None => break,
                }
            }
            Ok(())
        });
        self.devices.put(device);
        result
    }

    #[inline(never)]
    fn other_packet(&mut self, header_len: usize) -> Result<(), End> {
        let header = Header::decode(self.dialect, self.ahead.get(header_len).unwrap_or(&[]))
            .map_err(|_| broken("bad magic on the meta socket"))?;
        let frame = dispatch(self.dialect, Stage::Meta, &header).map_err(|error| End {
            conn: match error.reaction(Stage::Meta) {
                drbd_core::wire::error::Reaction::Disconnecting => Conn::Disconnecting,
                _ => Conn::NetworkFailure,
            },
            why: "a packet that does not belong on the meta socket",
        })?;
        let len = header_len.saturating_add(frame.fixed_len);
        self.receive(len)?;
        let body = self.ahead.get(len).and_then(|all| all.get(header_len..));
        let packet = Packet::decode(self.dialect, &frame, body.unwrap_or(&[]))
            .map_err(|_| broken("a malformed packet on the meta socket"))?;
        self.ahead.drop_front(len);
        let _ = self.connection.liveness.note_received();
        match packet {
            Packet::Ping => {
                self.connection.queues.push_reply(ReplyItem::PingAck);
                Ok(())
            }
            Packet::PingAck => {
                self.pinged_ms = None;
                let answered = self.connection.liveness.note_answer();
                for device in self.connection.devices().iter() {
                    device.with(|inner, link, now| inner.volume.ping_answered(answered, link, now));
                }
                self.connection.changed.wake_all();
                Ok(())
            }
            Packet::BarrierAck(ack) => self.barrier_ack(ack.number, ack.set_size),
            Packet::ConnStChgReply(reply) => {
                self.connection.answered(reply.0);
                Ok(())
            }
            Packet::DelayProbe(_) => Ok(()),
            packet => {
                let volume = frame.volume.unwrap_or(0);
                let device = self
                    .devices
                    .find(self.connection, volume)
                    .ok_or(broken("a packet for an unknown volume"))?;
                device.with(|inner, link, now| inner.volume.meta_packet(&packet, link, now))
            }
        }
    }

    fn read_options(&mut self) {
        let version = self.connection.conf_version();
        if self.conf_version != Some(version) {
            self.conf_version = Some(version);
            let net = self.connection.net();
            self.idle_ms = net.ping_int.saturating_mul(1000);
            self.answer_ms = net.ping_timeo.saturating_mul(100);
        }
    }

    /// Receives until `len` bytes, at most a packet, are there; pings a silent peer, and gives it
    /// up when it stays silent.
    fn receive(&mut self, len: usize) -> Result<(), End> {
        while self.ahead.len() < len {
            self.read_options();
            let wait_ms = if self.pinged_ms.is_some() {
                self.answer_ms
            } else {
                self.idle_ms.saturating_sub(self.silent_ms)
            };
            let wait = RecvWait::Ms(wait_ms.max(1));
            match self.socket.recv_some(self.ahead.room(AHEAD_BYTES), wait) {
                Ok(0) => return Err(broken("an oversized packet")),
                Ok(more) => {
                    self.silent_ms = 0;
                    self.ahead.came(more);
                }
                Err(RecvError::TimedOut) => self.silent()?,
                Err(RecvError::Closed) => return Err(broken("the peer closed the meta socket")),
                Err(_) => return Err(broken("receiving on the meta socket failed")),
            }
        }
        Ok(())
    }

    /// Nothing came for as long as was waited.
    fn silent(&mut self) -> Result<(), End> {
        if self.connection.ending().is_some() {
            return Err(broken("the connection ends"));
        }
        let now = now_ms();
        let last = self.connection.liveness.received_ms();
        let silent_ms = u32::try_from(now.saturating_sub(last)).unwrap_or(u32::MAX);
        self.silent_ms = silent_ms;
        match self.pinged_ms {
            Some(asked) if self.connection.liveness.heard_since(asked) => self.pinged_ms = None,
            Some(_) => return Err(NO_ANSWER),
            None if silent_ms < self.idle_ms => {}
            None => {
                let _ = self.connection.queues.ping();
                self.pinged_ms = Some(now);
            }
        }
        Ok(())
    }
}
