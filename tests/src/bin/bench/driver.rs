// SPDX-License-Identifier: GPL-2.0-or-later
//! The two drivers, and how each is loaded, configured and asked.

use std::fmt;

use clap::ValueEnum;
use drbd_qemu::{dist_dir, GuestFile};
use serde::Serialize;

use crate::pair::DISK;

/// Name of the resource.
pub(crate) const RESOURCE: &str = "r0";

/// Where our products lie in the guest: the distribution's stay in place.
const OURS: &str = "/usr/lib/drbd-bench";

/// What of our products a node gets.
const PRODUCTS: [&str; 4] = ["drbd.ko", "drbdadm", "drbdsetup", "drbdmeta"];

/// Whose driver takes its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// Ours, with our tools.
    Ours,
    /// The distribution's 8.4.11, with drbd-utils' tools for it.
    Stock,
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(crate) enum Protocol {
    /// Once it is on the local disk and on its way.
    A,
    /// Once the peer has received it.
    B,
    /// Once it is on both disks.
    C,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Ours => "ours",
            Driver::Stock => "stock",
        })
    }
}

/// Our products, for every node.
pub(crate) fn products() -> impl Iterator<Item = GuestFile> {
    let dist = dist_dir();
    PRODUCTS
        .iter()
        .map(move |name| GuestFile::host(dist.join(name), format!("{OURS}/{name}")))
}

impl Driver {
    /// Beginning of a shell script: `$adm` and `$setup` are this driver's tools.
    pub(crate) fn tools(self) -> String {
        match self {
            // drbdadm finds its companions by the path.
            Driver::Ours => format!(
                "set -e; export PATH={OURS}:$PATH; adm={OURS}/drbdadm setup={OURS}/drbdsetup\n"
            ),
            Driver::Stock => {
                "set -e; adm=/lib/drbd/drbdadm-84 setup=/lib/drbd/drbdsetup-84\n".to_owned()
            }
        }
    }

    /// Script that loads the driver and prints its version. No helper programs
    /// are run on events, they would compete for the node's processor.
    pub(crate) fn load(self) -> String {
        let load = match self {
            Driver::Ours => format!("insmod {OURS}/drbd.ko usermode_helper=disabled"),
            Driver::Stock => "modprobe drbd usermode_helper=disabled".to_owned(),
        };
        format!("{load} && cat /sys/module/drbd/version")
    }

    /// What the version begins with.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Driver::Ours => "9.90.",
            Driver::Stock => "8.4.11",
        }
    }

    /// `/etc/drbd.conf`: the same for both but for the node ids, which the
    /// tools of 8.4 do not know. The resync may go as fast as it can.
    pub(crate) fn config(self, protocol: Protocol, hosts: &[(String, String); 2]) -> String {
        let host = |(id, (name, ip)): (usize, &(String, String))| {
            let node_id = match self {
                Driver::Ours => format!("node-id {id}; "),
                Driver::Stock => String::new(),
            };
            format!("  on {name} {{ {node_id}address {ip}:7789; }}\n")
        };
        let hosts: String = hosts.iter().enumerate().map(host).collect();
        format!(
            "global {{ usage-count no; }}\n\
             resource {RESOURCE} {{\n\
             \x20 volume 0 {{ device /dev/drbd0 minor 0; disk {DISK}; meta-disk internal; }}\n\
             {hosts}\
             \x20 net {{ protocol {protocol}; }}\n\
             \x20 disk {{ c-max-rate 1000M; c-fill-target 1M; c-min-rate 0; }}\n\
             }}\n"
        )
    }

    /// Shell condition: the nodes are connected and agreed on their states.
    pub(crate) fn is_connected(self) -> &'static str {
        match self {
            Driver::Ours => "$setup status | grep -q peer-disk:Inconsistent",
            Driver::Stock => "grep -q 'cs:Connected .*ds:Inconsistent/Inconsistent' /proc/drbd",
        }
    }

    /// Shell condition: the nodes are connected, and both disks are good.
    pub(crate) fn is_healthy(self) -> &'static str {
        match self {
            Driver::Ours => "[ \"$($setup status | grep -o 'disk:UpToDate' | wc -l)\" = 2 ]",
            Driver::Stock => "grep -q 'cs:Connected .*ds:UpToDate/UpToDate' /proc/drbd",
        }
    }

    /// Modules that do its work beside `drbd` itself.
    pub(crate) fn modules(self) -> &'static [&'static str] {
        match self {
            Driver::Ours => &["drbd"],
            // Its activity log and resync extents.
            Driver::Stock => &["drbd", "lru_cache"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_differ_in_node_ids_only() {
        let hosts = [("a", "10.0.0.1"), ("b", "10.0.0.2")].map(|(n, i)| (n.into(), i.into()));
        let ours = Driver::Ours.config(Protocol::C, &hosts);
        let plain = ours.replace("node-id 0; ", "").replace("node-id 1; ", "");
        assert_ne!(ours, plain);
        assert_eq!(plain, Driver::Stock.config(Protocol::C, &hosts));
    }
}
