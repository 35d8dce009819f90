// SPDX-License-Identifier: GPL-2.0-or-later
//! The decision table: a snapshot with an example for every row, its naive twin, and the mirror.

extern crate std;

use std::fmt::Write;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::uuid::compare::{compare, Verdict, ROWS};
use crate::uuid::generation::Fix;

/// An example for every row, in the order of the rows.
fn examples() -> Vec<Compared> {
    let equal = |crashed: bool, peer_crashed: bool| {
        let mut example = compared(gen(A, 0, 0, 0), gen(A | 1, 0, 0, 0));
        example.crashed_primary = crashed;
        if peer_crashed {
            example.peer.flags = UuidFlags::CRASHED_PRIMARY;
        }
        example
    };
    let s = B + SYNC_OFFSET;
    vec![
        compared(gen(4, 0, 0, 0), gen(4, 0, 0, 0)),
        compared(gen(4, 0, 0, 0), gen(A, 0, 0, 0)),
        compared(gen(A, 0, 0, 0), gen(0, 0, 0, 0)),
        compared(gen(A, B, K, D), gen(A, 0, B, K)),
        compared(gen(A, B, K, D), gen(A, 0, K, D)),
        compared(gen(A, 0, B, K), gen(A, B, K, D)),
        compared(gen(A, 0, K, D), gen(A, B, K, D)),
        compared(gen(A, B, K, D), gen(A, E, B, K)),
        compared(gen(A, E, B, K), gen(A, B, K, D)),
        compared(gen(A, B, K, D), gen(A, E, K, D)),
        equal(false, false),
        Compared {
            role: Role::Primary,
            feature_wsame: false,
            ..equal(true, false)
        },
        Compared {
            role: Role::Primary,
            peer_role: Role::Primary,
            ..equal(true, false)
        },
        Compared {
            role: Role::Primary,
            ..equal(false, true)
        },
        Compared {
            peer_role: Role::Primary,
            ..equal(true, false)
        },
        equal(true, false),
        equal(false, true),
        Compared {
            resolve_conflicts: true,
            ..equal(true, true)
        },
        equal(true, true),
        compared(gen(B, 0, K, D), gen(A, B, K, D)),
        compared(gen(B, 0, K, D), gen(A, s, B, K)),
        compared(gen(B, 0, K, D), gen(A, E, B, K)),
        compared(gen(A, B, K, D), gen(B, 0, K, D)),
        compared(gen(A, s, B, K), gen(B, 0, K, D)),
        compared(gen(A, E, B, K), gen(B, 0, K, D)),
        compared(gen(A, B, K, D), gen(E, B, K, D)),
        compared(gen(A, 0, K, D), gen(E, 0, K, D)),
        compared(gen(A, 0, B, K), gen(E, 0, K, D)),
        compared(gen(A, s, B, K), gen(E, B, s + 2, 0x50)),
        compared(gen(E, B, s + 2, 0x50), gen(A, s, B, K)),
        compared(gen(A, 0, B, K), gen(E, 0, D, 0x50)),
    ]
}

#[test]
fn decision_table() {
    let mut printed = String::new();
    for (row, example) in ROWS.iter().zip(examples()) {
        let first = ROWS.iter().find(|row| (row.holds)(&example)).unwrap();
        assert_eq!(first.name, row.name, "the example has to reach its row");
        let result = compare(&example);
        let old = compare(&Compared { apv: 90, ..example });
        let _ = writeln!(
            printed,
            "{:3} {:54} {:8} {:10} below 91: {}",
            row.rule,
            row.name,
            result.verdict.number(),
            match result.fix {
                Fix::None => "-",
                Fix::FinishOwn => "finish own",
                Fix::FinishPeer => "finish peer",
                Fix::UndoOwn => "undo own",
                Fix::UndoPeer => "undo peer",
            },
            old.verdict.number()
        );
        let mut own = example.own;
        let mut peer = example.peer.uuids;
        result.fix.apply(&mut own, &mut peer);
        assert_eq!(result.fix.changes_own(), own != example.own, "{}", row.name);
        assert_eq!(
            result.fix == Fix::None,
            own == example.own && peer == example.peer.uuids
        );
    }
    assert_eq!(examples().len(), ROWS.len());
    assert_eq!(
        printed,
        include_str!("../decisions.snapshot"),
        "actual:\n{printed}"
    );
}

#[test]
fn corrections() {
    let s = B + SYNC_OFFSET;
    for (own, peer, own_after, peer_after) in [
        (
            gen(A, B, K, D),
            gen(A, 0, B, K),
            gen(A, 0, B, K),
            gen(A, 0, B, K),
        ),
        (
            gen(A, 0, B, K),
            gen(A, B, K, D),
            gen(A, 0, B, K),
            gen(A, 0, B, K),
        ),
        (
            gen(B, 0, K, D),
            gen(A, s, B, K),
            gen(B, 0, K, D),
            gen(A, B, K, K),
        ),
        (
            gen(A, s, B, K),
            gen(B, 0, K, D),
            gen(A, B, K, K),
            gen(B, 0, K, D),
        ),
    ] {
        let (mut own_fixed, mut peer_fixed) = (own, peer);
        compare(&compared(own, peer))
            .fix
            .apply(&mut own_fixed, &mut peer_fixed);
        assert_eq!((own_fixed, peer_fixed), (own_after, peer_after));
    }
}

/// Verdicts of a stock node, read from its log.
#[test]
fn comparisons_of_the_stock_driver() {
    // Own, peer, whether the peer announced a crash, then the number and the rule that were logged.
    let logged = [
        (
            gen(0x3160_3776_EE78_39DE, 0x0, 0x05D1_9918_3CB2_0EA2, 0x0),
            gen(0x4, 0x0, 0x0, 0x0),
            false,
            2,
            30,
        ),
        (
            gen(
                0x3160_3776_EE78_39DE,
                0xEEF3_1E3E_343E_8D32,
                0x05D1_9918_3CB2_0EA2,
                0x0,
            ),
            gen(0xEEF3_1E3E_343E_8D32, 0x0, 0x0, 0x0),
            false,
            1,
            70,
        ),
        (
            gen(0x4, 0x0, 0x0, 0x0),
            gen(0x4, 0x0, 0x0, 0x0),
            false,
            0,
            10,
        ),
        (
            gen(0x4, 0x0, 0x0, 0x0),
            gen(0x3C9A_03DF_5336_ED93, 0x4B15_55A2_31AD_993B, 0x0, 0x0),
            false,
            -2,
            20,
        ),
        (
            gen(
                0x3C9A_03DF_5336_ED92,
                0x0,
                0x4B16_55A2_31AD_993A,
                0x4B15_55A2_31AD_993B,
            ),
            gen(
                0x7025_2477_1EFC_464F,
                0x3C9A_03DF_5336_ED93,
                0x4B16_55A2_31AD_993A,
                0x4B15_55A2_31AD_993A,
            ),
            false,
            -1,
            50,
        ),
        (
            gen(
                0x931D_936C_3A50_5755,
                0x7025_2477_1EFC_464F,
                0x3C9B_03DF_5336_ED92,
                0x3C9A_03DF_5336_ED93,
            ),
            gen(
                0x7025_2477_1EFC_464E,
                0x0,
                0x3C9B_03DF_5336_ED92,
                0x3C9A_03DF_5336_ED92,
            ),
            false,
            1,
            70,
        ),
        (
            gen(
                0x931D_936C_3A50_5755,
                0x7026_2477_1EFC_464F,
                0x7025_2477_1EFC_464F,
                0x3C9B_03DF_5336_ED92,
            ),
            gen(
                0x7026_2477_1EFC_464E,
                0x0,
                0x3C9B_03DF_5336_ED92,
                0x3C9A_03DF_5336_ED92,
            ),
            false,
            1,
            70,
        ),
        (
            gen(
                0x4858_A52A_5545_BD18,
                0x931D_936C_3A50_5754,
                0x1443_8CC4_F53E_9966,
                0x1C9E_9CAD_97FD_BD50,
            ),
            gen(
                0x931D_936C_3A50_5755,
                0x0,
                0x1443_8CC4_F53E_9966,
                0x33DF_F289_90DC_0248,
            ),
            false,
            1,
            70,
        ),
        (
            gen(
                0x4858_A52A_5545_BD18,
                0x0,
                0x931E_936C_3A50_5754,
                0x931D_936C_3A50_5754,
            ),
            gen(
                0x4858_A52A_5545_BD19,
                0x0,
                0x931D_936C_3A50_5754,
                0x1C9E_9CAD_97FD_BD50,
            ),
            false,
            0,
            40,
        ),
        (
            gen(
                0x2836_A83A_0B67_8E15,
                0x4858_A52A_5545_BD18,
                0x931E_936C_3A50_5754,
                0x931D_936C_3A50_5754,
            ),
            gen(
                0x97CD_94FE_F518_03AB,
                0x4858_A52A_5545_BD19,
                0x931D_936C_3A50_5754,
                0x1C9E_9CAD_97FD_BD50,
            ),
            false,
            100,
            90,
        ),
        (
            gen(
                0x2836_A83A_0B67_8E14,
                0x4858_A52A_5545_BD18,
                0x931E_936C_3A50_5754,
                0x931D_936C_3A50_5754,
            ),
            gen(
                0x97CD_94FE_F518_03AB,
                0x4858_A52A_5545_BD19,
                0x931D_936C_3A50_5754,
                0x1C9E_9CAD_97FD_BD50,
            ),
            false,
            100,
            90,
        ),
        (
            gen(
                0x7A77_D1A4_0218_292B,
                0x3951_A4E6_E174_3DE1,
                0x0725_B2FF_2206_6E3C,
                0x4,
            ),
            gen(
                0x6D8F_AD9C_CDEA_1263,
                0x3951_A4E6_E174_3DE0,
                0x0725_B2FF_2206_6E3C,
                0x4,
            ),
            false,
            100,
            90,
        ),
    ];
    for (own, peer, crashed, number, rule) in logged {
        let mut example = compared(own, peer);
        example.peer.flags = UuidFlags(u64::from(crashed) * 2);
        let result = compare(&example);
        assert_eq!((result.verdict.number(), result.rule), (number, rule));
    }
}

#[test]
fn the_table_agrees_with_its_naive_twin() {
    let mut rules = [0u32; 102];
    for seed in 0..400_000u64 {
        let mut random = Random(seed);
        let (one, two) = random_pair(&mut random);
        for view in [one, two] {
            let result = compare(&view);
            assert_eq!(
                (result.verdict.number(), result.rule),
                naive(&view),
                "seed {seed}: {view:x?}"
            );
            rules[usize::from(result.rule)] += 1;
        }
    }
    for rule in [
        10, 20, 30, 34, 35, 36, 37, 38, 39, 40, 41, 50, 51, 60, 70, 71, 80, 90, 100,
    ] {
        assert!(
            rules[rule] > 10,
            "rule {rule} was met {} times",
            rules[rule]
        );
    }
}

fn mirror(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::BitmapSource => Verdict::BitmapTarget,
        Verdict::BitmapTarget => Verdict::BitmapSource,
        Verdict::FullSource => Verdict::FullTarget,
        Verdict::FullTarget => Verdict::FullSource,
        Verdict::NoSync
        | Verdict::SplitBrainRecoverable
        | Verdict::SplitBrain
        | Verdict::Unrelated
        | Verdict::NeedsProtocol91
        | Verdict::NeedsFeature => verdict,
    }
}

#[test]
fn both_nodes_come_to_mirrored_verdicts() {
    let mut looked_at = 0;
    for seed in 0..400_000u64 {
        let (one, two) = random_pair(&mut Random(seed));
        if circular(&one) {
            continue;
        }
        looked_at += 1;
        let (mine, yours) = (compare(&one), compare(&two));
        assert_eq!(
            mine.verdict,
            mirror(yours.verdict),
            "seed {seed}: {one:x?} {mine:?} {yours:?}"
        );
        // Corrections leave both with the same idea of each other.
        let (mut own, mut peer) = (one.own, one.peer.uuids);
        mine.fix.apply(&mut own, &mut peer);
        let (mut own_there, mut peer_there) = (two.own, two.peer.uuids);
        yours.fix.apply(&mut own_there, &mut peer_there);
        assert_eq!((own, peer), (peer_there, own_there), "seed {seed}");
    }
    assert!(looked_at > 100_000);
}
