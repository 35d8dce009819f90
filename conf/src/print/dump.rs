// SPDX-License-Identifier: GPL-2.0-or-later
//! `dump` and `dump -v`.

mod connection;
mod old;
mod section;

use std::fmt::Write as _;

use crate::dialect::Dialect;
use crate::lexer::is_plain_word;
use crate::model::{Address, Global, Host, HostKind, MetaIndex, Resource, UsageCount, Volume};
use crate::resolve::Resolved;

/// A value that no configuration file can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpError {
    /// The value.
    pub value: String,
}

impl std::fmt::Display for DumpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a value of {} bytes cannot be written", self.value.len())
    }
}

impl std::error::Error for DumpError {}

/// Text with indentation.
pub(crate) struct Out {
    text: String,
    level: usize,
    dialect: Dialect,
}

impl Out {
    fn new(dialect: Dialect) -> Out {
        Out {
            text: String::new(),
            level: 0,
            dialect,
        }
    }

    /// One line at the present level.
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", self.level * 4);
    }

    fn open(&mut self, head: &str) {
        self.line(&format!("{head} {{"));
        self.level += 1;
    }

    fn close(&mut self) {
        self.level = self.level.saturating_sub(1);
        self.line("}");
    }

    /// A name in a column that keeps values aligned over all levels.
    fn column(&self, name: &str) -> String {
        let width = 24_usize.saturating_sub(4 * self.level);
        format!("{name:width$}")
    }

    /// `name value;` with the name in its column.
    fn field(&mut self, name: &str, value: &str) {
        let line = format!("{} {value};", self.column(name));
        self.line(&line);
    }
}

/// A value, quoted if it could not be read back without.
pub(crate) fn quoted(value: &str) -> String {
    if is_plain_word(value) && value.len() <= 80 {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Everything: `dump`, or with `expanded` the tree after inheritance.
#[must_use]
pub fn dump_all(resolved: &Resolved, expanded: bool) -> String {
    let names: Vec<&str> = resolved.full.iter().map(|r| r.name.as_str()).collect();
    dump_resources(resolved, &names, expanded)
}

/// The head of a dump, and some of the resources.
#[must_use]
pub fn dump_resources(resolved: &Resolved, names: &[&str], expanded: bool) -> String {
    let mut out = Out::new(resolved.config.dialect);
    out.line(&format!("# {}", resolved.config.path));
    global(&mut out, &resolved.config.global, expanded);
    if let Some(common) = &resolved.config.common {
        if !common.is_empty() {
            out.open("common");
            section::sections(&mut out, common);
            out.close();
            out.line("");
        }
    }
    for name in names {
        out.text.push_str(&dump_resource(resolved, name, expanded));
    }
    out.text
}

/// One resource; nothing if there is none of the name.
#[must_use]
pub fn dump_resource(resolved: &Resolved, name: &str, expanded: bool) -> String {
    let dialect = resolved.config.dialect;
    let mut out = Out::new(dialect);
    let tree = match (expanded, dialect) {
        (true, _) => &resolved.full,
        (false, Dialect::V9) => &resolved.config.resources,
        (false, Dialect::V84) => &resolved.plain,
    };
    let found = tree
        .iter()
        .zip(&resolved.full)
        .find(|(resource, _)| resource.name == name);
    if let Some((resource, complete)) = found {
        dump_one(&mut out, resolved, resource, complete, expanded);
    }
    out.text
}

fn dump_one(
    out: &mut Out,
    resolved: &Resolved,
    resource: &Resource,
    complete: &Resource,
    expanded: bool,
) {
    let sources = &resolved.config.sources;
    let yes_no = |yes: bool| if yes { "" } else { "not " };
    out.line(&format!(
        "# resource {} on {}: {}ignored, {}stacked",
        resource.name,
        resolved.nodename,
        yes_no(!complete.is_local()),
        yes_no(complete.is_stacked()),
    ));
    out.line(&format!(
        "# defined at {}:{}",
        sources.name(resource.open),
        sources.position(resource.open).line
    ));
    out.open(&format!("resource {}", quoted(&resource.name)));
    if out.dialect.is_84() {
        old::body(out, resource, expanded);
        out.close();
        out.line("");
        return;
    }
    if let Some(template) = &resource.template {
        out.line(&format!("template-file {};", quoted(&template.path)));
    }
    if !expanded {
        for each in &resource.volumes {
            volume(out, each, expanded);
        }
    }
    for each in &resource.hosts {
        host(out, each, expanded);
    }
    for each in &resource.connections {
        connection::connection(out, resource, each, expanded);
    }
    if !expanded {
        for mesh in &resource.meshes {
            connection::mesh(out, mesh);
        }
    }
    section::sections(out, &resource.sections);
    out.close();
    out.line("");
}

fn global(out: &mut Out, global: &Global, expanded: bool) {
    let mut lines = Vec::new();
    if global.disable_ip_verification {
        lines.push("disable-ip-verification;".to_owned());
    }
    if let Some(count) = global.minor_count {
        lines.push(format!("minor-count {count};"));
    }
    if let Some(seconds) = global.dialog_refresh {
        lines.push(format!("dialog-refresh {seconds};"));
    }
    match global.usage_count {
        UsageCount::Yes => lines.push("usage-count yes;".into()),
        UsageCount::No => lines.push("usage-count no;".into()),
        UsageCount::Ask => {}
    }
    if out.dialect.is_84() {
        old::timeouts(global, &mut lines);
    }
    if lines.is_empty() && !expanded {
        return;
    }
    out.open("global");
    for line in lines {
        out.line(&line);
    }
    out.close();
    out.line("");
}

fn host(out: &mut Out, host: &Host, expanded: bool) {
    match &host.kind {
        HostKind::On => {
            let names: Vec<String> = host.names.iter().map(|name| quoted(name)).collect();
            out.open(&format!("on {}", names.join(" ")));
        }
        HostKind::Floating => {
            if let Some(address) = &host.address {
                out.open(&format!("{:16} {}", "floating", endpoint(address)));
            } else {
                out.open("floating");
            }
        }
        HostKind::Stacked { lower } => {
            out.open(&format!("stacked-on-top-of {}", quoted(lower)));
            out.line(&format!("# on {} ", host.names.join(" ")));
        }
    }
    if let Some(id) = host.node_id {
        out.line(&format!("node-id {id};"));
    }
    section::options(out, "options", &host.options);
    let stacked = matches!(host.kind, HostKind::Stacked { .. });
    for each in &host.volumes {
        if !stacked {
            volume(out, each, expanded);
        } else if expanded {
            stacked_volume(out, each);
        }
    }
    if host.kind != HostKind::Floating {
        if let Some(address) = &host.address {
            out.line(&format!("{:16} {};", "address", endpoint(address)));
        }
    }
    if !expanded {
        if let Some(proxy) = &host.proxy {
            connection::host_proxy(out, proxy);
            out.close();
        }
    }
    out.close();
}

/// What lies below a stacked volume is said by its section's head.
fn stacked_volume(out: &mut Out, volume: &Volume) {
    if !volume.implicit {
        out.open(&format!("volume {}", volume.number));
    }
    section::disk_options(out, &volume.options);
    device(out, volume, true);
    if !volume.implicit {
        out.close();
    }
}

fn volume(out: &mut Out, volume: &Volume, expanded: bool) {
    if !volume.implicit {
        out.open(&format!("volume {}", volume.number));
    }
    section::disk_options(out, &volume.options);
    device(out, volume, expanded);
    disk_and_meta(out, volume, expanded);
    if let Some(tiebreaker) = volume.tiebreaker {
        out.field("tiebreaker", if tiebreaker { "yes" } else { "no" });
    }
    if !volume.implicit {
        out.close();
    }
}

fn disk_and_meta(out: &mut Out, volume: &Volume, expanded: bool) {
    if let Some(disk) = &volume.disk {
        out.field("disk", &quoted(disk));
    }
    let hidden = expanded && volume.is_diskless();
    if let Some(meta) = volume.meta_disk.as_ref().filter(|_| !hidden) {
        match meta.index {
            MetaIndex::Internal | MetaIndex::FlexInternal => out.field("meta-disk", "internal"),
            MetaIndex::Flexible => {
                out.line(&format!("{:16} {};", "meta-disk", quoted(&meta.device)));
            }
            MetaIndex::Slot(slot) => out.line(&format!(
                "{:16} {} [{slot}];",
                "meta-disk",
                quoted(&meta.device)
            )),
        }
    }
}

fn device(out: &mut Out, volume: &Volume, expanded: bool) {
    let Some(minor) = volume.minor else {
        return;
    };
    let value = match &volume.device {
        Some(device) => format!("{} minor {minor}", quoted(device)),
        None if expanded => format!("{} minor {minor}", volume.device_path()),
        None => format!("minor {minor}"),
    };
    out.field("device", &value);
}

pub(crate) fn endpoint(address: &Address) -> String {
    format!("{} {}", address.family.word(), address.endpoint())
}
