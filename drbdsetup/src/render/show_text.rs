// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbdsetup show`: the configuration in force, in the syntax of drbd.conf. `drbdadm adjust` reads it.

use std::fmt::Write;

use drbd_core::config::{
    OptionSpec, Value, DEVICE_ORDER, DISK_ORDER, META_INDEX_FLEXIBLE, META_INDEX_INTERNAL,
    NET_ORDER, PEER_DEVICE_ORDER, RESOURCE_ORDER,
};
use drbd_core::genl::state::ConnectionState;
use drbd_netlink::{Connection, Device, OptionValues, Resource, Snapshot};

use super::words::{family, option_name};
use super::Style;

/// Attribute numbers of options that drbd-utils 9.22 does not know.
const NEW_RESOURCE: &[u16] = &[16];
const NEW_DISK: &[u16] = &[27];
const NEW_NET: &[u16] = &[42, 38, 41, 39, 40, 43, 44];
const NEW_PEER_DEVICE: &[u16] = &[8, 9];
/// Numbers of keys: 0 means no key and is shown as an empty string.
const KEYS: &[&str] = &["tls_keyring", "tls_privkey", "tls_certificate"];

/// The options to show: rows and values in order, and whether the value is the default.
pub(super) fn shown<'a>(
    values: &'a OptionValues,
    order: &'a [u16],
    new: &'a [u16],
    all: bool,
    style: Style,
) -> Vec<(&'static OptionSpec, Value<'a>, bool)> {
    values
        .in_order(order)
        .filter(|(spec, _)| style.is_new() || !new.contains(&spec.nr))
        .map(|(spec, value)| (spec, value, spec.default() == Some(value)))
        .filter(|(_, _, default)| all || !default)
        .collect()
}

/// Which options of which group are shown.
pub(super) struct Groups<'a> {
    pub(super) all: bool,
    pub(super) style: Style,
    pub(super) snapshot: &'a Snapshot,
}

impl<'a> Groups<'a> {
    pub(super) fn resource(
        &self,
        resource: &'a Resource,
    ) -> Vec<(&'static OptionSpec, Value<'a>, bool)> {
        shown(
            &resource.options,
            RESOURCE_ORDER,
            NEW_RESOURCE,
            self.all,
            self.style,
        )
    }

    pub(super) fn device(&self, device: &'a Device) -> Vec<(&'static OptionSpec, Value<'a>, bool)> {
        let mut rows = match &device.disk {
            Some(disk) => shown(disk, DISK_ORDER, NEW_DISK, self.all, self.style),
            None => Vec::new(),
        };
        rows.extend(shown(
            &device.options,
            DEVICE_ORDER,
            DEVICE_ORDER,
            self.all,
            self.style,
        ));
        rows
    }

    pub(super) fn net(
        &self,
        connection: &'a Connection,
    ) -> Vec<(&'static OptionSpec, Value<'a>, bool)> {
        shown(&connection.net, NET_ORDER, NEW_NET, self.all, self.style)
    }

    pub(super) fn peer_device(
        &self,
        options: &'a OptionValues,
    ) -> Vec<(&'static OptionSpec, Value<'a>, bool)> {
        shown(
            options,
            PEER_DEVICE_ORDER,
            NEW_PEER_DEVICE,
            self.all,
            self.style,
        )
    }
}

/// The number of a key is a name to the user.
pub(super) fn is_no_key(spec: &OptionSpec, value: Value<'_>) -> bool {
    KEYS.contains(&spec.field) && value == Value::Int(0)
}

/// One resource and the blank line behind it.
pub fn show_text(snapshot: &Snapshot, resource: &Resource, all: bool, style: Style) -> String {
    let groups = Groups {
        all,
        style,
        snapshot,
    };
    let mut text = format!("resource \"{}\" {{\n", resource.name);
    block(&mut text, 1, "options", &groups.resource(resource));
    text.push_str("    _this_host {\n");
    line(
        &mut text,
        2,
        &format!(
            "node-id\t\t\t{};",
            resource.options.number("node_id").unwrap_or(-1)
        ),
    );
    for device in snapshot.devices_of(&resource.name) {
        volume(&mut text, &groups, device);
    }
    text.push_str("    }\n");
    for connection in snapshot.connections_of(&resource.name) {
        connection_block(&mut text, &groups, connection);
    }
    text.push_str("}\n\n");
    text
}

pub(super) fn line(text: &mut String, level: usize, content: &str) {
    text.push_str(&"    ".repeat(level));
    text.push_str(content);
    text.push('\n');
}

fn block(
    text: &mut String,
    level: usize,
    name: &str,
    rows: &[(&'static OptionSpec, Value<'_>, bool)],
) {
    if rows.is_empty() {
        return;
    }
    line(text, level, &format!("{name} {{"));
    for (spec, value, default) in rows {
        line(text, level + 1, &option(spec, *value, *default));
    }
    line(text, level, "}");
}

pub(super) fn option(spec: &OptionSpec, value: Value<'_>, default: bool) -> String {
    let shown = match value {
        Value::Text(content) => format!("\"{}\"", escaped(content)),
        value if is_no_key(spec, value) => "\"\"".into(),
        value => spec.show(value).to_string(),
    };
    let mut content = format!("{:<16}\t{shown};", option_name(spec));
    // A number's unit says nothing about a word.
    let unit = if spec.choices().iter().any(|choice| choice.word == shown) {
        ""
    } else {
        spec.unit.word()
    };
    let comments: Vec<&str> = [unit, if default { "default" } else { "" }]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    if !comments.is_empty() {
        let _ = write!(content, " # {}", comments.join(", "));
    }
    content
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn volume(text: &mut String, groups: &Groups<'_>, device: &Device) {
    line(text, 2, &format!("volume {} {{", device.volume));
    line(text, 3, &format!("device\t\t\tminor {};", device.minor));
    if let Some(disk) = &device.disk {
        line(
            text,
            3,
            &format!(
                "disk\t\t\t\"{}\";",
                escaped(disk.text("backing_dev").unwrap_or(""))
            ),
        );
        line(text, 3, &format!("meta-disk\t\t\t{};", meta_disk(disk)));
    } else if device.info.intentional_diskless {
        line(text, 3, "disk\t\t\tnone;");
    }
    block(text, 3, "disk", &groups.device(device));
    line(text, 2, "}");
}

/// The right side of `meta-disk`.
pub(super) fn meta_disk(disk: &OptionValues) -> String {
    let device = escaped(disk.text("meta_dev").unwrap_or(""));
    match disk
        .number("meta_dev_idx")
        .and_then(|index| i32::try_from(index).ok())
    {
        None | Some(META_INDEX_INTERNAL) => "internal".into(),
        Some(META_INDEX_FLEXIBLE) => format!("\"{device}\""),
        Some(index) => format!("\"{device}\" [ {index} ]"),
    }
}

fn connection_block(text: &mut String, groups: &Groups<'_>, connection: &Connection) {
    text.push_str("    connection {\n");
    line(
        text,
        2,
        &format!("_peer_node_id {};", connection.peer_node_id),
    );
    for path in &connection.paths {
        line(text, 2, "path {");
        for (name, address) in [
            ("_this_host", &path.my_addr),
            ("_remote_host", &path.peer_addr),
        ] {
            line(text, 3, &format!("{name} {} {address};", family(address)));
        }
        line(text, 2, "}");
    }
    if groups.style.is_new() {
        line(
            text,
            2,
            &format!("_cstate {};", connection.info.connection_state),
        );
    } else if connection.info.connection_state == ConnectionState::StandAlone {
        line(text, 2, "_is_standalone;");
    }
    block(text, 2, "net", &groups.net(connection));
    for peer_device in groups.snapshot.peer_devices_of(connection) {
        let rows = groups.peer_device(&peer_device.options);
        if !rows.is_empty() {
            line(text, 2, &format!("volume {} {{", peer_device.volume));
            block(text, 3, "disk", &rows);
            line(text, 2, "}");
        }
    }
    text.push_str("    }\n");
}
