// SPDX-License-Identifier: GPL-2.0-or-later
//! The fence-peer handler: `fence-peer "drbd-hactl fence-peer"` in drbd.conf. Whatever goes wrong here ends with 1, which
//! proves nothing to the driver: I/O stays frozen, a promotion is refused (failover.md section 3).

use std::path::Path;
use std::time::Duration;

use crate::daemon::protocol::{Answer, Request};

use super::client::Client;

/// What the driver understands; anything else is "broken".
const CODES: [u8; 6] = [1, 3, 4, 5, 6, 7];
/// Left for the answer on its way.
const MARGIN: Duration = Duration::from_secs(2);

/// Asks the daemon; the exit code.
pub(super) fn run(socket: &Path, resource: Option<&str>, limit: Duration) -> u8 {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let resource = resource.map(str::to_owned);
    let Some(resource) = resource.or_else(|| variable("DRBD_RESOURCE")) else {
        eprintln!("drbd-hactl fence-peer: no resource: DRBD_RESOURCE is not set");
        return 1;
    };
    // A name that is not ours is left to the daemon's own knowledge of who the peer is.
    let peers = variable("DRBD_PEERS").or_else(|| variable("DRBD_PEER"));
    let peer = peers.and_then(|peers| peers.split_whitespace().next().map(str::to_owned));
    match ask(socket, &resource, peer, limit) {
        Ok((code, reason)) => {
            eprintln!("drbd-hactl fence-peer {resource}: exit code {code}: {reason}");
            if CODES.contains(&code) {
                code
            } else {
                1
            }
        }
        Err(error) => {
            eprintln!("drbd-hactl fence-peer {resource}: {error:#}");
            1
        }
    }
}

fn ask(
    socket: &Path,
    resource: &str,
    peer: Option<String>,
    limit: Duration,
) -> anyhow::Result<(u8, String)> {
    let mut client = Client::connect(socket)?;
    client.limit(limit)?;
    let within = limit.saturating_sub(MARGIN).max(limit / 2);
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let request = |peer| Request::FencePeer {
        resource: resource.to_owned(),
        peer,
        within_ms,
    };
    let answer = match client.ask(&request(peer.clone()))?.1 {
        // The host may have another name in drbd.conf.
        Answer::Refused { text } if peer.is_some() => {
            eprintln!("drbd-hactl fence-peer {resource}: {text}");
            client.ask(&request(None))?.1
        }
        answer => answer,
    };
    match answer {
        Answer::FencePeer { code, reason } => Ok((code, reason)),
        Answer::Refused { text } => Ok((1, text)),
        other => anyhow::bail!("drbd-had answers something else: {other:?}"),
    }
}
