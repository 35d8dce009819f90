// SPDX-License-Identifier: GPL-2.0-or-later
//! P_BARRIER: the end of an epoch of the peer's writes.

use super::Receiver;
use crate::{device::Device, watch};
use drbd_core::{engine::volume::End, state::Conn};

impl Receiver<'_> {
    /// P_BARRIER: everything before it is made durable, then acknowledged.
    pub(super) fn barrier(&mut self, number: u32) -> Result<(), End> {
        let queues = &self.connection.queues;
        let _ = queues.drained.wait_until(Some(self.ctl), None, || {
            queues.epoch_is_drained() || self.connection.is_ending()
        });
        if let Some(end) = self.connection.ending() {
            return Err(end);
        }
        let devices = self.devices.take_all(self.connection);
        let mut flushed = Ok(true);
        for device in devices.iter() {
            // Each is flushed, whatever became of the one before.
            flushed = match (flushed, self.flush(device)) {
                (Ok(before), Ok(now)) => Ok(before && now),
                (Err(end), _) | (Ok(_), Err(end)) => Err(end),
            };
        }
        self.devices.put_all(devices);
        if !flushed? {
            // Without the acknowledgement the peer marks what it wrote, and it has to.
            return Err(End {
                conn: Conn::NetworkFailure,
                why: "what the peer wrote is not durable",
            });
        }
        queues.barrier_flushed(number);
        Ok(())
    }

    /// Makes durable what the disk of `device` has; false if it failed and the peer has to find that out by the end of the
    /// connection. `Err`: the connection ends.
    fn flush(&self, device: &Device) -> Result<bool, End> {
        let begin = || {
            let mut inner = device.inner.lock();
            let durable = inner.volume.generation_is_durable();
            durable.then(|| (inner.attached.clone(), inner.volume.barrier_flush_begins()))
        };
        let (attached, unflushed) = loop {
            if let Some(begun) = begin() {
                break begun;
            }
            self.wait_for(device, |volume| volume.generation_is_durable())?;
        };
        let flushed = match attached {
            Some(disk) => match disk.flush_data(device) {
                Ok(()) => true,
                Err(error) => {
                    watch::flush_failed(device, error);
                    false
                }
            },
            // It may be gone with what it did not make durable.
            None => !device.peek(|volume| volume.flush_is_lost()),
        };
        Ok(flushed
            || device.with(|inner, link, _| inner.volume.barrier_flush_failed(unflushed, link)))
    }
}
