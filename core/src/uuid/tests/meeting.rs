// SPDX-License-Identifier: GPL-2.0-or-later
//! The way from the verdict to the outcome: a naive twin, and the promise that two nodes never contradict each other.

use super::*;
use crate::state::Disk;
use crate::uuid::handshake::{handshake, Meeting, Notes, Outcome, Refusal, Sync};
use crate::uuid::policy::{AfterSplitBrain, Demotion, Policy};

fn random_meetings(random: &mut Random) -> (Meeting, Meeting) {
    let (mut one, mut two) = random_pair(random);
    let changes = [random.below(3) as u64, random.below(3) as u64];
    one.peer.dirty_bits = changes[1];
    two.peer.dirty_bits = changes[0];
    let disks = [
        Disk::Inconsistent,
        Disk::Outdated,
        Disk::Consistent,
        Disk::UpToDate,
    ];
    let (disk, peer_disk) = (random.of(&disks), random.of(&disks));
    let after = AfterSplitBrain {
        none: random.of(Policy::ALL),
        one: random.of(Policy::ALL),
        two: random.of(Policy::ALL),
    };
    let rr_conflict = random.of(&[Policy::Disconnect, Policy::CallPriLost, Policy::Violently]);
    let view =
        |compared: Compared, disk, peer_disk, changes, discard_my_data, after_split_brain| {
            Meeting {
                compared,
                disk,
                remembered_disk: disk,
                peer_disk,
                changes,
                discard_my_data,
                dry_run: false,
                always_asbp: false,
                after_split_brain,
                rr_conflict,
                demotion: Demotion::NotTried,
            }
        };
    let discards = |from: &Compared| from.peer.flags.contains(UuidFlags::DISCARD_MY_DATA);
    let mirrored = AfterSplitBrain {
        none: after.none.mirrored(),
        one: after.one.mirrored(),
        two: after.two.mirrored(),
    };
    let mut here = view(one, disk, peer_disk, changes[0], discards(&two), after);
    let mut there = view(two, peer_disk, disk, changes[1], discards(&one), mirrored);
    here.always_asbp = random.flip();
    there.always_asbp = here.always_asbp;
    here.dry_run = random.rarely();
    there.dry_run = here.dry_run;
    (here, there)
}

/// The way from the verdict to the outcome once more, in the numbers of the specification: what to enter (0 Connected,
/// 1 and 2 source, -1 and -2 target), -100 for a refusal, 7 for a demotion.
fn naive_outcome(m: &Meeting) -> i32 {
    let mut r = naive(&m.compared).0;
    if r <= -1000 {
        return -100;
    }
    let (mine, yours) = (m.disk, m.peer_disk);
    if (mine == Disk::Inconsistent && yours > Disk::Inconsistent)
        || (yours == Disk::Inconsistent && mine > Disk::Inconsistent)
    {
        let full = r == -100 || r.abs() == 2;
        r = if mine > Disk::Inconsistent { 1 } else { -1 };
        if full {
            r *= 2;
        }
    }
    if r == 100 || (r == -100 && m.always_asbp) {
        let was = r;
        r = naive_policy(m);
        if r == 7 {
            return 7;
        }
        if r == -101 {
            return -100;
        }
        if r.abs() < 100 && was == -100 {
            r *= 2;
        }
    }
    let peer_discards = m.compared.peer.flags.0 & 1 != 0;
    if r == -100 && m.discard_my_data && !peer_discards {
        r = -1;
    } else if r == -100 && !m.discard_my_data && peer_discards {
        r = 1;
    }
    if r == -100 || (r > 0 && mine <= Disk::Inconsistent) || m.dry_run {
        return -100;
    }
    let refused = m.compared.role == Role::Primary && m.disk >= Disk::Consistent;
    if r < 0 && refused && m.demotion != Demotion::Succeeded && m.rr_conflict != Policy::Violently {
        return -100;
    }
    r
}

fn naive_policy(m: &Meeting) -> i32 {
    let c = &m.compared;
    let tie = if c.resolve_conflicts { -1 } else { 1 };
    let (mine, yours) = (m.changes, c.peer.dirty_bits);
    let zero = match (mine == 0, yours == 0) {
        (true, true) => tie,
        (false, true) => 1,
        (true, false) => -1,
        (false, false) => -100,
    };
    let least = match (mine < yours, mine > yours) {
        (true, _) => -1,
        (_, true) => 1,
        _ => tie,
    };
    let younger = match (c.own.bitmap & 1, c.peer.uuids.bitmap & 1) {
        (0, 1) => -1,
        (1, 0) => 1,
        _ => 0,
    };
    let none = match m.after_split_brain.none.number() {
        1 if younger != 0 => younger,
        2 if younger != 0 => -younger,
        1 | 2 | 4 if zero != -100 => zero,
        1 | 2 | 4 => least,
        3 => zero,
        5 => -1,
        6 => 1,
        _ => -100,
    };
    let primary = c.role == Role::Primary;
    let demoted = match m.demotion {
        Demotion::NotTried => 7,
        Demotion::Succeeded => -1,
        Demotion::Failed => -101,
    };
    match (primary, c.peer_role == Role::Primary) {
        (false, false) => none,
        (true, true) => match m.after_split_brain.two.number() {
            10 => none,
            9 if none == -1 => demoted,
            9 => none,
            _ => -100,
        },
        _ => match m.after_split_brain.one.number() {
            7 if (none == -1 && !primary) || (none == 1 && primary) => none,
            8 => {
                if primary {
                    1
                } else {
                    -1
                }
            }
            9 if none == -1 && primary => demoted,
            9 | 10 => none,
            _ => -100,
        },
    }
}

fn number(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Go(Sync::None) => 0,
        Outcome::Go(Sync::BitmapSource) => 1,
        Outcome::Go(Sync::BitmapTarget) => -1,
        Outcome::Go(Sync::FullSource) => 2,
        Outcome::Go(Sync::FullTarget) => -2,
        Outcome::TryDemote => 7,
        Outcome::Refuse(_) => -100,
    }
}

#[test]
fn two_nodes_never_contradict_each_other() {
    let (mut together, mut refused, mut demoted) = (0, 0, 0);
    for seed in 0..400_000u64 {
        let mut random = Random(seed);
        let (mut one, mut two) = random_meetings(&mut random);
        let mut results = [0, 0];
        for (meeting, result) in [&mut one, &mut two].into_iter().zip(&mut results) {
            *result = number(handshake(meeting).outcome);
            assert_eq!(*result, naive_outcome(meeting), "seed {seed}: {meeting:x?}");
            if *result == 7 {
                demoted += 1;
                meeting.demotion = random.of(&[Demotion::Succeeded, Demotion::Failed]);
                *result = number(handshake(meeting).outcome);
                assert_eq!(*result, naive_outcome(meeting), "seed {seed}: {meeting:x?}");
            }
        }
        if circular(&one.compared) {
            continue;
        }
        if results.contains(&-100) {
            refused += 1;
        } else {
            together += 1;
            assert_eq!(results[0], -results[1], "seed {seed}: {one:x?}");
        }
    }
    assert!(
        together > 10_000 && refused > 10_000 && demoted > 100,
        "{together} {refused} {demoted}"
    );
}

#[test]
fn refusals_by_name() {
    let (mut meeting, _) = random_meetings(&mut Random(1));
    meeting.dry_run = false;
    meeting.discard_my_data = false;
    meeting.always_asbp = false;
    meeting.rr_conflict = Policy::Disconnect;
    meeting.after_split_brain = AfterSplitBrain::DISCONNECT;
    (meeting.disk, meeting.peer_disk) = (Disk::UpToDate, Disk::UpToDate);
    let with = |own: GenUuids, peer: GenUuids| Meeting {
        compared: compared(own, peer),
        ..meeting
    };
    let outcome = |meeting: &Meeting| handshake(meeting).outcome;
    let target = with(gen(B, 0, 0, 0), gen(A, B, 0, 0));
    assert_eq!(outcome(&target), Outcome::Go(Sync::BitmapTarget));
    let primary = Meeting {
        compared: Compared {
            role: Role::Primary,
            ..target.compared
        },
        ..target
    };
    assert_eq!(outcome(&primary), Outcome::Refuse(Refusal::PrimaryAsTarget));
    let violent = Meeting {
        rr_conflict: Policy::Violently,
        ..primary
    };
    assert_eq!(outcome(&violent), Outcome::Go(Sync::BitmapTarget));
    let dry = Meeting {
        dry_run: true,
        ..target
    };
    assert_eq!(
        outcome(&dry),
        Outcome::Refuse(Refusal::DryRun(Sync::BitmapTarget))
    );
    let bad = Meeting {
        disk: Disk::Inconsistent,
        peer_disk: Disk::Inconsistent,
        ..with(gen(A, B, 0, 0), gen(B, 0, 0, 0))
    };
    assert_eq!(outcome(&bad), Outcome::Refuse(Refusal::SourceInconsistent));
    let split = with(gen(A, B, 0, 0), gen(K, B, 0, 0));
    assert_eq!(outcome(&split), Outcome::Refuse(Refusal::SplitBrain));
    assert_eq!(
        outcome(&Meeting {
            discard_my_data: true,
            ..split
        }),
        Outcome::Go(Sync::BitmapTarget)
    );
    assert_eq!(
        outcome(&with(gen(A, 0, B, D), gen(E, 0, K, 0x50))),
        Outcome::Refuse(Refusal::Unrelated)
    );
    // An attaching disk counts as what it is remembered to be.
    let attaching = Meeting {
        disk: Disk::Negotiating,
        remembered_disk: Disk::Inconsistent,
        ..target
    };
    assert_eq!(outcome(&attaching), Outcome::Go(Sync::BitmapTarget));
    assert!(handshake(&attaching).notes.contains(Notes::BY_DISK_STATES));
}
