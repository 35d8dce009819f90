// SPDX-License-Identifier: GPL-2.0-or-later
//! What the core wants done and takes its time: actions, fencing, hooks. Everything here may wait.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use crate::config::{Config, Hook};
use crate::core::drbd::DrbdBrief;
use crate::core::effect::{Action, Event, Operation};
use crate::core::id::{ActionId, FenceId, NodeId};
use crate::core::input::{Input, Outcome};
use crate::exec::drbd::Look;
use crate::exec::process::Program;
use crate::exec::Executor;
use crate::fence::{Entry, Fencer, History};

use super::heart::Inbox;
use super::metrics::Counters;
use super::names::Names;
use super::protocol::{Acted, ActionReport, Told};

/// What a configuration makes of a node; replaced as a whole when it is read again.
#[derive(Debug)]
pub(super) struct Outfit {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) executor: Executor,
    pub(super) fencer: Fencer,
}

/// Locks that a panic of another thread does not close: what they hold is only shown.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared by all tasks.
pub(super) struct Hands {
    pub(super) node: String,
    pub(super) inbox: mpsc::UnboundedSender<Inbox>,
    pub(super) events: broadcast::Sender<Told>,
    pub(super) counters: Counters,
    outfit: RwLock<Arc<Outfit>>,
    history: Mutex<History>,
    actions: Mutex<BTreeMap<String, ActionReport>>,
    drbd: Mutex<BTreeMap<String, DrbdBrief>>,
    fencings: Mutex<BTreeMap<FenceId, JoinHandle<()>>>,
}

impl Hands {
    pub(super) fn new(
        node: String,
        outfit: Outfit,
        history: PathBuf,
        inbox: mpsc::UnboundedSender<Inbox>,
    ) -> Self {
        Hands {
            node,
            inbox,
            // Who listens too slowly misses the oldest.
            events: broadcast::channel(1024).0,
            counters: Counters::default(),
            outfit: RwLock::new(Arc::new(outfit)),
            history: Mutex::new(History::open(&history)),
            actions: Mutex::default(),
            drbd: Mutex::default(),
            fencings: Mutex::default(),
        }
    }

    pub(super) fn outfit(&self) -> Arc<Outfit> {
        let outfit = self.outfit.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&outfit)
    }

    pub(super) fn dress(&self, outfit: Outfit) {
        *self.outfit.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(outfit);
    }

    pub(super) fn input(&self, input: Input) {
        // The core is gone only when the daemon ends.
        let _ = self.inbox.send(Inbox::Input(input));
    }

    pub(super) fn history(&self) -> Vec<Entry> {
        lock(&self.history).entries().to_vec()
    }

    pub(super) fn actions(&self) -> BTreeMap<String, ActionReport> {
        lock(&self.actions).clone()
    }

    pub(super) fn drbd(&self) -> BTreeMap<String, DrbdBrief> {
        lock(&self.drbd).clone()
    }

    /// A look at a DRBD resource; the core hears of it when it is new.
    pub(super) fn drbd_seen(&self, resource: &str, brief: DrbdBrief) {
        let before = lock(&self.drbd).insert(resource.to_owned(), brief);
        if before != Some(brief) {
            let resource = resource.to_owned();
            self.input(Input::Drbd { resource, brief });
        }
    }

    /// Acts on a resource.
    pub(super) fn act(self: &Arc<Self>, id: ActionId, action: Action) {
        let hands = Arc::clone(self);
        tokio::spawn(async move {
            let outfit = hands.outfit();
            let done = outfit.executor.act(&action).await;
            let (group, name) = outfit.executor.name(&action);
            let operation = word(action.operation);
            let outcome = done.outcome;
            let good = match action.operation {
                Operation::Probe => matches!(outcome, Outcome::Ok | Outcome::NotRunning),
                _ => outcome == Outcome::Ok,
            };
            let text = format!("{operation} of {name}: {outcome:?}: {}", done.story);
            if !good {
                tracing::warn!(GROUP = group, RESOURCE = name, "{text}");
            } else if action.operation != Operation::Monitor {
                tracing::info!(GROUP = group, RESOURCE = name, "{text}");
            }
            if !good || action.operation != Operation::Monitor {
                let acted = Acted {
                    resource: name.to_owned(),
                    operation: operation.to_owned(),
                    good,
                    took_ms: millis(done.took),
                };
                hands.acted(group, text, acted);
            }
            hands.counters.action(name, operation, done.took, good);
            let report = ActionReport {
                operation: operation.to_owned(),
                outcome: format!("{outcome:?}"),
                story: done.story,
                when: millis_since_1970() / 1000,
                took_ms: millis(done.took),
            };
            lock(&hands.actions).insert(format!("{group}/{name}"), report);
            // What the core decides next hangs on what the resource is like after the action.
            if let Some(resource) = outfit.executor.drbd_resource(&action) {
                if let Look::Up(brief) = outfit.executor.drbd().look(resource).await {
                    hands.drbd_seen(resource, brief);
                }
            }
            hands.input(Input::ActionDone { id, outcome });
        });
    }

    /// Fences a node with a level of its devices.
    pub(super) fn fence(self: &Arc<Self>, id: FenceId, target: NodeId, level: u8) {
        let hands = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outfit = hands.outfit();
            let name = outfit.names.node(target);
            let begun = Instant::now();
            let devices = outfit.fencer.devices(&name, level);
            tracing::warn!(NODE = %name, "fencing with {}", devices.join(" and "));
            let result = outfit.fencer.fence(&name, level).await;
            let entry = Entry {
                when: millis_since_1970() / 1000,
                target: name.clone(),
                devices,
                ok: result.is_ok(),
                detail: result.as_ref().err().cloned().unwrap_or_default(),
                by: hands.node.clone(),
                took_ms: millis(begun.elapsed()),
            };
            hands.remember(entry);
            match &result {
                Ok(()) => tracing::warn!(NODE = %name, "fenced"),
                Err(why) => tracing::error!(NODE = %name, "not fenced: {why}"),
            }
            hands.counters.fenced(&name, result.is_ok());
            lock(&hands.fencings).remove(&id);
            hands.input(Input::FenceDone { id, result });
        });
        let mut fencings = lock(&self.fencings);
        if !task.is_finished() {
            fencings.insert(id, task);
        }
    }

    /// Remembers an attempt to fence.
    pub(super) fn remember(&self, entry: Entry) {
        if let Err(error) = lock(&self.history).add(entry) {
            tracing::error!("the history of fencing can't be written: {error}");
        }
    }

    /// Not needed any more. A device that is at work is not stopped halfway: who knows what it would leave behind.
    pub(super) fn cancel(&self, id: FenceId) {
        if lock(&self.fencings).contains_key(&id) {
            tracing::info!("a fencing that is under way is not needed any more");
        }
    }

    /// Tells of an action; hooks hear of groups instead.
    fn acted(&self, group: &str, text: String, action: Acted) {
        // Nobody has to listen.
        let _ = self.events.send(Told {
            when_ms: millis_since_1970(),
            kind: "action".to_owned(),
            node: Some(self.node.clone()),
            group: Some(group.to_owned()),
            text,
            action: Some(action),
        });
    }

    /// Tells whoever listens.
    pub(super) fn tell(self: &Arc<Self>, event: &Event) {
        let outfit = self.outfit();
        let told = Told {
            when_ms: millis_since_1970(),
            kind: format!("{:?}", event.kind).to_lowercase(),
            node: event.node.map(|node| outfit.names.node(node)),
            group: event.group.map(|group| outfit.names.group(group)),
            text: event.text.clone(),
            action: None,
        };
        tracing::info!(
            KIND = %told.kind,
            NODE = told.node.as_deref().unwrap_or_default(),
            GROUP = told.group.as_deref().unwrap_or_default(),
            "{}",
            told.text
        );
        self.counters.event(event.kind, told.group.as_deref());
        for hook in outfit.config.file.hook.iter().map(toml::Spanned::as_ref) {
            if hook.events.is_empty() || hook.events.contains(&told.kind) {
                tokio::spawn(call(hook.clone(), told.clone()));
            }
        }
        // Nobody has to listen.
        let _ = self.events.send(told);
    }
}

async fn call(hook: Hook, told: Told) {
    let Some((file, arguments)) = hook.run.split_first() else {
        return;
    };
    let environment = [
        ("HA_EVENT", told.kind.clone()),
        ("HA_NODE", told.node.clone().unwrap_or_default()),
        ("HA_GROUP", told.group.clone().unwrap_or_default()),
        ("HA_TEXT", told.text.clone()),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut program = Program::new(file, &arguments);
    program.environment = environment
        .map(|(key, value)| (key.to_owned(), value))
        .into();
    program.input = serde_json::to_vec(&told).unwrap_or_default();
    let ended = program.run(Duration::from_secs(hook.timeout)).await;
    if ended.code() != Some(0) {
        tracing::warn!("hook {file}: {}", ended.story());
    }
}

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Probe => "probe",
        Operation::Start => "start",
        Operation::Stop => "stop",
        Operation::KillAndStop => "kill-and-stop",
        Operation::Monitor => "monitor",
        Operation::Outdate => "outdate",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn millis_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, millis)
}
