// SPDX-License-Identifier: GPL-2.0-or-later
//! Fence devices: they act on their target whatever has become of who asked.

use super::fault::Device;
use super::world::{Happening, World};
use crate::core::id::{FenceId, NodeId};
use crate::core::input::Input;

/// A device switched a node off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fenced {
    pub(super) target: NodeId,
    /// When it was asked to.
    pub(super) asked_ms: u64,
    pub(super) off_ms: u64,
    /// It had power until then.
    pub(super) was_on: bool,
}

/// A device was asked to switch a node off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) by: NodeId,
    /// Which of its daemons asked.
    pub(super) daemon: u64,
    pub(super) id: FenceId,
    pub(super) target: NodeId,
    pub(super) asked_ms: u64,
}

impl World {
    pub(super) fn start_fencing(&mut self, by: NodeId, id: FenceId, target: NodeId, level: u8) {
        self.tell(|| format!("{by} fences {target} (level {level})"));
        self.check_right_to_fence(by, target);
        let device = self.devices.get(&target).copied().unwrap_or(Device::Works);
        let delay_ms = match device {
            Device::Slow => self.chance.range(20_000, 40_000),
            Device::Works | Device::Refuses | Device::Denies => self.chance.range(200, 3000),
        };
        let daemon = self.nodes.get(&by).map_or(0, |sim| sim.daemons);
        let order = Order {
            by,
            daemon,
            id,
            target,
            asked_ms: self.now_ms,
        };
        self.at(delay_ms, Happening::FenceEnd(order));
    }

    pub(super) fn fence_end(&mut self, order: Order) {
        let Order {
            by,
            daemon,
            id,
            target,
            asked_ms,
        } = order;
        let device = self.devices.get(&target).copied().unwrap_or(Device::Works);
        if device != Device::Refuses {
            self.fenced.push(Fenced {
                target,
                asked_ms,
                off_ms: self.now_ms,
                was_on: self.nodes.get(&target).is_some_and(|sim| sim.on),
            });
            self.check_fencings(target);
            // Sometimes a reboot, mostly switched on again by somebody much later.
            let off_ms = if self.chance.percent(50) {
                self.chance.range(3000, 9000)
            } else {
                self.chance.range(9000, 50_000)
            };
            self.tell(|| format!("the device switches {target} off"));
            self.power_cut(target, off_ms);
        }
        if self.nodes.get(&by).is_none_or(|sim| sim.daemons != daemon) {
            return;
        }
        // Its answer takes a while: sometimes so long that the target is back before.
        let result = match device {
            Device::Works | Device::Slow => Ok(()),
            Device::Refuses => Err("the device refuses".to_owned()),
            Device::Denies => Err("the device says that it failed".to_owned()),
        };
        let answer_ms = if self.chance.percent(15) {
            self.chance.range(1000, 25_000)
        } else {
            self.chance.range(10, 1000)
        };
        self.at(
            answer_ms,
            Happening::FenceAnswer {
                by,
                daemon,
                id,
                result,
            },
        );
    }

    pub(super) fn fence_answer(
        &mut self,
        by: NodeId,
        daemon: u64,
        id: FenceId,
        result: Result<(), String>,
    ) {
        if self.nodes.get(&by).is_some_and(|sim| sim.daemons == daemon) {
            self.feed(by, Input::FenceDone { id, result });
        }
    }
}
