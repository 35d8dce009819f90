// SPDX-License-Identifier: GPL-2.0-or-later
//! What GET_STATUS and the event of API version 1 tell of a volume (control-plane sections 4.1 and 5.2).

use super::facts;
use crate::{device::Device, resource::Resource};
use drbd_core::{
    config::{DiskOptions, NetOptions},
    genl::{
        encode_group,
        v1::{self, DiskExtras, DiskFacts, Reason, StateInfo, VolumeFacts},
        Context, Writer,
    },
    meta::SECTORS_PER_BIT,
    state::{Conn, Disk},
};
use kernel::prelude::*;

/// What is known of a volume. Context: task.
pub(crate) fn facts_of(device: &Device) -> VolumeFacts {
    let (state, snapshot, history) = device.peek(|volume| {
        let history = volume.disk().map(|disk| disk.superblock().history_uuids);
        (volume.state(), volume.snapshot(), history)
    });
    let bits = |sectors: u64| sectors.div_ceil(SECTORS_PER_BIT);
    let counters = snapshot.counters;
    let disk = history.map(|history| DiskFacts {
        uuids: [
            snapshot.uuids.current,
            snapshot.uuids.bitmap,
            history.first().copied().unwrap_or(0),
            history.get(1).copied().unwrap_or(0),
        ],
        flags: v1::disk_flags(snapshot.md_flags, snapshot.peer_md_flags),
        bits: bits(snapshot.size_sectors),
        out_of_sync_bits: bits(snapshot.out_of_sync_sectors),
    });
    let resyncing = (Conn::SyncSource..=Conn::PausedSyncT).contains(&state.conn);
    let progress = snapshot.progress;
    VolumeFacts {
        state: state.to_word(),
        capacity: snapshot.size_sectors,
        exposed_uuid: snapshot.exposed_uuid,
        sent: snapshot.sent_sectors,
        received: snapshot.received_sectors,
        read: counters.read_sectors,
        written: counters.written_sectors,
        al_writes: counters.al_writes,
        bm_writes: counters.bm_writes,
        application_requests: snapshot.upper_pending,
        pending: snapshot.pending.saturating_sub(snapshot.resync_pending),
        resync_pending: snapshot.resync_pending,
        disk,
        resync_bits: resyncing
            .then(|| (bits(progress.total_sectors), bits(progress.failed_sectors))),
    }
}

/// Writes the message about a volume, or without one about a resource that has none. `room` is for what it is made of.
/// Context: task. Errors: `EMSGSIZE`, `ENOMEM`.
#[inline(never)]
pub(crate) fn write(
    resource: &Resource,
    device: Option<&Device>,
    reason: Reason,
    privileged: bool,
    room: &mut [u8],
    writer: &mut Writer<'_>,
) -> Result {
    let connections = facts::connections(resource)?;
    let connection = connections.first();
    let context = Context {
        volume: device.map(|device| u32::from(device.number)),
        peer_node_id: connection.map(|connection| connection.peer_node_id),
        ..Context::resource(resource.name())
    };
    let mut parts = Writer::new(room);
    context.encode(&mut parts).map_err(|_| EMSGSIZE)?;
    let mut extras = DiskExtras::default();
    if let Some(device) = device {
        extras = *device.extras.lock();
        let options = KBox::new(*resource.options.lock(), GFP_KERNEL)?;
        encode_group(&mut parts, &*options, privileged).map_err(|_| EMSGSIZE)?;
        let shown = device.state().disk > Disk::Failed;
        let disk: Option<KBox<DiskOptions>> = match &*device.disk_options.lock() {
            Some(options) if shown => Some(KBox::new(*options, GFP_KERNEL)?),
            Some(_) | None => None,
        };
        if let Some(disk) = disk {
            encode_group(&mut parts, &*disk, privileged).map_err(|_| EMSGSIZE)?;
        }
    }
    if let Some(connection) = connection {
        let net: KBox<NetOptions> = KBox::new(connection.net(), GFP_KERNEL)?;
        let privileged = privileged && device.is_some();
        encode_group(&mut parts, &*net, privileged).map_err(|_| EMSGSIZE)?;
    }
    let ends = connection.and_then(|connection| facts::ends(connection));
    v1::render(parts.bytes(), ends, &extras, writer).map_err(|_| EMSGSIZE)?;
    if let Some(device) = device {
        let volume = facts_of(device);
        let info = StateInfo {
            reason,
            volume: &volume,
        };
        info.encode(writer).map_err(|_| EMSGSIZE)?;
    }
    Ok(())
}
