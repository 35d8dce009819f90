// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands that only print something about the configuration.

use drbd_conf::model::{HostKind, Volume};
use drbd_conf::{print, Resolved};

use serde_json::{json, Value};

use crate::cli::Request;
use crate::command::{Shown, Works, COMMANDS};
use crate::driver;
use crate::failure::{Failure, USAGE};
use crate::metadata;
use crate::select::Selection;

/// Commands that ignore the names of resources.
pub(crate) fn configuration(request: &Request, resolved: &Resolved) -> Result<i32, Failure> {
    if !request.selectors.is_empty() {
        eprintln!("This command will ignore resource names!");
        // A volume is more than a name that can be ignored.
        let words = request.selectors.iter().filter(|word| *word != "all");
        for word in words.filter(|_| !driver::dialect().is_84()) {
            let is_volume = word.starts_with("minor-")
                || (resolved.resource(word).is_none() && word.contains('/'));
            if is_volume {
                return Err(Failure::ready(
                    USAGE,
                    format!(
                        "{} operates on whole resources, but you specified a specific volume!\n",
                        request.command.name
                    ),
                ));
            }
        }
    }
    let value = match request.command.name {
        "sh-resources" | "sh-list-adjustable" => {
            let names: Vec<&str> = resolved
                .full
                .iter()
                .filter(|r| r.is_local() && r.is_stacked() == request.stacked)
                .map(|r| r.name.as_str())
                .collect();
            if !request.json {
                for name in &names {
                    println!("{name}");
                }
            }
            json!({ "resources": names })
        }
        "sh-mod-parms" => {
            let minors: usize = resolved
                .full
                .iter()
                .filter_map(|resource| resource.local_host())
                .map(|host| host.volumes.len())
                .sum();
            let automatic = u32::try_from(minors + 3).unwrap_or(255).clamp(32, 255);
            let count = resolved.config.global.minor_count.unwrap_or(automatic);
            if !request.json {
                println!("minor_count={count}");
            }
            json!({ "minor_count": count })
        }
        _ => json!({}),
    };
    if request.json {
        crate::json::print(&value);
    }
    Ok(0)
}

/// Commands that print something for each selected thing.
pub(crate) fn selected(
    request: &Request,
    resolved: &Resolved,
    selected: &[Selection<'_>],
) -> Result<i32, Failure> {
    let name = request.command.name;
    match name {
        "dump" if request.json => {
            let names: Vec<&str> = selected
                .iter()
                .map(|selection| selection.resource.name.as_str())
                .collect();
            crate::json::print(&crate::json::dump(resolved, &names));
            return Ok(0);
        }
        "dump" | "dump-xml" => {
            print!("{}", dumped(request, resolved, selected));
            return Ok(0);
        }
        "proxy-up" | "proxy-down" => {
            return Err(Failure::new(
                USAGE,
                "drbd-proxy is not supported",
                &["its settings in the configuration are read and printed only"],
            ));
        }
        _ => {}
    }
    let mut values = Vec::new();
    for selection in selected {
        let resource = &selection.resource.name;
        if request.command.works == Works::OnVolume || request.command.works == Works::OnOneVolume {
            for volume in selection.volumes() {
                let found = per_volume(name, resolved, selection, volume)?;
                let mut value = json!({ "resource": resource, "volume": volume.number });
                tell(request, name, &found, &mut value);
                values.push(value);
            }
            continue;
        }
        let found = match name {
            "sh-resource" => vec![("", resource.clone())],
            "sh-list-config-file" => {
                let span = selection.resource.open;
                let sources = &resolved.config.sources;
                let (file, line) = (sources.name(span), sources.position(span).line);
                vec![("", format!("{file}:{line}:{resource}"))]
            }
            _ => vec![("", lower_resource(selection)?)],
        };
        let mut value = json!({ "resource": resource });
        tell(request, name, &found, &mut value);
        values.push(value);
    }
    if request.json {
        crate::json::print(&values);
    }
    Ok(0)
}

/// Prints values, `NAME=VALUE` if they have a name, or keeps them for JSON.
fn tell(request: &Request, command: &str, found: &[(&str, String)], json: &mut Value) {
    for (key, value) in found {
        match (request.json, key.is_empty()) {
            (true, true) => json[command] = value.as_str().into(),
            (true, false) => json[*key] = value.as_str().into(),
            (false, true) => println!("{value}"),
            (false, false) => println!("{key}={value}"),
        }
    }
}

/// All resources are dumped in one piece; some of them without the head.
fn dumped(request: &Request, resolved: &Resolved, selected: &[Selection<'_>]) -> String {
    let expanded = request.verbose > 0 || request.dry_run;
    let names: Vec<&str> = selected
        .iter()
        .map(|selection| selection.resource.name.as_str())
        .collect();
    let everything = request.selectors.is_empty() || request.selectors.iter().any(|w| w == "all");
    match (request.command.name, everything) {
        ("dump", true) => print::dump_all(resolved, expanded),
        ("dump", false) => names
            .iter()
            .map(|name| print::dump_resource(resolved, name, expanded))
            .collect(),
        (_, true) => print::dump_xml(resolved),
        (_, false) => print::dump_xml_of(resolved, &names),
    }
}

/// A value that a `sh-` command is about, or several with names.
type Values = Vec<(&'static str, String)>;

fn per_volume(
    name: &str,
    resolved: &Resolved,
    selection: &Selection<'_>,
    volume: &Volume,
) -> Result<Values, Failure> {
    let one = match name {
        "sh-dev" => volume.device_path(),
        "sh-minor" => volume.minor.unwrap_or(0).to_string(),
        "sh-ll-dev" => volume.disk.clone().unwrap_or_else(|| "none".into()),
        "sh-md-dev" => metadata::device(volume),
        "sh-md-idx" => metadata::attach_place(volume),
        "sh-ip" => own_address(selection),
        "sh-udev" => return Ok(udev(resolved, selection, volume)),
        _ => {
            return Err(Failure::new(
                USAGE,
                format!("`{name}` is not there yet"),
                &[],
            ))
        }
    };
    Ok(vec![("", one)])
}

fn own_address(selection: &Selection<'_>) -> String {
    let from_path = || {
        let (connection, _) = selection.connections().into_iter().next()?;
        let (ours, _) = connection.paths.first()?.seen_from(selection.local)?;
        ours.address.clone()
    };
    selection
        .host
        .address
        .clone()
        .or_else(from_path)
        .map(|address| address.host)
        .unwrap_or_default()
}

fn udev(resolved: &Resolved, selection: &Selection<'_>, volume: &Volume) -> Values {
    let resource = &selection.resource.name;
    let number = if volume.implicit && !resolved.config.global.udev_always_use_vnr {
        String::new()
    } else {
        format!("/{}", volume.number)
    };
    let device = format!("drbd{}", volume.minor.unwrap_or(0));
    let disk = volume.disk.as_ref().filter(|_| !volume.is_diskless());
    let disk = disk.map(|disk| disk.strip_prefix("/dev/").unwrap_or(disk));
    if driver::dialect().is_84() {
        // The rules file of generation 8.4 makes the links itself.
        let mut list = vec![
            ("RESOURCE", format!("{resource}{number}")),
            ("DEVICE", device),
        ];
        list.extend(disk.map(|disk| ("DISK", disk.to_owned())));
        return list;
    }
    let link = format!("drbd/by-res/{resource}{number}");
    let mut list = vec![
        ("DEVICE", device),
        ("SYMLINK", link.clone()),
        ("SYMLINK_BY_RES", link),
    ];
    list.extend(disk.map(|disk| ("SYMLINK_BY_DISK", format!("drbd/by-disk/{disk}"))));
    list
}

fn lower_resource(selection: &Selection<'_>) -> Result<String, Failure> {
    match &selection.host.kind {
        HostKind::Stacked { lower } => Ok(lower.clone()),
        _ => Err(Failure::ready(
            USAGE,
            "sh-lower-resource only available in stacked mode\n",
        )),
    }
}

/// The order in which generation 8.4 lists its hidden commands.
const ORDER_84: &[&str] = &[
    "sh-nop",
    "sh-resources",
    "sh-resource",
    "sh-mod-parms",
    "sh-dev",
    "sh-udev",
    "sh-minor",
    "sh-ll-dev",
    "sh-md-dev",
    "sh-md-idx",
    "sh-ip",
    "sh-lr-of",
    "sh-b-pri",
    "sh-status",
    "proxy-up",
    "proxy-down",
    "new-resource",
    "before-resync-target",
    "after-resync-target",
    "before-resync-source",
    "pri-on-incon-degr",
    "pri-lost-after-sb",
    "fence-peer",
    "unfence-peer",
    "local-io-error",
    "pri-lost",
    "initial-split-brain",
    "split-brain",
    "out-of-sync",
    "sh-new-minor",
    "new-minor",
    "suspend-io",
    "resume-io",
    "set-gi",
    "new-current-uuid",
    "check-resize",
];

/// `hidden-commands`
pub(crate) fn hidden_commands(json: bool) {
    let lists = [
        (
            Shown::Scripts,
            "These additional commands might be useful for writing\nnifty shell scripts around drbdadm:",
        ),
        (
            Shown::Kernel,
            "These commands are used by the kernel part of DRBD to\ninvoke user mode helper programs:",
        ),
        (
            Shown::Experts,
            "These commands ought to be used by experts and developers:",
        ),
    ];
    let dialect = driver::dialect();
    if json {
        let list: Vec<Value> = COMMANDS
            .iter()
            .filter(|command| command.shown != Shown::Help && command.is_in(dialect))
            .map(|command| json!({ "command": command.name, "about": command.about }))
            .collect();
        return crate::json::print(&list);
    }
    println!();
    for (shown, title) in lists {
        let mut names: Vec<&str> = COMMANDS
            .iter()
            .filter(|command| command.shown == shown && command.is_in(dialect))
            .map(|command| command.name)
            .collect();
        println!("{title}\n");
        let rows = names.len().div_ceil(2);
        if dialect.is_84() {
            names.sort_by_key(|name| ORDER_84.iter().position(|known| known == name));
        }
        for row in 0..rows {
            // Two columns, read downwards; with 8.4 across.
            let (pair, gap) = if dialect.is_84() {
                ([2 * row, 2 * row + 1], "")
            } else {
                ([row, row + rows], " ")
            };
            let columns: Vec<String> = pair
                .iter()
                .filter_map(|at| names.get(*at))
                .map(|name| format!("{name:35}"))
                .collect();
            println!(" {}", columns.join(gap));
        }
        println!();
    }
}
