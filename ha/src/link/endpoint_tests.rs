// SPDX-License-Identifier: GPL-2.0-or-later
//! Two endpoints and everything that may come between them.

use super::*;

const LINKS: usize = 2;

fn key(byte: u8) -> Key {
    Key::new(vec![byte; 32])
}

fn keys(byte: u8) -> Keys {
    Keys::new(key(byte), None).unwrap()
}

fn node(me: u8, incarnation: u64, keys: Keys) -> Endpoint {
    named("lab", me, incarnation, keys)
}

fn named(cluster: &str, me: u8, incarnation: u64, keys: Keys) -> Endpoint {
    let mut nonce = [me; 16];
    nonce[..8].copy_from_slice(&incarnation.to_le_bytes());
    Endpoint::new(cluster, me, incarnation, keys, nonce, [(3 - me, LINKS)])
}

/// A wire without loss between nodes 1 and 2.
struct Pair {
    nodes: [Endpoint; 2],
    now: Duration,
    /// Everything that was ever on it, with its sender.
    recorded: Vec<(u8, Datagram)>,
    got: Vec<(u8, Received)>,
}

impl Pair {
    fn new(one: Endpoint, two: Endpoint) -> Self {
        Pair {
            nodes: [one, two],
            now: Duration::from_secs(100),
            recorded: Vec::new(),
            got: Vec::new(),
        }
    }

    fn at(&mut self, id: u8) -> &mut Endpoint {
        &mut self.nodes[usize::from(id) - 1]
    }

    fn deliver(&mut self, from: u8, out: Vec<Datagram>) {
        for datagram in out {
            self.recorded.push((from, datagram.clone()));
            let mut answers = Vec::new();
            let now = self.now;
            let received = self.at(datagram.to).receive(
                from,
                datagram.link,
                &datagram.bytes,
                now,
                &mut answers,
            );
            if let Some(received) = received {
                self.got.push((datagram.to, received));
            }
            self.deliver(datagram.to, answers);
        }
    }

    fn tick(&mut self) {
        self.now += Duration::from_millis(500);
        for id in [1, 2] {
            let mut out = Vec::new();
            let now = self.now;
            self.at(id).tick(now, &mut out);
            self.deliver(id, out);
        }
    }

    fn say(&mut self, from: u8, text: &str) -> usize {
        let before = self.got.len();
        let mut out = Vec::new();
        self.at(from)
            .send(3 - from, text.as_bytes(), &mut out)
            .unwrap();
        self.deliver(from, out);
        self.got.len() - before
    }

    fn refused(&mut self, id: u8, reason: Reason) -> u64 {
        self.at(id).refused().of(reason)
    }

    /// Plays to node 2 what node 1 said on a link, all that `wanted` picks.
    fn replay(&mut self, recorded: &[(u8, Datagram)]) {
        for (from, datagram) in recorded {
            if *from == 1 {
                self.deliver(1, vec![datagram.clone()]);
            }
        }
    }
}

fn talking() -> Pair {
    let mut pair = Pair::new(node(1, 7, keys(1)), node(2, 4, keys(1)));
    pair.tick();
    pair.tick();
    pair
}

#[test]
fn a_message_comes_once_whatever_the_number_of_links() {
    let mut pair = talking();
    assert_eq!(pair.say(1, "hello"), 1);
    assert_eq!(pair.say(2, "hello yourself"), 1);
    let (to, received) = pair.got.pop().unwrap();
    let wanted = Received {
        from: 2,
        incarnation: 4,
        message: b"hello yourself".to_vec(),
    };
    assert_eq!((to, received), (1, wanted));
    assert_eq!(pair.refused(1, Reason::Replayed), 0);
    let links = pair.at(1).links(2);
    assert_eq!(links.len(), LINKS);
    assert!(links
        .iter()
        .all(|link| link.heard.is_some() && link.round_trip.is_some()));
}

#[test]
fn nothing_is_said_before_both_are_known() {
    let mut pair = Pair::new(node(1, 1, keys(1)), node(2, 1, keys(1)));
    assert_eq!(pair.say(1, "too early"), 0);
    assert!(pair.recorded.is_empty());
}

#[test]
fn the_text_is_not_on_the_wire() {
    let mut pair = talking();
    pair.say(1, "a secret of the cluster");
    let found = pair
        .recorded
        .iter()
        .any(|(_, datagram)| datagram.bytes.windows(8).any(|part| part == b"a secret"));
    assert!(!found);
}

#[test]
fn a_wrong_key_is_heard_by_nobody() {
    let mut pair = Pair::new(node(1, 1, keys(1)), node(2, 1, keys(2)));
    pair.tick();
    pair.tick();
    assert_eq!(pair.say(1, "hello"), 0);
    assert!(pair.refused(2, Reason::WrongKey) > 0);
    assert!(pair.at(1).links(2).iter().all(|link| link.heard.is_none()));
}

#[test]
fn another_cluster_with_the_same_key_is_heard_by_nobody() {
    let mut pair = Pair::new(named("lab", 1, 1, keys(1)), named("prod", 2, 1, keys(1)));
    pair.tick();
    pair.tick();
    assert_eq!(pair.say(1, "hello"), 0);
    assert!(pair.refused(2, Reason::Forged) > 0);
}

#[test]
fn a_replay_is_counted_and_not_heard() {
    let mut pair = talking();
    pair.say(1, "start group db");
    let recorded = pair.recorded.clone();
    let before = pair.got.len();
    pair.now += Duration::from_secs(60);
    pair.replay(&recorded);
    assert_eq!(pair.got.len(), before);
    // The message, and the answer before it.
    assert_eq!(pair.refused(2, Reason::Replayed), 2 * LINKS as u64);
    assert_eq!(pair.say(1, "and on"), 1);
}

#[test]
fn an_answer_that_is_repeated_does_not_make_a_link_look_alive() {
    let mut pair = talking();
    let answers = pair.recorded.clone();
    let answers: Vec<(u8, Datagram)> = answers
        .into_iter()
        .filter(|(_, datagram)| {
            let frame = frame::decode(&datagram.bytes);
            frame.is_some_and(|(frame, _)| matches!(frame.kind, Kind::Ack(..)))
        })
        .collect();
    let heard = |pair: &mut Pair| pair.at(2).links(1).iter().map(|it| it.heard).max();
    let before = heard(&mut pair);
    pair.now += Duration::from_secs(60);
    pair.replay(&answers);
    assert_eq!(heard(&mut pair), before);
    assert_eq!(pair.refused(2, Reason::Replayed), LINKS as u64);
}

#[test]
fn what_was_recorded_in_an_earlier_life_is_not_heard() {
    let mut pair = talking();
    pair.say(1, "I am alive");
    let recorded = pair.recorded.clone();
    // The receiver begins a new life and remembers nothing; the sender is dead.
    *pair.at(2) = node(2, 5, keys(1));
    pair.got.clear();
    for _ in 0..20 {
        pair.now += Duration::from_secs(1);
        for (from, datagram) in &recorded {
            if *from == 1 {
                let mut answers = Vec::new();
                let now = pair.now;
                let got = pair
                    .at(2)
                    .receive(1, datagram.link, &datagram.bytes, now, &mut answers);
                assert_eq!(got, None);
            }
        }
    }
    assert!(pair.got.is_empty());
    assert!(pair.at(2).links(1).iter().all(|link| link.heard.is_none()));
    assert!(pair.refused(2, Reason::NoSession) > 0);
}

#[test]
fn a_new_life_takes_over_and_the_old_one_does_not_come_back() {
    let mut pair = talking();
    pair.say(1, "first life");
    let recorded = pair.recorded.clone();
    *pair.at(1) = node(1, 8, keys(1));
    pair.tick();
    pair.tick();
    assert_eq!(pair.say(1, "second life"), 1);
    assert_eq!(pair.got.last().unwrap().1.incarnation, 8);
    let before = pair.got.len();
    pair.now += Duration::from_secs(60);
    pair.replay(&recorded);
    assert_eq!(pair.got.len(), before);
    assert!(pair.refused(2, Reason::Stale) > 0);
    assert_eq!(pair.say(1, "still there"), 1);
    assert_eq!(pair.say(2, "so are we"), 1);
}

#[test]
fn every_changed_bit_is_found() {
    let mut pair = talking();
    let mut out = Vec::new();
    pair.at(1).send(2, b"do nothing", &mut out).unwrap();
    let good = out.remove(0);
    let before = pair.got.len();
    for bit in 0..good.bytes.len() * 8 {
        let mut bad = good.clone();
        bad.bytes[bit / 8] ^= 1 << (bit % 8);
        pair.deliver(1, vec![bad]);
    }
    for length in 0..good.bytes.len() {
        let mut bad = good.clone();
        bad.bytes.truncate(length);
        pair.deliver(1, vec![bad]);
    }
    assert_eq!(pair.got.len(), before);
    let counted = [
        Reason::Forged,
        Reason::Malformed,
        Reason::NoSession,
        Reason::UnknownNode,
    ];
    assert!(counted
        .iter()
        .all(|reason| pair.at(2).refused().of(*reason) > 0));
    pair.deliver(1, vec![good]);
    assert_eq!(pair.got.len(), before + 1);
}

#[test]
fn who_says_to_be_somebody_else_is_not_heard() {
    let mut pair = talking();
    let mut out = Vec::new();
    pair.at(1).send(2, b"text", &mut out).unwrap();
    let now = pair.now;
    let reflected = pair
        .at(1)
        .receive(2, 0, &out[0].bytes, now, &mut Vec::new());
    assert_eq!(reflected, None);
    assert_eq!(pair.refused(1, Reason::UnknownNode), 1);
}

#[test]
fn greetings_are_looked_at_ten_times_a_second() {
    let mut pair = talking();
    let hello = pair.recorded[0].1.clone();
    for _ in 0..1000 {
        pair.deliver(1, vec![hello.clone()]);
    }
    assert!(pair.refused(2, Reason::Flood) >= 980);
    // Messages are not held up by it.
    assert_eq!(pair.say(1, "on time"), 1);
}

#[test]
fn keys_change_without_a_pause_in_talking() {
    let mut pair = talking();
    let both = || Keys::new(key(1), Some(key(2))).unwrap();
    let new = || keys(2);
    let steps: [(u8, Keys); 4] = [(1, both()), (2, both()), (1, new()), (2, new())];
    for (step, (id, keys)) in steps.into_iter().enumerate() {
        let mut out = Vec::new();
        let now = pair.now;
        let nonce = [100 + u8::try_from(step).unwrap(); 16];
        pair.at(id).set_keys(keys, nonce, now, &mut out);
        pair.deliver(id, out);
        pair.tick();
        assert_eq!(pair.say(1, "hello"), 1, "step {step}");
        assert_eq!(pair.say(2, "hello"), 1, "step {step}");
    }
    // The old key is worth nothing any more.
    let stranger = node(1, 99, keys(1));
    *pair.at(1) = stranger;
    pair.tick();
    assert!(pair.refused(2, Reason::WrongKey) > 0);
}

#[test]
fn a_message_that_does_not_fit_is_refused() {
    let mut pair = talking();
    let mut out = Vec::new();
    let long = vec![0; MESSAGE_BYTES_MAX + 1];
    assert_eq!(
        pair.at(1).send(2, &long, &mut out),
        Err(TooLong(long.len()))
    );
    assert!(out.is_empty());
    pair.at(1).send(2, &long[1..], &mut out).unwrap();
    assert_eq!(out[0].bytes.len(), frame::DATAGRAM_BYTES_MAX);
}

#[test]
fn a_lossy_link_shows_and_costs_nothing() {
    let mut pair = talking();
    for number in 0..200 {
        let mut out = Vec::new();
        pair.at(1).send(2, b"beat", &mut out).unwrap();
        out.retain(|datagram| datagram.link == 0 || number % 2 == 0);
        pair.deliver(1, out);
    }
    assert_eq!(pair.got.len(), 200);
    let links = pair.at(2).links(1);
    assert_eq!(links[0].loss_permille, 0);
    assert_eq!(links[1].loss_permille, 500);
}
