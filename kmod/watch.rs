// SPDX-License-Identifier: GPL-2.0-or-later
//! disk-timeout: the thread that looks whether a disk answers, and what becomes of one that does not.
//!
//! The thread waits for nobody, so that it can free those who wait for the disk. It begins with the
//! first disk that has the option set and lasts as long as the minor.

use crate::{
    admin::{kernel_error, refuse, Failure},
    attached::Attached,
    device::{Device, Locked, APP_OPS},
    mem::Fifo,
    os::{
        backing::{Backing, WriteFlags},
        kthread::{Ctl, KThread},
        lock::Arc,
        pages::PagePool,
        patience::Waiter,
        timer::now_ms,
    },
    queues::Via,
    resource::Resource,
};
use drbd_core::{
    engine::volume::{Volume, Watched},
    genl::RetCode,
};
use kernel::{prelude::*, str::CString};

/// How often it is looked whether a disk that was given up has answered.
const LEAVING_MS: u32 = 250;
/// How long the end of what has ended already may take.
const DRAIN_MS: u32 = 200;
/// Two of the largest requests can be under way when memory is short.
const BOUNCE_PAGES: u32 = 512;

/// A disk that was given up has something to say first.
pub(crate) const UNANSWERED: &str = "the disk that was given up after disk-timeout has not answered yet, \
and may still write: try again when it does";

/// Prepares for a disk with (or without) disk-timeout. Context: task.
pub(crate) fn prepare(
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    disk_timeout: u32,
) -> Result<(), Failure> {
    if disk_timeout == 0 {
        let unused = device.inner.lock().set_bounce(None);
        drop(unused);
        return Ok(());
    }
    let absent = device.inner.lock().bounce.is_none();
    if absent {
        let pool = PagePool::new(BOUNCE_PAGES).map_err(kernel_error)?;
        // Those that were given up may be in it, beside those that are not.
        let starved = Fifo::new((APP_OPS as usize).saturating_mul(2)).map_err(kernel_error)?;
        let mut inner = device.inner.lock();
        let _ = inner.set_bounce(Some(pool));
        let unused = match &inner.starved {
            Some(_) => Some(starved),
            None => inner.starved.replace(starved),
        };
        drop(inner);
        drop(unused);
    }
    let mut threads = device.threads.lock();
    let Some(threads) = &mut *threads else {
        return Ok(());
    };
    if threads.watch.is_none() {
        let name = CString::try_from_fmt(fmt!("drbd_t_{}", device.minor)).map_err(kernel_error)?;
        let d = device.clone();
        let thread = KThread::spawn_in(&resource.crew, &name, move |ctl| watch(&d, ctl));
        threads.watch = Some(thread.map_err(kernel_error)?);
    }
    Ok(())
}

fn watch(device: &Device, ctl: &Ctl) {
    while !ctl.should_stop() {
        let found = look(device);
        if let Some(requests) = found.given_up {
            tell(device, "requests", requests);
        }
        make_room(device);
        let leaving = reap(device).then_some(LEAVING_MS);
        let timeout = match (found.again_ms, leaving) {
            (Some(again), Some(leaving)) => Some(again.min(leaving)),
            (some, None) | (None, some) => some,
        };
        let _ = device.watch_event.wait(Some(ctl), timeout);
    }
}

/// Looks at the disk. What follows is left to the worker: it may wait for pages, which only come
/// back if this thread does not.
fn look(device: &Device) -> Watched {
    let (found, wakeups) = {
        let mut locked = device.inner.lock();
        let Locked { inner, queues } = &mut *locked;
        let mut link = Via(queues.as_deref());
        let found = inner.volume.watch_disk(&mut link, now_ms());
        (found, inner.wakeups())
    };
    device.wake(wakeups.to_worker());
    if found.given_up.is_some() {
        device.changed.wake_all();
    }
    found
}

fn tell(device: &Device, what: &str, requests: u32) {
    pr_err!(
        "drbd{}: the disk does not answer within disk-timeout: it is given up, with {} {}\n",
        device.minor,
        requests,
        what
    );
}

/// Slots that wait for the disk are not to be what others wait for.
fn make_room(device: &Device) {
    let crowded = |volume: &Volume<_>| volume.late_io() > volume.ops_capacity() / 4;
    if device.peek(crowded) && device.grow_ops().is_err() {
        // The limit, or no memory: those that go on end and make room.
    }
}

/// Whether a disk that was given up, and belongs to nobody any more, still owes answers; closes it
/// if it does not.
fn reap(device: &Device) -> bool {
    let attached = device.inner.lock().leaving.clone();
    let Some(attached) = attached else {
        return false;
    };
    if attached.data.in_flight() > 0 || attached.meta.in_flight() > 0 {
        return true;
    }
    let taken = device.inner.lock().leaving.take();
    drop((taken, attached));
    pr_info!(
        "drbd{}: the disk that was given up has answered, and is closed\n",
        device.minor
    );
    device.changed.wake_all();
    false
}

/// Closes a disk that left the volume, at once or when it has answered everything. Context: task.
pub(crate) fn close(device: &Device, attached: Arc<Attached>) {
    if attached.data.drain_within(DRAIN_MS) && attached.meta.drain_within(DRAIN_MS) {
        pr_info!("drbd{}: detached\n", device.minor);
        return;
    }
    pr_warn!(
        "drbd{}: detached; the disk stays open until it has answered\n",
        device.minor
    );
    device.inner.lock().leaving = Some(attached);
    device.watch_event.signal();
}

/// Refuses what a disk that was given up would suffer from. Context: task.
pub(crate) fn check_answered(device: &Device, code: RetCode) -> Result<(), Failure> {
    let waits = {
        let inner = device.inner.lock();
        inner.leaving.is_some() || inner.volume.late_io() > 0
    };
    if waits {
        return Err(refuse(code, UNANSWERED));
    }
    Ok(())
}

/// Whether what began at `since_ms` takes longer than disk-timeout, as it is by now, or the disk was
/// given up for something else. Context: any.
fn is_over(device: &Device, since_ms: u64) -> bool {
    device.peek(|volume| {
        let timeout_ms = u64::from(volume.disk_timeout_ms());
        volume.metadata_is_lost()
            || timeout_ms > 0 && now_ms().saturating_sub(since_ms) >= timeout_ms
    })
}

/// Writes a block of metadata, as long as disk-timeout allows. Context: task.
pub(crate) fn write_block(
    device: &Device,
    meta: &Backing,
    sector: u64,
    block: &[u8],
    flags: WriteFlags,
    waiter: &mut Waiter,
) -> Result {
    let since_ms = now_ms();
    meta.write_within(sector, block, flags, waiter, &mut || {
        is_over(device, since_ms)
    })
}

/// Flushes `data`, as long as disk-timeout allows. Context: task.
pub(crate) fn flush(device: &Device, data: &Backing, waiter: &mut Waiter) -> Result {
    let since_ms = now_ms();
    data.flush_within(waiter, &mut || is_over(device, since_ms))
}

/// Reads before a disk is part of the volume, as long as its disk-timeout allows. Context: task.
pub(crate) fn read(
    meta: &Backing,
    sector: u64,
    buf: &mut [u8],
    disk_timeout: u32,
    waiter: &mut Waiter,
) -> Result {
    if disk_timeout == 0 {
        return meta.read_sync(sector, buf);
    }
    let limit_ms = u64::from(disk_timeout).saturating_mul(100);
    let until_ms = now_ms().saturating_add(limit_ms);
    meta.read_within(sector, buf, waiter, &mut || now_ms() >= until_ms)
}

/// A write of metadata or a flush was given up: so is the disk. Context: task.
pub(crate) fn gave_up(device: &Device, what: &str) {
    let requests = device.with(|inner, link, now| inner.volume.disk_hangs(link, now));
    device.changed.wake_all();
    tell(device, what, requests);
}

/// A flush of the disk of `device` failed, or was given up. Context: task.
pub(crate) fn flush_failed(device: &Device, error: Error) {
    if error != ECANCELED {
        pr_err!(
            "drbd{}: flushing the disk failed: {:?}\n",
            device.minor,
            error
        );
        device.with(|inner, link, now| inner.volume.fail_disk(link, now));
    } else if !device.peek(|volume| volume.metadata_is_lost()) {
        gave_up(device, "requests and a flush");
    }
}
