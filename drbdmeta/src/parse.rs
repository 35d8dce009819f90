// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads the text of dump-md (metadata.md 10.1).

use drbd_core::meta::{
    AlGeometry, Format, MdFlags, PeerFlags, PeerSlot, BITMAP_SLOTS_MAX, HISTORY_UUIDS, PEERS_MAX,
};

use crate::token::{Token, Tokens};

/// Words that are all the same, as often as they repeat.
pub(crate) type Run = (u64, u64);

/// What a dump says.
#[derive(Debug)]
pub(crate) struct Dump {
    pub(crate) format: Format,
    pub(crate) max_peers: u32,
    pub(crate) node_id: i32,
    pub(crate) current_uuid: u64,
    pub(crate) history_uuids: [u64; HISTORY_UUIDS],
    pub(crate) members: u64,
    pub(crate) flags: Flags,
    pub(crate) peers: [PeerSlot; PEERS_MAX],
    pub(crate) la_size_sect: u64,
    pub(crate) device_uuid: u64,
    pub(crate) peer_max_bio_bytes: u32,
    pub(crate) al: AlGeometry,
    /// The words of each slot.
    pub(crate) bitmaps: Vec<Vec<Run>>,
}

/// The flags, as the format keeps them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flags {
    /// One word for device and peer.
    V08(u32),
    /// The device's own.
    V09(MdFlags),
}

/// What is wrong with a dump, and where.
#[derive(Debug)]
pub(crate) struct ParseError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) text: String,
}

/// Parses a whole dump.
pub(crate) fn parse(text: &str) -> Result<Dump, ParseError> {
    let mut parser = Parser {
        tokens: Tokens::new(text),
        pushed_back: None,
    };
    parser.word("version")?;
    let (version, at) = parser.next();
    let format = match &version {
        Token::Quoted(version) if version == "v08" => Format::V08,
        Token::Quoted(version) if version == "v09" => Format::V09,
        _ => return Err(parser.expected("\"v08\" or \"v09\"", &version, at)),
    };
    parser.mark(';')?;
    let mut dump = Dump {
        format,
        max_peers: 1,
        node_id: -1,
        current_uuid: 0,
        history_uuids: [0; HISTORY_UUIDS],
        members: 0,
        flags: Flags::V08(0),
        peers: [PeerSlot::UNUSED; PEERS_MAX],
        la_size_sect: 0,
        device_uuid: 0,
        peer_max_bio_bytes: 0,
        al: AlGeometry::DEFAULT,
        bitmaps: Vec::new(),
    };
    match format {
        Format::V08 => parser.head_v08(&mut dump)?,
        Format::V09 => parser.head_v09(&mut dump)?,
    }
    parser.tail(&mut dump)?;
    for slot in 0..dump.max_peers {
        match format {
            Format::V08 => parser.word("bm")?,
            Format::V09 => {
                parser.word("bitmap")?;
                parser.index(slot)?;
            }
        }
        dump.bitmaps.push(parser.words()?);
    }
    let (token, at) = parser.next();
    if token != Token::End {
        return Err(parser.expected("the end", &token, at));
    }
    Ok(dump)
}

struct Parser<'text> {
    tokens: Tokens<'text>,
    pushed_back: Option<(Token, usize)>,
}

impl Parser<'_> {
    fn head_v08(&mut self, dump: &mut Dump) -> Result<(), ParseError> {
        self.word("uuid")?;
        self.mark('{')?;
        let [current, bitmap, young, old] =
            [self.hex64()?, self.hex64()?, self.hex64()?, self.hex64()?];
        dump.current_uuid = current;
        dump.history_uuids[..2].copy_from_slice(&[young, old]);
        dump.peers[0] = PeerSlot {
            bitmap_uuid: bitmap,
            bitmap_index: 0,
            ..PeerSlot::UNUSED
        };
        dump.flags = Flags::V08(self.named_hex32("flags")?);
        self.mark('}')
    }

    fn head_v09(&mut self, dump: &mut Dump) -> Result<(), ParseError> {
        dump.max_peers = self.named_number("max-peers", 1..=i64::from(BITMAP_SLOTS_MAX))?;
        dump.node_id = self.named_number("node-id", -1..=31)?;
        dump.current_uuid = self.named_hex64("current-uuid")?;
        dump.flags = Flags::V09(MdFlags::from_bits(self.named_hex32("flags")?));
        if self.peek() == Token::Word("members".to_string()) {
            dump.members = self.named_hex64("members")?;
        }
        let mut taken = 0u32;
        for node_id in 0..PEERS_MAX {
            self.word("peer")?;
            self.index(node_id as u32)?;
            self.mark('{')?;
            let at = self.place();
            let bitmap_index: i32 =
                self.named_number("bitmap-index", -1..=i64::from(dump.max_peers) - 1)?;
            if bitmap_index >= 0 {
                if taken & (1 << bitmap_index) != 0 {
                    return Err(self.error(
                        at,
                        format!("bitmap index {bitmap_index} belongs to another peer already"),
                    ));
                }
                taken |= 1 << bitmap_index;
            }
            dump.peers[node_id] = PeerSlot {
                bitmap_index,
                bitmap_uuid: self.named_hex64("bitmap-uuid")?,
                bitmap_dagtag: self.named_hex64("bitmap-dagtag")?,
                flags: PeerFlags::from_bits(self.named_hex32("flags")?),
            };
            self.mark('}')?;
        }
        self.word("history-uuids")?;
        self.mark('{')?;
        for uuid in &mut dump.history_uuids {
            *uuid = self.hex64()?;
        }
        self.mark('}')
    }

    fn tail(&mut self, dump: &mut Dump) -> Result<(), ParseError> {
        dump.la_size_sect = self.named_number("la-size-sect", 0..=1 << 41)?;
        let _: u32 = self.named_number("bm-byte-per-bit", 4096..=4096)?;
        dump.device_uuid = self.named_hex64("device-uuid")?;
        dump.peer_max_bio_bytes =
            self.named_number("la-peer-max-bio-size", 0..=i64::from(u32::MAX))?;
        let at = self.place();
        let stripes = self.named_number("al-stripes", 1..=i64::from(u32::MAX))?;
        let size = self.named_number("al-stripe-size-4k", 1..=i64::from(u32::MAX))?;
        dump.al =
            AlGeometry::new(stripes, size).map_err(|error| self.error(at, error.to_string()))?;
        Ok(())
    }

    /// `{ word; N times word; ... }`
    fn words(&mut self) -> Result<Vec<Run>, ParseError> {
        self.mark('{')?;
        let mut runs: Vec<Run> = Vec::new();
        loop {
            let (token, at) = self.next();
            let (count, word) = match token {
                Token::Mark('}') => return Ok(runs),
                Token::Hex64(word) => {
                    self.mark(';')?;
                    (1, word)
                }
                Token::Number(count @ 1..) => {
                    self.word("times")?;
                    (count.unsigned_abs(), self.hex64()?)
                }
                other => return Err(self.expected("a 64 bit word, a count or '}'", &other, at)),
            };
            match runs.last_mut() {
                Some((before, same)) if *same == word => {
                    *before = before
                        .checked_add(count)
                        .ok_or_else(|| self.error(at, "too many words".to_string()))?;
                }
                _ => runs.push((count, word)),
            }
        }
    }

    fn named_number<N: TryFrom<i64>>(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<N, ParseError> {
        self.word(name)?;
        let (token, at) = self.next();
        let wanted = || format!("a number {}..{}", range.start(), range.end());
        let Token::Number(number) = token else {
            return Err(self.expected(&wanted(), &token, at));
        };
        let value = Some(number)
            .filter(|number| range.contains(number))
            .and_then(|number| N::try_from(number).ok());
        let value = value.ok_or_else(|| self.expected(&wanted(), &token, at))?;
        self.mark(';')?;
        Ok(value)
    }

    fn named_hex64(&mut self, name: &str) -> Result<u64, ParseError> {
        self.word(name)?;
        self.hex64()
    }

    fn named_hex32(&mut self, name: &str) -> Result<u32, ParseError> {
        self.word(name)?;
        let (token, at) = self.next();
        let Token::Hex32(number) = token else {
            return Err(self.expected("0x and 8 hexadecimal digits", &token, at));
        };
        self.mark(';')?;
        Ok(number)
    }

    fn hex64(&mut self) -> Result<u64, ParseError> {
        let (token, at) = self.next();
        let Token::Hex64(number) = token else {
            return Err(self.expected("0x and 16 hexadecimal digits", &token, at));
        };
        self.mark(';')?;
        Ok(number)
    }

    fn index(&mut self, index: u32) -> Result<(), ParseError> {
        self.mark('[')?;
        let (token, at) = self.next();
        if token != Token::Number(i64::from(index)) {
            return Err(self.expected(&index.to_string(), &token, at));
        }
        self.mark(']')
    }

    fn word(&mut self, word: &str) -> Result<(), ParseError> {
        let (token, at) = self.next();
        match &token {
            Token::Word(found) if found == word => Ok(()),
            _ => Err(self.expected(&format!("'{word}'"), &token, at)),
        }
    }

    fn mark(&mut self, mark: char) -> Result<(), ParseError> {
        let (token, at) = self.next();
        if token == Token::Mark(mark) {
            return Ok(());
        }
        Err(self.expected(&format!("'{mark}'"), &token, at))
    }

    fn next(&mut self) -> (Token, usize) {
        self.pushed_back
            .take()
            .unwrap_or_else(|| self.tokens.next())
    }

    fn peek(&mut self) -> Token {
        let next = self.next();
        self.pushed_back.insert(next).0.clone()
    }

    /// Where the next token is.
    fn place(&mut self) -> usize {
        let next = self.next();
        self.pushed_back.insert(next).1
    }

    fn expected(&self, expected: &str, found: &Token, at: usize) -> ParseError {
        self.error(at, format!("expected {expected}, found {found}"))
    }

    fn error(&self, at: usize, text: String) -> ParseError {
        let (line, column) = self.tokens.position(at);
        ParseError { line, column, text }
    }
}
