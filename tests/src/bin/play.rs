// SPDX-License-Identifier: GPL-2.0-or-later
//! Sends recorded netlink requests to the kernel it runs on, and prints what comes back.
//!
//! A line of the file is a request in hexadecimal. The first one asks for the family, whose number the others get; the
//! sequence numbers are its own. For every request a line `request N` is printed, and a line for each message of the
//! answer: one, or as many as a dump has, its end included.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use drbd_core::genl::Attributes;
use drbd_netlink::{Socket, Transport};

/// For one request; an attach or a promotion takes its time in a guest without acceleration.
const LIMIT: Duration = Duration::from_secs(100);

const CTRL: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const DUMP: u16 = 0x300;
const FAMILY_ID: u16 = 1;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).context("play FILE")?;
    let text = std::fs::read_to_string(path)?;
    let mut socket = Socket::open()?;
    let mut family = None;
    for (number, line) in text.lines().enumerate() {
        let mut request = bytes(line)?;
        ensure!(request.len() >= 20, "request {number} is too short");
        let kind = half(&request, 4);
        if kind != CTRL {
            let id: u16 = family.context("the family has not been asked for")?;
            request[4..6].copy_from_slice(&id.to_ne_bytes());
        }
        let sequence = u32::try_from(number)? + 1;
        request[8..12].copy_from_slice(&sequence.to_ne_bytes());
        // The kernel fills in our port.
        request[12..16].fill(0);
        socket.send(&request)?;
        println!("request {number}");
        let is_dump = half(&request, 6) & DUMP != 0;
        for answer in answers(&mut socket, sequence, is_dump)? {
            println!("{}", hexadecimal(&answer));
            if kind == CTRL {
                family = family.or(family_id(&answer));
            }
        }
    }
    Ok(())
}

/// All messages of the answer to one request.
fn answers(socket: &mut Socket, sequence: u32, is_dump: bool) -> Result<Vec<Vec<u8>>> {
    let end = Instant::now() + LIMIT;
    let mut all = Vec::new();
    loop {
        let datagram = socket.receive(end.saturating_duration_since(Instant::now()))?;
        let mut rest = datagram.as_slice();
        while rest.len() >= 16 {
            let len = usize::try_from(u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]))?;
            let Some(message) = rest.get(..len).filter(|message| message.len() >= 16) else {
                bail!("a message of {len} bytes in {} bytes", rest.len());
            };
            let ends = matches!(half(message, 4), ERROR | DONE);
            let is_ours = message[8..12] == sequence.to_ne_bytes();
            if is_ours {
                all.push(message.to_vec());
                if ends || !is_dump {
                    return Ok(all);
                }
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
}

fn family_id(answer: &[u8]) -> Option<u16> {
    Attributes::new(answer.get(20..)?)
        .flatten()
        .find(|attribute| attribute.nr == FAMILY_ID)
        .and_then(|attribute| Some(u16::from_ne_bytes(attribute.payload.try_into().ok()?)))
}

fn half(message: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([message[at], message[at + 1]])
}

fn bytes(line: &str) -> Result<Vec<u8>> {
    let pairs = line.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
