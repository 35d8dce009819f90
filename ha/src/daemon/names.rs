// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that people use, for the identities that the core uses.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::core::id::{GroupId, NodeId};
use crate::core::input::Control;

use super::protocol::Request;

/// Both directions.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    nodes: BTreeMap<NodeId, String>,
    groups: BTreeMap<GroupId, String>,
}

impl Names {
    pub(super) fn new(config: &Config) -> Self {
        let nodes = config.nodes();
        let groups = config.groups();
        Names {
            nodes: nodes
                .map(|node| (NodeId(*node.id.as_ref()), node.name.as_ref().clone()))
                .collect(),
            groups: groups
                .map(|group| {
                    (
                        GroupId::of(group.name.as_ref()),
                        group.name.as_ref().clone(),
                    )
                })
                .collect(),
        }
    }

    pub(super) fn node(&self, id: NodeId) -> String {
        let name = self.nodes.get(&id).cloned();
        name.unwrap_or_else(|| id.to_string())
    }

    pub(super) fn group(&self, id: GroupId) -> String {
        self.groups.get(&id).cloned().unwrap_or_default()
    }

    fn node_id(&self, name: &str) -> Result<NodeId, String> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|(_, known)| *known == name);
        found.map(|(id, _)| *id).ok_or_else(|| {
            let known: Vec<&str> = self.nodes.values().map(String::as_str).collect();
            format!("there is no node '{name}'; there are: {}", known.join(", "))
        })
    }

    fn group_id(&self, name: &str) -> Result<GroupId, String> {
        let id = GroupId::of(name);
        if self.groups.get(&id).is_some_and(|known| known == name) {
            return Ok(id);
        }
        let known: Vec<&str> = self.groups.values().map(String::as_str).collect();
        Err(format!(
            "there is no group '{name}'; there are: {}",
            known.join(", ")
        ))
    }

    /// The core's form of a request; `None` for what is not the core's.
    pub(super) fn control(&self, request: &Request) -> Result<Option<Control>, String> {
        let node = |name: &String| self.node_id(name);
        let group = |name: &String| self.group_id(name);
        Ok(Some(match request {
            Request::Status
            | Request::Watch
            | Request::History
            | Request::Unfence { .. }
            | Request::Devices
            | Request::Reload => return Ok(None),
            Request::Maintenance { on } => Control::Maintenance(*on),
            Request::Standby { node: name, on } => Control::Standby(node(name)?, *on),
            Request::Disable { group: name, on } => Control::Disable(group(name)?, *on),
            Request::Move {
                group: name,
                node: to,
            } => Control::Move(group(name)?, to.as_ref().map(node).transpose()?),
            Request::Failback { group: name } => Control::Failback(group(name)?),
            Request::Cleanup { group: name } => Control::Cleanup(group(name)?),
            Request::AcceptData {
                group: name,
                node: of,
            } => Control::AcceptData(group(name)?, node(of)?),
            Request::Fence { node: name } => Control::Fence(node(name)?),
            Request::ConfirmFenced { node: name } => Control::ConfirmFenced(node(name)?),
            Request::QuorumOverride => Control::QuorumOverride,
            Request::FencePeer {
                resource,
                peer,
                within_ms,
            } => Control::FencePeer {
                resource: resource.clone(),
                peer: peer.as_ref().map(node).transpose()?,
                within_ms: *within_ms,
            },
        }))
    }
}
