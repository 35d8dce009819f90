// SPDX-License-Identifier: GPL-2.0-or-later
//! Dumps: one record a call (drbd9-api section 6).
//!
//! Lists are copied anew at each call, so that no lock is held between two. The cursor names the
//! last resource and volume, not their places in a list: what exists during the whole dump is told
//! exactly once, whatever comes and goes beside it.

use super::facts;
use crate::{
    connection::Connection,
    device::Device,
    os::{
        genl::{Cursor, Record, Request as Raw, UserHdr},
        lock::Arc,
    },
    resource::{Registry, Resource},
};
use drbd_core::{
    config::{DeviceOptions, DiskOptions, NetOptions},
    genl::{
        state::NotificationKind, Command, ConnectionRecord, Context, DeviceRecord, Notification,
        NotificationHeader, NotifiedObject, PathRecord, PeerDeviceRecord, ResourceRecord, RetCode,
        Writer, NO_MINOR,
    },
    state::Disk,
};
use kernel::prelude::*;

/// Stands in the last field of a cursor when nothing more comes.
const ENDED: u64 = 1;

/// The next record of a dump. Context: the caller's process.
pub(super) fn next(
    registry: &Arc<Registry>,
    command: Command,
    raw: &Raw<'_>,
    cursor: &mut Cursor,
    out: &mut [u8],
) -> Result<Option<Record>> {
    if matches!(cursor, [.., ENDED]) {
        return Ok(None);
    }
    let mut writer = Writer::new(out);
    if command == Command::GetInitialState {
        return initial_state(registry, cursor, &mut writer);
    }
    let context = Context::find(raw.attrs).map_err(|_| EINVAL)?;
    let filter = context
        .resource
        .filter(|_| command != Command::GetResources);
    let minor = match filter {
        None => of_any(registry, command, raw.sys_admin, cursor, &mut writer)?,
        Some(name) => match registry.find(name) {
            Some(resource) => item_of(&resource, command, raw.sys_admin, cursor, &mut writer)?,
            None => {
                let begun = *cursor != [0; 4];
                *cursor = [0, 0, 0, ENDED];
                let unknown = record(command, NO_MINOR, RetCode::ERR_RES_NOT_KNOWN, 0);
                return Ok((!begun).then_some(unknown));
            }
        },
    };
    let len = writer.bytes().len();
    Ok(minor.map(|minor| record(command, minor, RetCode::NO_ERROR, len)))
}

fn record(command: Command, minor: u32, code: RetCode, len: usize) -> Record {
    Record {
        cmd: command.number(),
        hdr: UserHdr {
            minor,
            value: code.0,
        },
        len,
    }
}

/// The next item of the next resource that has one. The first field of the cursor is the number of
/// the resource, 0 before the first.
fn of_any(
    registry: &Arc<Registry>,
    command: Command,
    privileged: bool,
    cursor: &mut Cursor,
    writer: &mut Writer<'_>,
) -> Result<Option<u32>> {
    loop {
        let [number, ..] = *cursor;
        // The current one, or where it was removed the one after it, from its beginning.
        let current = registry.notifier.resource_after(number.saturating_sub(1));
        let Some((found, resource)) = current else {
            return Ok(None);
        };
        if found != number {
            *cursor = [found, 0, 0, 0];
        }
        if let Some(minor) = item_of(&resource, command, privileged, cursor, writer)? {
            return Ok(Some(minor));
        }
        *cursor = [found.saturating_add(1), 0, 0, 0];
    }
}

/// Writes the item of a resource that the cursor stands at, and moves it on; `None` behind the last
/// one. The second field of the cursor is the lowest volume number that comes next, the third the
/// number of connections, or paths, that were told already. Returns the minor of the message.
fn item_of(
    resource: &Resource,
    command: Command,
    privileged: bool,
    cursor: &mut Cursor,
    writer: &mut Writer<'_>,
) -> Result<Option<u32>> {
    let [_, volume, index, _] = cursor;
    let at = usize::try_from(*index).unwrap_or(usize::MAX);
    match command {
        Command::GetResources if at == 0 => write_resource(resource, privileged, writer)?,
        Command::GetDevices => {
            let Some(device) = device_from(resource, *volume)? else {
                return Ok(None);
            };
            write_device(resource, &device, privileged, writer)?;
            *volume = u64::from(device.number).saturating_add(1);
            return Ok(Some(device.minor));
        }
        Command::GetConnections => match resource.connections()?.get(at) {
            Some(connection) => write_connection(resource, connection, privileged, writer)?,
            None => return Ok(None),
        },
        Command::GetPeerDevices => {
            return next_peer_device(resource, privileged, cursor, writer);
        }
        Command::GetPaths if write_path(resource, at, writer)? => {}
        _ => return Ok(None),
    }
    *index = index.saturating_add(1);
    Ok(Some(NO_MINOR))
}

/// The volume with the lowest number that is at least `volume`.
pub(super) fn device_from(resource: &Resource, volume: u64) -> Result<Option<Arc<Device>>> {
    let devices = resource.devices()?;
    let mut numbered = devices.iter();
    Ok(numbered
        .find(|device| u64::from(device.number) >= volume)
        .cloned())
}

/// Device by device, the connections of each.
fn next_peer_device(
    resource: &Resource,
    privileged: bool,
    cursor: &mut Cursor,
    writer: &mut Writer<'_>,
) -> Result<Option<u32>> {
    let [_, volume, index, _] = cursor;
    let connections = resource.connections()?;
    while let Some(device) = device_from(resource, *volume)? {
        if *volume != u64::from(device.number) {
            (*volume, *index) = (u64::from(device.number), 0);
        }
        let at = usize::try_from(*index).unwrap_or(usize::MAX);
        if let Some(connection) = connections.get(at) {
            write_peer_device(resource, &device, connection, privileged, writer)?;
            *index = index.saturating_add(1);
            return Ok(Some(device.minor));
        }
        (*volume, *index) = (volume.saturating_add(1), 0);
    }
    Ok(None)
}

fn room<E>(_: E) -> Error {
    EMSGSIZE
}

fn write_resource(resource: &Resource, privileged: bool, writer: &mut Writer<'_>) -> Result {
    let options = KBox::new(*resource.options.lock(), GFP_KERNEL)?;
    let record = ResourceRecord {
        context: Context::resource(resource.name()),
        options: &options,
        info: &facts::resource_info(resource),
        statistics: &facts::resource_statistics(resource),
    };
    record.encode(writer, privileged).map_err(room)
}

fn write_device(
    resource: &Resource,
    device: &Device,
    privileged: bool,
    writer: &mut Writer<'_>,
) -> Result {
    let shown = device.state().disk > Disk::Failed;
    let disk: Option<KBox<DiskOptions>> = match &*device.disk_options.lock() {
        Some(options) if shown => Some(KBox::new(*options, GFP_KERNEL)?),
        Some(_) | None => None,
    };
    let options: DeviceOptions = *device.device_options.lock();
    let record = DeviceRecord {
        context: Context {
            volume: Some(u32::from(device.number)),
            ..Context::resource(resource.name())
        },
        disk: disk.as_deref(),
        options: &options,
        info: &facts::device_info(device),
        statistics: &facts::device_statistics(device),
    };
    record.encode(writer, privileged).map_err(room)
}

fn write_connection(
    resource: &Resource,
    connection: &Connection,
    privileged: bool,
    writer: &mut Writer<'_>,
) -> Result {
    let net: KBox<NetOptions> = KBox::new(connection.net(), GFP_KERNEL)?;
    let paths = facts::paths(connection)?;
    let record = ConnectionRecord {
        context: Context {
            peer_node_id: Some(connection.peer_node_id),
            connection: Some(net.name.as_str()),
            ..Context::resource(resource.name())
        },
        net: &net,
        paths: &paths,
        info: &facts::connection_info(connection),
        statistics: &facts::connection_statistics(connection),
    };
    record.encode(writer, privileged).map_err(room)
}

fn write_peer_device(
    resource: &Resource,
    device: &Device,
    connection: &Connection,
    privileged: bool,
    writer: &mut Writer<'_>,
) -> Result {
    let options = connection.peer_device_options(device.number);
    let name = connection.name();
    let record = PeerDeviceRecord {
        context: Context {
            volume: Some(u32::from(device.number)),
            peer_node_id: Some(connection.peer_node_id),
            connection: Some(name.as_str()),
            ..Context::resource(resource.name())
        },
        info: &facts::peer_device_info(device, connection),
        statistics: &facts::peer_device_statistics(device, connection),
        options: &options,
    };
    record.encode(writer, privileged).map_err(room)
}

/// Writes path `item` of a resource, counted over all connections; false behind the last one.
fn write_path(resource: &Resource, item: usize, writer: &mut Writer<'_>) -> Result<bool> {
    let mut left = item;
    for connection in resource.connections()?.iter() {
        let paths = facts::paths(connection)?;
        let Some(path) = paths.get(left) else {
            left = left.saturating_sub(paths.len());
            continue;
        };
        let name = connection.name();
        let record = PathRecord {
            context: Context {
                peer_node_id: Some(connection.peer_node_id),
                connection: Some(name.as_str()),
                my_addr: Some(path.my_addr),
                peer_addr: Some(path.peer_addr),
                ..Context::resource(resource.name())
            },
            info: &facts::path_info(connection, left),
        };
        record.encode(writer).map_err(room)?;
        return Ok(true);
    }
    Ok(false)
}

/// GET_INITIAL_STATE: every resource as one group, then the end mark.
fn initial_state(
    registry: &Arc<Registry>,
    cursor: &mut Cursor,
    writer: &mut Writer<'_>,
) -> Result<Option<Record>> {
    let [resource, place, object, end] = cursor;
    let mut at = [*resource, *place, *object];
    if let Some((command, minor)) = registry.notifier.initial_state(&mut at, writer)? {
        [*resource, *place, *object] = at;
        let len = writer.bytes().len();
        return Ok(Some(record(command, minor, RetCode::NO_ERROR, len)));
    }
    *end = ENDED;
    let done = Notification {
        context: Context::default(),
        header: NotificationHeader {
            kind: NotificationKind::Exists,
            continues: false,
        },
        object: NotifiedObject::InitialStateDone,
    };
    done.encode(writer).map_err(room)?;
    let len = writer.bytes().len();
    Ok(Some(record(
        done.command(),
        NO_MINOR,
        RetCode::NO_ERROR,
        len,
    )))
}
