// SPDX-License-Identifier: GPL-2.0-or-later
//! Recorded netlink messages, and a kernel that answers out of them.
//!
//! The format is that of `golden/drbd9/nl`: a comment with the command and its output, then messages that
//! start with `-- N [direction]` and end with a hexadecimal dump.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::{DrbdMessage, Error, Event, Transport};
use drbd_core::genl::UserHeader;

/// A recorded message.
#[derive(Clone, Debug)]
pub struct RecordedMessage {
    /// From the tool to the kernel.
    pub from_user: bool,
    /// Sent to the multicast group.
    pub multicast: bool,
    /// The whole netlink message.
    pub bytes: Vec<u8>,
}

impl RecordedMessage {
    /// Message type.
    pub fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[4], self.bytes[5]])
    }

    /// Sequence number.
    pub fn sequence(&self) -> u32 {
        u32::from_ne_bytes([self.bytes[8], self.bytes[9], self.bytes[10], self.bytes[11]])
    }

    /// The drbd message in it, if it is one.
    pub fn drbd(&self) -> Option<DrbdMessage> {
        if self.kind() < 0x10 || self.kind() == 0x10 {
            return None;
        }
        let (header, attributes) = UserHeader::split(self.bytes.get(20..)?)?;
        Some(DrbdMessage {
            command: self.bytes[16],
            header,
            attributes: attributes.to_vec(),
        })
    }
}

/// A recording of one command.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the command printed, without the lines that name it and its exit code.
    pub output: String,
    /// The messages.
    pub messages: Vec<RecordedMessage>,
}

impl Recording {
    /// Reads a file of `golden/drbd9/nl`.
    ///
    /// # Panics
    ///
    /// When the file is not such a recording.
    pub fn read(path: &Path) -> Self {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (comment, _) = text.split_once("\n-- ").expect("no message");
        let output = comment
            .lines()
            .filter(|line| !line.starts_with("# $") && !line.starts_with("# rc="))
            .map(|line| {
                format!(
                    "{}\n",
                    line.strip_prefix("# ")
                        .or(line.strip_prefix('#'))
                        .unwrap_or(line)
                )
            })
            .collect();
        let messages = text.split("\n-- ").skip(1).map(message).collect();
        Self { output, messages }
    }

    /// Reads a file of `golden/control-plane/netlink`, where every message is one line of hexadecimal words.
    ///
    /// # Panics
    ///
    /// When the file is not such a recording.
    pub fn read_words(path: &Path) -> Self {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut messages = Vec::new();
        let mut from_user = false;
        for line in text.lines() {
            match line.strip_prefix("  hex: ") {
                Some(words) => messages.push(RecordedMessage {
                    from_user,
                    multicast: false,
                    bytes: words.split_whitespace().flat_map(word).collect(),
                }),
                None if line.starts_with("request ") => from_user = true,
                None if line.starts_with("reply ") => from_user = false,
                None => {}
            }
        }
        Self {
            output: String::new(),
            messages,
        }
    }

    /// The notifications of the recording, those of the initial state included.
    ///
    /// # Panics
    ///
    /// When one cannot be decoded.
    pub fn events(&self) -> Vec<Event> {
        self.messages
            .iter()
            .filter(|message| !message.from_user)
            .filter_map(|message| {
                Event::decode(&message.drbd()?, message.sequence()).expect("a bad notification")
            })
            .collect()
    }
}

/// The bytes of a word, in the order in which they are printed.
fn word(word: &str) -> Vec<u8> {
    word.as_bytes()
        .chunks(2)
        .map(|digits| {
            let digits = std::str::from_utf8(digits).expect("not hexadecimal");
            u8::from_str_radix(digits, 16).expect("not hexadecimal")
        })
        .collect()
}

fn message(part: &str) -> RecordedMessage {
    let head = part.lines().next().unwrap_or("");
    let bytes: Vec<u8> = part
        .lines()
        .filter(|line| line.starts_with("      ") && line.as_bytes().get(10..12) == Some(b"  "))
        .flat_map(|line| line[12..].split_whitespace())
        .map(|hex| u8::from_str_radix(hex, 16).expect("not hexadecimal"))
        .collect();
    RecordedMessage {
        from_user: head.contains("[user->kernel]"),
        multicast: head.contains("multicast"),
        bytes,
    }
}

/// A kernel that answers every request with what was answered to the first recorded request of the same command.
pub struct ReplayKernel {
    recorded: Vec<RecordedMessage>,
    queue: VecDeque<Vec<u8>>,
    /// Every datagram that was sent.
    pub sent: Vec<Vec<u8>>,
}

impl ReplayKernel {
    /// Answers out of several recordings; the first one should hold the family's description.
    pub fn new(recordings: &[Recording]) -> Self {
        let recorded = recordings
            .iter()
            .flat_map(|recording| recording.messages.clone())
            .collect();
        Self {
            recorded,
            queue: VecDeque::new(),
            sent: Vec::new(),
        }
    }

    fn answers(&self, request: &[u8]) -> Vec<Vec<u8>> {
        let same = |message: &RecordedMessage| {
            message.from_user
                && message.bytes[4..6] == request[4..6]
                && message.bytes[16] == request[16]
        };
        let Some(start) = self.recorded.iter().position(same) else {
            // An empty list.
            let mut done = vec![0; 20];
            done[0] = 20;
            done[4] = 3;
            return vec![done];
        };
        self.recorded[start + 1..]
            .iter()
            .take_while(|message| !message.from_user)
            .filter(|message| !message.multicast)
            .map(|message| message.bytes.clone())
            .collect()
    }
}

impl Transport for ReplayKernel {
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        for mut answer in self.answers(datagram) {
            answer[8..12].copy_from_slice(&datagram[8..12]);
            self.queue.push_back(answer);
        }
        self.sent.push(datagram.to_vec());
        Ok(())
    }

    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, Error> {
        self.queue.pop_front().ok_or(Error::Timeout(timeout))
    }
}
