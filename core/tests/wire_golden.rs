// SPDX-License-Identifier: GPL-2.0-or-later
//! Every packet the stock driver sent in the captures decodes, and encodes to the same bytes.

#[path = "wire_support/capture.rs"]
mod capture;

use std::collections::{BTreeMap, HashMap};

use capture::{Event, Flow};
use drbd_core::state::State;
use drbd_core::wire::*;

/// Bits of the bitmap of each resource in the captures: 16304 sectors.
const BITMAP_BITS: u64 = 2038;

/// Bytes that the stock driver does not initialise, by structure: offset behind the header, and length.
fn garbage_pad(command: Command) -> Option<std::ops::Range<usize>> {
    match command {
        Command::DataRequest
        | Command::RsDataRequest
        | Command::OvRequest
        | Command::OvReply
        | Command::CsumRsRequest
        | Command::RsThinReq => Some(20..24),
        Command::OutOfSync | Command::RsDeallocated => Some(12..16),
        _ => None,
    }
}

/// A bitmap on its way, and its packets so far.
type Transfer = (BitmapReceiver, Bits, Vec<(Command, Vec<u8>)>);

/// One direction of a connection.
struct Direction {
    pending: Vec<u8>,
    /// Set by the sender's own features and the peer's.
    dialect: Dialect,
    digest_len: u32,
    bitmap: Option<Transfer>,
}

impl Direction {
    fn new() -> Self {
        Self {
            pending: Vec::new(),
            dialect: Dialect::INITIAL,
            digest_len: 0,
            bitmap: None,
        }
    }
}

#[derive(Clone, Default)]
struct Bits(Vec<bool>);

impl BitSink for Bits {
    fn set_range(&mut self, start: u64, len: u64) {
        self.0[start as usize..(start + len) as usize].fill(true);
    }
}

impl BitSource for Bits {
    fn next_set(&self, from: u64) -> Option<u64> {
        (from..BITMAP_BITS).find(|bit| self.0[*bit as usize])
    }

    fn next_clear(&self, from: u64) -> Option<u64> {
        (from..BITMAP_BITS).find(|bit| !self.0[*bit as usize])
    }

    fn word(&self, index: u64) -> u64 {
        (0..64)
            .filter(|bit| self.0.get((index * 64 + bit) as usize) == Some(&true))
            .map(|bit| 1 << bit)
            .sum()
    }
}

/// Two nodes whose connections are followed through a capture.
#[derive(Default)]
struct Listener {
    directions: HashMap<Flow, Direction>,
    /// By the flow from connector to listener and back.
    sockets: HashMap<Flow, Socket>,
    features: HashMap<Flow, ConnectionFeatures>,
    counts: BTreeMap<&'static str, u32>,
    bitmaps: usize,
}

impl Listener {
    fn hear(name: &str) -> Self {
        let mut listener = Self::default();
        for event in capture::events(name) {
            match event {
                Event::Open(flow) => {
                    listener.forget(flow);
                    listener.directions.insert(flow, Direction::new());
                }
                Event::Bytes(flow, bytes) => listener.bytes(flow, &bytes),
            }
        }
        for (flow, direction) in &listener.directions {
            assert!(
                direction.pending.is_empty(),
                "{flow:?} ends within a packet"
            );
            assert!(direction.bitmap.is_none(), "{flow:?} ends within a bitmap");
        }
        listener
    }

    fn forget(&mut self, flow: Flow) {
        self.features.remove(&flow);
        self.sockets.remove(&flow);
    }

    fn bytes(&mut self, flow: Flow, bytes: &[u8]) {
        let mut pending = std::mem::take(&mut self.directions.get_mut(&flow).unwrap().pending);
        pending.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(length) = self.packet(flow, &pending[used..]) {
            used += length;
        }
        self.directions.get_mut(&flow).unwrap().pending = pending.split_off(used);
    }

    /// Handles the packet at the start of `bytes`; none if it is not complete.
    fn packet(&mut self, flow: Flow, bytes: &[u8]) -> Option<usize> {
        let socket = self.sockets.get(&flow).copied();
        let dialect = self.dialect(flow, socket);
        let header_len = dialect.header_len();
        let head = bytes.get(..header_len)?;
        let header = Header::decode(dialect, head)
            .unwrap_or_else(|error| panic!("{flow:?} {head:x?}: {error}"));
        let end = header_len + header.length as usize;
        let body = bytes.get(header_len..end)?;

        let stage = stage(socket, header.command);
        let frame =
            dispatch(dialect, stage, &header).unwrap_or_else(|error| panic!("{flow:?}: {error}"));
        let command = frame.command;
        let (fixed, payload) = body.split_at(frame.fixed_len);
        assert_eq!(payload.len(), frame.payload_len as usize);
        let packet = Packet::decode(dialect, &frame, fixed)
            .unwrap_or_else(|error| panic!("{command:?} {fixed:x?}: {error}"));

        let mut expected = bytes[..header_len + frame.fixed_len].to_vec();
        if let Some(pad) = garbage_pad(command) {
            expected[header_len..][pad].fill(0);
        }
        let mut encoded = [0xa5; MAX_FRAME];
        let written = packet
            .encode_frame(dialect, header.volume, frame.payload_len, &mut encoded)
            .unwrap();
        assert_eq!(encoded[..written], expected, "{packet:?}");

        *self.counts.entry(command.log_name()).or_default() += 1;
        self.learn(flow, &frame, &packet, payload);
        Some(end)
    }

    /// The dialect of the next packet of this direction.
    fn dialect(&self, flow: Flow, socket: Option<Socket>) -> Dialect {
        match socket {
            Some(Socket::Data) => self.directions[&flow].dialect,
            // The meta socket speaks what the data socket beside it agreed on; in the captures it is always this.
            Some(Socket::Meta) => Dialect::new(101, Features::ALL).unwrap(),
            None => Dialect::INITIAL,
        }
    }

    fn learn(&mut self, flow: Flow, frame: &Frame, packet: &Packet, payload: &[u8]) {
        let back = (flow.1, flow.0);
        let direction = self.directions.get_mut(&flow).unwrap();
        match packet {
            Packet::InitialData | Packet::InitialMeta => {
                self.sockets
                    .extend([flow, back].map(|flow| (flow, frame.command.socket())));
            }
            Packet::ConnectionFeatures(own) => {
                self.features.insert(flow, *own);
                if let Some(peer) = self.features.get(&back) {
                    let agreed = Dialect::negotiate(own, peer).unwrap();
                    assert_eq!((agreed.version(), agreed.features()), (101, Features::ALL));
                    for flow in [flow, back] {
                        self.directions.get_mut(&flow).unwrap().dialect = agreed;
                    }
                }
            }
            Packet::Protocol(protocol) | Packet::ProtocolUpdate(protocol) => {
                direction.digest_len = match protocol.integrity_alg.as_str() {
                    "" => 0,
                    "sha1" => 20,
                    other => panic!("{other} is in no capture"),
                };
            }
            Packet::Data(data) | Packet::DataReply(data) | Packet::RsDataReply(data) => {
                frame.data_len(direction.digest_len, data.flags).unwrap();
            }
            Packet::OvReply(_) | Packet::CsumRsRequest(_) => {
                // md5 everywhere.
                frame.check_digest(16).unwrap();
            }
            Packet::State(state) => {
                assert_eq!(State::from_word(state.to_word()).as_ref(), Some(state))
            }
            Packet::Bitmap | Packet::CompressedBitmap => self.bitmap(flow, frame.command, payload),
            _ => {}
        }
    }

    /// Receives a bitmap packet; at the end of the transfer sends the bitmap again and compares the packets.
    fn bitmap(&mut self, flow: Flow, command: Command, payload: &[u8]) {
        let direction = self.directions.get_mut(&flow).unwrap();
        let dialect = direction.dialect;
        let (mut receiver, mut bits, mut packets) = direction.bitmap.take().unwrap_or_else(|| {
            (
                BitmapReceiver::new(dialect, BITMAP_BITS),
                Bits(vec![false; BITMAP_BITS as usize]),
                Vec::new(),
            )
        });
        packets.push((command, payload.to_vec()));
        match receiver.receive(command, payload, &mut bits).unwrap() {
            Progress::More => direction.bitmap = Some((receiver, bits, packets)),
            Progress::Done => {
                let compressed = packets[0].0 == Command::CompressedBitmap;
                let mut sender = BitmapSender::new(dialect, BITMAP_BITS, compressed);
                let mut body = [0; 4096];
                let mut again = Vec::new();
                while let Some(chunk) = sender.next_chunk(&bits, &mut body).unwrap() {
                    again.push((chunk.command, body[..chunk.len].to_vec()));
                }
                assert_eq!(again, packets);
                self.bitmaps += 1;
            }
        }
    }

    fn counts(&self) -> String {
        let counts: Vec<_> = self
            .counts
            .iter()
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        counts.join(" ")
    }
}

/// The stage at which a packet is due: authentication is told by the packet, the rest by the socket.
fn stage(socket: Option<Socket>, id: u16) -> Stage {
    match (socket, Command::from_id(id)) {
        (None, _) => Stage::First,
        (Some(Socket::Data), Some(Command::ConnectionFeatures)) => Stage::Features,
        (Some(Socket::Data), Some(Command::AuthChallenge)) => Stage::AuthChallenge,
        (Some(Socket::Data), Some(Command::AuthResponse)) => Stage::AuthResponse,
        (Some(Socket::Data), _) => Stage::Data,
        (Some(Socket::Meta), _) => Stage::Meta,
    }
}

#[test]
fn connect_auth_sync_discard_verify_detach() {
    let heard = Listener::hear("connect-auth-sync-discard-verify-detach");
    assert_eq!(
        heard.counts(),
        "AuthChallenge=4 AuthResponse=4 Barrier=5 BarrierAck=5 CBitmap=4 \
         ConnectionFeatures=4 CsumRSIsInSync=184 CsumRSRequest=186 Data=4 InitialData=2 \
         InitialMeta=2 OVReply=2038 OVRequest=2038 OVResult=2038 Ping=8 PingAck=8 \
         RSDataReply=2 RSWriteAck=2 ReportProtocol=4 ReportSizes=4 ReportState=15 \
         ReportSyncUUID=2 ReportUUIDs=8 StateChgReply=3 StateChgRequest=3 SyncParam89=4 \
         Trim=1 UnplugRemote=5 WriteAck=5 conn_st_chg_reply=1 conn_st_chg_req=1"
    );
    assert_eq!(heard.bitmaps, 4);
}

#[test]
fn fencing() {
    let heard = Listener::hear("fencing");
    assert_eq!(
        heard.counts(),
        "Barrier=2 BarrierAck=2 CBitmap=4 ConnectionFeatures=6 Data=2 InitialData=3 \
         InitialMeta=3 Ping=9 PingAck=9 RSDataReply=186 RSDataRequest=186 RSWriteAck=186 \
         ReportProtocol=6 ReportSizes=6 ReportState=16 ReportSyncUUID=2 ReportUUIDs=9 \
         StateChgReply=1 StateChgRequest=1 SyncParam89=6 WriteAck=2 conn_st_chg_reply=2 \
         conn_st_chg_req=2"
    );
    assert_eq!(heard.bitmaps, 4);
}

#[test]
fn integrity_and_zeroes() {
    let heard = Listener::hear("integrity-and-zeroes");
    assert_eq!(
        heard.counts(),
        "Barrier=4 BarrierAck=4 CBitmap=4 ConnectionFeatures=4 Data=3 InitialData=2 \
         InitialMeta=2 Ping=7 PingAck=7 RSDataReply=228 RSDataRequest=228 RSWriteAck=228 \
         ReportProtocol=4 ReportSizes=4 ReportState=12 ReportSyncUUID=2 ReportUUIDs=6 \
         StateChgReply=1 StateChgRequest=1 SyncParam89=4 Trim=1 UnplugRemote=5 WriteAck=4 \
         Zeroes=1"
    );
    assert_eq!(heard.bitmaps, 4);
}

#[test]
fn protocols_split_brain_mismatch() {
    let heard = Listener::hear("protocols-split-brain-mismatch");
    assert_eq!(
        heard.counts(),
        "AuthChallenge=1 Barrier=4 BarrierAck=4 CBitmap=2 ConnectionFeatures=10 Data=4 \
         InitialData=5 InitialMeta=5 Ping=9 PingAck=9 RSDataReply=386 RSDataRequest=386 \
         RSWriteAck=386 RecvAck=2 ReportBitMap=4 ReportProtocol=9 ReportSizes=9 \
         ReportState=20 ReportSyncUUID=3 ReportUUIDs=13 StateChgReply=2 StateChgRequest=2 \
         SyncParam89=10 UnplugRemote=1 conn_st_chg_reply=2 conn_st_chg_req=2 \
         protocol_update=1"
    );
    assert_eq!(heard.bitmaps, 4);
}

#[test]
fn two_primaries_conflicts() {
    let heard = Listener::hear("two-primaries-conflicts");
    assert_eq!(
        heard.counts(),
        "Barrier=546 BarrierAck=294 CBitmap=2 ConnectionFeatures=2 Data=546 InitialData=1 \
         InitialMeta=1 Ping=6 PingAck=6 RSDataReply=183 RSDataRequest=183 RSWriteAck=183 \
         ReportProtocol=2 ReportSizes=2 ReportState=8 ReportSyncUUID=1 ReportUUIDs=4 \
         StateChgReply=2 StateChgRequest=2 Superseded=189 SyncParam89=2 UnplugRemote=2 \
         WriteAck=294 retry_write=63"
    );
    assert_eq!(heard.bitmaps, 2);
}
