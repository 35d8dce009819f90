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

/// Options of the kernel that only drivers of generation 8.4 have.
const ONLY_IN_84: &[OptionSpec] = &[
    row(
        "max-bio-bvecs",
        Scope::Disk,
        Kind::Number { max: 128 },
        "Most pages in a request to the disk; 0 for what the disk takes",
    ),
    row(
        "unplug-watermark",
        Scope::Net,
        Kind::Number { max: 131_072 },
        "Requests in flight that make the disk be unplugged",
    ),
];

/// The options of [`ONLY_IN_84`].
pub(super) fn only_in_84() -> impl Iterator<Item = OptionSpec> {
    ONLY_IN_84.iter().copied()
}

/// Whether an option is one of [`ONLY_IN_84`].
pub(super) fn is_only_in_84(spec: &OptionSpec) -> bool {
    ONLY_IN_84
        .iter()
        .any(|only| only.name == spec.name && only.scope == spec.scope)
}

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
