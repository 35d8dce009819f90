// SPDX-License-Identifier: GPL-2.0-or-later
//! Changes that somebody asks for, here or at the peer.
//!
//! A change that concerns both nodes is sent to the peer first and applied when it agreed; one at
//! a time (replication-semantics section 11.4, wire-protocol section 8).

use super::{Todo, Volume};
use crate::{
    engine::{link::Link, mem::Mem, reply_queue::ReplyItem},
    state::{
        action::Action,
        after::after_role_change,
        cluster::{on_peer_request, on_reply, plan, while_waiting, Plan, Waiting},
        Conn, Disk as DiskState, Kind, Request, Role, Ss,
    },
    wire::packet::Packet,
};

/// How a request of this node began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// It is done, with this result.
    Done(Ss),
    /// The peer was asked: see [`Volume::take_outcome`].
    Asked,
    /// Another one is under way: try again after [`Todo::WAKE`].
    Busy,
}

/// Result of a request that the peer was asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The code.
    pub code: Ss,
}

/// The request under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admin {
    /// A demotion waits until nothing that was written is in doubt.
    demotes: bool,
    asked: Option<Request>,
    outcome: Option<Outcome>,
}

impl Admin {
    /// Whether the peer owes an answer.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }
}

impl<M: Mem> Volume<M> {
    /// Asks for a change of this volume's state.
    pub fn request(&mut self, request: Request, link: &mut dyn Link, now_ms: u64) -> Begin {
        if self.admin.asked.is_some() || self.sizes_pending() {
            return Begin::Busy;
        }
        // What the peer did not confirm as durable would be marked if the connection broke, but
        // only a Primary begins the new generation that makes the marks count.
        let demotes = self.state.role == Role::Primary
            && request
                .apply_to(self.state)
                .is_ok_and(|wanted| wanted.role == Role::Secondary);
        self.admin.demotes = demotes;
        if self.demotion_waits() {
            return Begin::Busy;
        }
        let promotes = self.state.role != Role::Primary
            && request
                .apply_to(self.state)
                .is_ok_and(|wanted| wanted.role == Role::Primary);
        if promotes && !self.peer.linked && self.peer_ops_in_flight() {
            // What the lost peer wrote is on its way to the disk: it would change under a Primary.
            return Begin::Done(Ss::InTransientState);
        }
        match plan(self.state, request, &self.judgement()) {
            Err(code) => Begin::Done(code),
            Ok(Plan::Local(change)) => {
                self.commit(change, link, now_ms);
                Begin::Done(change.result())
            }
            Ok(Plan::AskPeer) => {
                self.admin = Admin {
                    demotes: false,
                    asked: Some(request),
                    outcome: None,
                };
                if !link.control(self.number, Packet::StateChgReq(request)) {
                    self.admin.asked = None;
                    return Begin::Done(Ss::CwFailedByPeer);
                }
                Begin::Asked
            }
        }
    }

    /// Whether a request would be allowed here, without doing anything.
    pub fn judge(&self, request: Request) -> Result<(), Ss> {
        plan(self.state, request, &self.judgement()).map(|_| ())
    }

    /// The result of a request, once.
    pub fn take_outcome(&mut self) -> Option<Outcome> {
        self.admin.outcome.take()
    }

    /// Whether a request of this node is under way.
    pub fn request_pending(&self) -> bool {
        self.admin.asked.is_some() || self.demotion_waits() || self.sizes_pending()
    }

    /// Whether a demotion has to wait. Ahead as well: that the bits set there count is remembered
    /// by the UUIDs only once the resync has begun.
    fn demotion_waits(&self) -> bool {
        let ahead = self.conn() == Conn::Ahead && !self.context.device_open;
        self.admin.demotes && (self.launched_writes > 0 || ahead)
    }

    /// P_STATE_CHG_REPLY.
    pub fn request_answered(&mut self, reply: i32, link: &mut dyn Link, now_ms: u64) {
        if self.peer.stale_replies > 0 {
            self.peer.stale_replies = self.peer.stale_replies.saturating_sub(1);
            // The peer took what we gave up: it has to be set right.
            if on_reply(reply).is_ok() {
                self.send_state(link);
            }
            return;
        }
        let Some(request) = self.admin.asked.take() else {
            return;
        };
        let role = self.state.role;
        let code = match on_reply(reply) {
            Ok(done) => match self.apply_request(request, link, now_ms) {
                Ok(_) => done,
                Err(code) => {
                    // Something came between, and the peer did what it agreed to: it has to see that nobody follows.
                    self.send_state(link);
                    code
                }
            },
            Err(code) => code,
        };
        // A P_STATE that was under way when the peer agreed undid there what it agreed to.
        if self.state.role != role {
            self.send_state(link);
        }
        self.finish_request(code);
    }

    fn apply_request(
        &mut self,
        request: Request,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<Ss, Ss> {
        let wanted = request.apply_to(self.state)?;
        self.change(wanted, Kind::Soft, link, now_ms)
    }

    fn finish_request(&mut self, code: Ss) {
        self.admin.outcome = Some(Outcome { code });
        self.todo(Todo::WAKE);
        self.sizing_look_again();
    }

    /// The state changed: an outstanding request may have become pointless or impossible.
    pub(super) fn admin_look_again(&mut self, link: &mut dyn Link, now_ms: u64) {
        let Some(request) = self.admin.asked else {
            return;
        };
        match while_waiting(self.state, request, &self.judgement()) {
            Ok(Waiting::Still) => {}
            Ok(Waiting::NoNeed) => {
                self.admin.asked = None;
                self.expect_stale_reply();
                let code = match self.apply_request(request, link, now_ms) {
                    Ok(_) => Ss::CwNoNeed,
                    Err(code) => code,
                };
                self.finish_request(code);
            }
            Err(code) => {
                self.admin.asked = None;
                self.expect_stale_reply();
                self.finish_request(code);
            }
        }
    }

    /// Answers come in the order of the requests; one that is given up is still answered.
    fn expect_stale_reply(&mut self) {
        if self.peer.linked {
            self.peer.stale_replies = self.peer.stale_replies.saturating_add(1);
        }
    }

    /// P_STATE_CHG_REQ of the peer about this volume.
    pub fn peer_requests(&mut self, request: Request, link: &mut dyn Link, now_ms: u64) {
        let code = self.judge_peer(request, false, link, now_ms);
        link.reply(ReplyItem::StateReply {
            volume: self.number,
            connection: false,
            code: code.number(),
        });
    }

    /// What the answer to the peer's request would be. One about the connection is judged for all
    /// volumes with this before [`Self::judge_peer`] applies it to any.
    pub fn would_answer(&self, request: Request, about_connection: bool) -> Ss {
        let busy = self.admin.asked.is_some() && self.peer.resolve_conflicts;
        on_peer_request(
            self.state,
            request,
            busy,
            about_connection,
            &self.judgement(),
        )
        .reply
    }

    /// The peer's request, judged and applied; for one about the connection the caller answers.
    pub fn judge_peer(
        &mut self,
        request: Request,
        about_connection: bool,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Ss {
        let busy = self.admin.asked.is_some() && self.peer.resolve_conflicts
            || !about_connection && self.sizes_pending();
        let answer = on_peer_request(
            self.state,
            request,
            busy,
            about_connection,
            &self.judgement(),
        );
        if let Some(change) = answer.change {
            self.commit(change, link, now_ms);
        }
        answer.reply
    }

    /// What a completed change of the role brings with it: the Primary marker, and perhaps a new
    /// data generation (replication-semantics sections 2.3 and 12).
    pub fn role_changed(&mut self, forced: bool, link: &mut dyn Link, now_ms: u64) {
        let primary = self.state.role == Role::Primary;
        if primary {
            self.peer.discard_my_data = false;
        }
        // A new generation first: the bitmap UUID is the name of the data before the promotion,
        // and must not carry the mark of this one.
        let actions = after_role_change(self.state, forced, &self.facts());
        self.carry_out(&actions, link, now_ms);
        if actions.contains(Action::NewCurrentUuid) && self.conn() == Conn::WfReportParams {
            // A handshake began meanwhile: the peer may judge by the old name what this node judges by the new one.
            self.end_connection(Conn::NetworkFailure);
        }
        if let Some(disk) = self.disk.as_mut() {
            let mut uuids = disk.uuids();
            uuids.set_primary(primary);
            disk.set_uuids(uuids);
        }
        self.todo(Todo::METADATA.with(Todo::ROLE).with(Todo::NOTIFY));
    }

    /// Forgets the request under way; its caller was interrupted.
    pub fn abandon_request(&mut self) {
        if core::mem::take(&mut self.admin).asked.is_some() {
            self.expect_stale_reply();
        }
    }

    /// invalidate without a peer: all bits, and a disk that is worth nothing
    /// (drbd9-api section 5, INVALIDATE).
    pub fn invalidate_alone(&mut self, link: &mut dyn Link, now_ms: u64) -> Result<(), Ss> {
        if self.state.conn >= Conn::Connected || self.state.role == Role::Primary {
            return Err(Ss::NeedConnection);
        }
        if self.state.disk < DiskState::Inconsistent || self.disk.is_none() {
            return Err(Ss::IsDiskless);
        }
        self.hard(link, now_ms, |state| state.disk = DiskState::Inconsistent);
        self.start_bulk(true, super::md::Then::Nothing);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{rig, ConnectionRequest},
        *,
    };

    #[test]
    fn a_promotion_that_ends_in_a_handshake_begins_that_anew() {
        for (conn, anew) in [(Conn::WfConnection, false), (Conn::WfReportParams, true)] {
            let mut volume = rig::volume(Conn::Connected, 8 * 1024);
            let mut peer = rig::Peer::default();
            volume.state.conn = conn;
            volume.state.pdsk = DiskState::Unknown;
            volume.state.peer = Role::Unknown;
            volume.role_changed(false, &mut peer, 0);
            assert!(volume.uuid_hold.is_some(), "a new generation");
            let ends = ConnectionRequest::End(Conn::NetworkFailure);
            assert_eq!(volume.take_connection_request(), anew.then_some(ends));
        }
    }

    #[test]
    fn a_promotion_that_the_peer_granted_is_told_again() {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        let mut peer = rig::Peer::default();
        volume.state.role = Role::Secondary;
        let wanted = Request::NONE.role(Role::Primary);
        assert_eq!(volume.request(wanted, &mut peer, 0), Begin::Asked);
        // What is sent before the answer says Secondary, and arrives after the question.
        volume.send_state(&mut peer);
        volume.request_answered(Ss::Success.number(), &mut peer, 0);
        match peer.controls.last() {
            Some(Packet::State(told)) => assert_eq!(told.role, Role::Primary),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_verify_that_the_peer_granted_in_vain_is_taken_back_there() {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        let mut peer = rig::Peer::default();
        volume.context.verify_alg = true;
        let wanted = Request::NONE.conn(Conn::VerifyS);
        assert_eq!(volume.request(wanted, &mut peer, 0), Begin::Asked);
        // The peer's options, from before it had an algorithm, arrive in between.
        volume.context.verify_alg = false;
        volume.request_answered(Ss::Success.number(), &mut peer, 0);
        assert_eq!(volume.take_outcome().map(|o| o.code), Some(Ss::NoVerifyAlg));
        match peer.controls.last() {
            Some(Packet::State(told)) => assert_eq!(told.conn, Conn::Connected),
            other => panic!("{other:?}"),
        }
    }
}
