// SPDX-License-Identifier: GPL-2.0-or-later
//! The volumes of a connection, at hand for the thread that handles its packets.

use crate::{connection::Connection, device::Device, os::lock::Arc, resource::Resource};
use kernel::prelude::*;

/// A copy of the list of volumes, made anew when the list changed, and the volume of the last
/// packet taken out of it: to look one up costs no lock.
#[derive(Default)]
pub(crate) struct DeviceCache {
    last: Option<Arc<Device>>,
    all: KVec<Arc<Device>>,
    version: Option<u32>,
}

impl DeviceCache {
    /// Makes it true. Context: task.
    #[inline]
    fn refresh(&mut self, connection: &Connection) {
        let version = Resource::lists_version();
        if self.version != Some(version) {
            self.refresh_now(connection, version);
        }
    }

    #[inline(never)]
    fn refresh_now(&mut self, connection: &Connection, version: u32) {
        self.last = None;
        self.all = connection.devices();
        self.version = Some(version);
    }

    /// Volume `number` of the connection. Context: task.
    pub(crate) fn find(&mut self, connection: &Connection, number: u16) -> Option<Arc<Device>> {
        self.refresh(connection);
        self.take_other(None, number)
    }

    /// The same for as long as one packet takes: to be given back with [`Self::put`], which is
    /// cheaper than to count it. Context: task.
    #[inline(always)]
    pub(crate) fn take(&mut self, connection: &Connection, number: u16) -> Option<Arc<Device>> {
        self.refresh(connection);
        match self.last.take() {
            Some(device) if device.number == number => Some(device),
            last => self.take_other(last, number),
        }
    }

    /// What [`Self::take`] does when the last packet was another volume's, whose reference ends here: out of line
    /// of those that are for the same one.
    #[inline(never)]
    fn take_other(&mut self, _last: Option<Arc<Device>>, number: u16) -> Option<Arc<Device>> {
        let mut all = self.all.iter();
        all.find(|device| device.number == number).cloned()
    }

    /// Keeps `device` for the next packet. Context: task.
    #[inline]
    pub(crate) fn put(&mut self, device: Arc<Device>) {
        self.last = Some(device);
    }

    /// All of them, to be given back with [`Self::put_all`]. Context: task.
    #[inline]
    pub(crate) fn take_all(&mut self, connection: &Connection) -> KVec<Arc<Device>> {
        self.refresh(connection);
        core::mem::take(&mut self.all)
    }

    /// Context: task.
    #[inline]
    pub(crate) fn put_all(&mut self, all: KVec<Arc<Device>>) {
        self.all = all;
    }
}
