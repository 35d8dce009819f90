// SPDX-License-Identifier: GPL-2.0-or-later
//! A Pacemaker cluster's configuration: the resource as a promotable clone, a group of services on it, and fencing.

pub mod both;

use crate::config::{DEVICE, RESOURCE};

/// Id of the clone.
pub const CLONE: &str = "c_r0";

/// Id of the group of services.
pub const GROUP: &str = "g_services";

/// Where the file system of the group is mounted.
pub const MOUNT: &str = "/mnt";

/// Address of the service, on the nodes' second network.
pub const ADDRESS: &str = "10.77.1.100";

/// The file that is there while the group's service runs; without it the service has failed.
pub const SERVICE: &str = "/run/p_service.state";

/// What differs between the scenarios' clusters.
#[derive(Clone, Copy, Debug)]
pub struct Cib {
    /// Seconds that a node waits before it shoots one that runs more: so that of two halves the busier one lives.
    pub fencing_delay_s: u32,
    /// Failures of a service on a node until it has to move.
    pub failures: u32,
    /// Whether both nodes are Primary and have the services at the same time, see [`both`].
    pub on_both: bool,
}

impl Default for Cib {
    fn default() -> Cib {
        Cib {
            fencing_delay_s: 0,
            failures: 3,
            on_both: false,
        }
    }
}

fn pairs(element: &str, id: &str, pairs: &[(&str, &str)]) -> String {
    let pairs: String = pairs
        .iter()
        .map(|(name, value)| format!(r#"<nvpair id="{id}-{name}" name="{name}" value="{value}"/>"#))
        .collect();
    format!(r#"<{element} id="{id}">{pairs}</{element}>"#)
}

/// Name, interval in seconds, limit in seconds, and role of an action.
type Action<'a> = (&'a str, u32, u32, &'a str);

fn operations(id: &str, actions: &[Action<'_>]) -> String {
    let action = |(name, interval_s, limit_s, role): &Action<'_>| {
        let role = match *role {
            "" => String::new(),
            role => format!(r#" role="{role}""#),
        };
        format!(
            r#"<op id="{id}-{name}-{interval_s}" name="{name}" interval="{interval_s}s" timeout="{limit_s}s"{role}/>"#
        )
    };
    let actions: String = actions.iter().map(action).collect();
    format!("<operations>{actions}</operations>")
}

fn primitive(
    id: &str,
    agent: [&str; 3],
    parameters: &[(&str, &str)],
    actions: &[Action<'_>],
) -> String {
    let [class, provider, kind] = agent;
    let provider = match provider {
        "" => String::new(),
        provider => format!(r#" provider="{provider}""#),
    };
    let parameters = pairs("instance_attributes", &format!("{id}-p"), parameters);
    let actions = operations(id, actions);
    format!(
        r#"<primitive id="{id}" class="{class}"{provider} type="{kind}">{parameters}{actions}</primitive>"#
    )
}

impl Cib {
    /// The whole, for nodes of these names, as it lies on disk before the cluster's first start.
    #[must_use]
    pub fn text(&self, nodes: &[&str]) -> String {
        let list: String = nodes
            .iter()
            .zip(1..)
            .map(|(name, id)| format!(r#"<node id="{id}" uname="{name}"/>"#))
            .collect();
        let (promoted, services, id) = match self.on_both {
            false => ("1", services(), GROUP),
            true => ("2", both::services(), both::SERVICES),
        };
        let more = if self.on_both { both::LOCKS_FIRST } else { "" };
        format!(
            r#"<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0"><configuration>
<crm_config>{}</crm_config><nodes>{list}</nodes><resources>{}{}{services}</resources><constraints>
<rsc_colocation id="services-with-data" rsc="{id}" with-rsc="{CLONE}" with-rsc-role="Promoted" score="INFINITY"/>
<rsc_order id="data-before-services" first="{CLONE}" first-action="promote" then="{id}" then-action="start"/>
{more}</constraints><rsc_defaults>{}</rsc_defaults></configuration><status/></cib>"#,
            self.properties(),
            stonith(nodes),
            clone(promoted),
            self.defaults(),
        )
    }

    fn properties(&self) -> String {
        let delay = format!("{}s", self.fencing_delay_s);
        let properties = [
            ("stonith-enabled", "true"),
            ("stonith-action", "off"),
            ("stonith-timeout", "60s"),
            ("priority-fencing-delay", &delay),
            // Both nodes start at once.
            ("dc-deadtime", "5s"),
            // An emulated machine always looks busy.
            ("load-threshold", "0%"),
            ("cluster-recheck-interval", "60s"),
            // What DLM is for cannot be stopped without quorum either.
            (
                "no-quorum-policy",
                if self.on_both { "freeze" } else { "stop" },
            ),
        ];
        pairs("cluster_property_set", "properties", &properties)
    }

    fn defaults(&self) -> String {
        let failures = self.failures.to_string();
        let defaults = [
            ("resource-stickiness", "100"),
            ("migration-threshold", &failures),
        ];
        pairs("meta_attributes", "defaults", &defaults)
    }
}

fn stonith(nodes: &[&str]) -> String {
    let list = nodes.join(" ");
    let parameters = [
        ("pcmk_host_check", "static-list"),
        ("pcmk_host_list", &list),
    ];
    primitive(
        "power",
        ["stonith", "", "fence_lab"],
        &parameters,
        &[("monitor", 120, 60, "")],
    )
}

/// The resource on both nodes, Primary on so many.
fn clone(promoted: &str) -> String {
    let meta = [
        ("promotable", "true"),
        ("promoted-max", promoted),
        ("promoted-node-max", "1"),
        ("clone-max", "2"),
        ("clone-node-max", "1"),
        ("notify", "true"),
        ("interleave", "true"),
    ];
    let actions = [
        ("monitor", 15, 60, "Promoted"),
        ("monitor", 20, 60, "Unpromoted"),
        ("start", 0, 240, ""),
        ("promote", 0, 120, ""),
        ("demote", 0, 120, ""),
        ("stop", 0, 120, ""),
        ("notify", 0, 90, ""),
    ];
    let primitive = primitive(
        "p_r0",
        ["ocf", "linbit", "drbd"],
        &[("drbd_resource", RESOURCE)],
        &actions,
    );
    format!(
        r#"<clone id="{CLONE}">{}{primitive}</clone>"#,
        pairs("meta_attributes", "c_r0-m", &meta)
    )
}

/// Start, stop and a monitor of that interval, with limits for emulated processors.
fn actions_every(interval_s: u32) -> [Action<'static>; 3] {
    [
        ("start", 0, 120, ""),
        ("stop", 0, 120, ""),
        ("monitor", interval_s, 60, ""),
    ]
}

fn filesystem(kind: &str) -> String {
    primitive(
        "p_fs",
        ["ocf", "heartbeat", "Filesystem"],
        &[("device", DEVICE), ("directory", MOUNT), ("fstype", kind)],
        &actions_every(60),
    )
}

fn service() -> String {
    primitive(
        "p_service",
        ["ocf", "pacemaker", "Dummy"],
        &[("state", SERVICE)],
        &actions_every(10),
    )
}

fn services() -> String {
    let address = primitive(
        "p_ip",
        ["ocf", "heartbeat", "IPaddr2"],
        &[("ip", ADDRESS), ("cidr_netmask", "24"), ("nic", "eth1")],
        &actions_every(60),
    );
    let members = [filesystem("ext4"), address, service()];
    let priority = pairs("meta_attributes", "g_services-m", &[("priority", "10")]);
    format!(
        r#"<group id="{GROUP}">{priority}{}</group>"#,
        members.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_id_is_there_once(on_both: bool) {
        let cib = Cib {
            on_both,
            ..Cib::default()
        };
        let text = cib.text(&["alpha", "beta"]);
        let mut ids: Vec<&str> = text
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        assert!(text.contains(r#"<node id="2" uname="beta"/>"#), "{text}");
    }

    #[test]
    fn ids_of_services_on_one_node() {
        every_id_is_there_once(false);
    }

    #[test]
    fn ids_of_services_on_both() {
        every_id_is_there_once(true);
    }
}
