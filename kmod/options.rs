// SPDX-License-Identifier: GPL-2.0-or-later
//! Changing options of what exists already (drbd9-api section 5).

use crate::{
    admin::{kernel_error, refuse, Outcome, OK},
    attach, compare,
    conf::protocol_of,
    connection::Connection,
    crypto::Algorithms,
    dependency,
    device::Device,
    fence,
    os::lock::Arc,
    resource::{Registry, Resource},
    watch,
};
use drbd_core::{
    config::{DiskOptions, NetOptions, PeerDeviceOptions, ResourceOptions},
    engine::agreement,
    genl::RetCode,
    state::Role,
    wire::{handshake::Protocol, Packet},
};
use kernel::prelude::*;

/// resource-options.
pub(crate) fn set_resource_options(resource: &Arc<Resource>, options: &ResourceOptions) -> Outcome {
    let _admin = resource.admin.lock();
    bind_cpus(resource, options)?;
    *resource.options.lock() = *options;
    for device in resource.devices().map_err(kernel_error)?.iter() {
        fence::update_context(resource, device);
    }
    resource.notifier.resource_changed(resource);
    OK
}

/// The threads of the resource run where `cpu-mask` says. Context: task.
pub(crate) fn bind_cpus(resource: &Resource, options: &ResourceOptions) -> Outcome {
    resource.crew.bind(options.cpu_mask.as_str()).map_err(|error| {
        let text = if error == ENODEV {
            "none of the CPUs of the mask is online"
        } else {
            "a cpu-mask is a hexadecimal number with a bit for each CPU, such as f for the first four"
        };
        refuse(RetCode::ERR_CPU_MASK_PARSE, text)
    })?;
    OK
}

/// net-options. What is agreed with the peer is told to it at once.
pub(crate) fn set_net_options(
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    net: NetOptions,
) -> Outcome {
    let _admin = resource.admin.lock();
    compare::check_change(resource, &connection.net(), &net)?;
    let both_primary = || {
        let mut devices = connection.devices().into_iter();
        devices.any(|device| {
            let state = device.state();
            state.role == Role::Primary && state.peer == Role::Primary
        })
    };
    if connection.net().two_primaries && !net.two_primaries && both_primary() {
        return Err(refuse(
            RetCode::ERR_NEED_ALLOW_TWO_PRI,
            "both nodes are Primary: make one of them Secondary first",
        ));
    }
    let algorithms = Algorithms::of(&net)?;
    let (old, old_algorithms) = {
        let mut conf = connection.conf.lock();
        (
            core::mem::replace(&mut conf.net, net),
            core::mem::replace(&mut conf.algorithms, algorithms),
        )
    };
    drop(old_algorithms);
    let alg_changed = old.verify_alg != net.verify_alg || old.csums_alg != net.csums_alg;
    connection.conf_changed();
    connection.queues.set_options(&net);
    let established = connection.is_established();
    for device in connection.devices().iter() {
        let options = connection.peer_options(device.number);
        fence::update_context(resource, device);
        device.with(|inner, link, _| {
            inner.volume.set_peer_options(options);
            inner.volume.context_mut().two_primaries = net.two_primaries;
            if established {
                inner.volume.set_protocol(protocol_of(&net));
                if alg_changed {
                    inner.volume.send_sync_param(link);
                }
            }
        });
    }
    let told = |net: &NetOptions| crate::connect::own_protocol(net, false, false);
    if established && told(&old) != told(&net) {
        let _ = connection
            .queues
            .control(0, Packet::ProtocolUpdate(told(&net)));
    }
    OK
}

/// The peer changed what both have to agree on. Context: task.
pub(crate) fn adopt(connection: &Connection, peer: &Protocol) {
    {
        let mut conf = connection.conf.lock();
        agreement::adopt(&mut conf.net, peer);
    }
    connection.conf_changed();
    for device in connection.devices().iter() {
        let options = connection.peer_options(device.number);
        device.with(|inner, _, _| {
            inner.volume.set_peer_options(options);
            inner.volume.context_mut().two_primaries = peer.two_primaries;
            inner.volume.set_protocol(peer.protocol);
        });
    }
    if let Some(resource) = connection.resource() {
        resource.notifier.connection_changed(&resource, connection);
    }
}

/// peer-device-options.
pub(crate) fn set_peer_device_options(
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    device: &Arc<Device>,
    options: PeerDeviceOptions,
) -> Outcome {
    let _admin = resource.admin.lock();
    {
        let mut conf = connection.conf.lock();
        let number = device.number;
        match conf
            .peer_devices
            .iter_mut()
            .find(|(other, _)| *other == number)
        {
            Some((_, place)) => *place = options,
            None => conf
                .peer_devices
                .push((number, options), GFP_KERNEL)
                .map_err(kernel_error)?,
        }
    }
    let options = connection.peer_options(device.number);
    let established = connection.is_established();
    device.with(|inner, link, _| {
        inner.volume.set_peer_options(options);
        if established {
            // The target goes by what it was told last.
            inner.volume.send_sync_param(link);
        }
    });
    OK
}

/// disk-options.
pub(crate) fn set_disk_options(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    options: &DiskOptions,
) -> Outcome {
    let _admin = resource.admin.lock();
    if device.disk_options.lock().is_none() {
        return Err(refuse(RetCode::ERR_NO_DISK, ""));
    }
    let changes = registry.changes.lock();
    dependency::check(registry, device.minor, options.resync_after)?;
    let attached = device.inner.lock().attached.clone();
    let granularity = attached.as_ref().map_or(0, |disk| disk.data.facts().discard_granularity);
    let engine = attach::engine_options(options, granularity);
    watch::prepare(resource, device, options.disk_timeout)?;
    if let Some(disk) = &attached {
        let before = disk.discard_max_sectors();
        disk.follow(options);
        if disk.discard_max_sectors() != before {
            attach::set_limits(device, disk);
        }
    }
    device.with(|inner, _, _| inner.volume.set_disk_options(engine));
    device.watch_event.signal();
    *device.disk_options.lock() = Some(*options);
    drop(changes);
    dependency::evaluate(registry);
    OK
}
