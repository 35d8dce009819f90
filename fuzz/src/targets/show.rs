// SPDX-License-Identifier: GPL-2.0-or-later
//! What `drbdsetup show` printed, as `drbdadm adjust` reads it.

use drbd_conf::Running;

use super::Target;
use crate::mutate::mutate;
use crate::{seeds, Trace};

const BYTES_MAX: usize = 16 << 10;

pub(super) const TARGET: Target = Target {
    name: "show",
    about: "the output of drbdsetup show, read by adjust",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 64 << 20,
    seeds: || seeds::contents("conf/tests/golden/adjust-v84", ".show"),
    words: || {
        [
            "_this_host {",
            "_remote_host {",
            "_peer_node_id ",
            "volume 0 {",
            "connection {",
            "path {",
            "options {",
            "net {",
            "disk {",
            "device minor 0;",
            "# bytes",
            "}",
            ";",
        ]
        .map(|word| word.as_bytes().to_vec())
        .to_vec()
    },
    change: |rng, input, others, words| mutate(rng, input, others, words, BYTES_MAX),
    run,
};

fn run(input: &[u8], trace: &mut Trace) {
    let running = Running::parse(&String::from_utf8_lossy(input));
    trace.note(running.is_some());
    if let Some(running) = running {
        trace.note((
            running.volumes.len().min(4),
            running.connections.len().min(4),
            running.options.len().min(8),
            running.only_peer.ours.is_some(),
            running.only_peer.net.len().min(8),
            running.node_id.is_some(),
        ));
    }
}
