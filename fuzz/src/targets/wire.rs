// SPDX-License-Identifier: GPL-2.0-or-later
//! What a peer sends: headers, packets, bitmaps. What is accepted is encoded again and decodes to the same packet.
//!
//! An input says how far the connection is and which version was agreed on, and goes on with what is on the socket.

use drbd_core::wire::{
    dispatch, BitSink, BitSource, BitmapReceiver, BitmapSender, Command, ConnectionFeatures,
    Dialect, DpFlags, Features, Frame, Header, Packet, Progress, Stage, MAX_FIXED, MAX_FRAME,
};

use super::{number_at, Target};
use crate::mutate::mutate;
use crate::{seeds, Trace};

/// Version, features, stage, bits of the bitmap (two bytes).
const HEAD: usize = 5;
const BYTES_MAX: usize = 16 << 10;
/// Packets that are looked at; an input without payload could hold many.
const PACKETS_MAX: u32 = 512;

const STAGES: [Stage; 6] = [
    Stage::First,
    Stage::Features,
    Stage::AuthChallenge,
    Stage::AuthResponse,
    Stage::Data,
    Stage::Meta,
];

pub(super) const TARGET: Target = Target {
    name: "wire",
    about: "packets of protocol 86 to 101",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 4 << 20,
    seeds,
    words: || {
        Command::ALL
            .iter()
            .map(|command| {
                let mut word = vec![0x86, 0x20, 0xec, 0x20, 0, 0];
                word.extend(command.id().to_be_bytes());
                word
            })
            .collect()
    },
    change: |rng, input, others, words| mutate(rng, input, others, words, BYTES_MAX),
    run,
};

/// Beginnings of the captured streams, and one packet of each kind by itself.
fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for stream in seeds::streams() {
        let mut whole = vec![0, 0, 0, 0xf6, 7];
        whole.extend_from_slice(stream.get(..6000).unwrap_or(&stream));
        all.push(whole);
        for packet in packets_of_101(&stream) {
            if kinds.insert(packet[6..8].to_vec()) {
                for stage in [4, 5] {
                    let mut one = vec![101, 0xff, stage, 0xf6, 7];
                    one.extend_from_slice(packet.get(..6000).unwrap_or(packet));
                    all.push(one);
                }
            }
        }
    }
    assert!(kinds.len() > 20, "the captures have packets of many kinds");
    all
}

/// The packets with long headers, which follow the agreement on a version.
fn packets_of_101(stream: &[u8]) -> Vec<&[u8]> {
    const MAGIC: [u8; 4] = [0x86, 0x20, 0xec, 0x20];
    let mut at = stream
        .windows(4)
        .position(|window| window == MAGIC)
        .unwrap_or(stream.len());
    let mut packets = Vec::new();
    while let Some(length) = stream.get(at + 8..at + 12) {
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let Some(packet) = stream.get(at..at + 16 + length) else {
            break;
        };
        packets.push(packet);
        at += packet.len();
    }
    packets
}

/// How far the receiver is.
struct Receiver {
    dialect: Dialect,
    stage: Stage,
    /// Until the features are agreed on, stages follow from the packets.
    fresh: bool,
    bits: u64,
    bitmap: Option<(BitmapReceiver, Bits)>,
}

fn run(input: &[u8], trace: &mut Trace) {
    let [version, features, stage, low, high, ..] = number_at(input, 0).to_le_bytes();
    let features = Features::from_bits(u32::from(features));
    let agreed = Dialect::new(version, features);
    let mut receiver = Receiver {
        dialect: agreed.unwrap_or(Dialect::INITIAL),
        stage: agreed.map_or(Stage::First, |_| STAGES[usize::from(stage) % STAGES.len()]),
        fresh: agreed.is_none(),
        bits: u64::from(u16::from_le_bytes([low, high])),
        bitmap: None,
    };
    let mut rest = input.get(HEAD..).unwrap_or(&[]);
    for _ in 0..PACKETS_MAX {
        match receiver.packet(rest, trace) {
            Some(used) => rest = rest.get(used..).unwrap_or(&[]),
            None => return,
        }
    }
}

impl Receiver {
    /// Takes one packet; none at the end of the input or of the connection.
    fn packet(&mut self, bytes: &[u8], trace: &mut Trace) -> Option<usize> {
        let header_len = self.dialect.header_len();
        let head = bytes.get(..header_len)?;
        let header = match Header::decode(self.dialect, head) {
            Ok(header) => header,
            Err(error) => {
                let _ = error.reaction(self.stage);
                trace.note(std::mem::discriminant(&error));
                return None;
            }
        };
        if self.fresh {
            self.stage = expected(self.stage, header.command);
        }
        let frame = match dispatch(self.dialect, self.stage, &header) {
            Ok(frame) => frame,
            Err(error) => {
                let _ = (error.reaction(self.stage), error.to_string());
                trace.note((header.command, std::mem::discriminant(&error)));
                return None;
            }
        };
        assert!(frame.fixed_len <= MAX_FIXED, "{frame:?}");
        let fixed = bytes.get(header_len..header_len + frame.fixed_len)?;
        let packet = match Packet::decode(self.dialect, &frame, fixed) {
            Ok(packet) => packet,
            Err(error) => {
                let _ = (error.reaction(self.stage), error.to_string());
                trace.note((frame.command.id(), "fields", std::mem::discriminant(&error)));
                return None;
            }
        };
        trace.note((frame.command.id(), self.dialect.version(), "accepted"));
        self.encode_again(&packet, &header, &frame);
        let at = header_len + frame.fixed_len;
        let payload = bytes.get(at..)?;
        let payload = payload.get(..usize::try_from(frame.payload_len).ok()?)?;
        self.learn(&packet, &frame, payload, trace)?;
        Some(at + payload.len())
    }

    fn encode_again(&self, packet: &Packet, header: &Header, frame: &Frame) {
        let command = packet.command(self.dialect);
        if !self.dialect.may_send(command) {
            return;
        }
        let volume = if self.dialect.has_volumes() {
            header.volume
        } else {
            0
        };
        let mut buffer = [0xa5; MAX_FRAME];
        let written = packet.encode_frame(self.dialect, volume, frame.payload_len, &mut buffer);
        let written = written.unwrap_or_else(|error| panic!("{packet:?}: {error}"));
        let header_len = self.dialect.header_len();
        let head = Header::decode(self.dialect, &buffer[..header_len]);
        let head = head.unwrap_or_else(|error| panic!("header of {packet:?}: {error}"));
        let again = dispatch(self.dialect, self.stage, &head);
        let again = again.unwrap_or_else(|error| panic!("frame of {packet:?}: {error}"));
        let decoded = Packet::decode(self.dialect, &again, &buffer[header_len..written]);
        assert_eq!(decoded.as_ref(), Ok(packet));
    }

    /// Goes on after a packet; none when the connection would end.
    fn learn(
        &mut self,
        packet: &Packet,
        frame: &Frame,
        payload: &[u8],
        trace: &mut Trace,
    ) -> Option<()> {
        match packet {
            Packet::ConnectionFeatures(peer) if self.fresh => {
                let own = ConnectionFeatures::own(Features::ALL);
                let agreed = Dialect::negotiate(&own, peer);
                trace.note(("agreed", agreed.as_ref().is_ok()));
                self.dialect = agreed.ok()?;
                self.stage = Stage::Data;
            }
            Packet::Data(data) | Packet::DataReply(data) | Packet::RsDataReply(data) => {
                trace.note(("data", frame.data_len(0, data.flags).is_ok()));
                let _ = frame.data_len(20, DpFlags::NONE);
            }
            Packet::OvReply(_) | Packet::CsumRsRequest(_) => {
                trace.note(("digest", frame.check_digest(16).is_ok()));
            }
            Packet::Bitmap | Packet::CompressedBitmap => {
                return self.bitmap(frame.command, payload, trace);
            }
            _ => {}
        }
        Some(())
    }

    fn bitmap(&mut self, command: Command, payload: &[u8], trace: &mut Trace) -> Option<()> {
        let (mut receiver, mut bits) = self.bitmap.take().unwrap_or_else(|| {
            let count = usize::try_from(self.bits).unwrap_or(0);
            let bits = Bits(vec![false; count]);
            (BitmapReceiver::new(self.dialect, self.bits), bits)
        });
        match receiver.receive(command, payload, &mut bits) {
            Ok(Progress::More) => self.bitmap = Some((receiver, bits)),
            Ok(Progress::Done) => {
                trace.note("a whole bitmap");
                send_again(self.dialect, &bits);
            }
            Err(error) => {
                trace.note((command.id(), "bitmap", std::mem::discriminant(&error)));
                return None;
            }
        }
        Some(())
    }
}

/// The stage that a packet of a fresh connection can be due at.
fn expected(stage: Stage, command: u16) -> Stage {
    match (stage, Command::from_id(command)) {
        (Stage::First, Some(Command::ConnectionFeatures)) => Stage::Features,
        (Stage::Data | Stage::AuthChallenge, Some(Command::AuthChallenge)) => Stage::AuthChallenge,
        (Stage::AuthChallenge, Some(Command::AuthResponse)) => Stage::AuthResponse,
        (Stage::AuthChallenge | Stage::AuthResponse, _) => Stage::Data,
        (stage, _) => stage,
    }
}

/// A received bitmap is sent and received again without loss, in both forms.
fn send_again(dialect: Dialect, bits: &Bits) {
    let count = u64::try_from(bits.0.len()).unwrap_or(0);
    for compressed in [false, dialect.has_compressed_bitmap()] {
        let mut sender = BitmapSender::new(dialect, count, compressed);
        let mut receiver = BitmapReceiver::new(dialect, count);
        let mut again = Bits(vec![false; bits.0.len()]);
        let mut body = [0; 4096];
        let mut last = Progress::More;
        while let Some(chunk) = sender
            .next_chunk(bits, &mut body)
            .unwrap_or_else(|error| panic!("cannot send: {error}"))
        {
            last = receiver
                .receive(chunk.command, &body[..chunk.len], &mut again)
                .unwrap_or_else(|error| panic!("sends what it refuses: {error}"));
        }
        assert_eq!(last, Progress::Done);
        assert!(again.0 == bits.0, "the bitmap arrived changed");
    }
}

struct Bits(Vec<bool>);

impl BitSink for Bits {
    fn set_range(&mut self, start: u64, len: u64) {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.0[start..start + len].fill(true);
    }
}

impl BitSource for Bits {
    fn next_set(&self, from: u64) -> Option<u64> {
        self.next(from, true)
    }

    fn next_clear(&self, from: u64) -> Option<u64> {
        self.next(from, false)
    }

    fn word(&self, index: u64) -> u64 {
        let first = usize::try_from(index).unwrap_or(0) * 64;
        (0..64)
            .filter(|bit| self.0.get(first + bit) == Some(&true))
            .fold(0, |word, bit| word | 1 << bit)
    }
}

impl Bits {
    fn next(&self, from: u64, wanted: bool) -> Option<u64> {
        let from = usize::try_from(from).ok()?;
        let at = self.0.get(from..)?.iter().position(|bit| *bit == wanted)?;
        u64::try_from(from + at).ok()
    }
}
