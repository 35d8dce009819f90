// SPDX-License-Identifier: GPL-2.0-or-later
//! Becoming Primary or Secondary, with all volumes of a resource.
//!
//! The role is one of the resource; protocol 101 asks for it volume by volume. Volumes are asked
//! in order, and those that agreed are taken back when a later one does not (design section 8.16;
//! replication-semantics section 12). This is a coroutine: the host asks for the next step and
//! reports how it ended. What a refusal can be answered with is in [`crate::state::promote`].

use crate::state::{
    promote::{after_fencing, after_refusal, Next, ATTEMPTS_MAX},
    Request, Role, Ss, State,
};

/// What the host has to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask for this change of a volume's state and wait for the result; then [`Promotion::result`].
    Ask {
        /// Place of the volume among the resource's volumes.
        volume: usize,
        /// The change.
        request: Request,
    },
    /// A later volume refused. Ask for the role that this one had, if it had that one; then [`Promotion::result`]. (The
    /// volumes need not have had the same: a policy demotes the one that loses a split brain, alone.)
    TakeBack {
        /// Place of the volume among the resource's volumes.
        volume: usize,
        /// The role that was given up.
        role: Role,
    },
    /// Run the fence-peer handler without any lock, then [`Promotion::fenced`].
    FencePeer,
    /// Sleep, then ask for the next step.
    Sleep {
        /// How long.
        ms: u32,
    },
    /// All volumes have the role: call `role_changed` of each, in order, then this is over.
    Finish {
        /// The data was declared UpToDate: see `Volume::role_changed`.
        forced: bool,
    },
    /// It failed; everything is as before.
    Failed(Ss),
}

/// Tries in a state that passes by itself, a handshake for example: more than its time-outs take.
const TRANSIENT_TRIES_MAX: u32 = 300;
const TRANSIENT_PAUSE_MS: u32 = 100;

fn passes(code: Ss) -> bool {
    matches!(code, Ss::InTransientState | Ss::ConcurrentStateChange)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Asking,
    RollingBack(Ss),
}

/// A change of the role under way.
#[derive(Clone, Copy, Debug)]
pub struct Promotion {
    role: Role,
    force: bool,
    volumes: usize,
    next: usize,
    tries: u32,
    transient_tries: u32,
    forced: bool,
    waited: bool,
    request: Request,
    sleep_ms: u32,
    ping_timeout_ms: u32,
    /// The handler is wanted, because of this refusal.
    fences: Option<Ss>,
    phase: Phase,
}

impl Promotion {
    /// To become Primary. `force` declares inconsistent data UpToDate.
    pub fn new(volumes: usize, force: bool, ping_timeout_ms: u32) -> Self {
        Self::to(Role::Primary, volumes, force, ping_timeout_ms)
    }

    /// To become Secondary.
    pub fn demotion(volumes: usize) -> Self {
        Self::to(Role::Secondary, volumes, false, 0)
    }

    fn to(role: Role, volumes: usize, force: bool, ping_timeout_ms: u32) -> Self {
        Promotion {
            role,
            force,
            volumes,
            next: 0,
            tries: 0,
            transient_tries: 0,
            forced: false,
            waited: false,
            request: Request::NONE.role(role),
            sleep_ms: 0,
            ping_timeout_ms,
            fences: None,
            phase: Phase::Asking,
        }
    }

    /// The next step. The same again until its end was reported: a host that cannot carry it out yet
    /// asks once more later.
    pub fn step(&mut self) -> Step {
        let pause_ms = core::mem::take(&mut self.sleep_ms);
        if pause_ms > 0 {
            return Step::Sleep { ms: pause_ms };
        }
        if self.fences.is_some() {
            return Step::FencePeer;
        }
        match self.phase {
            Phase::Asking if self.next >= self.volumes => Step::Finish {
                forced: self.forced,
            },
            Phase::Asking => Step::Ask {
                volume: self.next,
                request: self.request,
            },
            Phase::RollingBack(code) => match self.next.checked_sub(1) {
                None => Step::Failed(code),
                Some(volume) => Step::TakeBack {
                    volume,
                    role: match self.role {
                        Role::Primary => Role::Secondary,
                        Role::Secondary | Role::Unknown => Role::Primary,
                    },
                },
            },
        }
    }

    /// The change of the last [`Step::Ask`] or [`Step::TakeBack`] ended with `code`; `now` is the volume's state.
    pub fn result(&mut self, code: Ss, now: State) {
        if passes(code) && self.transient_tries < TRANSIENT_TRIES_MAX {
            self.transient_tries = self.transient_tries.saturating_add(1);
            self.sleep_ms = TRANSIENT_PAUSE_MS;
            return;
        }
        self.transient_tries = 0;
        if self.phase != Phase::Asking {
            // Taking back is done as well as it can be.
            self.next = self.next.saturating_sub(1);
            return;
        }
        if code.is_success() {
            self.next = self.next.saturating_add(1);
            self.tries = 0;
            self.waited = false;
            self.request = Request::NONE.role(self.role);
            return;
        }
        self.tries = self.tries.saturating_add(1);
        if self.tries < ATTEMPTS_MAX && self.role == Role::Primary && self.help(code, now) {
            return;
        }
        self.phase = Phase::RollingBack(code);
    }

    /// Whether another try with other means makes sense.
    fn help(&mut self, code: Ss, now: State) -> bool {
        match after_refusal(now, self.request, code, self.force, self.waited) {
            Next::Try(request) | Next::TrySplitBrain(request) => self.request = request,
            Next::TryForced(request) => {
                self.forced = true;
                self.request = request;
            }
            Next::WaitForPeer => {
                self.waited = true;
                self.sleep_ms = self.ping_timeout_ms.saturating_add(100);
            }
            Next::FencePeer => self.fences = Some(code),
            Next::GiveUp => return false,
        }
        true
    }

    /// The handler of the last [`Step::FencePeer`] ended, and the peer is `fenced` or is not.
    pub fn fenced(&mut self, fenced: bool) {
        let Some(code) = self.fences.take() else {
            return;
        };
        match after_fencing(self.request, code, fenced, self.force) {
            Next::Try(request) | Next::TrySplitBrain(request) => self.request = request,
            Next::TryForced(_) | Next::FencePeer | Next::WaitForPeer | Next::GiveUp => {
                self.phase = Phase::RollingBack(code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Disk;

    const TAKEN_BACK: Step = Step::TakeBack {
        volume: 0,
        role: Role::Secondary,
    };

    fn asked(step: Step) -> (usize, Request) {
        match step {
            Step::Ask { volume, request } => (volume, request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_takes_back_what_was_granted() {
        let mut promotion = Promotion::new(2, false, 500);
        let now = State::UNCONFIGURED;
        assert_eq!(asked(promotion.step()).0, 0);
        promotion.result(Ss::Success, now);
        assert_eq!(asked(promotion.step()).0, 1);
        promotion.result(Ss::NoUpToDateDisk, now);
        assert_eq!(promotion.step(), TAKEN_BACK);
        promotion.result(Ss::Success, now);
        assert_eq!(promotion.step(), Step::Failed(Ss::NoUpToDateDisk));
    }

    #[test]
    fn what_cannot_be_asked_yet_is_not_left_out_of_taking_back() {
        let mut promotion = Promotion::new(2, false, 500);
        let now = State::UNCONFIGURED;
        promotion.result(Ss::Success, now);
        promotion.result(Ss::NoUpToDateDisk, now);
        for _ in 0..3 {
            // Another change of the volume is under way: the host comes back.
            assert_eq!(promotion.step(), TAKEN_BACK);
        }
        promotion.result(Ss::Success, now);
        assert_eq!(promotion.step(), Step::Failed(Ss::NoUpToDateDisk));
    }

    #[test]
    fn a_handshake_is_waited_for_also_when_taking_back() {
        let mut promotion = Promotion::new(2, false, 500);
        let now = State::UNCONFIGURED;
        let _ = asked(promotion.step());
        promotion.result(Ss::Success, now);
        for _ in 0..20 {
            assert_eq!(asked(promotion.step()).0, 1);
            promotion.result(Ss::InTransientState, now);
            assert_eq!(promotion.step(), Step::Sleep { ms: 100 });
        }
        assert_eq!(asked(promotion.step()).0, 1);
        promotion.result(Ss::NoUpToDateDisk, now);
        for _ in 0..20 {
            assert_eq!(promotion.step(), TAKEN_BACK);
            promotion.result(Ss::InTransientState, now);
            assert_eq!(promotion.step(), Step::Sleep { ms: 100 });
        }
        assert_eq!(promotion.step(), TAKEN_BACK);
        promotion.result(Ss::Success, now);
        assert_eq!(promotion.step(), Step::Failed(Ss::NoUpToDateDisk));
    }

    #[test]
    fn waiting_for_a_handshake_has_an_end() {
        let mut promotion = Promotion::new(2, false, 500);
        let now = State::UNCONFIGURED;
        let _ = asked(promotion.step());
        promotion.result(Ss::Success, now);
        for _ in 0..10_000 {
            match promotion.step() {
                Step::Failed(code) => return assert_eq!(code, Ss::InTransientState),
                Step::Ask { .. } | Step::TakeBack { .. } => {
                    promotion.result(Ss::InTransientState, now)
                }
                Step::Sleep { .. } => {}
                Step::Finish { .. } | Step::FencePeer => panic!("it never agreed"),
            }
        }
        panic!("it waits for ever");
    }

    #[test]
    fn force_declares_the_data_up_to_date() {
        let mut promotion = Promotion::new(1, true, 500);
        let now = State {
            disk: Disk::Inconsistent,
            ..State::UNCONFIGURED
        };
        let _ = asked(promotion.step());
        promotion.result(Ss::NoUpToDateDisk, now);
        let (_, request) = asked(promotion.step());
        assert_eq!(
            request,
            Request::NONE.role(Role::Primary).disk(Disk::UpToDate)
        );
        promotion.result(Ss::CwSuccess, now);
        assert_eq!(promotion.step(), Step::Finish { forced: true });
    }

    #[test]
    fn a_consistent_disk_needs_a_fenced_peer() {
        let now = State {
            disk: Disk::Consistent,
            ..State::UNCONFIGURED
        };
        for fenced in [true, false] {
            let mut promotion = Promotion::new(1, false, 500);
            let _ = asked(promotion.step());
            promotion.result(Ss::NoUpToDateDisk, now);
            assert_eq!(promotion.step(), Step::FencePeer);
            promotion.fenced(fenced);
            if fenced {
                let request = Request::NONE.role(Role::Primary).disk(Disk::UpToDate);
                assert_eq!(asked(promotion.step()), (0, request));
            } else {
                assert_eq!(promotion.step(), Step::Failed(Ss::NoUpToDateDisk));
            }
        }
    }

    #[test]
    fn without_force_there_is_no_second_try() {
        let mut promotion = Promotion::new(1, false, 500);
        let _ = asked(promotion.step());
        promotion.result(Ss::NoUpToDateDisk, State::UNCONFIGURED);
        assert_eq!(promotion.step(), Step::Failed(Ss::NoUpToDateDisk));
    }
}
