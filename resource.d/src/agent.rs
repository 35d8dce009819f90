// SPDX-License-Identifier: GPL-2.0-or-later
//! The actions.

use std::time::Duration;

use crate::code::{Code, Failure, Outcome};
use crate::environment::Environment;
use crate::parameters::Parameters;
use crate::score::{self, Score};
use crate::status::Facts;
use crate::tools::{self, NO_GOOD_DATA};

/// What the cluster asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// start.
    Start,
    /// stop.
    Stop,
    /// monitor, and its old name status.
    Monitor,
    /// promote.
    Promote,
    /// demote.
    Demote,
    /// notify.
    Notify,
    /// reload and reload-agent.
    Reload,
    /// validate-all.
    Validate,
}

impl Action {
    /// By its word on the command line.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "start" => Action::Start,
            "stop" => Action::Stop,
            "monitor" | "status" => Action::Monitor,
            "promote" => Action::Promote,
            "demote" => Action::Demote,
            "notify" => Action::Notify,
            "reload" | "reload-agent" => Action::Reload,
            "validate-all" => Action::Validate,
            _ => return None,
        })
    }

    /// Whether it makes no sense in a clone that is not told of its other instances.
    pub(crate) fn needs_notifications(self) -> bool {
        matches!(
            self,
            Action::Start | Action::Promote | Action::Demote | Action::Notify
        )
    }
}

/// How long an action may take that the cluster gave no limit.
const LIMIT: Duration = Duration::from_secs(240);
/// Left of the cluster's limit to say why it did not work.
const MARGIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);
/// A promotion that fails takes so long, or the cluster would try without end.
const PROMOTION_FAILS_AFTER: Duration = Duration::from_secs(15);

/// What the actions do to a node, and what they see of it.
pub(crate) trait World {
    /// One look at the resource; `None` when the driver does not know it.
    fn look(&self) -> Result<Option<Facts>, Failure>;
    /// A command of `drbdadm` for the resource; its exit code, and what it said last.
    fn drbdadm(&self, command: &[&str]) -> Result<(i32, String), Failure>;
    /// Sets the promotion score of this node, or takes it away.
    fn set_score(&self, score: Option<u32>);
    /// Whether the driver is loaded.
    fn driver_is_loaded(&self) -> bool;
    /// Loads it.
    fn load_driver(&self) -> Result<(), Failure>;
    /// Time since whenever.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, pause: Duration);
}

/// The agent for one call.
pub(crate) struct Agent<'a> {
    /// What the cluster says.
    pub(crate) env: &'a Environment,
    /// The resource.
    pub(crate) parameters: &'a Parameters,
    /// The node that it works on.
    pub(crate) world: &'a dyn World,
    /// Name of this node.
    pub(crate) node: &'a str,
}

impl Agent<'_> {
    /// Carries out an action that was validated.
    ///
    /// # Errors
    ///
    /// When it does not work, with the reason for the cluster's status.
    pub(crate) fn act(&self, action: Action) -> Outcome {
        match action {
            Action::Start => self.start(),
            Action::Stop => self.stop(),
            Action::Monitor => self.monitor(),
            Action::Promote => self.promote(),
            Action::Demote => self.demote(),
            Action::Notify => self.notify(),
            Action::Reload => self.reload(),
            Action::Validate => Ok(Code::Success),
        }
    }

    fn look(&self) -> Result<Option<Facts>, Failure> {
        self.world.look()
    }

    /// Repeats `attempt` with a pause until it has a result or the time is over.
    fn until(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<Option<Code>, Failure>,
    ) -> Outcome {
        let limit = self.env.limit().unwrap_or(LIMIT).saturating_sub(MARGIN);
        let end = self.world.now() + limit;
        loop {
            if let Some(code) = attempt()? {
                return Ok(code);
            }
            if self.world.now() + PAUSE >= end {
                let reason = format!(
                    "{what} did not work within {} s: see drbdadm status {}",
                    limit.as_secs(),
                    self.parameters.resource
                );
                return Err(Failure::new(Code::Generic, reason));
            }
            self.world.sleep(PAUSE);
        }
    }

    fn update_score(&self, facts: &Facts) {
        match score::of(
            facts,
            self.parameters,
            self.env.promoted_elsewhere(self.node),
        ) {
            Score::Set(value) => self.world.set_score(Some(value)),
            Score::Delete => self.world.set_score(None),
            Score::Keep => {}
        }
    }

    fn monitor(&self) -> Outcome {
        let Some(facts) = self.look()? else {
            if !self.env.is_probe() {
                self.world.set_score(None);
            }
            return Ok(Code::NotRunning);
        };
        self.update_score(&facts);
        if self.parameters.unfence && facts.primary && facts.good() && facts.all_peers_good() {
            let _ = self.world.drbdadm(&["unfence-peer"])?;
        }
        Ok(if facts.primary {
            Code::Promoted
        } else {
            Code::Success
        })
    }

    fn start(&self) -> Outcome {
        if !self.world.driver_is_loaded() {
            self.world.load_driver()?;
        }
        let mut failures = 0;
        self.until("start", || {
            match self.look()? {
                Some(facts) if facts.primary => {
                    let _ = self.world.drbdadm(&["secondary"])?;
                    return Ok(None);
                }
                Some(_) | None => {}
            }
            let command: &[&str] = if self.parameters.connect_late {
                &["adjust", "--skip-net"]
            } else {
                &["adjust"]
            };
            let (code, said) = self.world.drbdadm(command)?;
            if code == 0 {
                return Ok(Some(Code::Success));
            }
            failures += 1;
            if failures < 2 {
                return Ok(None);
            }
            Err(Failure::new(
                Code::Generic,
                format!("drbdadm adjust {}: {said}", self.parameters.resource),
            ))
        })?;
        if !self.parameters.connect_late {
            self.wait_connected()?;
        }
        if let Some(facts) = self.look()? {
            self.update_score(&facts);
        }
        Ok(Code::Success)
    }

    fn wait_connected(&self) -> Result<(), Failure> {
        for _ in 0..self.parameters.connect_timeout_s {
            if self.look()?.is_none_or(|facts| facts.connected()) {
                break;
            }
            self.world.sleep(PAUSE);
        }
        Ok(())
    }

    /// The data of this node are not the newest any more: another one goes on without it.
    fn outdate_if_left_behind(&self) -> Result<(), Failure> {
        if self.parameters.stop_outdates && self.env.promoted_elsewhere(self.node) {
            let _ = self.world.drbdadm(&["outdate"])?;
        }
        Ok(())
    }

    fn stop(&self) -> Outcome {
        let done = self.until("stop", || match self.look()? {
            None => Ok(Some(Code::Success)),
            Some(facts) if facts.primary => {
                let _ = self.world.drbdadm(&["secondary"])?;
                Ok(None)
            }
            Some(_) => {
                let _ = self.world.drbdadm(&["down"])?;
                Ok(self.look()?.is_none().then_some(Code::Success))
            }
        })?;
        // Not before: a Secondary that is connected to a Primary cannot be outdated.
        self.outdate_if_left_behind()?;
        self.world.set_score(None);
        Ok(done)
    }

    fn promote(&self) -> Outcome {
        let begun = self.world.now();
        let result = self.until("promote", || match self.look()? {
            None => Err(Failure::new(
                Code::Generic,
                "cannot be promoted: it is not running",
            )),
            Some(facts) if facts.primary => Ok(Some(Code::Success)),
            Some(facts) => {
                let (code, said) = self.world.drbdadm(&["primary"])?;
                let once = self.parameters.promote_once && facts.peer_primary();
                match code {
                    0 => Ok(Some(Code::Success)),
                    NO_GOOD_DATA => Err(Failure::new(
                        Code::Generic,
                        format!("no UpToDate data: {said}"),
                    )),
                    _ if once => Err(Failure::new(
                        Code::Generic,
                        format!("a peer is Primary: {said}"),
                    )),
                    _ => Ok(None),
                }
            }
        });
        if result.is_err() {
            self.world.sleep(
                PROMOTION_FAILS_AFTER.saturating_sub(self.world.now().saturating_sub(begun)),
            );
            return result;
        }
        if self.parameters.connect_late {
            let _ = self.world.drbdadm(&["adjust"])?;
        }
        result
    }

    fn demote(&self) -> Outcome {
        self.until("demote", || match self.look()? {
            None => Ok(Some(Code::NotRunning)),
            Some(facts) if facts.primary => {
                let _ = self.world.drbdadm(&["secondary"])?;
                let still = self.look()?.is_some_and(|facts| facts.primary);
                Ok((!still).then_some(Code::Success))
            }
            Some(_) => Ok(Some(Code::Success)),
        })
    }

    fn notify(&self) -> Outcome {
        let Some(told) = self.env.notification() else {
            return Ok(Code::Success);
        };
        // Whatever goes wrong, a notification does not fail.
        let _ = self
            .notified(&told.kind, &told.operation)
            .map_err(|failure| tools::log(&failure.reason));
        Ok(Code::Success)
    }

    fn notified(&self, kind: &str, operation: &str) -> Result<(), Failure> {
        let Some(_) = self.look()? else {
            return Ok(());
        };
        if operation == "start" && !self.parameters.connect_late {
            let _ = self.world.drbdadm(&["adjust"])?;
        }
        if kind == "post" {
            if let Some(facts) = self.look()? {
                self.update_score(&facts);
                if facts.a_peer_unknown() && !facts.primary {
                    self.outdate_if_left_behind()?;
                }
            }
        }
        Ok(())
    }

    fn reload(&self) -> Outcome {
        if self.look()?.is_none() {
            return Ok(Code::NotRunning);
        }
        let (code, said) = self.world.drbdadm(&["adjust"])?;
        if code != 0 {
            return Err(Failure::new(
                Code::Generic,
                format!("drbdadm adjust {}: {said}", self.parameters.resource),
            ));
        }
        if let Some(facts) = self.look()? {
            self.update_score(&facts);
        }
        Ok(Code::Success)
    }
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
