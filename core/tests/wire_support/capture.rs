// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads a capture: pcap with Ethernet and IPv4 frames of a loopback device, compressed with xz.

use std::collections::HashMap;
use std::path::Path;

/// Source and destination port; both hosts are the same machine.
pub(crate) type Flow = (u16, u16);

/// What happened on a TCP connection, in the order of the capture.
pub(crate) enum Event {
    /// A new connection: what was known of this direction ends here.
    Open(Flow),
    /// Bytes in order, each exactly once.
    Bytes(Flow, Vec<u8>),
}

const SYN: u8 = 0x02;
const LITTLE_ENDIAN_MICROSECONDS: [u8; 4] = [0xd4, 0xc3, 0xb2, 0xa1];
const ETHERNET_BYTES: usize = 14;
const TCP: u8 = 6;

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn le32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// All TCP events of `golden/wire101/<name>.pcap.xz`.
pub(crate) fn events(name: &str) -> Vec<Event> {
    // Other crates of the workspace include this file too.
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = crates.join(format!("core/tests/golden/wire101/{name}.pcap.xz"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut file).unwrap();
    assert_eq!(file[..4], LITTLE_ENDIAN_MICROSECONDS);

    let mut events = Vec::new();
    let mut next: HashMap<Flow, u32> = HashMap::new();
    let mut at = 24;
    while at < file.len() {
        let length = le32(&file, at + 8);
        let frame = &file[at + 16..at + 16 + length];
        assert_eq!(length, le32(&file, at + 12), "a frame was cut");
        at += 16 + length;
        segment(&frame[ETHERNET_BYTES..], &mut next, &mut events);
    }
    events
}

/// Appends what one IPv4 packet adds to its stream.
fn segment(packet: &[u8], next: &mut HashMap<Flow, u32>, events: &mut Vec<Event>) {
    if packet.len() < 20 || packet[0] >> 4 != 4 || packet[9] != TCP {
        return;
    }
    let total = match be16(packet, 2) {
        // Segmentation offload leaves the length open.
        0 => packet.len(),
        total => usize::from(total),
    };
    let tcp = &packet[usize::from(packet[0] & 0xf) * 4..total];
    let flow = (be16(tcp, 0), be16(tcp, 2));
    let sequence = be32(tcp, 4);
    let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
    if tcp[13] & SYN != 0 {
        next.insert(flow, sequence.wrapping_add(1));
        events.push(Event::Open(flow));
        return;
    }
    if payload.is_empty() {
        // An ack, or a FIN, which counts as a byte that is none.
        return;
    }
    let Some(expected) = next.get_mut(&flow) else {
        return;
    };
    // A keepalive or a repetition starts before what is expected.
    let repeated = expected.wrapping_sub(sequence);
    assert!(repeated < 1 << 31, "a segment is missing in {flow:?}");
    if let Some(fresh) = payload
        .get(repeated as usize..)
        .filter(|fresh| !fresh.is_empty())
    {
        *expected = expected.wrapping_add(fresh.len() as u32);
        events.push(Event::Bytes(flow, fresh.to_vec()));
    }
}
