// SPDX-License-Identifier: GPL-2.0-or-later
//! DRBD resources, promoted and demoted natively: looks through `drbdsetup`, changes through `drbdadm`, on drivers of
//! generations 8.4 and 9. Never with force.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::core::drbd::{Disk, DrbdBrief, Role};
use crate::core::effect::Operation;
use crate::core::input::Outcome;

use super::drbd_status;
use super::process::{End, Ended, Program};
use super::underway::Underway;
use super::Done;

/// Exit code of a state change that needs UpToDate data (SS_NO_UP_TO_DATE_DISK).
const NO_GOOD_DATA: i32 = 17;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// A look never takes longer, unless the driver hangs.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// The programs, and what tells that the driver is loaded.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `drbdadm`.
    pub drbdadm: PathBuf,
    /// `drbdsetup`.
    pub drbdsetup: PathBuf,
    /// There while the driver is loaded.
    pub proc: PathBuf,
    /// What they change is noted there while they run.
    pub underway: Underway,
}

impl Default for Tools {
    fn default() -> Self {
        Tools {
            drbdadm: "drbdadm".into(),
            drbdsetup: "drbdsetup".into(),
            proc: "/proc/drbd".into(),
            underway: Underway::default(),
        }
    }
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The resource, as it is.
    Up(DrbdBrief),
    /// The driver does not know it, or is not loaded.
    Down,
    /// Nobody can say.
    Failed(String),
}

impl Tools {
    /// Changes something.
    async fn change(&self, words: &[&str], limit: Duration) -> Ended {
        let starts = matches!(words.first(), Some(&("adjust" | "primary")));
        let program = Program::new(&self.drbdadm, words);
        self.underway.run(program, starts, limit).await
    }

    /// What the resource is like.
    pub async fn look(&self, resource: &str) -> Look {
        if !self.proc.exists() {
            return Look::Down;
        }
        let setup = |words: &[&str]| Program::new(&self.drbdsetup, words).run(LOOK_LIMIT);
        let json = setup(&["status", resource, "--json", "--statistics"]).await;
        let brief = if json.output.trim_start().starts_with('[') {
            match drbd_status::of_json(&json.output, resource) {
                Ok(brief) => brief,
                Err(error) => return Look::Failed(format!("drbdsetup status: {error}")),
            }
        } else {
            // Generation 8.4 has no JSON.
            let text = setup(&["sh-status", resource]).await;
            if matches!(text.end, End::TimedOut | End::NotStarted(_)) {
                return Look::Failed(format!("drbdsetup: {}", text.story()));
            }
            drbd_status::of_assignments(&text.output)
        };
        match brief {
            None => Look::Down,
            Some(brief) => {
                let words = ["get-gi", resource];
                let generations = Program::new(&self.drbdadm, &words).run(LOOK_LIMIT).await;
                Look::Up(DrbdBrief {
                    generation: drbd_status::generation(&generations.output),
                    ..brief
                })
            }
        }
    }

    /// Acts on the resource.
    pub async fn act(&self, resource: &str, operation: Operation, limit: Duration) -> Done {
        match operation {
            Operation::Probe => self.probe(resource, limit).await,
            Operation::Monitor => of_role(&self.look(resource).await),
            Operation::Start => self.promote(resource, limit).await,
            Operation::Stop | Operation::KillAndStop => self.demote(resource, limit).await,
            Operation::Outdate => self.outdate(resource, limit).await,
        }
    }

    /// Brings up what is down: a Secondary that replicates is what others take over from.
    async fn probe(&self, resource: &str, limit: Duration) -> Done {
        let begun = Instant::now();
        let first = self.look(resource).await;
        if first != Look::Down {
            return of_role(&first);
        }
        if !self.proc.exists() {
            let loaded = Program::new("modprobe", &["drbd"]).run(limit).await;
            if loaded.code() != Some(0) {
                let what = format!("the driver does not load: {}", loaded.story());
                return Done::new(Outcome::FailedHere, what);
            }
        }
        let left = limit.saturating_sub(begun.elapsed());
        let ended = self.change(&["adjust", resource], left).await;
        match &ended.end {
            End::Exited(0) => of_role(&self.look(resource).await),
            End::Exited(_) | End::Killed(_) => Done::new(
                Outcome::Failed,
                format!("drbdadm adjust: {}", ended.story()),
            ),
            End::TimedOut => Done::new(Outcome::TimedOut, "drbdadm adjust took too long"),
            End::NotStarted(why) => Done::new(Outcome::FailedHere, format!("drbdadm: {why}")),
        }
    }

    async fn promote(&self, resource: &str, limit: Duration) -> Done {
        let begun = Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            let ended = self.change(&["primary", resource], left).await;
            let story = || format!("drbdadm primary: {}", ended.story());
            match &ended.end {
                End::Exited(0) => return of_role(&self.look(resource).await),
                End::Exited(NO_GOOD_DATA) => return Done::new(Outcome::Failed, story()),
                End::TimedOut => return Done::new(Outcome::TimedOut, story()),
                End::NotStarted(_) => return Done::new(Outcome::FailedHere, story()),
                // The other node is just being demoted, or greeted.
                End::Exited(_) | End::Killed(_) => {}
            }
            if limit.saturating_sub(begun.elapsed()) < PAUSE * 2 {
                return Done::new(Outcome::Failed, story());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn demote(&self, resource: &str, limit: Duration) -> Done {
        let begun = Instant::now();
        let mut story = "still Primary".to_owned();
        loop {
            match self.look(resource).await {
                Look::Down => return Done::new(Outcome::Ok, "down"),
                Look::Up(brief) if brief.role == Role::Secondary => {
                    return Done::new(Outcome::Ok, "Secondary")
                }
                Look::Up(_) => {}
                Look::Failed(why) => story = why,
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left < PAUSE {
                return Done::new(Outcome::Failed, story);
            }
            let ended = self.change(&["secondary", resource], left).await;
            match ended.end {
                End::Exited(0) => {}
                End::TimedOut => {
                    return Done::new(
                        Outcome::TimedOut,
                        format!("drbdadm secondary: {}", ended.story()),
                    )
                }
                // It is still open: udev looks at a device that was just unmounted.
                End::Exited(_) | End::Killed(_) | End::NotStarted(_) => {
                    story = format!("drbdadm secondary: {}", ended.story());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn outdate(&self, resource: &str, limit: Duration) -> Done {
        let ended = self.change(&["outdate", resource], limit).await;
        match self.look(resource).await {
            Look::Up(brief) if brief.role == Role::Primary => {
                Done::new(Outcome::Failed, "this node is Primary")
            }
            Look::Up(brief) => match brief.disk {
                Disk::Outdated | Disk::Inconsistent | Disk::Diskless => {
                    Done::new(Outcome::Ok, format!("the disk is {:?}", brief.disk))
                }
                Disk::Unknown | Disk::Consistent | Disk::UpToDate => Done::new(
                    Outcome::Failed,
                    format!("drbdadm outdate: {}", ended.story()),
                ),
            },
            // Of a resource that is down drbdadm marks the metadata.
            Look::Down if ended.code() == Some(0) => {
                Done::new(Outcome::Ok, "marked in the metadata")
            }
            Look::Down => Done::new(
                Outcome::Failed,
                format!("drbdadm outdate: {}", ended.story()),
            ),
            Look::Failed(why) => Done::new(Outcome::Failed, why),
        }
    }
}

fn of_role(look: &Look) -> Done {
    match look {
        Look::Up(brief) if brief.role == Role::Primary => Done::new(Outcome::Ok, "Primary"),
        Look::Up(_) => Done::new(Outcome::NotRunning, "Secondary"),
        Look::Down => Done::new(Outcome::NotRunning, "down"),
        Look::Failed(why) => Done::new(Outcome::Failed, why.clone()),
    }
}

#[cfg(test)]
#[path = "drbd_tests.rs"]
mod tests;
