// SPDX-License-Identifier: GPL-2.0-or-later
//! The configuration, `/etc/drbd-ha.toml`: read, checked across its tables, and its fingerprint, by which nodes notice that
//! they were not given the same one.

mod check;
pub mod drbd;
mod finding;
mod schema;

use std::path::Path;

use sha2::{Digest as _, Sha256};

pub use finding::{Finding, Findings, Severity};
pub use schema::{
    Cluster, Engine, Failback, FenceAction, FenceDevice, Fencing, File, Group, Hook, Metrics, Node,
    OnQuorumLoss, Quorum, Resource, Role, Timeouts, Timing, Value, Watchdog,
};

/// Where the configuration is unless somebody says otherwise.
pub const PATH: &str = "/etc/drbd-ha.toml";

/// Nodes of a cluster.
pub const NODES_MAX: usize = 16;
/// Groups of a cluster: what is said of all of them fits a heartbeat.
pub const GROUPS_MAX: usize = 64;
/// Resources of a group.
pub const RESOURCES_MAX: usize = 64;
/// Links of a node.
pub const LINKS_MAX: usize = 8;

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables.
    pub file: File,
    /// Of everything that has to be equal on all nodes.
    pub hash: [u8; 32],
}

impl Config {
    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        let mut nodes = self.nodes();
        nodes.find(|node| node.name.as_ref() == name)
    }

    /// The nodes, as they are written.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.file.node.iter().map(toml::Spanned::as_ref)
    }

    /// The groups, as they are written.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.file.group.iter().map(toml::Spanned::as_ref)
    }

    /// The fence devices, as they are written.
    pub fn fence_devices(&self) -> impl Iterator<Item = &FenceDevice> {
        self.file.fence_device.iter().map(toml::Spanned::as_ref)
    }

    /// Levels of devices for a node: those that `[fencing]` gives, else each device that has it as a target.
    #[must_use]
    pub fn fence_levels(&self, node: &str) -> Vec<Vec<&FenceDevice>> {
        let named = |name: &str| {
            self.fence_devices()
                .find(|device| device.name.as_ref() == name)
        };
        let fencing = self.file.fencing.as_ref().map(toml::Spanned::as_ref);
        if let Some(levels) = fencing.and_then(|fencing| fencing.levels.get(node)) {
            let level = |names: &Vec<toml::Spanned<String>>| {
                names
                    .iter()
                    .filter_map(|name| named(name.as_ref()))
                    .collect()
            };
            return levels.iter().map(level).collect();
        }
        self.fence_devices()
            .filter(|device| device.targets.contains_key(node))
            .map(|device| vec![device])
            .collect()
    }

    /// Whether one of two nodes may act alone.
    #[must_use]
    pub fn two_node(&self) -> bool {
        match &self.file.quorum.two_node {
            Some(said) => *said.as_ref(),
            None => check::goes_by_two(&self.file),
        }
    }
}

/// The name of a resource in messages, `drbd:r0` or `ocf:Filesystem`, unless it has been given one.
#[must_use]
pub fn resource_name(resource: &Resource) -> String {
    if let Some(name) = &resource.name {
        return name.as_ref().clone();
    }
    if let Some(drbd) = &resource.drbd {
        return format!("drbd:{}", drbd.as_ref());
    }
    if let Some(ocf) = &resource.ocf {
        let kind = ocf.as_ref().rsplit(':').next().unwrap_or_default();
        return format!("ocf:{kind}");
    }
    resource
        .systemd
        .as_ref()
        .map(|unit| unit.as_ref().clone())
        .unwrap_or_default()
}

/// Reads and checks a file.
///
/// # Errors
///
/// The findings, when one of them is an error. Else they are warnings, and come with the configuration.
pub fn load(path: &Path) -> Result<(Config, Findings), Findings> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&file, text),
        Err(error) => {
            let help = format!(
                "write one (docs/ha has examples), then:  drbd-hactl check {}",
                path.display()
            );
            Err(Findings {
                file,
                text: String::new(),
                list: vec![Finding::error(None, format!("cannot read: {error}"), help)],
            })
        }
    }
}

/// The same for text; `file` is what messages call it.
///
/// # Errors
///
/// Those of [`load`].
pub fn parse(file: &str, text: String) -> Result<(Config, Findings), Findings> {
    let mut findings = Findings {
        file: file.to_owned(),
        text,
        list: Vec::new(),
    };
    let parsed: File = match toml::from_str(&findings.text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let what = error.message().trim().replace('\n', ", ");
            let finding = Finding::error(error.span(), what, "");
            findings.list.push(finding);
            return Err(findings);
        }
    };
    findings.list = check::check(&parsed);
    findings.list.sort_by_key(|finding| {
        let at = finding.span.as_ref().map_or(0, |span| span.start);
        (finding.severity, at)
    });
    if findings.has_errors() {
        return Err(findings);
    }
    let hash = hash(&parsed);
    Ok((Config { file: parsed, hash }, findings))
}

/// SHA-256 of the canonical form: neither comments nor the order of keys nor what a node has for itself (files of keys and
/// passwords, the watchdog, where metrics are served, hooks) counts.
fn hash(file: &File) -> [u8; 32] {
    let mut value = serde_json::to_value(file).unwrap_or_default();
    if let Some(tables) = value.as_object_mut() {
        for own in ["watchdog", "metrics", "hook"] {
            tables.remove(own);
        }
        if let Some(cluster) = tables
            .get_mut("cluster")
            .and_then(serde_json::Value::as_object_mut)
        {
            cluster.remove("keyfile");
            cluster.remove("keyfile_next");
        }
    }
    Sha256::digest(canonical(&value)).into()
}

/// JSON with the keys of every object sorted, whatever features other crates switch on in the printer.
fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .filter_map(|key| Some(format!("{key:?}:{}", canonical(object.get(key)?))))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(array) => {
            let items: Vec<String> = array.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
