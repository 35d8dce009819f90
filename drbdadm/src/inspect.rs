// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands that only print something about the configuration.

use drbd_conf::model::{HostKind, Volume};
use drbd_conf::{print, Resolved};

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
    match request.command.name {
        "sh-resources" | "sh-list-adjustable" => {
            for resource in &resolved.full {
                if resource.is_local() && resource.is_stacked() == request.stacked {
                    println!("{}", resource.name);
                }
            }
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
            println!("minor_count={count}");
        }
        _ => {}
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
    for selection in selected {
        if request.command.works == Works::OnVolume || request.command.works == Works::OnOneVolume {
            for volume in selection.volumes() {
                per_volume(name, resolved, selection, volume)?;
            }
            continue;
        }
        match name {
            "sh-resource" => println!("{}", selection.resource.name),
            "sh-list-config-file" => {
                let span = selection.resource.open;
                let sources = &resolved.config.sources;
                println!(
                    "{}:{}:{}",
                    sources.name(span),
                    sources.position(span).line,
                    selection.resource.name
                );
            }
            _ => lower_resource(selection)?,
        }
    }
    Ok(0)
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

fn per_volume(
    name: &str,
    resolved: &Resolved,
    selection: &Selection<'_>,
    volume: &Volume,
) -> Result<(), Failure> {
    match name {
        "sh-dev" => println!("{}", volume.device_path()),
        "sh-minor" => println!("{}", volume.minor.unwrap_or(0)),
        "sh-ll-dev" => println!("{}", volume.disk.as_deref().unwrap_or("none")),
        "sh-md-dev" => println!("{}", metadata::device(volume)),
        "sh-md-idx" => println!("{}", metadata::attach_place(volume)),
        "sh-ip" => println!("{}", own_address(selection)),
        "sh-udev" => udev(resolved, selection, volume),
        _ => {
            return Err(Failure::new(
                USAGE,
                format!("`{name}` is not there yet"),
                &[],
            ))
        }
    }
    Ok(())
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

fn udev(resolved: &Resolved, selection: &Selection<'_>, volume: &Volume) {
    if driver::dialect().is_84() {
        return udev_84(resolved, selection, volume);
    }
    println!("DEVICE=drbd{}", volume.minor.unwrap_or(0));
    let resource = &selection.resource.name;
    let number = udev_number(resolved, volume);
    println!("SYMLINK=drbd/by-res/{resource}{number}");
    println!("SYMLINK_BY_RES=drbd/by-res/{resource}{number}");
    if let Some(disk) = volume.disk.as_ref().filter(|_| !volume.is_diskless()) {
        let short = disk.strip_prefix("/dev/").unwrap_or(disk);
        println!("SYMLINK_BY_DISK=drbd/by-disk/{short}");
    }
}

fn udev_number(resolved: &Resolved, volume: &Volume) -> String {
    if volume.implicit && !resolved.config.global.udev_always_use_vnr {
        String::new()
    } else {
        format!("/{}", volume.number)
    }
}

/// The rules file of generation 8.4 makes the links itself.
fn udev_84(resolved: &Resolved, selection: &Selection<'_>, volume: &Volume) {
    let resource = &selection.resource.name;
    println!("RESOURCE={resource}{}", udev_number(resolved, volume));
    println!("DEVICE=drbd{}", volume.minor.unwrap_or(0));
    if let Some(disk) = &volume.disk {
        println!("DISK={}", disk.strip_prefix("/dev/").unwrap_or(disk));
    }
}

fn lower_resource(selection: &Selection<'_>) -> Result<(), Failure> {
    match &selection.host.kind {
        HostKind::Stacked { lower } => {
            println!("{lower}");
            Ok(())
        }
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
pub(crate) fn hidden_commands() {
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
