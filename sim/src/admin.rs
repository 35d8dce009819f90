// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands of the administrator, as the host carries them out: one step at a time.

use super::{
    kind::Kind,
    metadata,
    node::{Node, Phase},
};
use drbd_core::{
    engine::{
        link::Link,
        promotion::{Promotion, Step},
        volume::{AttachError, Begin, End, Resize, ResizeRefusal},
    },
    state::{Conn, Disk, Request, Role, Ss, State},
    wire::packet::Packet,
};

/// A command under way.
#[derive(Debug)]
pub(crate) enum Admin {
    Role {
        promotion: Promotion,
        /// The roles of the volumes when it was asked.
        before: Vec<Role>,
        asked: Option<usize>,
        wake_ms: u64,
    },
    /// Volume, and how far: 0 begin, 1 take over, 2 wait.
    Attach(usize, u8),
    /// Volume, and how far: 0 quiesce, 1 ask, 2 wait for the answer, 3 wait for the end.
    Detach(usize, u8, bool),
    /// Whether the peer was asked.
    Disconnect(bool),
    Change {
        request: Request,
        asked: bool,
    },
    /// Volume, what is asked for, and whether it has begun.
    Resize(usize, Resize, bool),
}

impl Node {
    pub(crate) fn command(&mut self, admin: Admin) {
        assert!(self.admin.is_none(), "{:?} is under way", self.admin);
        self.admin_result = None;
        self.admin = Some(admin);
    }

    pub(crate) fn promote(&mut self, force: bool) {
        self.ask_role(Promotion::new(self.vols.len(), force, 500));
    }

    pub(crate) fn demote(&mut self) {
        self.ask_role(Promotion::demotion(self.vols.len()));
    }

    fn ask_role(&mut self, promotion: Promotion) {
        self.command(Admin::Role {
            promotion,
            before: self.roles(),
            asked: None,
            wake_ms: 0,
        });
    }

    fn roles(&self) -> Vec<Role> {
        let vols = self.vols.iter();
        vols.map(|vol| vol.volume.state().role).collect()
    }

    /// Nothing is paused from here any more.
    pub(crate) fn resume_sync(&mut self, now: u64) {
        for vol in &mut self.vols {
            if vol.volume.state().user_isp {
                let request = Request::NONE.user_isp(false);
                let resumed = vol.volume.request(request, &mut self.queues, now);
                assert!(matches!(resumed, Begin::Done(_)), "{resumed:?}");
                vol.after();
            }
        }
    }

    fn finish(&mut self, result: Result<(), String>) -> bool {
        self.admin = None;
        self.admin_result = Some(result);
        true
    }

    /// Asks for a change of volume `v`; `None` while the answer is awaited.
    fn ask(&mut self, v: usize, request: Request, asked: &mut bool, now: u64) -> Option<Ss> {
        let vol = &mut self.vols[v];
        if *asked {
            return vol.volume.take_outcome().map(|outcome| outcome.code);
        }
        let begun = vol.volume.request(request, &mut self.queues, now);
        vol.after();
        match begun {
            Begin::Done(code) => Some(code),
            Begin::Busy => None,
            Begin::Asked => {
                *asked = true;
                None
            }
        }
    }

    /// One step; false if it has to wait.
    pub(crate) fn admin_step(&mut self, now: u64) -> bool {
        let Some(mut admin) = self.admin.take() else {
            return false;
        };
        let moved = self.advance(&mut admin, now);
        if self.admin_result.is_none() {
            self.admin = Some(admin);
        }
        moved
    }

    fn advance(&mut self, admin: &mut Admin, now: u64) -> bool {
        match admin {
            Admin::Role {
                promotion,
                before,
                asked,
                wake_ms,
            } => self.advance_role(promotion, before, asked, wake_ms, now),
            Admin::Attach(v, stage) => self.advance_attach(*v, stage, now),
            Admin::Detach(v, stage, force) => self.advance_detach(*v, stage, *force, now),
            Admin::Disconnect(asked) => self.advance_disconnect(asked),
            Admin::Resize(v, wanted, begun) => self.advance_resize(*v, *wanted, begun),
            Admin::Change { request, asked } => match self.ask(0, *request, asked, now) {
                None => false, // asked or not: `step` looks at the queues again
                Some(Ss::InTransientState | Ss::ConcurrentStateChange) => {
                    *asked = false;
                    false
                }
                Some(code) if code.is_success() => self.finish(Ok(())),
                Some(code) => self.finish(Err(format!("{code:?}"))),
            },
        }
    }

    fn advance_role(
        &mut self,
        promotion: &mut Promotion,
        before: &[Role],
        asked: &mut Option<usize>,
        wake_ms: &mut u64,
        now: u64,
    ) -> bool {
        if now < *wake_ms {
            return false;
        }
        if let Some(v) = *asked {
            let Some(outcome) = self.vols[v].volume.take_outcome() else {
                return false;
            };
            *asked = None;
            promotion.result(outcome.code, self.vols[v].volume.state());
            return true;
        }
        match promotion.step() {
            Step::Sleep { ms } => {
                *wake_ms = now + u64::from(ms);
                true
            }
            Step::FencePeer => {
                let ran = self.handler.is_some();
                match self.fence_for_promotion(now) {
                    // It was started, or is waited for.
                    None => !ran,
                    Some(fenced) => {
                        promotion.fenced(fenced);
                        true
                    }
                }
            }
            Step::Failed(code) => {
                // They need not be the same: a policy demotes the volume that lost, alone.
                let roles = self.roles();
                assert_eq!(roles, before, "a refused role is taken back of all volumes");
                self.finish(Err(format!("{code:?}")))
            }
            Step::TakeBack { volume, role } if before[volume] != role => {
                promotion.result(Ss::NothingToDo, self.vols[volume].volume.state());
                true
            }
            Step::TakeBack { volume, role } => {
                let request = Request::NONE.role(role);
                self.ask_volume(promotion, (volume, request), asked, now)
            }
            Step::Ask { volume, request } => {
                self.ask_volume(promotion, (volume, request), asked, now)
            }
            Step::Finish { forced } => {
                for vol in &mut self.vols {
                    vol.volume.role_changed(forced, &mut self.queues, now);
                    vol.after();
                }
                self.finish(Ok(()))
            }
        }
    }

    fn ask_volume(
        &mut self,
        promotion: &mut Promotion,
        (volume, request): (usize, Request),
        asked: &mut Option<usize>,
        now: u64,
    ) -> bool {
        let mut was_asked = false;
        match self.ask(volume, request, &mut was_asked, now) {
            Some(code) => {
                promotion.result(code, self.vols[volume].volume.state());
                true
            }
            None if was_asked => {
                *asked = Some(volume);
                true
            }
            None => false,
        }
    }

    fn advance_attach(&mut self, v: usize, stage: &mut u8, now: u64) -> bool {
        let vol = &mut self.vols[v];
        if *stage == 0 {
            // A Primary without any disk that takes its old one may begin a split brain: the
            // peer's generation may have become another one.
            let state = vol.volume.state();
            if is_blind(state) && self.kind != Kind::Careless {
                return self.finish(Err("blind".into()));
            }
            if vol.md_late.is_some() {
                return self.finish(Err("Unanswered".into()));
            }
            match vol.volume.begin_attach(&mut self.queues, now) {
                Ok(()) => *stage = 1,
                Err(AttachError::State(Ss::InTransientState)) => return false,
                Err(error) => return self.finish(Err(format!("{error:?}"))),
            }
            vol.after();
            return true;
        }
        if *stage == 1 {
            let mut disk = metadata::open(&mut vol.disk, &vol.md, vol.options);
            let size = vol.volume.size_with(&disk);
            assert!(disk.resize(size));
            vol.attached = true;
            let result = vol.volume.attach(&mut Some(disk), &mut self.queues, now);
            vol.after();
            match result {
                Ok(()) => *stage = 2,
                Err(AttachError::State(Ss::InTransientState)) => {
                    vol.attached = false;
                    return false;
                }
                Err(error) => {
                    vol.attached = false;
                    if self.trace {
                        let have = vol.volume.capacity_sectors();
                        eprintln!(
                            "  {}.{v}: attach of {size} to {have}: {error:?}",
                            self.index
                        );
                    }
                    return self.finish(Err(format!("{error:?}")));
                }
            }
            return true;
        }
        match vol.volume.state().disk {
            Disk::Attaching | Disk::Negotiating => false,
            Disk::Diskless | Disk::Failed => self.finish(Err("refused".into())),
            _ => self.finish(Ok(())),
        }
    }

    fn advance_detach(&mut self, v: usize, stage: &mut u8, force: bool, now: u64) -> bool {
        let vol = &mut self.vols[v];
        match *stage {
            // The last copy stays.
            0 if force && vol.volume.state().pdsk != Disk::UpToDate => {
                self.finish(Err("the last copy".into()))
            }
            0 if force => {
                vol.volume.fail_disk(&mut self.queues, now);
                vol.after();
                *stage = 3;
                true
            }
            0 => {
                vol.volume.freeze(true);
                vol.after();
                if vol.volume.on_disk() > 0 {
                    return false;
                }
                *stage = 1;
                true
            }
            1 | 2 => {
                let mut asked = *stage == 2;
                let request = Request::NONE.disk(Disk::Failed);
                let answer = self.ask(v, request, &mut asked, now);
                *stage = if asked { 2 } else { 1 };
                match answer {
                    None => asked,
                    Some(code) => {
                        self.vols[v].volume.freeze(false);
                        self.vols[v].after();
                        if !code.is_success() {
                            return self.finish(Err(format!("{code:?}")));
                        }
                        *stage = 3;
                        true
                    }
                }
            }
            _ => {
                if vol.volume.state().disk == Disk::Diskless && !vol.attached {
                    return self.finish(Ok(()));
                }
                false
            }
        }
    }

    /// Hands in room for a device that grew.
    pub(crate) fn offer(&mut self, v: usize) {
        let vol = &mut self.vols[v];
        if let Some(offer) = metadata::offer(&vol.disk, &vol.volume) {
            drop(vol.volume.offer(offer));
        }
    }

    fn advance_resize(&mut self, v: usize, wanted: Resize, begun: &mut bool) -> bool {
        if *begun {
            if self.vols[v].volume.sizes_pending() {
                return false;
            }
            return self.finish(Ok(()));
        }
        self.offer(v);
        let vol = &mut self.vols[v];
        let result = vol.volume.resize(wanted);
        vol.after();
        match result {
            Ok(()) => {
                *begun = true;
                true
            }
            Err(ResizeRefusal::Busy) => false,
            Err(refusal) => self.finish(Err(format!("{refusal:?}"))),
        }
    }

    fn advance_disconnect(&mut self, asked: &mut bool) -> bool {
        let stop = End {
            conn: Conn::Disconnecting,
            why: "asked to disconnect",
        };
        match self.phase {
            Phase::StandAlone => self.finish(Ok(())),
            Phase::WfConnection => {
                self.wanted = false;
                self.end_with(stop);
                true
            }
            Phase::Joined(_) if !*asked => {
                *asked = true;
                self.conn_answer = None;
                let request = Request::NONE.conn(Conn::Disconnecting);
                for vol in &self.vols {
                    if let Err(code) = vol.volume.judge(request) {
                        return self.finish(Err(format!("{code:?}")));
                    }
                }
                let _ = self.queues.control(0, Packet::ConnStChgReq(request));
                true
            }
            Phase::Joined(_) => match self.conn_answer.take() {
                None => false,
                Some(code) if code < 1 => self.finish(Err(format!("the peer says {code}"))),
                Some(_) => {
                    self.wanted = false;
                    self.end_with(stop);
                    true
                }
            },
            Phase::Ending | Phase::Draining | Phase::Settling => {
                self.wanted = false;
                false
            }
        }
    }
}

/// Whether a disk that is attached here may be older than what the peer has, and nobody would know: this is a Primary, and the
/// peer's data is out of sight. An Inconsistent peer has nothing newer.
pub(crate) fn is_blind(state: State) -> bool {
    let served = state.pdsk == Disk::UpToDate;
    let worse = state.conn == Conn::Connected && state.pdsk == Disk::Inconsistent;
    state.role == Role::Primary && !served && !worse
}
