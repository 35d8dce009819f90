// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-hactl: what people, and DRBD's handlers, say to the daemon of this node.

mod client;
mod handler;
mod import;
mod show;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};

use crate::config;
use crate::daemon::protocol::{Answer, Report, Request, SOCKET};

use client::Client;

/// Asks and directs drbd-had.
#[derive(Debug, Parser)]
#[command(name = "drbd-hactl", version)]
pub struct Cli {
    /// Control socket of the daemon.
    #[arg(long, global = true, default_value = SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// From now on.
    On,
    /// No longer.
    Off,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows nodes, groups and what is wrong.
    Status {
        /// One JSON document.
        #[arg(long)]
        json: bool,
        /// Again at every event.
        #[arg(long)]
        watch: bool,
    },
    /// Checks a configuration; says what is wrong, where, and what to type instead.
    Check {
        /// The file.
        #[arg(default_value = config::PATH)]
        file: PathBuf,
        /// The configuration of DRBD, which has to fit; unset: /etc/drbd.conf, if there is one.
        #[arg(long, value_name = "FILE")]
        drbd_conf: Option<PathBuf>,
    },
    /// Shows what happens, as it happens.
    Watch {
        /// One JSON document a line.
        #[arg(long)]
        json: bool,
    },
    /// Shows the links to the other nodes, with losses and round trips.
    Links {
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Moves a group to a node, or lets it be where it likes.
    Move {
        /// The group.
        group: String,
        /// The node; without it an earlier wish is taken back.
        node: Option<String>,
    },
    /// Moves a group to the first of its nodes.
    Failback {
        /// The group.
        group: String,
    },
    /// Stops a group and keeps it stopped.
    Disable {
        /// The group.
        group: String,
    },
    /// Lets a group run again.
    Enable {
        /// The group.
        group: String,
    },
    /// Forgets the failures of a group.
    Cleanup {
        /// The group.
        group: String,
    },
    /// Moves everything away from a node, and nothing to it.
    Standby {
        /// The node.
        node: String,
    },
    /// Lets a node run groups again.
    Online {
        /// The node.
        node: String,
    },
    /// Leaves everything alone: nothing is started, stopped, monitored or fenced.
    Maintenance {
        /// On or off.
        switch: Switch,
    },
    /// Says that the data of a node is a group's, even though another's may be newer: what only that one has is lost.
    AcceptData {
        /// The group.
        group: String,
        /// The node.
        node: String,
    },
    /// Fences a node.
    Fence {
        /// The node.
        node: String,
    },
    /// Switches a node on again.
    Unfence {
        /// The node.
        node: String,
    },
    /// Says that a node is off: somebody has seen it. If it is not, data will be lost.
    ConfirmFenced {
        /// The node.
        node: String,
        /// Somebody has really seen it.
        #[arg(long)]
        i_have_seen_it_off: bool,
    },
    /// Says that no other node runs: this one may act although it has not seen them. They are fenced first.
    QuorumOverride,
    /// Shows who was fenced from this node.
    History {
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Asks the fence devices whether they answer.
    Devices,
    /// Has the daemon read its configuration again.
    Reload,
    /// The fence-peer handler of drbd.conf: asks the daemon, and ends with the code that the driver expects.
    FencePeer {
        /// The resource; DRBD gives it in its environment.
        resource: Option<String>,
        /// Seconds until it gives up.
        #[arg(long, default_value_t = 60)]
        timeout: u64,
    },
    /// Makes a key of random bytes, which all nodes need the same of.
    Keygen {
        /// The file, which must not be there.
        file: PathBuf,
    },
    /// Makes a configuration of those of an old Heartbeat, and says what has to be added by hand.
    ImportHeartbeat {
        /// ha.cf.
        ha_cf: PathBuf,
        /// haresources.
        haresources: PathBuf,
    },
}

/// Does what the command line says; the exit code.
///
/// # Errors
///
/// What failed, why, and what to type.
pub fn run(cli: &Cli) -> Result<u8> {
    let socket = cli.socket.as_path();
    let done = |request: Request| simple(socket, &request);
    let group = |group: &String| group.clone();
    match &cli.command {
        Command::Status { json, watch } => status(socket, *json, *watch),
        Command::Check { file, drbd_conf } => Ok(check(file, drbd_conf.as_deref())),
        Command::Watch { json } => watch(socket, *json),
        Command::Links { json } => links(socket, *json),
        Command::Move { group: name, node } => done(Request::Move {
            group: group(name),
            node: node.clone(),
        }),
        Command::Failback { group: name } => done(Request::Failback { group: group(name) }),
        Command::Disable { group: name } => done(Request::Disable {
            group: group(name),
            on: true,
        }),
        Command::Enable { group: name } => done(Request::Disable {
            group: group(name),
            on: false,
        }),
        Command::Cleanup { group: name } => done(Request::Cleanup { group: group(name) }),
        Command::Standby { node } => done(Request::Standby {
            node: node.clone(),
            on: true,
        }),
        Command::Online { node } => done(Request::Standby {
            node: node.clone(),
            on: false,
        }),
        Command::Maintenance { switch } => done(Request::Maintenance {
            on: *switch == Switch::On,
        }),
        Command::AcceptData { group: name, node } => done(Request::AcceptData {
            group: group(name),
            node: node.clone(),
        }),
        Command::Fence { node } => done(Request::Fence { node: node.clone() }),
        Command::Unfence { node } => done(Request::Unfence { node: node.clone() }),
        Command::ConfirmFenced {
            node,
            i_have_seen_it_off,
        } => {
            if !i_have_seen_it_off {
                bail!(
                    "not confirmed: if '{node}' still runs, two nodes will write and data will be lost\n  \
                     look at the machine; when it is off:  drbd-hactl confirm-fenced {node} --i-have-seen-it-off"
                );
            }
            done(Request::ConfirmFenced { node: node.clone() })
        }
        Command::QuorumOverride => done(Request::QuorumOverride),
        Command::History { json } => history(socket, *json),
        Command::Devices => devices(socket),
        Command::Reload => done(Request::Reload),
        Command::FencePeer { resource, timeout } => Ok(handler::run(
            socket,
            resource.as_deref(),
            Duration::from_secs(*timeout),
        )),
        Command::Keygen { file } => keygen(file),
        Command::ImportHeartbeat { ha_cf, haresources } => import::run(ha_cf, haresources),
    }
}

fn refused(answer: &Answer) -> anyhow::Error {
    match answer {
        Answer::Refused { text } => anyhow::anyhow!("{text}"),
        other => anyhow::anyhow!("drbd-had answers something else: {other:?}"),
    }
}

fn simple(socket: &Path, request: &Request) -> Result<u8> {
    match Client::connect(socket)?.ask(request)?.1 {
        Answer::Done { text } => {
            println!("{text}");
            Ok(0)
        }
        other => Err(refused(&other)),
    }
}

fn report(socket: &Path) -> Result<(String, Box<Report>)> {
    match Client::connect(socket)?.ask(&Request::Status)? {
        (line, Answer::Status(report)) => Ok((line, report)),
        (_, other) => Err(refused(&other)),
    }
}

/// The report without the envelope it came in.
fn bare(report: &Report) -> Result<String> {
    Ok(serde_json::to_string(report)?)
}

fn status(socket: &Path, json: bool, watch: bool) -> Result<u8> {
    let show = || -> Result<()> {
        let (_, report) = report(socket)?;
        if json {
            println!("{}", bare(&report)?);
        } else {
            println!("{}", show::status(&report));
        }
        Ok(())
    };
    if !watch {
        return show().map(|()| 0);
    }
    let mut client = Client::connect(socket)?;
    client.say(&Request::Watch)?;
    show()?;
    while client.hear()?.is_some() {
        if !json {
            // Begins a new screen.
            print!("\x1b[H\x1b[2J");
        }
        show()?;
    }
    bail!("drbd-had ended\n  see:  journalctl -u drbd-had")
}

fn watch(socket: &Path, json: bool) -> Result<u8> {
    let mut client = Client::connect(socket)?;
    client.say(&Request::Watch)?;
    while let Some((_, answer)) = client.hear()? {
        let Answer::Event(told) = answer else {
            return Err(refused(&answer));
        };
        if json {
            println!("{}", serde_json::to_string(&told)?);
        } else {
            println!("{} {:9} {}", told.when_ms / 1000, told.kind, told.text);
        }
        std::io::stdout().flush()?;
    }
    bail!("drbd-had ended\n  see:  journalctl -u drbd-had")
}

fn links(socket: &Path, json: bool) -> Result<u8> {
    let (_, report) = report(socket)?;
    if json {
        println!("{}", serde_json::to_string(&report.links)?);
    } else {
        println!("{}", show::all_links(&report));
    }
    Ok(0)
}

fn history(socket: &Path, json: bool) -> Result<u8> {
    match Client::connect(socket)?.ask(&Request::History)?.1 {
        Answer::History { entries } if json => println!("{}", serde_json::to_string(&entries)?),
        Answer::History { entries } => println!("{}", show::history(&entries)),
        other => return Err(refused(&other)),
    }
    Ok(0)
}

fn devices(socket: &Path) -> Result<u8> {
    match Client::connect(socket)?.ask(&Request::Devices)?.1 {
        Answer::Devices { devices } => {
            let bad = devices.values().filter(|said| said.is_some()).count();
            for (name, said) in devices {
                println!("{name}: {}", said.unwrap_or_else(|| "answers".to_owned()));
            }
            Ok(u8::from(bad > 0))
        }
        other => Err(refused(&other)),
    }
}

fn check(file: &Path, drbd_conf: Option<&Path>) -> u8 {
    match config::load(file) {
        Ok((config, mut found)) => {
            let usual = Some(Path::new(config::drbd::DRBD_CONF)).filter(|path| path.exists());
            if let Some(path) = drbd_conf.or(usual) {
                found.list.extend(config::drbd::check(&config, path));
            }
            eprint!("{found}");
            if found.has_errors() {
                return 1;
            }
            println!(
                "{}: good: {} nodes, {} groups",
                file.display(),
                config.nodes().count(),
                config.groups().count()
            );
            0
        }
        Err(findings) => {
            eprint!("{findings}");
            1
        }
    }
}

fn keygen(file: &Path) -> Result<u8> {
    let mut bytes = [0; 64];
    getrandom::fill(&mut bytes).context("no random bytes")?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.open(file).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    made.with_context(|| format!("cannot make {}", file.display()))?;
    println!(
        "{} is made: copy it to the other nodes, mode 0600",
        file.display()
    );
    Ok(0)
}
