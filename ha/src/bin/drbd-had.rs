// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had: the fail-over daemon. Everything is in the library; here is its command line and its log.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, ValueEnum};
use drbd_ha::core::id::{Incarnation, NodeId};
use drbd_ha::core::{Core, Start};
use drbd_ha::daemon::{self, Beginning, End, Options, SelfFence};
use drbd_ha::exec::cgroup::Cgroups;
use drbd_ha::exec::drbd::Tools;
use drbd_ha::exec::underway::Underway;
use drbd_ha::exec::{ocf, Places};
use drbd_ha::state::Directories;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::EnvFilter;

/// What becomes of a node that must not go on.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnSelfFence {
    /// The machine is reset.
    Reset,
    /// The process ends.
    Exit,
}

/// Fail-over daemon: heartbeats, membership, quorum, fencing and groups of services around DRBD.
#[derive(Debug, Parser)]
#[command(name = "drbd-had", version)]
struct Cli {
    /// Configuration.
    #[arg(long, short = 'c', default_value = drbd_ha::config::PATH)]
    config: PathBuf,
    /// Name of this node, instead of the host's.
    #[arg(long)]
    node: Option<String>,
    /// Control socket.
    #[arg(long, default_value = drbd_ha::daemon::protocol::SOCKET)]
    socket: PathBuf,
    /// What outlives a boot.
    #[arg(long, default_value = "/var/lib/drbd-ha")]
    state_dir: PathBuf,
    /// What does not.
    #[arg(long, default_value = "/run/drbd-ha")]
    run_dir: PathBuf,
    /// Where `resource.d` with the OCF agents is.
    #[arg(long, default_value = ocf::ROOT)]
    ocf_root: PathBuf,
    /// DRBD's tools are in this directory, not in PATH; the driver counts as loaded.
    #[arg(long, hide = true)]
    drbd_tools: Option<PathBuf>,
    /// Agents get no control group.
    #[arg(long, hide = true)]
    no_cgroups: bool,
    /// What happens when this node must not go on.
    #[arg(long, hide = true, value_enum, default_value = "reset")]
    on_self_fence: OnSelfFence,
}

impl Cli {
    fn options(self) -> Options {
        let underway = Underway::at(self.run_dir.join("actions"));
        let mut tools = Tools {
            underway: underway.clone(),
            ..Tools::default()
        };
        if let Some(directory) = self.drbd_tools {
            tools.drbdadm = directory.join("drbdadm");
            tools.drbdsetup = directory.join("drbdsetup");
            tools.proc = directory;
        }
        Options {
            config: self.config,
            node: self.node,
            directories: Directories {
                lasting: self.state_dir,
                boot: self.run_dir,
            },
            socket: self.socket,
            places: Places {
                ocf_root: self.ocf_root,
                drbd: tools,
                cgroups: if self.no_cgroups {
                    Cgroups::none()
                } else {
                    Cgroups::of_process()
                },
                underway,
            },
            self_fence: match self.on_self_fence {
                OnSelfFence::Reset => SelfFence::Reset,
                OnSelfFence::Exit => SelfFence::Exit,
            },
        }
    }
}

/// To the journal when systemd reads our standard error, else to standard error.
fn log() {
    let filter = EnvFilter::try_from_env("DRBD_HAD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    match journal {
        Some(journal) => registry.with(journal.with_field_prefix(None)).init(),
        None => {
            let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            registry.with(text.with_ansi(false)).init();
        }
    }
}

fn core(beginning: Beginning) -> Core {
    Core::new(Start {
        me: NodeId(beginning.me),
        incarnation: Incarnation(beginning.found.incarnation),
        cluster: beginning.cluster,
        memory: beginning.found.memory,
        boot: beginning.found.boot,
        has_watchdog: beginning.has_watchdog,
        now_ms: 0,
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = drbd_pages::serve(&words, Cli::command, Vec::new) {
        return ExitCode::from(code);
    }
    let options = Cli::parse().options();
    log();
    match daemon::run(&options, core) {
        Ok(End::Left) => ExitCode::SUCCESS,
        Ok(End::Restart(reason)) => {
            tracing::warn!("a new life begins: {reason}");
            ExitCode::from(75)
        }
        Ok(End::SelfFenced(reason)) => {
            tracing::error!("{reason}");
            ExitCode::from(70)
        }
        Err(error) => {
            tracing::error!("cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}
