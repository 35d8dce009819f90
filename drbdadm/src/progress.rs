// SPDX-License-Identifier: GPL-2.0-or-later
//! Bars that show how far the things are that a command waits for.
//!
//! They are for somebody who looks at a terminal; without one nothing is drawn
//! and the kernel is not asked.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::kernel;

/// Parts of a bar: a tenth of a percent each.
const PARTS: u64 = 1000;

/// Bars for one wait.
pub(crate) struct Bars {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Bars {
    /// Bars, if somebody sees them.
    pub(crate) fn new() -> Option<Bars> {
        std::io::stderr().is_terminal().then(|| Bars {
            all: MultiProgress::new(),
            bars: BTreeMap::new(),
        })
    }

    /// Draws what the kernel says of a resource.
    pub(crate) fn draw(&mut self, resource: &kernel::Resource) {
        for (name, part, text) in lines(resource) {
            let bar = self.bars.entry(name.clone()).or_insert_with(|| {
                let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}");
                let bar = self.all.add(ProgressBar::new(PARTS));
                bar.set_prefix(name);
                match style {
                    Ok(style) => bar.with_style(style.progress_chars("=> ")),
                    Err(_) => bar,
                }
            });
            bar.set_position(part);
            bar.set_message(text);
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&mut self) {
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
    }
}

/// For each volume of each peer: its name, how far it is, and in words.
fn lines(resource: &kernel::Resource) -> Vec<(String, u64, String)> {
    let mut list = Vec::new();
    for connection in &resource.connections {
        for device in &connection.peer_devices {
            let name = format!("{}/{} {}", resource.name, device.volume, connection.name);
            let (part, text) = if !connection.is_connected() {
                (0, connection.connection_state.clone())
            } else if device.is_busy() {
                let done = device.percent_done.unwrap_or(device.percent_in_sync);
                let mut text = format!("{} {done:.1} %", device.replication_state);
                if let Some(seconds) = device.seconds_left.filter(|seconds| *seconds > 0) {
                    text.push_str(&format!(", {} left", crate::explain::duration(seconds)));
                }
                (parts(done), text)
            } else {
                (PARTS, device.replication_state.clone())
            };
            list.push((name, part, text));
        }
    }
    list
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the value is for display"
)]
fn parts(percent: f64) -> u64 {
    ((percent * 10.0) as u64).min(PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_far_as_the_kernel_says() {
        let text = r#"[{"name": "r0", "connections": [
            {"name": "bravo", "connection-state": "Connected", "peer_devices": [
                {"volume": 0, "replication-state": "SyncTarget", "percent-resync-done": 25.55,
                 "estimated-seconds-to-finish": 61}]},
            {"name": "charlie", "connection-state": "Connecting", "peer_devices": [{"volume": 0}]}]}]"#;
        let resource = &kernel::parse(text).unwrap()[0];
        assert_eq!(
            lines(resource),
            [
                (
                    "r0/0 bravo".into(),
                    255,
                    "SyncTarget 25.6 %, 1m01s left".into()
                ),
                ("r0/0 charlie".into(), 0, "Connecting".into()),
            ]
        );
    }
}
