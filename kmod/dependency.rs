// SPDX-License-Identifier: GPL-2.0-or-later
//! resync-after between the minors of all resources.

use crate::{
    admin::{kernel_error, refuse, Failure},
    device::Device,
    os::lock::Arc,
    resource::Registry,
};
use drbd_core::{
    engine::dependency::{closes_circle, is_held, Predecessor},
    genl::RetCode,
};
use kernel::prelude::*;

/// All minors, each with the one that it comes after.
struct Minors(KVec<(Arc<Device>, Option<u32>)>);

impl Minors {
    fn of(registry: &Registry) -> Result<Self> {
        let mut all = KVec::new();
        for resource in registry.resources()?.iter() {
            for device in resource.devices()?.iter() {
                let after = device
                    .disk_options
                    .lock()
                    .as_ref()
                    .and_then(|options| u32::try_from(options.resync_after).ok());
                all.push((device.clone(), after), GFP_KERNEL)?;
            }
        }
        Ok(Minors(all))
    }

    fn look(&self, minor: u32) -> Option<Predecessor> {
        let (device, after) = self.0.iter().find(|(device, _)| device.minor == minor)?;
        Some(Predecessor {
            state: device.state(),
            after: *after,
        })
    }
}

/// Refuses a circle of dependencies. Minors that do not exist may be named: they may come.
/// Context: task.
pub(crate) fn check(registry: &Registry, minor: u32, resync_after: i32) -> Result<(), Failure> {
    let after = u32::try_from(resync_after).ok();
    let minors = Minors::of(registry).map_err(kernel_error)?;
    if closes_circle(minor, after, |minor| minors.look(minor)) {
        return Err(refuse(
            RetCode::ERR_RESYNC_AFTER_CYCLE,
            "resync-after: that minor comes after this one already; name another, or -1 for none",
        ));
    }
    Ok(())
}

/// Pauses whose resync has to wait, and lets the others go on. Context: task, no lock held but
/// that of a resource's commands.
pub(crate) fn evaluate(registry: &Registry) {
    let _one_at_a_time = registry.dependencies.lock();
    let Ok(minors) = Minors::of(registry) else {
        return;
    };
    // Whoever is held holds others: until nothing changes.
    for _ in 0..=minors.0.len() {
        let mut changed = false;
        for (device, after) in minors.0.iter() {
            let held = is_held(*after, |minor| minors.look(minor));
            if held == device.state().aftr_isp {
                continue;
            }
            changed |= device.with(|inner, link, now| inner.volume.hold_resync(held, link, now));
        }
        if !changed {
            return;
        }
    }
}
