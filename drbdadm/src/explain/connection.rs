// SPDX-License-Identifier: GPL-2.0-or-later
//! Connections: why there is none, and what goes over one.

use drbd_conf::model::Host;

use super::generations::{Generations, Relation};
use super::{log, Asked, Finding};
use crate::call::{Call, Limit};
use crate::{context, driver, kernel};

/// One peer of the configuration.
pub(super) fn explain(asked: &Asked<'_>, running: &kernel::Resource, peer: &Host) -> Vec<Finding> {
    let about = format!("peer {}", peer.joined_name());
    let selector = asked.peer_selector(peer);
    let found = running
        .connections
        .iter()
        .find(|connection| connection.leads_to(peer));
    let Some(connection) = found else {
        return vec![Finding::new(about, "the kernel does not know it")
            .because("it was added to the configuration after the resource was brought up, or removed by hand")
            .type_here("add it", &[&format!("drbdadm adjust {}", asked.name())])];
    };
    match connection.connection_state.as_str() {
        "Connected" => connection
            .peer_devices
            .iter()
            .filter_map(|device| replication(asked, &about, connection, device))
            .collect(),
        "StandAlone" => vec![alone(asked, running, connection, peer)],
        "Unconnected" | "Connecting" | "WFConnection" | "Timeout" | "BrokenPipe"
        | "NetworkFailure" | "ProtocolError" | "WFReportParams" => {
            vec![waiting(asked, connection, peer)]
        }
        state => vec![Finding::new(about, format!("the connection is {state}"))
            .because("this passes by itself")
            .type_here(
                "if it does not",
                &[
                    &format!("drbdadm disconnect --force {selector}"),
                    &format!("drbdadm connect {selector}"),
                ],
            )],
    }
}

/// Not connected, and trying.
fn waiting(asked: &Asked<'_>, connection: &kernel::Connection, peer: &Host) -> Finding {
    let name = peer.joined_name();
    let mut finding = Finding::new(
        format!("peer {name}"),
        format!(
            "not connected, and trying ({})",
            connection.connection_state
        ),
    );
    if let Some(said) = log::last_refusal(asked.name()) {
        finding = finding.because(format!("the kernel said last: {said}"));
    }
    let wanted = asked.selection.connections();
    let paths = wanted
        .iter()
        .filter(|(_, host)| std::ptr::eq(*host, peer))
        .flat_map(|(connection, _)| &connection.paths);
    let mut commands = Vec::new();
    for (ours, theirs) in paths.filter_map(|path| path.seen_from(asked.selection.local)) {
        if let Some(address) = ours.address.as_ref().filter(|a| !context::has_address(a)) {
            finding = finding.because(format!(
                "no interface here that is up has the address {}: see `ip addr`",
                address.host
            ));
        }
        if let Some(address) = &theirs.address {
            commands.push(format!("ping -c 3 {}", address.host));
            finding = finding.because(format!(
                "it should be at {}, reachable and not behind a firewall",
                address.endpoint()
            ));
        }
    }
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    finding
        .type_here("see whether the machine is reachable", &commands)
        .type_on(
            &name,
            "see whether it is up there, and willing",
            &[
                &format!("drbdadm explain {}", asked.name()),
                &format!("drbdadm adjust {}", asked.name()),
            ],
        )
}

/// Not connected, and not trying: by command, or because the two do not go
/// together.
fn alone(
    asked: &Asked<'_>,
    running: &kernel::Resource,
    connection: &kernel::Connection,
    peer: &Host,
) -> Finding {
    let name = peer.joined_name();
    let selector = asked.peer_selector(peer);
    let connect = format!("drbdadm connect {selector}");
    let said = log::last_refusal(asked.name());
    let mut histories = Vec::new();
    let mut split = said.as_deref().is_some_and(log::is_split_brain);
    let mut related = true;
    for device in &connection.peer_devices {
        let Some(ours) = generations(asked, connection.peer_node_id, device.volume) else {
            continue;
        };
        histories.push(format!("volume {} here:  {ours}", device.volume));
        if let Some(theirs) = asked.theirs {
            histories.push(format!("volume {} there: {theirs}", device.volume));
            let relation = ours.relation(theirs);
            histories.push(relation.sentence(&name));
            split |= relation == Relation::SplitBrain;
            related &= relation != Relation::Unrelated;
        }
    }
    let changed: u64 = connection.peer_devices.iter().map(|d| d.out_of_sync).sum();
    let mut finding = Finding::new(
        format!("peer {name}"),
        if split {
            "split brain: both nodes have changed the data without the other"
        } else {
            "not connected, and not trying (StandAlone)"
        },
    );
    match &said {
        Some(said) => finding = finding.because(format!("the kernel said last: {said}")),
        None if !split => {
            finding = finding.because(
                "somebody typed `disconnect`, or the two did not go together: see `journalctl -k`",
            );
        }
        None => {}
    }
    for line in histories {
        finding = finding.because(line);
    }
    finding = finding.because(format!(
        "changed here since the two parted: at most {}",
        kib(changed)
    ));
    if !split {
        finding = finding.type_here("connect again", &[&connect]);
        if !related {
            return finding.type_on(
                &name,
                "if that disk is to become a copy of this one",
                &[&format!("drbdadm invalidate {}", asked.name())],
            );
        }
    }
    let demote = format!("drbdadm secondary {}", asked.name());
    let discard = format!("drbdadm connect --discard-my-data {selector}");
    let primary_here = running.role == "Primary";
    let if_split = if split { "" } else { "in a split brain: " };
    finding = finding.type_on(
        &name,
        &format!(
            "{if_split}keep this node's data; what {name} has written since is lost. First there"
        ),
        &[
            &format!("drbdadm disconnect {}", asked.name()),
            &demote,
            &format!("drbdadm connect --discard-my-data {}", asked.name()),
        ],
    );
    finding = finding.type_here("then here", &[&connect]);
    let disconnect = format!("drbdadm disconnect {selector}");
    let mut here: Vec<&str> = vec![&disconnect];
    if primary_here {
        here.push(&demote);
    }
    here.push(&discard);
    finding
        .type_here(
            &format!(
                "{if_split}keep {name}'s data; what was written here since is lost, at most {}. First here",
                kib(changed)
            ),
            &here,
        )
        .type_on(&name, "then there", &[&format!("drbdadm connect {}", asked.name())])
}

/// What the metadata of this node says of the peer.
fn generations(asked: &Asked<'_>, peer_node_id: u32, volume: u32) -> Option<Generations> {
    let args: Vec<String> = if driver::dialect().is_84() {
        let minor = asked.selection.host.volume(volume)?.minor?;
        vec!["get-gi".to_owned(), minor.to_string()]
    } else {
        let place = [peer_node_id.to_string(), volume.to_string()];
        let words = ["get-gi".to_owned(), asked.name().to_owned()];
        words.into_iter().chain(place).collect()
    };
    let text = asked
        .runner
        .output(&Call::setup(asked.name(), Limit::Short, args))?;
    Generations::parse(&text)
}

/// A volume over a connection that is there.
fn replication(
    asked: &Asked<'_>,
    about: &str,
    connection: &kernel::Connection,
    device: &kernel::PeerDevice,
) -> Option<Finding> {
    let about = format!("{about}, volume {}", device.volume);
    let selector = asked.volume_selector(device.volume);
    let left = progress(device);
    match device.replication_state.as_str() {
        "SyncSource" => Some(Finding::new(
            about,
            format!("is fetching data from here{left}"),
        )),
        "SyncTarget" => Some(Finding::new(
            about,
            format!("data is being fetched from there{left}"),
        )),
        "VerifyS" | "VerifyT" => Some(Finding::new(
            about,
            format!("the copies are being compared{left}"),
        )),
        "PausedSyncS" | "PausedSyncT" => {
            let finding = Finding::new(
                about,
                format!("the resync is paused ({}){left}", device.resync_suspended),
            );
            let suspended = &device.resync_suspended;
            let finding = if suspended.contains("dependency") {
                finding.because("`resync-after`: the volume it names goes first")
            } else {
                finding
            };
            let resume = format!("drbdadm resume-sync {selector}");
            let finding = if suspended.contains("user") {
                finding.type_here("let it go on", &[&resume])
            } else {
                finding
            };
            Some(if suspended.contains("peer") {
                finding.type_on(&connection.name, "let it go on", &[&resume])
            } else {
                finding
            })
        }
        "Ahead" => Some(
            Finding::new(
                about,
                "the network is congested: the peer is left behind, and caught up with later",
            )
            .because(format!("not sent yet: {}", kib(device.out_of_sync))),
        ),
        "Behind" => Some(Finding::new(
            about,
            "the peer is ahead: the copy here is old until it has been caught up with",
        )),
        "Established" if device.peer_disk_state == "Diskless" => Some(
            Finding::new(about, "the peer has no disk attached").type_on(
                &connection.name,
                "attach it",
                &[&format!("drbdadm attach {selector}")],
            ),
        ),
        "Established" if device.out_of_sync > 0 => Some(
            Finding::new(
                about,
                format!("{} differ between the copies", kib(device.out_of_sync)),
            )
            .because(
                "online verify, or a disk error, has marked them; the next connect copies them",
            )
            .type_here(
                "copy them now",
                &[
                    &format!("drbdadm disconnect {}", asked.name()),
                    &format!("drbdadm connect {}", asked.name()),
                ],
            ),
        ),
        "Established" | "Off" => None,
        state => Some(
            Finding::new(about, format!("is agreeing on what to do ({state})"))
                .because("this passes by itself"),
        ),
    }
}

fn progress(device: &kernel::PeerDevice) -> String {
    let mut text = match device.percent_done {
        Some(done) => format!(", {done:.1} % done"),
        None => format!(", {} left", kib(device.out_of_sync)),
    };
    if let Some(seconds) = device.seconds_left.filter(|seconds| *seconds > 0) {
        text.push_str(&format!(", about {} left", duration(seconds)));
    }
    text
}

/// Seconds as `1h02m`, `3m20s`, `7s`.
pub(crate) fn duration(seconds: i64) -> String {
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// KiB for reading.
pub(crate) fn kib(kib: u64) -> String {
    match kib {
        0..=9999 => format!("{kib} KiB"),
        10_000..=10_239_999 => format!("{} MiB", kib >> 10),
        10_240_000..=10_485_759_999 => format!("{} GiB", kib >> 20),
        _ => format!("{} TiB", kib >> 30),
    }
}
