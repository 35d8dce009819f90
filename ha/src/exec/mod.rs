// SPDX-License-Identifier: GPL-2.0-or-later
//! Carrying out actions on resources: OCF agents, units of systemd, DRBD. Knows nothing of other nodes.

pub mod cgroup;
pub mod drbd;
mod drbd_status;
pub mod ocf;
pub mod process;
mod systemd;
pub mod underway;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{resource_name, Config, Group, Resource};
use crate::core::effect::{Action, Operation};
use crate::core::id::GroupId;
use crate::core::input::Outcome;

use cgroup::Cgroups;
use drbd::Tools;
use ocf::Ocf;
use underway::Underway;

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// For the core.
    pub outcome: Outcome,
    /// For people: exit code and last words.
    pub story: String,
    /// How long it took.
    pub took: Duration,
}

impl Done {
    fn new(outcome: Outcome, story: impl Into<String>) -> Self {
        Done {
            outcome,
            story: story.into(),
            took: Duration::ZERO,
        }
    }
}

/// What a resource is, and how it is acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Drbd(String),
    Ocf(Box<Ocf>),
    Systemd(String),
}

/// A resource of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    group: String,
    name: String,
    kind: Kind,
}

/// Where the programs are: the system's, or a test's.
#[derive(Debug, Clone)]
pub struct Places {
    /// Directory with `resource.d`.
    pub ocf_root: PathBuf,
    /// DRBD's tools.
    pub drbd: Tools,
    /// Control groups.
    pub cgroups: Cgroups,
    /// Where programs are noted while they run.
    pub underway: Underway,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            ocf_root: ocf::ROOT.into(),
            drbd: Tools::default(),
            cgroups: Cgroups::of_process(),
            underway: Underway::default(),
        }
    }
}

/// Carries out actions.
#[derive(Debug, Clone)]
pub struct Executor {
    units: BTreeMap<(GroupId, u16), Unit>,
    places: Places,
}

impl Executor {
    /// For the groups of a configuration.
    #[must_use]
    pub fn new(config: &Config, places: Places) -> Self {
        let mut units = BTreeMap::new();
        for group in config.groups() {
            let id = GroupId::of(group.name.as_ref());
            for (at, resource) in group.resource.iter().enumerate() {
                if let (Ok(at), Some(unit)) = (
                    u16::try_from(at),
                    unit(group, resource.as_ref(), &places.ocf_root),
                ) {
                    units.insert((id, at), unit);
                }
            }
        }
        Executor { units, places }
    }

    /// Group and name of what an action is about.
    #[must_use]
    pub fn name(&self, action: &Action) -> (&str, &str) {
        let unit = self.units.get(&(action.group, action.resource));
        unit.map_or(("?", "?"), |unit| (&unit.group, &unit.name))
    }

    /// The DRBD resource that an action is about, if it is one.
    #[must_use]
    pub fn drbd_resource(&self, action: &Action) -> Option<&str> {
        match &self.units.get(&(action.group, action.resource))?.kind {
            Kind::Drbd(name) => Some(name),
            Kind::Ocf(_) | Kind::Systemd(_) => None,
        }
    }

    /// DRBD's tools.
    #[must_use]
    pub fn drbd(&self) -> &Tools {
        &self.places.drbd
    }

    /// The DRBD resources.
    pub fn drbd_resources(&self) -> impl Iterator<Item = &str> {
        self.units.values().filter_map(|unit| match &unit.kind {
            Kind::Drbd(name) => Some(name.as_str()),
            Kind::Ocf(_) | Kind::Systemd(_) => None,
        })
    }

    /// Carries one out, within its limit.
    pub async fn act(&self, action: &Action) -> Done {
        self.places.underway.clear().await;
        let begun = Instant::now();
        let limit = Duration::from_millis(action.timeout_ms);
        let Some(unit) = self.units.get(&(action.group, action.resource)) else {
            return Done::new(
                Outcome::FailedEverywhere,
                "the configuration has no such resource",
            );
        };
        if action.operation == Operation::KillAndStop {
            if let Err(error) = self.places.cgroups.kill(&unit.group) {
                tracing::warn!(GROUP = %unit.group, "leftovers of its agents can't be killed: {error}");
            }
        }
        let mut done = match &unit.kind {
            Kind::Drbd(name) => self.places.drbd.act(name, action.operation, limit).await,
            Kind::Systemd(name) => {
                systemd::act(name, action.operation, &self.places.underway, limit).await
            }
            Kind::Ocf(ocf) => self.agent(&unit.group, ocf, action, limit).await,
        };
        done.took = begun.elapsed();
        done
    }

    async fn agent(&self, group: &str, ocf: &Ocf, action: &Action, limit: Duration) -> Done {
        let Some(mut program) = ocf.program(action.operation, action.timeout_ms) else {
            return Done::new(Outcome::FailedEverywhere, "only DRBD can be outdated");
        };
        if !ocf.file().is_file() {
            let what = format!("there is no agent {}: install it", ocf.file().display());
            return Done::new(Outcome::FailedHere, what);
        }
        program.cgroup = self.places.cgroups.of(group);
        let looks = matches!(action.operation, Operation::Probe | Operation::Monitor);
        let ended = if looks {
            program.run(limit).await
        } else {
            let starts = action.operation == Operation::Start;
            self.places.underway.run(program, starts, limit).await
        };
        Done::new(ocf::outcome(action.operation, &ended), ocf::story(&ended))
    }
}

fn unit(group: &Group, resource: &Resource, ocf_root: &Path) -> Option<Unit> {
    let name = resource_name(resource);
    let kind = if let Some(drbd) = &resource.drbd {
        Kind::Drbd(drbd.as_ref().clone())
    } else if let Some(unit) = &resource.systemd {
        Kind::Systemd(unit.as_ref().clone())
    } else {
        let (provider, kind) = resource.ocf.as_ref()?.as_ref().split_once(':')?;
        let parameters = resource.params.iter();
        Kind::Ocf(Box::new(Ocf {
            root: ocf_root.to_owned(),
            provider: provider.to_owned(),
            kind: kind.to_owned(),
            instance: format!("{}.{}", group.name.as_ref(), name.replace(':', "-")),
            parameters: parameters
                .map(|(key, value)| (key.clone(), value.text()))
                .collect(),
            interval_ms: resource.monitor.saturating_mul(1000),
        }))
    };
    let group = group.name.as_ref().clone();
    Some(Unit { group, name, kind })
}
