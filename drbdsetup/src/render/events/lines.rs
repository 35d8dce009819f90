// SPDX-License-Identifier: GPL-2.0-or-later
//! The lines of one group of notifications.

use drbd_core::genl::state::NotificationKind;
use drbd_core::genl::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, PathAddresses, PathInfo,
    PeerDeviceInfo, PeerDeviceStatistics, ResourceInfo, ResourceStatistics,
};
use drbd_netlink::{Event, EventObject};

use super::super::details::{shown_rate, shown_seconds, SyncDetails};
use super::super::words::{address, backing_device, blocked, resync_suspended, suspended, yes_no};
use super::model::Model;
use super::promotion::Promotion;
use super::EventOptions;

pub(super) struct Lines<'a> {
    pub(super) old: &'a Model,
    pub(super) new: &'a Model,
    pub(super) options: &'a EventOptions,
    /// Leave out lines that tell nothing new.
    pub(super) only_changed: bool,
}

/// Order within a group: resources, connections, devices, peer devices and paths by connection, the destroyed, helpers.
fn rank(event: &Event) -> u32 {
    if event.kind == NotificationKind::Destroy {
        return 4;
    }
    match event.object {
        EventObject::Resource { .. } => 0,
        EventObject::Connection { .. } => 1,
        EventObject::Device { .. } => 2,
        EventObject::PeerDevice { .. } | EventObject::Path { .. } => 3,
        EventObject::Helper { .. } | EventObject::InitialStateDone => 5,
    }
}

impl Lines<'_> {
    pub(super) fn of(&self, group: &[Event]) -> Vec<String> {
        let mut lines = self.promotions(group);
        for rank_now in 0..=2 {
            lines.extend(
                group
                    .iter()
                    .filter(|event| rank(event) == rank_now)
                    .filter_map(|event| self.line(event)),
            );
        }
        lines.extend(self.by_connection(group));
        for rank_now in 4..=5 {
            lines.extend(
                group
                    .iter()
                    .filter(|event| rank(event) == rank_now)
                    .filter_map(|event| self.line(event)),
            );
        }
        lines
    }

    /// Peer devices and paths: per connection in the order of their first appearance, peer devices first.
    fn by_connection(&self, group: &[Event]) -> Vec<String> {
        let peer = |event: &Event| match &event.object {
            EventObject::PeerDevice {
                resource,
                peer_node_id,
                ..
            } => Some((resource.clone(), *peer_node_id, true)),
            EventObject::Path {
                resource,
                peer_node_id,
                ..
            } => Some((resource.clone(), *peer_node_id, false)),
            _ => None,
        };
        let connection = |event: &Event| match &event.object {
            EventObject::Connection {
                resource,
                peer_node_id,
                ..
            } => Some((resource.clone(), *peer_node_id)),
            _ => peer(event).map(|(resource, id, _)| (resource, id)),
        };
        let mut order: Vec<(String, u32)> = Vec::new();
        for key in group
            .iter()
            .filter(|event| rank(event) < 4)
            .filter_map(connection)
        {
            if !order.contains(&key) {
                order.push(key);
            }
        }
        let mut lines = Vec::new();
        for (resource, id) in order {
            for peer_devices in [true, false] {
                let key = Some((resource.clone(), id, peer_devices));
                lines.extend(
                    group
                        .iter()
                        .filter(|event| rank(event) == 3 && peer(event) == key)
                        .filter_map(|event| self.line(event)),
                );
            }
        }
        lines
    }

    /// Resources whose promotion figures changed although no notification is about the resource itself.
    fn promotions(&self, group: &[Event]) -> Vec<String> {
        if self.options.style.is_84() {
            return Vec::new();
        }
        let mut seen: Vec<&str> = Vec::new();
        let told: Vec<&str> = group
            .iter()
            .filter_map(|event| match &event.object {
                EventObject::Resource { name, .. } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let mut lines = Vec::new();
        for event in group {
            let name = match &event.object {
                EventObject::Device { resource, .. }
                | EventObject::Connection { resource, .. }
                | EventObject::PeerDevice { resource, .. } => resource.as_str(),
                _ => continue,
            };
            if seen.contains(&name) || told.contains(&name) {
                continue;
            }
            seen.push(name);
            let (old, new) = (Promotion::of(self.old, name), Promotion::of(self.new, name));
            if let (Some(old), Some(new)) = (old, new) {
                if old != new {
                    lines.push(format!("change resource name:{name}{}", promotion(new)));
                }
            }
        }
        lines
    }

    fn line(&self, event: &Event) -> Option<String> {
        let kind = event.kind.name();
        let gone = event.kind == NotificationKind::Destroy;
        let changed = event.kind == NotificationKind::Change;
        let (key, fields) = match &event.object {
            EventObject::Resource {
                name,
                new_name: Some(new_name),
                ..
            } => {
                return Some(format!("{kind} resource name:{name} new_name:{new_name}"));
            }
            EventObject::Resource {
                name,
                info,
                statistics,
                ..
            } => {
                let fields = info
                    .as_ref()
                    .map(|info| self.resource(name, info, statistics, changed));
                if changed && fields.as_deref() == Some("") {
                    return None;
                }
                (format!("resource name:{name}"), fields)
            }
            EventObject::Device {
                resource,
                volume,
                minor,
                info,
                statistics,
            } => {
                let minor = if gone {
                    String::new()
                } else {
                    format!(" minor:{minor}")
                };
                let key = (resource.clone(), *volume);
                let old = self.old.devices.get(&key).filter(|_| changed);
                let fields = info.as_ref().map(|info| self.device(old, info, statistics));
                (
                    format!("device name:{resource} volume:{volume}{minor}"),
                    fields,
                )
            }
            EventObject::Connection {
                resource,
                peer_node_id,
                name,
                info,
                statistics,
            } => {
                let old = self
                    .old
                    .connections
                    .get(&(resource.clone(), *peer_node_id))
                    .filter(|_| changed);
                let fields = info
                    .as_ref()
                    .map(|info| self.connection(old, info, statistics));
                (
                    format!(
                        "connection name:{resource}{}",
                        peer(Some(*peer_node_id), Some(name))
                    ),
                    fields,
                )
            }
            EventObject::PeerDevice {
                resource,
                peer_node_id,
                connection,
                volume,
                info,
                statistics,
            } => {
                let key = ((resource.clone(), *peer_node_id), *volume);
                let old = self.old.peer_devices.get(&key).filter(|_| changed);
                let fields = info
                    .as_ref()
                    .map(|info| self.peer_device(old, info, statistics));
                let peer = peer(Some(*peer_node_id), Some(connection));
                (
                    format!("peer-device name:{resource}{peer} volume:{volume}"),
                    fields,
                )
            }
            EventObject::Path {
                resource,
                peer_node_id,
                connection,
                addresses,
                info,
            } => {
                let old = self
                    .old
                    .path(resource, *peer_node_id, addresses)
                    .filter(|_| changed);
                let peer = peer(Some(*peer_node_id), Some(connection));
                (
                    format!("path name:{resource}{peer}{}", ends(addresses)),
                    Some(self.path(old, info)),
                )
            }
            EventObject::Helper { .. } => return Some(format!("{kind} {}", helper(event))),
            EventObject::InitialStateDone => return None,
        };
        let fields = if gone {
            String::new()
        } else {
            fields.unwrap_or_default()
        };
        if self.only_changed && changed && fields.is_empty() {
            return None;
        }
        Some(format!("{kind} {key}{fields}"))
    }

    /// Old values to compare with; `--full` compares with nothing.
    fn base<'o, T>(&self, old: Option<&'o T>) -> Option<&'o T> {
        old.filter(|_| !self.options.full)
    }

    fn statistics(&self) -> bool {
        self.options.statistics || self.options.full
    }

    fn resource(
        &self,
        name: &str,
        info: &ResourceInfo,
        statistics: &ResourceStatistics,
        changed: bool,
    ) -> String {
        let old = self.base(self.old.resources.get(name).filter(|_| changed));
        let old_info = old.map(|(info, _)| info);
        let mut text = String::new();
        if old_info.is_none_or_other(|old| old.role == info.role) {
            text.push_str(&format!(" role:{}", info.role));
        }
        let now = suspended(info);
        if old_info.is_none_or_other(|old| suspended(old) == now) {
            text.push_str(&format!(" suspended:{now}"));
        }
        let is_84 = self.options.style.is_84();
        if !is_84 && old_info.is_none_or_other(|old| old.fail_io == info.fail_io) {
            text.push_str(&format!(" force-io-failures:{}", yes_no(info.fail_io)));
        }
        if self.statistics() && old.is_none_or_other(|(_, old)| old == statistics) {
            text.push_str(&format!(" write-ordering:{}", statistics.write_ordering));
        }
        if is_84 {
            return text;
        }
        let before = old.and_then(|_| Promotion::of(self.old, name));
        let after = Promotion::of(self.new, name).unwrap_or_default();
        if before != Some(after) {
            text.push_str(&promotion(after));
        }
        text
    }

    fn device(
        &self,
        old: Option<&(DeviceInfo, DeviceStatistics)>,
        info: &DeviceInfo,
        statistics: &DeviceStatistics,
    ) -> String {
        let old = self.base(old);
        let mut text = String::new();
        let is_84 = self.options.style.is_84();
        if is_84 && old.is_none_or_other(|(old, _)| old == info) {
            text.push_str(&format!(" disk:{}", info.disk_state));
        } else if old.is_none_or_other(|(old, _)| old == info) {
            text.push_str(&format!(
                " backing_dev:{} disk:{} client:{}",
                backing_device(info.backing_dev_path.as_str()),
                info.disk_state,
                yes_no(info.intentional_diskless)
            ));
            if self.options.style.is_new() {
                text.push_str(&format!(" open:{}", yes_no(info.is_open)));
            }
            text.push_str(&format!(" quorum:{}", yes_no(info.has_quorum)));
        }
        if self.statistics() && old.is_none_or_other(|(_, old)| old == statistics) {
            text.push_str(&format!(
                " size:{} read:{} written:{} al-writes:{} bm-writes:{} upper-pending:{} lower-pending:{}",
                statistics.size / 2,
                statistics.read / 2,
                statistics.written / 2,
                statistics.al_writes,
                statistics.bm_writes,
                statistics.upper_pending,
                statistics.lower_pending
            ));
            if old.is_none_or_other(|(_, old)| old.al_suspended == statistics.al_suspended) {
                text.push_str(&format!(
                    " al-suspended:{}",
                    yes_no(statistics.al_suspended)
                ));
            }
            let now = blocked(statistics);
            if old.is_none_or_other(|(_, old)| blocked(old) == now) {
                text.push_str(&format!(" blocked:{now}"));
            }
        }
        text
    }

    fn connection(
        &self,
        old: Option<&(ConnectionInfo, ConnectionStatistics)>,
        info: &ConnectionInfo,
        statistics: &ConnectionStatistics,
    ) -> String {
        let old = self.base(old);
        let mut text = String::new();
        if old.is_none_or_other(|(old, _)| old.connection_state == info.connection_state) {
            text.push_str(&format!(" connection:{}", info.connection_state));
        }
        if old.is_none_or_other(|(old, _)| old.peer_role == info.peer_role) {
            text.push_str(&format!(" role:{}", info.peer_role));
        }
        if self.statistics() && old.is_none_or_other(|(_, old)| old == statistics) {
            text.push_str(&format!(" congested:{}", yes_no(statistics.congested)));
            if !self.options.style.is_84() {
                text.push_str(&format!(
                    " ap-in-flight:{} rs-in-flight:{}",
                    statistics.ap_in_flight, statistics.rs_in_flight
                ));
            }
        }
        text
    }

    fn peer_device(
        &self,
        old: Option<&(PeerDeviceInfo, PeerDeviceStatistics)>,
        info: &PeerDeviceInfo,
        statistics: &PeerDeviceStatistics,
    ) -> String {
        let old = self.base(old);
        let mut text = String::new();
        if old.is_none_or_other(|(old, _)| old.replication_state == info.replication_state) {
            text.push_str(&format!(" replication:{}", info.replication_state));
        }
        if old.is_none_or_other(|(old, _)| {
            old.peer_disk_state == info.peer_disk_state
                && old.peer_intentional_diskless == info.peer_intentional_diskless
        }) {
            text.push_str(&format!(" peer-disk:{}", info.peer_disk_state));
            if !self.options.style.is_84() {
                let client = yes_no(info.peer_intentional_diskless);
                text.push_str(&format!(" peer-client:{client}"));
            }
        }
        let now = resync_suspended(info);
        if old.is_none_or_other(|(old, _)| resync_suspended(old) == now) {
            text.push_str(&format!(" resync-suspended:{now}"));
        }
        if old.is_none_or_other(|(_, old)| old == statistics) {
            let details = SyncDetails::of(statistics, info.replication_state);
            if let Some(details) = details {
                text.push_str(&format!(" done:{:.2}", details.done_percent));
            }
            if self.statistics() {
                text.push_str(&format!(
                    " received:{} sent:{} out-of-sync:{} pending:{} unacked:{}",
                    statistics.received / 2,
                    statistics.sent / 2,
                    statistics.out_of_sync / 2,
                    statistics.pending,
                    statistics.unacked
                ));
                if let Some(details) = details.filter(|_| !self.options.style.is_84()) {
                    let (rate, left) = (
                        shown_rate(details.rate1),
                        shown_seconds(details.seconds_left),
                    );
                    text.push_str(&format!(" dbdt1:{rate} eta:{left}"));
                }
            }
        }
        text
    }

    fn path(&self, old: Option<&PathInfo>, info: &PathInfo) -> String {
        if self.base(old).is_none_or_other(|old| old == info) {
            format!(" established:{}", yes_no(info.established))
        } else {
            String::new()
        }
    }
}

/// "Show it": there is nothing to compare with, or it is different.
trait NoneOrOther<T> {
    fn is_none_or_other(&self, same: impl FnOnce(&T) -> bool) -> bool;
}

impl<T> NoneOrOther<T> for Option<&T> {
    fn is_none_or_other(&self, same: impl FnOnce(&T) -> bool) -> bool {
        match self {
            Some(old) => !same(old),
            None => true,
        }
    }
}

fn promotion(promotion: Promotion) -> String {
    format!(
        " may_promote:{} promotion_score:{}",
        yes_no(promotion.may_promote),
        promotion.score
    )
}

fn peer(node_id: Option<u32>, name: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(id) = node_id {
        text.push_str(&format!(" peer-node-id:{id}"));
    }
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        text.push_str(&format!(" conn-name:{name}"));
    }
    text
}

fn ends(addresses: &PathAddresses) -> String {
    format!(
        " local:{} peer:{}",
        address(&addresses.my_addr),
        address(&addresses.peer_addr)
    )
}

fn helper(event: &Event) -> String {
    let EventObject::Helper {
        resource,
        peer_node_id,
        connection,
        volume,
        minor,
        name,
        status,
    } = &event.object
    else {
        return String::new();
    };
    let mut text = format!(
        "helper name:{resource}{}",
        peer(*peer_node_id, connection.as_deref())
    );
    if let Some(volume) = volume {
        text.push_str(&format!(" volume:{volume}"));
    }
    if let Some(minor) = minor {
        text.push_str(&format!(" minor:{minor}"));
    }
    text.push_str(&format!(" helper:{name}"));
    if event.kind == NotificationKind::Response {
        text.push_str(&format!(" status:{status}"));
    }
    text
}
