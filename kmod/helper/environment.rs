// SPDX-License-Identifier: GPL-2.0-or-later
//! What a helper program finds in its environment.

use crate::{connection::Connection, device::Device, netlink::facts, resource::Resource};
use core::{fmt, net::IpAddr};
use drbd_core::state::Disk;
use kernel::{prelude::*, str::CString};

/// The variables, as `NAME=value`.
pub(super) struct Environment(KVec<CString>);

impl Environment {
    /// For `event` of a volume, or of the connection. Context: task.
    pub(super) fn of(
        resource: &Resource,
        device: Option<&Device>,
        connection: Option<&Connection>,
        event: &str,
    ) -> Result<Self> {
        let mut environment = Environment(KVec::new());
        if let Some(device) = device {
            environment.add(fmt!("DRBD_MINOR={}", device.minor))?;
            environment.add(fmt!("DRBD_VOLUME={}", device.number))?;
            environment.add_disk("DRBD_BACKING_DEV", device)?;
        }
        if let Some(connection) = connection {
            environment.add_connection(connection)?;
        }
        let devices = resource.devices()?;
        if device.is_none() {
            for device in devices.iter() {
                let name = CString::try_from_fmt(fmt!("DRBD_BACKING_DEV_{}", device.number))?;
                environment.add(fmt!("DRBD_MINOR_{}={}", device.number, device.minor))?;
                environment.add_disk(name.to_str().map_err(|_| EINVAL)?, device)?;
            }
        }
        if event.contains("fence") {
            let nodes = up_to_date_nodes(resource, &devices, connection);
            environment.add(fmt!("UP_TO_DATE_NODES=0x{:08x}", nodes))?;
        }
        Ok(environment)
    }

    /// The same as C strings. Context: task.
    pub(super) fn borrowed(&self) -> Result<KVec<&CStr>> {
        let mut list = KVec::with_capacity(self.0.len(), GFP_KERNEL)?;
        for variable in self.0.iter() {
            list.push(&**variable, GFP_KERNEL)?;
        }
        Ok(list)
    }

    fn add(&mut self, variable: fmt::Arguments<'_>) -> Result {
        let variable = CString::try_from_fmt(variable)?;
        Ok(self.0.push(variable, GFP_KERNEL)?)
    }

    fn add_disk(&mut self, name: &str, device: &Device) -> Result {
        let attached = device.inner.lock().attached.clone();
        let path = attached.as_ref().and_then(|disk| disk.path.to_str().ok());
        self.add(fmt!("{}={}", name, path.unwrap_or("none")))
    }

    fn add_connection(&mut self, connection: &Connection) -> Result {
        if let Some(path) = facts::paths(connection)?.first() {
            self.add_address("MY", path.my_addr.ip())?;
            self.add_address("PEER", path.peer_addr.ip())?;
        }
        self.add(fmt!("DRBD_PEER_NODE_ID={}", connection.peer_node_id))?;
        self.add(fmt!("DRBD_CSTATE={}", connection.cstate().name()))
    }

    /// Addresses as the kernel's own `%pI4` and `%pI6` print them.
    fn add_address(&mut self, whose: &str, address: IpAddr) -> Result {
        match address {
            IpAddr::V4(ip) => {
                self.add(fmt!("DRBD_{}_AF=ipv4", whose))?;
                let [a, b, c, d] = ip.octets();
                self.add(fmt!("DRBD_{whose}_ADDRESS={a}.{b}.{c}.{d}"))
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h] = ip.segments();
                self.add(fmt!("DRBD_{}_AF=ipv6", whose))?;
                self.add(fmt!(
                    "DRBD_{whose}_ADDRESS={a:04x}:{b:04x}:{c:04x}:{d:04x}:{e:04x}:{f:04x}:{g:04x}:{h:04x}"
                ))
            }
        }
    }
}

/// A bit for each node, by its id, whose data is good in all volumes.
fn up_to_date_nodes(
    resource: &Resource,
    devices: &KVec<kernel::sync::Arc<Device>>,
    connection: Option<&Connection>,
) -> u64 {
    let all = |good: fn(&Device) -> bool| {
        !devices.is_empty() && devices.iter().all(|device| good(device))
    };
    let bit = |set: bool, node: u32| u64::from(set).checked_shl(node).unwrap_or(0);
    let own = all(|device| device.state().disk == Disk::UpToDate);
    let peer = all(|device| device.state().pdsk == Disk::UpToDate);
    let peer_id = connection.map_or(u32::MAX, |connection| connection.peer_node_id);
    bit(own, resource.node_id()) | bit(peer, peer_id)
}
