// SPDX-License-Identifier: GPL-2.0-or-later
//! What the objects of the module look like in the terms of the control interface.
//!
//! States and figures come apart: states are compared with what was told last, figures are only
//! gathered for a message that is sent. Context of all functions: task.

use crate::{
    connection::Connection,
    device::Device,
    os::{
        addr::SockAddr,
        lock::{Arc, Relaxed},
        params,
        timer::now_ms,
    },
    resource::Resource,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use drbd_core::{
    config::Text,
    genl::{
        state as v2, v1, ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics,
        PathAddresses, PathInfo, PeerDeviceInfo, PeerDeviceStatistics, ResourceInfo,
        ResourceStatistics,
    },
    state::{Conn, Disk, Role},
};
use kernel::prelude::*;

/// Paths named in one message; more would not fit its buffer.
const PATHS_SHOWN_MAX: usize = 32;

fn role(role: Role) -> v2::Role {
    match role {
        Role::Unknown => v2::Role::Unknown,
        Role::Primary => v2::Role::Primary,
        Role::Secondary => v2::Role::Secondary,
    }
}

fn disk(disk: Disk) -> v2::DiskState {
    v2::DiskState::from_number(u32::from(disk.v2_number())).unwrap_or_default()
}

/// State of a resource.
pub(crate) fn resource_info(resource: &Resource) -> ResourceInfo {
    let mut info = ResourceInfo {
        role: role(resource.role()),
        ..ResourceInfo::default()
    };
    for device in resource.devices().unwrap_or_default().iter() {
        let state = device.state();
        info.suspended_user |= state.susp;
        info.suspended_no_data |= state.susp_nod;
        info.suspended_fencing |= state.susp_fen;
    }
    info
}

/// Figures of a resource.
pub(crate) fn resource_statistics(resource: &Resource) -> ResourceStatistics {
    let devices = resource.devices().unwrap_or_default();
    let flushes = devices.iter().all(|device| {
        let attached = device.inner.lock().attached.clone();
        let refused = attached.is_some_and(|disk| disk.cannot_flush());
        let wanted = device
            .disk_options
            .lock()
            .as_ref()
            .is_none_or(|options| options.disk_flushes);
        wanted && !refused
    });
    let write_ordering = if flushes {
        v2::WriteOrdering::Flush
    } else {
        v2::WriteOrdering::Drain
    };
    ResourceStatistics { write_ordering }
}

/// State of a volume on this node.
pub(crate) fn device_info(device: &Device) -> DeviceInfo {
    let inner = device.inner.lock();
    let state = inner.volume.state().disk;
    // The path belongs to a disk in use, as DISK_CONF does.
    let path = inner
        .attached
        .as_ref()
        .filter(|_| state > Disk::Failed)
        .and_then(|attached| Text::new(attached.path.to_str().unwrap_or("")))
        .unwrap_or_default();
    DeviceInfo {
        disk_state: disk(state),
        intentional_diskless: false,
        has_quorum: true,
        is_open: device.openers.load(Relaxed) > 0,
        backing_dev_path: path,
    }
}

/// Figures of a volume on this node.
pub(crate) fn device_statistics(device: &Device) -> DeviceStatistics {
    let (snapshot, history) = device.peek(|volume| {
        let history = volume.disk().map(|disk| disk.superblock().history_uuids);
        (volume.snapshot(), history)
    });
    let counters = snapshot.counters;
    DeviceStatistics {
        size: snapshot.size_sectors,
        read: counters.read_sectors,
        written: counters.written_sectors,
        al_writes: counters.al_writes,
        bm_writes: counters.bm_writes,
        upper_pending: snapshot.upper_pending,
        lower_pending: counters.lower_pending,
        upper_blocked: snapshot.held,
        lower_blocked: false,
        al_suspended: snapshot.al_suspended,
        exposed_data_uuid: snapshot.exposed_uuid,
        current_uuid: snapshot.uuids.current,
        disk_flags: if is_v1() {
            v1::disk_flags(snapshot.md_flags, snapshot.peer_md_flags)
        } else {
            snapshot.md_flags
        },
        history_uuids: history,
    }
}

/// State of a connection. One that is bound to end is told as ended: its volumes learn of the end
/// one by one, user space shall see all of it at once.
fn conn(connection: &Connection) -> Conn {
    let conn = connection.cstate();
    if conn < Conn::WfReportParams {
        return conn;
    }
    if let Some(end) = connection.ending() {
        return end.conn;
    }
    // The peer asked to be left alone: its sockets are still open.
    let leaving = |device: &Arc<Device>| device.state().conn == Conn::TearDown;
    if connection.devices().iter().any(leaving) {
        Conn::TearDown
    } else {
        conn
    }
}

/// Whether the connection is up.
fn is_up(connection: &Connection) -> bool {
    conn(connection) >= Conn::WfReportParams
}

/// State of a connection.
pub(crate) fn connection_info(connection: &Connection) -> ConnectionInfo {
    let number = conn(connection).cstate().number();
    let peer_role = if is_up(connection) {
        role(connection.peer_role())
    } else {
        v2::Role::Unknown
    };
    ConnectionInfo {
        connection_state: v2::ConnectionState::from_number(u32::from(number)).unwrap_or_default(),
        peer_role,
    }
}

/// Figures of a connection. Application writes in flight are not counted.
pub(crate) fn connection_statistics(connection: &Connection) -> ConnectionStatistics {
    let mut statistics = ConnectionStatistics::default();
    if is_up(connection) {
        for device in connection.devices().iter() {
            let in_flight = device.peek(|volume| volume.snapshot().progress.in_flight_sectors);
            statistics.rs_in_flight = statistics.rs_in_flight.saturating_add(in_flight);
        }
    }
    statistics
}

/// State of a volume towards the peer.
pub(crate) fn peer_device_info(device: &Device, connection: &Connection) -> PeerDeviceInfo {
    let state = device.state();
    let up = is_up(connection);
    let replication_state = if up && state.conn >= Conn::Connected {
        let number = state.conn.repl().number();
        v2::ReplicationState::from_number(u32::from(number)).unwrap_or_default()
    } else {
        v2::ReplicationState::Off
    };
    // drbd9-api section 7: without a connection only these are known of the peer's disk.
    let known = up || matches!(state.pdsk, Disk::Inconsistent | Disk::Outdated);
    let peer_disk_state = disk(if known { state.pdsk } else { Disk::Unknown });
    PeerDeviceInfo {
        replication_state,
        peer_disk_state,
        resync_suspended_user: state.user_isp,
        resync_suspended_peer: state.peer_isp,
        resync_suspended_dependency: state.aftr_isp,
        peer_intentional_diskless: false,
        resync_suspended_max_parallel: false,
    }
}

/// Figures of a volume towards the peer.
pub(crate) fn peer_device_statistics(
    device: &Device,
    connection: &Connection,
) -> PeerDeviceStatistics {
    let (state, snapshot) = device.peek(|volume| (volume.state(), volume.snapshot()));
    // The tools take an UpToDate peer for a source of data only if it says that it stays one; a
    // peer of protocol 101 cannot say so, and is one as long as it is connected.
    let stable = is_up(connection) && state.pdsk == Disk::UpToDate;
    let uuid_flags = if stable { v2::UUID_FLAG_STABLE } else { 0 };
    let mut statistics = PeerDeviceStatistics {
        received: snapshot.received_sectors,
        sent: snapshot.sent_sectors,
        pending: snapshot.pending,
        unacked: snapshot.unacked,
        uuid_flags,
        ..PeerDeviceStatistics::default()
    };
    if state.disk <= Disk::Failed {
        return statistics;
    }
    statistics.out_of_sync = snapshot.out_of_sync_sectors;
    statistics.bitmap_uuid = snapshot.uuids.bitmap;
    statistics.flags = snapshot.peer_md_flags;
    let progress = snapshot.progress;
    if progress.total_sectors > 0 {
        let elapsed_ms = now_ms().saturating_sub(progress.started_ms);
        let verify = snapshot.verify;
        let left = if matches!(state.conn, Conn::VerifyS | Conn::VerifyT) {
            verify.left_sectors
        } else {
            snapshot.out_of_sync_sectors
        };
        let done = progress.total_sectors.saturating_sub(left);
        statistics.rs_same_csum = snapshot.progress.same_sectors;
        statistics.ov_start_sector = verify.start_sector;
        statistics.ov_stop_sector = verify.stop_sector;
        statistics.ov_position = verify.position;
        statistics.ov_left = verify.left_sectors;
        statistics.ov_skipped = verify.skipped_sectors;
        statistics.resync_failed = progress.failed_sectors;
        statistics.rs_total = progress.total_sectors;
        statistics.rs_dt_start_ms = elapsed_ms;
        // Both marks stand at the start: speeds are averages of the whole resync.
        statistics.rs_dt0_ms = elapsed_ms;
        statistics.rs_db0_sectors = done;
        statistics.rs_dt1_ms = elapsed_ms;
        statistics.rs_db1_sectors = done;
    }
    statistics
}

/// The connections of a resource as far as the interface in use shows them: one that is StandAlone has no configuration
/// in API version 1, and is not there.
pub(crate) fn connections(resource: &Resource) -> Result<KVec<Arc<Connection>>> {
    let mut all = resource.connections()?;
    if is_v1() {
        all.retain(|connection| is_configured(connection));
    }
    Ok(all)
}

/// Whether API version 1 takes the connection for configured.
pub(crate) fn is_configured(connection: &Connection) -> bool {
    conn(connection) != Conn::StandAlone && !connection.conf.lock().paths.is_empty()
}

/// Whether the module was loaded for the 8.4 tools.
pub(crate) fn is_v1() -> bool {
    params::api_version() == 1
}

/// Both ends of a connection: of its first path.
pub(crate) fn ends(connection: &Connection) -> Option<(SocketAddr, SocketAddr)> {
    let conf = connection.conf.lock();
    let path = conf.paths.first()?;
    Some((address(&path.local), address(&path.peer)))
}

/// Sectors that are marked as out of sync.
pub(crate) fn out_of_sync_sectors(device: &Device) -> u64 {
    device.peek(|volume| volume.snapshot().out_of_sync_sectors)
}

/// Requests of the peer that are under way.
pub(crate) fn unacked(device: &Device) -> u32 {
    device.peek(|volume| volume.snapshot().unacked)
}

/// State of a path: the first of a connection carries it.
pub(crate) fn path_info(connection: &Connection, index: usize) -> PathInfo {
    PathInfo {
        established: index == 0 && is_up(connection),
    }
}

/// The paths of a connection, at most as many as a message has room for.
pub(crate) fn paths(connection: &Connection) -> Result<KVec<PathAddresses>> {
    let conf = connection.conf.lock();
    let mut list = KVec::with_capacity(conf.paths.len().min(PATHS_SHOWN_MAX), GFP_KERNEL)?;
    for path in conf.paths.iter().take(PATHS_SHOWN_MAX) {
        let addresses = PathAddresses {
            my_addr: address(&path.local),
            peer_addr: address(&path.peer),
        };
        list.push(addresses, GFP_KERNEL)?;
    }
    Ok(list)
}

/// A socket address in the terms of the core library.
pub(crate) fn address(addr: &SockAddr) -> SocketAddr {
    match *addr {
        SockAddr::V4 { ip, port } => SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port),
        SockAddr::V6 { ip, port, scope } => {
            SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope))
        }
    }
}
