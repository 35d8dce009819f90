// SPDX-License-Identifier: GPL-2.0-or-later
//! Looks at DRBD's resources whenever `drbdsetup events2` says that something changed, and now and then anyway.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::core::drbd::DrbdBrief;
use crate::exec::drbd::Look;

use super::hands::Hands;

/// Between two looks while nothing tells of changes.
const POLL: Duration = Duration::from_secs(1);
/// The same while something does: out-of-sync counts are not told.
const POLL_RARELY: Duration = Duration::from_secs(5);
/// Changes come in bursts.
const BURST: Duration = Duration::from_millis(50);

/// Runs as long as the daemon.
pub(super) async fn watch(hands: Arc<Hands>) {
    let mut events = None;
    loop {
        look(&hands).await;
        let outfit = hands.outfit();
        if outfit.executor.drbd_resources().next().is_none() {
            tokio::time::sleep(POLL_RARELY).await;
            continue;
        }
        if events.is_none() && outfit.executor.drbd().proc.exists() {
            events = follow(&hands);
        }
        let Some((_, lines)) = &mut events else {
            tokio::time::sleep(POLL).await;
            continue;
        };
        match tokio::time::timeout(POLL_RARELY, lines.next_line()).await {
            Ok(Ok(Some(_))) => {
                tokio::time::sleep(BURST).await;
                // What has come meanwhile is of the same burst.
                while let Ok(Ok(Some(_))) =
                    tokio::time::timeout(Duration::ZERO, lines.next_line()).await
                {}
            }
            // The driver was unloaded, or these tools tell nothing.
            Ok(Ok(None) | Err(_)) => {
                events = None;
                tokio::time::sleep(POLL).await;
            }
            Err(_) => {}
        }
    }
}

async fn look(hands: &Hands) {
    let outfit = hands.outfit();
    for resource in outfit.executor.drbd_resources() {
        match outfit.executor.drbd().look(resource).await {
            Look::Up(brief) => hands.drbd_seen(resource, brief),
            Look::Down => hands.drbd_seen(resource, DrbdBrief::default()),
            // What was known stays known.
            Look::Failed(why) => tracing::warn!(RESOURCE = resource, "{why}"),
        }
    }
}

fn follow(hands: &Hands) -> Option<(Child, Lines<BufReader<ChildStdout>>)> {
    let outfit = hands.outfit();
    let mut child = Command::new(&outfit.executor.drbd().drbdsetup)
        .args(["events2", "all"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let lines = BufReader::new(child.stdout.take()?).lines();
    Some((child, lines))
}
