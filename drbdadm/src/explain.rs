// SPDX-License-Identifier: GPL-2.0-or-later
//! `explain`: why a resource is not connected, not in sync, not usable, and what
//! to type.
//!
//! The kernel says what is; the configuration says what should be. The
//! difference between the two, in words, is the answer.

mod connection;
mod generations;
mod log;
mod volume;

pub(crate) use connection::{duration, kib};

use std::fmt::Write as _;

use drbd_conf::model::Host;
use serde::Serialize;

use crate::call::Runner;
use crate::cli::Request;
use crate::failure::{Failure, USAGE};
use crate::kernel;
use crate::select::Selection;

/// One thing that is not as it should be, or is on its way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What it is about: `volume 0`, `peer bravo`.
    pub(crate) about: String,
    /// What is the matter.
    pub(crate) problem: String,
    /// Why, and what it means; one line each.
    pub(crate) because: Vec<String>,
    /// What can be done.
    pub(crate) choices: Vec<Choice>,
}

/// Something that can be done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Choice {
    /// What it leads to.
    pub(crate) purpose: String,
    /// Where it has to be typed; this node if empty.
    pub(crate) on: String,
    /// What to type.
    pub(crate) commands: Vec<String>,
}

impl Finding {
    pub(crate) fn new(about: impl Into<String>, problem: impl Into<String>) -> Finding {
        Finding {
            about: about.into(),
            problem: problem.into(),
            because: Vec::new(),
            choices: Vec::new(),
        }
    }

    pub(crate) fn because(mut self, why: impl Into<String>) -> Finding {
        self.because.push(why.into());
        self
    }

    /// Something to type on this node.
    pub(crate) fn type_here(self, purpose: &str, commands: &[&str]) -> Finding {
        self.type_on("", purpose, commands)
    }

    /// Something to type on another node.
    pub(crate) fn type_on(mut self, on: &str, purpose: &str, commands: &[&str]) -> Finding {
        self.choices.push(Choice {
            purpose: purpose.to_owned(),
            on: on.to_owned(),
            commands: commands.iter().map(|c| (*c).to_owned()).collect(),
        });
        self
    }
}

/// All about one resource. Fields of the JSON are an interface: they are added
/// to, and never change their meaning.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) resource: String,
    pub(crate) node: String,
    /// Whether the kernel knows the resource.
    pub(crate) up: bool,
    pub(crate) role: String,
    /// Every peer of the configuration is connected.
    pub(crate) connected: bool,
    /// Every disk here and at the peers is UpToDate.
    pub(crate) in_sync: bool,
    /// `primary` without `--force` would succeed, or has.
    pub(crate) promotable: bool,
    pub(crate) findings: Vec<Finding>,
}

/// Explains what was selected.
pub(crate) fn perform(
    request: &Request,
    runner: &Runner,
    nodename: &str,
    selected: &[Selection<'_>],
) -> Result<i32, Failure> {
    let gi = request
        .backend
        .iter()
        .find_map(|option| option.strip_prefix("--peer-gi="));
    let theirs = match gi.map(generations::Generations::parse) {
        Some(None) => {
            return Err(Failure::new(
                USAGE,
                "--peer-gi: that is not what `drbdadm get-gi` prints",
                &["on the peer:   drbdadm get-gi RESOURCE/VOLUME"],
            ))
        }
        found => found.flatten(),
    };
    let running = kernel::status(runner);
    let list: Vec<Explanation> = selected
        .iter()
        .map(|selection| {
            let found = running
                .iter()
                .flatten()
                .find(|resource| resource.name == selection.resource.name);
            let asked = Asked {
                runner,
                selection,
                theirs: theirs.as_ref(),
            };
            explain(&asked, nodename, running.is_some(), found)
        })
        .collect();
    if request.json {
        crate::json::print(&list);
    } else {
        for explanation in &list {
            print!("{}", text(explanation));
        }
    }
    Ok(0)
}

/// What the parts of an explanation look at.
struct Asked<'a> {
    runner: &'a Runner,
    selection: &'a Selection<'a>,
    /// The peer's generations, if they were given.
    theirs: Option<&'a generations::Generations>,
}

impl Asked<'_> {
    fn name(&self) -> &str {
        &self.selection.resource.name
    }

    /// `RES`, or `RES:PEER` if there are several peers.
    fn peer_selector(&self, peer: &Host) -> String {
        if self.selection.connections().len() > 1 {
            format!("{}:{}", self.name(), peer.joined_name())
        } else {
            self.name().to_owned()
        }
    }

    /// `RES`, or `RES/VOLUME` if there are several volumes.
    fn volume_selector(&self, number: u32) -> String {
        if self.selection.host.volumes.len() > 1 {
            format!("{}/{number}", self.name())
        } else {
            self.name().to_owned()
        }
    }
}

fn explain(
    asked: &Asked<'_>,
    nodename: &str,
    driver: bool,
    found: Option<&kernel::Resource>,
) -> Explanation {
    let mut out = Explanation {
        resource: asked.name().to_owned(),
        node: nodename.to_owned(),
        up: found.is_some(),
        role: found.map_or("Unknown", |r| r.role.as_str()).to_owned(),
        connected: false,
        in_sync: false,
        promotable: false,
        findings: Vec::new(),
    };
    let Some(running) = found else {
        out.findings.push(not_up(asked, driver));
        out.findings.extend(volume::unattached(asked));
        return out;
    };
    out.findings.extend(suspended(asked, running));
    for volume in asked.selection.volumes() {
        out.findings.extend(volume::explain(asked, running, volume));
    }
    let wanted = asked.selection.connections();
    for (_, peer) in &wanted {
        out.findings
            .extend(connection::explain(asked, running, peer));
    }
    out.connected = wanted.iter().all(|(_, peer)| {
        let found = running.connections.iter().find(|c| c.leads_to(peer));
        found.is_some_and(kernel::Connection::is_connected)
    });
    let here = running
        .devices
        .iter()
        .all(|device| device.disk_state == "UpToDate" || device.client);
    let there = running.connections.iter().all(|connection| {
        connection.peer_devices.iter().all(|device| {
            device.peer_disk_state == "UpToDate" && device.replication_state == "Established"
        })
    });
    out.in_sync = out.connected && here && there;
    let (promotable, why) = volume::promotable(asked, running);
    out.promotable = promotable;
    out.findings.extend(why);
    out
}

fn not_up(asked: &Asked<'_>, driver: bool) -> Finding {
    let name = asked.name();
    let up = format!("drbdadm up {name}");
    let finding = Finding::new(format!("resource {name}"), "the kernel does not know it");
    if driver {
        finding
            .because("it has not been brought up since the machine started, or was taken down")
            .type_here("bring it up", &[&up])
    } else {
        finding
            .because("the driver cannot be asked; it is not loaded, or you are not root")
            .type_here("load it and bring the resource up", &["modprobe drbd", &up])
    }
}

fn suspended(asked: &Asked<'_>, running: &kernel::Resource) -> Vec<Finding> {
    let name = asked.name();
    let about = format!("resource {name}");
    let mut list = Vec::new();
    if running.suspended_user {
        list.push(
            Finding::new(&about, "I/O is suspended")
                .because("somebody typed `suspend-io`, or a program that takes snapshots did")
                .type_here(
                    "let it go on",
                    &[&format!("drbdadm resume-io {}", asked.volume_selector(0))],
                ),
        );
    }
    if running.suspended_no_data {
        list.push(
            Finding::new(&about, "I/O is suspended: no UpToDate data can be reached")
                .because("`on-no-data-accessible suspend-io`: requests wait until there is a disk or a peer again")
                .type_here("try the local disk", &[&format!("drbdadm attach {name}")])
                .type_here("try the peer", &[&format!("drbdadm connect {name}")]),
        );
    }
    if running.suspended_fencing {
        list.push(
            Finding::new(&about, "I/O is suspended until the peer is fenced")
                .because("`fencing resource-and-stonith`: the fence-peer handler has not succeeded")
                .because("its output is in the system's log: journalctl -t drbdadm; journalctl -k")
                .type_here(
                    "only when you have made sure that the peer is down",
                    &[
                        &format!("drbdadm outdate-peer {name}"),
                        &format!("drbdadm resume-io {}", asked.volume_selector(0)),
                    ],
                ),
        );
    }
    if running.suspended_quorum {
        list.push(
            Finding::new(&about, "I/O is suspended: this node has lost quorum")
                .because("too few of the nodes are connected")
                .type_here("connect them", &[&format!("drbdadm connect {name}")]),
        );
    }
    list
}

fn text(explanation: &Explanation) -> String {
    let mut out = String::new();
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    let _ = writeln!(
        out,
        "{} on {}: {}; connected: {}, in sync: {}, promotable: {}",
        explanation.resource,
        explanation.node,
        if explanation.up {
            explanation.role.as_str()
        } else {
            "down"
        },
        yes_no(explanation.connected),
        yes_no(explanation.in_sync),
        yes_no(explanation.promotable),
    );
    for finding in &explanation.findings {
        let _ = writeln!(out, "  {}: {}", finding.about, finding.problem);
        for why in &finding.because {
            let _ = writeln!(out, "      {why}");
        }
        for choice in &finding.choices {
            let place = match choice.on.as_str() {
                "" => String::new(),
                node => format!(", on {node}"),
            };
            let _ = writeln!(out, "    {}{place}:", choice.purpose);
            for command in &choice.commands {
                let _ = writeln!(out, "        {command}");
            }
        }
    }
    if explanation.findings.is_empty() {
        let _ = writeln!(out, "  nothing is wrong");
    }
    out
}
