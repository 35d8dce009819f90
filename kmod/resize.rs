// SPDX-License-Identifier: GPL-2.0-or-later
//! A volume gets another size, or a new data generation, while it is in use
//! (drbd9-api section 5, RESIZE and NEW_C_UUID).

use crate::{
    admin::{refuse, Failure, Outcome, OK},
    attached::Attached,
    device::Device,
    mem::KMem,
    os::{lock::Arc, mem::Buf},
    resource::Resource,
};
use drbd_core::{
    bitmap::{bits_of_sectors, pages_needed, PageState, WORDS_PER_PAGE},
    config::{NewCurrentUuidParams, ResizeParams},
    engine::volume::{NewUuidRefusal, Offer, Resize, ResizeRefusal, Volume},
    genl::RetCode,
    meta::{AlGeometry, Layout},
    wire::packet::Packet,
};
use kernel::prelude::*;

/// The peer tells sizes: looks whether the devices here are what they were. Context: task.
pub(crate) fn look_at_devices(device: &Device, packet: &Packet) {
    if matches!(packet, Packet::Sizes(_)) && offer(device).is_err() {
        pr_err!(
            "drbd{}: no memory for a larger bitmap: the size stays\n",
            device.minor
        );
    }
}

/// Hands the engine room for devices that became larger. Context: task.
fn offer(device: &Device) -> Result {
    let (old, attached) = {
        let inner = device.inner.lock();
        let old = inner.volume.disk().map(|disk| *disk.layout());
        (old, inner.attached.clone())
    };
    let (Some(old), Some(attached)) = (old, attached) else {
        return Ok(());
    };
    let Some(layout) = layout_now(&old, &attached) else {
        return Ok(());
    };
    let bits = bits_of_sectors(layout.usable_sectors);
    let pages = pages_needed(bits, layout.max_peers).map_err(|_| EFBIG)?;
    let offer = Offer {
        layout,
        bitmap_words: Buf::filled(pages.saturating_mul(WORDS_PER_PAGE), 0u64)?,
        bitmap_pages: Buf::filled(pages, PageState::CLEAN)?,
    };
    let unused = device.with(|inner, _, _| inner.volume.offer(offer));
    drop(unused);
    Ok(())
}

/// The layout on the devices as they are now, if it is another one. A device that became too small
/// is left alone: its last sectors fail by themselves.
fn layout_now(old: &Layout, attached: &Attached) -> Option<Layout> {
    let (meta, data) = (attached.meta.sectors(), attached.data.sectors());
    let layout = old.on_devices(meta, data).ok()?;
    (layout != *old && layout.usable_sectors >= old.usable_sectors).then_some(layout)
}

/// Waits until `done`, looking again whenever the volume changes. Context: a process of user space.
fn wait(device: &Device, done: impl Fn(&Volume<KMem>) -> bool) -> Result<(), Failure> {
    device
        .changed
        .wait_killable(None, || device.peek(&done))
        .map(drop)
        .map_err(|_| refuse(RetCode::ERR_INTR, ""))
}

/// resize. Returns when the volume has its size, or the peer does not follow.
pub(crate) fn resize(
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    params: &ResizeParams,
) -> Outcome {
    let _admin = resource.admin.lock();
    let layout = device.peek(|volume| volume.disk().map(|disk| *disk.layout()));
    let Some(layout) = layout else {
        return Err(refuse(RetCode::ERR_NO_DISK, ""));
    };
    let wanted_al = AlGeometry::new(params.al_stripes, params.al_stripe_size / 4);
    let unchanged = wanted_al.is_ok_and(|al| al == layout.al || al == AlGeometry::DEFAULT);
    if !unchanged {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "the activity log cannot be laid out anew while the disk is attached: \
             run drbdadm down, then drbdmeta create-md with al-stripes and al-stripe-size-kB",
        ));
    }
    offer(device).map_err(|_| refuse(RetCode::ERR_NOMEM_BITMAP, "no memory for the bitmap"))?;
    let wanted = Resize {
        size_sectors: params.resize_size,
        assume_peer_has_space: params.resize_force,
        assume_clean: params.no_resync,
    };
    loop {
        let begun = device.with(|inner, _, _| inner.volume.resize(wanted));
        match begun {
            Ok(()) => break,
            Err(ResizeRefusal::Busy) => {
                // What it waits for ends, or the connection does.
                device
                    .changed
                    .wait_killable(Some(BUSY_MS), || {
                        device.peek(|volume| !volume.request_pending() && !volume.md_busy())
                    })
                    .map_err(|_| refuse(RetCode::ERR_INTR, ""))?;
                crate::os::timer::sleep_ms(BUSY_MS);
            }
            Err(refusal) => return Err(refused(refusal)),
        }
    }
    wait(device, |volume| !volume.sizes_pending())?;
    crate::threads::adopt_size(device);
    OK
}

/// How long a command waits before it looks again.
const BUSY_MS: u32 = 100;

fn refused(refusal: ResizeRefusal) -> Failure {
    match refusal {
        ResizeRefusal::NoDisk | ResizeRefusal::Busy => refuse(RetCode::ERR_NO_DISK, ""),
        ResizeRefusal::Resync => refuse(RetCode::ERR_RESIZE_RESYNC, ""),
        ResizeRefusal::NoPrimary => refuse(RetCode::ERR_NO_PRIMARY, ""),
        ResizeRefusal::TooLarge => refuse(RetCode::ERR_DISK_TOO_SMALL, ""),
        ResizeRefusal::WouldShrink => refuse(
            RetCode::ERR_IMPLICIT_SHRINK,
            "a volume does not become smaller while it is in use: its data would be cut off",
        ),
    }
}

/// new-current-uuid. Returns when it is durable.
pub(crate) fn new_generation(
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    params: &NewCurrentUuidParams,
) -> Outcome {
    let _admin = resource.admin.lock();
    if params.force_resync {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "force-resync is not implemented: use primary --force, or invalidate on the other node",
        ));
    }
    loop {
        match device.with(|inner, _, _| inner.volume.new_generation(params.clear_bm)) {
            Ok(()) => break,
            Err(NewUuidRefusal::Busy) => wait(device, |volume| {
                !volume.bulk_running() && !volume.request_pending()
            })?,
            Err(NewUuidRefusal::NoDisk) => return Err(refuse(RetCode::ERR_NO_DISK, "")),
            Err(NewUuidRefusal::Connected) => {
                return Err(refuse(
                    RetCode::ERR_CONNECTED,
                    "run drbdadm disconnect first; only disks that never held data can be declared \
                     equal while connected, with --clear-bitmap",
                ))
            }
        }
    }
    let version = device.peek(Volume::md_version);
    wait(device, |volume| {
        !volume.bulk_running() && volume.md_is_durable(version)
    })?;
    OK
}
