// SPDX-License-Identifier: GPL-2.0-or-later
//! Dumps of API version 1: those of version 2 rendered, and GET_STATUS (control-plane section 4).

use super::{dump, facts, v1_status};
use crate::{
    os::{
        genl::{Cursor, Record, Request as Raw, UserHdr, RECORD_MAX},
        lock::Arc,
    },
    resource::Registry,
};
use drbd_core::genl::{
    v1::{self, DiskExtras, Reason},
    Command, Context, RetCode, Writer, NO_MINOR,
};
use kernel::prelude::*;

/// The next record of a dump. Context: the caller's process.
pub(super) fn next(
    registry: &Arc<Registry>,
    raw: &Raw<'_>,
    cursor: &mut Cursor,
    out: &mut [u8],
) -> Result<Option<Record>> {
    if raw.cmd == v1::GET_STATUS {
        return next_status(registry, raw, cursor, out);
    }
    let command = v1::command(raw.cmd).ok_or(EOPNOTSUPP)?;
    let mut room = KVec::from_elem(0u8, RECORD_MAX, GFP_KERNEL)?;
    while let Some(record) = dump::next(registry, command, raw, cursor, &mut room)? {
        let message = room.get(..record.len).ok_or(EMSGSIZE)?;
        let context = Context::find(message).unwrap_or_default();
        let resource = context.resource.and_then(|name| registry.find(name));
        let connection = resource.as_ref().and_then(|found| found.first_connection());
        let connection = connection.filter(|connection| facts::is_configured(connection));
        // Configured connections alone are listed; what was told as a notification stays as it was told.
        let about_peer = matches!(command, Command::GetConnections | Command::GetPeerDevices);
        if about_peer && connection.is_none() && record.len > 0 {
            continue;
        }
        let ends = connection.and_then(|connection| facts::ends(&connection));
        let extras = match registry.find_minor(record.hdr.minor) {
            Some((_, device)) => *device.extras.lock(),
            None => DiskExtras::default(),
        };
        let mut writer = Writer::new(out);
        v1::render(message, ends, &extras, &mut writer).map_err(|_| EMSGSIZE)?;
        let len = writer.bytes().len();
        return Ok(Some(Record { len, ..record }));
    }
    Ok(None)
}

/// The next volume, or resource without volumes. Fields of the cursor: number of the resource, lowest volume number that
/// comes next, whether the resource was told.
fn next_status(
    registry: &Arc<Registry>,
    raw: &Raw<'_>,
    cursor: &mut Cursor,
    out: &mut [u8],
) -> Result<Option<Record>> {
    let context = Context::find(raw.attrs).map_err(|_| EINVAL)?;
    if let Some(name) = context.resource {
        registry.find(name).ok_or(ENODEV)?;
    } else if context != Context::default() {
        return Err(EINVAL);
    }
    loop {
        let [number, volume, told, _] = *cursor;
        let current = registry.notifier.resource_after(number.saturating_sub(1));
        let Some((found, resource)) = current else {
            return Ok(None);
        };
        if found != number {
            *cursor = [found, 0, 0, 0];
            continue;
        }
        let wanted = context.resource.is_none_or(|name| name == resource.name());
        let device = dump::device_from(&resource, volume)?;
        if !wanted || (device.is_none() && told != 0) {
            *cursor = [found.saturating_add(1), 0, 0, 0];
            continue;
        }
        let after = match &device {
            Some(device) => u64::from(device.number).saturating_add(1),
            None => volume,
        };
        *cursor = [found, after, 1, 0];
        let mut room = KVec::from_elem(0u8, RECORD_MAX, GFP_KERNEL)?;
        let mut writer = Writer::new(out);
        v1_status::write(
            &resource,
            device.as_deref(),
            Reason::GetStatus,
            raw.sys_admin,
            &mut room,
            &mut writer,
        )?;
        return Ok(Some(Record {
            cmd: v1::GET_STATUS,
            hdr: UserHdr {
                minor: device.map_or(NO_MINOR, |device| device.minor),
                value: RetCode::NO_ERROR.0,
            },
            len: writer.bytes().len(),
        }));
    }
}
