// SPDX-License-Identifier: GPL-2.0-or-later
//! Volumes and their disks.

use drbd_conf::model::{Resource, Volume};
use drbd_conf::running::RunningVolume;
use drbd_conf::schema::{find, Scope};
use drbd_conf::value;
use drbd_conf::Running;

use super::compare;
use crate::call::{Call, Limit};
use crate::queue::{Queue, Stage};
use crate::select::Selection;
use crate::steps::{minor, Steps};

/// Queues what differs.
pub(super) fn changes(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    running: &Running,
    queue: &mut Queue,
) {
    let resource = selection.resource;
    for old in &running.volumes {
        let wanted = selection.host.volume(old.number);
        // A volume that got another minor is another device.
        if wanted.is_none_or(|volume| volume.minor != Some(old.minor)) {
            remove(Stage::DiskDown, resource, old, queue);
        }
    }
    for volume in &selection.host.volumes {
        let old = running
            .volumes
            .iter()
            .find(|old| old.number == volume.number && Some(old.minor) == volume.minor);
        match old {
            Some(old) => change(steps, resource, volume, old, queue),
            None => {
                queue.new_minor(Stage::DiskUp, steps, resource, volume);
                if !volume.is_diskless() {
                    queue.add_all(Stage::Disk, steps.attach(resource, volume));
                }
            }
        }
    }
}

pub(super) fn remove(stage: Stage, resource: &Resource, old: &RunningVolume, queue: &mut Queue) {
    let minor = old.minor.to_string();
    if old.disk.is_some() {
        let call = Call::setup(&resource.name, Limit::Medium, ["detach", &minor]);
        queue.add(stage, call);
    }
    let call = Call::setup(&resource.name, Limit::Short, ["del-minor", &minor]);
    queue.add(stage, call);
}

fn change(
    steps: &Steps<'_>,
    resource: &Resource,
    volume: &Volume,
    old: &RunningVolume,
    queue: &mut Queue,
) {
    let call = |args: &[&str]| Call::setup(&resource.name, Limit::Medium, args.iter().copied());
    let wanted = volume.disk.as_ref().filter(|_| !volume.is_diskless());
    let (Some(disk), Some(running)) = (wanted, &old.disk) else {
        match (wanted, &old.disk) {
            (Some(_), None) => queue.add_all(Stage::Disk, steps.attach(resource, volume)),
            (None, Some(_)) => {
                queue.add(
                    Stage::DiskDown,
                    call(&["detach", "--diskless", &minor(volume)]),
                );
            }
            _ => {}
        }
        return;
    };
    if disk != running || meta_differs(volume, old) {
        queue.add(Stage::DiskDown, call(&["detach", &minor(volume)]));
        queue.add_all(Stage::Disk, steps.attach(resource, volume));
        return;
    }
    let size = volume.options.disk.iter().find(|opt| opt.name == "size");
    if size_differs(size.map(|opt| opt.value.as_str()), old) {
        let size = steps.options(size.map(std::slice::from_ref).unwrap_or(&[]));
        queue.add(Stage::Disk, call(&["resize", &minor(volume)]).with(size));
        queue.add(
            Stage::Disk,
            call(&["check-resize", &minor(volume)]).optional(),
        );
    }
    let wanted = steps.disk_options(volume);
    let running: Vec<_> = old
        .options
        .iter()
        .filter(|(name, _)| name != "size")
        .cloned()
        .collect();
    if compare::differ(&[Scope::Disk], &wanted, &running) {
        let args = ["disk-options", &minor(volume), "--set-defaults"];
        queue.add(Stage::Disk, call(&args).with(wanted));
    }
}

/// Internal against external, or another external device. The place on it is
/// not printed by every drbdsetup and not compared.
pub(super) fn meta_differs(volume: &Volume, old: &RunningVolume) -> bool {
    let wanted = match &volume.meta_disk {
        Some(meta) if !meta.is_internal() => meta.device.as_str(),
        _ => "internal",
    };
    old.meta_disk
        .as_deref()
        .is_some_and(|running| running != wanted)
}

pub(super) fn size_differs(wanted: Option<&str>, old: &RunningVolume) -> bool {
    let running = old.options.iter().find(|(name, _)| name == "size");
    let Some(spec) = find(&[Scope::Disk], "size") else {
        return false;
    };
    let meaning = |text: &str| value::check(&spec, Some(text)).ok();
    let wanted = wanted.and_then(meaning).or_else(|| meaning("0"));
    let running = running.map_or_else(|| meaning("0"), |(_, text)| meaning(text));
    wanted != running
}
