// SPDX-License-Identifier: GPL-2.0-or-later
//! Random workload and faults.
//!
//! Whatever happens, no acknowledged write is lost, never are both Primary while connected, and
//! when the faults stop everything comes to rest: Connected, UpToDate, equal, nothing left over.

use super::{
    admin::{is_blind, Admin},
    heap::Rng,
    keep::Keep,
    kind::Kind,
    node::{Node, Phase},
    world::{Setup, World},
};
use drbd_core::{
    meta::Format,
    state::{Conn, Disk},
    wire::handshake::ReplicationProtocol,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// How a story goes on: the short stories of the tests keep theirs, so that a seed stays what it
/// was; the long ones have every fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mood {
    /// Of 20 events: requests of the application, commands of the administrator, faults.
    pub(crate) io: u64,
    pub(crate) admin: u64,
    pub(crate) fault: u64,
    /// Steps of the world between two events, at most.
    pub(crate) steps: u64,
    /// All faults, not only those of the short stories.
    pub(crate) harsh: bool,
}

impl Mood {
    const SHORT: Mood = Mood {
        io: 13,
        admin: 3,
        fault: 1,
        steps: 12,
        harsh: false,
    };

    /// Every story has a mood of its own: what is always mixed in the same way hides things.
    fn of_seed(seed: u64) -> Mood {
        let mut rng = Rng::new(seed ^ 0x600d);
        Mood {
            io: rng.pick(&[6, 10, 13, 15]),
            admin: rng.pick(&[1, 2, 3]),
            fault: rng.pick(&[0, 1, 1, 2]),
            steps: rng.pick(&[6, 12, 12, 40]),
            harsh: true,
        }
    }
}

/// How a connection begins to end that the nodes refuse: known limits, in which nothing is lost.
const REFUSALS: [&str; 3] = [
    "split brain",
    "unrelated data",
    // It grew while it was alone, and its disk is gone.
    "the peer's disk is too small",
];

pub(crate) struct Play {
    pub(crate) world: World,
    pub(crate) rng: Rng,
    pub(crate) volumes: usize,
    pub(crate) mood: Mood,
    pub(crate) kind: Kind,
    /// With two Primaries: whose disk the other refused, and who gives up its data for that.
    pub(crate) gives_up: Option<usize>,
}

/// Sizes of volumes in MiB: a short story's, and a long one's, most of whose time would else be the
/// resync of the largest.
#[cfg(test)]
const SIZES_SHORT: [u64; 3] = [24, 48, 300];
const SIZES_LONG: [u64; 6] = [24, 24, 24, 48, 48, 300];

#[cfg(test)]
pub(crate) fn setup(seed: u64) -> Play {
    setup_sized(seed, &SIZES_SHORT)
}

fn setup_sized(seed: u64, mebibytes: &[u64]) -> Play {
    let mut rng = Rng::new(seed ^ 0xfeed);
    let volumes = 1 + usize::from(rng.one_in(4));
    let (format, max_peers) = rng.pick(&[
        (Format::V08, 1),
        (Format::V08, 1),
        (Format::V09, 1),
        (Format::V09, 7),
    ]);
    let mut world = World::new(Setup {
        seed,
        sectors: rng.pick(mebibytes) * 2048,
        volumes,
        format,
        max_peers,
        al_slots: 2 + rng.below(6) as usize,
        synced: true,
    });
    let protocol = rng.pick(&[
        ReplicationProtocol::C,
        ReplicationProtocol::C,
        ReplicationProtocol::B,
        ReplicationProtocol::A,
    ]);
    for node in &mut world.nodes {
        node.protocol = protocol;
    }
    world.start();
    let sizes = world.nodes[0]
        .vols
        .iter()
        .map(|vol| vol.volume.capacity_sectors());
    world.model.unknown_from = sizes.min().unwrap_or(u64::MAX);
    Play {
        world,
        rng,
        volumes,
        mood: Mood::SHORT,
        kind: Kind::Careful,
        gives_up: None,
    }
}

impl Play {
    /// A long story.
    pub(crate) fn long(seed: u64, kind: Kind, trace: bool) -> Play {
        let mut play = setup_sized(seed, &SIZES_LONG);
        play.mood = Mood::of_seed(seed);
        play.world.set_trace(trace);
        play.set_kind(kind);
        if kind != Kind::TwoPrimaries {
            play.world.enable_helpers();
            play.world.draw_fencing(seed);
        }
        play.draw_options(seed);
        play
    }

    fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
        self.world.model.kind = kind;
        for node in &mut self.world.nodes {
            node.kind = kind;
        }
        if kind == Kind::TwoPrimaries {
            self.allow_two_primaries();
        }
    }

    /// Plays events until `steps` steps of the world are done, or those that are kept. The chance
    /// of an event is its own, so that it stays what it is when others are left out.
    pub(crate) fn tell(&mut self, seed: u64, steps: u64, keep: &Keep, at: &AtomicU64) {
        let mut number = 0;
        while self.world.steps < steps && number < steps && keep.goes_on(number) {
            if keep.has(number) {
                at.store(number, Ordering::Relaxed);
                self.rng = Rng::new(seed ^ (number << 32) ^ 0xe7e7);
                self.world.rng = Rng::new(seed ^ (number << 32) ^ 0x3b3b);
                if self.world.trace {
                    eprintln!("event {number}");
                }
                self.event();
            }
            number += 1;
        }
    }

    /// A short story, with one chance for all.
    #[cfg(test)]
    pub(crate) fn play(&mut self, events: u64) {
        for _ in 0..events {
            self.event();
        }
    }

    /// For the trace.
    pub(crate) fn say(&self, what: impl Fn() -> String) {
        if self.world.trace {
            eprintln!("  {}", what());
        }
    }

    fn event(&mut self) {
        let Mood {
            io, admin, fault, ..
        } = self.mood;
        self.let_disks_hang();
        match self.rng.below(20) {
            at if at < io => self.io(),
            at if at < io + admin && self.kind == Kind::TwoPrimaries => self.administer_two(),
            at if at < io + admin => self.administer(),
            at if at < io + admin + fault => self.fault(),
            _ => {}
        }
        let steps = self.rng.below(self.mood.steps);
        self.world.run(steps);
        if self.rng.one_in(10) {
            self.world.now += self.rng.below(300);
        }
    }

    /// The faults stop; everything has to come to rest. False if the nodes refuse each other for a
    /// reason that they tell, as a long story may end.
    pub(crate) fn calm_down(&mut self) -> bool {
        let world = &mut self.world;
        world.calm = true;
        world.hold_io = [false; 2];
        world.hold_md = [false; 2];
        world.stalled = [false; 2];
        world.frozen = [false; 2];
        world.slow = 0;
        world.link_up = true;
        world.wake_disks();
        for n in 0..2 {
            if !world.nodes[n].up {
                world.boot(n);
            }
            let now = world.now;
            // What is slow on purpose would not end in time.
            world.nodes[n].hurry();
            for vol in 0..self.volumes {
                if world.nodes[n].vols[vol].volume.state().susp {
                    world.nodes[n].resume_io(now);
                }
            }
        }
        if self.kind != Kind::Careful {
            if !self.bring_together() {
                return false;
            }
            return self.check_the_end();
        }
        // A Primary without disk takes its old one back only from the peer's hands.
        let mut refused = false;
        for _ in 0..3 {
            world.settle();
            for n in 0..2 {
                if let Some(admin) = &world.nodes[n].admin {
                    panic!("node {n}: {admin:?} never ends{}", world.describe());
                }
                let now = world.now;
                world.nodes[n].resume_sync(now);
                for v in 0..self.volumes {
                    let state = world.nodes[n].vols[v].volume.state();
                    if state.disk == Disk::Diskless && !is_blind(state) {
                        world.nodes[n].command(Admin::Attach(v, 0));
                        world.settle();
                        let attached = world.nodes[n].admin_result.take();
                        if world.trace {
                            eprintln!("  {n}: attach {v}: {attached:?}");
                        }
                        let refusals = ["refused", "WouldShrink"];
                        refused |= attached.is_some_and(|result| {
                            result.is_err_and(|why| refusals.contains(&why.as_str()))
                        });
                    }
                }
                if world.nodes[n].phase == Phase::StandAlone {
                    world.connect(n);
                }
            }
        }
        world.settle();
        let ended = |node: &Node| {
            node.last_end
                .is_some_and(|end| REFUSALS.iter().any(|why| end.why.starts_with(why)))
        };
        refused |= world.nodes.iter().any(ended);
        let connected = world.nodes[0].state().conn == Conn::Connected;
        let whole = connected
            && world
                .nodes
                .iter()
                .all(|node| node.vols.iter().all(|vol| vol.attached));
        if self.mood.harsh && refused && !whole {
            // What fencing froze stays frozen, and is right to.
            return false;
        }
        self.check_the_end()
    }

    /// All is quiet: both have the same data, and what it has to be.
    fn check_the_end(&mut self) -> bool {
        let world = &mut self.world;
        world.settle();
        assert_eq!(world.model.in_flight(), 0, "{}", world.describe());
        world.assert_same_data();
        for n in 0..2 {
            world.model.check_disk(n, &world.nodes);
        }
        true
    }
}
