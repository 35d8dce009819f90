// SPDX-License-Identifier: GPL-2.0-or-later
//! Placement, in the six shapes of failover.md 1.1 and rule by rule.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cluster::{Cluster, Failback, Group};
use super::super::drbd::Disk;
use super::super::id::{GroupId, NodeId};
use super::super::message::{GroupBrief, Holding};
use super::super::overrides::{Key, Overrides, Value};
use super::super::placement::{place, Situation};
use super::{cluster, disk, group, idle, with_groups};

/// A cluster at work: what each node says, who owns what.
struct Table {
    cluster: Cluster,
    says: BTreeMap<NodeId, BTreeMap<GroupId, GroupBrief>>,
    overrides: Overrides,
    owners: BTreeMap<GroupId, NodeId>,
    ripe: BTreeSet<GroupId>,
}

impl Table {
    fn new(count: u8, groups: Vec<Group>) -> Self {
        let cluster = with_groups(cluster(count), groups);
        let says = cluster.nodes.keys().map(|node| {
            let mine = cluster
                .groups
                .iter()
                .filter(|(_, group)| group.nodes.contains(node));
            (*node, mine.map(|(id, group)| (*id, idle(group))).collect())
        });
        Table {
            says: says.collect(),
            cluster,
            overrides: Overrides::default(),
            owners: BTreeMap::new(),
            ripe: BTreeSet::new(),
        }
    }

    /// Each group's node; 0 is none.
    fn places(&self) -> Vec<(&str, u8)> {
        let members = self
            .says
            .iter()
            .map(|(node, groups)| (*node, groups))
            .collect();
        let situation = Situation {
            cluster: &self.cluster,
            members: &members,
            overrides: &self.overrides,
            owners: &self.owners,
            ripe: &self.ripe,
        };
        let places = place(&situation);
        let mut named: Vec<(&str, u8)> = self
            .cluster
            .groups
            .iter()
            .map(|(id, group)| {
                (
                    group.name.as_str(),
                    places[id].node.map_or(0, |node| node.0),
                )
            })
            .collect();
        named.sort_unstable();
        named
    }

    fn reason(&self, name: &str) -> String {
        let members = self
            .says
            .iter()
            .map(|(node, groups)| (*node, groups))
            .collect();
        let situation = Situation {
            cluster: &self.cluster,
            members: &members,
            overrides: &self.overrides,
            owners: &self.owners,
            ripe: &self.ripe,
        };
        place(&situation)[&GroupId::of(name)].reason.clone()
    }

    /// What was decided comes true.
    fn settle(&mut self) {
        let places: Vec<(String, u8)> = self
            .places()
            .into_iter()
            .map(|(name, node)| (name.to_owned(), node))
            .collect();
        for (name, node) in places {
            self.runs(&name, node);
        }
    }

    fn runs(&mut self, name: &str, node: u8) {
        let id = GroupId::of(name);
        self.owners.remove(&id);
        for (other, groups) in &mut self.says {
            if let Some(brief) = groups.get_mut(&id) {
                brief.holding = if other.0 == node {
                    Holding::Running
                } else {
                    Holding::Released
                };
            }
        }
        if node != 0 {
            self.owners.insert(id, NodeId(node));
        }
    }

    fn dies(&mut self, node: u8) {
        self.says.remove(&NodeId(node));
    }

    fn returns(&mut self, node: u8) {
        let mine = self
            .cluster
            .groups
            .iter()
            .filter(|(_, group)| group.nodes.contains(&NodeId(node)));
        let says = mine.map(|(id, group)| (*id, idle(group))).collect();
        self.says.insert(NodeId(node), says);
    }

    fn brief(&mut self, name: &str, node: u8) -> &mut GroupBrief {
        let groups = self.says.get_mut(&NodeId(node)).expect("a member");
        groups.get_mut(&GroupId::of(name)).expect("a group of it")
    }

    fn slots(&mut self, node: u8, slots: u64) {
        let node = self.cluster.nodes.get_mut(&NodeId(node)).expect("a node");
        node.capacity.insert("slots".to_owned(), slots);
        for group in self.cluster.groups.values_mut() {
            group.uses.insert("slots".to_owned(), 1);
        }
    }
}

#[test]
fn active_passive_stays_where_it_went() {
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
    assert_eq!(table.places(), [("db", 1)]);
    table.settle();
    table.dies(1);
    assert_eq!(table.places(), [("db", 2)]);
    table.settle();
    table.returns(1);
    assert_eq!(table.places(), [("db", 2)]);
}

#[test]
fn active_active_crosswise() {
    let mut table = Table::new(2, vec![group("da", &[1, 2], 0), group("db", &[2, 1], 0)]);
    assert_eq!(table.places(), [("da", 1), ("db", 2)]);
    table.settle();
    table.dies(1);
    assert_eq!(table.places(), [("da", 2), ("db", 2)]);
}

#[test]
fn n_plus_1_with_room_for_one() {
    let mut table = Table::new(3, vec![group("da", &[1, 3], 5), group("db", &[2, 3], 9)]);
    table.slots(3, 1);
    assert_eq!(table.places(), [("da", 1), ("db", 2)]);
    table.settle();
    table.dies(1);
    table.settle();
    assert_eq!(table.places(), [("da", 3), ("db", 2)]);
    // The spare is taken: even the more important one has to wait.
    table.dies(2);
    assert_eq!(table.places(), [("da", 3), ("db", 0)]);
    assert!(
        table
            .reason("db")
            .contains("n3 has no room: 1 of 1 slots are used"),
        "{}",
        table.reason("db")
    );
    // Unless it may evict.
    let db = table
        .cluster
        .groups
        .get_mut(&GroupId::of("db"))
        .expect("configured");
    db.preempt = true;
    assert_eq!(table.places(), [("da", 0), ("db", 3)]);
}

#[test]
fn n_plus_m_takes_the_spare_with_more_room() {
    let groups = vec![group("a", &[1, 3, 4], 0), group("b", &[2, 3, 4], 0)];
    let mut table = Table::new(4, groups);
    for node in [3, 4] {
        table.slots(node, 1);
    }
    table.settle();
    table.dies(1);
    table.dies(2);
    assert_eq!(table.places(), [("a", 3), ("b", 4)]);
}

#[test]
fn n_to_1_goes_home_once_and_when_it_is_time() {
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
    let id = GroupId::of("db");
    table
        .cluster
        .groups
        .get_mut(&id)
        .expect("configured")
        .failback = Failback::Auto;
    table.runs("db", 2);
    table.brief("db", 1).drbd = vec![disk(Disk::Inconsistent)];
    table.ripe.insert(id);
    assert_eq!(table.places(), [("db", 2)], "before the resync");
    table.brief("db", 1).drbd = vec![disk(Disk::UpToDate)];
    table.ripe.clear();
    assert_eq!(table.places(), [("db", 2)], "before the delay");
    table.ripe.insert(id);
    assert_eq!(table.places(), [("db", 1)]);
    table.settle();
    assert_eq!(table.places(), [("db", 1)]);
}

#[test]
fn n_to_n_in_a_ring() {
    let ring = vec![
        group("da", &[1, 2], 0),
        group("db", &[2, 3], 0),
        group("dc", &[3, 1], 0),
    ];
    for (dead, expected) in [(1, [2, 2, 3]), (2, [1, 3, 3]), (3, [1, 2, 1])] {
        let mut table = Table::new(3, ring.clone());
        table.settle();
        table.dies(dead);
        let places: Vec<u8> = table.places().into_iter().map(|(_, node)| node).collect();
        assert_eq!(places, expected, "without node {dead}");
    }
}

#[test]
fn data_decides() {
    for (first, second, expected) in [
        (Disk::UpToDate, Disk::UpToDate, 1),
        (Disk::Outdated, Disk::UpToDate, 2),
        (Disk::Inconsistent, Disk::UpToDate, 2),
        (Disk::Diskless, Disk::UpToDate, 2),
        (Disk::Consistent, Disk::UpToDate, 1),
        (Disk::Outdated, Disk::Inconsistent, 0),
    ] {
        let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
        table.brief("db", 1).drbd = vec![disk(first)];
        table.brief("db", 2).drbd = vec![disk(second)];
        assert_eq!(table.places(), [("db", expected)], "{first:?} {second:?}");
    }
}

#[test]
fn a_consistent_disk_is_no_good_while_the_other_is_away() {
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
    table.brief("db", 1).drbd = vec![disk(Disk::Consistent)];
    table.dies(2);
    assert_eq!(table.places(), [("db", 0)]);
    assert!(
        table.reason("db").contains("the peer's may be newer"),
        "{}",
        table.reason("db")
    );
    table.overrides.set(
        Key::AcceptData(GroupId::of("db")),
        Value::Node(NodeId(1)),
        NodeId(1),
    );
    assert_eq!(table.places(), [("db", 1)]);
}

#[test]
fn a_lost_disk_moves_the_group_if_there_is_a_better_one() {
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
    table.settle();
    table.brief("db", 1).drbd = vec![disk(Disk::Diskless)];
    assert_eq!(table.places(), [("db", 2)]);
    table.brief("db", 2).drbd = vec![disk(Disk::Inconsistent)];
    assert_eq!(table.places(), [("db", 1)], "it reads over the network");
}

#[test]
fn wishes_of_operators() {
    let id = GroupId::of("db");
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
    table.settle();
    table
        .overrides
        .set(Key::Move(id), Value::Node(NodeId(2)), NodeId(1));
    assert_eq!(table.places(), [("db", 2)]);
    table
        .overrides
        .set(Key::Standby(NodeId(2)), Value::Yes, NodeId(1));
    assert_eq!(table.places(), [("db", 1)], "standby is stronger");
    table
        .overrides
        .set(Key::Standby(NodeId(1)), Value::Yes, NodeId(1));
    assert_eq!(table.places(), [("db", 0)]);
    table
        .overrides
        .set(Key::Standby(NodeId(1)), Value::No, NodeId(2));
    table
        .overrides
        .set(Key::Disabled(id), Value::Yes, NodeId(2));
    assert_eq!(table.places(), [("db", 0)]);
    assert_eq!(table.reason("db"), "stopped by the operator");
}

#[test]
fn failures_move_it_on() {
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0)]);
    table.settle();
    table.brief("db", 1).banned = true;
    assert_eq!(table.places(), [("db", 2)]);
    table.brief("db", 2).banned = true;
    assert_eq!(table.places(), [("db", 0)]);
}

#[test]
fn company_that_a_group_avoids() {
    let mut web = group("web", &[1, 2], 0);
    web.avoid = vec![GroupId::of("api")];
    let mut table = Table::new(2, vec![group("api", &[1, 2], 5), web]);
    assert_eq!(table.places(), [("api", 1), ("web", 2)]);
    table.dies(2);
    assert_eq!(table.places(), [("api", 1), ("web", 1)]);
    table
        .cluster
        .groups
        .get_mut(&GroupId::of("web"))
        .expect("configured")
        .avoid_hard = true;
    assert_eq!(table.places(), [("api", 1), ("web", 0)]);
}

#[test]
fn first_things_first() {
    let mut web = group("web", &[1, 2], 50);
    web.after = vec![GroupId::of("db")];
    let mut table = Table::new(2, vec![group("db", &[1, 2], 0), web]);
    assert_eq!(table.places(), [("db", 1), ("web", 1)]);
    for node in [1, 2] {
        table.brief("db", node).banned = true;
    }
    assert_eq!(table.places(), [("db", 0), ("web", 0)]);
    assert!(
        table.reason("web").contains("waits for db"),
        "{}",
        table.reason("web")
    );
    // A circle places nobody, and ends.
    table
        .cluster
        .groups
        .get_mut(&GroupId::of("db"))
        .expect("configured")
        .after = vec![GroupId::of("web")];
    assert_eq!(table.places(), [("db", 0), ("web", 0)]);
}
