// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had: the loop around the core. One thread beats (sockets, core, watchdog), everything that may wait is in the tasks
//! beside it: agents, fence devices, disks, people (failover.md section 6.3).

mod control;
mod convert;
mod drbd_watch;
mod engine;
mod hands;
mod heart;
mod http;
mod metrics;
mod names;
mod ping;
pub mod protocol;
mod reload;
mod storage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use tokio::sync::{mpsc, oneshot};

use crate::config::{self, Config, Engine as Who};
use crate::core::input::Input;
use crate::exec::{Executor, Places};
use crate::fence::Fencer;
use crate::link::{Endpoint, Keys, Map, Sockets};
use crate::state::{Directories, Found, State};
use crate::watchdog::Watchdog;

pub use convert::cluster;
pub use engine::Engine;
pub use heart::Snapshot;

use hands::{Hands, Outfit};
use heart::{Heart, Inbox, Parts, Work};
use names::Names;
use protocol::Answer;
use storage::Storage;

/// What becomes of a node that must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfFence {
    /// The machine is reset, at once.
    Reset,
    /// The process ends: for tests, where the machine is not ours.
    Exit,
}

/// How the daemon is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration.
    pub config: PathBuf,
    /// Name of this node; the host's if it is not given.
    pub node: Option<String>,
    /// What outlives it.
    pub directories: Directories,
    /// The control socket.
    pub socket: PathBuf,
    /// The programs.
    pub places: Places,
    /// What becomes of a node that must not go on.
    pub self_fence: SelfFence,
}

/// Why the daemon ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was asked to, and nothing runs here.
    Left,
    /// A new life has to begin.
    Restart(String),
    /// This node must not go on, and its machine is not to be reset.
    SelfFenced(String),
}

/// What the core is made of.
#[derive(Debug)]
pub struct Beginning {
    /// This node.
    pub me: u8,
    /// The configuration, as the core wants it.
    pub cluster: crate::core::cluster::Cluster,
    /// What was kept.
    pub found: Found,
    /// There is a watchdog.
    pub has_watchdog: bool,
}

/// Name of this host.
fn hostname() -> Result<String> {
    let name = nix::unistd::gethostname().context("cannot read the host's name")?;
    Ok(name.to_string_lossy().into_owned())
}

fn links(node: &config::Node) -> Vec<SocketAddr> {
    let links = node.links.iter();
    links
        .filter_map(|link| link.as_ref().parse().ok())
        .collect()
}

fn keys(config: &Config) -> Result<Keys> {
    let cluster = &config.file.cluster;
    let next = cluster.keyfile_next.as_ref().map(std::path::Path::new);
    Ok(Keys::read(cluster.keyfile.as_ref(), next)?)
}

fn load(options: &Options) -> Result<Config> {
    match config::load(&options.config) {
        Ok((config, warnings)) => {
            for line in warnings.to_string().lines() {
                tracing::warn!("{line}");
            }
            Ok(config)
        }
        Err(findings) => bail!("the configuration can't be used\n{findings}"),
    }
}

fn outfit(config: Config, places: &Places) -> Outfit {
    Outfit {
        names: Names::new(&config),
        executor: Executor::new(&config, places.clone()),
        fencer: Fencer::new(&config),
        config,
    }
}

fn watchdog(config: &Config) -> Result<Option<Watchdog>> {
    let table = config.file.watchdog();
    if table.device == "none" {
        tracing::warn!("there is no watchdog: a node that hangs keeps running until it is fenced");
        return Ok(None);
    }
    let watchdog = Watchdog::arm(table.device.as_ref(), table.timeout)?;
    tracing::info!("watchdog: {}, {} s", watchdog.identity(), table.timeout);
    if watchdog.is_software() {
        tracing::warn!(
            "the watchdog is a timer of the kernel: it can't help when the kernel hangs"
        );
    }
    Ok(Some(watchdog))
}

/// Runs the daemon until it ends; `engine` makes what decides.
///
/// # Errors
///
/// When it can't start: the configuration, the key, the state directory, the watchdog or the control socket can't be used.
pub fn run<E: Engine>(options: &Options, engine: impl FnOnce(Beginning) -> E) -> Result<End> {
    let config = load(options)?;
    if config.file.cluster.engine == Who::Pacemaker {
        bail!("[cluster] engine = \"pacemaker\": Pacemaker fails over, drbd-had has nothing to do\n  type:  systemctl disable --now drbd-had");
    }
    let name = match &options.node {
        Some(name) => name.clone(),
        None => hostname()?,
    };
    let Some(node) = config.node(&name) else {
        bail!(
            "this host is called '{name}', and {} has no such node\n  write a [[node]] with name = \"{name}\"",
            options.config.display()
        );
    };
    let me = *node.id.as_ref();
    let keys = keys(&config)?;
    let state = State::open(options.directories.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let _entered = runtime.enter();
    // Before anything of this node is changed: two daemons on one node would be two owners.
    let listener = control::open(&options.socket)
        .with_context(|| format!("cannot listen on {}", options.socket.display()))?;
    let found = state.begin()?;
    let incarnation = found.incarnation;
    let watchdog = watchdog(&config)?;
    let engine = engine(Beginning {
        me,
        cluster: cluster(&config),
        found,
        has_watchdog: watchdog.is_some(),
    });
    tracing::info!(
        "node {name} (id {me}) of cluster {}, incarnation {incarnation}",
        config.file.cluster.name
    );
    let all = || config.nodes().map(|node| (*node.id.as_ref(), links(node)));
    let map = Map::new(all());
    let peers: Vec<(u8, usize)> = all()
        .filter(|(id, _)| *id != me)
        .map(|(id, links)| (id, links.len()))
        .collect();
    let endpoint = Endpoint::new(
        config.file.cluster.name.as_ref(),
        me,
        incarnation,
        keys,
        heart::nonce().context("no random bytes")?,
        peers.iter().copied(),
    );
    let (sockets, arrivals) = Sockets::new(&links(node), map);
    let (inbox, inbox_end) = mpsc::unbounded_channel();
    let (work, work_end) = mpsc::unbounded_channel();
    let stored = inbox.clone();
    let storage = Storage::start(state.clone(), move |result| {
        let _ = stored.send(Inbox::Stored(result));
    })?;
    let others = Arc::new(AtomicU64::new(0));
    let parts = Parts {
        engine,
        endpoint,
        sockets,
        arrivals,
        inbox: inbox_end,
        work,
        storage,
        watchdog,
        keepalive: Duration::from_millis(config.file.timing().keepalive),
        begun: beginning(),
        others: Arc::clone(&others),
        peers: peers.iter().map(|(id, _)| *id).collect(),
    };
    let begun = parts.begun;
    let heart = start_heart(parts)?;
    let outfit = outfit(config, &options.places);
    let history = state.lasting("fencing.jsonl");
    let hands = Arc::new(Hands::new(name, outfit, history, inbox));
    let end = runtime.block_on(tend(options, &hands, listener, work_end, (begun, others)))?;
    // After an error the watchdog stays armed: either a new daemon takes over in time, or the node is reset.
    if heart.join().is_err() {
        tracing::error!("the thread that beats is dead");
    }
    // Only ours: after a restart in place there may be another.
    let _ = std::fs::remove_file(&options.socket);
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(end)
}

/// When this daemon's clock showed zero: a moment before it began. To the core, a time of zero is longer ago than anything, and
/// quorum that was lost at zero leaves no grace.
fn beginning() -> Instant {
    let now = Instant::now();
    // Only a host that has just booted knows no such moment, and its clock has the same meaning.
    now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
}

fn start_heart<E: Engine>(parts: Parts<E>) -> Result<std::thread::JoinHandle<()>> {
    let run = move || {
        realtime();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(Heart::new(parts).run()),
            Err(error) => tracing::error!("cannot start the runtime that beats: {error}"),
        }
    };
    let thread = std::thread::Builder::new().name("heart".to_owned());
    thread
        .spawn(run)
        .context("cannot start the thread that beats")
}

/// Ahead of everything else on the machine, and never paged out: a late heartbeat is a fenced node.
fn realtime() {
    use nix::sys::mman::{mlockall, MlockAllFlags};
    use thread_priority::unix::{
        set_thread_priority_and_policy, thread_native_id, RealtimeThreadSchedulePolicy,
        ThreadSchedulePolicy,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};
    if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
        tracing::warn!("memory can't be locked: {error}");
    }
    let Ok(one) = ThreadPriorityValue::try_from(1) else {
        return;
    };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let done = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(one),
        policy,
    );
    if let Err(error) = done {
        tracing::warn!("heartbeats have no precedence over other programs: {error:?}");
    }
}

type Alive = (Instant, Arc<AtomicU64>);

/// The tasks beside the thread that beats.
async fn tend(
    options: &Options,
    hands: &Arc<Hands>,
    listener: tokio::net::UnixListener,
    mut work: mpsc::UnboundedReceiver<Work>,
    (begun, others): Alive,
) -> Result<End> {
    use tokio::signal::unix::{signal, SignalKind};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (reload, mut reloads) = mpsc::unbounded_channel::<oneshot::Sender<Answer>>();
    tokio::spawn(control::serve(Arc::clone(hands), listener, reload));
    tokio::spawn(drbd_watch::watch(Arc::clone(hands)));
    tokio::spawn(ping::watch(Arc::clone(hands)));
    let listen = hands.outfit().config.file.metrics.listen.clone();
    if let Ok(address) = listen.parse() {
        tokio::spawn(http::serve(Arc::clone(hands), address));
    }
    notify(&[sd_notify::NotifyState::Ready]);
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            wish = work.recv() => match wish {
                Some(wish) => if let Some(end) = carry_out(options, hands, wish) {
                    return Ok(end);
                },
                None => bail!("the thread that beats has ended"),
            },
            _ = beat.tick() => {
                let passed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                others.store(passed, Ordering::Relaxed);
                notify(&[sd_notify::NotifyState::Watchdog]);
            }
            _ = terminate.recv() => leave(hands),
            _ = interrupt.recv() => leave(hands),
            _ = hangup.recv() => {
                let _ = reload::again(options, hands);
            }
            Some(answer) = reloads.recv() => {
                // Who asked may be gone.
                let _ = answer.send(match reload::again(options, hands) {
                    Ok(text) => Answer::Done { text },
                    Err(text) => Answer::Refused { text },
                });
            }
        }
    }
}

fn leave(hands: &Hands) {
    tracing::info!("asked to end: groups are stopped first");
    notify(&[sd_notify::NotifyState::Stopping]);
    hands.input(Input::Leave);
}

/// Tells systemd; where there is none nobody is told.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    let _ = sd_notify::notify(false, state);
}

fn carry_out(options: &Options, hands: &Arc<Hands>, work: Work) -> Option<End> {
    match work {
        Work::Act(id, action) => hands.act(id, action),
        Work::Fence(id, target, level) => hands.fence(id, target, level),
        Work::CancelFence(id) => hands.cancel(id),
        Work::Event(event) => hands.tell(&event),
        Work::Left => return Some(End::Left),
        Work::Restart(reason) => return Some(End::Restart(reason)),
        Work::SelfFence(reason) => {
            tracing::error!("this node must not go on: {reason}");
            match options.self_fence {
                SelfFence::Reset => reset(),
                SelfFence::Exit => std::process::exit(70),
            }
        }
    }
    None
}

/// Resets the machine without asking anybody. If that does not work, the watchdog does it.
fn reset() {
    // Enables the key, whatever the administrator set it to.
    for (file, text) in [
        ("/proc/sys/kernel/sysrq", "1"),
        ("/proc/sysrq-trigger", "b"),
    ] {
        if let Err(error) = std::fs::write(file, text) {
            tracing::error!("cannot write {file}: {error}: the watchdog has to reset this node");
        }
    }
}
