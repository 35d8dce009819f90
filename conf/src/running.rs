// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel runs, as `drbdsetup show` prints it.
//!
//! The text looks like drbd.conf and has a few statements of its own. It is
//! read generously: what is not known is skipped, so that a newer drbdsetup
//! does not stop `adjust`.

use crate::lexer::{tokens, Token, TokenKind};
use crate::source::SourceMap;

/// A name and a value.
pub type Pair = (String, String);

/// One resource in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Node id of this node.
    pub node_id: Option<u32>,
    /// `options { }`.
    pub options: Vec<Pair>,
    /// Volumes of this node.
    pub volumes: Vec<RunningVolume>,
    /// Connections.
    pub connections: Vec<RunningConnection>,
    /// The connection of a driver of generation 8.4.
    pub only_peer: OnlyPeer,
}

/// The connection of a resource in a driver of generation 8.4, which has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnlyPeer {
    /// Address of this node, as drbdsetup takes it.
    pub ours: Option<String>,
    /// Address of the peer.
    pub theirs: Option<String>,
    /// `net { }`.
    pub net: Vec<Pair>,
}

/// A volume in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningVolume {
    /// Its number.
    pub number: u32,
    /// Its minor.
    pub minor: u32,
    /// Backing device, if one is attached.
    pub disk: Option<String>,
    /// `internal` or the metadata device.
    pub meta_disk: Option<String>,
    /// Options of the disk and the volume.
    pub options: Vec<Pair>,
}

/// A connection in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningConnection {
    /// Node id of the peer.
    pub peer_node_id: u32,
    /// Whether it neither is connected nor tries to be.
    pub standalone: bool,
    /// State word, if drbdsetup prints it.
    pub state: Option<String>,
    /// Local and remote address, as drbdsetup takes them.
    pub paths: Vec<Pair>,
    /// `net { }`.
    pub net: Vec<Pair>,
    /// Options per volume.
    pub peer_devices: Vec<(u32, Vec<Pair>)>,
}

/// A statement: words, and a block if it ends in one.
#[derive(Debug, Default)]
struct Statement {
    words: Vec<String>,
    block: Option<Vec<Statement>>,
}

/// Deeper nesting is not looked into.
const DEPTH_MAX: usize = 16;

impl Running {
    /// The first resource of a text, or `None` if there is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Running> {
        let mut sources = SourceMap::default();
        let file = sources.add("drbdsetup show".into(), text.to_owned());
        let list = tokens(&sources, file);
        let mut at = 0;
        let statements = block(&list, &mut at, 0);
        let resource = statements
            .into_iter()
            .find(|statement| statement.word(0) == "resource")?;
        Some(read_resource(&resource))
    }
}

impl Statement {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    fn inner(&self) -> &[Statement] {
        self.block.as_deref().unwrap_or(&[])
    }

    /// Family and endpoint behind the first word, as drbdsetup takes them.
    fn address(&self) -> String {
        format!("{}:{}", self.word(1), self.word(2))
    }

    /// Options of a section: a bare name means yes.
    fn pairs(&self) -> Vec<Pair> {
        self.inner()
            .iter()
            .filter(|statement| statement.block.is_none() && !statement.words.is_empty())
            .filter(|statement| statement.word(0) != "_unknown")
            .map(|statement| {
                let value = statement.words.get(1).map_or("yes", String::as_str);
                (statement.word(0).to_owned(), value.to_owned())
            })
            .collect()
    }
}

fn block(tokens: &[Token], at: &mut usize, depth: usize) -> Vec<Statement> {
    let mut list = Vec::new();
    let mut statement = Statement::default();
    // A colon or bracket joins its neighbours to one word: `10.0.0.1:7788`.
    let mut glue = false;
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match &token.kind {
            TokenKind::End => break,
            TokenKind::Punct('}') if depth > 0 => break,
            TokenKind::Punct(';') => {
                list.push(std::mem::take(&mut statement));
                glue = false;
            }
            TokenKind::Punct('{') if depth < DEPTH_MAX => {
                statement.block = Some(block(tokens, at, depth + 1));
                list.push(std::mem::take(&mut statement));
                glue = false;
            }
            TokenKind::Punct(c) => {
                // `[` begins a word; everything else goes on with one.
                if *c == '[' && !glue {
                    statement.words.push(String::new());
                }
                match statement.words.last_mut() {
                    Some(last) => last.push(*c),
                    None => statement.words.push(c.to_string()),
                }
                glue = *c != ']';
            }
            TokenKind::Word | TokenKind::Quoted | TokenKind::Ipv6 => {
                match statement.words.last_mut() {
                    Some(last) if glue => last.push_str(&token.text),
                    _ => statement.words.push(token.text.clone()),
                }
                glue = false;
            }
            TokenKind::Bad => {}
        }
    }
    if !statement.words.is_empty() {
        list.push(statement);
    }
    list
}

fn read_resource(resource: &Statement) -> Running {
    let mut running = Running {
        name: resource.word(1).to_owned(),
        ..Running::default()
    };
    for statement in resource.inner() {
        match statement.word(0) {
            "options" => running.options = statement.pairs(),
            "_this_host" => {
                for inner in statement.inner() {
                    match inner.word(0) {
                        "node-id" => running.node_id = inner.word(1).parse().ok(),
                        "volume" => running.volumes.extend(read_volume(inner)),
                        "address" => running.only_peer.ours = Some(inner.address()),
                        _ => {}
                    }
                }
            }
            "_remote_host" => {
                let address = statement
                    .inner()
                    .iter()
                    .find(|inner| inner.word(0) == "address");
                running.only_peer.theirs = address.map(Statement::address);
            }
            "net" => running.only_peer.net = statement.pairs(),
            "connection" => running.connections.extend(read_connection(statement)),
            _ => {}
        }
    }
    running
}

fn read_volume(volume: &Statement) -> Option<RunningVolume> {
    let mut out = RunningVolume {
        number: volume.word(1).parse().ok()?,
        ..RunningVolume::default()
    };
    for statement in volume.inner() {
        match (statement.word(0), statement.block.is_some()) {
            ("device", _) => {
                let at = statement.words.iter().position(|word| word == "minor")?;
                out.minor = statement.word(at + 1).parse().ok()?;
            }
            ("disk", true) => out.options = statement.pairs(),
            ("disk", false) => {
                let disk = statement.word(1);
                out.disk = (disk != "none").then(|| disk.to_owned());
            }
            ("meta-disk", _) => out.meta_disk = Some(statement.word(1).to_owned()),
            _ => {}
        }
    }
    Some(out)
}

fn read_connection(connection: &Statement) -> Option<RunningConnection> {
    let mut out = RunningConnection::default();
    let mut peer = None;
    for statement in connection.inner() {
        match statement.word(0) {
            "_peer_node_id" => peer = statement.word(1).parse().ok(),
            "_is_standalone" => out.standalone = true,
            "_cstate" => {
                out.standalone = statement.word(1) == "StandAlone";
                out.state = Some(statement.word(1).to_owned());
            }
            "net" => out.net = statement.pairs(),
            "path" => {
                let end = |name: &str| {
                    statement
                        .inner()
                        .iter()
                        .find(|inner| inner.word(0) == name)
                        .map(Statement::address)
                };
                if let (Some(ours), Some(theirs)) = (end("_this_host"), end("_remote_host")) {
                    out.paths.push((ours, theirs));
                }
            }
            "volume" => {
                let number = statement.word(1).parse().ok()?;
                let options = statement
                    .inner()
                    .iter()
                    .filter(|inner| inner.word(0) == "disk")
                    .flat_map(Statement::pairs)
                    .collect();
                out.peer_devices.push((number, options));
            }
            _ => {}
        }
    }
    out.peer_node_id = peer?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"
resource "r0" {
    options {
        quorum          	majority;
        _unknown        	something;
    }
    _this_host {
        node-id			0;
        volume 0 {
            device			minor 7;
            disk			"/dev/vdb";
            meta-disk			"/dev/vdc" [ 3 ];
            disk {
                al-extents      	2048;
            }
        }
        volume 1 {
            device			minor 8;
        }
    }
    connection {
        _peer_node_id 1;
        path {
            _this_host ipv4 10.9.0.1:7788;
            _remote_host ipv6 [fd00::2]:7788;
        }
        _cstate StandAlone;
        net {
            timeout         	290; # 1/10 seconds
            _name           	"n2";
        }
        volume 0 {
            disk {
                c-max-rate      	409600k; # bytes/second
            }
        }
    }
}
"#;

    #[test]
    fn reads_what_drbdsetup_shows() {
        let running = Running::parse(SHOWN).unwrap();
        assert_eq!(running.name, "r0");
        assert_eq!(running.node_id, Some(0));
        assert_eq!(running.options, [("quorum".into(), "majority".into())]);
        let [first, second] = &running.volumes[..] else {
            panic!("{running:?}")
        };
        assert_eq!(first.minor, 7);
        assert_eq!(first.disk.as_deref(), Some("/dev/vdb"));
        assert_eq!(first.meta_disk.as_deref(), Some("/dev/vdc"));
        assert_eq!(first.options, [("al-extents".into(), "2048".into())]);
        assert_eq!((second.minor, &second.disk), (8, &None));
        let [peer] = &running.connections[..] else {
            panic!("{running:?}")
        };
        assert!(peer.standalone);
        assert_eq!(
            peer.paths,
            [(
                "ipv4:10.9.0.1:7788".to_owned(),
                "ipv6:[fd00::2]:7788".to_owned()
            )]
        );
        assert_eq!(peer.net[0], ("timeout".into(), "290".into()));
        assert_eq!(peer.peer_devices[0].0, 0);
    }

    #[test]
    fn reads_what_drbdsetup_of_8_4_shows() {
        let text = "resource r0 { net { protocol C; } _remote_host { address ipv6 [fd00::2]:7; } \
            _this_host { address ipv4 10.0.0.1:7788; volume 0 { device minor 1; } } }";
        let running = Running::parse(text).unwrap();
        let peer = running.only_peer;
        assert_eq!(peer.ours.as_deref(), Some("ipv4:10.0.0.1:7788"));
        assert_eq!(peer.theirs.as_deref(), Some("ipv6:[fd00::2]:7"));
        assert_eq!(peer.net, [("protocol".into(), "C".into())]);
        assert_eq!(running.volumes[0].minor, 1);
    }

    #[test]
    fn nothing_configured_is_nothing() {
        assert_eq!(
            Running::parse("# No currently configured DRBD found.\n"),
            None
        );
        assert_eq!(Running::parse(""), None);
        assert_eq!(Running::parse("}}}} {{{ ;;; resource"), None);
    }

    #[test]
    fn nesting_without_end_is_survived() {
        let _ = Running::parse(&"a {".repeat(100_000));
    }
}
