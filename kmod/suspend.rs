// SPDX-License-Identifier: GPL-2.0-or-later
//! suspend-io and resume-io (drbd9-api section 5): for all volumes of a resource.

use crate::{
    admin::{kernel_error, refuse, Outcome, OK},
    device::Device,
    os::lock::Arc,
    resource::Resource,
};
use drbd_core::genl::RetCode;
use kernel::prelude::*;

/// suspend-io: lets end what has begun and starts nothing more, after file systems have come to
/// rest if `freeze` says so. Context: a process of user space.
pub(crate) fn suspend(resource: &Arc<Resource>, freeze: bool) -> Outcome {
    let devices = resource.devices().map_err(kernel_error)?;
    // Without the resource's lock: a file system that comes to rest waits for I/O, and resume-io has
    // to get through when there is none.
    if freeze {
        for device in devices.iter() {
            if let Err(error) = freeze_filesystem(device) {
                pr_warn!(
                    "drbd{}: the file system cannot be frozen: {:?}\n",
                    device.minor,
                    error
                );
                devices.iter().for_each(thaw_filesystem);
                return Err(refuse(
                    RetCode::ERR_INTR,
                    "a file system could not be frozen: suspend-io --bdev-freeze=no does without",
                ));
            }
        }
    }
    let _admin = resource.admin.lock();
    for device in devices.iter() {
        device.with(|inner, link, now| inner.volume.suspend_io(link, now));
    }
    for device in devices.iter() {
        let rests = || device.peek(|volume| !volume.app_io_runs() || !volume.state().susp);
        device
            .changed
            .wait_killable(None, rests)
            .map_err(|_| refuse(RetCode::ERR_INTR, "I/O is suspended, but some still runs"))?;
    }
    resource.notifier.resource_changed(resource);
    OK
}

/// resume-io: I/O goes on, whatever had suspended it. Context: a process of user space.
pub(crate) fn resume(resource: &Arc<Resource>) -> Outcome {
    let devices = resource.devices().map_err(kernel_error)?;
    // suspend-io may hold the resource's lock, and wait for I/O that this lets go on.
    for device in devices.iter() {
        device.with(|inner, link, now| inner.volume.resume_io(link, now));
    }
    devices.iter().for_each(thaw_filesystem);
    resource.notifier.resource_changed(resource);
    OK
}

fn freeze_filesystem(device: &Arc<Device>) -> Result {
    let suspended = device.state().suspended();
    let mut frozen = device.frozen_filesystem.lock();
    // It would wait for I/O that waits for something else.
    if frozen.is_some() || suspended {
        return Ok(());
    }
    // The worker needs this lock, and freezing needs the worker.
    let filesystem = device.disk.lock().as_ref().map(|disk| disk.filesystem());
    if let Some(filesystem) = filesystem {
        *frozen = Some(filesystem.freeze()?);
    }
    Ok(())
}

/// Lets the file system go on, if it was made to rest here. Context: task.
pub(crate) fn thaw_filesystem(device: &Arc<Device>) {
    let frozen = device.frozen_filesystem.lock().take();
    drop(frozen);
}
