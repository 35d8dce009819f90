// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests that look at the comparison and the handshake as wholes, and what they share: UUIDs to choose from, and a naive
//! twin of the decision table.

mod incoming;
mod lives;
mod meeting;
mod table;

use super::compare::Compared;
use super::generation::{GenUuids, PeerUuids, UuidFlags, SYNC_OFFSET};
use crate::state::tests::Random;
use crate::state::Role;

const A: u64 = 0xa0;
const B: u64 = 0xb0;
const K: u64 = 0xc0;
const D: u64 = 0xd0;
const E: u64 = 0xe0;

fn gen(current: u64, bitmap: u64, younger: u64, older: u64) -> GenUuids {
    GenUuids {
        current,
        bitmap,
        history: [younger, older],
    }
}

fn compared(own: GenUuids, peer: GenUuids) -> Compared {
    Compared {
        own,
        peer: PeerUuids {
            uuids: peer,
            ..PeerUuids::default()
        },
        role: Role::Secondary,
        peer_role: Role::Secondary,
        crashed_primary: false,
        resolve_conflicts: false,
        apv: 101,
        feature_wsame: true,
    }
}

/// The table once more, written down as nested conditions straight from the specification.
fn naive(c: &Compared) -> (i32, u8) {
    let mask = |uuid: u64| uuid & !1;
    let (own, peer) = (&c.own, &c.peer.uuids);
    let (me, you) = (mask(own.current), mask(peer.current));
    if me == 4 && you == 4 {
        return (0, 10);
    }
    if (me == 4 || me == 0) && you != 4 {
        return (-2, 20);
    }
    if me != 4 && (you == 4 || you == 0) {
        return (2, 30);
    }
    let too_old = c.apv < 91;
    if me == you {
        if peer.bitmap == 0 && own.bitmap != 0 {
            let missed = mask(own.bitmap) == mask(peer.history[0])
                && mask(own.history[0]) == mask(peer.history[1]);
            return (
                if too_old { -1091 } else { 1 },
                if missed { 34 } else { 36 },
            );
        }
        if own.bitmap == 0 && peer.bitmap != 0 {
            let missed = mask(own.history[0]) == mask(peer.bitmap)
                && mask(own.history[1]) == mask(peer.history[0]);
            return (
                if too_old { -1091 } else { -1 },
                if missed { 35 } else { 37 },
            );
        }
        // Ours alone, see the table.
        if own.bitmap != 0 && peer.bitmap != 0 {
            let here = mask(own.bitmap) == mask(peer.history[0])
                && mask(own.history[0]) == mask(peer.history[1]);
            let there = mask(own.history[0]) == mask(peer.bitmap)
                && mask(own.history[1]) == mask(peer.history[0]);
            return match (here, there) {
                (true, false) => (if too_old { -1091 } else { -1 }, 38),
                (false, true) => (if too_old { -1091 } else { 1 }, 38),
                _ => (-100, 39),
            };
        }
        let peer_crashed = c.peer.flags.0 & 2 != 0;
        if !c.crashed_primary && !peer_crashed {
            return (0, 40);
        }
        if c.role == Role::Primary || c.peer_role == Role::Primary {
            if !c.feature_wsame {
                return (-(0x10000 | 101 | (4 << 8)), 41);
            }
            return match (c.role, c.peer_role) {
                (Role::Primary, Role::Primary) => (-100, 41),
                (Role::Primary, _) => (1, 41),
                _ => (-1, 41),
            };
        }
        return match (c.crashed_primary, peer_crashed) {
            (true, false) => (1, 40),
            (false, true) => (-1, 40),
            _ if c.resolve_conflicts => (-1, 40),
            _ => (1, 40),
        };
    }
    if me == mask(peer.bitmap) {
        return (-1, 50);
    }
    if me == mask(peer.history[0]) {
        let lost = if c.apv >= 96 {
            mask(peer.history[0]).wrapping_add(1 << 48) == mask(peer.bitmap)
        } else {
            mask(own.history[0]) == mask(peer.history[1])
        };
        if lost {
            return (if too_old { -1091 } else { -1 }, 51);
        }
    }
    if me == mask(peer.history[0]) || me == mask(peer.history[1]) {
        return (-2, 60);
    }
    if mask(own.bitmap) == you {
        return (1, 70);
    }
    if mask(own.history[0]) == you {
        let lost = if c.apv >= 96 {
            mask(own.history[0]).wrapping_add(1 << 48) == mask(own.bitmap)
        } else {
            mask(own.history[1]) == mask(peer.history[0])
        };
        if lost {
            return (if too_old { -1091 } else { 1 }, 71);
        }
    }
    if you == mask(own.history[0]) || you == mask(own.history[1]) {
        return (2, 80);
    }
    if mask(own.bitmap) == mask(peer.bitmap) && mask(own.bitmap) != 0 {
        return (100, 90);
    }
    for mine in own.history {
        for yours in peer.history {
            if mask(mine) == mask(yours) {
                return (-100, 100);
            }
        }
    }
    for (bitmap, past) in [(peer.bitmap, own.history), (own.bitmap, peer.history)] {
        if bitmap != 0 && past.iter().any(|past| mask(*past) == mask(bitmap)) {
            return (-100, 101);
        }
    }
    (-1000, 100)
}

const POOL: [u64; 14] = [
    0,
    0,
    4,
    5,
    1,
    A,
    A | 1,
    B,
    B | 1,
    K,
    D,
    A + SYNC_OFFSET,
    B + SYNC_OFFSET,
    K + SYNC_OFFSET,
];

fn random_gen(random: &mut Random) -> GenUuids {
    gen(
        random.of(&POOL),
        random.of(&POOL),
        random.of(&POOL),
        random.of(&POOL),
    )
}

/// Two views of one random pair of nodes.
fn random_pair(random: &mut Random) -> (Compared, Compared) {
    let (one, two) = (random_gen(random), random_gen(random));
    let (mut one, mut two) = (compared(one, two), compared(two, one));
    one.role = random.of(&[Role::Primary, Role::Secondary]);
    two.role = random.of(&[Role::Primary, Role::Secondary]);
    (one.peer_role, two.peer_role) = (two.role, one.role);
    (one.crashed_primary, two.crashed_primary) = (random.flip(), random.flip());
    one.resolve_conflicts = random.flip();
    two.resolve_conflicts = !one.resolve_conflicts;
    one.apv = random.of(&[86, 90, 91, 95, 96, 101]);
    two.apv = one.apv;
    one.feature_wsame = !random.rarely();
    two.feature_wsame = one.feature_wsame;
    // A Primary does not discard its data: promotion ends the wish and connect refuses it.
    let discard = [
        random.rarely() && one.role != Role::Primary,
        random.rarely() && two.role != Role::Primary,
    ];
    one.peer.flags = UuidFlags(u64::from(two.crashed_primary) * 2 + u64::from(discard[1]));
    two.peer.flags = UuidFlags(u64::from(one.crashed_primary) * 2 + u64::from(discard[0]));
    (one, two)
}

/// Histories in which each side is the other's past do not arise: nobody resynchronises into a circle.
fn circular(one: &Compared) -> bool {
    let past = |uuid: u64, of: &GenUuids| {
        [of.bitmap, of.history[0], of.history[1]]
            .iter()
            .any(|old| (old ^ uuid) & !1 == 0)
    };
    let both_empty = one.own.current & !1 == 0 && one.peer.uuids.current & !1 == 0;
    both_empty || past(one.own.current, &one.peer.uuids) && past(one.peer.uuids.current, &one.own)
}
