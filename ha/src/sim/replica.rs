// SPDX-License-Identifier: GPL-2.0-or-later
//! A model of DRBD: two replicas of one resource, who may write, and which data is where. It knows every acknowledged write by
//! its number.

use crate::core::drbd::{Disk, DrbdBrief, Role};
use crate::core::id::{GroupId, NodeId};

/// One replica.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) node: NodeId,
    pub(super) role: Role,
    pub(super) disk: Disk,
    /// The last write on it.
    pub(super) version: u64,
    pub(super) generation: u64,
    /// What it will be when it is attached again.
    pub(super) detached: Option<Disk>,
    /// This node knows that the other's disk can't be promoted.
    pub(super) peer_outdated: bool,
}

/// One resource.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    pub(super) name: String,
    pub(super) group: GroupId,
    /// Place in the group.
    pub(super) at: u16,
    pub(super) both: [Replica; 2],
    pub(super) connected: bool,
    /// Counts resyncs: one that was broken off does not finish.
    pub(super) resync: u64,
    /// The last acknowledged write.
    pub(super) acknowledged: u64,
    generations: u64,
}

impl Replicas {
    pub(super) fn new(name: &str, group: GroupId, at: u16, nodes: [NodeId; 2]) -> Self {
        let replica = |node| Replica {
            node,
            role: Role::Secondary,
            disk: Disk::Consistent,
            version: 1,
            generation: 2,
            detached: None,
            peer_outdated: false,
        };
        Replicas {
            name: name.to_owned(),
            group,
            at,
            both: nodes.map(replica),
            connected: false,
            resync: 0,
            acknowledged: 1,
            generations: 1,
        }
    }

    pub(super) fn index(&self, node: NodeId) -> Option<usize> {
        self.both.iter().position(|replica| replica.node == node)
    }

    fn fresh_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations * 2
    }

    /// What the driver of `both[at]` reports.
    pub(super) fn brief(&self, at: usize) -> DrbdBrief {
        let (here, there) = (&self.both[at], &self.both[1 - at]);
        let known = self.connected;
        DrbdBrief {
            role: here.role,
            disk: here.disk,
            peer_disk: if known { there.disk } else { Disk::Unknown },
            peer_role: if known { there.role } else { Role::Unknown },
            connected: self.connected,
            generation: here.generation,
            out_of_sync_kib: 0,
        }
    }

    /// `both[at]` is Primary and its writes are acknowledged.
    pub(super) fn can_write(&self, at: usize) -> bool {
        let (here, there) = (&self.both[at], &self.both[1 - at]);
        let data = here.disk == Disk::UpToDate || (self.connected && there.disk == Disk::UpToDate);
        here.role == Role::Primary && data && (self.connected || here.peer_outdated)
    }

    /// Both have everything, and the next write goes to both.
    pub(super) fn is_in_sync(&self) -> bool {
        let good = |replica: &Replica| replica.disk == Disk::UpToDate;
        self.connected && self.both.iter().all(good)
    }

    /// Its I/O stands still until the peer is fenced or comes back.
    pub(super) fn is_frozen(&self, at: usize) -> bool {
        let here = &self.both[at];
        here.role == Role::Primary && !self.connected && !here.peer_outdated
    }

    /// A write of the application on `both[at]`.
    pub(super) fn write(&mut self, at: usize) {
        if !self.can_write(at) {
            return;
        }
        self.acknowledged += 1;
        let version = self.acknowledged;
        if self.both[at].disk == Disk::UpToDate {
            self.both[at].version = version;
        }
        if self.connected && self.both[1 - at].disk == Disk::UpToDate {
            self.both[1 - at].version = version;
        }
    }

    /// The node of `both[at]` lost its power.
    pub(super) fn power_lost(&mut self, at: usize) {
        let here = &mut self.both[at];
        here.role = Role::Unknown;
        here.peer_outdated = false;
    }

    /// It boots and attaches its disk: what was recent may be old.
    pub(super) fn boot(&mut self, at: usize) {
        let here = &mut self.both[at];
        here.role = Role::Secondary;
        here.disk = match here.disk {
            Disk::UpToDate | Disk::Consistent => Disk::Consistent,
            other => other,
        };
    }

    /// The disk of `both[at]` fails, or is taken away: what is on it stays on it.
    pub(super) fn detach(&mut self, at: usize) {
        let here = &mut self.both[at];
        if here.disk != Disk::Diskless {
            here.detached = Some(here.disk.min(Disk::Consistent));
            here.disk = Disk::Diskless;
        }
        self.diverge();
    }

    /// What is written to one disk only begins a new generation there, as the driver does it when a Primary loses the other
    /// disk, or is promoted without it. A disk that comes back later is known by that to be old.
    fn diverge(&mut self) {
        for at in 0..2 {
            let (here, there) = (&self.both[at], &self.both[1 - at]);
            let writer = here.role == Role::Primary
                || (self.connected && there.role == Role::Primary && there.disk == Disk::Diskless);
            let alone = here.disk == Disk::UpToDate
                && (there.disk == Disk::Diskless || (!self.connected && here.peer_outdated));
            if writer && alone && here.generation == there.generation {
                self.both[at].generation = self.fresh_generation();
            }
        }
    }

    /// It is there again. A Primary that worked with its peer's data takes no other data than that, unless it is connected
    /// and fetches what is missing.
    pub(super) fn attach(&mut self, at: usize) {
        let (here, there) = (&self.both[at], &self.both[1 - at]);
        let exposed = here.role == Role::Primary && here.generation != there.generation;
        if exposed && !self.connected {
            return;
        }
        let here = &mut self.both[at];
        if let Some(disk) = here.detached.take() {
            here.disk = disk;
        }
    }

    /// Its driver would run the handler: it has data that could go on without the peer.
    pub(super) fn would_fence(&self, at: usize) -> bool {
        self.is_frozen(at) && self.both[at].disk >= Disk::Consistent
    }

    /// The two see each other: whoever has the older data fetches it; disks that are away are attached where `attach`. True when
    /// a resync begins.
    pub(super) fn connect(&mut self, attach: bool) -> bool {
        self.connected = true;
        if attach {
            self.attach(0);
            self.attach(1);
        }
        for replica in &mut self.both {
            replica.peer_outdated = false;
        }
        let [a, b] = &self.both;
        let usable =
            |replica: &Replica| !matches!(replica.disk, Disk::Diskless | Disk::Inconsistent);
        let same = a.version == b.version && a.generation == b.generation;
        if same && usable(a) && usable(b) {
            for replica in &mut self.both {
                replica.disk = Disk::UpToDate;
            }
            return false;
        }
        let rank = |replica: &Replica| {
            (
                usable(replica),
                replica.version,
                replica.role == Role::Primary,
            )
        };
        let source = usize::from(rank(b) > rank(a));
        // What a disk that is away holds nobody knows.
        if !usable(&self.both[source]) || self.both[1 - source].disk == Disk::Diskless {
            return false;
        }
        self.both[source].disk = Disk::UpToDate;
        let target = &mut self.both[1 - source];
        if target.disk != Disk::Diskless {
            target.disk = Disk::Inconsistent;
            self.resync += 1;
            return true;
        }
        false
    }

    /// The resync number `resync` is through.
    pub(super) fn resynced(&mut self, resync: u64) {
        let current = self.connected && self.resync == resync;
        let source = self
            .both
            .iter()
            .position(|replica| replica.disk == Disk::UpToDate);
        let Some(source) = source.filter(|_| current) else {
            return;
        };
        let (version, generation) = (self.both[source].version, self.both[source].generation);
        let target = &mut self.both[1 - source];
        if target.disk == Disk::Inconsistent {
            target.disk = Disk::UpToDate;
            target.version = version;
            target.generation = generation;
        }
    }

    /// The handler of `both[at]` vouched that the peer can't write: what is written from now on is a new generation.
    pub(super) fn peer_is_outdated(&mut self, at: usize) {
        let generation = self.fresh_generation();
        let here = &mut self.both[at];
        here.peer_outdated = true;
        here.generation = generation;
        if here.disk == Disk::Consistent {
            here.disk = Disk::UpToDate;
        }
    }

    /// Whether the driver needs its handler to promote `both[at]`; an error when it refuses at once.
    pub(super) fn needs_handler(&self, at: usize) -> Result<bool, String> {
        let (here, there) = (&self.both[at], &self.both[1 - at]);
        if self.connected {
            if there.role == Role::Primary {
                return Err("the peer is Primary".to_owned());
            }
            let data = here.disk == Disk::UpToDate || there.disk == Disk::UpToDate;
            return if data {
                Ok(false)
            } else {
                Err("no UpToDate data".to_owned())
            };
        }
        match here.disk {
            Disk::UpToDate | Disk::Consistent => Ok(!here.peer_outdated),
            disk => Err(format!("the disk is {disk:?}")),
        }
    }

    /// `both[at]` becomes Primary.
    ///
    /// # Errors
    ///
    /// When acknowledged writes are not there.
    pub(super) fn promote(&mut self, at: usize) -> Result<(), String> {
        self.both[at].role = Role::Primary;
        self.diverge();
        let (here, there) = (&self.both[at], &self.both[1 - at]);
        let mut version = 0;
        if here.disk == Disk::UpToDate {
            version = here.version;
        }
        if self.connected && there.disk == Disk::UpToDate {
            version = version.max(there.version);
        }
        if version < self.acknowledged {
            return Err(format!(
                "{} is promoted on {} with write {version}, {} was acknowledged",
                self.name, here.node, self.acknowledged
            ));
        }
        Ok(())
    }

    /// `both[at]` becomes Secondary.
    pub(super) fn demote(&mut self, at: usize) {
        let here = &mut self.both[at];
        here.role = here.role.min(Role::Secondary);
    }

    /// The peer of `both[at]` wants that it can't be promoted. False when it may be written.
    pub(super) fn outdate(&mut self, at: usize) -> bool {
        let here = &mut self.both[at];
        if here.role == Role::Primary || self.connected {
            return false;
        }
        if here.disk >= Disk::Outdated {
            here.disk = Disk::Outdated;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> Replicas {
        let mut replicas = Replicas::new("r0", GroupId(1), 0, [NodeId(1), NodeId(2)]);
        replicas.connect(false);
        replicas
    }

    fn generations(replicas: &Replicas) -> [u64; 2] {
        [0, 1].map(|at| replicas.both[at].generation)
    }

    #[test]
    fn a_disk_that_missed_writes_is_of_another_generation() {
        let mut replicas = connected();
        replicas.promote(0).expect("the data is there");
        replicas.write(0);
        let [a, b] = generations(&replicas);
        assert_eq!(a, b, "both have every write");
        replicas.detach(1);
        replicas.write(0);
        let [a, b] = generations(&replicas);
        assert_ne!(a, b);
    }

    #[test]
    fn a_promotion_without_the_other_disk_begins_a_generation() {
        let mut replicas = connected();
        replicas.detach(1);
        let [a, b] = generations(&replicas);
        assert_eq!(a, b, "nobody wrote");
        replicas.promote(0).expect("the data is there");
        let [a, b] = generations(&replicas);
        assert_ne!(a, b);
    }

    #[test]
    fn a_primary_takes_no_older_disk_while_it_is_alone() {
        let mut replicas = connected();
        replicas.promote(0).expect("the data is there");
        replicas.detach(0);
        replicas.write(0);
        replicas.connected = false;
        replicas.attach(0);
        assert_eq!(replicas.both[0].disk, Disk::Diskless);
        assert!(replicas.connect(true), "it fetches what it missed");
        assert_eq!(replicas.both[0].disk, Disk::Inconsistent);
    }

    #[test]
    fn a_primary_without_a_disk_writes_to_its_peer_in_a_new_generation() {
        let mut replicas = connected();
        replicas.promote(0).expect("the data is there");
        replicas.detach(0);
        let [a, b] = generations(&replicas);
        assert_ne!(a, b);
    }
}
