// SPDX-License-Identifier: GPL-2.0-or-later
//! What the handlers decide, on a world that they see and change through a trait.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cib::{Cib, Standing};
use super::constraint::{Constraint, Existing, Mark};
use super::options::Options;
use super::peers::{Member, Peers};
use super::Answer;
use crate::status::Facts;

const PAUSE: Duration = Duration::from_secs(1);

/// How long the cluster gets to shoot a node that asked for it.
const SUICIDE_AFTER: Duration = Duration::from_secs(300);

/// The same where the cluster shoots nobody.
const SUICIDE_WITHOUT_STONITH_AFTER: Duration = Duration::from_secs(20);

/// The cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cluster {
    /// Its configuration.
    pub(crate) cib: Cib,
    /// There is a coordinator, or nothing can be changed.
    pub(crate) coordinator: bool,
    /// Where nodes stand, by their names in lower case.
    pub(crate) nodes: BTreeMap<String, Standing>,
}

/// What became of a constraint that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is there.
    Done,
    /// There was one already.
    Exists,
}

/// What the handlers see and do.
pub(crate) trait World {
    /// One look at the cluster's configuration alone, which costs less.
    fn cib(&self) -> Result<Cib, String>;
    /// One look at the cluster.
    fn cluster(&self) -> Result<Cluster, String>;
    /// One look at the driver; `None` when it does not know the resource.
    fn driver(&self) -> Option<Facts>;
    /// Whether the cluster manager of that node answers now.
    fn answers(&self, node: &str) -> bool;
    /// What tells a node in rules.
    fn mark(&self, node: &str) -> Mark;
    /// Makes a constraint, unless there is one of its id.
    fn create(&self, constraint: &Constraint) -> Result<Made, String>;
    /// Takes nodes out of those that the constraint of that id allows.
    fn narrow(&self, id: &str, without: &[Mark]) -> Result<(), String>;
    /// Adds the nodes of a constraint to those that are allowed.
    fn widen(&self, constraint: &Constraint) -> Result<(), String>;
    /// Takes the constraint away.
    fn remove(&self, id: &str, clone: &str) -> Result<(), String>;
    /// Asks the cluster to shoot this node.
    fn ask_to_be_shot(&self) -> Result<(), String>;
    /// Reboots, without any goodbye.
    fn reboot(&self);
    /// Time since the handler began.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, pause: Duration);
    /// Something for the log.
    fn info(&self, text: &str);
    /// Something for the log that somebody should look at.
    fn warn(&self, text: &str);
}

/// What became of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is there and listens to the cluster.
    Alive,
    /// The cluster is sure that nothing runs there.
    Gone,
    /// Nobody knows yet.
    Unknown,
}

/// A handler's call.
pub(crate) struct Handler<'a> {
    /// Its options.
    pub(crate) options: &'a Options,
    /// The resource.
    pub(crate) resource: &'a str,
    /// Name of this node.
    pub(crate) own: &'a str,
    /// Its nodes.
    pub(crate) peers: &'a Peers,
    /// The node that it works on.
    pub(crate) world: &'a dyn World,
}

impl Handler<'_> {
    /// Fences the peers; what the driver is told.
    pub(crate) fn fence(&self) -> Answer {
        let answer = match self.try_to_fence() {
            Ok(answer) => self.still(answer),
            Err(reason) => {
                self.world
                    .warn(&format!("{}: not fenced: {reason}", self.resource));
                Answer::Failed
            }
        };
        if answer == Answer::Failed && self.options.suicide && self.is_primary() {
            self.die();
        }
        answer
    }

    fn is_primary(&self) -> bool {
        self.world.driver().is_some_and(|facts| facts.primary)
    }

    fn try_to_fence(&self) -> Result<Answer, String> {
        let cluster = self.cluster()?;
        let wanted = self.wanted(&cluster.cib)?;
        if let Some(existing) = &cluster.cib.existing {
            if wanted.is(existing) {
                self.world
                    .info(&format!("the constraint {} is there already", wanted.id()));
                return Ok(Answer::Outdated);
            }
            self.is_allowed(existing, &wanted)?;
        }
        self.place()
    }

    /// The cluster, as soon as it has a coordinator.
    fn cluster(&self) -> Result<Cluster, String> {
        self.patiently(|| match self.world.cluster()? {
            cluster if cluster.coordinator => Ok(cluster),
            _ => Err("the cluster has no coordinator".to_owned()),
        })
    }

    /// Repeats what the cluster does not answer, while it may be busy.
    fn patiently<T>(&self, act: impl Fn() -> Result<T, String>) -> Result<T, String> {
        loop {
            match act() {
                Err(_) if self.world.now() < self.options.dc_timeout() => {
                    self.world.sleep(PAUSE);
                }
                result => return result,
            }
        }
    }

    fn wanted(&self, cib: &Cib) -> Result<Constraint, String> {
        let clone = cib.clone.clone().ok_or_else(|| {
            format!(
                "the cluster has no clone with drbd_resource={}: name it with --master-id",
                self.resource
            )
        })?;
        let allowed = self.peers.good.iter();
        Ok(Constraint {
            prefix: self.options.prefix_for(self.resource),
            clone,
            role: self
                .options
                .role
                .clone()
                .unwrap_or_else(|| cib.promoted.clone()),
            allowed: allowed
                .map(|member| (member.id, self.world.mark(&member.name)))
                .collect(),
        })
    }

    /// Fails when somebody else's constraint keeps this node from being promoted: that one has the data then.
    fn is_allowed(&self, existing: &Existing, wanted: &Constraint) -> Result<(), String> {
        if existing.allows(&self.world.mark(self.own)) {
            return Ok(());
        }
        Err(format!(
            "the constraint {} forbids this node: another one went on without it",
            wanted.id()
        ))
    }

    /// Nodes that are to be fenced. Before generation 9 the driver may not tell: then it is the only other one.
    fn fenced<'a>(&'a self, cib: &'a Cib) -> Vec<&'a str> {
        if !self.peers.fenced.is_empty() || self.peers.is_9 {
            let fenced = self.peers.fenced.iter();
            return fenced.map(|member: &Member| member.name.as_str()).collect();
        }
        let others = cib
            .nodes
            .iter()
            .filter(|name| !name.eq_ignore_ascii_case(self.own));
        let others: Vec<&str> = others.map(String::as_str).collect();
        if others.len() == 1 {
            others
        } else {
            Vec::new()
        }
    }

    fn fate(&self, cluster: &Cluster, peer: &str) -> Fate {
        // Who must not be promoted anyway does not count.
        let rejected =
            |existing: &Existing| !existing.foreign && !existing.allows(&self.world.mark(peer));
        if cluster.cib.existing.as_ref().is_some_and(rejected) {
            return Fate::Gone;
        }
        match cluster.nodes.get(&peer.to_ascii_lowercase()) {
            None if self.options.cts => Fate::Alive,
            None if cluster.cib.stonith => Fate::Unknown,
            None => Fate::Gone,
            Some(standing) if standing.unclean || standing.pending => Fate::Unknown,
            Some(standing) if !standing.online => Fate::Gone,
            // The cluster needs some seconds to notice that a node is gone.
            Some(_) if self.world.answers(peer) => Fate::Alive,
            Some(_) => Fate::Unknown,
        }
    }

    /// Waits until it is known what became of every peer, or the time is over.
    fn settle(&self) -> Result<(Cluster, Vec<Fate>), String> {
        loop {
            let cluster = self.cluster()?;
            let fates: Vec<Fate> = self
                .fenced(&cluster.cib)
                .into_iter()
                .map(|peer| self.fate(&cluster, peer))
                .collect();
            let alive = fates.iter().all(|fate| *fate == Fate::Alive);
            let now = self.world.now();
            let wait = if alive {
                now < self.options.hiccup()
            } else {
                fates.contains(&Fate::Unknown) && now < self.options.timeout()
            };
            if !wait {
                return Ok((cluster, fates));
            }
            if alive && self.world.driver().is_some_and(|facts| facts.connected()) {
                return Err("the connection is back".to_owned());
            }
            self.world.sleep(PAUSE);
        }
    }

    /// Places the constraint, if that is right.
    fn place(&self) -> Result<Answer, String> {
        let (cluster, fates) = self.settle()?;
        if fates.is_empty() {
            return Err("there is no peer to fence".to_owned());
        }
        if !cluster.cib.quorate {
            return Err("this partition has no quorum".to_owned());
        }
        let unknown_resource = || format!("the driver does not know {}", self.resource);
        let facts = self.world.driver().ok_or_else(unknown_resource)?;
        if facts.all_peers_good() {
            return Err("the peers' disks are UpToDate".to_owned());
        }
        let Some(answer) = self.judge(&cluster, &facts, &fates)? else {
            self.world
                .warn("the own data are not UpToDate and the peer is gone: no constraint");
            return Ok(Answer::Unreachable);
        };
        let wanted = self.wanted(&cluster.cib)?;
        self.write(&wanted, cluster.cib.existing.as_ref())?;
        self.world
            .info(&format!("placed the constraint {}", wanted.id()));
        Ok(answer)
    }

    /// The answer that goes with a constraint; `None` when it is not to be made, and the driver has to decide alone.
    fn judge(
        &self,
        cluster: &Cluster,
        facts: &Facts,
        fates: &[Fate],
    ) -> Result<Option<Answer>, String> {
        let all = |wanted: Fate| fates.iter().all(|fate| *fate == wanted);
        let known = !fates.contains(&Fate::Unknown);
        if all(Fate::Alive) {
            // If its data were better, the cluster would not ask for this node to be promoted.
            return if facts.consistent() {
                Ok(Some(Answer::Outdated))
            } else {
                Err("the peer is there, and the own data are not consistent".to_owned())
            };
        }
        if self.options.outdated && facts.consistent() && !facts.good() {
            self.world
                .warn("taking the unreachable peer for outdated, as asked for: data may be lost");
            return Ok(Some(Answer::Unreachable));
        }
        match (known, facts.good(), cluster.cib.stonith) {
            (_, false, _) => Ok(None),
            (true, true, true) => Ok(Some(Answer::Fenced)),
            (_, true, false) => Ok(Some(Answer::Unreachable)),
            // The cluster is still trying to shoot it, so it may be writing.
            (false, true, true) => {
                let waited_s = self.options.timeout().as_secs();
                Err(format!("after {waited_s} s the cluster has not shot the peer: see stonith_admin --history '*'"))
            }
        }
    }

    /// Makes the constraint, or takes from one that is there what goes too far.
    fn write(&self, wanted: &Constraint, existing: Option<&Existing>) -> Result<(), String> {
        let existing = match existing {
            Some(existing) => existing.clone(),
            None => match self.world.create(wanted)? {
                Made::Done => return Ok(()),
                // Somebody was faster.
                Made::Exists => self.cluster()?.cib.existing.unwrap_or_default(),
            },
        };
        if wanted.is(&existing) {
            return Ok(());
        }
        self.is_allowed(&existing, wanted)?;
        let keeps = |mark: &Mark| wanted.allowed.iter().any(|(_, allowed)| allowed == mark);
        let without: Vec<Mark> = existing
            .allowed
            .iter()
            .filter(|mark| !keeps(mark))
            .cloned()
            .collect();
        if !without.is_empty() {
            self.world.narrow(&wanted.id(), &without)?;
        }
        match self.cluster()?.cib.existing {
            Some(after) if after.allows(&self.world.mark(self.own)) => Ok(()),
            _ => Err(format!(
                "the constraint {} was changed by another node at once",
                wanted.id()
            )),
        }
    }

    /// The answer, unless the peers came back meanwhile.
    fn still(&self, answer: Answer) -> Answer {
        let back = matches!(answer, Answer::Outdated | Answer::Fenced)
            && self
                .world
                .driver()
                .is_some_and(|facts| facts.all_peers_good());
        if !back {
            return answer;
        }
        self.world
            .warn("the peers' disks are UpToDate again: taking the constraint away");
        let gone = self
            .cluster()
            .and_then(|cluster| self.take_away(&cluster.cib));
        if let Err(reason) = gone {
            self.world.warn(&reason);
        }
        Answer::Failed
    }

    fn take_away(&self, cib: &Cib) -> Result<(), String> {
        let wanted = self.wanted(cib)?;
        self.world.remove(&wanted.id(), &wanted.clone)
    }

    /// Takes the constraint away, when all data are good; whether all is well.
    pub(crate) fn unfence(&self) -> bool {
        match self.try_to_unfence() {
            Ok(()) => true,
            Err(reason) => {
                self.world.warn(&format!(
                    "{}: the constraint stays: {reason}",
                    self.resource
                ));
                false
            }
        }
    }

    /// What became of the nodes does not matter here. A constraint that stays by mistake keeps a good node from being promoted,
    /// and nobody comes back to it: so a cluster that is busy gets some time, unless a monitor calls, which has none.
    fn try_to_unfence(&self) -> Result<(), String> {
        let patient = !self.options.flock_timeout().is_zero();
        let cib = match patient {
            true => self.patiently(|| self.world.cib())?,
            false => self.world.cib()?,
        };
        let wanted = self.wanted(&cib)?;
        let Some(existing) = &cib.existing else {
            return Ok(());
        };
        if self.options.only_if_owner && !existing.allows(&self.world.mark(self.own)) {
            self.world.info(&format!(
                "the constraint {} is another node's: it stays",
                wanted.id()
            ));
            return Ok(());
        }
        let unknown_resource = || format!("the driver does not know {}", self.resource);
        let facts = self.world.driver().ok_or_else(unknown_resource)?;
        if facts.good() && facts.all_peers_good() {
            let remove = || self.world.remove(&wanted.id(), &wanted.clone);
            match patient {
                true => self.patiently(remove)?,
                false => remove()?,
            }
            self.world
                .info(&format!("took the constraint {} away", wanted.id()));
            return Ok(());
        }
        if !self.peers.is_9 {
            return Err("not every disk is UpToDate".to_owned());
        }
        // Of several peers one has good data again.
        if !wanted.is(existing) {
            self.world.widen(&wanted)?;
        }
        Ok(())
    }

    /// A Primary that must not go on has itself shot, and reboots if nobody does it.
    fn die(&self) {
        let stonith = self
            .world
            .cluster()
            .is_ok_and(|cluster| cluster.cib.stonith);
        let mut limit = SUICIDE_WITHOUT_STONITH_AFTER;
        if stonith {
            match self.world.ask_to_be_shot() {
                Ok(()) => limit = SUICIDE_AFTER,
                Err(reason) => self.world.warn(&reason),
            }
        }
        self.world.warn(&format!(
            "this Primary gives up: it reboots in {} s",
            limit.as_secs()
        ));
        self.world.sleep(limit);
        self.world.reboot();
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
