// SPDX-License-Identifier: GPL-2.0-or-later
//! The network between the guests: a learning switch with bad cables.
//!
//! Each guest's card calls one [`Port`] over a Unix stream socket. Frames are
//! passed on in the thread that reads them, unless faults delay them.

mod fault;
mod frame;
mod outlet;
mod port;

pub(crate) use fault::Dice;
pub use fault::Faults;
pub use port::{Counters, Direction, Port};

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use frame::Mac;

/// One network: all guests' cards of the same number.
#[derive(Clone)]
pub struct Switch {
    pub(crate) shared: Arc<Mutex<Table>>,
}

/// What the switch knows.
#[derive(Default)]
pub(crate) struct Table {
    ports: Vec<Port>,
    places: HashMap<Mac, usize>,
    /// Pairs (from, to) between which nothing passes.
    blocked: BTreeSet<(usize, usize)>,
}

impl Default for Switch {
    fn default() -> Self {
        Switch::new()
    }
}

impl Switch {
    /// A switch without ports.
    #[must_use]
    pub fn new() -> Switch {
        Switch {
            shared: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a port that listens on `path`; its number is the count of ports
    /// before it.
    ///
    /// # Errors
    ///
    /// What making the socket or the port's threads reports.
    pub fn add_port(&self, path: &Path) -> Result<Port> {
        let mut table = self.lock();
        let port = Port::open(table.ports.len(), path, self)?;
        table.ports.push(port.clone());
        Ok(port)
    }

    /// Stops or lets pass what goes from one port to another (one direction).
    pub fn block(&self, from: usize, to: usize, blocked: bool) {
        let mut table = self.lock();
        if blocked {
            table.blocked.insert((from, to));
        } else {
            table.blocked.remove(&(from, to));
        }
    }

    /// Repairs all cables and lets everything pass.
    pub fn heal(&self) {
        let mut table = self.lock();
        table.blocked.clear();
        for port in &table.ports {
            port.set(Direction::FromGuest, Faults::default());
            port.set(Direction::ToGuest, Faults::default());
        }
    }

    /// The ports, in order.
    #[must_use]
    pub fn ports(&self) -> Vec<Port> {
        self.lock().ports.clone()
    }

    /// Where a frame that came in at `from` goes; learns where its sender is.
    pub(crate) fn route(&self, from: usize, packet: &[u8], to: &mut Vec<usize>) {
        to.clear();
        let Some((destination, source)) = frame::addresses(packet) else {
            return;
        };
        let mut table = self.lock();
        if !frame::is_group(source) {
            table.places.insert(source, from);
        }
        let place = table
            .places
            .get(&destination)
            .filter(|_| !frame::is_group(destination));
        let open = |to: &usize| *to != from && !table.blocked.contains(&(from, *to));
        match place {
            Some(place) => to.extend(Some(*place).filter(open)),
            None => to.extend((0..table.ports.len()).filter(open)),
        }
    }

    /// Forgets the cards behind a port that has lost its guest.
    pub(crate) fn forget(&self, port: usize) {
        self.lock().places.retain(|_, place| *place != port);
    }

    /// Closes all ports.
    pub(crate) fn close(&self) {
        for port in self.ports() {
            port.close();
        }
    }
}
