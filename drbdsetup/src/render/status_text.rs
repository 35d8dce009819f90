// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbdsetup status` for people.

use drbd_core::genl::state::{ConnectionState, DiskState, ReplicationState};
use drbd_core::genl::DeviceInfo;
use drbd_netlink::{Connection, Device, PeerDevice, Resource, Snapshot};

use super::details::{shown_rate, shown_seconds, SyncDetails};
use super::words::{backing_device, blocked, resync_suspended, suspended, yes_no};
use super::Style;

const COLUMNS: usize = 80;

/// What `status` shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusOptions {
    /// Everything.
    pub verbose: bool,
    /// Figures.
    pub statistics: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Release.
    pub style: Style,
}

/// Items of one object, wrapped at the width of the screen.
struct Items {
    text: String,
    column: usize,
    continuation: usize,
    /// Nothing but the indent stands on the line.
    fresh: bool,
}

impl Items {
    fn new(indent: usize, continuation: usize) -> Self {
        Self {
            text: " ".repeat(indent),
            column: indent,
            continuation,
            fresh: true,
        }
    }

    fn add(&mut self, item: &str) {
        if !self.fresh && self.column + 1 + item.len() > COLUMNS {
            self.new_line();
        }
        self.add_unwrapped(item);
    }

    fn add_unwrapped(&mut self, item: &str) {
        if !self.fresh {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(item);
        self.column += item.len();
        self.fresh = false;
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        self.text.push_str(&" ".repeat(self.continuation));
        self.column = self.continuation;
        self.fresh = true;
    }

    fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

/// One resource with everything that belongs to it, and the blank line behind it.
pub fn status_text(snapshot: &Snapshot, resource: &Resource, options: StatusOptions) -> String {
    let mut text = resource_line(resource, options);
    let devices: Vec<_> = snapshot.devices_of(&resource.name).collect();
    let single = devices.len() == 1 && devices.iter().all(|device| device.volume == 0);
    for device in devices {
        text.push_str(&device_lines(device, single, options));
    }
    for connection in snapshot.connections_of(&resource.name) {
        text.push_str(&connection_lines(connection, options));
        if connection.info.connection_state == ConnectionState::Connected
            || options.verbose
            || options.statistics
        {
            for peer_device in snapshot.peer_devices_of(connection) {
                text.push_str(&peer_device_lines(peer_device, single, options));
            }
        }
    }
    text.push('\n');
    text
}

fn resource_line(resource: &Resource, options: StatusOptions) -> String {
    let info = &resource.info;
    let mut items = Items::new(0, 4);
    items.add(&resource.name);
    if options.verbose && !options.style.is_84() {
        items.add(&format!(
            "node-id:{}",
            resource.options.number("node_id").unwrap_or(-1)
        ));
    }
    items.add(&format!("role:{}", info.role));
    let suspended = suspended(info);
    if options.verbose || suspended != "no" {
        items.add(&format!("suspended:{suspended}"));
    }
    if (options.verbose || info.fail_io) && !options.style.is_84() {
        items.add(&format!("force-io-failures:{}", yes_no(info.fail_io)));
    }
    if options.verbose && options.statistics {
        items.new_line();
        items.add(&format!(
            "write-ordering:{}",
            resource.statistics.write_ordering
        ));
    }
    items.finish()
}

fn device_lines(device: &Device, single: bool, options: StatusOptions) -> String {
    let (info, statistics) = (&device.info, &device.statistics);
    let mut items = Items::new(2, 6);
    if options.verbose || !single {
        items.add(&format!("volume:{}", device.volume));
    }
    if options.verbose {
        items.add(&format!("minor:{}", device.minor));
    }
    items.add(&format!("disk:{}", info.disk_state));
    if !options.style.is_84() {
        newer_device_items(&mut items, info, options);
    }
    if options.statistics {
        items.new_line();
        if options.verbose {
            items.add(&format!("size:{}", statistics.size / 2));
        }
        items.add(&format!("read:{}", statistics.read / 2));
        items.add(&format!("written:{}", statistics.written / 2));
        if options.verbose {
            items.add(&format!("al-writes:{}", statistics.al_writes));
            items.add(&format!("bm-writes:{}", statistics.bm_writes));
            items.add(&format!("upper-pending:{}", statistics.upper_pending));
            items.add(&format!("lower-pending:{}", statistics.lower_pending));
            items.add(&format!("al-suspended:{}", yes_no(statistics.al_suspended)));
        }
    }
    let blocked = blocked(statistics);
    if options.verbose || blocked != "no" {
        items.add(&format!("blocked:{blocked}"));
    }
    items.finish()
}

/// What only generation 9 knows of a device.
fn newer_device_items(items: &mut Items, info: &DeviceInfo, options: StatusOptions) {
    if info.disk_state == DiskState::Diskless && (options.verbose || !options.terminal) {
        items.add(&format!("client:{}", yes_no(info.intentional_diskless)));
    }
    if options.verbose {
        items.add(&format!(
            "backing_dev:{}",
            backing_device(info.backing_dev_path.as_str())
        ));
    }
    if options.verbose || !info.has_quorum {
        items.add(&format!("quorum:{}", yes_no(info.has_quorum)));
    }
    if options.style.is_new() {
        items.add(&format!("open:{}", yes_no(info.is_open)));
    }
}

fn connection_lines(connection: &Connection, options: StatusOptions) -> String {
    let (info, statistics) = (&connection.info, &connection.statistics);
    let connected = info.connection_state == ConnectionState::Connected;
    let mut items = Items::new(2, 6);
    items.add(&connection.name);
    let is_84 = options.style.is_84();
    if options.verbose && !is_84 {
        items.add(&format!("node-id:{}", connection.peer_node_id));
    }
    if options.verbose || !connected {
        items.add(&format!("connection:{}", info.connection_state));
    }
    if options.verbose || connected {
        items.add(&format!("role:{}", info.peer_role));
    }
    let tls = connection.net.field("tls") == Some(drbd_core::config::Value::Bool(true));
    if options.style.is_new() && (options.verbose || tls) {
        items.add(&format!("tls:{}", yes_no(tls)));
    }
    if options.verbose || statistics.congested {
        items.add(&format!("congested:{}", yes_no(statistics.congested)));
        if !is_84 {
            items.add(&format!("ap-in-flight:{}", statistics.ap_in_flight));
            items.add(&format!("rs-in-flight:{}", statistics.rs_in_flight));
        }
    }
    items.finish()
}

fn peer_device_lines(peer_device: &PeerDevice, single: bool, options: StatusOptions) -> String {
    let (info, statistics) = (&peer_device.info, &peer_device.statistics);
    let details = SyncDetails::of(statistics, info.replication_state);
    let mut items = Items::new(4, 8);
    if options.verbose || !single {
        items.add(&format!("volume:{}", peer_device.volume));
    }
    // Generation 9 does not tell of what is as it should be.
    let ordinary = if options.style.is_84() {
        ReplicationState::Off
    } else {
        ReplicationState::Established
    };
    if options.verbose || info.replication_state > ordinary {
        items.add(&format!("replication:{}", info.replication_state));
    }
    items.add(&format!("peer-disk:{}", info.peer_disk_state));
    let is_84 = options.style.is_84();
    let diskless = info.peer_disk_state == DiskState::Diskless;
    if diskless && !is_84 && (options.verbose || !options.terminal) {
        items.add(&format!(
            "peer-client:{}",
            yes_no(info.peer_intentional_diskless)
        ));
    }
    if let Some(details) = details {
        items.add(&format!("done:{:.2}", details.done_percent));
    }
    let suspended = resync_suspended(info);
    if options.verbose || suspended != "no" {
        items.add(&format!("resync-suspended:{suspended}"));
    }
    if options.statistics {
        items.new_line();
        items.add(&format!("received:{}", statistics.received / 2));
        items.add(&format!("sent:{}", statistics.sent / 2));
        if options.verbose || statistics.out_of_sync > 0 {
            items.add(&format!("out-of-sync:{}", statistics.out_of_sync / 2));
        }
        if options.verbose {
            items.add(&format!("pending:{}", statistics.pending));
            items.add(&format!("unacked:{}", statistics.unacked));
        }
        if let Some(details) = details.filter(|_| !is_84) {
            items.add(&format!("dbdt1:{}", shown_rate(details.rate1)));
            let left = format!("eta:{}", shown_seconds(details.seconds_left));
            // Release 9.34 leaves this one item where it is, however long the line.
            if options.style.is_new() {
                items.add_unwrapped(&left);
            } else {
                items.add(&left);
            }
        }
    }
    items.finish()
}
