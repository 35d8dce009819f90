// SPDX-License-Identifier: GPL-2.0-or-later
//! A port of the switch, with the cable to its guest.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::fault::{flip_a_bit, swap_words, Dice, Faults};
use super::frame::{self, LENGTH_BYTES};
use super::outlet::Outlet;
use super::Switch;
use crate::error::{Error, Result};
use crate::socket::{wait_readable, Door};

/// Which way along a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the guest sends.
    FromGuest,
    /// What the guest is sent.
    ToGuest,
}

/// What went over one direction of a cable since the port was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that passed.
    pub packets: u64,
    /// Bytes of those frames, Ethernet headers included.
    pub bytes: u64,
    /// Frames lost by faults, or because the guest does not take them.
    pub dropped: u64,
    /// Frames corrupted.
    pub corrupted: u64,
}

/// One direction of the cable.
struct Lane {
    faults: Faults,
    counters: Counters,
    dice: Dice,
    /// When the last delayed frame is due, so that none overtakes it.
    last_due: Option<Instant>,
    /// When the rate limit lets the next frame begin.
    free_at: Option<Instant>,
}

impl Lane {
    fn new(seed: u64) -> Lane {
        Lane {
            faults: Faults::default(),
            counters: Counters::default(),
            dice: Dice::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            last_due: None,
            free_at: None,
        }
    }

    /// Whether frames pass as they are, at once.
    fn is_plain(&self, now: Instant) -> bool {
        self.faults.is_none() && self.last_due.is_none_or(|due| due <= now)
    }

    /// Sends one packet through: `None` if it is lost, else when it arrives.
    fn pass(&mut self, packet: &mut [u8], base: Instant) -> Option<Instant> {
        let length = (packet.len() - LENGTH_BYTES) as u64;
        if self.faults.cut || self.dice.hit(self.faults.drop_ppm) {
            self.counters.dropped += 1;
            return None;
        }
        let body = packet.get_mut(LENGTH_BYTES..).unwrap_or_default();
        if self.dice.hit(self.faults.corrupt_ppm) {
            flip_a_bit(body, &mut self.dice);
            self.counters.corrupted += 1;
        }
        if self.dice.hit(self.faults.corrupt_hidden_ppm) && swap_words(body, &mut self.dice) {
            self.counters.corrupted += 1;
        }
        let mut due = base + self.faults.delay;
        if let Some(rate) = self.faults.rate_bytes_per_s {
            let begin = self.free_at.map_or(base, |free| free.max(base));
            let nanoseconds = length.saturating_mul(1_000_000_000) / rate.max(1);
            let end = begin + Duration::from_nanos(nanoseconds);
            self.free_at = Some(end);
            due = end + self.faults.delay;
        }
        due = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(due);
        self.counters.packets += 1;
        self.counters.bytes += length;
        Some(due)
    }
}

struct Inner {
    number: usize,
    outlet: Outlet,
    from_guest: Mutex<Lane>,
    to_guest: Mutex<Lane>,
    guest: Mutex<Guest>,
}

#[derive(Default)]
struct Guest {
    stream: Option<Arc<UnixStream>>,
    closed: bool,
}

/// A port of a [`Switch`].
#[derive(Clone)]
pub struct Port {
    inner: Arc<Inner>,
}

impl Port {
    pub(super) fn open(number: usize, path: &Path, switch: &Switch) -> Result<Port> {
        let door = Door::open(path)?;
        let thread_failed = Error::file(path);
        let seed = number as u64 * 2 + 1;
        let inner = Inner {
            number,
            outlet: Outlet::new().map_err(&thread_failed)?,
            from_guest: Mutex::new(Lane::new(seed)),
            to_guest: Mutex::new(Lane::new(seed + 1)),
            guest: Mutex::default(),
        };
        let port = Port {
            inner: Arc::new(inner),
        };
        let (listener, switch) = (port.clone(), switch.clone());
        thread::Builder::new()
            .name("port".to_owned())
            .spawn(move || listener.listen(&door, &switch))
            .map_err(&thread_failed)?;
        Ok(port)
    }

    fn lane(&self, direction: Direction) -> MutexGuard<'_, Lane> {
        let lane = match direction {
            Direction::FromGuest => &self.inner.from_guest,
            Direction::ToGuest => &self.inner.to_guest,
        };
        lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guest(&self) -> MutexGuard<'_, Guest> {
        self.inner
            .guest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the port in its switch.
    #[must_use]
    pub fn number(&self) -> usize {
        self.inner.number
    }

    /// Sets the faults of one direction.
    pub fn set(&self, direction: Direction, faults: Faults) {
        let mut lane = self.lane(direction);
        lane.faults = faults;
        if faults.rate_bytes_per_s.is_none() {
            lane.free_at = None;
        }
    }

    /// Sets the same faults for both directions.
    pub fn set_both(&self, faults: Faults) {
        self.set(Direction::FromGuest, faults);
        self.set(Direction::ToGuest, faults);
    }

    /// Pulls the cable (no carrier loss: the guest does not notice by itself)
    /// or repairs it.
    pub fn cut(&self, cut: bool) {
        self.set_both(if cut { Faults::CUT } else { Faults::default() });
    }

    /// The faults of one direction.
    #[must_use]
    pub fn faults(&self, direction: Direction) -> Faults {
        self.lane(direction).faults
    }

    /// What went over one direction so far.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> Counters {
        self.lane(direction).counters
    }

    pub(super) fn close(&self) {
        let mut guest = self.guest();
        guest.closed = true;
        if let Some(stream) = guest.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.inner.outlet.close();
    }

    /// Takes one guest after another, as often as the node is started.
    fn listen(&self, door: &Door, switch: &Switch) {
        while !self.guest().closed {
            match wait_readable(door.listener(), Duration::from_millis(200)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return,
            }
            let Ok((stream, _)) = door.listener().accept() else {
                continue;
            };
            let stream = Arc::new(stream);
            {
                let mut guest = self.guest();
                if guest.closed {
                    return;
                }
                guest.stream = Some(Arc::clone(&stream));
            }
            self.inner.outlet.connect(Some(Arc::clone(&stream)));
            self.read(&stream, switch);
            self.inner.outlet.connect(None);
            self.guest().stream = None;
            switch.forget(self.inner.number);
        }
    }

    fn read(&self, stream: &UnixStream, switch: &Switch) {
        let mut buffer = vec![0u8; 256 * 1024];
        let mut filled = 0;
        loop {
            let room = buffer.get_mut(filled..).unwrap_or_default();
            match (&*stream).read(room) {
                Ok(0) => return,
                Ok(length) => filled += length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            let Ok(used) = self.forward(buffer.get_mut(..filled).unwrap_or_default(), switch)
            else {
                return;
            };
            buffer.copy_within(used..filled, 0);
            filled -= used;
        }
    }

    /// Passes on the whole packets in `bytes`; how many bytes those are.
    fn forward(&self, bytes: &mut [u8], switch: &Switch) -> std::result::Result<usize, ()> {
        let ports = switch.ports();
        let now = Instant::now();
        let mut at_once: BTreeMap<usize, Batch> = BTreeMap::new();
        let mut targets = Vec::new();
        let mut used = 0;
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let Some(length) = frame::first(rest)?.map(<[u8]>::len) else {
                break;
            };
            let packet = rest.get_mut(..length).unwrap_or_default();
            used += length;
            let mut lane = self.lane(Direction::FromGuest);
            let plain = lane.is_plain(now);
            if plain {
                lane.last_due = None;
            }
            let Some(due) = lane.pass(packet, now) else {
                continue;
            };
            drop(lane);
            switch.route(self.inner.number, packet, &mut targets);
            for target in &targets {
                let Some(port) = ports.get(*target) else {
                    continue;
                };
                if plain && port.lane(Direction::ToGuest).is_plain(now) {
                    let batch = at_once.entry(*target).or_default();
                    batch.bytes.extend_from_slice(packet);
                    batch.packets += 1;
                } else {
                    port.deliver_late(packet.to_vec(), due);
                }
            }
        }
        for (target, batch) in at_once {
            if let Some(port) = ports.get(target) {
                port.deliver(&batch);
            }
        }
        Ok(used)
    }

    fn deliver(&self, batch: &Batch) {
        let sent = self.inner.outlet.send(&batch.bytes, None);
        let mut lane = self.lane(Direction::ToGuest);
        lane.last_due = None;
        if sent {
            lane.counters.packets += batch.packets;
            lane.counters.bytes += batch.bytes.len() as u64 - batch.packets * LENGTH_BYTES as u64;
        } else {
            lane.counters.dropped += batch.packets;
        }
    }

    fn deliver_late(&self, mut packet: Vec<u8>, due: Instant) {
        let mut lane = self.lane(Direction::ToGuest);
        let before = lane.counters;
        let Some(due) = lane.pass(&mut packet, due) else {
            return;
        };
        if !self.inner.outlet.send(&packet, Some(due)) {
            lane.counters = Counters {
                dropped: before.dropped + 1,
                ..before
            };
        }
    }
}

/// Packets for one guest, to be sent together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    packets: u64,
}
