// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes that the peer mirrors to us: P_DATA, P_TRIM and P_ZEROES.

use super::{protocol_error, Receiver};
use crate::{conf::protocol_of, device::Device};
use drbd_core::{
    engine::volume::{write_of, End, PeerWriteFate},
    wire::{
        block::DpFlags, handshake::ReplicationProtocol, packet::Packet, Frame,
    },
};

impl Receiver<'_> {
    /// Receives the rest of the packet and hands the write to the engine.
    pub(super) fn write(&mut self, device: &Device, frame: &Frame, packet: &Packet) -> Result<(), End> {
        let flags = match packet {
            Packet::Data(data) => data.flags,
            _ => DpFlags::NONE,
        };
        let len = match packet {
            Packet::Data(_) => frame
                .data_len(self.integrity.len(), flags)
                .map_err(|_| protocol_error("a write of impossible size"))?,
            _ => 0,
        };
        // Later versions say with each write what they want.
        let protocol = if self.dialect.has_ack_flags() {
            ReplicationProtocol::C
        } else {
            protocol_of(&self.connection.net())
        };
        let write = write_of(packet, len, self.dialect, protocol)
            .ok_or(protocol_error("a write that is none"))?;
        let mut payload = match packet {
            Packet::Data(_) => self.checked_payload(device, len)?,
            _ => None,
        };
        self.in_sequence(device, write.seq_num)?;
        for _ in 0..2 {
            let fate = device.with(|inner, link, now| {
                // The payload has to be in the table before the engine may launch the write.
                let next = inner.volume.next_op();
                inner.keep_payload(next, payload.take());
                let fate = inner.volume.peer_write(write, link, now);
                if !matches!(fate, PeerWriteFate::Accepted(_)) {
                    payload = inner.take_payload(next);
                }
                fate
            });
            match fate {
                PeerWriteFate::Accepted(_) | PeerWriteFate::Dropped => return Ok(()),
                PeerWriteFate::OutOfRange => {
                    return Err(protocol_error("a write beyond the end of the device"))
                }
                PeerWriteFate::NoSlot => device
                    .grow_ops()
                    .map_err(|_| protocol_error("more writes in flight than can be held"))?,
            }
        }
        Err(protocol_error("more writes in flight than can be held"))
    }

    /// Two Primaries: waits until the acknowledgements that the peer sent before this write were
    /// handled. They are on the other socket, which may be late, but not for ever.
    fn in_sequence(&mut self, device: &Device, seq_num: u32) -> Result<(), End> {
        self.read_options();
        if !self.two_primaries {
            return Ok(());
        }
        let reached = || device.peek(|volume| volume.sequence_reached(seq_num));
        if reached() {
            return Ok(());
        }
        let patience_ms = self.connection.net().timeout.saturating_mul(100);
        let _ = device
            .changed
            .wait_until(Some(self.ctl), Some(patience_ms), || {
                reached() || self.connection.ending().is_some()
            });
        match self.connection.ending() {
            Some(end) => Err(end),
            None if reached() => Ok(()),
            None => Err(protocol_error(
                "an acknowledgement that the peer counts is missing",
            )),
        }
    }
}
