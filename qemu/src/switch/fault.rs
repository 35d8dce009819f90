// SPDX-License-Identifier: GPL-2.0-or-later
//! What can be wrong with one direction of a cable.

use std::time::Duration;

/// Faults of one direction of one port. The default is a perfect cable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Nothing passes.
    pub cut: bool,
    /// Every frame is late by this much.
    pub delay: Duration,
    /// So many of a million frames are lost.
    pub drop_ppm: u32,
    /// So many of a million frames have one bit flipped behind the Ethernet
    /// header; the receiver's checksums find that.
    pub corrupt_ppm: u32,
    /// So many of a million frames have two 16-bit words of TCP payload
    /// swapped: no checksum of the network finds that.
    pub corrupt_hidden_ppm: u32,
    /// Bytes per second that pass; `None` is no limit.
    pub rate_bytes_per_s: Option<u64>,
}

impl Faults {
    /// A cable that lets nothing pass.
    pub const CUT: Faults = Faults {
        cut: true,
        delay: Duration::ZERO,
        drop_ppm: 0,
        corrupt_ppm: 0,
        corrupt_hidden_ppm: 0,
        rate_bytes_per_s: None,
    };

    /// Whether frames need more than being passed on.
    pub(crate) fn is_none(&self) -> bool {
        *self == Faults::default()
    }
}

/// Dice that fall the same way for the same seed (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed | 1)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound
    }

    /// True in `ppm` of a million cases.
    pub(crate) fn hit(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }
}

const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const IPPROTO_TCP: u8 = 6;

/// Flips one bit behind the Ethernet header.
pub(crate) fn flip_a_bit(frame: &mut [u8], dice: &mut Dice) {
    let Some(body) = frame
        .get_mut(ETHERNET_HEADER..)
        .filter(|body| !body.is_empty())
    else {
        return;
    };
    let bit = dice.below(body.len() as u64 * 8);
    if let Some(byte) = body.get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
}

/// Swaps two unequal 16-bit words of the TCP payload, at even distances from
/// the segment's start so that the checksum stays right; whether it found any.
pub(crate) fn swap_words(frame: &mut [u8], dice: &mut Dice) -> bool {
    let Some(payload) = tcp_payload(frame) else {
        return false;
    };
    let words = payload.len() / 2;
    for _ in 0..32 {
        if words < 2 {
            return false;
        }
        let a = dice.below(words as u64) as usize * 2;
        let b = dice.below(words as u64) as usize * 2;
        if payload.get(a..a + 2) != payload.get(b..b + 2) {
            payload.swap(a, b);
            payload.swap(a + 1, b + 1);
            return true;
        }
    }
    false
}

fn tcp_payload(frame: &mut [u8]) -> Option<&mut [u8]> {
    if frame.get(12..14)? != ETHERTYPE_IPV4 {
        return None;
    }
    let ip = frame.get_mut(ETHERNET_HEADER..)?;
    let ip_header = usize::from(*ip.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    if *ip.get(9)? != IPPROTO_TCP {
        return None;
    }
    let tcp = ip.get_mut(ip_header..total)?;
    let tcp_header = usize::from(*tcp.get(12)? >> 4) * 4;
    tcp.get_mut(tcp_header..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u32 {
        let mut sum: u32 = bytes
            .chunks(2)
            .map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    }

    fn tcp_frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0u8; 12];
        frame.extend_from_slice(&ETHERTYPE_IPV4);
        let total = (40 + payload.len()) as u16;
        let mut ip = vec![0u8; 40];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[9] = IPPROTO_TCP;
        ip[32] = 0x50;
        frame.extend_from_slice(&ip);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_flipped_bit_is_one_bit_behind_the_header() {
        let mut dice = Dice::new(3);
        for _ in 0..1000 {
            let mut frame = vec![0u8; 60];
            flip_a_bit(&mut frame, &mut dice);
            assert_eq!(frame[14..].iter().map(|b| b.count_ones()).sum::<u32>(), 1);
            assert!(frame[..14].iter().all(|b| *b == 0));
        }
        let mut short = vec![0u8; 14];
        flip_a_bit(&mut short, &mut dice);
        assert_eq!(short, vec![0u8; 14]);
    }

    #[test]
    fn swapped_words_keep_the_checksum() {
        let mut dice = Dice::new(7);
        let original = tcp_frame(&(0..=200).collect::<Vec<u8>>());
        for _ in 0..100 {
            let mut frame = original.clone();
            assert!(swap_words(&mut frame, &mut dice));
            assert_ne!(frame, original);
            assert_eq!(frame[..54], original[..54]);
            assert_eq!(sum(&frame), sum(&original));
        }
    }

    #[test]
    fn what_has_no_two_words_of_tcp_is_left_alone() {
        let mut dice = Dice::new(7);
        for payload in [&[][..], &[1], &[1, 2], &[5; 64]] {
            let mut frame = tcp_frame(payload);
            assert!(!swap_words(&mut frame, &mut dice));
            assert_eq!(frame, tcp_frame(payload));
        }
        let mut arp = tcp_frame(&[1, 2, 3, 4]);
        arp[13] = 6;
        assert!(!swap_words(&mut arp, &mut dice));
    }

    #[test]
    fn dice_are_fair_enough() {
        let mut dice = Dice::new(1);
        let hits = (0..100_000).filter(|_| dice.hit(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !dice.hit(0)) && (0..1000).all(|_| dice.hit(1_000_000)));
    }
}
