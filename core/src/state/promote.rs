// SPDX-License-Identifier: GPL-2.0-or-later
//! How a promotion and a disconnect get round a refusal, and what a fence-peer handler's answer means.
//!
//! The engine makes an attempt, and on refusal asks here what to try next. replication-semantics.md sections 11.5 and
//! 12.

use super::context::Fencing;
use super::model::{Conn, Disk, State};
use super::request::Request;
use super::ss::Ss;

/// What to do after an attempt at promotion was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try this request.
    Try(Request),
    /// As `Try`; the data was declared UpToDate by the administrator (log it, and see
    /// [`super::after::after_role_change`]).
    TryForced(Request),
    /// As `Try`; the administrator accepts that the peer may be alive ("Forced into split brain situation", log it).
    TrySplitBrain(Request),
    /// Run the fence-peer handler, then ask [`after_fencing`].
    FencePeer,
    /// Wait `ping-timeout` and one tenth of a second more, then try the same request one last time.
    WaitForPeer,
    /// Give up with the refusal.
    GiveUp,
}

/// Attempts a promotion makes before it gives up.
pub const ATTEMPTS_MAX: u32 = 4;

/// What to do after `request` was refused with `code` in state `now`.
///
/// `force` is the administrator's word, `waited` says that [`Next::WaitForPeer`] was used up.
pub fn after_refusal(now: State, request: Request, code: Ss, force: bool, waited: bool) -> Next {
    match code {
        Ss::CwFailedByPeer if request.names_pdsk() => Next::Try(request.without_pdsk()),
        Ss::NoUpToDateDisk
            if force && now.disk >= Disk::Inconsistent && now.disk < Disk::UpToDate =>
        {
            Next::TryForced(request.disk(Disk::UpToDate))
        }
        Ss::NoUpToDateDisk if now.disk == Disk::Consistent && !request_raises_disk(request) => {
            Next::FencePeer
        }
        Ss::PrimaryNop if !request.names_pdsk() => Next::FencePeer,
        Ss::TwoPrimaries if !waited => Next::WaitForPeer,
        Ss::CwNoNeed
        | Ss::CwSuccess
        | Ss::NothingToDo
        | Ss::Success
        | Ss::UnknownError
        | Ss::TwoPrimaries
        | Ss::NoUpToDateDisk
        | Ss::NoLocalDisk
        | Ss::NoRemoteDisk
        | Ss::ConnectedOutdates
        | Ss::PrimaryNop
        | Ss::ResyncRunning
        | Ss::AlreadyStandAlone
        | Ss::CwFailedByPeer
        | Ss::IsDiskless
        | Ss::DeviceInUse
        | Ss::NoNetConfig
        | Ss::NoVerifyAlg
        | Ss::NeedConnection
        | Ss::LowerThanOutdated
        | Ss::NotSupported
        | Ss::InTransientState
        | Ss::ConcurrentStateChange
        | Ss::OtherVolumePeerPrimary
        | Ss::OutdateWithoutConnection => Next::GiveUp,
    }
}

fn request_raises_disk(request: Request) -> bool {
    request == request.disk(Disk::UpToDate)
}

/// What to try after the fence-peer handler that a refusal with `code` called for.
///
/// `fenced` says whether the peer's disk is known to be Outdated or worse. With `force` the promotion goes on without,
/// into a possible split brain (log it).
pub fn after_fencing(request: Request, code: Ss, fenced: bool, force: bool) -> Next {
    match (code, fenced) {
        (Ss::NoUpToDateDisk, true) => Next::Try(request.disk(Disk::UpToDate)),
        (Ss::NoUpToDateDisk, false) => Next::GiveUp,
        (_, true) => Next::Try(request),
        (_, false) if force => Next::TrySplitBrain(request.pdsk(Disk::Outdated)),
        (_, false) => Next::GiveUp,
    }
}

/// What an exit code of the fence-peer handler tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// Ask for this (soft, local), if the connection is still down and nothing connected meanwhile.
    Ask(Request),
    /// As `Ask`; the peer was shot although the policy does not ask for it (log an error).
    AskSurprised(Request),
    /// The handler failed: I/O stays frozen.
    Broken,
}

/// Interprets the exit code of the fence-peer handler; `highest_disk` is the best own disk of the volumes concerned.
pub fn fence_peer_result(exit_code: u8, highest_disk: Disk, policy: Fencing) -> Fenced {
    match exit_code {
        3 => Fenced::Ask(Request::NONE.pdsk(Disk::Inconsistent)),
        4 => Fenced::Ask(Request::NONE.pdsk(Disk::Outdated)),
        5 if highest_disk == Disk::UpToDate => Fenced::Ask(Request::NONE.pdsk(Disk::Outdated)),
        6 => Fenced::Ask(Request::NONE.disk(Disk::Outdated)),
        7 if policy == Fencing::ResourceAndStonith => {
            Fenced::Ask(Request::NONE.pdsk(Disk::Outdated))
        }
        7 => Fenced::AskSurprised(Request::NONE.pdsk(Disk::Outdated)),
        _ => Fenced::Broken,
    }
}

/// What to do after an attempt at a disconnect was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// Try this request (soft).
    Try(Request),
    /// Take this request as a fact (hard).
    Enforce(Request),
    /// Nothing is connected any more: success.
    Done,
    /// Give up with the refusal.
    GiveUp,
}

/// The first request of a disconnect; with `force` it is taken as a fact.
pub const DISCONNECT: Request = Request::NONE.conn(Conn::Disconnecting);

/// What to do after `request` was refused with `code`; `conn_now` is the connection state after the refusal.
pub fn after_disconnect_refusal(request: Request, code: Ss, conn_now: Conn) -> Disconnect {
    let outdates_peer = DISCONNECT.pdsk(Disk::Outdated);
    let outdates_self = DISCONNECT.disk(Disk::Outdated);
    match code {
        Ss::AlreadyStandAlone => Disconnect::Done,
        // The peer has to agree that its disk is outdated.
        Ss::PrimaryNop if request != outdates_peer => Disconnect::Try(outdates_peer),
        Ss::OutdateWithoutConnection => Disconnect::Try(DISCONNECT),
        // The link died while the peer was asked: then nobody needs to be asked.
        Ss::CwFailedByPeer if conn_now <= Conn::WfConnection => Disconnect::Try(DISCONNECT),
        // The peer is Primary and wants this disk outdated.
        Ss::CwFailedByPeer if request != outdates_self => Disconnect::Try(outdates_self),
        Ss::IsDiskless | Ss::LowerThanOutdated => Disconnect::Enforce(DISCONNECT),
        Ss::CwNoNeed
        | Ss::CwSuccess
        | Ss::NothingToDo
        | Ss::Success
        | Ss::UnknownError
        | Ss::TwoPrimaries
        | Ss::NoUpToDateDisk
        | Ss::NoLocalDisk
        | Ss::NoRemoteDisk
        | Ss::ConnectedOutdates
        | Ss::PrimaryNop
        | Ss::ResyncRunning
        | Ss::CwFailedByPeer
        | Ss::DeviceInUse
        | Ss::NoNetConfig
        | Ss::NoVerifyAlg
        | Ss::NeedConnection
        | Ss::NotSupported
        | Ss::InTransientState
        | Ss::ConcurrentStateChange
        | Ss::OtherVolumePeerPrimary => Disconnect::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Role;
    use super::super::{apply, Context, Kind};
    use super::*;

    const PROMOTE: Request = Request::NONE.role(Role::Primary);
    const ALONE: State = State {
        conn: Conn::WfConnection,
        disk: Disk::UpToDate,
        ..State::UNCONFIGURED
    };

    fn attempt(now: State, request: Request, context: &Context) -> Result<Ss, Ss> {
        apply(now, request.apply_to(now)?, Kind::Soft, context).map(|change| change.result())
    }

    #[test]
    fn an_inconsistent_disk_is_promoted_by_force_only() {
        let now = State {
            disk: Disk::Inconsistent,
            ..ALONE
        };
        let refused = attempt(now, PROMOTE, &Context::DEFAULT).unwrap_err();
        assert_eq!(refused, Ss::NoUpToDateDisk);
        assert_eq!(
            after_refusal(now, PROMOTE, refused, false, false),
            Next::GiveUp
        );
        let forced = PROMOTE.disk(Disk::UpToDate);
        assert_eq!(
            after_refusal(now, PROMOTE, refused, true, false),
            Next::TryForced(forced)
        );
        assert_eq!(attempt(now, forced, &Context::DEFAULT), Ok(Ss::Success));
        // Without a disk there is nothing to force.
        let diskless = State {
            disk: Disk::Diskless,
            ..ALONE
        };
        assert_eq!(
            after_refusal(diskless, PROMOTE, refused, true, false),
            Next::GiveUp
        );
    }

    #[test]
    fn a_consistent_disk_is_promoted_once_the_peer_is_fenced() {
        let now = State {
            disk: Disk::Consistent,
            ..ALONE
        };
        let context = Context {
            fencing: Fencing::ResourceOnly,
            ..Context::DEFAULT
        };
        let refused = attempt(now, PROMOTE, &context).unwrap_err();
        assert_eq!(
            after_refusal(now, PROMOTE, refused, false, false),
            Next::FencePeer
        );
        assert_eq!(after_fencing(PROMOTE, refused, false, false), Next::GiveUp);
        let raised = PROMOTE.disk(Disk::UpToDate);
        assert_eq!(
            after_fencing(PROMOTE, refused, true, false),
            Next::Try(raised)
        );
        let fenced = State {
            pdsk: Disk::Outdated,
            ..now
        };
        assert_eq!(attempt(fenced, raised, &context), Ok(Ss::Success));
    }

    #[test]
    fn a_peer_that_may_be_alive_has_to_be_fenced() {
        let context = Context {
            fencing: Fencing::ResourceOnly,
            ..Context::DEFAULT
        };
        let refused = attempt(ALONE, PROMOTE, &context).unwrap_err();
        assert_eq!(refused, Ss::PrimaryNop);
        assert_eq!(
            after_refusal(ALONE, PROMOTE, refused, true, false),
            Next::FencePeer
        );
        assert_eq!(
            after_fencing(PROMOTE, refused, true, false),
            Next::Try(PROMOTE)
        );
        assert_eq!(after_fencing(PROMOTE, refused, false, false), Next::GiveUp);
        let split = PROMOTE.pdsk(Disk::Outdated);
        assert_eq!(
            after_fencing(PROMOTE, refused, false, true),
            Next::TrySplitBrain(split)
        );
        assert_eq!(attempt(ALONE, split, &context), Ok(Ss::Success));
        // The peer turned up meanwhile and refuses to be outdated.
        assert_eq!(
            after_refusal(ALONE, split, Ss::CwFailedByPeer, true, false),
            Next::Try(PROMOTE)
        );
        assert_eq!(
            after_refusal(ALONE, PROMOTE, Ss::CwFailedByPeer, true, false),
            Next::GiveUp
        );
    }

    #[test]
    fn a_rival_is_waited_for_once() {
        assert_eq!(
            after_refusal(ALONE, PROMOTE, Ss::TwoPrimaries, false, false),
            Next::WaitForPeer
        );
        assert_eq!(
            after_refusal(ALONE, PROMOTE, Ss::TwoPrimaries, false, true),
            Next::GiveUp
        );
        assert_eq!(
            after_refusal(ALONE, PROMOTE, Ss::DeviceInUse, true, false),
            Next::GiveUp
        );
    }

    #[test]
    fn exit_codes_of_the_fence_peer_handler() {
        let ask = |code| fence_peer_result(code, Disk::UpToDate, Fencing::ResourceAndStonith);
        assert_eq!(ask(3), Fenced::Ask(Request::NONE.pdsk(Disk::Inconsistent)));
        assert_eq!(ask(4), Fenced::Ask(Request::NONE.pdsk(Disk::Outdated)));
        assert_eq!(ask(5), Fenced::Ask(Request::NONE.pdsk(Disk::Outdated)));
        assert_eq!(
            fence_peer_result(5, Disk::Consistent, Fencing::ResourceOnly),
            Fenced::Broken
        );
        assert_eq!(ask(6), Fenced::Ask(Request::NONE.disk(Disk::Outdated)));
        assert_eq!(ask(7), Fenced::Ask(Request::NONE.pdsk(Disk::Outdated)));
        let surprised = fence_peer_result(7, Disk::UpToDate, Fencing::ResourceOnly);
        assert_eq!(
            surprised,
            Fenced::AskSurprised(Request::NONE.pdsk(Disk::Outdated))
        );
        for code in (0..=255).filter(|code| !(3..=7).contains(code)) {
            assert_eq!(ask(code), Fenced::Broken);
        }
    }

    #[test]
    fn disconnecting() {
        let peer_outdated = DISCONNECT.pdsk(Disk::Outdated);
        let self_outdated = DISCONNECT.disk(Disk::Outdated);
        let next = |request, code, conn| after_disconnect_refusal(request, code, conn);
        assert_eq!(
            next(DISCONNECT, Ss::PrimaryNop, Conn::Connected),
            Disconnect::Try(peer_outdated)
        );
        assert_eq!(
            next(peer_outdated, Ss::PrimaryNop, Conn::Connected),
            Disconnect::GiveUp
        );
        assert_eq!(
            next(DISCONNECT, Ss::CwFailedByPeer, Conn::Connected),
            Disconnect::Try(self_outdated)
        );
        assert_eq!(
            next(self_outdated, Ss::CwFailedByPeer, Conn::Connected),
            Disconnect::GiveUp
        );
        assert_eq!(
            next(self_outdated, Ss::CwFailedByPeer, Conn::WfConnection),
            Disconnect::Try(DISCONNECT)
        );
        assert_eq!(
            next(
                peer_outdated,
                Ss::OutdateWithoutConnection,
                Conn::WfConnection
            ),
            Disconnect::Try(DISCONNECT)
        );
        assert_eq!(
            next(self_outdated, Ss::IsDiskless, Conn::Connected),
            Disconnect::Enforce(DISCONNECT)
        );
        assert_eq!(
            next(self_outdated, Ss::LowerThanOutdated, Conn::Connected),
            Disconnect::Enforce(DISCONNECT)
        );
        assert_eq!(
            next(DISCONNECT, Ss::AlreadyStandAlone, Conn::StandAlone),
            Disconnect::Done
        );
        assert_eq!(
            next(DISCONNECT, Ss::NoUpToDateDisk, Conn::Connected),
            Disconnect::GiveUp
        );
    }
}
