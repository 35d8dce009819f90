// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole transfers against a naive bitmap, and each refusal.

extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::wire::{Command, Dialect, Features, WireError};

/// One bool per bit.
#[derive(Clone, Debug, PartialEq)]
struct Naive(Vec<bool>);

impl Naive {
    fn runs(runs: &[(bool, usize)]) -> Self {
        Self(
            runs.iter()
                .flat_map(|(set, len)| std::iter::repeat_n(*set, *len))
                .collect(),
        )
    }

    fn bits(&self) -> u64 {
        self.0.len() as u64
    }

    fn find(&self, from: u64, wanted: bool) -> Option<u64> {
        (from..self.bits()).find(|bit| self.0[*bit as usize] == wanted)
    }
}

impl BitSource for Naive {
    fn next_set(&self, from: u64) -> Option<u64> {
        self.find(from, true)
    }

    fn next_clear(&self, from: u64) -> Option<u64> {
        self.find(from, false)
    }

    fn word(&self, index: u64) -> u64 {
        // Bits beyond the end are set, to see that nobody uses them.
        (0..64)
            .filter(|bit| *self.0.get((index * 64 + bit) as usize).unwrap_or(&true))
            .map(|bit| 1 << bit)
            .sum()
    }
}

impl BitSink for Naive {
    fn set_range(&mut self, start: u64, len: u64) {
        assert!(len > 0);
        for bit in start..start + len {
            self.0[bit as usize] = true;
        }
    }
}

type Packets = Vec<(Command, Vec<u8>)>;

fn dialect(version: u8) -> Dialect {
    Dialect::new(version, Features::ALL).unwrap()
}

fn send(version: u8, bitmap: &Naive, use_rle: bool) -> Packets {
    let mut sender = BitmapSender::new(dialect(version), bitmap.bits(), use_rle);
    let mut body = [0xcc; 4096];
    let mut packets = Vec::new();
    while let Some(chunk) = sender.next_chunk(bitmap, &mut body).unwrap() {
        packets.push((chunk.command, body[..chunk.len].to_vec()));
        assert!(packets.len() < 1000, "the transfer does not end");
    }
    packets
}

fn receive(version: u8, bits: u64, packets: &Packets) -> Result<Naive, WireError> {
    let mut receiver = BitmapReceiver::new(dialect(version), bits);
    let mut bitmap = Naive(vec![false; bits as usize]);
    let mut progress = Progress::More;
    for (command, body) in packets {
        assert_eq!(progress, Progress::More, "packets after the end");
        receiver.check(*command, body.len())?;
        progress = receiver.receive(*command, body, &mut bitmap)?;
    }
    assert_eq!(progress, Progress::Done);
    assert_eq!(
        receiver.check(Command::Bitmap, 0),
        Err(WireError::BitmapAfterEnd)
    );
    Ok(bitmap)
}

#[test]
fn payloads_of_the_specification() {
    let all_set = Naive::runs(&[(true, 2038)]);
    assert_eq!(
        send(101, &all_set, true),
        [(Command::CompressedBitmap, vec![0xb2, 0x3f, 0xc5, 0x06])]
    );
    let mixed = Naive::runs(&[
        (false, 100),
        (true, 2),
        (false, 898),
        (true, 1),
        (false, 1037),
    ]);
    let bytes = vec![0x42, 0xdf, 0x8c, 0x3f, 0x51, 0x82, 0x1f, 0x6e, 0x01];
    assert_eq!(
        send(101, &mixed, true),
        [(Command::CompressedBitmap, bytes)]
    );
    for bitmap in [all_set, mixed] {
        assert_eq!(receive(101, 2038, &send(101, &bitmap, true)), Ok(bitmap));
    }
}

#[test]
fn codes_as_long_as_the_bits_they_cover_are_sent() {
    let chunk = send(101, &Naive::runs(&[(true, 8)]), true).remove(0);
    assert_eq!(chunk, (Command::CompressedBitmap, vec![0xb2, 0x1b]));
    let chunk = send(101, &Naive::runs(&[(true, 7)]), true).remove(0);
    assert_eq!(chunk, (Command::Bitmap, vec![0x7f, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn plain_transfer_ends_with_an_empty_packet() {
    let bitmap = Naive::runs(&[(false, 5), (true, 64), (false, 40_000), (true, 3)]);
    // 627 words: 510 behind a header of 16 bytes, 511 behind one of 8.
    for (version, first) in [(101, 510), (99, 511)] {
        let packets = send(version, &bitmap, false);
        let lengths: Vec<_> = packets
            .iter()
            .map(|(command, body)| (*command, body.len()))
            .collect();
        let wanted = [first, 627 - first, 0].map(|words| (Command::Bitmap, words * 8));
        assert_eq!(lengths, wanted);
        assert_eq!(
            receive(version, bitmap.bits(), &packets).as_ref(),
            Ok(&bitmap)
        );
    }
    // The surplus bits of the last word were set in the source and are not sent.
    let last = &send(101, &bitmap, false)[1].1;
    assert_eq!(last[last.len() - 8..], [0xe0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn before_version_90_nothing_is_compressed() {
    let bitmap = Naive::runs(&[(true, 2038)]);
    assert!(send(89, &bitmap, true)
        .iter()
        .all(|(command, _)| *command == Command::Bitmap));
    assert_eq!(send(90, &bitmap, true).len(), 1);
}

#[test]
fn empty_bitmap_is_one_empty_packet() {
    let bitmap = Naive(Vec::new());
    for use_rle in [false, true] {
        let packets = send(101, &bitmap, use_rle);
        assert_eq!(packets, [(Command::Bitmap, Vec::new())]);
        assert_eq!(receive(101, 0, &packets).as_ref(), Ok(&bitmap));
    }
}

#[test]
fn incompressible_start_goes_plain_from_the_word_of_the_position() {
    // A long run, then alternating bits: the second attempt fails and steps back to a whole word.
    let mut bits = vec![false; 100_001];
    bits.extend((0..80_000).map(|bit| bit % 2 == 0));
    let bitmap = Naive(bits);
    let packets = send(101, &bitmap, true);
    assert_eq!(packets[0].0, Command::CompressedBitmap);
    assert!(packets
        .iter()
        .any(|(command, body)| *command == Command::Bitmap && !body.is_empty()));
    assert_eq!(receive(101, bitmap.bits(), &packets).as_ref(), Ok(&bitmap));
}

#[test]
fn source_that_changes_between_two_looks_does_not_stop_the_transfer() {
    /// Says each bit is set when asked for the next set one, and clear when asked for the next clear one.
    struct Flicker;
    impl BitSource for Flicker {
        fn next_set(&self, from: u64) -> Option<u64> {
            Some(from)
        }
        fn next_clear(&self, from: u64) -> Option<u64> {
            Some(from)
        }
        fn word(&self, _: u64) -> u64 {
            u64::MAX
        }
    }
    let mut sender = BitmapSender::new(dialect(101), 1000, true);
    let mut body = [0; 4096];
    let first = sender.next_chunk(&Flicker, &mut body).unwrap().unwrap();
    assert_eq!(
        first,
        Chunk {
            command: Command::Bitmap,
            len: 128,
            last: false
        }
    );
    assert!(
        sender
            .next_chunk(&Flicker, &mut body)
            .unwrap()
            .unwrap()
            .last
    );
    assert_eq!(sender.next_chunk(&Flicker, &mut body), Ok(None));
}

#[test]
fn sender_needs_room_for_a_whole_packet() {
    let bitmap = Naive::runs(&[(true, 10)]);
    let mut sender = BitmapSender::new(dialect(101), 10, true);
    let mut body = [0; 4079];
    let error = WireError::BufferTooSmall {
        needed: 4080,
        have: 4079,
    };
    assert_eq!(sender.next_chunk(&bitmap, &mut body), Err(error));
}

#[test]
fn receiver_refuses_wrong_lengths() {
    let receiver = BitmapReceiver::new(dialect(101), 2038);
    assert_eq!(receiver.check(Command::Bitmap, 256), Ok(()));
    for length in [0, 248, 255, 264] {
        assert_eq!(
            receiver.check(Command::Bitmap, length),
            Err(WireError::BitmapLength {
                length,
                wanted: 256
            })
        );
    }
    assert_eq!(receiver.check(Command::CompressedBitmap, 4080), Ok(()));
    for length in [0, 1, 4081] {
        let error = WireError::BitmapLength {
            length,
            wanted: 4080,
        };
        assert_eq!(
            receiver.check(Command::CompressedBitmap, length),
            Err(error)
        );
    }
    assert_eq!(
        receiver.check(Command::Data, 256),
        Err(WireError::Unexpected {
            command: Command::Data
        })
    );
}

#[test]
fn receiver_refuses_broken_codes() {
    let receive =
        |bits, body: &[u8]| receive(101, bits, &vec![(Command::CompressedBitmap, body.to_vec())]);
    assert_eq!(
        receive(2038, &[0xb3, 0x3f, 0xc5, 0x06]),
        Err(WireError::BitmapEncoding { encoding: 3 })
    );
    assert_eq!(
        receive(2037, &[0xb2, 0x3f, 0xc5, 0x06]),
        Err(WireError::BitmapOverflow {
            start: 0,
            run: 2038
        })
    );
    // The same as a clear run.
    assert_eq!(
        receive(2037, &[0x32, 0x3f, 0xc5, 0x06]),
        Err(WireError::BitmapOverflow {
            start: 0,
            run: 2038
        })
    );
    assert_eq!(
        receive(2038, &[0x82, 0x3f, 0xc5]),
        Err(WireError::BitmapTruncated)
    );
    assert_eq!(
        receive(2038, &[0xc2, 0x3f, 0xc5, 0x06]),
        Err(WireError::BitmapTruncated)
    );
    assert_eq!(
        receive(2038, &[0x82, 0xff, 0xff]),
        Err(WireError::BitmapTruncated)
    );
}

#[test]
fn compressed_packet_after_the_last_word_is_an_overflow() {
    let mut receiver = BitmapReceiver::new(dialect(101), 64);
    let mut bitmap = Naive(vec![false; 64]);
    assert_eq!(
        receiver.receive(Command::Bitmap, &[0; 8], &mut bitmap),
        Ok(Progress::More)
    );
    let error = WireError::BitmapOverflow { start: 64, run: 1 };
    assert_eq!(
        receiver.receive(Command::CompressedBitmap, &[0xe2, 0], &mut bitmap),
        Err(error)
    );
    assert_eq!(
        receiver.receive(Command::Bitmap, &[], &mut bitmap),
        Ok(Progress::Done)
    );
}

#[test]
fn surplus_bits_of_a_plain_packet_are_dropped() {
    let mut receiver = BitmapReceiver::new(dialect(101), 3);
    let mut bitmap = Naive(vec![false; 3]);
    assert_eq!(
        receiver.receive(Command::Bitmap, &[0xff; 8], &mut bitmap),
        Ok(Progress::More)
    );
    assert_eq!(bitmap, Naive(vec![true; 3]));
}

fn bitmap() -> impl Strategy<Value = Naive> {
    let run = prop_oneof![4 => 1..4_usize, 2 => 1..400_usize, 1 => 1..20_000_usize];
    let runs =
        prop::collection::vec((any::<bool>(), run), 0..300).prop_map(|runs| Naive::runs(&runs));
    let noise = prop::collection::vec(any::<bool>(), 0..70_000).prop_map(Naive);
    prop_oneof![3 => runs, 1 => noise]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn transfers_round_trip(bitmap in bitmap(), use_rle: bool, version in 86..=101_u8) {
        let packets = send(version, &bitmap, use_rle);
        prop_assert!(packets.iter().all(|(_, body)| body.len() <= dialect(version).bitmap_chunk_bytes()));
        prop_assert_eq!(receive(version, bitmap.bits(), &packets).unwrap(), bitmap);
    }

    #[test]
    fn any_bytes_are_survived(
        bits in 0..10_000_u64,
        packets in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..4),
    ) {
        let mut receiver = BitmapReceiver::new(dialect(101), bits);
        let mut bitmap = Naive(vec![false; bits as usize]);
        for (compressed, mut body) in packets {
            let command = if compressed { Command::CompressedBitmap } else { Command::Bitmap };
            if let (true, Some(head)) = (compressed, body.first_mut()) {
                *head = *head & 0xf0 | 2;
            }
            // The sink panics if a range is outside the bitmap.
            let _ = receiver.receive(command, &body, &mut bitmap);
            prop_assert!(receiver.bits_received() <= bits);
        }
    }

    #[test]
    fn or_word_sets_exactly_its_bits(word: u64) {
        let mut bitmap = Naive(vec![false; 128]);
        bitmap.or_word(1, word);
        prop_assert_eq!((bitmap.word(0), bitmap.word(1)), (0, word));
    }
}
