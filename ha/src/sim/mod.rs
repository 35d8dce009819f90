// SPDX-License-Identifier: GPL-2.0-or-later
//! The core in a world of faults, decided by a seed: nodes that freeze and reset, daemons that die between two effects, networks
//! that lose, delay, repeat and go one way, devices that refuse, agents that hang, disks that are lost. Some things must hold
//! at each moment (`oracle`), and after the faults everything has to run again (`story`).

mod agents;
mod case;
mod cases;
mod chance;
mod devices;
mod fault;
mod net;
mod node;
mod oracle;
mod replica;
mod replication;
mod scene;
mod shape;
mod story;
mod trouble;
mod world;

use std::fmt;

/// How stories are played.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these faults of the story.
    pub keep: Option<Vec<usize>>,
    /// Tell every step.
    pub trace: bool,
}

/// A story that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// Things that happened.
    pub steps: u64,
    /// Nodes that were fenced.
    pub fenced: u64,
}

/// A story that did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// When, in seconds of the story.
    pub at_s: f64,
    /// What an oracle said.
    pub what: String,
    /// Faults of the story, in all.
    pub faults: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, at {:.3} s: {}",
            self.seed, self.at_s, self.what
        )
    }
}

/// Plays the story of `seed`.
///
/// # Errors
///
/// When an oracle finds something wrong.
pub fn play(seed: u64, options: &Options) -> Result<Played, Failure> {
    let mut world = story::begin(seed, options);
    if options.trace {
        println!("{:#?}", world.scene.cluster.quorum);
        for (id, group) in &world.scene.cluster.groups {
            println!(
                "{id:?} {} on {:?}, {:?}, {:?}",
                group.name, group.nodes, group.failback, group.on_quorum_loss
            );
        }
        println!(
            "{} nodes, {} links, gentle: {}",
            world.nodes.len(),
            world.scene.links,
            world.scene.gentle
        );
    }
    story::tell(&mut world);
    match world.failure.take() {
        None => Ok(Played {
            steps: world.steps,
            fenced: world.fenced.len() as u64,
        }),
        Some(what) => Err(Failure {
            seed,
            at_s: world.now_ms as f64 / 1000.0,
            what,
            faults: world.faults.len(),
        }),
    }
}

/// Names of the cases: stories whose faults and outcome are given, for [`play_case`].
#[must_use]
pub fn cases() -> Vec<&'static str> {
    cases::all().iter().map(|case| case.name).collect()
}

/// Plays the case called `name` with the delays of `seed`. `None` when there is none of that name.
///
/// # Errors
///
/// When an oracle finds something wrong, or the outcome is another one.
#[must_use]
pub fn play_case(name: &str, seed: u64, options: &Options) -> Option<Result<Played, Failure>> {
    let cases = cases::all();
    let case = cases.iter().find(|case| case.name == name)?;
    Some(case::play(case, seed, options))
}

/// The faults that a failing story needs: the others are left out, one after another, as long as it fails in the same way.
#[must_use]
pub fn shrink(failure: &Failure) -> Vec<usize> {
    let kind = |what: &str| what.split([':', ' ']).next().unwrap_or_default().to_owned();
    let wanted = kind(&failure.what);
    let mut kept: Vec<usize> = (0..failure.faults).collect();
    let mut at = 0;
    while at < kept.len() {
        let mut fewer = kept.clone();
        fewer.remove(at);
        let options = Options {
            keep: Some(fewer.clone()),
            trace: false,
        };
        match play(failure.seed, &options) {
            Err(found) if kind(&found.what) == wanted => kept = fewer,
            Ok(_) | Err(_) => at += 1,
        }
    }
    kept
}
