// SPDX-License-Identifier: GPL-2.0-or-later
//! What was told last about a resource, and how that differs from what is.

use super::object::Object;
use crate::{
    device::Device,
    os::{lock::Arc, timer::now_ms},
    resource::Resource,
};
use drbd_core::genl::state::NotificationKind;
use kernel::prelude::*;

/// How often the progress of a resync is told.
const PROGRESS_MS: u64 = 3000;

/// One object as it was told last.
struct Entry {
    object: Object,
    /// Order of creation among all objects of the resource; from 1.
    serial: u64,
    /// When its figures were told last.
    told_ms: u64,
}

/// A message to send.
pub(super) struct Event {
    /// What happened.
    pub(super) kind: NotificationKind,
    /// To what.
    pub(super) object: Object,
}

/// A resource as it was told last.
pub(super) struct Told {
    /// The resource.
    pub(super) resource: Arc<Resource>,
    /// Order of creation among all resources; from 1.
    pub(super) serial: u64,
    entries: KVec<Entry>,
    last_serial: u64,
}

/// A place in the initial state of a resource: kind and volume, then order of creation.
pub(super) type Place = (u64, u64);

impl Told {
    /// Nothing was told yet.
    pub(super) fn new(resource: Arc<Resource>, serial: u64) -> Self {
        Told {
            resource,
            serial,
            entries: KVec::new(),
            last_serial: 0,
        }
    }

    /// Whether it is about `resource`.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        core::ptr::eq(&*self.resource, resource)
    }

    /// Finds out what happened since the last time and takes it for told.
    ///
    /// Events come in the order in which they are to be sent: what is gone first, dependent
    /// objects before those they depend on; then what is new or changed, the other way round.
    /// Context: task. Errors: `ENOMEM`; then nothing is taken for told.
    pub(super) fn update(&mut self) -> Result<KVec<Event>> {
        let current = Object::all_of(&self.resource)?;
        // All room is made first, so that memory and messages cannot part.
        let room = self.entries.len().saturating_add(current.len());
        let mut events = KVec::with_capacity(room, GFP_KERNEL)?;
        self.entries.reserve(current.len(), GFP_KERNEL)?;
        let is_gone = |entry: &Entry| !current.iter().any(|object| object.is(&entry.object));
        self.gone(is_gone, &mut events)?;
        self.entries.retain(|entry| !is_gone(entry));
        let now = now_ms();
        for object in current {
            let known = self
                .entries
                .iter_mut()
                .find(|entry| entry.object.is(&object));
            let kind = match known {
                Some(entry) if entry.object.is_unchanged(&object) => continue,
                Some(entry) => {
                    entry.object = object.clone();
                    entry.told_ms = now;
                    NotificationKind::Change
                }
                None => {
                    self.last_serial = self.last_serial.saturating_add(1);
                    let entry = Entry {
                        object: object.clone(),
                        serial: self.last_serial,
                        told_ms: now,
                    };
                    self.entries.push(entry, GFP_KERNEL)?;
                    NotificationKind::Create
                }
            };
            events.push(Event { kind, object }, GFP_KERNEL)?;
        }
        Ok(events)
    }

    /// The messages when the resource itself is gone. Context: task. Errors: `ENOMEM`.
    pub(super) fn all_gone(&self) -> Result<KVec<Event>> {
        let mut events = KVec::new();
        self.gone(|_| true, &mut events)?;
        Ok(events)
    }

    /// Adds messages for what is gone, from the last place to the first.
    fn gone(&self, is_gone: impl Fn(&Entry) -> bool, events: &mut KVec<Event>) -> Result {
        let mut before = (u64::MAX, u64::MAX);
        while let Some(entry) = self
            .entries
            .iter()
            .filter(|entry| entry.place() < before && is_gone(entry))
            .max_by_key(|entry| entry.place())
        {
            before = entry.place();
            let event = Event {
                kind: NotificationKind::Destroy,
                object: entry.object.clone(),
            };
            events.push(event, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// The first object behind `place`, where it stands, and whether more follow.
    pub(super) fn after(&self, place: Place) -> Option<(Place, &Object, bool)> {
        let behind = |entry: &&Entry| entry.place() > place;
        let next = self
            .entries
            .iter()
            .filter(behind)
            .min_by_key(|entry| entry.place())?;
        let more = self
            .entries
            .iter()
            .any(|entry| entry.place() > next.place());
        Some((next.place(), &next.object, more))
    }

    /// The peer devices of a volume whose figures are due.
    pub(super) fn progress_due(&mut self, device: &Device) -> Result<KVec<Event>> {
        let (mut events, now) = (KVec::new(), now_ms());
        for entry in self.entries.iter_mut() {
            let due = now.saturating_sub(entry.told_ms) >= PROGRESS_MS;
            if due && entry.object.is_peer_device_of(device) {
                entry.told_ms = now;
                let event = Event {
                    kind: NotificationKind::Change,
                    object: entry.object.clone(),
                };
                events.push(event, GFP_KERNEL)?;
            }
        }
        Ok(events)
    }
}

impl Entry {
    fn place(&self) -> Place {
        (self.object.place(), self.serial)
    }
}
