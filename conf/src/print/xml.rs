// SPDX-License-Identifier: GPL-2.0-or-later
//! `dump-xml`.

use std::fmt::Write as _;

use crate::dialect::Dialect;
use crate::model::{
    Address, Connection, Host, HostKind, HostProxy, MetaIndex, Opt, PathHost, ProxyOptions,
    Resource, Sections, Volume,
};
use crate::resolve::Resolved;

struct Xml {
    text: String,
    level: usize,
    dialect: Dialect,
}

impl Xml {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", self.level * 4);
    }

    fn open(&mut self, tag: &str) {
        self.line(&format!("<{tag}>"));
        self.level += 1;
    }

    fn close(&mut self, tag: &str) {
        self.level = self.level.saturating_sub(1);
        self.line(&format!("</{tag}>"));
    }
}

/// Text that may stand between tags or in an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}

/// The whole configuration.
#[must_use]
pub fn dump_xml(resolved: &Resolved) -> String {
    let names: Vec<&str> = resolved.plain.iter().map(|r| r.name.as_str()).collect();
    dump_xml_of(resolved, &names)
}

/// The head of the configuration and some of the resources.
#[must_use]
pub fn dump_xml_of(resolved: &Resolved, names: &[&str]) -> String {
    let config = &resolved.config;
    let mut out = Xml {
        text: String::new(),
        level: 0,
        dialect: config.dialect,
    };
    out.open(&format!("config file=\"{}\"", escape(&config.path)));
    let mut lines = Vec::new();
    if config.global.disable_ip_verification {
        lines.push("<disable-ip-verification/>".to_owned());
    }
    if let Some(count) = config.global.minor_count {
        lines.push(format!("<minor-count count=\"{count}\"/>"));
    }
    if let Some(seconds) = config.global.dialog_refresh {
        lines.push(format!("<dialog-refresh refresh=\"{seconds}\"/>"));
    }
    if !lines.is_empty() {
        out.open("global");
        for line in lines {
            out.line(&line);
        }
        out.close("global");
    }
    if let Some(common) = config.common.as_ref().filter(|common| !common.is_empty()) {
        out.open("common");
        sections(&mut out, common);
        out.close("common");
    }
    for name in names {
        for one in resolved.plain.iter().filter(|r| r.name == *name) {
            resource(&mut out, resolved, one);
        }
    }
    out.close("config");
    out.text
}

fn resource(out: &mut Xml, resolved: &Resolved, resource: &Resource) {
    let sources = &resolved.config.sources;
    out.open(&format!(
        "resource name=\"{}\" conf-file-line=\"{}:{}\"",
        escape(&resource.name),
        escape(sources.name(resource.open)),
        sources.position(resource.open).line
    ));
    if let Some(template) = &resource.template {
        // Readers of this format know the element without an end tag.
        out.line(&format!("<template file=\"{}\">", escape(&template.path)));
    }
    for each in &resource.hosts {
        host(out, each);
    }
    if !out.dialect.is_84() {
        for each in &resource.connections {
            connection(out, resource, each);
        }
    }
    sections(out, &resource.sections);
    out.close("resource");
}

fn host(out: &mut Xml, host: &Host) {
    if host.kind == HostKind::Floating {
        out.open("host floating=\"1\"");
    } else {
        out.open(&format!("host name=\"{}\"", escape(&host.names.join(" "))));
    }
    for each in &host.volumes {
        volume(out, each);
    }
    match &host.address {
        Some(address) => out.line(&element("address", address)),
        // As the reference prints a host that has addresses only per path.
        None => out.line("<address family=\"(null)\" port=\"(null)\">(null)</address>"),
    }
    if let (Some(each), true) = (&host.proxy, out.dialect.is_84()) {
        proxy(out, each);
    }
    out.close("host");
}

fn volume(out: &mut Xml, volume: &Volume) {
    out.open(&format!("volume vnr=\"{}\"", volume.number));
    out.line(&format!(
        "<device minor=\"{}\">{}</device>",
        volume.minor.unwrap_or(0),
        escape(volume.device.as_deref().unwrap_or(""))
    ));
    disk(out, volume);
    out.close("volume");
}

fn disk(out: &mut Xml, volume: &Volume) {
    let Some(disk) = &volume.disk else {
        return;
    };
    out.line(&format!("<disk>{}</disk>", escape(disk)));
    if let Some(meta) = &volume.meta_disk {
        let index = match meta.index {
            MetaIndex::Slot(slot) => format!(" index=\"{slot}\""),
            _ => String::new(),
        };
        out.line(&format!(
            "<meta-disk{index}>{}</meta-disk>",
            escape(&meta.device)
        ));
    }
}

fn element(tag: &str, address: &Address) -> String {
    format!(
        "<{tag} family=\"{}\" port=\"{}\">{}</{tag}>",
        address.family.word(),
        address.port,
        escape(&address.host)
    )
}

fn connection(out: &mut Xml, resource: &Resource, connection: &Connection) {
    match &connection.name {
        Some(name) => out.open(&format!("connection name=\"{}\"", escape(name))),
        None => out.open("connection"),
    }
    for path in &connection.paths {
        // A path that nobody wrote as such has no element of its own.
        let own = !path.implicit && !connection.derived;
        if own {
            out.open("path");
        }
        for end in &path.hosts {
            path_host(out, resource, end);
        }
        if own {
            out.close("path");
        }
    }
    options(out, "net", &connection.net);
    options(out, "disk", &connection.disk);
    for device in connection.peer_devices.iter().filter(|d| !d.derived) {
        out.open(&format!("volume vnr=\"{}\"", device.number));
        options(out, "disk", &device.options);
        out.close("volume");
    }
    out.close("connection");
}

fn path_host(out: &mut Xml, resource: &Resource, end: &PathHost) {
    let name = end
        .host
        .and_then(|index| resource.hosts.get(index))
        .map(Host::joined_name)
        .unwrap_or_default();
    let address = end
        .address
        .as_ref()
        .map(|address| element("address", address))
        .unwrap_or_default();
    let head = format!("host name=\"{}\"", escape(&name));
    match &end.proxy {
        None => out.line(&format!("<{head}>{address}</host>")),
        Some(each) => {
            out.open(&head);
            out.line(&address);
            proxy(out, each);
            out.close("host");
        }
    }
}

fn proxy(out: &mut Xml, proxy: &HostProxy) {
    out.open(&format!(
        "proxy hostname=\"{}\"",
        escape(&proxy.names.join(" "))
    ));
    for (tag, address) in [("inside", &proxy.inside), ("outside", &proxy.outside)] {
        if let Some(address) = address {
            out.line(&element(tag, address));
        }
    }
    if !proxy.options.is_empty() {
        proxy_section(out, "options", &proxy.options);
    }
    out.close("proxy");
}

fn sections(out: &mut Xml, sections: &Sections) {
    options(out, "options", &sections.options);
    options(out, "net", &sections.net);
    if !sections.disk.is_empty() {
        out.open("section name=\"disk\"");
        for opt in sections.disk.iter() {
            option(out, opt);
        }
        out.close("section");
    }
    let primary = match out.dialect.is_84() {
        true => sections.become_primary_on.as_slice(),
        false => &[],
    };
    if !sections.startup.is_empty() || sections.stacked_timeouts || !primary.is_empty() {
        out.open("section name=\"startup\"");
        for opt in &sections.startup {
            option(out, opt);
        }
        if !primary.is_empty() {
            out.line(&format!(
                "<option name=\"become-primary-on\" value=\"{}\"/>",
                escape(&primary.join(" "))
            ));
        }
        if sections.stacked_timeouts {
            out.line("<option name=\"stacked-timeouts\"/>");
        }
        out.close("section");
    }
    if !sections.proxy.is_empty() {
        proxy_section(out, "proxy", &sections.proxy);
    }
    options(out, "handlers", &sections.handlers);
}

fn proxy_section(out: &mut Xml, name: &str, proxy: &ProxyOptions) {
    out.open(&format!("section name=\"{name}\""));
    for opt in &proxy.options {
        option(out, opt);
    }
    if !proxy.plugins.is_empty() {
        out.open("section name=\"plugin\"");
        for plugin in &proxy.plugins {
            out.line(&format!("<option name=\"{}\"/>", escape(plugin)));
        }
        out.close("section");
    }
    out.close("section");
}

fn options(out: &mut Xml, name: &str, list: &[Opt]) {
    if list.is_empty() {
        return;
    }
    out.open(&format!("section name=\"{name}\""));
    for opt in list {
        option(out, opt);
    }
    out.close("section");
}

fn option(out: &mut Xml, opt: &Opt) {
    out.line(&format!(
        "<option name=\"{}\" value=\"{}\"/>",
        escape(&opt.name),
        escape(&opt.value)
    ));
}
