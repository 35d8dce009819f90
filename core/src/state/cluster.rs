// SPDX-License-Identifier: GPL-2.0-or-later
//! Changes that the peer has to agree to first.
//!
//! The requester judges the change, asks, waits and then applies the request to whatever its state has become
//! meanwhile. replication-semantics.md section 11.4; the packets are in wire-protocol.md section 8.

use super::check::{apply, check_strictly, is_valid_transition, is_valid_wish, Change, Kind};
use super::context::Context;
use super::model::{Conn, Disk, Role, State};
use super::request::Request;
use super::sanitize::{no_data, sanitize};
use super::ss::Ss;

/// What has to be done for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The change concerns this node alone: take it.
    Local(Change),
    /// Send the request to the peer and wait for its answer, see [`while_waiting`] and [`on_reply`].
    AskPeer,
}

/// Whether the requester still has to wait for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Yes.
    Still,
    /// No: the change stopped concerning the peer (the connection was lost). Apply the request locally; the result
    /// is [`Ss::CwNoNeed`].
    NoNeed,
}

/// Whether the change from `old` to `new` (sanitized) needs the peer's consent.
pub fn is_cluster_wide(old: State, new: State) -> bool {
    if old.conn < Conn::Connected {
        return false;
    }
    let promotes = old.role != Role::Primary && new.role == Role::Primary;
    let becomes = |conn: Conn| old.conn != conn && new.conn == conn;
    let fails_disk = old.disk != Disk::Failed && new.disk == Disk::Failed;
    let while_connected =
        promotes || becomes(Conn::StartingSyncT) || becomes(Conn::StartingSyncS) || fails_disk;
    let from_connected = matches!(new.conn, Conn::VerifyS | Conn::WfReportParams);
    new.conn >= Conn::Connected && while_connected
        || new.conn == Conn::Disconnecting
        || old.conn == Conn::Connected && from_connected
}

/// Decides how to go about a request of this node.
///
/// # Errors
///
/// The code of the rule that forbids it here; the peer is not asked.
pub fn plan(old: State, request: Request, context: &Context) -> Result<Plan, Ss> {
    let wanted = request.apply_to(old)?;
    let new = sanitize(old, wanted, context).state;
    is_valid_transition(old, new)?;
    if is_cluster_wide(old, new) {
        is_valid_wish(old, wanted)?;
        check_strictly(old, new, context)?;
        return Ok(Plan::AskPeer);
    }
    apply(old, wanted, Kind::Soft, context).map(Plan::Local)
}

/// Looks again at a request whose answer is outstanding, after the state changed to `now`.
///
/// # Errors
///
/// The code of the rule that forbids the change meanwhile: give up. [`Ss::InTransientState`] is not among them, it
/// passes by itself.
pub fn while_waiting(now: State, request: Request, context: &Context) -> Result<Waiting, Ss> {
    let new = sanitize(now, request.apply_to(now)?, context).state;
    if !is_cluster_wide(now, new) {
        return Ok(Waiting::NoNeed);
    }
    is_valid_transition(now, new)?;
    match check_strictly(now, new, context) {
        Ok(()) | Err(Ss::InTransientState) => Ok(Waiting::Still),
        Err(code) => Err(code),
    }
}

/// What the peer's answer to a request means for the requester.
///
/// # Errors
///
/// [`Ss::CwFailedByPeer`] when the peer refused; [`Ss::ConcurrentStateChange`] when it had a request of its own under
/// way, so that this one may be tried again.
pub fn on_reply(reply: i32) -> Result<Ss, Ss> {
    if reply >= Ss::Success.number() {
        Ok(Ss::CwSuccess)
    } else if reply == Ss::ConcurrentStateChange.number() {
        Err(Ss::ConcurrentStateChange)
    } else {
        Err(Ss::CwFailedByPeer)
    }
}

/// How a node answers the peer's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Number for P_STATE_CHG_REPLY.
    pub reply: Ss,
    /// Change to take, when there is one.
    pub change: Option<Change>,
}

/// Judges a request received from the peer.
///
/// `request` is as received; `busy` says that this node has a request of its own under way and is the one that
/// resolves conflicts, so that the peer's request has to give way. `forgive_outdate` is set for a connection-wide
/// disconnect, where a disk that is too bad to be outdated does not stand in the way.
pub fn on_peer_request(
    now: State,
    request: Request,
    busy: bool,
    forgive_outdate: bool,
    context: &Context,
) -> Answer {
    if busy {
        return Answer {
            reply: Ss::ConcurrentStateChange,
            change: None,
        };
    }
    let judged = request.converted().apply_to(now).and_then(|mut wanted| {
        if forgive_outdate && wanted.disk == Disk::Outdated && now.disk < Disk::Outdated {
            wanted.disk = now.disk;
        }
        let change = apply(now, wanted, Kind::Soft, context)?;
        if strands_peer(change.old, change.new) {
            return Err(Ss::NoUpToDateDisk);
        }
        Ok(change)
    });
    match judged {
        Ok(change) => Answer {
            reply: change.result(),
            change: Some(change).filter(|change| change.old != change.new),
        },
        Err(code) => Answer {
            reply: code,
            change: None,
        },
    }
}

/// Whether the peer, a Primary, would have data nowhere: it took this disk for a good one, but a resync to it was about
/// to begin.
fn strands_peer(old: State, new: State) -> bool {
    let seen_from_there = |state: State| State {
        role: state.peer,
        disk: state.pdsk,
        pdsk: state.disk,
        ..state
    };
    no_data(seen_from_there(new)) && !no_data(seen_from_there(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTED: State = State {
        peer: Role::Secondary,
        conn: Conn::Connected,
        disk: Disk::UpToDate,
        pdsk: Disk::UpToDate,
        ..State::UNCONFIGURED
    };
    const C: Context = Context::DEFAULT;

    #[test]
    fn outdate_makes_no_good_disk_of_a_worse_one() {
        let outdate = Request::NONE.disk(Disk::Outdated);
        let poor = |pdsk| State {
            disk: Disk::Inconsistent,
            pdsk,
            ..CONNECTED
        };
        for pdsk in [Disk::Diskless, Disk::Inconsistent, Disk::UpToDate] {
            assert_eq!(plan(poor(pdsk), outdate, &C), Err(Ss::LowerThanOutdated));
        }
    }

    #[test]
    fn which_changes_the_peer_is_asked_about() {
        let alone = State {
            conn: Conn::WfConnection,
            pdsk: Disk::Unknown,
            peer: Role::Unknown,
            ..CONNECTED
        };
        for (name, request, asked) in [
            ("promote", Request::NONE.role(Role::Primary), true),
            ("detach", Request::NONE.disk(Disk::Failed), true),
            ("invalidate", Request::NONE.conn(Conn::StartingSyncT), true),
            (
                "invalidate-remote",
                Request::NONE.conn(Conn::StartingSyncS),
                true,
            ),
            ("disconnect", Request::NONE.conn(Conn::Disconnecting), true),
            (
                "renegotiate",
                Request::NONE.conn(Conn::WfReportParams),
                true,
            ),
            ("pause", Request::NONE.user_isp(true), false),
            ("suspend", Request::NONE.susp(true), false),
        ] {
            let planned = plan(CONNECTED, request, &C).unwrap();
            assert_eq!(planned == Plan::AskPeer, asked, "{name}");
        }
        let context = Context {
            verify_alg: true,
            ..C
        };
        assert_eq!(
            plan(CONNECTED, Request::NONE.conn(Conn::VerifyS), &context),
            Ok(Plan::AskPeer)
        );
        assert_eq!(
            plan(CONNECTED, Request::NONE.conn(Conn::VerifyS), &C),
            Err(Ss::NoVerifyAlg)
        );
        let local = plan(alone, Request::NONE.role(Role::Primary), &C).unwrap();
        assert!(matches!(local, Plan::Local(change) if change.new.role == Role::Primary));
        // Demotion concerns nobody else.
        let primary = State {
            role: Role::Primary,
            ..CONNECTED
        };
        assert!(matches!(
            plan(primary, Request::NONE.role(Role::Secondary), &C),
            Ok(Plan::Local(_))
        ));
    }

    #[test]
    fn waiting_ends_with_the_connection() {
        let promote = Request::NONE.role(Role::Primary);
        assert_eq!(while_waiting(CONNECTED, promote, &C), Ok(Waiting::Still));
        let lost = State {
            conn: Conn::NetworkFailure,
            pdsk: Disk::Unknown,
            peer: Role::Unknown,
            ..CONNECTED
        };
        assert_eq!(while_waiting(lost, promote, &C), Ok(Waiting::NoNeed));
        let rival = State {
            peer: Role::Primary,
            ..CONNECTED
        };
        assert_eq!(while_waiting(rival, promote, &C), Err(Ss::TwoPrimaries));
    }

    #[test]
    fn answers_to_the_peer() {
        let promote = Request::NONE.role(Role::Primary);
        let answer = on_peer_request(CONNECTED, promote, false, false, &C);
        assert_eq!(answer.reply, Ss::Success);
        assert_eq!(answer.change.unwrap().new.peer, Role::Primary);
        let mine = State {
            role: Role::Primary,
            ..CONNECTED
        };
        assert_eq!(
            on_peer_request(mine, promote, false, false, &C).reply,
            Ss::TwoPrimaries
        );
        assert_eq!(
            on_peer_request(CONNECTED, promote, true, false, &C).reply,
            Ss::ConcurrentStateChange
        );
        let again = State {
            peer: Role::Primary,
            ..CONNECTED
        };
        let answer = on_peer_request(again, promote, false, false, &C);
        assert_eq!((answer.reply, answer.change), (Ss::NothingToDo, None));
        let junk = Request {
            mask: 0x3,
            val: 0x3,
        };
        assert_eq!(
            on_peer_request(CONNECTED, junk, false, false, &C).reply,
            Ss::UnknownError
        );
    }

    #[test]
    fn a_disk_too_bad_to_be_outdated_does_not_stop_a_disconnect() {
        let target = State {
            conn: Conn::SyncTarget,
            disk: Disk::Inconsistent,
            peer: Role::Primary,
            ..CONNECTED
        };
        let request = Request::NONE.conn(Conn::Disconnecting).pdsk(Disk::Outdated);
        let refused = on_peer_request(target, request, false, false, &C);
        assert_eq!(refused.reply, Ss::LowerThanOutdated);
        let taken = on_peer_request(target, request, false, true, &C);
        assert_eq!(taken.reply, Ss::Success);
        let new = taken.change.unwrap().new;
        assert_eq!((new.conn, new.disk), (Conn::TearDown, Disk::Inconsistent));
    }

    #[test]
    fn replies() {
        assert_eq!(on_reply(1), Ok(Ss::CwSuccess));
        assert_eq!(on_reply(2), Ok(Ss::CwSuccess));
        assert_eq!(on_reply(0), Err(Ss::CwFailedByPeer));
        assert_eq!(on_reply(-2), Err(Ss::CwFailedByPeer));
        assert_eq!(on_reply(-19), Err(Ss::ConcurrentStateChange));
    }

    #[test]
    fn the_source_of_a_resync_keeps_its_disk() {
        // The part that is new is about to be resynchronised, and the Primary has not heard of it yet.
        let grown = State {
            role: Role::Secondary,
            peer: Role::Primary,
            conn: Conn::WfSyncUuid,
            disk: Disk::Outdated,
            ..CONNECTED
        };
        let detach = Request::NONE.disk(Disk::Failed);
        let answer = on_peer_request(grown, detach, false, false, &C);
        assert_eq!(answer.reply, Ss::NoUpToDateDisk);
        assert!(answer.change.is_none());
        // A good disk here is enough, and so is nobody who writes.
        let good = State {
            conn: Conn::Connected,
            disk: Disk::UpToDate,
            ..grown
        };
        let idle = State {
            peer: Role::Secondary,
            ..grown
        };
        for now in [good, idle] {
            let answer = on_peer_request(now, detach, false, false, &C);
            assert!(answer.reply.is_success() && answer.change.is_some());
        }
    }
}
