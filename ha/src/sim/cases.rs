// SPDX-License-Identifier: GPL-2.0-or-later
//! The cases: shapes of clusters (failover.md 1.1) and what goes wrong with them (failover.md 8).

use super::case::Fact::{Fenced, FencedInAll, InSync, Nowhere, Reset, Runs, RunsSomewhere};
use super::case::Line::{Do, KeepOff, Soon, Stays};
use super::case::{Case, Line};
use super::fault::{Agents, Device, Fault};
use super::shape::Shape;
use crate::core::id::{GroupId, NodeId};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Everything has to run within this after a start, or after a fault with its fencing.
const SOON_MS: u64 = 60_000;

/// Everything that there is.
pub(super) fn all() -> Vec<Case> {
    let mut cases = pair();
    cases.extend(services());
    cases.extend(shapes());
    cases
}

fn case(name: &'static str, shape: Shape, lines: Vec<Line>) -> Case {
    Case {
        name,
        scene: shape.scene(),
        lines,
    }
}

/// A case that begins when each group runs on its first node, with both disks good: where it was started depends on who booted
/// first.
fn at_home(name: &'static str, shape: Shape, lines: Vec<Line>) -> Case {
    let homes = shape.homes();
    let ready = |fact: fn(usize, u8) -> Vec<super::case::Fact>| {
        let facts = homes.iter().enumerate();
        facts
            .flat_map(|(number, home)| fact(number, *home))
            .collect()
    };
    let mut all = vec![Soon(
        SOON_MS,
        ready(|number, _| vec![RunsSomewhere(number), InSync(number)]),
    )];
    all.extend(homes.iter().enumerate().map(|(number, home)| {
        Do(Fault::Move {
            at: NodeId(*home),
            group: GroupId::of(&format!("g{number}")),
            to: NodeId(*home),
        })
    }));
    all.push(Soon(
        SOON_MS,
        ready(|number, home| vec![Runs(number, home)]),
    ));
    all.push(Stays(3000, Vec::new()));
    all.extend(lines);
    case(name, shape, all)
}

/// One group on two nodes, running on the first.
fn two(name: &'static str, lines: Vec<Line>) -> Case {
    at_home(name, Shape::of(2).group(&[1, 2]), lines)
}

fn cut(link: u8) -> Line {
    Do(Fault::CutLink {
        a: N1,
        b: N2,
        link,
        both: true,
    })
}

fn power_cut(node: NodeId, for_ms: u64) -> Line {
    Do(Fault::PowerCut { node, for_ms })
}

/// Networks, power and daemons of a pair.
fn pair() -> Vec<Case> {
    let flap = |times: usize| -> Vec<Line> {
        let once = [
            cut(0),
            cut(1),
            Stays(1500, vec![Runs(0, 1)]),
            Do(Fault::Heal),
            Stays(2500, vec![Runs(0, 1)]),
        ];
        let mut lines: Vec<Line> = once
            .iter()
            .cloned()
            .cycle()
            .take(once.len() * times)
            .collect();
        lines.push(Stays(20_000, vec![Runs(0, 1), FencedInAll(0)]));
        lines
    };
    vec![
        two(
            "power cut of the active node",
            vec![
                KeepOff,
                power_cut(N1, 0),
                Soon(SOON_MS, vec![Runs(0, 2)]),
                Stays(20_000, vec![Runs(0, 2), Fenced(1, 1), Fenced(2, 0)]),
            ],
        ),
        two(
            "both links cut: one survivor",
            vec![
                KeepOff,
                cut(0),
                cut(1),
                // The one with the service is worth more.
                Soon(SOON_MS, vec![Fenced(2, 1)]),
                Stays(40_000, vec![Runs(0, 1), FencedInAll(1)]),
            ],
        ),
        two(
            "the other link cut: nothing happens",
            vec![cut(1), Stays(60_000, vec![Runs(0, 1), FencedInAll(0)])],
        ),
        two(
            "the replication link cut: outdated, not fenced",
            vec![
                cut(0),
                Stays(60_000, vec![Runs(0, 1), FencedInAll(0)]),
                Do(Fault::Heal),
                Soon(SOON_MS, vec![InSync(0)]),
            ],
        ),
        two("flapping links", flap(10)),
        two(
            "frozen node",
            vec![
                Do(Fault::Freeze {
                    node: N1,
                    for_ms: 60_000,
                }),
                Soon(SOON_MS, vec![Fenced(1, 1), Runs(0, 2)]),
                Soon(90_000, vec![InSync(0)]),
                Stays(20_000, vec![Runs(0, 2), FencedInAll(1)]),
            ],
        ),
        two(
            "frozen node, broken power switch: nobody takes over before it thaws",
            vec![
                Do(Fault::Device {
                    node: N1,
                    how: Device::Refuses,
                }),
                Do(Fault::Freeze {
                    node: N1,
                    for_ms: 90_000,
                }),
                Stays(60_000, vec![Fenced(1, 0)]),
                Do(Fault::Device {
                    node: N1,
                    how: Device::Works,
                }),
                Soon(90_000, vec![RunsSomewhere(0)]),
            ],
        ),
        two(
            "daemon of the active node killed",
            vec![
                kill_daemon(N1, 700),
                Stays(30_000, vec![Runs(0, 1), FencedInAll(0)]),
            ],
        ),
        two(
            "daemon of the other node killed",
            vec![
                kill_daemon(N2, 700),
                Stays(30_000, vec![Runs(0, 1), FencedInAll(0)]),
            ],
        ),
        two(
            "a daemon that does not come back",
            vec![
                kill_daemon(N1, 600_000),
                Soon(SOON_MS, vec![Fenced(1, 1), Runs(0, 2)]),
            ],
        ),
    ]
}

fn kill_daemon(node: NodeId, for_ms: u64) -> Line {
    Do(Fault::KillDaemon {
        node,
        for_ms,
        mid_step: false,
    })
}

/// Operators, disks and agents of a pair.
fn services() -> Vec<Case> {
    let group = GroupId::of("g0");
    let agents = |node, how| Do(Fault::Agents { node, group, how });
    let to = |node| {
        Do(Fault::Move {
            at: N1,
            group,
            to: node,
        })
    };
    vec![
        two(
            "planned move",
            vec![
                to(N2),
                Soon(SOON_MS, vec![Runs(0, 2)]),
                Stays(20_000, vec![Runs(0, 2), FencedInAll(0)]),
            ],
        ),
        two(
            "standby",
            vec![
                Do(Fault::Standby {
                    at: N2,
                    node: N1,
                    on: true,
                }),
                Soon(SOON_MS, vec![Runs(0, 2)]),
                Stays(20_000, vec![Runs(0, 2), FencedInAll(0)]),
            ],
        ),
        two(
            "failed stop: the node is reset before anybody takes over",
            vec![
                agents(N1, Agents::StopFails),
                to(N2),
                Soon(SOON_MS, vec![Reset(1), Runs(0, 2)]),
            ],
        ),
        two(
            "a stop that needs force",
            vec![
                agents(N1, Agents::StopFailsOnce),
                to(N2),
                Soon(SOON_MS, vec![Runs(0, 2)]),
                Stays(10_000, vec![Runs(0, 2), FencedInAll(0)]),
            ],
        ),
        two(
            "a service that can't be started moves on",
            vec![
                agents(N2, Agents::NotInstalled),
                to(N2),
                Stays(15_000, vec![FencedInAll(0)]),
                Soon(SOON_MS, vec![Runs(0, 1)]),
                Stays(30_000, vec![FencedInAll(0)]),
            ],
        ),
        two(
            "disk detached under the active node",
            vec![
                Do(Fault::Detach { node: N1 }),
                Soon(SOON_MS, vec![Runs(0, 2)]),
                Stays(20_000, vec![Runs(0, 2), FencedInAll(0)]),
            ],
        ),
    ]
}

/// The shapes of failover.md 1.1, with power cuts that last.
fn shapes() -> Vec<Case> {
    let off = |node| power_cut(node, 0);
    vec![
        at_home(
            "full partition of three",
            Shape::of(3).group(&[1, 2, 3]).group(&[2, 3]),
            vec![
                Do(Fault::Isolate { node: N1 }),
                Do(Fault::Isolate { node: N2 }),
                Soon(SOON_MS, vec![Nowhere(0), Nowhere(1)]),
                Stays(30_000, vec![Nowhere(0), Nowhere(1), FencedInAll(0)]),
                Do(Fault::Heal),
                Soon(SOON_MS, vec![RunsSomewhere(0), RunsSomewhere(1)]),
                Stays(10_000, vec![FencedInAll(0)]),
            ],
        ),
        at_home(
            "one of three isolated",
            Shape::of(3).group(&[1, 2, 3]),
            vec![
                KeepOff,
                Do(Fault::Isolate { node: N1 }),
                Soon(SOON_MS, vec![Fenced(1, 1), Runs(0, 2)]),
                Stays(20_000, vec![Runs(0, 2), FencedInAll(1)]),
            ],
        ),
        at_home(
            "active/active crosswise",
            Shape::of(2).group(&[1, 2]).group(&[2, 1]),
            vec![
                KeepOff,
                off(N1),
                Soon(SOON_MS, vec![Runs(0, 2), Runs(1, 2)]),
                Stays(20_000, vec![Runs(0, 2), Runs(1, 2), FencedInAll(1)]),
            ],
        ),
        at_home(
            "N+1",
            Shape::of(3).group(&[1, 3]).group(&[2, 3]),
            vec![
                power_cut(N1, 20_000),
                Soon(SOON_MS, vec![Runs(0, 3), Runs(1, 2)]),
                Soon(180_000, vec![InSync(0)]),
                KeepOff,
                off(N2),
                Soon(SOON_MS, vec![Runs(0, 3), Runs(1, 3)]),
            ],
        ),
        at_home(
            "N+1 with room for one: the less important waits",
            Shape::of(3).group(&[1, 3]).group(&[2, 3]).room(3, 1),
            vec![
                power_cut(N1, 20_000),
                Soon(SOON_MS, vec![Runs(0, 3), Runs(1, 2)]),
                Soon(180_000, vec![InSync(0)]),
                KeepOff,
                off(N2),
                Soon(SOON_MS, vec![Fenced(2, 1)]),
                Stays(30_000, vec![Runs(0, 3), Nowhere(1)]),
            ],
        ),
        at_home(
            "N-to-1: home again after the resync, without a fencing",
            Shape::of(3).group(&[1, 3]).group(&[2, 3]).failback(),
            vec![
                power_cut(N1, 20_000),
                Soon(SOON_MS, vec![Runs(0, 3), Fenced(1, 1)]),
                Soon(180_000, vec![Runs(0, 1), InSync(0)]),
                Stays(30_000, vec![Runs(0, 1), Runs(1, 2), FencedInAll(1)]),
            ],
        ),
        ring(),
        at_home(
            "N+M with four",
            Shape::of(4)
                .group(&[1, 3])
                .group(&[2, 4])
                .group(&[1, 3, 4])
                .room(3, 1),
            vec![
                KeepOff,
                off(N1),
                // The first takes all the room on its spare, the third has another one.
                Soon(SOON_MS, vec![Runs(0, 3), Runs(1, 2), Runs(2, 4)]),
                Stays(
                    20_000,
                    vec![Runs(0, 3), Runs(1, 2), Runs(2, 4), FencedInAll(1)],
                ),
            ],
        ),
    ]
}

/// Each node in turn.
fn ring() -> Case {
    let mut lines = Vec::new();
    let everything = vec![
        RunsSomewhere(0),
        RunsSomewhere(1),
        RunsSomewhere(2),
        InSync(0),
        InSync(1),
        InSync(2),
    ];
    for node in [N1, N2, N3] {
        lines.push(power_cut(node, 20_000));
        lines.push(Soon(SOON_MS, vec![Fenced(node.0, 1)]));
        lines.push(Soon(180_000, everything.clone()));
    }
    lines.push(Stays(20_000, vec![FencedInAll(3)]));
    at_home(
        "N-to-N in a ring",
        Shape::of(3).group(&[1, 2]).group(&[2, 3]).group(&[3, 1]),
        lines,
    )
}
