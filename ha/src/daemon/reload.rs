// SPDX-License-Identifier: GPL-2.0-or-later
//! Reading the configuration again, without interrupting anything. What is wrong changes nothing.

use crate::config::Config;
use crate::core::input::Input;

use super::hands::Hands;
use super::heart::Inbox;
use super::{cluster, keys, load, outfit, Options};

/// What can't change while the daemon runs: who is in the cluster and how they reach each other.
fn changes_nodes(old: &Config, new: &Config) -> bool {
    let nodes = |config: &Config| {
        let nodes = config.nodes().map(|node| {
            let links: Vec<String> = node
                .links
                .iter()
                .map(|link| link.as_ref().clone())
                .collect();
            (
                node.name.as_ref().clone(),
                *node.id.as_ref(),
                node.votes,
                links,
            )
        });
        nodes.collect::<Vec<_>>()
    };
    nodes(old) != nodes(new)
        || old.file.cluster.name.as_ref() != new.file.cluster.name.as_ref()
        || old.file.watchdog().device != new.file.watchdog().device
        || old.file.watchdog().timeout != new.file.watchdog().timeout
        || old.file.metrics.listen != new.file.metrics.listen
}

/// Reads it; what became of it.
pub(super) fn again(options: &Options, hands: &Hands) -> Result<String, String> {
    let result = try_again(options, hands);
    match &result {
        Ok(text) => tracing::info!("{text}"),
        Err(text) => tracing::error!("{text}"),
    }
    result
}

fn try_again(options: &Options, hands: &Hands) -> Result<String, String> {
    let unchanged = |error: anyhow::Error| format!("the configuration stays as it was: {error:#}");
    let config = load(options).map_err(unchanged)?;
    let keys = keys(&config).map_err(unchanged)?;
    if changes_nodes(&hands.outfit().config, &config) {
        return Err(
            "the configuration stays as it was: nodes, links, watchdog, metrics or the cluster's name changed, which takes a restart of the daemon"
                .to_owned(),
        );
    }
    let core = cluster(&config);
    hands.dress(outfit(config, &options.places));
    // The core is gone only when the daemon ends.
    let _ = hands.inbox.send(Inbox::Keys(keys));
    hands.input(Input::Reload(Box::new(core)));
    Ok("the configuration was read again".to_owned())
}
