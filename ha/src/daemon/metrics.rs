// SPDX-License-Identifier: GPL-2.0-or-later
//! Metrics for Prometheus, with the names of failover.md section 7; DRBD's are called as drbd-reactor calls them, so that its
//! dashboards load.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::effect::EventKind;
use crate::core::message::Holding;
use crate::core::status::PeerState;

use super::protocol::Report;

type Labels = Vec<(String, String)>;
type Gauges = Family<Labels, Gauge>;
type Floats = Family<Labels, Gauge<f64, AtomicU64>>;
type Counts = Family<Labels, Counter>;

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn seconds() -> Histogram {
    Histogram::new([
        0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    ])
}

/// What is counted as it happens.
#[derive(Debug)]
pub(super) struct Counters {
    registry: Registry,
    action_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    action_failures: Counts,
    fence: Counts,
    transitions: Counts,
}

impl Default for Counters {
    fn default() -> Self {
        let mut registry = Registry::default();
        let action_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        registry.register(
            "had_action_seconds",
            "Time that actions took",
            action_seconds.clone(),
        );
        let mut counts = |name: &str, help: &str| {
            let family = Counts::default();
            registry.register(name, help, family.clone());
            family
        };
        Counters {
            action_failures: counts("had_action_failures", "Actions that failed"),
            fence: counts("had_fence", "Attempts to fence from this node"),
            transitions: counts(
                "had_group_transitions",
                "Events of groups and placement, by group",
            ),
            action_seconds,
            registry,
        }
    }
}

impl Counters {
    pub(super) fn action(&self, resource: &str, action: &str, took: Duration, good: bool) {
        let set = labels([("resource", resource), ("action", action)]);
        self.action_seconds
            .get_or_create(&set)
            .observe(took.as_secs_f64());
        if !good {
            self.action_failures.get_or_create(&set).inc();
        }
    }

    pub(super) fn fenced(&self, target: &str, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        let set = labels([("target", target), ("result", result)]);
        self.fence.get_or_create(&set).inc();
    }

    pub(super) fn event(&self, kind: EventKind, group: Option<&str>) {
        if let (EventKind::Group | EventKind::Placement, Some(group)) = (kind, group) {
            let kind = format!("{kind:?}").to_lowercase();
            let set = labels([("group", group), ("kind", &kind)]);
            self.transitions.get_or_create(&set).inc();
        }
    }
}

/// Registers families and sets them in one go.
struct Page(Registry);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, i64)>) {
        let family = Gauges::default();
        for (set, value) in rows {
            family.get_or_create(&set).set(value);
        }
        self.0.register(name, help, family);
    }

    fn float(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Floats::default();
        for (set, value) in rows {
            family.get_or_create(&set).set(value);
        }
        self.0.register(name, help, family);
    }

    fn count(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Counts::default();
        for (set, value) in rows {
            family.get_or_create(&set).inc_by(value);
        }
        self.0.register(name, help, family);
    }
}

fn number(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

fn seconds_of(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// The whole page.
pub(super) fn page(report: &Report, counters: &Counters) -> Result<String, std::fmt::Error> {
    let mut page = Page(Registry::default());
    cluster(&mut page, report);
    nodes(&mut page, report);
    groups(&mut page, report);
    drbd(&mut page, report);
    let mut text = String::new();
    encode_registry(&mut text, &page.0)?;
    encode_registry(&mut text, &counters.registry)?;
    encode_eof(&mut text)?;
    Ok(text)
}

fn cluster(page: &mut Page, report: &Report) {
    let core = &report.core;
    let one = |value: i64| [(labels([]), value)];
    page.gauge("had_up", "The daemon runs", one(1));
    let epoch = core.view.map_or(0, |view| view.epoch);
    page.gauge("had_view_epoch", "Number of the view", one(number(epoch)));
    let members = number(core.members.len());
    page.gauge("had_view_members", "Nodes in the view", one(members));
    page.gauge(
        "had_quorate",
        "The view has quorum",
        one(i64::from(core.quorate)),
    );
    page.gauge(
        "had_maintenance",
        "Maintenance is on",
        one(i64::from(core.maintenance)),
    );
    page.gauge(
        "had_links_open",
        "Links of this node that are open",
        one(number(report.links_open)),
    );
    let refused = report.refused.iter();
    let refused = refused.map(|(reason, count)| (labels([("reason", reason)]), *count));
    let help = "Datagrams that were thrown away";
    page.count("had_auth_failures", help, refused);
    let stall = [(labels([]), seconds_of(report.stall_max_ms))];
    page.float(
        "had_loop_stall_seconds_max",
        "The longest time that the loop was late",
        stall,
    );
}

fn nodes(page: &mut Page, report: &Report) {
    const STATES: [PeerState; 8] = [
        PeerState::Myself,
        PeerState::Unknown,
        PeerState::Up,
        PeerState::Late,
        PeerState::Dead,
        PeerState::Fencing,
        PeerState::FencedSafe,
        PeerState::Left,
    ];
    let nodes = || report.core.nodes.iter();
    let states = nodes().flat_map(|node| {
        STATES.map(|state| {
            let word = format!("{state:?}");
            let set = labels([("node", &node.name), ("state", &word)]);
            (set, i64::from(node.peer == state))
        })
    });
    page.gauge(
        "had_node_state",
        "How nodes look from here: 1 for the state that each is in",
        states,
    );
    let links = || {
        report.links.iter().flat_map(|(node, links)| {
            let links = links.iter().enumerate();
            links.map(move |(at, link)| (node.as_str(), at.to_string(), link))
        })
    };
    let ages = links().filter_map(|(node, at, link)| {
        let set = labels([("node", node), ("link", &at)]);
        Some((set, seconds_of(link.age_ms?)))
    });
    page.float("had_peer_age_seconds", "Since something was heard", ages);
    let beats = links().flat_map(|(node, at, link)| {
        [("tx", link.sent), ("rx", link.received)]
            .map(|(dir, count)| (labels([("node", node), ("link", &at), ("dir", dir)]), count))
    });
    page.count("had_heartbeats", "Datagrams by link and direction", beats);
}

fn groups(page: &mut Page, report: &Report) {
    let name = |id| {
        let mut nodes = report.core.nodes.iter();
        nodes
            .find(|node| node.id == id)
            .map(|node| node.name.clone())
    };
    let owners = report.core.groups.iter().flat_map(|group| {
        group.holders.iter().filter_map(|(node, holding)| {
            let set = labels([("group", &group.name), ("node", &name(*node)?)]);
            Some((set, i64::from(*holding == Holding::Running)))
        })
    });
    let owners: Vec<(Labels, i64)> = owners.collect();
    page.gauge("had_group_owner", "Where a group runs", owners);
    let fails = report.core.groups.iter().flat_map(|group| {
        group.resources.iter().map(|resource| {
            let set = labels([("group", &group.name), ("resource", &resource.name)]);
            (set, i64::from(resource.fails))
        })
    });
    page.gauge(
        "had_resource_fails",
        "Failures here that are not forgotten",
        fails,
    );
}

fn drbd(page: &mut Page, report: &Report) {
    let rows = || report.drbd.iter();
    let states = |value: fn(&crate::core::drbd::DrbdBrief) -> String, key: &'static str| {
        rows().map(move |(name, brief)| (labels([("name", name), (key, &value(brief))]), 1))
    };
    let role = states(|brief| format!("{:?}", brief.role), "drbd_resource_role");
    page.gauge("drbd_resource_role", "DRBD role of the resource", role);
    let connection = states(
        |brief| {
            if brief.connected {
                "Connected"
            } else {
                "Connecting"
            }
            .to_owned()
        },
        "drbd_connection_state",
    );
    page.gauge("drbd_connection_state", "DRBD connection state", connection);
    let disk = states(|brief| format!("{:?}", brief.disk), "drbd_device_state");
    page.gauge("drbd_device_state", "DRBD device state", disk);
    let bytes = rows().map(|(name, brief)| {
        let bytes = brief.out_of_sync_kib.saturating_mul(1024);
        (labels([("name", name)]), number(bytes))
    });
    page.gauge(
        "drbd_peerdevice_outofsync_bytes",
        "Bytes currently out of sync with this peer",
        bytes,
    );
}
