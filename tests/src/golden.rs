// SPDX-License-Identifier: GPL-2.0-or-later
//! Recorded netlink exchanges (`core/tests/golden`): sent again to a module in a guest, and compared by what they say.
//!
//! What is compared is every attribute by its name, so that a value that is missing, or one that was not recorded, is a
//! difference as well as another value. The names are those the recordings themselves have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use drbd_core::genl::{Attributes, RetCode, UserHeader};
use drbd_qemu::Node;

/// The guest's program.
pub const PLAYER: &str = "/run/play";

/// What a dump that went well ends with.
const END: &str = "end 0";

const CTRL: u16 = 0x10;
const DONE: u16 = 3;
const ERROR: u16 = 2;

/// A request and all that was answered.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The whole netlink message.
    pub request: Vec<u8>,
    /// The messages of the answer.
    pub answers: Vec<Vec<u8>>,
}

/// The recordings of one generation.
pub struct Recordings {
    folder: PathBuf,
    /// Name of each attribute by the numbers of its nest and its own.
    names: BTreeMap<(u16, u16), String>,
    family: Vec<u8>,
}

impl Recordings {
    /// The recordings in a folder of `core/tests/golden`.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn open(folder: &str) -> Result<Recordings> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
        let mut recordings = Recordings {
            folder: top.join(folder),
            names: BTreeMap::new(),
            family: Vec::new(),
        };
        for file in recordings.files()? {
            let text = recordings.text(&file)?;
            names(&text, &mut recordings.names);
            let mut lookup = messages(&text).into_iter();
            let lookup = lookup.find(|(from_user, bytes)| *from_user && half(bytes, 4) == CTRL);
            if let (true, Some((_, bytes))) = (recordings.family.is_empty(), lookup) {
                recordings.family = bytes;
            }
        }
        ensure!(!recordings.family.is_empty(), "nobody asks for the family");
        Ok(recordings)
    }

    /// Names of all files, in order.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.folder)
            .with_context(|| format!("{}", self.folder.display()))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<String>>>()?;
        names.sort();
        Ok(names)
    }

    fn text(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
    }

    /// What was asked of the family in a file, and answered; without what was sent to everybody.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn exchanges(&self, file: &str) -> Result<Vec<Exchange>> {
        let mut all: Vec<Exchange> = Vec::new();
        for (from_user, bytes) in messages(&self.text(file)?) {
            if half(&bytes, 4) == CTRL {
                continue;
            }
            if from_user {
                all.push(Exchange {
                    request: bytes,
                    answers: Vec::new(),
                });
            } else if let Some(exchange) = all.last_mut() {
                let same = bytes[8..12] == exchange.request[8..12];
                if same {
                    exchange.answers.push(bytes);
                }
            }
        }
        Ok(all)
    }

    /// Sends requests from a node; `before` is put in front of the player's command line.
    ///
    /// # Errors
    ///
    /// If the player does not get an answer to each.
    pub fn play(&self, node: &Node, before: &str, requests: &[Vec<u8>]) -> Result<Vec<Exchange>> {
        let mut text = hexadecimal(&self.family);
        for request in requests {
            text.push('\n');
            text.push_str(&hexadecimal(request));
        }
        node.put("/run/requests", text.as_bytes())?;
        let told = node.sh(&format!("{before} {PLAYER} /run/requests"))?;
        let mut played: Vec<Exchange> = Vec::new();
        for line in told.lines() {
            match (line.strip_prefix("request "), played.last_mut()) {
                (Some(_), _) => played.push(Exchange::default()),
                (None, Some(exchange)) => exchange.answers.push(bytes_of(line)),
                (None, None) => {}
            }
        }
        ensure!(played.len() == requests.len() + 1, "{told}");
        played.remove(0);
        for (exchange, request) in played.iter_mut().zip(requests) {
            exchange.request.clone_from(request);
        }
        Ok(played)
    }

    /// What a message says.
    pub fn facts(&self, message: &[u8]) -> Facts {
        let kind = half(message, 4);
        let mut facts = Facts::default();
        if matches!(kind, DONE | ERROR) {
            let code = message.get(16..20).and_then(|code| code.try_into().ok());
            let code = code.map_or(0, i32::from_ne_bytes);
            facts.what = format!("end {code}");
            return facts;
        }
        let Some((header, attributes)) = message.get(20..).and_then(UserHeader::split) else {
            facts.what = "no header".to_owned();
            return facts;
        };
        facts.command = message[16];
        facts.what = format!("command {}", message[16]);
        facts.minor = header.minor;
        facts.code = Some(header.code().0);
        for nest in Attributes::new(attributes).flatten() {
            for (at, attribute) in Attributes::new(nest.payload).flatten().enumerate() {
                let number = (nest.nr, attribute.nr);
                let name = self.names.get(&number).cloned();
                let mut name = name.unwrap_or_else(|| format!("{}.{}", nest.nr, attribute.nr));
                if name.ends_with(".info_text") {
                    let text = String::from_utf8_lossy(attribute.payload);
                    facts.texts.push(text.trim_end_matches('\0').to_owned());
                    continue;
                }
                if facts.values.contains_key(&name) {
                    name = format!("{name}[{at}]");
                }
                facts.values.insert(name, value(attribute.payload));
            }
        }
        facts
    }
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its kind in words.
    pub what: String,
    command: u8,
    minor: u32,
    /// The code of the answer.
    pub code: Option<i32>,
    /// Sentences.
    pub texts: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Facts {
    /// What differs from these facts in others, without what depends on the run.
    #[must_use]
    pub fn differences(&self, found: &Facts, of_the_run: &[(&str, &str)]) -> Vec<String> {
        let mut list = Vec::new();
        // Some of the codes of success tell how it came about; no tool makes a difference.
        let success = |code: Option<i32>| code.is_some_and(|code| RetCode(code).is_success());
        if self.code != found.code && !(success(self.code) && success(found.code)) {
            list.push(format!("code {:?}, not {:?}", found.code, self.code));
        }
        if self.minor != found.minor {
            list.push(format!("minor {}, not {}", found.minor, self.minor));
        }
        // A sentence where there was none is no loss.
        if found.texts.is_empty() && !self.texts.is_empty() {
            list.push(format!("says {:?}, not {:?}", found.texts, self.texts));
        }
        let names: std::collections::BTreeSet<&String> =
            self.values.keys().chain(found.values.keys()).collect();
        for name in names {
            let ignored = of_the_run
                .iter()
                .any(|(one, _)| name == one || name.starts_with(&format!("{one}[")));
            let (recorded, found) = (self.values.get(name), found.values.get(name));
            if !ignored && recorded != found {
                list.push(format!("{name} {found:?}, not {recorded:?}"));
            }
        }
        list
    }
}

/// Compares an answer with the recorded one: message by message of the same kind.
#[must_use]
pub fn compare(
    recordings: &Recordings,
    recorded: &Exchange,
    found: &Exchange,
    of_the_run: &[(&str, &str)],
) -> Vec<String> {
    let facts = |exchange: &Exchange| -> Vec<Facts> {
        let answers = exchange.answers.iter();
        answers.map(|bytes| recordings.facts(bytes)).collect()
    };
    let mut left = facts(found);
    let mut list = Vec::new();
    for recorded in facts(recorded) {
        let Some(at) = left.iter().position(|other| other.what == recorded.what) else {
            let there: Vec<&str> = left.iter().map(|facts| facts.what.as_str()).collect();
            list.push(format!("no {}; left: {there:?}", recorded.what));
            continue;
        };
        let found = left.remove(at);
        for difference in recorded.differences(&found, of_the_run) {
            list.push(format!("{}: {difference}", recorded.what));
        }
    }
    // A tool that knew enough stopped reading before the end.
    let ended = |exchange: &Exchange| facts(exchange).iter().any(|facts| facts.what == END);
    let read_on = ended(recorded);
    for more in left {
        if more.what == END && !read_on {
            continue;
        }
        list.push(format!("{} was not recorded: {more:?}", more.what));
    }
    list
}

/// Replaces a text of the recording by one of this world, of the same length.
pub fn fit(bytes: &mut [u8], recorded: &[u8], here: &[u8]) {
    assert_eq!(recorded.len(), here.len(), "the same length");
    let mut at = 0;
    while at + recorded.len() <= bytes.len() {
        if bytes[at..].starts_with(recorded) {
            bytes[at..at + here.len()].copy_from_slice(here);
        }
        at += 1;
    }
}

/// Numbers as such, texts in quotes, everything else in hexadecimal.
fn value(payload: &[u8]) -> String {
    match payload {
        [byte] => byte.to_string(),
        [a, b, c, d] => i32::from_ne_bytes([*a, *b, *c, *d]).to_string(),
        [] => "\"\"".to_owned(),
        [text @ .., 0] if payload.len() != 8 && text.iter().all(u8::is_ascii_graphic) => {
            format!("{:?}", String::from_utf8_lossy(text))
        }
        _ => hexadecimal(payload),
    }
}

fn half(message: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([message[at], message[at + 1]])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(words: &str) -> Vec<u8> {
    let digits: Vec<u8> = words
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The messages of a recording, and whether they are requests. Those to a group of listeners are left out.
fn messages(text: &str) -> Vec<(bool, Vec<u8>)> {
    let mut all = Vec::new();
    let mut heard: Option<bool> = None;
    let mut bytes = Vec::new();
    for line in text.lines() {
        let is_head = ["-- ", "request", "reply", "multicast", "notification"]
            .iter()
            .any(|word| line.starts_with(word));
        if is_head {
            all.extend(heard.map(|from_user| (from_user, std::mem::take(&mut bytes))));
            bytes.clear();
            heard = match () {
                () if line.contains("user->kernel") => Some(true),
                () if line.contains("kernel->user") && !line.contains("multicast") => Some(false),
                () => None,
            };
        } else if let Some(words) = line.trim_start().strip_prefix("hex: ") {
            bytes.extend(bytes_of(words));
        } else if line.starts_with("      ") && line.as_bytes().get(10..12) == Some(b"  ") {
            bytes.extend(bytes_of(line.get(12..).unwrap_or("")));
        }
    }
    all.extend(heard.map(|from_user| (from_user, bytes)));
    all.retain(|(_, bytes)| bytes.len() >= 16);
    all
}

/// Reads names out of the decoded lines of a recording: `DRBD_NLA_NEST(4|NESTED) field[1]=` and
/// `[4|NESTED] NEST len=` over `[1] field len=`.
fn names(text: &str, names: &mut BTreeMap<(u16, u16), String>) {
    let number = |text: &str| -> Option<u16> {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let mut nest: Option<(u16, String)> = None;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("DRBD_NLA_") {
            let Some((name, rest)) = rest.split_once('(') else {
                continue;
            };
            let Some(nest) = number(rest) else { continue };
            for word in rest.split(' ').skip(1) {
                let Some((field, rest)) = word.split_once('[') else {
                    continue;
                };
                let is_name = field
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if let (true, Some(nr)) = (is_name, number(rest)) {
                    names.entry((nest, nr)).or_insert(format!("{name}.{field}"));
                }
            }
        } else if let Some(rest) = line.strip_prefix('[') {
            let Some(nr) = number(rest) else { continue };
            let word = rest
                .split_once("] ")
                .and_then(|(_, rest)| rest.split(' ').next());
            let Some(word) = word else { continue };
            if word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
                nest = Some((nr, word.to_owned()));
            } else if let Some((outer, name)) = &nest {
                let entry = names.entry((*outer, nr));
                entry.or_insert(format!("{name}.{word}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_recordings_are_read() {
        for (folder, file, count) in [
            ("drbd9/nl", "39-dumps.txt", 4),
            ("control-plane/netlink", "13-status.txt", 4),
        ] {
            let recordings = Recordings::open(folder).unwrap();
            let exchanges = recordings.exchanges(file).unwrap();
            assert_eq!(exchanges.len(), count, "{folder}");
            for exchange in &exchanges {
                let [record, end] = &exchange.answers[..] else {
                    panic!("{folder}: {} answers", exchange.answers.len());
                };
                let facts = recordings.facts(record);
                assert_eq!(facts.code, Some(101));
                assert_eq!(facts.values["CFG_CONTEXT.ctx_resource_name"], "\"r0\"");
                assert_eq!(recordings.facts(end).what, "end 0");
                assert!(compare(&recordings, exchange, exchange, &[]).is_empty());
            }
        }
    }

    #[test]
    fn every_file_has_an_answer_to_every_request() {
        for (folder, requests) in [("drbd9/nl", 72), ("control-plane/netlink", 43)] {
            let recordings = Recordings::open(folder).unwrap();
            let mut count = 0;
            for file in recordings.files().unwrap() {
                for exchange in recordings.exchanges(&file).unwrap() {
                    assert!(!exchange.answers.is_empty(), "{folder} {file}");
                    count += 1;
                }
            }
            assert_eq!(count, requests, "{folder}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let recordings = Recordings::open("drbd9/nl").unwrap();
        let recorded = recordings.exchanges("44-error-reply.txt").unwrap();
        let mut found = recorded.clone();
        // The code of the answer.
        found[0].answers[0][24] = 101;
        let list = compare(&recordings, &recorded[0], &found[0], &[]);
        assert_eq!(list, ["command 44: code Some(101), not Some(162)"]);
        let list = compare(&recordings, &recorded[0], &recorded[1], &[]);
        assert_eq!(list.len(), 2, "{list:?}");
        let dumps = recordings.exchanges("39-dumps.txt").unwrap();
        let mut found = dumps[0].clone();
        let at = found.answers[0].windows(3).position(|w| w == b"r0\0");
        found.answers[0][at.unwrap() + 1] = b'1';
        let list = compare(&recordings, &dumps[0], &found, &[]);
        assert_eq!(
            list,
            ["command 30: CFG_CONTEXT.ctx_resource_name Some(\"\\\"r1\\\"\"), not Some(\"\\\"r0\\\"\")"]
        );
        let ignored = [("CFG_CONTEXT.ctx_resource_name", "a test")];
        assert!(compare(&recordings, &dumps[0], &found, &ignored).is_empty());
    }
}
