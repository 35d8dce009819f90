// SPDX-License-Identifier: GPL-2.0-or-later
//! `/etc/drbd.conf` of a two-node resource.

use std::fmt::Write;

use drbd_qemu::Kind;

use crate::mapper;

/// Name of the resource of every scenario.
pub const RESOURCE: &str = "r0";

/// Its device.
pub const DEVICE: &str = "/dev/drbd0";

/// TCP port both nodes listen on.
pub const PORT: u16 = 7789;

/// Name of the second resource of the scenarios that have two.
pub const TWIN: &str = "r1";

/// Its device.
pub const TWIN_DEVICE: &str = "/dev/drbd1";

/// Where the metadata lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaDisk {
    /// At the end of the data disk.
    #[default]
    Internal,
    /// In slot 0 of the second data disk.
    Indexed,
    /// On the whole of the second data disk.
    Flexible,
}

impl MetaDisk {
    fn words(self) -> &'static str {
        match self {
            MetaDisk::Internal => "meta-disk internal",
            MetaDisk::Indexed => "meta-disk /dev/vdc[0]",
            MetaDisk::Flexible => "flexible-meta-disk /dev/vdc",
        }
    }

    /// How `drbdmeta` names the place: metadata device and index.
    #[must_use]
    pub fn drbdmeta_words(self) -> &'static str {
        match self {
            MetaDisk::Internal => "/dev/vdb internal",
            MetaDisk::Indexed => "/dev/vdc 0",
            MetaDisk::Flexible => "/dev/vdc flex-external",
        }
    }
}

/// What differs between the scenarios' configurations.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where the metadata lies.
    pub meta_disk: MetaDisk,
    /// Lines of the `net` section; `protocol C` unless one of them names another.
    pub net: Vec<String>,
    /// Lines of the `disk` section.
    pub disk: Vec<String>,
    /// Lines of the `options` section.
    pub options: Vec<String>,
    /// Lines of the `handlers` section.
    pub handlers: Vec<String>,
    /// Whether the disk lies behind a device mapper, see [`mapper`].
    pub mapped: bool,
    /// Whether the resource has volume 1 as well, with minor 1, on the second data disk.
    pub second_volume: bool,
    /// Whether there is [`TWIN`] as well, on the second data disk, with the same options.
    pub twin: bool,
}

impl Config {
    /// The text for a node of the given kind; both nodes get the same but for
    /// node ids, which the 8.4 tools do not know.
    #[must_use]
    pub fn text(&self, kind: Kind, hosts: &[(String, String); 2]) -> String {
        let mut text = String::from("global { usage-count no; }\n");
        let disk = match self.mapped {
            true => mapper::PATH,
            false => "/dev/vdb",
        };
        let mut volumes = vec![(DEVICE, disk)];
        if self.second_volume {
            volumes.push((TWIN_DEVICE, "/dev/vdc"));
        }
        text += &self.resource(RESOURCE, (0, PORT), &volumes, kind, hosts);
        if self.twin {
            let volumes = [(TWIN_DEVICE, "/dev/vdc")];
            text += &self.resource(TWIN, (1, PORT + 1), &volumes, kind, hosts);
        }
        text
    }

    /// One resource: its first minor number and its port, and of each volume device and disk.
    fn resource(
        &self,
        name: &str,
        (first_minor, port): (usize, u16),
        volumes: &[(&str, &str)],
        kind: Kind,
        hosts: &[(String, String); 2],
    ) -> String {
        let mut text = format!("resource {name} {{\n");
        let meta = self.meta_disk.words();
        for (volume, (device, disk)) in volumes.iter().enumerate() {
            let minor = first_minor + volume;
            let _ = writeln!(
                text,
                "  volume {volume} {{ device {device} minor {minor}; disk {disk}; {meta}; }}"
            );
        }
        for (id, (name, ip)) in hosts.iter().enumerate() {
            let node_id = match kind {
                Kind::Ours => format!("node-id {id}; "),
                Kind::Stock | Kind::Bare => String::new(),
            };
            let _ = writeln!(text, "  on {name} {{ {node_id}address {ip}:{port}; }}");
        }
        let section = |name: &str, lines: &[String]| {
            let lines: String = lines.iter().map(|line| format!(" {line};")).collect();
            format!("  {name} {{{lines} }}\n")
        };
        let mut net = self.net.clone();
        if !net.iter().any(|line| line.starts_with("protocol ")) {
            net.insert(0, "protocol C".to_owned());
        }
        // Before DRBD 9 the peer was fenced for a disk.
        let old = kind == Kind::Stock;
        let (fencing, net): (Vec<String>, Vec<String>) = net
            .into_iter()
            .partition(|line| old && line.starts_with("fencing "));
        text += &section("net", &net);
        let disk = [fencing, self.disk.clone()].concat();
        let handlers: Vec<String> = self
            .handlers
            .iter()
            .map(|line| handler(line, old))
            .collect();
        let rest = [
            ("disk", &disk),
            ("options", &self.options),
            ("handlers", &handlers),
        ];
        for (name, lines) in rest {
            if !lines.is_empty() {
                text += &section(name, lines);
            }
        }
        text + "}\n"
    }
}

/// A handler's line. Those of 8.4 are other programs, and what undoes a fencing is called after a resync.
fn handler(line: &str, old: bool) -> String {
    if !old {
        return line.to_owned();
    }
    let line = line.replace("fence-peer.9.sh", "fence-peer.sh");
    match line.strip_prefix("unfence-peer ") {
        Some(program) => format!("after-resync-target {program}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> [(String, String); 2] {
        [("a", "10.0.0.1"), ("b", "10.0.0.2")].map(|(n, i)| (n.to_owned(), i.to_owned()))
    }

    #[test]
    fn only_ours_has_node_ids() {
        let config = Config::default();
        let ours = config.text(Kind::Ours, &hosts());
        assert!(ours.contains("on b { node-id 1; address 10.0.0.2:7789; }"));
        assert!(!config.text(Kind::Stock, &hosts()).contains("node-id"));
    }

    #[test]
    fn the_old_tools_fence_for_a_disk() {
        let config = Config {
            net: vec!["fencing resource-only".to_owned()],
            options: vec!["on-no-data-accessible suspend-io".to_owned()],
            ..Config::default()
        };
        let ours = config.text(Kind::Ours, &hosts());
        assert!(ours.contains("net { protocol C; fencing resource-only; }"));
        let old = config.text(Kind::Stock, &hosts());
        assert!(old.contains("disk { fencing resource-only; }"), "{old}");
        let suspends = "options { on-no-data-accessible suspend-io; }";
        assert!(ours.contains(suspends) && old.contains(suspends), "{old}");
    }

    #[test]
    fn the_old_tools_unfence_after_a_resync() {
        let line = "unfence-peer \"/usr/lib/drbd/crm-unfence-peer.9.sh\"";
        let config = Config {
            handlers: vec![line.to_owned()],
            ..Config::default()
        };
        let ours = config.text(Kind::Ours, &hosts());
        assert!(ours.contains(&format!("handlers {{ {line}; }}")), "{ours}");
        let old = config.text(Kind::Stock, &hosts());
        let wanted = "after-resync-target \"/usr/lib/drbd/crm-unfence-peer.sh\"";
        assert!(old.contains(wanted), "{old}");
    }

    #[test]
    fn a_twin_has_a_place_of_its_own_and_the_same_options() {
        let mut config = Config {
            net: vec!["ping-int 1".to_owned()],
            mapped: true,
            ..Config::default()
        };
        let first = config.text(Kind::Ours, &hosts());
        assert!(first.contains("disk /dev/mapper/backing;"), "{first}");
        assert!(!config.text(Kind::Ours, &hosts()).contains("r1"));
        config.twin = true;
        let text = config.text(Kind::Ours, &hosts());
        let place = "volume 0 { device /dev/drbd1 minor 1; disk /dev/vdc; meta-disk internal; }";
        assert!(
            text.contains("resource r1 {") && text.contains(place),
            "{text}"
        );
        assert!(text.contains("10.0.0.2:7790;"), "{text}");
        assert_eq!(text.matches("ping-int 1;").count(), 2, "{text}");
    }

    #[test]
    fn a_second_volume_is_of_the_same_resource() {
        let config = Config {
            second_volume: true,
            ..Config::default()
        };
        let text = config.text(Kind::Ours, &hosts());
        let place = "volume 1 { device /dev/drbd1 minor 1; disk /dev/vdc; meta-disk internal; }";
        assert!(text.contains(place), "{text}");
        assert_eq!(text.matches("resource ").count(), 1, "{text}");
    }

    #[test]
    fn options_go_to_their_sections() {
        let config = Config {
            meta_disk: MetaDisk::Flexible,
            net: vec!["ping-int 1".to_owned()],
            disk: vec!["al-extents 67".to_owned()],
            ..Config::default()
        };
        let text = config.text(Kind::Ours, &hosts());
        assert!(text.contains("net { protocol C; ping-int 1; }"), "{text}");
        assert!(text.contains("disk { al-extents 67; }"), "{text}");
        assert!(text.contains("flexible-meta-disk /dev/vdc;"), "{text}");
    }
}
