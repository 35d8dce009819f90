// SPDX-License-Identifier: GPL-2.0-or-later
//! Options go from the general to the specific.
//!
//! An option that the specific place lacks is put in front of those it has: the
//! order is visible in every command line, and administrators compare those.
//! Where the same option comes from two places, the more specific one wins.

use crate::model::{DiskOptions, HostProxy, Opt, ProxyOptions, Resource, Sections};

/// Hands the options of `common` to the resource, and those of the resource to
/// its volumes and connections.
pub(super) fn expand(resource: &mut Resource, common: Option<&Sections>) {
    if let Some(common) = common {
        inherit_sections(common, &mut resource.sections);
    }
    if let Some(index) = resource.local {
        let own = resource
            .hosts
            .get(index)
            .map(|host| host.options.clone())
            .unwrap_or_default();
        for opt in own {
            replace_or_append(&mut resource.sections.options, opt);
        }
    }
    for host in &mut resource.hosts {
        for volume in &mut host.volumes {
            inherit_disk(&resource.sections.disk, &mut volume.options);
            if let Some(template) = resource.volumes.iter().find(|v| v.number == volume.number) {
                inherit_disk(&template.options, &mut volume.options);
            }
        }
    }
    let proxy_of_all = &resource.sections.proxy;
    for proxy in resource
        .hosts
        .iter_mut()
        .filter_map(|host| host.proxy.as_mut())
    {
        inherit_proxy(proxy_of_all, proxy);
    }
    let local = resource.local;
    for connection in &mut resource.connections {
        inherit(&resource.sections.net, &mut connection.net);
        for path in &mut connection.paths {
            for proxy in path.hosts.iter_mut().filter_map(|end| end.proxy.as_mut()) {
                inherit_proxy(proxy_of_all, proxy);
            }
        }
        // What this node's own section says counts before the peer's.
        let mut ends = connection.ends().map(Vec::from).unwrap_or_default();
        ends.sort_by_key(|end| Some(*end) != local);
        for device in &mut connection.peer_devices {
            inherit(&connection.disk, &mut device.options);
            for end in &ends {
                let volume = resource
                    .hosts
                    .get(*end)
                    .and_then(|host| host.volume(device.number));
                if let Some(volume) = volume {
                    inherit_missing(&volume.options.peer_device, &mut device.options);
                }
            }
        }
    }
}

fn inherit_proxy(from: &ProxyOptions, to: &mut HostProxy) {
    inherit(&from.options, &mut to.options.options);
    if to.options.plugins.is_empty() {
        to.options.plugins.clone_from(&from.plugins);
    }
}

fn inherit_sections(from: &Sections, to: &mut Sections) {
    inherit(&from.options, &mut to.options);
    inherit(&from.net, &mut to.net);
    inherit_disk(&from.disk, &mut to.disk);
    inherit(&from.startup, &mut to.startup);
    inherit(&from.proxy.options, &mut to.proxy.options);
    inherit(&from.handlers, &mut to.handlers);
    to.stacked_timeouts |= from.stacked_timeouts;
    if to.proxy.plugins.is_empty() {
        to.proxy.plugins.clone_from(&from.proxy.plugins);
    }
    if to.become_primary_on.is_empty() {
        to.become_primary_on.clone_from(&from.become_primary_on);
    }
}

fn inherit_disk(from: &DiskOptions, to: &mut DiskOptions) {
    inherit(&from.disk, &mut to.disk);
    inherit(&from.device, &mut to.device);
    inherit(&from.peer_device, &mut to.peer_device);
}

fn inherit(from: &[Opt], to: &mut Vec<Opt>) {
    for opt in from {
        match to.iter_mut().find(|own| own.name == opt.name) {
            Some(own) if own.level < opt.level => *own = opt.clone(),
            Some(_) => {}
            None => to.insert(0, opt.clone()),
        }
    }
}

/// Inherits from one of two equals: what is there stays.
fn inherit_missing(from: &[Opt], to: &mut Vec<Opt>) {
    for opt in from {
        if !to.iter().any(|own| own.name == opt.name) {
            to.insert(0, opt.clone());
        }
    }
}

fn replace_or_append(list: &mut Vec<Opt>, opt: Opt) {
    match list.iter_mut().find(|own| own.name == opt.name) {
        Some(own) => *own = opt,
        None => list.push(opt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Level;
    use crate::source::Span;

    fn opt(name: &str, value: &str, level: Level) -> Opt {
        Opt {
            name: name.into(),
            value: value.into(),
            span: Span::default(),
            level,
        }
    }

    fn text(list: &[Opt]) -> String {
        list.iter()
            .map(|opt| format!("{}={} ", opt.name, opt.value))
            .collect()
    }

    #[test]
    fn inherited_options_stand_in_front_in_reverse() {
        let mut to = vec![opt("c", "3", Level::Resource)];
        inherit(
            &[opt("a", "1", Level::Common), opt("b", "2", Level::Common)],
            &mut to,
        );
        assert_eq!(text(&to), "b=2 a=1 c=3 ");
    }

    #[test]
    fn the_more_specific_place_wins_whichever_comes_first() {
        let mut to = vec![opt("a", "resource", Level::Resource)];
        inherit(&[opt("a", "volume", Level::ResourceVolume)], &mut to);
        inherit(&[opt("a", "common", Level::Common)], &mut to);
        assert_eq!(text(&to), "a=volume ");
    }
}
