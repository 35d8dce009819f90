// SPDX-License-Identifier: GPL-2.0-or-later
//! The tables as wholes: snapshots, and every row with a neighbour it lets pass.

extern crate std;

use std::fmt::Write;
use std::string::String;

use super::{C, DOWN, UP};
use crate::state::check::{is_valid_soft_transition, is_valid_state, is_valid_transition};
use crate::state::rules::{HARD_RULES, SOFT_RULES, STATE_RULES};
use crate::state::sanitize::CLAMPS;
use crate::state::{Conn, Context, Disk, Fencing, Role, State};

#[test]
fn clamp_table() {
    let mut printed = String::new();
    for (index, clamp) in CLAMPS.iter().enumerate() {
        assert_eq!(
            usize::from(clamp.conn.number()),
            index,
            "rows are in the order of the states"
        );
        let _ = writeln!(
            printed,
            "{:14} disk {}..{} pdsk {}..{}",
            clamp.conn.name(),
            clamp.disk.low.name(),
            clamp.disk.high.name(),
            clamp.pdsk.low.name(),
            clamp.pdsk.high.name()
        );
    }
    assert_eq!(
        printed,
        include_str!("../clamps.snapshot"),
        "actual:\n{printed}"
    );
}

#[test]
fn rule_tables() {
    let mut printed = String::new();
    for rule in &STATE_RULES {
        let _ = writeln!(printed, "state {:4} {}", rule.code.number(), rule.name);
    }
    for rule in &SOFT_RULES {
        let _ = writeln!(printed, "soft  {:4} {}", rule.code.number(), rule.name);
    }
    for rule in &HARD_RULES {
        let _ = writeln!(printed, "hard  {:4} {}", rule.code.number(), rule.name);
    }
    assert_eq!(
        printed,
        include_str!("../rules.snapshot"),
        "actual:\n{printed}"
    );
}

/// Rows of the state table: name, state and context that break it, state and context beside it that break nothing.
#[test]
fn every_state_rule_and_its_neighbour() {
    let primary = State {
        role: Role::Primary,
        ..UP
    };
    let alone = State {
        role: Role::Primary,
        peer: Role::Unknown,
        conn: Conn::WfConnection,
        pdsk: Disk::Unknown,
        ..UP
    };
    let open = Context {
        device_open: true,
        ..C
    };
    let fenced = Context {
        fencing: Fencing::ResourceOnly,
        ..C
    };
    let verify = Context {
        verify_alg: true,
        ..C
    };
    let source = State {
        conn: Conn::WfBitMapS,
        pdsk: Disk::Consistent,
        ..UP
    };
    let cases: &[(&str, State, Context, State, Context)] = &[
        (
            "both Primary",
            State {
                peer: Role::Primary,
                ..primary
            },
            C,
            State {
                peer: Role::Primary,
                ..primary
            },
            Context {
                two_primaries: true,
                ..C
            },
        ),
        (
            "peer Primary for another volume",
            primary,
            Context {
                other_peer_primary: true,
                ..C
            },
            UP,
            Context {
                other_peer_primary: true,
                ..C
            },
        ),
        ("Secondary while open", UP, open, primary, open),
        (
            "lone Primary without UpToDate disk",
            State {
                disk: Disk::Consistent,
                ..alone
            },
            C,
            alone,
            C,
        ),
        (
            "lone Primary, peer not outdated",
            alone,
            fenced,
            State {
                pdsk: Disk::Outdated,
                ..alone
            },
            fenced,
        ),
        (
            "Primary with two bad disks",
            State {
                disk: Disk::Inconsistent,
                pdsk: Disk::Inconsistent,
                ..primary
            },
            C,
            State {
                disk: Disk::Inconsistent,
                ..primary
            },
            C,
        ),
        (
            "resync without own disk",
            State {
                conn: Conn::SyncTarget,
                disk: Disk::Failed,
                ..UP
            },
            C,
            State {
                conn: Conn::SyncTarget,
                disk: Disk::Inconsistent,
                ..UP
            },
            C,
        ),
        (
            "resync without peer's disk",
            State {
                conn: Conn::SyncSource,
                pdsk: Disk::Diskless,
                ..UP
            },
            C,
            State {
                conn: Conn::SyncSource,
                pdsk: Disk::Inconsistent,
                ..UP
            },
            C,
        ),
        (
            "resync without UpToDate disk",
            State {
                disk: Disk::Consistent,
                ..source
            },
            C,
            source,
            C,
        ),
        (
            "Outdated while Connected or source",
            State {
                disk: Disk::Outdated,
                ..UP
            },
            C,
            State {
                disk: Disk::Outdated,
                conn: Conn::WfReportParams,
                pdsk: Disk::Unknown,
                ..UP
            },
            C,
        ),
        (
            "verify without algorithm",
            State {
                conn: Conn::VerifyS,
                ..UP
            },
            C,
            State {
                conn: Conn::VerifyS,
                ..UP
            },
            verify,
        ),
        (
            "verify before protocol 88",
            State {
                conn: Conn::VerifyT,
                ..UP
            },
            Context { apv: 87, ..verify },
            State {
                conn: Conn::VerifyT,
                ..UP
            },
            Context { apv: 88, ..verify },
        ),
        (
            "Primary without UpToDate data",
            State {
                disk: Disk::Consistent,
                pdsk: Disk::Consistent,
                ..primary
            },
            C,
            State {
                disk: Disk::Consistent,
                pdsk: Disk::UpToDate,
                ..primary
            },
            C,
        ),
        (
            "full sync with unknown peer disk",
            State {
                conn: Conn::StartingSyncS,
                pdsk: Disk::Unknown,
                ..UP
            },
            C,
            State {
                conn: Conn::StartingSyncS,
                pdsk: Disk::Inconsistent,
                ..UP
            },
            C,
        ),
        (
            "connected with unknown peer disk",
            State {
                pdsk: Disk::Unknown,
                ..UP
            },
            C,
            UP,
            C,
        ),
    ];
    for (rule, (name, broken, broken_in, fine, fine_in)) in STATE_RULES.iter().zip(cases) {
        assert_eq!(rule.name, *name);
        assert_eq!(is_valid_state(*broken, broken_in), Err(rule.code), "{name}");
        let first = STATE_RULES
            .iter()
            .find(|rule| (rule.broken)(broken, broken_in))
            .unwrap();
        assert_eq!(first.name, *name, "the example has to reach its row");
        assert_eq!(is_valid_state(*fine, fine_in), Ok(()), "beside {name}");
    }
    assert_eq!(cases.len(), STATE_RULES.len());
}

#[test]
fn every_soft_rule_and_its_neighbour() {
    let alone = State {
        peer: Role::Unknown,
        conn: Conn::WfConnection,
        pdsk: Disk::Unknown,
        ..UP
    };
    let target = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    let at = |conn: Conn, state: State| State { conn, ..state };
    let primary = |state: State| State {
        role: Role::Primary,
        ..state
    };
    let sent = Context {
        state_sent: true,
        ..C
    };
    let outdating = State {
        conn: Conn::Disconnecting,
        pdsk: Disk::Outdated,
        ..alone
    };
    let poor = State {
        disk: Disk::Inconsistent,
        ..UP
    };
    // Name, then old and new that break it, then old and new that do not, then the context of both.
    let cases: &[(&str, State, State, State, State, Context)] = &[
        (
            "full sync during resync",
            target,
            at(Conn::StartingSyncT, target),
            UP,
            at(Conn::StartingSyncT, UP),
            C,
        ),
        (
            "disconnect from StandAlone",
            DOWN,
            at(Conn::Disconnecting, DOWN),
            alone,
            at(Conn::Disconnecting, alone),
            C,
        ),
        (
            "disk state without disk",
            DOWN,
            State {
                disk: Disk::UpToDate,
                ..DOWN
            },
            DOWN,
            State {
                disk: Disk::Attaching,
                ..DOWN
            },
            C,
        ),
        (
            "connect without configuration",
            DOWN,
            at(Conn::WfConnection, DOWN),
            at(Conn::Unconnected, DOWN),
            at(Conn::WfConnection, DOWN),
            C,
        ),
        (
            "outdate a worse disk",
            State {
                disk: Disk::Inconsistent,
                ..alone
            },
            State {
                disk: Disk::Outdated,
                ..alone
            },
            State {
                disk: Disk::Attaching,
                ..alone
            },
            State {
                disk: Disk::Outdated,
                ..alone
            },
            C,
        ),
        (
            "disconnect while Unconnected",
            at(Conn::Unconnected, DOWN),
            at(Conn::Disconnecting, DOWN),
            at(Conn::WfConnection, DOWN),
            at(Conn::Disconnecting, DOWN),
            C,
        ),
        (
            "other change during handshake",
            at(Conn::WfReportParams, alone),
            primary(at(Conn::WfReportParams, alone)),
            at(Conn::WfReportParams, alone),
            UP,
            sent,
        ),
        (
            "promote while resync is being agreed",
            at(Conn::WfBitMapT, target),
            primary(at(Conn::WfBitMapT, target)),
            target,
            primary(target),
            C,
        ),
        (
            "verify while unconnected",
            alone,
            at(Conn::VerifyS, UP),
            UP,
            at(Conn::VerifyS, UP),
            C,
        ),
        (
            "verify during resync or verify",
            at(Conn::VerifyT, UP),
            at(Conn::VerifyS, UP),
            at(Conn::VerifyS, UP),
            at(Conn::VerifyS, State { susp: true, ..UP }),
            C,
        ),
        (
            "full sync while unconnected",
            alone,
            at(Conn::StartingSyncS, UP),
            UP,
            at(Conn::StartingSyncS, UP),
            C,
        ),
        (
            "resync before the handshake",
            alone,
            target,
            at(Conn::WfReportParams, alone),
            target,
            C,
        ),
        (
            "outdate peer while unconnected",
            alone,
            outdating,
            UP,
            outdating,
            C,
        ),
        (
            "verify of a disk that is not UpToDate",
            poor,
            at(Conn::VerifyT, UP),
            UP,
            at(Conn::VerifyT, UP),
            C,
        ),
        (
            "full sync over the only good disk",
            poor,
            at(Conn::StartingSyncS, UP),
            poor,
            at(Conn::StartingSyncT, poor),
            C,
        ),
        (
            "verify or full sync while a disk is attached",
            State {
                disk: Disk::Negotiating,
                ..UP
            },
            at(Conn::StartingSyncT, UP),
            UP,
            at(Conn::StartingSyncT, UP),
            C,
        ),
    ];
    for (rule, (name, old, new, fine_old, fine_new, context)) in SOFT_RULES.iter().zip(cases) {
        assert_eq!(rule.name, *name);
        assert_eq!(
            is_valid_soft_transition(*old, *new, context),
            Err(rule.code),
            "{name}"
        );
        let last = SOFT_RULES
            .iter()
            .rev()
            .find(|rule| (rule.broken)(old, new, context))
            .unwrap();
        assert_eq!(last.name, *name, "the example has to reach its row");
        assert_eq!(
            is_valid_soft_transition(*fine_old, *fine_new, context),
            Ok(()),
            "beside {name}"
        );
    }
    assert_eq!(cases.len(), SOFT_RULES.len());
    // The handshake begins with a change that is let through, too.
    assert_eq!(
        is_valid_soft_transition(alone, at(Conn::WfReportParams, alone), &sent),
        Ok(())
    );
}

#[test]
fn every_hard_rule_and_its_neighbour() {
    let at = |conn: Conn| State { conn, ..DOWN };
    let failed = State {
        disk: Disk::Failed,
        ..DOWN
    };
    let cases: &[(&str, State, State, State, State)] = &[
        (
            "fail a disk that is gone",
            DOWN,
            failed,
            State {
                disk: Disk::Attaching,
                ..DOWN
            },
            failed,
        ),
        (
            "StandAlone to Disconnecting",
            DOWN,
            at(Conn::Disconnecting),
            at(Conn::Unconnected),
            at(Conn::Disconnecting),
        ),
        (
            "StandAlone only to Unconnected",
            DOWN,
            at(Conn::WfConnection),
            DOWN,
            at(Conn::Unconnected),
        ),
        (
            "Connected only by a handshake",
            at(Conn::WfConnection),
            UP,
            at(Conn::WfReportParams),
            UP,
        ),
        (
            "failure only to Unconnected or Disconnecting",
            at(Conn::Timeout),
            at(Conn::WfConnection),
            at(Conn::TearDown),
            at(Conn::Unconnected),
        ),
        (
            "Disconnecting only to StandAlone",
            at(Conn::Disconnecting),
            at(Conn::Unconnected),
            at(Conn::Disconnecting),
            at(Conn::StandAlone),
        ),
    ];
    for (rule, (name, old, new, fine_old, fine_new)) in HARD_RULES.iter().zip(cases) {
        assert_eq!(rule.name, *name);
        assert_eq!(is_valid_transition(*old, *new), Err(rule.code), "{name}");
        let first = HARD_RULES
            .iter()
            .find(|rule| (rule.broken)(old, new, &C))
            .unwrap();
        assert_eq!(first.name, *name, "the example has to reach its row");
        assert_eq!(
            is_valid_transition(*fine_old, *fine_new),
            Ok(()),
            "beside {name}"
        );
    }
    assert_eq!(cases.len(), HARD_RULES.len());
    // Leaving the connection alone is never a transition.
    for conn in Conn::ALL {
        assert_eq!(
            is_valid_transition(
                at(*conn),
                State {
                    susp: true,
                    ..at(*conn)
                }
            ),
            Ok(())
        );
    }
}
