// SPDX-License-Identifier: GPL-2.0-or-later
//! Notifications to whoever listens (drbd9-api section 6).
//!
//! Whatever happened, the resource is compared with what was told last: the differences are the
//! messages, so that nothing is told twice and nothing is forgotten. They form one group, each
//! message but the last marked "continues"; paths are told one by one. One mutex covers looking
//! at the states, remembering and sending, so that messages come in the order of the states and
//! their sequence has no gap.

mod object;
mod told;

use core::net::SocketAddr;
use crate::{
    conf::Path,
    connection::Connection,
    device::Device,
    os::{
        genl::{Server, UserHdr, RECORD_MAX},
        lock::{new_mutex, Arc, Mutex, Relaxed},
    },
    resource::Resource,
};
use crate::netlink::{facts, v1_status};
use drbd_core::{
    genl::{
        state::NotificationKind,
        v1::{self, DiskExtras, Reason},
        Command, NotificationHeader, RetCode, Writer,
    },
};
use kernel::prelude::*;
use told::{Event, Told};

struct State {
    server: Option<Arc<Server>>,
    told: KVec<Told>,
    last_serial: u64,
    buffer: KVec<u8>,
    rendered: KVec<u8>,
}

/// Sends notifications. Context of all methods: task, none of the locks of lists, options and
/// volumes held.
#[pin_data]
pub(crate) struct Notifier {
    #[pin]
    state: Mutex<State>,
}

impl Notifier {
    /// A notifier that has nobody to tell yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let state = State {
            server: None,
            told: KVec::new(),
            last_serial: 0,
            buffer: KVec::from_elem(0u8, RECORD_MAX, GFP_KERNEL)?,
            rendered: KVec::from_elem(0u8, RECORD_MAX, GFP_KERNEL)?,
        };
        Arc::pin_init(
            pin_init!(Notifier { state <- new_mutex!(state, "drbd_notify") }),
            GFP_KERNEL,
        )
    }

    /// The registered family, or none any more.
    pub(crate) fn set_server(&self, server: Option<Arc<Server>>) {
        let old = core::mem::replace(&mut self.state.lock().server, server);
        drop(old);
    }

    /// A resource was created.
    pub(crate) fn resource_created(&self, resource: &Arc<Resource>) {
        let state = &mut *self.state.lock();
        state.last_serial = state.last_serial.saturating_add(1);
        let told = Told::new(resource.clone(), state.last_serial);
        match state.told.push(told, GFP_KERNEL) {
            Ok(()) => state.tell_changes(resource),
            Err(_) => pr_warn!("{}: no memory to tell about it\n", resource.name()),
        }
    }

    /// Its role or options changed.
    pub(crate) fn resource_changed(&self, resource: &Resource) {
        self.state.lock().tell_changes(resource);
    }

    /// It is gone.
    pub(crate) fn resource_destroyed(&self, resource: &Resource) {
        let forgotten = {
            let state = &mut *self.state.lock();
            let at = state.told.iter().position(|told| told.is_of(resource));
            match at.and_then(|at| state.told.remove(at).ok()) {
                Some(told) => {
                    if let Ok(events) = told.all_gone() {
                        state.send_all(resource, events);
                    }
                    Some(told)
                }
                None => None,
            }
        };
        drop(forgotten);
    }

    /// A volume was created.
    pub(crate) fn device_created(&self, resource: &Resource, _device: &Device) {
        self.resource_changed(resource);
    }

    /// The state of a volume, or whether it is open, may have changed.
    pub(crate) fn device_changed(&self, resource: &Resource, _device: &Device) {
        self.resource_changed(resource);
    }

    /// A volume is gone: off the list of the resource.
    pub(crate) fn device_destroyed(&self, resource: &Resource, _device: &Device) {
        self.resource_changed(resource);
    }

    /// A connection was created.
    pub(crate) fn connection_created(&self, resource: &Resource, _connection: &Connection) {
        self.resource_changed(resource);
    }

    /// The state of a connection may have changed.
    pub(crate) fn connection_changed(&self, resource: &Resource, _connection: &Connection) {
        self.resource_changed(resource);
    }

    /// A connection is gone: off the list of the resource.
    pub(crate) fn connection_destroyed(&self, resource: &Resource, _connection: &Connection) {
        self.resource_changed(resource);
    }

    /// A path was created.
    pub(crate) fn path_created(&self, resource: &Resource, _connection: &Connection, _path: &Path) {
        self.resource_changed(resource);
    }

    /// A path is gone: off the list of the connection.
    pub(crate) fn path_destroyed(
        &self,
        resource: &Resource,
        _connection: &Connection,
        _path: &Path,
    ) {
        self.resource_changed(resource);
    }

    /// A helper program is called, or has ended: its name and wait status.
    pub(crate) fn helper(
        &self,
        resource: &Resource,
        device: Option<&Device>,
        connection: Option<&Connection>,
        called: (&'static str, u32),
        kind: NotificationKind,
    ) {
        let state = &mut *self.state.lock();
        // What led to it is told before.
        state.tell_changes(resource);
        let header = NotificationHeader {
            kind,
            continues: false,
        };
        let mut writer = Writer::new(&mut state.buffer);
        let written =
            object::write_helper(resource, device, connection, called, header, &mut writer);
        let sent = written.map(|(command, minor)| (command, minor, writer.bytes().len()));
        let ends = connection.and_then(facts::ends);
        state.multicast(resource, ends, sent);
    }

    /// A resync goes on: its figures are told every few seconds.
    pub(crate) fn resync_progress(&self, resource: &Resource, device: &Device) {
        let state = &mut *self.state.lock();
        let told = state.told.iter_mut().find(|told| told.is_of(resource));
        let due = told.map(|told| told.progress_due(device));
        if let Some(Ok(events)) = due {
            state.send_all(resource, events);
            if facts::is_v1() {
                state.tell_status(resource, device, Reason::Progress);
            }
        }
    }

    /// The first resource that was created after the one with serial number `after`, which starts
    /// at 0: its number and itself.
    pub(crate) fn resource_after(&self, after: u64) -> Option<(u64, Arc<Resource>)> {
        let state = self.state.lock();
        let told = state.told.iter().find(|told| told.serial > after)?;
        Some((told.serial, told.resource.clone()))
    }

    /// Writes the next record of the initial state: its command and minor; `None` at the end.
    ///
    /// `at` holds where the dump stands: number of the resource, place and number of the object;
    /// all 0 at its start. What is shown is what was told, so that it fits the notifications
    /// before and after it.
    pub(crate) fn initial_state(
        &self,
        at: &mut [u64; 3],
        writer: &mut Writer<'_>,
    ) -> Result<Option<(Command, u32)>> {
        let state = &mut *self.state.lock();
        loop {
            let [number, kind, serial] = *at;
            let current = state.told.iter().find(|told| told.serial == number);
            let next = current.and_then(|told| Some((told, told.after((kind, serial))?)));
            if let Some((told, ((kind, serial), object, continues))) = next {
                *at = [number, kind, serial];
                let header = NotificationHeader {
                    kind: NotificationKind::Exists,
                    continues,
                };
                return object.write(&told.resource, header, writer).map(Some);
            }
            let following = state.told.iter().find(|told| told.serial > number);
            let Some((number, resource)) =
                following.map(|told| (told.serial, told.resource.clone()))
            else {
                return Ok(None);
            };
            // A change that was not told yet may be older than the request.
            state.tell_changes(&resource);
            *at = [number, 0, 0];
        }
    }
}

impl State {
    /// Tells how a resource differs from what was told last.
    fn tell_changes(&mut self, resource: &Resource) {
        let told = self.told.iter_mut().find(|told| told.is_of(resource));
        match told.map(Told::update) {
            Some(Ok(events)) => {
                self.send_all(resource, events);
                if facts::is_v1() {
                    self.tell_states(resource);
                }
            }
            // Without memory the differences stay, and are told the next time.
            Some(Err(_)) => pr_warn!("{}: no memory to tell a change\n", resource.name()),
            // It was destroyed, or is not on the list yet.
            None => {}
        }
    }

    /// Tells those who listen the old way of every volume whose state word is another now.
    fn tell_states(&mut self, resource: &Resource) {
        for device in resource.devices().unwrap_or_default().iter() {
            let to = device.state().to_word();
            let from = device.told_state.load(Relaxed);
            device.told_state.store(to, Relaxed);
            if from != to {
                self.tell_status(resource, device, Reason::Change { from, to });
            }
        }
    }

    fn tell_status(&mut self, resource: &Resource, device: &Device, reason: Reason) {
        let Some(server) = self.server.as_ref().filter(|server| server.has_listeners()) else {
            return;
        };
        let mut writer = Writer::new(&mut self.rendered);
        // Secrets go to those who ask and may know.
        let told = v1_status::write(
            resource,
            Some(device),
            reason,
            false,
            &mut self.buffer,
            &mut writer,
        );
        match told {
            Ok(()) => {
                let hdr = UserHdr {
                    minor: device.minor,
                    value: RetCode::NO_ERROR.0,
                };
                let _ = server.multicast(v1::EVENT, hdr, writer.bytes());
            }
            Err(error) => pr_warn!("{}: a state was not told: {:?}\n", resource.name(), error),
        }
    }

    /// Sends paths that are gone, a group, then the other paths.
    fn send_all(&mut self, resource: &Resource, events: KVec<Event>) {
        let destroyed = |event: &&Event| event.kind == NotificationKind::Destroy;
        let path = |event: &&Event| event.object.is_path();
        for event in events.iter().filter(path).filter(destroyed) {
            self.send(resource, event, false);
        }
        let mut left = events.iter().filter(|event| !path(event)).count();
        for event in events.iter().filter(|event| !path(event)) {
            left = left.saturating_sub(1);
            self.send(resource, event, left > 0);
        }
        for event in events.iter().filter(path).filter(|event| !destroyed(event)) {
            self.send(resource, event, false);
        }
    }

    fn send(&mut self, resource: &Resource, event: &Event, continues: bool) {
        if !self.is_heard() {
            return;
        }
        let header = NotificationHeader {
            kind: event.kind,
            continues,
        };
        let mut writer = Writer::new(&mut self.buffer);
        let written = event.object.write(resource, header, &mut writer);
        let sent = written.map(|(command, minor)| (command, minor, writer.bytes().len()));
        self.multicast(resource, event.object.ends(), sent);
    }

    /// Whether somebody listens.
    fn is_heard(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|server| server.has_listeners())
    }

    /// Sends so many bytes of the buffer to whoever listens; `ends` is the connection that they are about.
    fn multicast(
        &mut self,
        resource: &Resource,
        ends: Option<(SocketAddr, SocketAddr)>,
        written: Result<(Command, u32, usize)>,
    ) {
        let Some(server) = self.server.as_ref().filter(|_| self.is_heard()) else {
            return;
        };
        let mut rendered = Writer::new(&mut self.rendered);
        let message = written.and_then(|(command, minor, len)| {
            let bytes = self.buffer.get(..len).unwrap_or(&[]);
            if !facts::is_v1() {
                return Ok((command, minor, bytes));
            }
            v1::render(bytes, ends, &DiskExtras::default(), &mut rendered)
                .map_err(|_| EMSGSIZE)?;
            Ok((command, minor, rendered.bytes()))
        });
        match message {
            Ok((command, minor, bytes)) => {
                let hdr = UserHdr {
                    minor,
                    value: RetCode::NO_ERROR.0,
                };
                // A listener that is too slow is told so by its socket.
                let _ = server.multicast(command.number(), hdr, bytes);
            }
            Err(error) => pr_warn!("{}: a change was not told: {:?}\n", resource.name(), error),
        }
    }
}
