// SPDX-License-Identifier: GPL-2.0-or-later
//! `adjust` for a driver of generation 8.4 (drbdadm.md section 10).

use drbd_conf::model::{Opt, Volume};
use drbd_conf::running::{OnlyPeer, RunningVolume};
use drbd_conf::schema::Scope;
use drbd_conf::Running;

use super::{compare, volume};
use crate::call::{Call, Limit};
use crate::queue::{Queue, Stage};
use crate::select::Selection;
use crate::steps::{minor, Steps};

/// Where options of a disk are found: `fencing` stands with them.
const DISK: &[Scope] = &[Scope::Disk, Scope::PeerDevice, Scope::Net];
/// Options of a disk that `disk-options` does not take.
const NOT_CHANGEABLE: &[&str] = &["size", "max-bio-bvecs"];

/// Queues what differs; everything, if the resource is not there.
pub(super) fn changes(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    running: Option<Running>,
    queue: &mut Queue,
) {
    let resource = selection.resource;
    let Some(running) = running else {
        queue.up_84(steps, selection);
        return;
    };
    let wanted = steps.options(&resource.sections.options);
    if compare::differ(&[Scope::Resource], &wanted, &running.options) {
        let args = ["resource-options", &resource.name, "--set-defaults"];
        let call = Call::setup(&resource.name, Limit::Short, args);
        queue.add(Stage::Resource, call.with(wanted));
    }
    for old in &running.volumes {
        let wanted = selection.host.volume(old.number);
        if wanted.is_none_or(|volume| volume.minor != Some(old.minor)) {
            volume::remove(Stage::Prerequisites, resource, old, queue);
        }
    }
    for volume in &selection.host.volumes {
        let old = running
            .volumes
            .iter()
            .find(|old| old.number == volume.number && Some(old.minor) == volume.minor);
        match old {
            Some(old) => change(steps, selection, volume, old, queue),
            None => {
                queue.new_minor(Stage::DiskUp, steps, resource, volume);
                queue.add_all(Stage::Disk, steps.attach(resource, volume));
            }
        }
    }
    connection(steps, selection, &running.only_peer, queue);
}

fn change(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    volume: &Volume,
    old: &RunningVolume,
    queue: &mut Queue,
) {
    let resource = selection.resource;
    let call = |args: &[&str]| Call::setup(&resource.name, Limit::Medium, args.iter().copied());
    let attach = |queue: &mut Queue| queue.add_all(Stage::Disk, steps.attach(resource, volume));
    let Some(running) = &old.disk else {
        attach(queue);
        return;
    };
    let options: Vec<String> = steps.options(&volume.options.disk);
    let (fixed, changeable): (Vec<String>, Vec<String>) =
        options.into_iter().partition(|option| is_fixed(option));
    let pages = |list: &[(String, String)]| -> Vec<(String, String)> {
        let only = list.iter().filter(|(name, _)| name == "max-bio-bvecs");
        only.cloned().collect()
    };
    let wanted_pages: Vec<String> = fixed
        .iter()
        .filter(|option| option.starts_with("--max-bio-bvecs="))
        .cloned()
        .collect();
    if volume.disk.as_ref() != Some(running)
        || volume::meta_differs(volume, old)
        || compare::differ(DISK, &wanted_pages, &pages(&old.options))
    {
        queue.add(Stage::Prerequisites, call(&["detach", &minor(volume)]));
        attach(queue);
        return;
    }
    let size = volume.options.disk.iter().find(|opt| opt.name == "size");
    if volume::size_differs(size.map(|opt: &Opt| opt.value.as_str()), old) {
        let size = steps.options(size.map(std::slice::from_ref).unwrap_or(&[]));
        queue.add(Stage::Disk, call(&["resize", &minor(volume)]).with(size));
        let check = call(&["check-resize", &minor(volume)]);
        queue.add(Stage::Disk, check.optional());
    }
    let running: Vec<(String, String)> = old
        .options
        .iter()
        .filter(|(name, _)| !NOT_CHANGEABLE.contains(&name.as_str()))
        .cloned()
        .collect();
    if compare::differ(DISK, &changeable, &running) {
        let args = ["disk-options", &minor(volume), "--set-defaults"];
        queue.add(Stage::Disk, call(&args).with(changeable));
    }
}

fn is_fixed(option: &str) -> bool {
    let name = option.trim_start_matches('-').split('=').next();
    name.is_some_and(|name| NOT_CHANGEABLE.contains(&name))
}

fn connection(steps: &Steps<'_>, selection: &Selection<'_>, running: &OnlyPeer, queue: &mut Queue) {
    let resource = selection.resource;
    let Some((ours, theirs)) = Steps::addresses_84(selection) else {
        return;
    };
    let same = |wanted: &str, found: &Option<String>| {
        found
            .as_deref()
            .is_some_and(|found| same_address(wanted, found))
    };
    if !same(&ours, &running.ours) || !same(&theirs, &running.theirs) {
        if let (Some(ours), Some(theirs)) = (&running.ours, &running.theirs) {
            let args = ["disconnect", ours.as_str(), theirs.as_str()];
            let call = Call::setup(&resource.name, Limit::Medium, args);
            queue.add(Stage::DisconnectOld, call);
        }
        if let Some(connect) = steps.connect_84(selection) {
            queue.add(Stage::Connect, connect);
        }
        return;
    }
    let wanted = steps.options(&resource.sections.net);
    if compare::differ(&[Scope::Net], &wanted, &running.net) {
        let args = [
            "net-options",
            ours.as_str(),
            theirs.as_str(),
            "--set-defaults",
        ];
        let call = Call::setup(&resource.name, Limit::Short, args);
        queue.add(Stage::Connect, call.with(wanted));
    }
}

/// Whether two endpoints, `FAMILY:ADDRESS:PORT`, are the same; spelling does not
/// count.
fn same_address(left: &str, right: &str) -> bool {
    let parts = |text: &str| {
        let (family, rest) = text.split_once(':')?;
        let (address, port) = rest.rsplit_once(':')?;
        let address = address.trim_matches(['[', ']']);
        let numeric = address.parse::<std::net::IpAddr>().ok()?;
        Some((family.to_owned(), numeric, port.to_owned()))
    };
    match (parts(left), parts(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::same_address;

    #[test]
    fn addresses_are_compared_by_meaning() {
        assert!(same_address("ipv6:[fd00::1]:7", "ipv6:[fd00:0:0::1]:7"));
        assert!(!same_address("ipv4:10.0.0.1:7", "ipv4:10.0.0.1:8"));
        assert!(!same_address("ipv4:10.0.0.1:7", "sdp:10.0.0.1:7"));
    }
}
