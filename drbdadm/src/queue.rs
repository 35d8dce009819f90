// SPDX-License-Identifier: GPL-2.0-or-later
//! Work of `up` and `adjust`, in stages.
//!
//! A stage is done for all resources before the next one begins, so that, for
//! example, every device exists before a `resync-after` names it. In a stage
//! that others build on, a failure stops the rest of that resource's stage;
//! a stage with any failure is the last one.

use std::collections::BTreeSet;

use drbd_conf::model::{Host, Resource};
use drbd_conf::Resolved;

use crate::call::{Call, Runner};
use crate::failure::USAGE;
use crate::registry;
use crate::select::Selection;
use crate::steps::{minor, Steps};

/// Stages in the order they are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Prerequisites,
    Resource,
    DiskDown,
    DiskUp,
    Disconnect,
    PeerDown,
    PeerUp,
    Path,
    Net,
    PeerDevice,
    Disk,
    DisconnectOld,
    Connect,
}

impl Stage {
    const ALL: [Stage; 13] = [
        Stage::Prerequisites,
        Stage::Resource,
        Stage::DiskDown,
        Stage::DiskUp,
        Stage::Disconnect,
        Stage::PeerDown,
        Stage::PeerUp,
        Stage::Path,
        Stage::Net,
        Stage::PeerDevice,
        Stage::Disk,
        Stage::DisconnectOld,
        Stage::Connect,
    ];

    /// Whether later commands of a resource make no sense after a failure.
    fn is_prerequisite(self) -> bool {
        matches!(
            self,
            Stage::Prerequisites
                | Stage::DiskDown
                | Stage::DiskUp
                | Stage::PeerDown
                | Stage::PeerUp
                | Stage::DisconnectOld
        )
    }

    fn title(self) -> &'static str {
        match self {
            Stage::Prerequisites => "prerequisites",
            Stage::Resource => "adjust resource",
            Stage::DiskDown => "remove disk",
            Stage::DiskUp => "prepare disk",
            Stage::Disconnect | Stage::DisconnectOld => "disconnect",
            Stage::PeerDown => "remove net",
            Stage::PeerUp => "prepare net",
            Stage::Path => "adjust path",
            Stage::Net => "adjust net",
            Stage::PeerDevice => "peer device",
            Stage::Disk => "adjust disk",
            Stage::Connect => "attempt to connect",
        }
    }
}

struct Item {
    stage: Stage,
    /// Calls that belong together; the first failure ends them.
    calls: Vec<Call>,
    resource: String,
    /// A name to note in the registry when the calls are done.
    note: Option<String>,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    items: Vec<Item>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn add(&mut self, stage: Stage, call: Call) {
        self.add_all(stage, vec![call]);
    }

    pub(crate) fn add_all(&mut self, stage: Stage, calls: Vec<Call>) {
        if let Some(first) = calls.first() {
            let resource = first.resource.clone();
            self.items.push(Item {
                stage,
                calls,
                resource,
                note: None,
            });
        }
    }

    fn add_noted(&mut self, stage: Stage, call: Call, note: String) {
        self.add(stage, call);
        if let Some(item) = self.items.last_mut() {
            item.note = Some(note);
        }
    }

    /// A whole resource, from nothing.
    pub(crate) fn up(&mut self, steps: &Steps<'_>, selection: &Selection<'_>) {
        let (resource, host) = (selection.resource, selection.host);
        self.new_resource(steps, resource, host);
        for volume in &host.volumes {
            self.new_minor(Stage::DiskUp, steps, resource, volume);
            if !volume.is_diskless() {
                self.add_all(Stage::Disk, steps.attach(resource, volume));
            }
        }
        for (connection, peer) in selection.connections() {
            self.add(Stage::PeerUp, steps.new_peer(resource, connection, peer));
            for call in steps.paths("new-path", resource, selection.local, connection, peer) {
                self.add(Stage::Path, call);
            }
            for volume in &host.volumes {
                let options = steps.peer_device_options(connection, peer, volume.number);
                if !options.is_empty() {
                    let call =
                        Steps::peer_device("peer-device-options", resource, peer, volume.number);
                    self.add(Stage::PeerDevice, call.with(options));
                }
            }
            self.add(Stage::Connect, steps.connect(resource, peer));
        }
    }

    /// The same for a driver of generation 8.4.
    pub(crate) fn up_84(&mut self, steps: &Steps<'_>, selection: &Selection<'_>) {
        let resource = selection.resource;
        self.new_resource(steps, resource, selection.host);
        for volume in selection.volumes() {
            self.new_minor(Stage::Prerequisites, steps, resource, volume);
            self.add_all(Stage::Disk, steps.attach(resource, volume));
        }
        if let Some(connect) = steps.connect_84(selection) {
            self.add(Stage::Connect, connect);
        }
    }

    pub(crate) fn new_resource(&mut self, steps: &Steps<'_>, resource: &Resource, host: &Host) {
        self.add_noted(
            Stage::Prerequisites,
            steps.new_resource(resource, host),
            format!("resource-{}", resource.name),
        );
    }

    pub(crate) fn new_minor(
        &mut self,
        stage: Stage,
        steps: &Steps<'_>,
        resource: &Resource,
        volume: &drbd_conf::model::Volume,
    ) {
        self.add_noted(
            stage,
            steps.new_minor(resource, volume),
            format!("minor-{}", minor(volume)),
        );
    }

    /// Carries everything out. Returns 0, or 1 if anything failed.
    pub(crate) fn run(self, runner: &Runner, resolved: &Resolved, progress: bool) -> i32 {
        let mut failed = false;
        if progress && !self.is_empty() {
            println!("[");
        }
        for stage in Stage::ALL {
            let mut broken: BTreeSet<&str> = BTreeSet::new();
            let items: Vec<&Item> = self.items.iter().filter(|i| i.stage == stage).collect();
            if items.is_empty() {
                continue;
            }
            if progress {
                print!("{:>20}:", stage.title());
            }
            for item in items {
                let skip = stage.is_prerequisite() && broken.contains(item.resource.as_str());
                if skip {
                    let what = item
                        .calls
                        .first()
                        .and_then(|call| call.args.first())
                        .map_or("", String::as_str);
                    eprintln!(
                        "drbdadm: {what} {}: skipped due to earlier error",
                        item.resource
                    );
                    continue;
                }
                let status = item.run(runner, resolved);
                if status != 0 {
                    failed = true;
                    broken.insert(&item.resource);
                }
                if progress {
                    match status {
                        0 => print!(" {}", item.resource),
                        _ => print!(" {}:failed({status})", item.resource),
                    }
                }
            }
            if progress {
                println!();
            }
            if failed && !progress {
                return USAGE;
            }
        }
        if progress && !self.is_empty() {
            println!("]");
        }
        i32::from(failed) * USAGE
    }
}

impl Item {
    fn run(&self, runner: &Runner, resolved: &Resolved) -> i32 {
        let status = run_together(runner, &self.calls);
        if let (0, Some(name), false) = (status, &self.note, runner.is_dry()) {
            registry::note(name, &resolved.config.path);
        }
        status
    }
}

/// Calls one after the other, up to the first failure.
pub(crate) fn run_together(runner: &Runner, calls: &[Call]) -> i32 {
    for call in calls {
        let status = runner.run(call);
        if status != 0 && !call.optional {
            return status;
        }
    }
    0
}
