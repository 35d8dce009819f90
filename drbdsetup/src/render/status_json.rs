// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbdsetup status --json`. Sizes are KiB, values of `rs-*` and `ov-*` sectors, as in the reference.

use drbd_core::config::Value as OptionValue;
use drbd_netlink::{Connection, Device, Path, PeerDevice, Resource, Snapshot};
use serde::Serialize;

use super::details::{in_sync_percent, is_verify, SyncDetails};
use super::words::{family, resync_suspended};
use super::Style;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ResourceJson<'a> {
    name: &'a str,
    node_id: i64,
    role: &'static str,
    suspended: bool,
    suspended_user: bool,
    suspended_no_data: bool,
    suspended_fencing: bool,
    suspended_quorum: bool,
    force_io_failures: bool,
    write_ordering: &'static str,
    devices: Vec<DeviceJson>,
    connections: Vec<ConnectionJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DeviceJson {
    volume: u32,
    minor: u32,
    disk_state: &'static str,
    client: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<bool>,
    quorum: bool,
    size: u64,
    read: u64,
    written: u64,
    al_writes: u64,
    bm_writes: u64,
    upper_pending: u32,
    lower_pending: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ConnectionJson<'a> {
    peer_node_id: u32,
    name: &'a str,
    connection_state: &'static str,
    congested: bool,
    peer_role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    ap_in_flight: u64,
    rs_in_flight: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<PathJson>>,
    #[serde(rename = "peer_devices")]
    peer_devices: Vec<PeerDeviceJson>,
}

/// One end of a path.
#[derive(Serialize)]
pub(super) struct HostJson {
    address: String,
    port: u16,
    family: &'static str,
}

impl HostJson {
    pub(super) fn new(address: &std::net::SocketAddr) -> Self {
        Self {
            address: address.ip().to_string(),
            port: address.port(),
            family: family(address),
        }
    }
}

#[derive(Serialize)]
struct PathJson {
    this_host: HostJson,
    remote_host: HostJson,
    established: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PeerDeviceJson {
    volume: u32,
    replication_state: &'static str,
    peer_disk_state: &'static str,
    peer_client: bool,
    resync_suspended: String,
    received: u64,
    sent: u64,
    out_of_sync: u64,
    pending: u32,
    unacked: u32,
    has_sync_details: bool,
    has_online_verify_details: bool,
    percent_in_sync: f64,
    #[serde(flatten)]
    times: Option<TimesJson>,
    #[serde(flatten)]
    verify: Option<VerifyJson>,
    #[serde(flatten)]
    resync: Option<ResyncJson>,
    #[serde(flatten)]
    rates: Option<RatesJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TimesJson {
    rs_total: u64,
    rs_dt_start_ms: u64,
    rs_paused_ms: u64,
    rs_dt0_ms: u64,
    rs_db0_sectors: u64,
    rs_dt1_ms: u64,
    rs_db1_sectors: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct VerifyJson {
    ov_start_sector: i64,
    ov_stop_sector: i64,
    ov_position: i64,
    ov_left: i64,
    ov_skipped: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ResyncJson {
    rs_failed: u64,
    rs_same_csum: u64,
}

#[derive(Serialize)]
struct RatesJson {
    want: Option<f64>,
    #[serde(rename = "db0/dt0 [MiB/s]")]
    rate0: Option<f64>,
    #[serde(rename = "db1/dt1 [MiB/s]")]
    rate1: Option<f64>,
    #[serde(rename = "estimated-seconds-to-finish")]
    seconds_left: Option<i64>,
    #[serde(rename = "db/dt [MiB/s]")]
    rate: Option<f64>,
    #[serde(rename = "percent-resync-done")]
    done: Option<f64>,
}

/// Two digits, as the reference prints; what cannot be told is null.
fn two_digits(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 100.0).round() / 100.0)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, and the value is for display"
)]
fn whole(value: f64) -> Option<i64> {
    value.is_finite().then(|| value.round() as i64)
}

/// "Not set" is the largest u64 in the interface and -1 in this output.
fn sector(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

/// The resources as a JSON array.
///
/// # Errors
///
/// Serde's; these structs have none.
pub fn status_json(
    snapshot: &Snapshot,
    resources: &[&Resource],
    style: Style,
) -> serde_json::Result<String> {
    let array: Vec<_> = resources
        .iter()
        .map(|resource| resource_json(snapshot, resource, style))
        .collect();
    serde_json::to_string_pretty(&array)
}

fn resource_json<'a>(
    snapshot: &'a Snapshot,
    resource: &'a Resource,
    style: Style,
) -> ResourceJson<'a> {
    let info = &resource.info;
    ResourceJson {
        name: &resource.name,
        node_id: resource.options.number("node_id").unwrap_or(-1),
        role: info.role.name(),
        suspended: info.suspended_user
            || info.suspended_no_data
            || info.suspended_fencing
            || info.suspended_quorum,
        suspended_user: info.suspended_user,
        suspended_no_data: info.suspended_no_data,
        suspended_fencing: info.suspended_fencing,
        suspended_quorum: info.suspended_quorum,
        force_io_failures: info.fail_io,
        write_ordering: resource.statistics.write_ordering.name(),
        devices: snapshot
            .devices_of(&resource.name)
            .map(|device| device_json(device, style))
            .collect(),
        connections: snapshot
            .connections_of(&resource.name)
            .map(|connection| connection_json(snapshot, connection, style))
            .collect(),
    }
}

fn device_json(device: &Device, style: Style) -> DeviceJson {
    let (info, statistics) = (&device.info, &device.statistics);
    DeviceJson {
        volume: device.volume,
        minor: device.minor,
        disk_state: info.disk_state.name(),
        client: info.intentional_diskless,
        open: style.is_new().then_some(info.is_open),
        quorum: info.has_quorum,
        size: statistics.size / 2,
        read: statistics.read / 2,
        written: statistics.written / 2,
        al_writes: statistics.al_writes,
        bm_writes: statistics.bm_writes,
        upper_pending: statistics.upper_pending,
        lower_pending: statistics.lower_pending,
    }
}

fn connection_json<'a>(
    snapshot: &'a Snapshot,
    connection: &'a Connection,
    style: Style,
) -> ConnectionJson<'a> {
    let paths = snapshot
        .paths_of(connection)
        .map(|paths| paths.map(path_json).collect());
    ConnectionJson {
        peer_node_id: connection.peer_node_id,
        name: &connection.name,
        connection_state: connection.info.connection_state.name(),
        congested: connection.statistics.congested,
        peer_role: connection.info.peer_role.name(),
        tls: style
            .is_new()
            .then(|| connection.net.field("tls") == Some(OptionValue::Bool(true))),
        ap_in_flight: connection.statistics.ap_in_flight,
        rs_in_flight: connection.statistics.rs_in_flight,
        paths: if style.is_new() { paths } else { None },
        peer_devices: snapshot
            .peer_devices_of(connection)
            .map(|peer_device| peer_device_json(snapshot, peer_device))
            .collect(),
    }
}

fn path_json(path: &Path) -> PathJson {
    PathJson {
        this_host: HostJson::new(&path.addresses.my_addr),
        remote_host: HostJson::new(&path.addresses.peer_addr),
        established: path.info.established,
    }
}

fn peer_device_json(snapshot: &Snapshot, peer_device: &PeerDevice) -> PeerDeviceJson {
    let (info, statistics) = (&peer_device.info, &peer_device.statistics);
    let size = snapshot
        .devices_of(&peer_device.resource)
        .find(|device| device.volume == peer_device.volume)
        .map_or(0, |device| device.statistics.size);
    let details = SyncDetails::of(statistics, info.replication_state);
    let verify = details.is_some() && is_verify(info.replication_state);
    PeerDeviceJson {
        volume: peer_device.volume,
        replication_state: info.replication_state.name(),
        peer_disk_state: info.peer_disk_state.name(),
        peer_client: info.peer_intentional_diskless,
        resync_suspended: resync_suspended(info),
        received: statistics.received / 2,
        sent: statistics.sent / 2,
        out_of_sync: statistics.out_of_sync / 2,
        pending: statistics.pending,
        unacked: statistics.unacked,
        has_sync_details: details.is_some(),
        has_online_verify_details: verify,
        percent_in_sync: two_digits(in_sync_percent(statistics.out_of_sync, size)).unwrap_or(0.0),
        times: details.map(|_| TimesJson {
            rs_total: statistics.rs_total,
            rs_dt_start_ms: statistics.rs_dt_start_ms,
            rs_paused_ms: statistics.rs_paused_ms,
            rs_dt0_ms: statistics.rs_dt0_ms,
            rs_db0_sectors: statistics.rs_db0_sectors,
            rs_dt1_ms: statistics.rs_dt1_ms,
            rs_db1_sectors: statistics.rs_db1_sectors,
        }),
        verify: verify.then(|| VerifyJson {
            ov_start_sector: sector(statistics.ov_start_sector),
            ov_stop_sector: sector(statistics.ov_stop_sector),
            ov_position: sector(statistics.ov_position),
            ov_left: sector(statistics.ov_left),
            ov_skipped: sector(statistics.ov_skipped),
        }),
        resync: (details.is_some() && !verify).then_some(ResyncJson {
            rs_failed: statistics.resync_failed,
            rs_same_csum: statistics.rs_same_csum,
        }),
        rates: details.map(|details| RatesJson {
            want: two_digits(details.wanted),
            rate0: two_digits(details.rate0),
            rate1: two_digits(details.rate1),
            seconds_left: whole(details.seconds_left),
            rate: two_digits(details.rate),
            done: two_digits(details.done_percent),
        }),
    }
}
