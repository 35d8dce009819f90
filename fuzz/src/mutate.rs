// SPDX-License-Identifier: GPL-2.0-or-later
//! Changing bytes: what fuzzers are known to need, and for netlink changes that keep lengths right.

use fastrand::Rng;

/// Numbers at which lengths, counts and signs turn over.
const TURNING_POINTS: [u64; 22] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    4096,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX,
];

/// Applies some changes to `input`, in place. `others` are parents to take parts of, `words` what means something to the
/// target; the result has at most `bytes_max` bytes.
pub fn mutate(
    rng: &mut Rng,
    input: &mut Vec<u8>,
    others: &[Vec<u8>],
    words: &[Vec<u8>],
    bytes_max: usize,
) {
    let rounds = 1 << rng.u32(0..4);
    for _ in 0..rounds {
        once(rng, input, others, words);
        input.truncate(bytes_max);
    }
}

fn once(rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], words: &[Vec<u8>]) {
    if input.is_empty() {
        input.push(rng.u8(..));
    }
    match rng.u32(0..14) {
        0 => {
            let at = rng.usize(0..input.len());
            input[at] ^= 1 << rng.u32(0..8);
        }
        1 => {
            let at = rng.usize(0..input.len());
            input[at] = rng.u8(..);
        }
        2 | 3 => overwrite_number(rng, input),
        4 => {
            let at = rng.usize(0..input.len());
            let by = rng.u8(1..17);
            input[at] = if rng.bool() {
                input[at].wrapping_add(by)
            } else {
                input[at].wrapping_sub(by)
            };
        }
        5 => {
            let (start, end) = range(rng, input.len());
            input.drain(start..end);
        }
        6 | 7 => {
            let (start, end) = range(rng, input.len());
            let part = input[start..end].to_vec();
            insert(rng, input, &part);
        }
        8 => {
            let (start, end) = range(rng, input.len());
            let part = input[start..end].to_vec();
            overwrite(rng, input, &part);
        }
        9 => {
            let part: Vec<u8> = (0..rng.usize(1..33)).map(|_| rng.u8(..)).collect();
            insert(rng, input, &part);
        }
        10 if !others.is_empty() => {
            let other = &others[rng.usize(0..others.len())];
            if !other.is_empty() {
                let (start, end) = range(rng, other.len());
                insert(rng, input, &other[start..end]);
            }
        }
        11 | 12 if !words.is_empty() => {
            let word = &words[rng.usize(0..words.len())];
            if rng.bool() {
                insert(rng, input, word);
            } else {
                overwrite(rng, input, word);
            }
        }
        _ => {
            let keep = rng.usize(0..=input.len());
            if rng.u32(0..4) == 0 {
                input.truncate(keep);
            }
        }
    }
}

/// A piece of something of `len` bytes, mostly a short one.
fn range(rng: &mut Rng, len: usize) -> (usize, usize) {
    let start = rng.usize(0..len);
    let room = len - start;
    let most = if rng.bool() { room } else { room.min(16) };
    (start, start + rng.usize(1..=most))
}

fn insert(rng: &mut Rng, input: &mut Vec<u8>, part: &[u8]) {
    let at = rng.usize(0..=input.len());
    input.splice(at..at, part.iter().copied());
}

fn overwrite(rng: &mut Rng, input: &mut [u8], part: &[u8]) {
    let at = rng.usize(0..input.len());
    for (to, from) in input[at..].iter_mut().zip(part) {
        *to = *from;
    }
}

fn overwrite_number(rng: &mut Rng, input: &mut [u8]) {
    let number = TURNING_POINTS[rng.usize(0..TURNING_POINTS.len())];
    let number = number.wrapping_add(rng.u64(0..3)).wrapping_sub(1);
    let bytes = 1 << rng.usize(0..4);
    let little = number.to_le_bytes();
    let mut part = little[..bytes].to_vec();
    if rng.bool() {
        part.reverse();
    }
    overwrite(rng, input, &part);
}

/// A message of attributes as a tree: number with its two flag bits, and content.
#[derive(Clone, Debug, PartialEq)]
struct Attribute {
    kind: u16,
    content: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Bytes(Vec<u8>),
    Nest(Vec<Attribute>),
}

const NESTED: u16 = 0x8000;

/// Changes attributes rather than bytes: one goes, comes twice, moves, or has another number or content.
pub fn mutate_attributes(rng: &mut Rng, message: &mut Vec<u8>, others: &[Vec<u8>]) {
    let mut tree = read(message, 0);
    let donor = others
        .get(rng.usize(0..others.len().max(1)))
        .map_or_else(Vec::new, |other| {
            read(other.get(ATTRIBUTES_AT..).unwrap_or(&[]), 0)
        });
    for _ in 0..rng.u32(1..4) {
        let level = level_of(rng, &mut tree);
        change(rng, level, &donor);
    }
    message.clear();
    write(&tree, message);
}

/// Where in an input of the netlink targets the attributes begin.
pub const ATTRIBUTES_AT: usize = 8;

fn read(mut bytes: &[u8], depth: u32) -> Vec<Attribute> {
    let mut all = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]);
        let Some(payload) = bytes.get(4..len) else {
            break;
        };
        // Top level attributes are nests, with or without the mark.
        let content = if depth == 0 {
            Content::Nest(read(payload, 1))
        } else {
            Content::Bytes(payload.to_vec())
        };
        all.push(Attribute { kind, content });
        bytes = bytes
            .get(len.next_multiple_of(4).max(4)..)
            .unwrap_or_default();
    }
    all
}

fn write(tree: &[Attribute], out: &mut Vec<u8>) {
    for attribute in tree {
        let mut payload = Vec::new();
        match &attribute.content {
            Content::Bytes(bytes) => payload.extend_from_slice(bytes),
            Content::Nest(inner) => write(inner, &mut payload),
        }
        let len = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
        out.extend(len.to_ne_bytes());
        out.extend(attribute.kind.to_ne_bytes());
        out.extend(payload);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

fn level_of<'t>(rng: &mut Rng, tree: &'t mut Vec<Attribute>) -> &'t mut Vec<Attribute> {
    let nests: Vec<usize> = (0..tree.len())
        .filter(|at| matches!(tree[*at].content, Content::Nest(_)))
        .collect();
    if nests.is_empty() || rng.u32(0..4) == 0 {
        return tree;
    }
    let chosen = nests[rng.usize(0..nests.len())];
    match &mut tree[chosen].content {
        Content::Nest(inner) => inner,
        Content::Bytes(_) => unreachable!("only nests were chosen"),
    }
}

fn change(rng: &mut Rng, level: &mut Vec<Attribute>, donor: &[Attribute]) {
    if level.is_empty() || rng.u32(0..5) == 0 {
        let new = match donor.get(rng.usize(0..donor.len().max(1))) {
            Some(given) if rng.bool() => given.clone(),
            _ => Attribute {
                kind: rng.u16(0..64) | if rng.bool() { 0 } else { NESTED },
                content: Content::Bytes(payload(rng)),
            },
        };
        level.insert(rng.usize(0..=level.len()), new);
        return;
    }
    let at = rng.usize(0..level.len());
    match rng.u32(0..5) {
        0 => drop(level.remove(at)),
        1 => level.push(level[at].clone()),
        2 => {
            let with = rng.usize(0..level.len());
            level.swap(at, with);
        }
        3 => level[at].kind = rng.u16(0..48) | (level[at].kind & NESTED),
        _ => level[at].content = Content::Bytes(payload(rng)),
    }
}

/// Content in one of the types that attributes have.
fn payload(rng: &mut Rng) -> Vec<u8> {
    let number = TURNING_POINTS[rng.usize(0..TURNING_POINTS.len())];
    match rng.u32(0..6) {
        0 => vec![rng.u8(0..3)],
        1 | 2 => number.to_ne_bytes()[..4].to_vec(),
        3 => number.to_ne_bytes().to_vec(),
        4 => (0..rng.usize(0..20)).map(|_| rng.u8(..)).collect(),
        _ => {
            let letters = rng.usize(0..140);
            let mut text: Vec<u8> = (0..letters).map(|_| rng.u8(b'a'..=b'z')).collect();
            text.push(0);
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_input() {
        let make = |seed| {
            let mut rng = Rng::with_seed(seed);
            let mut input = b"resource r0 { }".to_vec();
            for _ in 0..100 {
                mutate(&mut rng, &mut input, &[b"x".to_vec()], &[], 64);
                assert!(input.len() <= 64);
            }
            input
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn a_message_is_read_and_written_alike() {
        let message = [
            16, 0, 2, 0x80, 7, 0, 2, 0, b'r', b'0', 0, 0, 4, 0, 9, 0, 4, 0, 3, 0x80,
        ];
        let tree = read(&message, 0);
        assert_eq!(tree.len(), 2);
        let mut again = Vec::new();
        write(&tree, &mut again);
        assert_eq!(again, message);
    }

    #[test]
    fn changed_messages_are_still_attributes() {
        let mut rng = Rng::with_seed(1);
        let mut message = vec![16, 0, 2, 0x80, 7, 0, 2, 0, b'r', b'0', 0, 0, 4, 0, 9, 0];
        for _ in 0..1000 {
            mutate_attributes(&mut rng, &mut message, &[]);
            message.truncate(4096);
            let top = drbd_core::genl::Attributes::new(&message);
            assert!(message.len() == 4096 || top.into_iter().all(|one| one.is_ok()));
        }
    }
}
