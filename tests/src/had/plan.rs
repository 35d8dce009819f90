// SPDX-License-Identifier: GPL-2.0-or-later
//! What drbd-had is to run, and `/etc/drbd-ha.toml` for it.

use std::fmt::Write as _;

use crate::cib::{ADDRESS, MOUNT, SERVICE};
use crate::config::{DEVICE, RESOURCE};
use crate::side::Side;

use super::{DEADTIME_MS, GROUP};

/// What the node that has less to lose waits before it fences, in milliseconds.
const DELAY_MS: u64 = 3000;

/// Emulated processors take their time.
const AGENT_LIMITS: &str = "timeout = { start = 120, stop = 120, monitor = 60 }";

/// A group of resources.
#[derive(Clone, Debug)]
pub struct Group {
    name: String,
    nodes: Vec<String>,
    /// Lines of its table.
    lines: Vec<String>,
    /// Lines of the tables of its resources.
    resources: Vec<String>,
}

impl Group {
    /// A group without resources, with the nodes that can run it, the best first.
    #[must_use]
    pub fn new(name: &str, nodes: &[&Side]) -> Group {
        Group {
            name: name.to_owned(),
            nodes: nodes.iter().map(|side| side.name().to_owned()).collect(),
            lines: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// The same with another line in its table.
    #[must_use]
    pub fn line(mut self, line: &str) -> Group {
        self.lines.push(line.to_owned());
        self
    }

    fn resource(mut self, text: String) -> Group {
        self.resources.push(text);
        self
    }

    /// The same with a DRBD resource.
    #[must_use]
    pub fn drbd(self, name: &str) -> Group {
        self.resource(format!(
            "drbd = \"{name}\"\nmonitor = 10\ntimeout = {{ start = 120 }}"
        ))
    }

    /// The same with a file system.
    #[must_use]
    pub fn mount(self, device: &str, directory: &str, kind: &str) -> Group {
        self.resource(format!(
            "ocf = \"heartbeat:Filesystem\"\n\
             params = {{ device = \"{device}\", directory = \"{directory}\", fstype = \"{kind}\" }}\n{AGENT_LIMITS}"
        ))
    }

    /// The same with [`ADDRESS`].
    #[must_use]
    pub fn address(self) -> Group {
        self.resource(format!(
            "ocf = \"heartbeat:IPaddr2\"\n\
             params = {{ ip = \"{ADDRESS}\", cidr_netmask = 24, nic = \"eth1\" }}\n{AGENT_LIMITS}"
        ))
    }

    /// The same with the service that Pacemaker has in the other scenarios.
    #[must_use]
    pub fn service(self) -> Group {
        self.resource(format!(
            "ocf = \"pacemaker:Dummy\"\nname = \"service\"\n\
             params = {{ state = \"{SERVICE}\" }}\nmonitor = 5\n{AGENT_LIMITS}"
        ))
    }

    /// The same with a flag of the group's name, see [`crate::flags`].
    #[must_use]
    pub fn flag(self) -> Group {
        let name = self.name.clone();
        self.resource(format!(
            "ocf = \"lab:Flag\"\nname = \"flag-{name}\"\n\
             params = {{ flag = \"{name}\" }}\nmonitor = 5\n{AGENT_LIMITS}"
        ))
    }

    fn text(&self) -> String {
        let (name, nodes) = (&self.name, self.nodes.join("\", \""));
        let mut text = format!("[[group]]\nname = \"{name}\"\nnodes = [\"{nodes}\"]\n");
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        for resource in &self.resources {
            let _ = writeln!(text, "[[group.resource]]\n{resource}");
        }
        text
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What runs.
    pub groups: Vec<Group>,
    /// For how many groups with `uses = { slots = 1 }` a node has room; None: for all.
    pub slots: Option<u32>,
}

impl Plan {
    /// DRBD, a file system, an address and a service in one group.
    #[must_use]
    pub fn services(nodes: &[&Side]) -> Plan {
        let group = Group::new(GROUP, nodes).line("priority = 10");
        let group = group.drbd(RESOURCE).mount(DEVICE, MOUNT, "ext4");
        Plan::of([group.address().service()])
    }

    /// These groups.
    #[must_use]
    pub fn of<const N: usize>(groups: [Group; N]) -> Plan {
        Plan {
            groups: groups.into(),
            slots: None,
        }
    }

    /// The configuration, the same for all nodes.
    pub(super) fn toml(&self, sides: &[&Side]) -> String {
        let mut text = format!(
            "[cluster]\nname = \"lab\"\nkeyfile = \"/etc/drbd-ha.key\"\n\
             [timing]\nkeepalive = 500\nwarntime = 2500\ndeadtime = {DEADTIME_MS}\ninitdead = 15000\n\
             [watchdog]\ntimeout = 30\n\
             [fencing]\ndelay_priority = {DELAY_MS}\ndelay_random = 500\n"
        );
        for (side, id) in sides.iter().zip(1..) {
            let (name, one, two) = (side.name(), side.node.ip(0), side.node.ip(1));
            let _ = writeln!(
                text,
                "[[node]]\nname = \"{name}\"\nid = {id}\nlinks = [\"{one}:7700\", \"{two}:7700\"]"
            );
            if let Some(slots) = self.slots {
                let _ = writeln!(text, "capacity = {{ slots = {slots} }}");
            }
        }
        let plugs: Vec<String> = sides
            .iter()
            .map(|side| format!("{0} = \"{0}\"", side.name()))
            .collect();
        let _ = writeln!(
            text,
            "[[fence_device]]\nname = \"switch\"\nagent = \"fence_lab\"\ntargets = {{ {} }}",
            plugs.join(", ")
        );
        for group in &self.groups {
            text += &group.text();
        }
        text
    }
}
