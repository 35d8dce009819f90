// SPDX-License-Identifier: GPL-2.0-or-later
//! `show` of generation 8.4 (control-plane.md section 8.1). `drbdadm adjust` reads it.

use drbd_core::config::{
    DiskOptions, NetOptions, OptionSpec, PeerDeviceOptions, Value, RESOURCE_ORDER,
};
use drbd_netlink::{Connection, Device, DrbdMessage, Error, OptionValues, Resource};

use super::show_text::{escaped, line, meta_disk, option};
use super::words::family;

/// Options of a connection in the order of the reference.
const NET: &[&str] = &[
    "wire_protocol",
    "timeout",
    "max_epoch_size",
    "max_buffers",
    "unplug_watermark",
    "connect_int",
    "ping_int",
    "sndbuf_size",
    "rcvbuf_size",
    "ko_count",
    "two_primaries",
    "cram_hmac_alg",
    "shared_secret",
    "after_sb_0p",
    "after_sb_1p",
    "after_sb_2p",
    "always_asbp",
    "rr_conflict",
    "ping_timeo",
    "integrity_alg",
    "tcp_cork",
    "on_congestion",
    "cong_fill",
    "cong_extents",
    "csums_alg",
    "csums_after_crash_only",
    "verify_alg",
    "use_rle",
    "sock_check_timeo",
];
/// Options of a disk in the order of the reference; those of the peer and of the connection stand among them.
const DISK: &[&str] = &[
    "disk_size",
    "on_io_error",
    "fencing_policy",
    "disk_barrier",
    "disk_flushes",
    "disk_drain",
    "md_flushes",
    "resync_rate",
    "resync_after",
    "al_extents",
    "al_updates",
    "discard_zeroes_if_aligned",
    "disable_write_same",
    "c_plan_ahead",
    "c_delay_target",
    "c_fill_target",
    "c_max_rate",
    "c_min_rate",
    "disk_timeout",
    "read_balancing",
    "rs_discard_granularity",
];

/// All options that a message carries.
struct Found(Vec<OptionValues>);

impl Found {
    fn of(message: &DrbdMessage) -> Result<Self, Error> {
        let attributes = &message.attributes;
        let groups = [
            OptionValues::find::<DiskOptions>(attributes)?,
            OptionValues::find::<PeerDeviceOptions>(attributes)?,
            OptionValues::find::<NetOptions>(attributes)?,
        ];
        Ok(Self(groups.into_iter().flatten().collect()))
    }

    /// Rows and values in this order of fields, and whether the value is the default.
    fn rows<'a>(
        &'a self,
        order: &'a [&str],
        all: bool,
    ) -> Vec<(&'static OptionSpec, Value<'a>, bool)> {
        order
            .iter()
            .filter_map(|field| self.0.iter().find_map(|group| group.row(field)))
            .map(|(spec, value)| (spec, value, spec.default() == Some(value)))
            .filter(|(_, _, default)| all || !default)
            .collect()
    }
}

/// One resource: `connections` and `devices` are the records of the dumps.
///
/// # Errors
///
/// [`Error::Nonsense`].
pub fn show_84(
    resource: &Resource,
    connections: &[DrbdMessage],
    devices: &[DrbdMessage],
    all: bool,
) -> Result<String, Error> {
    let mut text = format!("resource {} {{\n", resource.name);
    let options: Vec<_> = resource
        .options
        .in_order(RESOURCE_ORDER)
        .map(|(spec, value)| (spec, value, spec.default() == Some(value)))
        .filter(|(_, _, default)| all || !default)
        .collect();
    // An empty block tells that the resource has been given its options.
    let mut own_address = None;
    line(&mut text, 1, "options {");
    rows(&mut text, 2, &options);
    line(&mut text, 1, "}");
    for message in connections {
        let connection = Connection::decode(message)?;
        if connection.resource != resource.name {
            continue;
        }
        line(&mut text, 1, "net {");
        rows(&mut text, 2, &Found::of(message)?.rows(NET, all));
        line(&mut text, 1, "}");
        for path in &connection.paths {
            own_address = Some(path.my_addr);
            line(&mut text, 1, "_remote_host {");
            line(&mut text, 2, &address(&path.peer_addr));
            line(&mut text, 1, "}");
        }
    }
    line(&mut text, 1, "_this_host {");
    if let Some(own) = own_address {
        line(&mut text, 2, &address(&own));
    }
    for message in devices {
        let device = Device::decode(message)?;
        if device.resource == resource.name {
            volume(&mut text, &device, &Found::of(message)?, all);
        }
    }
    line(&mut text, 1, "}");
    text.push_str("}\n");
    Ok(text)
}

fn address(address: &std::net::SocketAddr) -> String {
    format!("address\t\t\t{} {address};", family(address))
}

fn volume(text: &mut String, device: &Device, found: &Found, all: bool) {
    line(text, 2, &format!("volume {} {{", device.volume));
    line(text, 3, &format!("device\t\t\tminor {};", device.minor));
    if let Some(disk) = &device.disk {
        let path = escaped(disk.text("backing_dev").unwrap_or(""));
        line(text, 3, &format!("disk\t\t\t\"{path}\";"));
        line(text, 3, &format!("meta-disk\t\t\t{};", meta_disk(disk)));
        line(text, 3, "disk {");
        rows(text, 4, &found.rows(DISK, all));
        line(text, 3, "}");
    }
    line(text, 2, "}");
}

fn rows(text: &mut String, level: usize, rows: &[(&'static OptionSpec, Value<'_>, bool)]) {
    for (spec, value, default) in rows {
        line(text, level, &option(spec, *value, *default));
    }
}
