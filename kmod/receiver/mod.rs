// SPDX-License-Identifier: GPL-2.0-or-later
//! The data receiver of an established connection.
//!
//! It blocks in three places only, each ended by the connection's end: for the next bytes, for the
//! peer's writes to reach our disk at a barrier, and while all bits of a bitmap are set.

use crate::{
    ahead::Ahead,
    connection::Connection,
    crypto::{Digest, Digester, Integrity},
    device::Device,
    device_cache::DeviceCache,
    mem::KMem,
    os::{
        kthread::Ctl,
        lock::Arc,
        pages::Payload,
        recv::{RecvError, RecvWait},
        socket::Socket,
        timer::now_ms,
    },
    parting,
};
use drbd_core::{
    engine::{
        agreement::agree,
        reply_queue::ReplyItem,
        volume::{End, PeerReadKind, Volume},
    },
    state::{Conn, Request, Ss},
    wire::{
        block::BlockData,
        block_frame::{decode_barrier, decode_data, is_data, BARRIER_FRAME, BLOCK_FRAME},
        command::Command,
        dialect::Dialect,
        dispatch,
        error::WireError,
        handshake::Protocol,
        header::Header,
        packet::Packet,
        Frame, Stage, MAX_FRAME,
    },
};
use kernel::prelude::*;

mod barrier;
mod blocks;
mod digests;
mod writes;

fn protocol_error(why: &'static str) -> End {
    End {
        conn: Conn::ProtocolError,
        why,
    }
}

/// Receives until the connection ends; the result says why. Context: the connection's thread.
pub(crate) fn run(
    connection: &Connection,
    socket: &Socket,
    dialect: Dialect,
    ctl: &Ctl,
) -> Result<(), End> {
    let mut receiver = Receiver {
        connection,
        socket,
        dialect,
        devices: DeviceCache::default(),
        ahead: Ahead::new(),
        ahead_most: dialect.header_len().saturating_add(BLOCK_BYTES),
        body: KVec::from_elem(0u8, 4096, GFP_KERNEL)
            .map_err(|_| protocol_error("out of memory"))?,
        integrity: Integrity::default(),
        ctl,
        digester: Digester::default(),
        max_buffers: 0,
        two_primaries: false,
        conf_version: None,
    };
    loop {
        if !connection.is_ending() {
            receiver.packet()?;
            continue;
        }
        match connection.ending() {
            // A peer that refuses this node hangs up: what it said before says why.
            Some(end) if end.conn == Conn::Disconnecting || !connection.in_handshake() => {
                return Err(end);
            }
            Some(_) | None => receiver.packet()?,
        }
    }
}

struct Receiver<'a> {
    connection: &'a Connection,
    socket: &'a Socket,
    dialect: Dialect,
    devices: DeviceCache,
    /// What came together with a header: at most the structure of a packet with block data, so
    /// that the data itself is received where it belongs.
    ahead: Ahead<BLOCK_FRAME>,
    ahead_most: usize,
    /// For packets of the bitmap.
    body: KVec<u8>,
    /// data-integrity-alg as the peer last told it.
    integrity: Integrity,
    ctl: &'a Ctl,
    digester: Digester,
    /// Options max-buffers and allow-two-primaries, and the version that they are from.
    max_buffers: u32,
    two_primaries: bool,
    conf_version: Option<u32>,
}

/// The structure of a packet with block data.
const BLOCK_BYTES: usize = 24;

/// How long at most a packet waits for memory that earlier ones use.
const BUFFERS_WAIT_MS: u32 = 100;

impl Receiver<'_> {
    /// Receives `room`, whose start may be there already.
    fn bytes(&mut self, room: &mut [u8]) -> Result<(), End> {
        let mut got = self.ahead.take(room);
        if got >= room.len() {
            return Ok(());
        }
        match self.socket.recv_exact(room, &mut got, RecvWait::Forever) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lost(error)),
        }
    }

    #[inline(never)]
    fn lost(&self, error: RecvError) -> End {
        let why = match error {
            RecvError::Closed => "the peer closed the connection",
            RecvError::TimedOut | RecvError::Interrupted | RecvError::Failed(_) => {
                "receiving on the data socket failed"
            }
        };
        self.connection.ending().unwrap_or(End {
            conn: Conn::BrokenPipe,
            why,
        })
    }

    /// Receives until a header is there, and of a P_DATA what follows it too: behind a barrier half
    /// of it may have come.
    #[inline]
    fn look_ahead(&mut self) -> Result<(), End> {
        if self.ahead.len() == 0 {
            let room = self.ahead.room(self.ahead_most);
            match self.socket.recv_some(room, RecvWait::Forever) {
                Ok(more) => self.ahead.came(more),
                Err(error) => return Err(self.lost(error)),
            }
            if self.ahead.len() == BLOCK_FRAME {
                return Ok(());
            }
        }
        self.look_further_ahead()
    }

    #[inline(never)]
    fn look_further_ahead(&mut self) -> Result<(), End> {
        let mut least = self.dialect.header_len();
        loop {
            if self.ahead.len() >= least {
                if least == BLOCK_FRAME || !is_data(self.ahead.all()) {
                    return Ok(());
                }
                least = BLOCK_FRAME;
                continue;
            }
            let room = self.ahead.room(self.ahead_most);
            match self.socket.recv_some(room, RecvWait::Forever) {
                Ok(more) => self.ahead.came(more),
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    #[inline]
    fn packet(&mut self) -> Result<(), End> {
        self.look_ahead()?;
        // Two lengths of header: the short way knows one.
        match decode_data(self.ahead.all()) {
            Some((frame, data)) => self.data_packet(&frame, &data),
            None => match decode_barrier(self.ahead.all()) {
                Some(number) => {
                    self.ahead.drop_front(BARRIER_FRAME);
                    let _ = self.connection.liveness.note_received();
                    self.barrier(number)
                }
                None => self.other_packet(),
            },
        }
    }

    /// P_DATA, which is most of what comes.
    fn data_packet(&mut self, frame: &Frame, data: &BlockData) -> Result<(), End> {
        self.ahead.drop_front(BLOCK_FRAME);
        let now = self.connection.liveness.note_received();
        let device = self
            .devices
            .take(self.connection, frame.volume.unwrap_or(0))
            .ok_or(protocol_error(
                "a packet for a volume that is not configured here",
            ))?;
        let result = self.data(&device, frame, data, now);
        self.devices.put(device);
        result
    }

    #[inline(never)]
    fn other_packet(&mut self) -> Result<(), End> {
        let mut bytes = [0u8; MAX_FRAME];
        let header_len = self.dialect.header_len();
        let (head, rest) = bytes
            .split_at_mut_checked(header_len)
            .ok_or(protocol_error("an oversized header"))?;
        self.bytes(head)?;
        let header = Header::decode(self.dialect, head)
            .map_err(|_| protocol_error("bad magic on the data socket"))?;
        let frame = dispatch(self.dialect, Stage::Data, &header).map_err(|error| {
            protocol_error(match error {
                WireError::Unexpected {
                    command: Command::AuthChallenge,
                } => {
                    "the peer asks for authentication: set cram-hmac-alg and shared-secret here too"
                }
                _ => "a packet that does not belong on the data socket",
            })
        })?;
        let fixed = rest
            .get_mut(..frame.fixed_len)
            .ok_or(protocol_error("an oversized packet"))?;
        self.bytes(fixed)?;
        let packet = Packet::decode(self.dialect, &frame, fixed)
            .map_err(|_| protocol_error("a malformed packet on the data socket"))?;
        let _ = self.connection.liveness.note_received();
        match frame.volume {
            None => self.connection_packet(&frame, packet),
            Some(volume) => match self.device(volume) {
                Some(device) => self.volume_packet(&device, &frame, packet),
                None => self.unknown_volume(&frame, packet),
            },
        }
    }

    fn device(&mut self, volume: u16) -> Option<Arc<Device>> {
        self.devices.find(self.connection, volume)
    }

    /// The peer has volumes that are not configured here: what only describes them is skipped, and it may do with their
    /// disks what it likes.
    fn unknown_volume(&mut self, frame: &Frame, packet: Packet) -> Result<(), End> {
        match packet {
            _ if frame.command.tolerates_unknown_volume() => self.drain(frame.payload_len),
            Packet::StateChgReq(request) if !request.touches_role() => {
                self.connection.queues.push_reply(ReplyItem::StateReply {
                    volume: frame.volume.unwrap_or(0),
                    connection: false,
                    code: Ss::Success.number(),
                });
                Ok(())
            }
            _ => Err(protocol_error(
                "a packet for a volume that is not configured here",
            )),
        }
    }

    fn drain(&mut self, len: u32) -> Result<(), End> {
        let there = self.ahead.len().min(len as usize);
        self.ahead.drop_front(there);
        let left = (len as usize).saturating_sub(there);
        if left == 0 {
            return Ok(());
        }
        self.socket
            .recv_discard(left, RecvWait::Forever)
            .map_err(|error| self.lost(error))
    }

    fn connection_packet(&mut self, frame: &Frame, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::Protocol(peer) => {
                self.drain(0)?;
                self.agree(&peer)?;
                self.adopt_integrity(&peer)
            }
            Packet::ProtocolUpdate(peer) => {
                self.adopt_integrity(&peer)?;
                crate::options::adopt(self.connection, &peer);
                Ok(())
            }
            Packet::Barrier(barrier) => self.barrier(barrier.number),
            Packet::ConnStChgReq(request) => {
                self.peer_disconnects(request);
                Ok(())
            }
            Packet::DelayProbe(_) => self.drain(frame.payload_len),
            _ => Err(protocol_error("an unexpected packet of the connection")),
        }
    }

    fn agree(&self, peer: &Protocol) -> Result<(), End> {
        let (discard, dry_run) = self.connection.one_shot();
        let own = crate::connect::own_protocol(&self.connection.net(), discard, dry_run);
        agree(&own, peer).map_err(|mismatch| {
            pr_err!("incompatible {} settings\n", mismatch.name());
            End {
                conn: Conn::Disconnecting,
                why: "the peer is configured differently: make the net options equal",
            }
        })
    }

    /// What the peer sends from here on has digests of its algorithm.
    fn adopt_integrity(&mut self, peer: &Protocol) -> Result<(), End> {
        self.integrity.set(&peer.integrity_alg).map_err(|_| End {
            conn: Conn::Disconnecting,
            why: "the kernel does not have the peer's data-integrity-alg",
        })
    }

    /// Receives the digest before block data; empty without data-integrity-alg.
    fn peers_digest(&mut self) -> Result<Digest, End> {
        let mut digest = Digest::zeroes(self.integrity.len() as usize);
        if self.integrity.is_on() {
            self.bytes(digest.bytes_mut())?;
        }
        self.at_payload()?;
        Ok(digest)
    }

    /// Block data is received where it belongs, past what was looked ahead at: nothing may be left
    /// of that.
    fn at_payload(&self) -> Result<(), End> {
        if self.ahead.len() == 0 {
            Ok(())
        } else {
            Err(protocol_error("block data behind a short structure"))
        }
    }

    /// Compares it with the digest of what was received.
    fn check(
        &mut self,
        peers: &Digest,
        digest: impl FnOnce(&mut Integrity) -> Result<Digest>,
    ) -> Result<(), End> {
        if !self.integrity.is_on() {
            return Ok(());
        }
        let own = digest(&mut self.integrity)
            .map_err(|_| protocol_error("the peer's data-integrity-alg does not work"))?;
        if own == *peers {
            Ok(())
        } else {
            Err(protocol_error(
                "data-integrity-alg: the data was changed on its way",
            ))
        }
    }

    /// The peer asks to end the connection.
    fn peer_disconnects(&self, request: Request) {
        let devices = self.connection.devices();
        // All or none: a refusal of one volume must not leave the others torn down.
        let mut code = devices
            .iter()
            .map(|device| device.peek(|volume| volume.would_answer(request, true)))
            .find(|answer| !answer.is_success())
            .unwrap_or(Ss::Success);
        if code.is_success() {
            for device in devices.iter() {
                let answer = device
                    .with(|inner, link, now| inner.volume.judge_peer(request, true, link, now));
                if !answer.is_success() {
                    code = answer;
                }
            }
        }
        self.connection.queues.push_reply(ReplyItem::StateReply {
            volume: 0,
            connection: true,
            code: code.number(),
        });
    }

    fn volume_packet(
        &mut self,
        device: &Arc<Device>,
        frame: &Frame,
        packet: Packet,
    ) -> Result<(), End> {
        self.wait_for(device, |volume| !volume.receiver_waits())?;
        match packet {
            Packet::Data(data) => self.data(device, frame, &data, now_ms()),
            Packet::Trim(_) | Packet::Zeroes(_) => self.range(device, &packet),
            Packet::DataReply(data) => self.read_reply(device, frame, data.block_id.0, data.sector),
            Packet::RsDataReply(data) => self.resync_reply(device, frame, data.sector),
            Packet::RsDeallocated(desc) => self.resync_zeroes(device, &desc),
            Packet::DataRequest(request) => self.read(device, PeerReadKind::Data, &request, None),
            Packet::RsDataRequest(request) => {
                self.read(device, PeerReadKind::Resync, &request, None)
            }
            Packet::CsumRsRequest(request) => self.checksum_request(device, frame, &request),
            Packet::OvRequest(request) => self.read(device, PeerReadKind::Verify, &request, None),
            Packet::OvReply(request) => self.verify_reply(device, frame, &request),
            Packet::RsThinReq(request) => {
                self.read(device, PeerReadKind::ThinResync, &request, None)
            }
            Packet::Bitmap | Packet::CompressedBitmap => self.bitmap(device, frame),
            packet => {
                self.drain(frame.payload_len)?;
                crate::resize::look_at_devices(device, &packet);
                let result =
                    device.with(|inner, link, now| inner.volume.data_packet(&packet, link, now));
                if let Packet::SyncParam(param) = &packet {
                    self.follow_digests(param, result.is_ok())?;
                }
                if matches!(packet, Packet::State(_)) {
                    parting::tell_meeting(self.connection, device);
                }
                self.connection.changed.wake_all();
                result
            }
        }
    }

    /// Waits for something that the metadata thread brings about. `Err`: the connection ends.
    fn wait_for(&self, device: &Device, done: impl Fn(&Volume<KMem>) -> bool) -> Result<(), End> {
        if device.peek(&done) {
            return Ok(());
        }
        let _ = device.changed.wait_until(Some(self.ctl), None, || {
            device.peek(&done) || self.connection.ending().is_some()
        });
        self.connection.ending().map_or(Ok(()), Err)
    }

    /// Receives `len` bytes of block data, and the digest before them, which has to fit.
    #[inline]
    fn checked_payload(&mut self, device: &Device, len: u32) -> Result<Option<Payload>, End> {
        if !self.integrity.is_on() && len > 0 {
            self.at_payload()?;
            return self.payload(device, len).map(Some);
        }
        self.payload_with_digest(device, len)
    }

    #[inline(never)]
    fn payload_with_digest(&mut self, device: &Device, len: u32) -> Result<Option<Payload>, End> {
        let digest = self.peers_digest()?;
        let payload = if len == 0 {
            None
        } else {
            Some(self.payload(device, len)?)
        };
        self.check(&digest, |integrity| integrity.of_payload(payload.as_ref()))?;
        Ok(payload)
    }

    /// Looks at the options if they changed.
    #[inline]
    fn read_options(&mut self) {
        let version = self.connection.conf_version();
        if self.conf_version != Some(version) {
            self.read_options_now(version);
        }
    }

    #[inline(never)]
    fn read_options_now(&mut self, version: u32) {
        let net = self.connection.net();
        self.conf_version = Some(version);
        self.max_buffers = net.max_buffers;
        self.two_primaries = net.two_primaries;
    }

    /// The peer's writes and reads hold max-buffers pages: the disk is given some time to catch up.
    /// Not more, since two congested nodes would wait for each other (replication-semantics 6.4).
    #[inline]
    fn spare_memory(&mut self, device: &Device) {
        self.read_options();
        if device.pool.in_use_pages() >= self.max_buffers {
            self.wait_for_memory(device, self.max_buffers);
        }
    }

    #[inline(never)]
    fn wait_for_memory(&self, device: &Device, limit: u32) {
        let _ = device
            .changed
            .wait_until(Some(self.ctl), Some(BUFFERS_WAIT_MS), || {
                device.pool.in_use_pages() < limit || self.connection.ending().is_some()
            });
    }

    #[inline]
    fn payload(&mut self, device: &Device, len: u32) -> Result<Payload, End> {
        self.spare_memory(device);
        let mut payload = device
            .pool
            .alloc(len as usize)
            .map_err(|_| protocol_error("a payload of impossible size"))?;
        let mut got = 0;
        self.socket
            .recv_payload(&mut payload, &mut got, RecvWait::Forever)
            .map_err(|error| self.lost(error))?;
        Ok(payload)
    }

    fn bitmap(&mut self, device: &Device, frame: &Frame) -> Result<(), End> {
        let command = frame.command;
        let len = frame.payload_len as usize;
        // The peer may have decided on a resync that is decided here only with its P_STATE.
        device.with(|inner, _, _| inner.volume.bitmap_packet_comes(command, len))?;
        let mut body = core::mem::take(&mut self.body);
        let received = match body.get_mut(..len) {
            Some(room) => self.bytes(room),
            None => Err(protocol_error("an oversized piece of bitmap")),
        };
        let result = received.and_then(|()| {
            device.with(|inner, link, now| {
                let bytes = body.get(..len).unwrap_or(&[]);
                inner
                    .volume
                    .bitmap_packet(command, bytes, link, now)
            })
        });
        self.body = body;
        result
    }
}
