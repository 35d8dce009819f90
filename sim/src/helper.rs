// SPDX-License-Identifier: GPL-2.0-or-later
//! Helper programs: they take a while, and say what chance has them say.

use super::world::World;
use drbd_core::state::action::Helper;

impl World {
    /// Nodes run helper programs, as they do in a long story.
    pub(crate) fn enable_helpers(&mut self) {
        for node in &mut self.nodes {
            node.helpers = true;
            for vol in &mut node.vols {
                vol.volume.enable_helpers(true);
            }
        }
    }

    /// The helper of a volume ends, or takes a little longer.
    pub(crate) fn helper_ends(&mut self, n: usize, v: usize) -> bool {
        let now = self.now;
        if !self.calm && !self.rng.one_in(4) {
            return true;
        }
        let vol = &mut self.nodes[n].vols[v];
        let Some(helper) = vol.helper.take() else {
            return false;
        };
        let refuses = match helper {
            Helper::BeforeResyncSource => self.rng.pick(&[1, 3]),
            Helper::BeforeResyncTarget => 1,
            _ => 7,
        };
        let code = if !self.calm && self.rng.one_in(12) {
            refuses
        } else {
            0
        };
        let node = &mut self.nodes[n];
        node.vols[v].volume.helper_done(code, &mut node.queues, now);
        node.vols[v].after();
        true
    }
}
