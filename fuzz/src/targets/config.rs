// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd.conf: read, resolved and printed, in both dialects; what is accepted prints to a text that is accepted and prints
//! the same.

use drbd_conf::{load_text_as, print, resolve, Dialect, LocalHost, Resolved};
use drbd_core::config::{
    DeviceOptions, DiskOptions, NetOptions, OptionGroup, PeerDeviceOptions, ResourceOptions,
};

use super::Target;
use crate::mutate::mutate;
use crate::{seeds, Trace};

const BYTES_MAX: usize = 16 << 10;

pub(super) const TARGET: Target = Target {
    name: "config",
    about: "drbd.conf, in both dialects",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 256 << 20,
    seeds: || {
        let mut all = seeds::contents("conf/tests/golden/in", ".conf");
        all.extend(seeds::contents("conf/tests/golden/bad", ".conf"));
        all
    },
    words,
    change: |rng, input, others, words| mutate(rng, input, others, words, BYTES_MAX),
    run,
};

/// Words of the language that are no options.
const WORDS: [&str; 42] = [
    "resource ",
    "on ",
    "volume 0 {",
    "device ",
    "disk ",
    "meta-disk internal;",
    "address ",
    "node-id ",
    "net {",
    "options {",
    "handlers {",
    "startup {",
    "common {",
    "global {",
    "connection {",
    "connection-mesh {",
    "hosts ",
    "host ",
    "path {",
    "floating ",
    "stacked-on-top-of ",
    "skip ",
    "include ",
    "template-file ",
    "_this_host ",
    "_remote_host ",
    "minor 0",
    "/dev/drbd0",
    "flexible-meta-disk ",
    "port ",
    "via ",
    "proxy {",
    "ipv6 [::1]:7788",
    "ssocks ",
    "inherit ",
    "usage-count no;",
    "syncer {",
    "protocol C;",
    "{",
    "}",
    ";",
    "\"",
];

fn words() -> Vec<Vec<u8>> {
    let options = [
        ResourceOptions::TABLE,
        DiskOptions::TABLE,
        NetOptions::TABLE,
        PeerDeviceOptions::TABLE,
        DeviceOptions::TABLE,
    ];
    let options = options.into_iter().flatten();
    let names = options.filter_map(|spec| spec.option.map(|name| format!("{name} ")));
    let words = WORDS.iter().map(|word| (*word).to_owned());
    names.chain(words).map(String::into_bytes).collect()
}

fn run(input: &[u8], trace: &mut Trace) {
    let text = String::from_utf8_lossy(input);
    if reads_files(&text) {
        return;
    }
    for dialect in [Dialect::V9, Dialect::V84] {
        let Some(resolved) = read(&text, dialect, trace) else {
            continue;
        };
        trace.note((resolved.full.len().min(3), resolved.plain.len().min(3)));
        let printed = print::dump_all(&resolved, false);
        let _ = (print::dump_all(&resolved, true), print::dump_xml(&resolved));
        // Like the reference, `dump` leaves out the devices of stacked hosts.
        if printed.contains("stacked-on-top-of") {
            continue;
        }
        let again = read(&printed, dialect, &mut Trace::default());
        let again = again.unwrap_or_else(|| panic!("refuses what it printed:\n{printed}"));
        let again = print::dump_all(&again, false);
        assert_eq!(without_comments(&again), without_comments(&printed));
    }
}

/// Comments say in which line something was defined.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the text may name files of this machine: what they are is not a matter of the parser.
fn reads_files(text: &str) -> bool {
    ["include", "template-file"].iter().any(|word| {
        let named = text.split(word).skip(1);
        named.map(str::trim_start).any(|rest| {
            rest.trim_start_matches('"')
                .starts_with(['/', '.', '*', '\\'])
        })
    })
}

/// The text as node `alpha` understands it; none when it is refused.
fn read(text: &str, dialect: Dialect, trace: &mut Trace) -> Option<Resolved> {
    let local = LocalHost {
        nodename: "alpha",
        has_address: &|_| false,
        interactive: false,
        peer: None,
    };
    // Relative includes start from here, where nothing is.
    let (config, found) = load_text_as("/nonexistent/drbd.conf", text.to_owned(), dialect);
    let _ = found.render(&config.sources);
    for diagnostic in found.iter() {
        trace.note_message(&diagnostic.message);
    }
    if found.exit_code().is_some() {
        return None;
    }
    let (resolved, found) = resolve(config, &local);
    let _ = found.render(&resolved.config.sources);
    for diagnostic in found.iter() {
        trace.note_message(&diagnostic.message);
    }
    found.exit_code().is_none().then_some(resolved)
}
