// SPDX-License-Identifier: GPL-2.0-or-later
//! From Heartbeat's `ha.cf` and `haresources` to a configuration of ours. What has no counterpart, and what has to be added,
//! is said; nothing is guessed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{bail, Context as _, Result};

/// A duration of ha.cf, seconds unless it says `ms`.
fn milliseconds(text: &str) -> Option<u64> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok(),
        None => text.parse::<u64>().ok()?.checked_mul(1000),
    }
}

#[derive(Debug, Default)]
struct HaCf {
    keepalive: Option<u64>,
    warntime: Option<u64>,
    deadtime: Option<u64>,
    initdead: Option<u64>,
    port: Option<u16>,
    auto_failback: bool,
    nodes: Vec<String>,
    pings: Vec<String>,
    watchdog: Option<String>,
    links: usize,
    notes: Vec<String>,
}

fn ha_cf(text: &str) -> HaCf {
    let mut file = HaCf::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((key, values)) = words.split_first() else {
            continue;
        };
        let first = values.first().copied().unwrap_or_default();
        match *key {
            "keepalive" => file.keepalive = milliseconds(first),
            "warntime" => file.warntime = milliseconds(first),
            "deadtime" => file.deadtime = milliseconds(first),
            "initdead" => file.initdead = milliseconds(first),
            "udpport" => file.port = first.parse().ok(),
            "auto_failback" => file.auto_failback = matches!(first, "on" | "yes" | "true"),
            "node" => file
                .nodes
                .extend(values.iter().map(|name| (*name).to_owned())),
            "ping" => file
                .pings
                .extend(values.iter().map(|host| (*host).to_owned())),
            "ping_group" => {
                let hosts = values.iter().skip(1);
                file.pings.extend(hosts.map(|host| (*host).to_owned()));
            }
            "watchdog" => file.watchdog = Some(first.to_owned()),
            "bcast" => file.links += values.len(),
            "mcast" | "ucast" => file.links += 1,
            "serial" | "baud" => {
                let note = format!(
                    "ha.cf line {}: serial links are not there any more: use a second network",
                    number + 1
                );
                file.notes.push(note);
            }
            "crm" | "pacemaker" if !matches!(first, "off" | "no" | "false") => {
                file.notes.push("ha.cf: this cluster was run by a cluster resource manager: haresources was not in use".to_owned());
            }
            "logfacility"
            | "logfile"
            | "debugfile"
            | "use_logd"
            | "debug"
            | "coredumps"
            | "traditional_compression"
            | "crm"
            | "pacemaker" => {}
            other => file.notes.push(format!(
                "ha.cf line {}: '{other}' has no counterpart",
                number + 1
            )),
        }
    }
    file
}

/// A line of haresources: a node, and resources in order.
#[derive(Debug)]
struct Line {
    node: String,
    resources: Vec<String>,
}

fn haresources(text: &str) -> Vec<Line> {
    // A line may be continued.
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace().map(str::to_owned);
        let node = words.next()?;
        let resources = words.collect();
        Some(Line { node, resources })
    });
    lines.collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn filesystem(parts: &[&str]) -> Option<String> {
    let [device, directory, rest @ ..] = parts else {
        return None;
    };
    let mut params = format!(
        "device = {}, directory = {}",
        quoted(device),
        quoted(directory)
    );
    for (key, value) in ["fstype", "options"].iter().zip(rest) {
        params.push_str(&format!(", {key} = {}", quoted(value)));
    }
    Some(format!(
        "ocf = \"heartbeat:Filesystem\"\nparams = {{ {params} }}\n"
    ))
}

fn address(text: &str) -> String {
    let mut parts = text.split('/');
    let mut params = format!("ip = {}", quoted(parts.next().unwrap_or_default()));
    if let Some(mask) = parts.next() {
        params.push_str(&format!(", cidr_netmask = {}", quoted(mask)));
    }
    if let Some(nic) = parts.next() {
        params.push_str(&format!(", nic = {}", quoted(nic)));
    }
    format!("ocf = \"heartbeat:IPaddr2\"\nparams = {{ {params} }}\n")
}

/// A resource of haresources as ours; the note says what to look at.
fn resource(text: &str) -> (String, Option<String>) {
    let parts: Vec<&str> = text.split("::").collect();
    let (kind, arguments) = parts
        .split_first()
        .map_or(("", &[][..]), |(kind, rest)| (*kind, rest));
    if kind.parse::<std::net::IpAddr>().is_ok()
        || kind
            .split('/')
            .next()
            .is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok())
    {
        return (address(kind), None);
    }
    match (kind, arguments) {
        ("IPaddr" | "IPaddr2", [first, ..]) => (address(first), None),
        ("drbddisk", [name, ..]) => (format!("drbd = {}\n", quoted(name)), None),
        ("Filesystem", arguments) => match filesystem(arguments) {
            Some(text) => (text, None),
            None => (String::new(), Some(format!("'{text}' is not understood"))),
        },
        (script, []) => {
            let unit = format!("{script}.service");
            let note = format!("'{script}' was a script of init: is {unit} the unit?");
            (format!("systemd = {}\n", quoted(&unit)), Some(note))
        }
        (script, arguments) => {
            let note = format!(
                "'{script}' with {} has no counterpart: write a unit or find an agent",
                arguments.join(" ")
            );
            (String::new(), Some(note))
        }
    }
}

fn convert(cf: &HaCf, lines: &[Line]) -> (String, Vec<String>) {
    let mut notes = cf.notes.clone();
    let mut text = String::from("[cluster]\nname = \"imported\"\nkeyfile = \"/etc/drbd-ha.key\"\n");
    // Writing to memory does not fail.
    let mut line = |more: String| {
        let _ = text.write_str(&more);
    };
    let times = [
        ("keepalive", cf.keepalive),
        ("warntime", cf.warntime),
        ("deadtime", cf.deadtime),
        ("initdead", cf.initdead),
    ];
    if times.iter().any(|(_, value)| value.is_some()) {
        line("\n[timing]\n".to_owned());
        for (key, value) in times {
            if let Some(value) = value {
                line(format!("{key} = {value}\n"));
            }
        }
    }
    if !cf.pings.is_empty() {
        let hosts: Vec<String> = cf.pings.iter().map(|host| quoted(host)).collect();
        line(format!("\n[quorum]\nping_group = [{}]\n", hosts.join(", ")));
    }
    if let Some(device) = &cf.watchdog {
        line(format!("\n[watchdog]\ndevice = {}\n", quoted(device)));
    }
    let port = cf.port.unwrap_or(694);
    for (at, node) in cf.nodes.iter().enumerate() {
        let links = vec![format!("\"ADDRESS-OF-{node}:{port}\""); cf.links.max(1)];
        line(format!(
            "\n[[node]]\nname = {}\nid = {}\nlinks = [{}]\n",
            quoted(node),
            at + 1,
            links.join(", ")
        ));
    }
    notes.push(
        "write the addresses of the nodes into links: Heartbeat did not need them".to_owned(),
    );
    notes.push("write a [[fence_device]] for each node: what STONITH was".to_owned());
    for (at, one) in lines.iter().enumerate() {
        let others = cf.nodes.iter().filter(|node| **node != one.node);
        let nodes: Vec<String> = std::iter::once(&one.node)
            .chain(others)
            .map(|node| quoted(node))
            .collect();
        let failback = if cf.auto_failback { "auto" } else { "never" };
        line(format!(
            "\n[[group]]\nname = \"group{}\"\nnodes = [{}]\nfailback = \"{failback}\"\n",
            at + 1,
            nodes.join(", ")
        ));
        // DRBD comes first, wherever it stood: what follows runs where it is Primary.
        let (drbd, rest): (Vec<&String>, Vec<&String>) = one
            .resources
            .iter()
            .partition(|text| text.starts_with("drbddisk::"));
        for word in drbd.into_iter().chain(rest) {
            let (entry, note) = resource(word);
            if !entry.is_empty() {
                line(format!("[[group.resource]]\n{entry}"));
            }
            notes.extend(note);
        }
    }
    (text, notes)
}

/// Prints the configuration, and on standard error what has to be done by hand.
pub(super) fn run(cf: &Path, resources: &Path) -> Result<u8> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let cf_text = ha_cf(&read(cf)?);
    if cf_text.nodes.is_empty() {
        bail!("{} names no node", cf.display());
    }
    let (text, notes) = convert(&cf_text, &haresources(&read(resources)?));
    print!("{text}");
    for note in notes {
        eprintln!("to do: {note}");
    }
    eprintln!("then:  drbd-hactl check FILE");
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CF: &str = "# a cluster\nkeepalive 500ms\ndeadtime 10\nwarntime 5\ninitdead 60\nudpport 694\nbcast eth0 eth1\n\
        auto_failback off\nnode alpha beta\nping 10.0.0.254\nwatchdog /dev/watchdog\nserial /dev/ttyS0\nlogfacility local0\nhopfudge 1\n";
    const RESOURCES: &str = "alpha 10.0.0.10/24/eth0 drbddisk::r0 \\\n  Filesystem::/dev/drbd0::/data::ext4 postgresql\n";

    #[test]
    fn what_is_understood_becomes_a_configuration() {
        let (text, notes) = convert(&ha_cf(CF), &haresources(RESOURCES));
        let notes = notes.join("\n");
        for wanted in [
            "serial links",
            "'hopfudge' has no counterpart",
            "is postgresql.service the unit?",
            "fence_device",
        ] {
            assert!(notes.contains(wanted), "{wanted}: {notes}");
        }
        // With what has to be added by hand it is good.
        let whole = text
            .replace(
                "\"ADDRESS-OF-alpha:694\", \"ADDRESS-OF-alpha:694\"",
                "\"10.0.0.1:694\", \"10.1.0.1:694\"",
            )
            .replace(
                "\"ADDRESS-OF-beta:694\", \"ADDRESS-OF-beta:694\"",
                "\"10.0.0.2:694\", \"10.1.0.2:694\"",
            );
        let whole = format!("{whole}\n[[fence_device]]\nname = \"pdu\"\nagent = \"fence_apc\"\ntargets = {{ alpha = \"1\", beta = \"2\" }}\n");
        let (config, findings) =
            crate::config::parse("t.toml", whole).unwrap_or_else(|findings| panic!("{findings}"));
        assert!(findings.list.is_empty(), "{findings}");
        let timing = config.file.timing();
        assert_eq!((timing.keepalive, timing.deadtime), (500, 10_000));
        let group = config.groups().next().unwrap();
        assert_eq!(group.nodes[0].as_ref(), "alpha");
        let names: Vec<String> = group
            .resource
            .iter()
            .map(|one| crate::config::resource_name(one.as_ref()))
            .collect();
        assert_eq!(
            names,
            [
                "drbd:r0",
                "ocf:IPaddr2",
                "ocf:Filesystem",
                "postgresql.service"
            ]
        );
    }
}
