// SPDX-License-Identifier: GPL-2.0-or-later
//! The thread that beats: sockets, the core, the watchdog. It waits for nothing but the next input; whatever may take longer
//! (agents, devices, disks, people) is elsewhere and comes back as an input (failover.md section 6.3).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::core::effect::{Action, Effect, Event, Operation, Reply};
use crate::core::id::{ActionId, FenceId, Incarnation, NodeId, RequestId};
use crate::core::input::{Control, Input, Outcome};
use crate::core::message::Message;
use crate::core::status::Status;
use crate::link::{Arrived, Datagram, Endpoint, Keys, LinkFacts, Reason, Refused, Sockets};
use crate::state::StateError;
use crate::watchdog::Watchdog;

use super::engine::Engine;
use super::storage::{Keep, Storage};

/// The longest pause of the loop.
const BEAT: Duration = Duration::from_millis(100);
/// Later than this, the loop did not run: the machine was frozen, or far too busy.
const STALL: Duration = Duration::from_millis(1000);
/// Between two attempts to open links.
const OPEN_EVERY: Duration = Duration::from_secs(1);
/// The rest of the daemon has to show up so often, or the watchdog is not petted for it.
const OTHERS_LIMIT: Duration = Duration::from_secs(30);

/// What comes to the thread.
#[derive(Debug)]
pub(super) enum Inbox {
    /// Something happened.
    Input(Input),
    /// Somebody asks for something.
    Ask(Control, oneshot::Sender<Reply>),
    /// Somebody wants to know how it is.
    Look(oneshot::Sender<Snapshot>),
    /// The disk is done.
    Stored(Result<(), StateError>),
    /// Other keys.
    Keys(Keys),
}

/// What goes out of it.
#[derive(Debug)]
pub(super) enum Work {
    /// Act on a resource.
    Act(ActionId, Action),
    /// Fence.
    Fence(FenceId, NodeId, u8),
    /// No more.
    CancelFence(FenceId),
    /// Tell.
    Event(Event),
    /// This node must not go on.
    SelfFence(String),
    /// The end.
    Left,
    /// A new life.
    Restart(String),
}

/// All there is to know at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What the core says.
    pub status: Status,
    /// Links by node: facts, and milliseconds since something was heard.
    pub links: BTreeMap<u8, Vec<(LinkFacts, Option<u64>)>>,
    /// What was thrown away.
    pub refused: Refused,
    /// The longest time that the loop was late, in milliseconds.
    pub stall_max_ms: u64,
    /// Links that are open here.
    pub links_open: usize,
    /// Kind of the watchdog, if there is one.
    pub watchdog: Option<String>,
}

/// What the thread is made of.
pub(super) struct Parts<E> {
    pub(super) engine: E,
    pub(super) endpoint: Endpoint,
    pub(super) sockets: Sockets,
    pub(super) arrivals: mpsc::Receiver<Arrived>,
    pub(super) inbox: mpsc::UnboundedReceiver<Inbox>,
    pub(super) work: mpsc::UnboundedSender<Work>,
    pub(super) storage: Storage,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) keepalive: Duration,
    pub(super) begun: Instant,
    /// Milliseconds since `begun` at which the rest of the daemon last showed up.
    pub(super) others: Arc<AtomicU64>,
    pub(super) peers: Vec<u8>,
}

/// The thread's state.
pub(super) struct Heart<E> {
    parts: Parts<E>,
    /// Effects that are not carried out.
    queue: VecDeque<Effect>,
    /// The first of them is on its way to the disk.
    storing: bool,
    /// Nothing can be kept any more.
    state_lost: bool,
    /// The last heartbeat to each node, for the time that the disk takes.
    beats: BTreeMap<u8, Vec<u8>>,
    beaten: Duration,
    pet: bool,
    opened: Option<Duration>,
    asked: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    requests: u64,
    stall_max_ms: u64,
    over: bool,
}

impl<E: Engine> Heart<E> {
    pub(super) fn new(parts: Parts<E>) -> Self {
        Heart {
            parts,
            queue: VecDeque::new(),
            storing: false,
            state_lost: false,
            beats: BTreeMap::new(),
            beaten: Duration::ZERO,
            // Until the core has said otherwise.
            pet: true,
            opened: None,
            asked: BTreeMap::new(),
            requests: 0,
            stall_max_ms: 0,
            over: false,
        }
    }

    fn now(&self) -> Duration {
        self.parts.begun.elapsed()
    }

    /// Runs until this life is over.
    pub(super) async fn run(mut self) {
        self.step(Input::Tick);
        let mut last = self.now();
        while !self.over {
            let wake = Duration::from_millis(self.parts.engine.wake_at_ms());
            let pause = wake.saturating_sub(self.now()).min(BEAT);
            tokio::select! {
                biased;
                message = self.parts.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                arrived = self.parts.arrivals.recv() => {
                    if let Some(arrived) = arrived {
                        self.arrived(&arrived);
                    }
                },
                () = tokio::time::sleep(pause) => {}
            }
            let now = self.now();
            self.stalled(now.saturating_sub(last));
            last = now;
            if now >= Duration::from_millis(self.parts.engine.wake_at_ms()) {
                self.step(Input::Tick);
            }
            self.beat(now);
        }
        if let Some(watchdog) = self.parts.watchdog.take() {
            watchdog.disarm();
        }
    }

    fn stalled(&mut self, passed: Duration) {
        let late = passed.saturating_sub(BEAT);
        let late_ms = millis(late);
        self.stall_max_ms = self.stall_max_ms.max(late_ms);
        if late > STALL {
            // The core sees it by its own wake-up time, and believes nobody dead for it.
            tracing::warn!("this node did not run for {late_ms} ms");
        }
    }

    fn take(&mut self, message: Inbox) {
        match message {
            Inbox::Input(input) => self.step(input),
            Inbox::Ask(request, answer) => {
                self.requests += 1;
                let id = RequestId(self.requests);
                self.asked.insert(id, answer);
                self.step(Input::Control { id, request });
            }
            Inbox::Look(answer) => {
                // Who asked may be gone.
                let _ = answer.send(self.snapshot());
            }
            Inbox::Stored(result) => self.stored(result),
            Inbox::Keys(keys) => {
                let now = self.now();
                let mut out = Vec::new();
                match nonce() {
                    Ok(nonce) => self.parts.endpoint.set_keys(keys, nonce, now, &mut out),
                    Err(error) => tracing::error!("keys stay as they are: {error}"),
                }
                self.send(&out);
            }
        }
    }

    fn arrived(&mut self, arrived: &Arrived) {
        let now = self.now();
        let node = self.parts.sockets.map().node(&arrived.from);
        let Some((from, _)) = node.filter(|(_, link)| *link == arrived.link) else {
            self.parts.endpoint.refuse(Reason::UnknownNode);
            return;
        };
        let mut out = Vec::new();
        let endpoint = &mut self.parts.endpoint;
        let received = endpoint.receive(from, arrived.link, &arrived.bytes, now, &mut out);
        self.send(&out);
        let Some(received) = received else {
            return;
        };
        // What a newer version says behind what is known is left alone.
        match postcard::take_from_bytes::<Message>(&received.message) {
            Ok((message, _)) => self.step(Input::Received {
                from: NodeId(from),
                incarnation: Incarnation(received.incarnation),
                link: u8::try_from(arrived.link).unwrap_or(u8::MAX),
                message,
            }),
            Err(_) => self.parts.endpoint.refuse(Reason::Malformed),
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        let now_ms = millis(self.now());
        self.parts.engine.step(now_ms, input, &mut out);
        self.queue.extend(out);
        self.carry_out();
    }

    /// Carries out effects in their order; what has to be kept first is kept first.
    fn carry_out(&mut self) {
        while !self.storing && !self.over {
            let Some(effect) = self.queue.pop_front() else {
                return;
            };
            match effect {
                Effect::Persist(_) | Effect::PersistBoot(_) if self.state_lost => {}
                Effect::Persist(memory) => self.keep(Keep::Lasting(memory)),
                Effect::PersistBoot(memory) => self.keep(Keep::Boot(memory)),
                Effect::Send { to, message } => self.say(&[to.0], &message),
                Effect::Broadcast { message } => {
                    let everybody = self.parts.peers.clone();
                    self.say(&everybody, &message);
                }
                Effect::Act { id, action } => self.work(Work::Act(id, action)),
                Effect::Fence { id, target, level } => self.work(Work::Fence(id, target, level)),
                Effect::CancelFence { id } => self.work(Work::CancelFence(id)),
                Effect::Watchdog { pet } => self.pet = pet,
                Effect::SelfFence { reason } => {
                    self.pet = false;
                    self.work(Work::SelfFence(reason));
                }
                Effect::Reply { id, reply } => {
                    if let Some(answer) = self.asked.remove(&id) {
                        // Who asked may be gone.
                        let _ = answer.send(reply);
                    }
                }
                Effect::Event(event) => self.work(Work::Event(event)),
                Effect::Left => {
                    self.over = true;
                    self.work(Work::Left);
                }
                Effect::Restart { reason } => {
                    self.over = true;
                    self.work(Work::Restart(reason));
                }
            }
        }
    }

    fn work(&self, work: Work) {
        // Without the rest of the daemon there is nothing to be done but to wait for the watchdog.
        let _ = self.parts.work.send(work);
    }

    fn keep(&mut self, what: Keep) {
        self.storing = true;
        self.parts.storage.keep(what);
    }

    fn stored(&mut self, result: Result<(), StateError>) {
        self.storing = false;
        if let Err(error) = result {
            tracing::error!("{error}");
            self.state_lost = true;
            let waiting: Vec<Effect> = self.queue.drain(..).collect();
            for effect in waiting {
                match effect {
                    // They promise what nobody would remember.
                    Effect::Send { .. } | Effect::Broadcast { .. } => {}
                    Effect::Act { id, action } if action.operation == Operation::Start => {
                        let outcome = Outcome::Failed;
                        self.inputs_later(Input::ActionDone { id, outcome });
                    }
                    other => self.queue.push_back(other),
                }
            }
            self.step(Input::StateLost);
        }
        self.carry_out();
    }

    /// An input that follows from carrying out effects: after those.
    fn inputs_later(&mut self, input: Input) {
        let mut out = Vec::new();
        let now_ms = millis(self.now());
        self.parts.engine.step(now_ms, input, &mut out);
        self.queue.extend(out);
    }

    fn say(&mut self, to: &[u8], message: &Message) {
        let bytes = match postcard::to_stdvec(message) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!("a message can't be written: {error}");
                return;
            }
        };
        let mut out = Vec::new();
        for node in to {
            if let Err(error) = self.parts.endpoint.send(*node, &bytes, &mut out) {
                tracing::error!("{error}");
            }
            if matches!(message, Message::Heartbeat(_)) {
                self.beats.insert(*node, bytes.clone());
                self.beaten = self.now();
            }
        }
        self.send(&out);
    }

    fn send(&self, out: &[Datagram]) {
        for datagram in out {
            self.parts.sockets.send(datagram);
        }
    }

    /// What has to happen again and again.
    fn beat(&mut self, now: Duration) {
        if self
            .opened
            .is_none_or(|at| now.saturating_sub(at) >= OPEN_EVERY)
        {
            self.opened = Some(now);
            for error in self.parts.sockets.open() {
                tracing::error!("{error}");
            }
            self.gone();
        }
        let mut out = Vec::new();
        self.parts.endpoint.tick(now, &mut out);
        // While the disk takes its time, the others hear what they heard last: it is as true as it was.
        if self.storing && now.saturating_sub(self.beaten) >= self.parts.keepalive {
            self.beaten = now;
            for (to, bytes) in &self.beats {
                // It did fit.
                let _ = self.parts.endpoint.send(*to, bytes, &mut out);
            }
        }
        self.send(&out);
        let seen = Duration::from_millis(self.parts.others.load(Ordering::Relaxed));
        if self.pet && now.saturating_sub(seen) < OTHERS_LIMIT {
            if let Some(watchdog) = &mut self.parts.watchdog {
                watchdog.pet();
            }
        }
    }

    /// Requests whose askers are gone.
    fn gone(&mut self) {
        let closed = self.asked.iter().filter(|(_, answer)| answer.is_closed());
        let gone: Vec<RequestId> = closed.map(|(id, _)| *id).collect();
        for id in gone {
            self.asked.remove(&id);
            self.step(Input::ControlGone { id });
        }
    }

    fn snapshot(&self) -> Snapshot {
        let now = self.now();
        let links = self.parts.peers.iter().map(|peer| {
            let facts = self.parts.endpoint.links(*peer).into_iter();
            let aged = facts.map(|facts| {
                let age = facts.heard.map(|at| millis(now.saturating_sub(at)));
                (facts, age)
            });
            (*peer, aged.collect())
        });
        Snapshot {
            status: self.parts.engine.status(),
            links: links.collect(),
            refused: self.parts.endpoint.refused().clone(),
            stall_max_ms: self.stall_max_ms,
            links_open: self.parts.sockets.open_count(),
            watchdog: self.parts.watchdog.as_ref().map(Watchdog::identity),
        }
    }
}

/// Fresh random bytes.
pub(super) fn nonce() -> Result<[u8; 16], getrandom::Error> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
