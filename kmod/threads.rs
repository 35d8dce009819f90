// SPDX-License-Identifier: GPL-2.0-or-later
//! The two threads of a minor: one for what follows from events, one for metadata I/O.

use crate::{
    compare::compare,
    crypto::Digester,
    dependency,
    device::Device,
    fence, helper,
    os::{
        kthread::{Ctl, KThread},
        lock::{Arc, Relaxed},
        timer::now_ms,
    },
    resource::{Registry, Resource},
    verify,
};
use drbd_core::{
    engine::volume::{ConnectionRequest, MdIo, MdResult, Todo},
    state::{Conn, Role},
};
use kernel::{prelude::*, str::CString};

/// How often a source looks at the progress of its resync.
const PROGRESS_MS: u64 = 1000;

/// The threads of a minor; dropping them ends them.
pub(crate) struct Threads {
    worker: KThread,
    metadata: KThread,
}

impl Threads {
    /// Starts them. Context: task.
    pub(crate) fn start(
        registry: &Arc<Registry>,
        resource: &Arc<Resource>,
        device: &Arc<Device>,
    ) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("drbd_w_{}", device.minor))?;
        let (all, r, d) = (registry.clone(), resource.clone(), device.clone());
        let worker = KThread::spawn_in(&resource.crew, &name, move |ctl| work(&all, &r, &d, ctl))?;
        let name = CString::try_from_fmt(fmt!("drbd_m_{}", device.minor))?;
        let d = device.clone();
        let metadata = KThread::spawn_in(&resource.crew, &name, move |ctl| write_metadata(&d, ctl))?;
        Ok(Threads { worker, metadata })
    }

    /// Ends them and waits. Context: task.
    pub(crate) fn stop(self) {
        self.worker.join();
        self.metadata.join();
    }
}

fn work(registry: &Arc<Registry>, resource: &Arc<Resource>, device: &Arc<Device>, ctl: &Ctl) {
    let mut tick_at: Option<u64> = None;
    let mut digester = Digester::default();
    while !ctl.should_stop() {
        let timeout = tick_at.map(|at| {
            let left = at.saturating_sub(now_ms());
            u32::try_from(left).unwrap_or(u32::MAX).max(1)
        });
        let _ = device.worker_event.wait(Some(ctl), timeout);
        device.carry_out();
        let todo = device.take_worker_todo();
        tend(resource, device, todo);
        // A disk that went took its options along.
        if todo.has(Todo::DEPENDENTS) || todo.has(Todo::DISK_GONE) {
            dependency::evaluate(registry);
        }
        if todo.has(Todo::COMPARE) {
            while compare(device, &mut digester) {}
        }
        if todo.has(Todo::FINDING) {
            verify::report(device);
        }
        let due = tick_at.is_some_and(|at| at <= now_ms());
        if todo.has(Todo::RESYNC) || due {
            tick_at = device.with(|inner, link, now| inner.volume.resync_work(link, now));
            if device.state().conn >= Conn::SyncSource {
                resource.notifier.resync_progress(resource, device);
                // The source has nothing to do but to tell how far it is.
                tick_at = tick_at.or(Some(now_ms().saturating_add(PROGRESS_MS)));
            }
        }
    }
}

/// The block device gets the size of the volume, and `show` what is configured. Context: task.
pub(crate) fn adopt_size(device: &Device) {
    let (sectors, wanted) = device.peek(|volume| {
        let wanted = volume.disk().map(|_| volume.user_size_sectors());
        (volume.capacity_sectors(), wanted)
    });
    if let Some(disk) = &*device.disk.lock() {
        let _ = disk.set_capacity(sectors);
    }
    if let (Some(wanted), Some(options)) = (wanted, &mut *device.disk_options.lock()) {
        options.disk_size = wanted;
    }
}

fn tend(resource: &Arc<Resource>, device: &Arc<Device>, todo: Todo) {
    if todo.has(Todo::CAPACITY) {
        adopt_size(device);
    }
    if todo.has(Todo::ROLE) {
        let primary = device.state().role == Role::Primary;
        if let Some(disk) = &*device.disk.lock() {
            disk.set_read_only(!primary);
        }
    }
    if todo.has(Todo::DISK_GONE) {
        close_disk(device);
    }
    if todo.has(Todo::ADMIT) {
        device.admit_pending();
    }
    if todo.has(Todo::CONNECTION) {
        let request = device.with(|inner, _, _| inner.volume.take_connection_request());
        if let Some(ConnectionRequest::End(conn)) = request {
            if let Some(connection) = resource.first_connection() {
                connection.end(drbd_core::engine::volume::End {
                    conn,
                    why: "a volume cannot go on with this peer",
                });
            }
        }
    }
    if todo.has(Todo::NOTIFY) {
        resource.notifier.device_changed(resource, device);
    }
    if todo.has(Todo::HELPER) {
        helper::start_next(resource, device);
    }
    if todo.has(Todo::UNFENCE) {
        fence::after_resync(resource);
    }
}

/// Gives the disk back once nothing uses it.
fn close_disk(device: &Device) {
    let taken = device.with(|inner, _, _| {
        let disk = inner.volume.take_disk();
        let attached = disk.as_ref().and_then(|_| inner.attached.take());
        (disk, attached)
    });
    if let Some(attached) = &taken.1 {
        if let Some(disk) = &*device.disk.lock() {
            disk.unlink();
        }
        pr_info!("drbd{}: detached\n", device.minor);
        attached.data.drain();
        *device.disk_options.lock() = None;
    }
    drop(taken);
    device.changed.wake_all();
}

fn write_metadata(device: &Device, ctl: &Ctl) {
    let Ok(mut block) = KBox::new([0u8; 4096], GFP_KERNEL) else {
        pr_err!("drbd{}: no memory for metadata\n", device.minor);
        return;
    };
    while !ctl.should_stop() {
        let _ = device.metadata_event.wait(Some(ctl), None);
        loop {
            let step = device.with(|inner, link, now| {
                let io = inner.volume.md_poll(&mut block, link, now);
                (io, inner.attached.clone())
            });
            match step {
                (None, _) => break,
                (Some(MdIo::Again), _) => {
                    let unused = device.with(|inner, _, _| inner.volume.take_spare());
                    drop(unused);
                }
                (Some(MdIo::Write { sector, durable }), attached) => {
                    let written = match &attached {
                        Some(disk) => disk.write_metadata(sector, &*block, durable),
                        None => Err(EIO),
                    };
                    let result = match written {
                        Ok(()) => MdResult::Written,
                        Err(error) => {
                            pr_err!(
                                "drbd{}: writing metadata at sector {} failed: {:?}\n",
                                device.minor,
                                sector,
                                error
                            );
                            MdResult::Failed
                        }
                    };
                    device.with(|inner, link, now| inner.volume.md_done(result, link, now));
                }
            }
        }
    }
}

/// Whether somebody holds the device open. Context: any.
pub(crate) fn is_open(device: &Device) -> bool {
    device.openers.load(Relaxed) > 0
}
