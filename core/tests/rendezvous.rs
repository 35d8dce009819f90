// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes look for each other, in virtual time: ours with ours, and ours with one that goes by
//! the rules of the 8.4 driver (wire-protocol section 1).

use drbd_core::engine::rendezvous::{Rendezvous, Timing, Which};

const TIMING: Timing = Timing {
    connect_int_ms: 10_000,
    check_ms: 500,
};

/// A seeded sequence (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) >> 32).unwrap()
    }

    fn below(&mut self, limit: u32) -> u64 {
        u64::from(self.roll() % limit)
    }
}

type SocketId = usize;

struct Socket {
    which: Which,
    to: usize,
    arrives: u64,
    accepted: bool,
    /// When either end closed it.
    closed: Option<u64>,
}

/// The network: sockets of both nodes, each way `delay` long.
struct Net {
    sockets: Vec<Socket>,
    delay: u64,
    listens_from: [u64; 2],
}

impl Net {
    fn connect(&mut self, from: usize, which: Which, now: u64) -> Option<SocketId> {
        let to = 1 - from;
        if now < self.listens_from[to] {
            return None;
        }
        self.sockets.push(Socket {
            which,
            to,
            arrives: now + self.delay,
            accepted: false,
            closed: None,
        });
        Some(self.sockets.len() - 1)
    }

    fn accept(&mut self, node: usize, now: u64) -> Option<SocketId> {
        let found = self
            .sockets
            .iter()
            .position(|socket| socket.to == node && !socket.accepted && socket.arrives <= now)?;
        self.sockets[found].accepted = true;
        Some(found)
    }

    fn close(&mut self, socket: SocketId, now: u64) {
        self.sockets[socket].closed.get_or_insert(now);
    }

    fn alive(&self, socket: SocketId, now: u64) -> bool {
        let closed = self.sockets[socket].closed;
        closed.is_none_or(|at| now < at + self.delay)
    }
}

#[derive(Default, Clone, Copy)]
struct Pair {
    data: Option<SocketId>,
    meta: Option<SocketId>,
}

impl Pair {
    fn place(&mut self, which: Which) -> &mut Option<SocketId> {
        match which {
            Which::Data => &mut self.data,
            Which::Meta => &mut self.meta,
        }
    }

    fn both(self) -> Option<(SocketId, SocketId)> {
        self.data.zip(self.meta)
    }

    fn drop_dead(&mut self, net: &Net, now: u64) -> Vec<Which> {
        let mut lost = Vec::new();
        for which in [Which::Data, Which::Meta] {
            let place = self.place(which);
            if place.is_some_and(|socket| !net.alive(socket, now)) {
                *place = None;
                lost.push(which);
            }
        }
        lost
    }

    fn put(&mut self, which: Which, socket: SocketId, net: &mut Net, now: u64) {
        if let Some(old) = self.place(which).replace(socket) {
            net.close(old, now);
        }
    }
}

/// A node, asked at every millisecond from its start on. True when it is content with its pair.
trait Node {
    fn step(&mut self, net: &mut Net, dice: &mut Dice, now: u64) -> bool;
    fn pair(&self) -> Pair;
}

/// The loop that the module runs around a [`Rendezvous`].
struct Ours {
    id: usize,
    pair: Pair,
    rendezvous: Rendezvous,
    connecting_until: Option<u64>,
    waits_until: Option<u64>,
}

impl Ours {
    fn node(id: usize, keep_own: bool) -> Box<dyn Node> {
        Box::new(Ours {
            id,
            pair: Pair::default(),
            rendezvous: Rendezvous::new(keep_own),
            connecting_until: None,
            waits_until: None,
        })
    }

    fn forget_dead(&mut self, net: &Net, now: u64) {
        for which in self.pair.drop_dead(net, now) {
            self.rendezvous.lost(which);
        }
    }

    fn wait(&mut self, dice: &mut Dice, now: u64) {
        let ms = self.rendezvous.wait_ms(&TIMING, dice.roll());
        self.waits_until = Some(now + u64::from(ms));
    }
}

impl Node for Ours {
    fn pair(&self) -> Pair {
        self.pair
    }

    fn step(&mut self, net: &mut Net, dice: &mut Dice, now: u64) -> bool {
        let Some(until) = self.waits_until else {
            let Some(connects) = self.connecting_until else {
                self.forget_dead(net, now);
                self.connecting_until = Some(now + 2 * net.delay);
                return false;
            };
            if now < connects {
                return false;
            }
            self.connecting_until = None;
            if let Some(which) = self.rendezvous.missing() {
                if let Some(socket) = net.connect(self.id, which, now) {
                    self.rendezvous.connected(which);
                    self.pair.put(which, socket, net, now);
                }
            }
            self.wait(dice, now);
            return false;
        };
        if let Some(socket) = net.accept(self.id, now) {
            self.forget_dead(net, now);
            let which = net.sockets[socket].which;
            if !net.alive(socket, now) {
                return false;
            }
            if self.rendezvous.accepted(which, dice.roll()) {
                self.pair.put(which, socket, net, now);
                self.waits_until = None;
                if self.rendezvous.missing().is_none() {
                    self.wait(dice, now);
                }
            } else {
                net.close(socket, now);
            }
            return false;
        }
        if now < until {
            return false;
        }
        self.forget_dead(net, now);
        self.waits_until = None;
        self.rendezvous.missing().is_none()
    }
}

/// The 8.4 driver's rules.
struct Stock {
    id: usize,
    pair: Pair,
    state: StockState,
}

enum StockState {
    Connect,
    Check { until: u64, then_wait: bool },
    Wait { until: u64 },
}

impl Stock {
    fn node(id: usize) -> Box<dyn Node> {
        Box::new(Stock {
            id,
            pair: Pair::default(),
            state: StockState::Connect,
        })
    }

    fn check(&mut self, now: u64, then_wait: bool) {
        let pause = if self.pair.both().is_some() {
            u64::from(TIMING.check_ms)
        } else {
            0
        };
        self.state = StockState::Check {
            until: now + pause,
            then_wait,
        };
    }

    fn wait(dice: &mut Dice, now: u64) -> StockState {
        let around = if dice.roll() & 1 == 0 { 8_572 } else { 11_428 };
        StockState::Wait {
            until: now + around,
        }
    }
}

impl Node for Stock {
    fn pair(&self) -> Pair {
        self.pair
    }

    fn step(&mut self, net: &mut Net, dice: &mut Dice, now: u64) -> bool {
        match self.state {
            StockState::Connect => {
                let which = if self.pair.data.is_none() {
                    Which::Data
                } else {
                    Which::Meta
                };
                if self.pair.both().is_none() {
                    if let Some(socket) = net.connect(self.id, which, now) {
                        self.pair.put(which, socket, net, now);
                    }
                }
                self.check(now, true);
            }
            StockState::Check { until, then_wait } if now >= until => {
                let had_both = self.pair.both().is_some();
                if had_both {
                    let _ = self.pair.drop_dead(net, now);
                    if self.pair.both().is_some() {
                        return true;
                    }
                }
                self.state = if then_wait {
                    Self::wait(dice, now)
                } else {
                    StockState::Connect
                };
            }
            StockState::Wait { until } => {
                if let Some(socket) = net.accept(self.id, now) {
                    let which = net.sockets[socket].which;
                    let _ = self.pair.drop_dead(net, now);
                    let crossed = self.pair.place(which).is_some();
                    self.pair.put(which, socket, net, now);
                    if crossed && dice.roll() & 1 == 0 {
                        self.state = Self::wait(dice, now);
                    } else {
                        self.check(now, false);
                    }
                } else if now >= until {
                    self.check(now, false);
                }
            }
            StockState::Check { .. } => {}
        }
        false
    }
}

/// Milliseconds until both have the same pair. A node that is content before stops listening,
/// and what still waits at its door is closed.
fn meet(seed: u64, make: impl Fn() -> [Box<dyn Node>; 2], limit_ms: u64) -> u64 {
    let mut dice = Dice(seed);
    let mut net = Net {
        sockets: Vec::new(),
        delay: dice.below(20),
        listens_from: [dice.below(100), dice.below(100)],
    };
    let mut nodes = make();
    let mut content = [false, false];
    for now in 0..limit_ms {
        // Whoever is asked first has an advantage within a millisecond.
        let first = usize::try_from(dice.below(2)).unwrap();
        for id in [first, 1 - first] {
            if now < net.listens_from[id] {
                continue;
            }
            if !content[id] {
                content[id] = nodes[id].step(&mut net, &mut dice, now);
            }
            if content[id] {
                for socket in 0..net.sockets.len() {
                    if net.sockets[socket].to == id && !net.sockets[socket].accepted {
                        net.close(socket, now);
                    }
                }
            }
        }
        if content == [true, true] {
            let [a, b] = [nodes[0].pair().both(), nodes[1].pair().both()];
            if a == b {
                return now;
            }
            // The handshake fails on both: everything begins anew.
            for socket in 0..net.sockets.len() {
                net.close(socket, now);
            }
            nodes = make();
            content = [false, false];
        }
    }
    panic!(
        "seed {seed}: no pair within {limit_ms} ms of {:?}",
        net.listens_from
    );
}

fn longest(make: impl Fn() -> [Box<dyn Node>; 2], limit_ms: u64) -> (u64, u64) {
    let times: Vec<u64> = (0..3000).map(|seed| meet(seed, &make, limit_ms)).collect();
    let count = u64::try_from(times.len()).unwrap();
    (
        times.iter().sum::<u64>() / count,
        times.iter().max().copied().unwrap(),
    )
}

#[test]
fn ours_meet_at_once() {
    let (mean, max) = longest(|| [Ours::node(0, true), Ours::node(1, false)], 3_000);
    println!("mean {mean} ms, longest {max} ms");
    assert!(mean < 900);
}

#[test]
fn ours_meet_when_both_or_neither_insist() {
    for keep_own in [true, false] {
        let (mean, max) = longest(
            || [Ours::node(0, keep_own), Ours::node(1, keep_own)],
            60_000,
        );
        println!("keep_own {keep_own}: mean {mean} ms, longest {max} ms");
        assert!(mean < 3_000);
    }
}

#[test]
fn ours_and_stock_meet() {
    for keep_own in [true, false] {
        let (mean, max) = longest(|| [Ours::node(0, keep_own), Stock::node(1)], 60_000);
        println!("keep_own {keep_own}: mean {mean} ms, longest {max} ms");
        assert!(mean < 4_000);
    }
}
