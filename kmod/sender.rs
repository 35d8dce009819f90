// SPDX-License-Identifier: GPL-2.0-or-later
//! The two sending threads of an established connection.
//!
//! Each empties its queue, then waits. The data sender numbers packets as they go out; an
//! application write's pages are sent from where they are, unless it completes before the peer has
//! acknowledged the bytes, as with protocol A.

use crate::{
    connection::Connection,
    crypto::{Copies, Digester, Integrity},
    device::Device,
    device_cache::DeviceCache,
    os::{
        bio::BioData,
        kthread::Ctl,
        lock::Arc,
        pages::Payload,
        socket::{PageMode, SendFlags, Socket},
        timer::now_ms,
    },
    queues::Overflow,
};
use core::cell::Cell;
use drbd_core::{
    engine::{
        op::{flag, Action, Op, OpId},
        reply_queue::ReplyItem,
        send_queue::{Outgoing, SendItem},
        volume::End,
    },
    state::Conn,
    wire::{
        block::Barrier, block_frame::{encode_ack, encode_barrier, encode_barrier_ack, encode_data, BARRIER_FRAME, BLOCK_FRAME}, command::Command, dialect::Dialect, packet::Packet, AlgName, MAX_FRAME,
    },
};
use kernel::prelude::*;

/// How often the age of the oldest request is looked at.
const AGE_CHECK_MS: u32 = 1000;

const fn failed(why: &'static str) -> End {
    End {
        conn: Conn::NetworkFailure,
        why,
    }
}

const GONE: End = End {
    conn: Conn::NetworkFailure,
    why: "a volume disappeared",
};

const OVERFLOW: End = failed("more operations than the queues have room for");

/// What was promised for a write, whatever the protocol is by now: unless the peer is to answer,
/// it may end before the bytes are acknowledged.
fn page_mode(op: &Op) -> PageMode {
    if op.any(flag::EXP_RECEIVE_ACK | flag::EXP_WRITE_ACK) {
        PageMode::Splice
    } else {
        PageMode::Copy
    }
}

struct Sender<'a> {
    connection: &'a Connection,
    socket: &'a Socket,
    dialect: Dialect,
    devices: DeviceCache,
    /// What the options say about sending, as of `conf_version`.
    ko_count: u32,
    /// How long the peer may take to answer a request; 0 for any time.
    age_limit_ms: u64,
    conf_version: u32,
    /// data-integrity-alg as the peer was last told.
    integrity: Integrity,
    copies: Copies,
    digester: Digester,
    /// tcp-cork: segments are filled across packets.
    cork: bool,
    /// Another packet follows at once.
    more: bool,
    /// A part of a segment waits for what follows.
    corked: Cell<bool>,
}

/// The data sender's thread.
pub(crate) fn run(connection: &Connection, socket: &Socket, dialect: Dialect, ctl: &Ctl) {
    let mut sender = Sender::new(connection, socket, dialect);
    let connected_ms = now_ms();
    let mut looked_ms = connected_ms;
    while !ctl.should_stop() && !connection.is_ending() {
        let now = now_ms();
        if now.saturating_sub(looked_ms) >= u64::from(AGE_CHECK_MS) {
            looked_ms = now;
            sender.forgive();
            if let Some(end) = sender.too_old(connected_ms, now) {
                connection.end(end);
                return;
            }
        }
        match connection.queues.pop() {
            Ok(Some((outgoing, more))) => {
                sender.more = more && sender.cork;
                if let Err(end) = sender.send(outgoing) {
                    connection.end(end);
                    return;
                }
            }
            Err(Overflow) => {
                connection.end(OVERFLOW);
                return;
            }
            Ok(None) => {
                sender.uncork();
                let _ = connection
                    .queues
                    .send_event
                    .wait(Some(ctl), Some(AGE_CHECK_MS));
            }
        }
    }
}

impl<'a> Sender<'a> {
    fn new(connection: &'a Connection, socket: &'a Socket, dialect: Dialect) -> Self {
        let mut sender = Sender {
            connection,
            socket,
            dialect,
            devices: DeviceCache::default(),
            ko_count: 0,
            age_limit_ms: 0,
            conf_version: 0,
            integrity: Integrity::default(),
            copies: Copies::default(),
            digester: Digester::default(),
            cork: true,
            more: false,
            corked: Cell::new(false),
        };
        sender.read_options();
        sender
    }

    /// Looks at the options; they are asked for often and change rarely.
    fn read_options(&mut self) {
        self.conf_version = self.connection.conf_version();
        let net = self.connection.net();
        self.ko_count = net.ko_count;
        self.cork = net.tcp_cork;
        self.age_limit_ms = u64::from(net.timeout)
            .saturating_mul(100)
            .saturating_mul(u64::from(net.ko_count));
        self.socket
            .set_send_timeout(net.timeout.saturating_mul(100));
    }
}

impl Sender<'_> {
    /// Whether the peer, alive or not, leaves a request unanswered for too long. The span counts
    /// anew after each connect, since requests may have waited for that.
    fn too_old(&self, connected_ms: u64, now: u64) -> Option<End> {
        if self.age_limit_ms == 0 {
            return None;
        }
        let old = |since: u64| now.saturating_sub(since.max(connected_ms)) > self.age_limit_ms;
        let devices = self.connection.devices();
        let stuck = devices
            .iter()
            .any(|device| device.peek(|volume| volume.oldest_unanswered_ms().is_some_and(old)));
        stuck.then_some(End {
            conn: Conn::Timeout,
            why: "the peer left a request unanswered for timeout times ko-count",
        })
    }

    /// Epochs that the peer may never acknowledge.
    fn forgive(&self) {
        if let Some(epoch) = self.connection.queues.forgive() {
            for device in self.connection.devices().iter() {
                device.with(|inner, link, _| inner.volume.barrier_forgiven(epoch, link));
            }
        }
    }

    fn device(&mut self, volume: u16) -> Result<Arc<Device>, End> {
        self.devices.find(self.connection, volume).ok_or(GONE)
    }

    fn send(&mut self, outgoing: Outgoing) -> Result<(), End> {
        if self.conf_version != self.connection.conf_version() {
            self.read_options();
        }
        match outgoing {
            Outgoing::Control(volume, packet) => {
                self.frame(volume, packet, 0, false)?;
                self.note_integrity(&packet)
            }
            Outgoing::Barrier(number) if self.dialect.has_volumes() => {
                self.bytes(&encode_barrier(number), self.last())
            }
            Outgoing::Barrier(number) => {
                self.frame(0, Packet::Barrier(Barrier { number }), 0, false)
            }
            Outgoing::Item(SendItem::Bitmap { volume }) => self.bitmap(volume),
            Outgoing::Item(
                SendItem::Write { volume, op, .. }
                | SendItem::Read { volume, op }
                | SendItem::OutOfSync { volume, op }
                | SendItem::RsRequest { volume, op }
                | SendItem::Reply { volume, op },
            ) => self.operation(volume, op),
            Outgoing::Item(SendItem::Control) => Ok(()),
        }
    }

    /// The peer has been told of an algorithm: what follows has digests of it.
    fn note_integrity(&mut self, packet: &Packet) -> Result<(), End> {
        match packet {
            Packet::Protocol(own) | Packet::ProtocolUpdate(own) => self
                .integrity
                .set(&own.integrity_alg)
                .map_err(|_| failed("the algorithm of data-integrity-alg does not work")),
            _ => Ok(()),
        }
    }

    /// Header and fixed part of a packet.
    fn frame(&self, volume: u16, packet: Packet, payload_len: u32, more: bool) -> Result<(), End> {
        let mut frame = [0u8; MAX_FRAME];
        let len = packet
            .encode_frame(self.dialect, volume, payload_len, &mut frame)
            .map_err(|_| failed("a packet that the peer's protocol does not have"))?;
        let bytes = frame.get(..len).ok_or(failed("an oversized packet"))?;
        let flags = if more { SendFlags::MORE } else { self.last() };
        self.bytes(bytes, flags)
    }

    /// Flags for the last bytes of a packet. A segment that is not full waits if another packet
    /// is there already: a burst of small packets then takes one segment, not one each.
    fn last(&self) -> SendFlags {
        self.corked.set(self.more);
        if self.more {
            SendFlags::MORE
        } else {
            SendFlags::NONE
        }
    }

    /// Lets go what waits for more: nothing follows.
    fn uncork(&self) {
        if self.corked.replace(false) {
            // Setting it again pushes, as tcp(7) says of the option.
            self.socket.set_nodelay();
        }
    }

    /// Sends all of `bytes`, as often as the socket's timeout and ko-count allow.
    fn bytes(&self, bytes: &[u8], flags: SendFlags) -> Result<(), End> {
        let mut from = 0usize;
        self.patiently(|| {
            let rest = bytes.get(from..).unwrap_or(&[]);
            if rest.is_empty() {
                return Ok(true);
            }
            from = from.saturating_add(self.socket.send(rest, flags)?);
            Ok(from >= bytes.len())
        })
    }

    /// Repeats `step` until it says that everything is sent. A timeout of the socket counts
    /// against ko-count and asks the peer for a sign of life (wire-protocol section 10).
    fn patiently(&self, mut step: impl FnMut() -> Result<bool>) -> Result<(), End> {
        let ko_count = self.ko_count;
        let mut timeouts = 0u32;
        loop {
            match step() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(EAGAIN) if self.connection.ending().is_none() => {
                    timeouts = timeouts.saturating_add(1);
                    if ko_count != 0 && timeouts >= ko_count {
                        return Err(End {
                            conn: Conn::Timeout,
                            why: "the peer took no data for timeout times ko-count",
                        });
                    }
                    let _ = self.connection.queues.ping();
                }
                Err(_) => return Err(failed("sending on the data socket failed")),
            }
        }
    }

    fn operation(&mut self, volume: u16, op: OpId) -> Result<(), End> {
        let device = self.devices.take(self.connection, volume).ok_or(GONE)?;
        let sent = self.operation_of(&device, op);
        device.with(|inner, link, _| {
            // Once, whatever went wrong: without it the slot is kept for ever and tearing down
            // waits for it; a second time it may be another operation's.
            if matches!(sent, Ok(true)) {
                inner.volume.handed_over(op, link);
            } else {
                inner.volume.send_canceled(op, link);
            }
        });
        self.devices.put(device);
        sent.map(drop)
    }

    /// Sends the packet of `op`; false if there is nothing to send any more.
    #[inline]
    fn operation_of(&mut self, device: &Device, op: OpId) -> Result<bool, End> {
        let short = self.dialect.has_volumes() && !self.integrity.is_on();
        let plain = {
            let mut locked = device.inner.lock();
            let inner = &mut **locked;
            match inner.slots.get(op as usize).and_then(|slot| slot.bio.as_ref()) {
                Some(bio) if short => inner
                    .volume
                    .data_of(op)
                    .map(|(data, len)| (data, len, bio.data(), page_mode(inner.volume.op(op)))),
                Some(_) | None => None,
            }
        };
        match plain {
            Some((data, len, pages, mode)) => {
                let frame = encode_data(device.number, &data, len);
                self.bytes(&frame, SendFlags::MORE)?;
                self.bio(&pages, len, mode)?;
                Ok(true)
            }
            None => self.other_operation(device, op),
        }
    }

    #[inline(never)]
    fn other_operation(&mut self, device: &Device, op: OpId) -> Result<bool, End> {
        let (packet, data, payload, digest_of, mode) = {
            let mut locked = device.inner.lock();
            let inner = &mut **locked;
            let packet = inner.volume.packet_of(op);
            let carries = matches!(packet, Some((Packet::Data(_), len)) if len > 0)
                && inner.volume.op(op).action == Action::Data;
            let (mut data, mut payload, mut digest_of) = (None, None, None);
            let readable = inner.volume.op(op).any(flag::LOCAL_OK);
            if let Some(slot) = inner.slots.get_mut(op as usize) {
                if carries {
                    data = slot.bio.as_ref().map(|bio| bio.data());
                } else if matches!(
                    packet,
                    Some((Packet::DataReply(_) | Packet::RsDataReply(_), _))
                ) {
                    payload = slot.payload.take();
                } else if matches!(
                    packet,
                    Some((Packet::OvReply(_) | Packet::CsumRsRequest(_), _))
                ) {
                    let block = slot.payload.take();
                    digest_of = Some((block, readable, inner.volume.digest_alg(op)));
                }
            }
            let mode = page_mode(inner.volume.op(op));
            (packet, data, payload, digest_of, mode)
        };
        let volume = device.number;
        match (packet, digest_of) {
            (Some((packet, _)), Some((block, readable, alg))) => self
                .digest_instead(volume, packet, block.filter(|_| readable), alg)
                .map(|()| true),
            (Some((packet, len)), None) => self
                .transmit(volume, packet, len, data.map(|data| (data, mode)), payload)
                .map(|()| true),
            (None, _) => Ok(false),
        }
    }

    fn transmit(
        &mut self,
        volume: u16,
        packet: Packet,
        len: u32,
        data: Option<(BioData, PageMode)>,
        payload: Option<Payload>,
    ) -> Result<(), End> {
        let carries = matches!(
            packet,
            Packet::Data(_) | Packet::DataReply(_) | Packet::RsDataReply(_)
        );
        if carries && self.integrity.is_on() {
            let data = data.map(|(data, _)| data);
            return self.with_digest(volume, packet, len, data, payload);
        }
        self.frame(volume, packet, len, len > 0)?;
        if let Some((data, mode)) = &data {
            self.bio(data, len, *mode)?;
        }
        if let Some(payload) = &payload {
            self.payload(payload, len)?;
        }
        Ok(())
    }

    /// Sends the digest of a block, not the block: online verify, and the requests of a
    /// checksum-based resync. Zeroes stand for what could not be read.
    fn digest_instead(
        &mut self,
        volume: u16,
        packet: Packet,
        block: Option<Payload>,
        alg: AlgName,
    ) -> Result<(), End> {
        let digest = self
            .digester
            .digest(alg, block.as_ref())
            .map_err(|_| failed("the algorithm of verify-alg or csums-alg does not work"))?;
        drop(block);
        let bytes = digest.bytes();
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        self.frame(volume, packet, len, true)?;
        self.bytes(bytes, self.last())
    }

    /// Sends a packet with the digest of its data between the two.
    fn with_digest(
        &mut self,
        volume: u16,
        packet: Packet,
        len: u32,
        data: Option<BioData>,
        payload: Option<Payload>,
    ) -> Result<(), End> {
        let payload = match data {
            Some(data) => Some(
                self.copies
                    .of(&data)
                    .map_err(|_| failed("a write could not be copied"))?,
            ),
            None => payload,
        };
        let digest = self
            .integrity
            .of_payload(payload.as_ref())
            .map_err(|_| failed("the algorithm of data-integrity-alg does not work"))?;
        let all = len.saturating_add(self.integrity.len());
        self.frame(volume, packet, all, true)?;
        let more = if payload.is_some() {
            SendFlags::MORE
        } else {
            self.last()
        };
        self.bytes(digest.bytes(), more)?;
        payload.map_or(Ok(()), |payload| self.payload(&payload, len))
    }

    fn bio(&self, data: &BioData, len: u32, mode: PageMode) -> Result<(), End> {
        let mut from = 0usize;
        self.patiently(|| {
            let sent = self.socket.send_bio(data, from, mode, self.last())?;
            from = from.saturating_add(sent);
            Ok(from >= len as usize)
        })
    }

    /// Nobody else writes to the pages of a payload.
    fn payload(&self, payload: &Payload, len: u32) -> Result<(), End> {
        let mut from = 0usize;
        self.patiently(|| {
            let sent = self
                .socket
                .send_payload(payload, from, PageMode::Splice, self.last())?;
            from = from.saturating_add(sent);
            Ok(from >= len as usize)
        })
    }

    fn bitmap(&mut self, volume: u16) -> Result<(), End> {
        let device = self.device(volume)?;
        let mut body =
            KVec::from_elem(0u8, 4096, GFP_KERNEL).map_err(|_| failed("out of memory"))?;
        while let Some(chunk) = device.with(|inner, _, _| inner.volume.bitmap_chunk(&mut body)) {
            let len = u32::try_from(chunk.len).unwrap_or(0);
            let packet = if chunk.command == Command::CompressedBitmap {
                Packet::CompressedBitmap
            } else {
                Packet::Bitmap
            };
            self.frame(volume, packet, len, len > 0)?;
            self.bytes(body.get(..chunk.len).unwrap_or(&[]), SendFlags::NONE)?;
        }
        device.with(|inner, link, now| inner.volume.bitmap_sent(link, now));
        Ok(())
    }
}

/// The meta sender's thread.
pub(crate) fn run_meta(connection: &Connection, socket: &Socket, dialect: Dialect, ctl: &Ctl) {
    let mut sender = Sender::new(connection, socket, dialect);
    let mut batch = [0u8; BATCH_BYTES];
    while !ctl.should_stop() && !connection.is_ending() {
        match sender.replies(&mut batch) {
            Ok(true) => {}
            Ok(false) => {
                let _ = connection.queues.reply_event.wait(Some(ctl), None);
            }
            Err(end) => {
                connection.end(end);
                return;
            }
        }
    }
}

/// Acknowledgements that are sent at once: less than a segment, and some twenty of them.
const BATCH_BYTES: usize = 1024;

impl Sender<'_> {
    /// Sends what waits, all that fits into `batch` at once; false when nothing does.
    fn replies(&mut self, batch: &mut [u8; BATCH_BYTES]) -> Result<bool, End> {
        if self.conf_version != self.connection.conf_version() {
            self.read_options();
        }
        let mut len = 0usize;
        let mut failure = None;
        let dialect = self.dialect;
        let popped = self.connection.queues.pop_replies(|item| {
            let room = batch.get_mut(len..).unwrap_or(&mut []);
            match encode_reply(dialect, item, room) {
                Ok(bytes) => len = len.saturating_add(bytes),
                Err(end) => failure = Some(end),
            }
            failure.is_none() && BATCH_BYTES.saturating_sub(len) >= MAX_FRAME
        });
        popped.map_err(|Overflow| OVERFLOW)?;
        if let Some(end) = failure {
            return Err(end);
        }
        if len == 0 {
            return Ok(false);
        }
        let mut sent = 0;
        self.socket
            .send_all(batch.get(..len).unwrap_or(&[]), &mut sent, SendFlags::NONE)
            .map_err(|error| match error {
                // wire-protocol section 10: on the meta socket one timeout is enough.
                EAGAIN => End {
                    conn: Conn::Timeout,
                    why: "the peer took no acknowledgement in time",
                },
                _ => failed("sending on the meta socket failed"),
            })?;
        Ok(true)
    }
}

/// Puts the packet of `item` into `room`, which has [`MAX_FRAME`] bytes; returns its bytes.
#[inline]
fn encode_reply(dialect: Dialect, item: ReplyItem, room: &mut [u8]) -> Result<usize, End> {
    if let ReplyItem::Block {
        volume,
        command: command @ (Command::WriteAck | Command::RecvAck),
        ack,
    } = item
    {
        if let Some(place) = room.first_chunk_mut().filter(|_| dialect.has_volumes()) {
            *place = encode_ack(volume, command, &ack);
            return Ok(BLOCK_FRAME);
        }
    }
    if let ReplyItem::BarrierAck { number, set_size } = item {
        if let Some(place) = room.first_chunk_mut().filter(|_| dialect.has_volumes()) {
            *place = encode_barrier_ack(number, set_size);
            return Ok(BARRIER_FRAME);
        }
    }
    encode_other_reply(dialect, item, room)
}

#[inline(never)]
fn encode_other_reply(dialect: Dialect, item: ReplyItem, room: &mut [u8]) -> Result<usize, End> {
    let (volume, packet) = item
        .packet()
        .ok_or(failed("no such acknowledgement"))?;
    packet
        .encode_frame(dialect, volume, 0, room)
        .map_err(|_| failed("a packet that the peer's protocol does not have"))
}
