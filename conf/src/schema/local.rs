// SPDX-License-Identifier: GPL-2.0-or-later
//! Options the kernel never sees: startup, handlers, proxy.

use super::{Kind, OptionSpec, Scope};

const fn row(name: &'static str, scope: Scope, kind: Kind, help: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        scope,
        kind,
        changeable: true,
        help,
    }
}

const fn seconds(name: &'static str, help: &'static str) -> OptionSpec {
    row(name, Scope::Startup, Kind::Number { max: 300_000 }, help)
}

const fn proxy(name: &'static str) -> OptionSpec {
    row(name, Scope::Proxy, Kind::Number { max: u64::MAX }, "")
}

const fn handler(name: &'static str) -> OptionSpec {
    row(name, Scope::Handlers, Kind::Text { max: 255 }, "")
}

const STARTUP: &[OptionSpec] = &[
    seconds("wfc-timeout", "Seconds to wait for the peer; 0 for ever"),
    seconds(
        "degr-wfc-timeout",
        "The same for a node that was alone when it went down",
    ),
    seconds(
        "outdated-wfc-timeout",
        "The same for a peer whose disk was outdated",
    ),
    row(
        "wait-after-sb",
        Scope::Startup,
        Kind::YesNo,
        "Go on waiting after a split brain",
    ),
];

const HANDLERS: &[OptionSpec] = &[
    handler("pri-on-incon-degr"),
    handler("pri-lost-after-sb"),
    handler("pri-lost"),
    handler("initial-split-brain"),
    handler("split-brain"),
    handler("fence-peer"),
    handler("unfence-peer"),
    handler("local-io-error"),
    handler("before-resync-target"),
    handler("before-resync-source"),
    handler("after-resync-target"),
    handler("out-of-sync"),
    handler("quorum-lost"),
    handler("disconnected"),
];

const PROXY: &[OptionSpec] = &[
    proxy("memlimit"),
    proxy("read-loops"),
    proxy("compression"),
    proxy("bwlimit"),
    proxy("sndbuf-size"),
    proxy("rcvbuf-size"),
    proxy("ping-timeout"),
];

/// The options of one of the three groups.
pub(super) fn options(scope: Scope) -> impl Iterator<Item = OptionSpec> {
    let table = match scope {
        Scope::Startup => STARTUP,
        Scope::Handlers => HANDLERS,
        Scope::Proxy => PROXY,
        Scope::Resource | Scope::Disk | Scope::PeerDevice | Scope::Device | Scope::Net => &[],
    };
    table.iter().copied()
}
