// SPDX-License-Identifier: GPL-2.0-or-later
//! The switch, with sockets in the place of guests.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use drbd_qemu::switch::{Direction, Faults, Port, Switch};

/// Nothing arrives: waited for this long.
const SILENCE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(10);
const BROADCAST: u8 = 0xff;

/// A card that sends and receives frames by hand.
struct Card {
    number: u8,
    stream: UnixStream,
}

fn mac(number: u8) -> [u8; 6] {
    match number {
        BROADCAST => [0xff; 6],
        number => [0x52, 0x54, 0, 0, 0, number],
    }
}

impl Card {
    fn send(&mut self, to: u8, body: &[u8]) {
        let mut frame = Vec::new();
        frame.extend(mac(to));
        frame.extend(mac(self.number));
        frame.extend([0x08, 0x06]);
        frame.extend(body);
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend(frame);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The body of the next frame that arrives within `limit`.
    fn receive(&mut self, limit: Duration) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return None
            }
            Err(error) => panic!("card {}: {error}", self.number),
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Some(frame.split_off(14))
    }
}

struct Net {
    dir: PathBuf,
    switch: Switch,
    ports: Vec<Port>,
}

impl Net {
    fn new(name: &str, count: usize) -> (Net, Vec<Card>) {
        let dir = std::env::temp_dir().join(format!("drbd-switch-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let switch = Switch::new();
        let ports: Vec<Port> = (0..count)
            .map(|number| switch.add_port(&dir.join(number.to_string())).unwrap())
            .collect();
        let net = Net { dir, switch, ports };
        let mut cards: Vec<Card> = (0..count).map(|number| net.plug_in(number)).collect();
        net.introduce(&mut cards);
        (net, cards)
    }

    fn plug_in(&self, number: usize) -> Card {
        let stream = UnixStream::connect(self.dir.join(number.to_string())).unwrap();
        Card {
            number: number as u8,
            stream,
        }
    }

    /// Everybody broadcasts until everybody has heard everybody: then all are
    /// connected and their places are known.
    fn introduce(&self, cards: &mut [Card]) {
        let begin = Instant::now();
        for sender in 0..cards.len() {
            let mut heard = vec![false; cards.len()];
            heard[sender] = true;
            while !heard.iter().all(|heard| *heard) {
                assert!(begin.elapsed() < PATIENCE, "cards do not hear each other");
                cards[sender].send(BROADCAST, b"hello");
                for (number, heard) in heard.iter_mut().enumerate() {
                    if number != sender {
                        *heard |= cards[number].receive(Duration::from_millis(20)).is_some();
                    }
                }
            }
        }
        for card in cards {
            while card.receive(Duration::from_millis(20)).is_some() {}
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn frames_go_to_their_address_only_and_broadcasts_to_all() {
    let (net, mut cards) = Net::new("learn", 3);
    cards[0].send(1, b"for one");
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"for one");
    assert_eq!(cards[2].receive(SILENCE), None);
    cards[2].send(BROADCAST, b"for all");
    for number in [0, 1] {
        assert_eq!(cards[number].receive(PATIENCE).unwrap(), b"for all");
    }
    assert_eq!(cards[2].receive(SILENCE), None);
    let sent = net.ports[2].counters(Direction::FromGuest);
    assert!(sent.packets >= 2 && sent.bytes >= 21 + 19);
    assert_eq!(sent.dropped, 0);
}

#[test]
fn the_order_of_many_frames_is_kept() {
    let (_net, mut cards) = Net::new("order", 2);
    let mut receiver = cards.pop().unwrap();
    let mut sender = cards.pop().unwrap();
    let thread = std::thread::spawn(move || {
        for number in 0..20_000u32 {
            let body = [number.to_be_bytes(); 40].concat();
            sender.send(1, &body);
            // No more than the queue holds may be on the way.
            if number % 1000 == 999 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        sender
    });
    for number in 0..20_000u32 {
        let body = receiver
            .receive(PATIENCE)
            .unwrap_or_else(|| panic!("frame {number} is lost"));
        assert_eq!(body[..4], number.to_be_bytes());
    }
    drop(thread.join().unwrap());
}

#[test]
fn a_cut_direction_is_silent_and_the_other_is_not() {
    let (net, mut cards) = Net::new("cut", 2);
    let before = net.ports[0].counters(Direction::FromGuest);
    net.ports[0].set(Direction::FromGuest, Faults::CUT);
    cards[0].send(1, b"lost");
    assert_eq!(cards[1].receive(SILENCE), None);
    cards[1].send(0, b"arrives");
    assert_eq!(cards[0].receive(PATIENCE).unwrap(), b"arrives");
    let after = net.ports[0].counters(Direction::FromGuest);
    assert_eq!(
        (after.packets, after.dropped),
        (before.packets, before.dropped + 1)
    );

    net.ports[0].cut(true);
    cards[1].send(0, b"lost too");
    assert_eq!(cards[0].receive(SILENCE), None);
    net.ports[0].cut(false);
    cards[0].send(1, b"healed");
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"healed");
}

#[test]
fn a_blocked_pair_leaves_the_third_alone() {
    let (net, mut cards) = Net::new("pair", 3);
    net.switch.block(0, 1, true);
    cards[0].send(BROADCAST, b"x");
    assert_eq!(cards[1].receive(SILENCE), None);
    assert_eq!(cards[2].receive(PATIENCE).unwrap(), b"x");
    cards[0].send(1, b"y");
    assert_eq!(cards[1].receive(SILENCE), None);
    cards[1].send(0, b"other way");
    assert_eq!(cards[0].receive(PATIENCE).unwrap(), b"other way");
    net.switch.heal();
    cards[0].send(1, b"z");
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"z");
}

#[test]
fn delay_is_late_but_in_order_even_when_it_is_taken_away() {
    let (net, mut cards) = Net::new("delay", 2);
    let delay = Duration::from_millis(200);
    net.ports[0].set(
        Direction::FromGuest,
        Faults {
            delay,
            ..Faults::default()
        },
    );
    let begin = Instant::now();
    cards[0].send(1, b"first");
    std::thread::sleep(Duration::from_millis(50));
    net.ports[0].set(Direction::FromGuest, Faults::default());
    cards[0].send(1, b"second");
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"first");
    assert!(begin.elapsed() >= delay);
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"second");
    net.ports[1].set(
        Direction::ToGuest,
        Faults {
            delay,
            ..Faults::default()
        },
    );
    let begin = Instant::now();
    cards[0].send(1, b"third");
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"third");
    assert!(begin.elapsed() >= delay);
}

#[test]
fn a_rate_limit_holds() {
    let (net, mut cards) = Net::new("rate", 2);
    let rate_bytes_per_s = Some(100_000);
    net.ports[1].set(
        Direction::ToGuest,
        Faults {
            rate_bytes_per_s,
            ..Faults::default()
        },
    );
    let begin = Instant::now();
    for _ in 0..40 {
        cards[0].send(1, &[0; 986]);
    }
    for _ in 0..40 {
        cards[1].receive(PATIENCE).unwrap();
    }
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(390), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
}

#[test]
fn loss_and_corruption_come_at_their_rates_and_are_counted() {
    let (net, mut cards) = Net::new("loss", 2);
    let faults = Faults {
        drop_ppm: 300_000,
        corrupt_ppm: 500_000,
        ..Faults::default()
    };
    let before = net.ports[0].counters(Direction::FromGuest);
    net.ports[0].set(Direction::FromGuest, faults);
    let (mut whole, mut damaged) = (0, 0);
    for _ in 0..1000 {
        cards[0].send(1, &[0; 46]);
    }
    // A perfect last frame, from the other direction's point of view a fence.
    std::thread::sleep(Duration::from_millis(100));
    while let Some(body) = cards[1].receive(Duration::from_millis(300)) {
        match body.iter().map(|byte| byte.count_ones()).sum::<u32>() {
            0 => whole += 1,
            1 => damaged += 1,
            bits => panic!("{bits} bits flipped in one frame"),
        }
    }
    let after = net.ports[0].counters(Direction::FromGuest);
    assert_eq!(after.dropped - before.dropped + whole + damaged, 1000);
    assert_eq!(after.corrupted - before.corrupted, damaged);
    assert!(
        (600..800).contains(&(whole + damaged)),
        "{whole} + {damaged}"
    );
    assert!((250..450).contains(&damaged), "{damaged}");
}

#[test]
fn a_guest_that_comes_back_is_heard_again() {
    let (net, mut cards) = Net::new("again", 3);
    drop(cards.remove(1));
    let fresh = net.plug_in(1);
    cards.insert(1, fresh);
    net.introduce(&mut cards);
    cards[0].send(1, b"welcome");
    assert_eq!(cards[1].receive(PATIENCE).unwrap(), b"welcome");
    assert_eq!(cards[2].receive(SILENCE), None);
}

#[test]
fn a_guest_that_does_not_read_holds_nobody_up() {
    let (net, mut cards) = Net::new("frozen", 3);
    let begin = Instant::now();
    for _ in 0..10_000 {
        cards[0].send(1, &[0; 1000]);
    }
    cards[0].send(2, b"still here");
    assert_eq!(cards[2].receive(PATIENCE).unwrap(), b"still here");
    assert!(begin.elapsed() < PATIENCE);
    let counters = net.ports[1].counters(Direction::ToGuest);
    assert!(counters.dropped > 1000, "{counters:?}");
}

#[test]
fn rubbish_ends_the_connection_of_its_sender_only() {
    let (net, mut cards) = Net::new("rubbish", 2);
    cards[0].stream.write_all(&[0xff; 64]).unwrap();
    cards[0].stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(cards[0].stream.read(&mut [0; 16]).unwrap(), 0);
    cards[0] = net.plug_in(0);
    net.introduce(&mut cards);
    cards[1].send(0, b"fine");
    assert_eq!(cards[0].receive(PATIENCE).unwrap(), b"fine");
}
