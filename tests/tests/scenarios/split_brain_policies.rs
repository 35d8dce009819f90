// SPDX-License-Identifier: GPL-2.0-or-later
//! Both nodes were written to while apart: each after-sb policy, in each role
//! that matters to it, decides whose changes go, or that nobody's do. Both
//! nodes come to the same end, and the disks are equal when they connect.

use std::time::Duration;

use anyhow::{bail, ensure, Result};
use drbd_tests::config::Config;
use drbd_tests::scenario::step;
use drbd_tests::side::SOON;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: over two minutes"]
fn split_brain_policies() {
    scenario("split_brain_policies", &Setup::default(), |cluster| {
        story(cluster, |_| true)
    });
}

/// The stock driver takes part in a choice of them: each policy once.
const WITH_STOCK: [&str; 10] = [
    "0pri disconnect",
    "0pri younger, alpha older",
    "0pri older, alpha older",
    "0pri least, beta fewer",
    "0pri local",
    "1pri consensus, disagreed",
    "1pri secondary, alpha primary",
    "1pri call-pri-lost, alpha loses",
    "discard-my-data",
    "2pri call-pri-lost, alpha loses",
];

#[test]
#[ignore = "full: repeats split_brain_policies with another driver"]
fn split_brain_policies_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock);
    scenario("split_brain_policies_with_stock", &setup, |cluster| {
        story(cluster, |case| WITH_STOCK.contains(&case.name))
    });
}

#[test]
#[ignore = "full: repeats split_brain_policies with another driver"]
fn split_brain_policies_from_stock() {
    let setup = Setup::pairing(Pairing::StockOurs);
    scenario("split_brain_policies_from_stock", &setup, |cluster| {
        story(cluster, |case| WITH_STOCK.contains(&case.name))
    });
}

/// One of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Alpha,
    Beta,
}

/// What becomes of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// This one's changes are undone.
    Loses(Who),
    /// Both stand alone and keep what they have.
    Refused,
    /// This one stands alone; the other does not know, and waits.
    Leaves(Who),
}

/// How they part, what is configured, and how they meet.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    /// `net` options of alpha; beta gets the same with local and remote swapped.
    net: &'static [&'static str],
    /// Primary when the connection is lost.
    parts_primary: Option<Who>,
    /// Blocks that alpha and beta change while apart.
    changes: [u32; 2],
    /// Primaries when they meet.
    primary: &'static [Who],
    /// Somebody holds alpha's device open.
    in_use: bool,
    end: End,
}

use End::{Leaves, Loses, Refused};
use Who::{Alpha, Beta};

impl Case {
    /// Both Secondary when they part and when they meet.
    const fn new(name: &'static str, net: &'static [&'static str], end: End) -> Case {
        Case {
            name,
            net,
            parts_primary: None,
            changes: [2, 2],
            primary: &[],
            in_use: false,
            end,
        }
    }

    const fn parts_primary(self, who: Who) -> Case {
        Case {
            parts_primary: Some(who),
            ..self
        }
    }

    const fn changes(self, alpha: u32, beta: u32) -> Case {
        Case {
            changes: [alpha, beta],
            ..self
        }
    }

    const fn primary(self, primary: &'static [Who]) -> Case {
        Case { primary, ..self }
    }

    const fn in_use(self) -> Case {
        Case {
            in_use: true,
            ..self
        }
    }
}

const LEAST: &str = "after-sb-0pri discard-least-changes";
const TWO: &str = "allow-two-primaries yes";

const CASES: [Case; 28] = [
    Case::new("0pri disconnect", &[], Refused),
    Case::new(
        "0pri younger, alpha older",
        &["after-sb-0pri discard-younger-primary"],
        Loses(Beta),
    )
    .parts_primary(Alpha),
    Case::new(
        "0pri younger, beta older",
        &["after-sb-0pri discard-younger-primary"],
        Loses(Alpha),
    )
    .parts_primary(Beta),
    Case::new(
        "0pri younger, neither was",
        &["after-sb-0pri discard-younger-primary"],
        Loses(Alpha),
    )
    .changes(1, 5),
    Case::new(
        "0pri older, alpha older",
        &["after-sb-0pri discard-older-primary"],
        Loses(Alpha),
    )
    .parts_primary(Alpha),
    Case::new(
        "0pri older, beta older",
        &["after-sb-0pri discard-older-primary"],
        Loses(Beta),
    )
    .parts_primary(Beta),
    Case::new(
        "0pri zero, beta none",
        &["after-sb-0pri discard-zero-changes"],
        Loses(Beta),
    )
    .changes(2, 0),
    Case::new(
        "0pri zero, alpha none",
        &["after-sb-0pri discard-zero-changes"],
        Loses(Alpha),
    )
    .changes(0, 2),
    Case::new(
        "0pri zero, both changed",
        &["after-sb-0pri discard-zero-changes"],
        Refused,
    ),
    Case::new("0pri least, alpha fewer", &[LEAST], Loses(Alpha)).changes(1, 4),
    Case::new("0pri least, beta fewer", &[LEAST], Loses(Beta)).changes(4, 1),
    Case::new("0pri local", &["after-sb-0pri discard-local"], Loses(Alpha)),
    Case::new(
        "0pri remote",
        &["after-sb-0pri discard-remote"],
        Loses(Beta),
    ),
    Case::new("1pri disconnect", &[LEAST], Refused).primary(&[Alpha]),
    Case::new(
        "1pri consensus, agreed",
        &[LEAST, "after-sb-1pri consensus"],
        Loses(Beta),
    )
    .changes(4, 1)
    .primary(&[Alpha]),
    Case::new(
        "1pri consensus, disagreed",
        &[LEAST, "after-sb-1pri consensus"],
        Refused,
    )
    .changes(1, 4)
    .primary(&[Alpha]),
    Case::new(
        "1pri secondary, alpha primary",
        &["after-sb-1pri discard-secondary"],
        Loses(Beta),
    )
    .primary(&[Alpha]),
    Case::new(
        "1pri secondary, beta primary",
        &["after-sb-1pri discard-secondary"],
        Loses(Alpha),
    )
    .primary(&[Beta]),
    Case::new(
        "1pri call-pri-lost, beta loses",
        &[LEAST, "after-sb-1pri call-pri-lost-after-sb"],
        Loses(Beta),
    )
    .changes(4, 1)
    .primary(&[Alpha]),
    Case::new(
        "1pri call-pri-lost, alpha loses",
        &[LEAST, "after-sb-1pri call-pri-lost-after-sb"],
        Loses(Alpha),
    )
    .changes(1, 4)
    .primary(&[Alpha]),
    Case::new(
        "1pri call-pri-lost, in use",
        &[LEAST, "after-sb-1pri call-pri-lost-after-sb"],
        Leaves(Alpha),
    )
    .changes(1, 4)
    .primary(&[Alpha])
    .in_use(),
    Case::new(
        "1pri violently, rr-conflict disconnect",
        &[LEAST, "after-sb-1pri violently-as0p"],
        Leaves(Alpha),
    )
    .changes(1, 4)
    .primary(&[Alpha]),
    Case::new(
        "1pri violently, rr-conflict violently",
        &[
            LEAST,
            "after-sb-1pri violently-as0p",
            "rr-conflict violently",
        ],
        Loses(Alpha),
    )
    .changes(1, 4)
    .primary(&[Alpha]),
    Case::new("discard-my-data", &[], Loses(Beta)),
    Case::new("2pri disconnect", &[LEAST, TWO], Refused).primary(&[Alpha, Beta]),
    Case::new(
        "2pri call-pri-lost, alpha loses",
        &[LEAST, TWO, "after-sb-2pri call-pri-lost-after-sb"],
        Loses(Alpha),
    )
    .changes(1, 4)
    .primary(&[Alpha, Beta]),
    Case::new(
        "2pri call-pri-lost, in use",
        &[LEAST, TWO, "after-sb-2pri call-pri-lost-after-sb"],
        Leaves(Alpha),
    )
    .changes(1, 4)
    .primary(&[Alpha, Beta])
    .in_use(),
    Case::new(
        "2pri violently",
        &[
            LEAST,
            TWO,
            "after-sb-2pri violently-as0p",
            "rr-conflict violently",
        ],
        Loses(Beta),
    )
    .changes(4, 1)
    .primary(&[Alpha, Beta]),
];

/// First block that a node changes while apart.
fn place(who: Who) -> u32 {
    match who {
        Alpha => 100,
        Beta => 200,
    }
}

fn side(cluster: &Cluster, who: Who) -> &Side {
    match who {
        Alpha => &cluster.alpha,
        Beta => &cluster.beta,
    }
}

/// `/etc/drbd.conf` of both, as the policies have to be on either side.
fn configure(cluster: &Cluster, net: &[&str]) -> Result<()> {
    for who in [Alpha, Beta] {
        let mirrored = |line: &&str| match (who, *line) {
            (Beta, "after-sb-0pri discard-local") => "after-sb-0pri discard-remote".to_owned(),
            (Beta, "after-sb-0pri discard-remote") => "after-sb-0pri discard-local".to_owned(),
            (_, line) => line.to_owned(),
        };
        let mut lines: Vec<String> = net.iter().map(mirrored).collect();
        // A busy host is no dead peer.
        lines.push("ping-timeout 50".to_owned());
        lines.push("connect-int 2".to_owned());
        let config = Config {
            net: lines,
            ..Config::default()
        };
        cluster.configure(side(cluster, who), &config)?;
    }
    Ok(())
}

fn story(cluster: &Cluster, wanted: impl Fn(&Case) -> bool) -> Result<()> {
    step("up", || cluster.up_and_synced())?;
    cluster.alpha.secondary()?;
    for (number, case) in CASES.iter().enumerate() {
        if wanted(case) {
            step(case.name, || play(cluster, case, number))?;
        }
    }
    let heard = cluster
        .sides()
        .map(|side| !side.is_ours() || side.node.console_text().contains("split brain: both"));
    ensure!(heard == [true; 2], "one did not say why it stood alone");
    cluster.finish()
}

/// Writes `count` blocks that say who wrote them, and when.
fn write(side: &Side, at: u32, count: u32, mark: &str) -> Result<()> {
    side.sh(&format!(
        "for i in $(seq 0 {count} | head -n -1); do echo {mark} | \
         dd of=/dev/drbd0 bs=4k seek=$(({at} + i)) conv=sync oflag=direct 2>/dev/null; done"
    ))
    .map(drop)
}

fn part(cluster: &Cluster, case: &Case, mark: &str) -> Result<()> {
    if let Some(who) = case.parts_primary {
        side(cluster, who).primary()?;
    }
    for side in cluster.sides() {
        side.drbdadm("disconnect")?;
        side.wait_connection("StandAlone")?;
    }
    for (who, count) in [(Alpha, case.changes[0]), (Beta, case.changes[1])] {
        let side = side(cluster, who);
        if case.parts_primary != Some(who) {
            side.primary()?;
        }
        write(side, place(who), count, mark)?;
        if !case.primary.contains(&who) {
            side.secondary()?;
        }
    }
    Ok(())
}

/// What a node reads where the other wrote, and where it wrote itself.
fn has(side: &Side, who: Who, mark: &str) -> Result<bool> {
    let at = place(who);
    let text = side.sh(&format!(
        "dd if=/dev/vdb bs=4k skip={at} count=1 iflag=direct 2>/dev/null | head -1 | tr -d '\\0'"
    ))?;
    Ok(text.trim() == mark)
}

/// The in-tree driver lets no change of its state happen during a handshake, so its Primary is never demoted there: it calls
/// `pri-lost-after-sb`, which is to end the machine, and leaves.
fn end_of(cluster: &Cluster, case: &Case) -> End {
    let demotes = |line: &&str| line.ends_with("call-pri-lost-after-sb");
    if case.end == Loses(Alpha) && !cluster.alpha.is_ours() && case.net.iter().any(demotes) {
        return Leaves(Alpha);
    }
    case.end
}

fn play(cluster: &Cluster, case: &Case, number: usize) -> Result<()> {
    let end = end_of(cluster, case);
    let mark = format!("case{number}");
    part(cluster, case, &mark)?;
    configure(cluster, case.net)?;
    let user = match case.in_use {
        true => Some(cluster.alpha.node.spawn("exec sleep 900 </dev/drbd0")?),
        false => None,
    };
    if case.in_use {
        std::thread::sleep(Duration::from_millis(500));
    }
    // Ours takes the options from `adjust`, the stock tools from `connect`; both then connect.
    if case.name == "discard-my-data" {
        settle(cluster)?;
    } else {
        cluster.alpha.drbdadm("adjust")?;
        cluster.beta.drbdadm("adjust")?;
    }
    let alone = |view: &drbd_tests::view::View| view.connection == "StandAlone";
    match end {
        Loses(_) => {}
        Refused => {
            for side in cluster.sides() {
                side.wait("StandAlone", SOON, alone)?;
            }
        }
        Leaves(who) => {
            side(cluster, who).wait("StandAlone", SOON, alone)?;
            let other = if who == Alpha { Beta } else { Alpha };
            side(cluster, other).drbdadm("disconnect")?;
            side(cluster, other).wait("StandAlone", SOON, alone)?;
        }
    }
    if let Some(user) = user {
        user.kill()?;
        user.wait(Duration::from_secs(10))?;
    }
    let loser = match end {
        Loses(who) => who,
        Refused | Leaves(_) => {
            for (who, count) in [(Alpha, case.changes[0]), (Beta, case.changes[1])] {
                ensure!(
                    count == 0 || has(side(cluster, who), who, &mark)?,
                    "{who:?} lost its changes although nobody gave in"
                );
            }
            settle(cluster)?;
            Beta
        }
    };
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    for side in cluster.sides() {
        if side.view()?.role == "Primary" {
            side.secondary()?;
        }
    }
    cluster.compare_disks()?;
    for (who, count) in [(Alpha, case.changes[0]), (Beta, case.changes[1])] {
        if count > 0 && has(&cluster.alpha, who, &mark)? == (who == loser) {
            bail!("the changes of {who:?} should be gone if it lost, {loser:?} did");
        }
    }
    Ok(())
}

/// Beta gives up its changes, by hand: what a policy decides goes before.
fn settle(cluster: &Cluster) -> Result<()> {
    let none = [
        "after-sb-0pri disconnect",
        "after-sb-1pri disconnect",
        "after-sb-2pri disconnect",
        "allow-two-primaries no",
    ];
    configure(cluster, &none)?;
    for side in cluster.sides() {
        if side.view()?.role == "Primary" {
            side.secondary()?;
        }
        if side.is_ours() {
            side.drbdadm("net-options")?;
        }
    }
    cluster.beta.drbdadm("-- --discard-my-data connect")?;
    cluster.alpha.drbdadm("connect").map(drop)
}
