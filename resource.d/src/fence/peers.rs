// SPDX-License-Identifier: GPL-2.0-or-later
//! Which nodes have the data, and which are to be kept from being promoted: what the driver and drbdadm tell in the
//! environment.

use std::fmt;

/// A node of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its number in generation 9.
    pub(crate) id: Option<u32>,
    /// Its name.
    pub(crate) name: String,
}

/// The nodes of the resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Peers {
    /// The resource, if the environment tells.
    pub(crate) resource: Option<String>,
    /// Nodes that may be promoted.
    pub(crate) good: Vec<Member>,
    /// Nodes that must not be.
    pub(crate) fenced: Vec<Member>,
    /// Numbers of the devices.
    pub(crate) minors: Vec<u32>,
    /// The driver tells which nodes are up to date, as generation 9 does.
    pub(crate) is_9: bool,
}

/// Numbers that nodes can have.
const NODE_IDS: u32 = 32;

fn mask(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

impl Peers {
    /// Reads `variable`s on the node `own`.
    ///
    /// # Errors
    ///
    /// When they contradict each other, or a name is none.
    pub(crate) fn of_environment(
        own: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let minors = get("DRBD_MINOR").unwrap_or_default();
        let mut peers = Peers {
            resource: get("DRBD_RESOURCE"),
            minors: minors
                .split_whitespace()
                .filter_map(|minor| minor.parse().ok())
                .collect(),
            ..Peers::default()
        };
        match get("UP_TO_DATE_NODES") {
            Some(nodes) => peers.of_generation_9(&nodes, get)?,
            None => {
                peers.good = vec![Member {
                    id: None,
                    name: own.to_owned(),
                }];
                let peer = get("DRBD_PEER").map(|name| Member { id: None, name });
                peers.fenced.extend(peer);
            }
        }
        let mut all = peers.good.iter().chain(&peers.fenced);
        if let Some(bad) = all.find(|member| !is_name(&member.name)) {
            return Err(format!("'{}' is no name of a node", bad.name));
        }
        Ok(peers)
    }

    fn of_generation_9(
        &mut self,
        nodes: &str,
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        let up_to_date = mask(nodes)
            .ok_or_else(|| format!("UP_TO_DATE_NODES={nodes} is no mask such as 0x3"))?;
        let own = get("DRBD_MY_NODE_ID").unwrap_or_default();
        let own: u32 = own
            .parse()
            .map_err(|_| format!("DRBD_MY_NODE_ID={own} is no number of a node"))?;
        let is_up_to_date = |id: u32| up_to_date.checked_shr(id).unwrap_or(0) & 1 == 1;
        if !is_up_to_date(own) {
            return Err(format!(
                "this node, {own}, is not among UP_TO_DATE_NODES={nodes}: its data are not good"
            ));
        }
        self.is_9 = true;
        for id in 0..NODE_IDS {
            let Some(name) = get(&format!("DRBD_NODE_ID_{id}")) else {
                continue;
            };
            let member = Member { id: Some(id), name };
            if is_up_to_date(id) {
                self.good.push(member);
            } else {
                self.fenced.push(member);
            }
        }
        Ok(())
    }
}

/// Whether a name can stand in an XPath without quoting.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |members: &[Member]| {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            names.join(" ")
        };
        write!(
            f,
            "good data on {}; not on {}",
            names(&self.good),
            names(&self.fenced)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Peers, String> {
        Peers::of_environment("alpha", |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const NINE: [(&str, &str); 5] = [
        ("DRBD_RESOURCE", "r0"),
        ("DRBD_MY_NODE_ID", "0"),
        ("DRBD_NODE_ID_0", "alpha"),
        ("DRBD_NODE_ID_1", "beta"),
        ("DRBD_MINOR", "0 1"),
    ];

    #[test]
    fn generation_9_tells_who_is_up_to_date() {
        let with = |nodes| read(&[&NINE[..], &[("UP_TO_DATE_NODES", nodes)]].concat());
        let peers = with("0x00000001").unwrap();
        assert_eq!(peers.to_string(), "good data on alpha; not on beta");
        assert_eq!((peers.minors.as_slice(), peers.is_9), (&[0, 1][..], true));
        assert!(with("0x00000003").unwrap().fenced.is_empty());
        assert!(with("0x00000002").unwrap_err().contains("not among"));
        assert!(with("3").unwrap_err().contains("mask"));
    }

    #[test]
    fn generation_8_tells_the_peer() {
        let peers = read(&[("DRBD_PEER", "beta")]).unwrap();
        assert_eq!(peers.to_string(), "good data on alpha; not on beta");
        assert!(!peers.is_9 && peers.resource.is_none());
        assert!(read(&[("DRBD_PEER", "x' or '1")])
            .unwrap_err()
            .contains("no name"));
    }
}
