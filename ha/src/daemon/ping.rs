// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether anybody of the ping group answers: who hears nobody is the one that is cut off.

use std::sync::Arc;
use std::time::Duration;

use crate::core::input::Input;
use crate::exec::process::Program;

use super::hands::Hands;

const PAUSE: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(3);

/// Runs as long as the daemon.
pub(super) async fn watch(hands: Arc<Hands>) {
    loop {
        let outfit = hands.outfit();
        let group = &outfit.config.file.quorum.ping_group;
        if !group.is_empty() {
            let addresses = group.iter().map(|address| address.as_ref().clone());
            let answers = any(addresses.collect()).await;
            hands.input(Input::Ping { answers });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether one of them answers, all asked at once.
async fn any(addresses: Vec<String>) -> bool {
    let mut tasks = tokio::task::JoinSet::new();
    for address in addresses {
        let words = ["-n", "-q", "-c", "1", "-W", "1", &address];
        tasks.spawn(Program::new("ping", &words).run(LIMIT));
    }
    while let Some(ended) = tasks.join_next().await {
        if ended.is_ok_and(|ended| ended.code() == Some(0)) {
            return true;
        }
    }
    false
}
