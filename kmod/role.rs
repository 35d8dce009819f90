// SPDX-License-Identifier: GPL-2.0-or-later
//! primary and secondary: hosts the engine's promotion.

use crate::{
    admin::{kernel_error, refuse, state_code, Outcome},
    change::request_state,
    device::Device,
    fence, liveness,
    os::{lock::Arc, timer::sleep_ms},
    resource::Resource,
};
use drbd_core::{
    engine::promotion::{Promotion, Step},
    state::{Request, Role, Ss},
};
use kernel::prelude::*;

/// How long a demotion waits for the last opener to be gone (udev looks at devices shortly).
const OPENER_PATIENCE_MS: u32 = 1000;

/// primary and secondary. Context: a process of user space.
pub(crate) fn set_role(resource: &Arc<Resource>, primary: bool, force: bool) -> Outcome {
    let mut admin = Some(resource.admin.lock());
    if !primary {
        return demote(resource);
    }
    // The handler runs commands, which need the lock.
    let mut fence = || {
        drop(admin.take());
        let fenced = fence::for_promotion(resource);
        admin = Some(resource.admin.lock());
        fenced
    };
    promote(resource, force, &mut fence)
}

fn promote(resource: &Arc<Resource>, force: bool, fence: &mut dyn FnMut() -> bool) -> Outcome {
    let all = resource.devices().map_err(kernel_error)?;
    // One that was added later is not what the others are.
    let mut devices = KVec::with_capacity(all.len(), GFP_KERNEL).map_err(kernel_error)?;
    for device in all.iter().filter(|device| device.state().role != Role::Primary) {
        devices
            .push(device.clone(), GFP_KERNEL)
            .map_err(kernel_error)?;
    }
    if resource.role() == Role::Primary && devices.is_empty() {
        return Ok(state_code(Ss::NothingToDo));
    }
    let connection = resource.first_connection();
    let ping_timeout_ms = connection.as_ref().map_or(500, |connection| {
        connection.net().ping_timeo.saturating_mul(100)
    });
    if let Some(connection) = connection {
        liveness::ask(&connection, ping_timeout_ms);
    }
    let promotion = Promotion::new(devices.len(), force, ping_timeout_ms);
    drive(resource, &devices, promotion, Role::Primary, fence)
}

/// Becomes Secondary; the resource's admin lock is held.
pub(crate) fn demote(resource: &Arc<Resource>) -> Outcome {
    let devices = resource.devices().map_err(kernel_error)?;
    if resource.role() != Role::Primary {
        return Ok(state_code(Ss::NothingToDo));
    }
    for device in devices.iter() {
        let _ = device.changed.wait_killable(Some(OPENER_PATIENCE_MS), || {
            !crate::threads::is_open(device)
        });
        if crate::threads::is_open(device) {
            return Err(refuse(
                state_code(Ss::DeviceInUse),
                "the device is held open: unmount it, or find the user with fuser -v",
            ));
        }
        let _ = device.changed.wait_killable(None, || !device.has_app_io());
    }
    drive(
        resource,
        &devices,
        Promotion::demotion(devices.len()),
        Role::Secondary,
        // Nobody is fenced for that.
        &mut || false,
    )
}

fn drive(
    resource: &Arc<Resource>,
    devices: &KVec<Arc<Device>>,
    mut promotion: Promotion,
    role: Role,
    fence: &mut dyn FnMut() -> bool,
) -> Outcome {
    let mut before = KVec::with_capacity(devices.len(), GFP_KERNEL).map_err(kernel_error)?;
    for device in devices.iter() {
        before
            .push(device.state().role, GFP_KERNEL)
            .map_err(kernel_error)?;
    }
    let ask = |promotion: &mut Promotion, volume: usize, request: Option<Request>| {
        let Some(device) = devices.get(volume) else {
            return Err(refuse(state_code(Ss::UnknownError), "a volume disappeared"));
        };
        let code = match request {
            Some(request) => request_state(device, request)?,
            None => Ss::NothingToDo,
        };
        promotion.result(code, device.state());
        Ok(())
    };
    loop {
        match promotion.step() {
            Step::Sleep { ms } => sleep_ms(ms),
            Step::FencePeer => {
                promotion.fenced(fence());
                let still_there = |device: &Arc<Device>| {
                    let found = resource.device(device.number);
                    found.is_some_and(|found| Arc::ptr_eq(&found, device))
                };
                if !devices.iter().all(still_there) {
                    return Err(refuse(
                        state_code(Ss::UnknownError),
                        "the resource was taken down while its peer was being fenced",
                    ));
                }
            }
            Step::Failed(code) => return Err(refuse(state_code(code), "")),
            Step::TakeBack { volume, role } => {
                let had = before.get(volume) == Some(&role);
                ask(
                    &mut promotion,
                    volume,
                    had.then_some(Request::NONE.role(role)),
                )?;
            }
            Step::Ask { volume, request } => ask(&mut promotion, volume, Some(request))?,
            Step::Finish { forced } => {
                for device in devices.iter() {
                    device.with(|inner, link, now| inner.volume.role_changed(forced, link, now));
                    settle(device);
                }
                resource.set_bare_role(role);
                resource.notifier.resource_changed(resource);
                return Ok(state_code(Ss::Success));
            }
        }
    }
}

/// Waits until the block device shows the new role and the metadata holds it: a node that
/// crashes after `primary` returned must know that it was Primary.
fn settle(device: &Arc<Device>) {
    let primary = device.state().role == Role::Primary;
    if let Some(disk) = &*device.disk.lock() {
        disk.set_read_only(!primary);
    }
    let version = device.peek(|volume| volume.md_version());
    device.metadata_event.signal();
    let _ = device
        .changed
        .wait_killable(None, || device.peek(|volume| volume.md_is_durable(version)));
}
