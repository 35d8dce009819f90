// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes that the peer mirrors to us: P_DATA, P_TRIM and P_ZEROES.

use super::{protocol_error, Receiver};
use crate::{
    attached::Attached,
    conf::protocol_of,
    device::Device,
    device_io::{submit_write, write_flags, DiskWrite},
    os::{lock::Arc, pages::Payload, timer::now_ms},
};
use drbd_core::{
    engine::op::{Action, OpId},
    engine::volume::{write_of, write_of_data, End, PeerWrite, PeerWriteFate},
    wire::{block::BlockData, handshake::ReplicationProtocol, packet::Packet, Frame},
};

/// What became of a write of the peer under the volume's lock.
enum Handed {
    /// It goes to the disk now.
    Launched(Arc<Attached>, OpId),
    /// The engine has it, or not.
    Over(PeerWriteFate),
    /// The volume takes none at this moment.
    Waits,
}

/// Gives `write` to the engine. Context: task.
// Out of line of what tries it again: that would keep everything at hand for another round.
#[inline(never)]
fn hand(device: &Device, write: &PeerWrite, payload: &mut Option<Payload>, now: u64) -> Handed {
    device.with_at(now, |inner, link, now| {
        if inner.volume.receiver_waits() {
            return Handed::Waits;
        }
        let fate = inner.volume.peer_write_at_once(*write, link, now);
        match fate {
            // Mostly nothing holds it back: then it needs no place in the table.
            PeerWriteFate::Launched(op) => match &inner.attached {
                Some(disk) => return Handed::Launched(disk.clone(), op),
                None => inner.volume.local_done(op, false, link),
            },
            PeerWriteFate::Accepted(op) => inner.keep_payload(op, payload.take()),
            PeerWriteFate::Dropped | PeerWriteFate::NoSlot | PeerWriteFate::OutOfRange => {}
        }
        Handed::Over(fate)
    })
}

/// Context: task.
#[inline]
fn submit_peer_write(disk: &Attached, op: OpId, write: &PeerWrite, payload: Option<Payload>) {
    let (action, flags) = (write.action, write.bio);
    match payload {
        Some(payload) if action == Action::Data => {
            let flags = write_flags(flags);
            disk.data
                .submit_write(write.sector, payload, flags, u64::from(op));
        }
        payload => submit_write(
            disk,
            DiskWrite {
                payload,
                op,
                action,
                sector: write.sector,
                len_sectors: write.len_sectors,
                flags,
            },
        ),
    }
}

impl Receiver<'_> {
    /// P_DATA: receives the data and hands the write to the engine.
    #[inline(always)]
    pub(super) fn data(
        &mut self,
        device: &Device,
        frame: &Frame,
        data: &BlockData,
        now: u64,
    ) -> Result<(), End> {
        let len = frame
            .data_len(self.integrity.len(), data.flags)
            .map_err(|_| protocol_error("a write of impossible size"))?;
        let write = write_of_data(data, len, self.dialect, self.protocol());
        let payload = self.checked_payload(device, len)?;
        self.hand_over(device, write, payload, now)
    }

    /// P_TRIM and P_ZEROES.
    pub(super) fn range(&mut self, device: &Device, packet: &Packet) -> Result<(), End> {
        let write = write_of(packet, 0, self.dialect, self.protocol())
            .ok_or(protocol_error("a write that is none"))?;
        self.read_options();
        self.hand_over(device, write, None, now_ms())
    }

    /// Later versions say with each write what they want.
    fn protocol(&self) -> ReplicationProtocol {
        if self.dialect.has_ack_flags() {
            ReplicationProtocol::C
        } else {
            protocol_of(&self.connection.net())
        }
    }

    #[inline]
    fn hand_over(
        &mut self,
        device: &Device,
        write: PeerWrite,
        mut payload: Option<Payload>,
        now: u64,
    ) -> Result<(), End> {
        if self.two_primaries {
            self.in_sequence(device, write.seq_num)?;
        }
        match hand(device, &write, &mut payload, now) {
            Handed::Launched(disk, op) => {
                submit_peer_write(&disk, op, &write, payload);
                Ok(())
            }
            handed => self.hand_over_late(device, &write, payload, handed),
        }
    }

    /// The rest of [`Self::hand_over`], when the first try did not end at the disk but with `handed`.
    #[inline(never)]
    fn hand_over_late(
        &mut self,
        device: &Device,
        write: &PeerWrite,
        mut payload: Option<Payload>,
        mut handed: Handed,
    ) -> Result<(), End> {
        let mut grown = false;
        loop {
            match handed {
                Handed::Launched(disk, op) => {
                    submit_peer_write(&disk, op, write, payload);
                    return Ok(());
                }
                Handed::Over(
                    PeerWriteFate::Accepted(_)
                    | PeerWriteFate::Launched(_)
                    | PeerWriteFate::Dropped,
                ) => return Ok(()),
                Handed::Over(PeerWriteFate::OutOfRange) => {
                    return Err(device.peek(|volume| volume.beyond_end()))
                }
                Handed::Over(PeerWriteFate::NoSlot) if !grown => {
                    grown = true;
                    device
                        .grow_ops()
                        .map_err(|_| protocol_error("more writes in flight than can be held"))?;
                }
                Handed::Over(PeerWriteFate::NoSlot) => {
                    return Err(protocol_error("more writes in flight than can be held"))
                }
                Handed::Waits => self.wait_for(device, |volume| !volume.receiver_waits())?,
            }
            handed = hand(device, write, &mut payload, now_ms());
        }
    }

    /// Two Primaries: waits until the acknowledgements that the peer sent before this write were
    /// handled. They are on the other socket, which may be late, but not for ever.
    #[inline(never)]
    fn in_sequence(&mut self, device: &Device, seq_num: u32) -> Result<(), End> {
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
