// SPDX-License-Identifier: GPL-2.0-or-later
//! Blocks that the peer asks for, and those that it was asked for.

use super::{protocol_error, Receiver};
use crate::{crypto::Digest, device::Device, os::recv::RecvWait};
use drbd_core::{
    engine::volume::{End, PeerReadKind, PeerWriteFate, ReplyFate},
    wire::{
        block::{BlockDesc, BlockRequest, DpFlags},
        Frame,
    },
};
use kernel::prelude::*;

impl Receiver<'_> {
    /// The peer asks for a block, or for the digest of one, or whether `digest` is that of it.
    pub(super) fn read(
        &mut self,
        device: &Device,
        kind: PeerReadKind,
        request: &BlockRequest,
        mut digest: Option<KBox<Digest>>,
    ) -> Result<(), End> {
        let len_sectors = request.size / 512;
        self.spare_memory(device);
        for _ in 0..2 {
            let begun = device.with(|inner, link, now| {
                inner.volume.peer_read(
                    kind,
                    request.sector,
                    len_sectors,
                    request.block_id,
                    link,
                    now,
                )
            });
            match begun {
                Ok(None) => return Ok(()),
                Ok(Some(op)) => {
                    let payload = device
                        .pool
                        .alloc(request.size as usize)
                        .map_err(|_| protocol_error("a read of impossible size"))?;
                    device.with(|inner, link, now| {
                        if let Some(slot) = inner.slots.get_mut(op as usize) {
                            slot.payload = Some(payload);
                            slot.digest = digest.take();
                        }
                        inner.volume.peer_read_start(op, link, now);
                    });
                    return Ok(());
                }
                Err(PeerWriteFate::NoSlot) => device
                    .grow_ops()
                    .map_err(|_| protocol_error("more reads in flight than can be held"))?,
                Err(_) => return Err(device.peek(|volume| volume.beyond_end())),
            }
        }
        Err(protocol_error("more reads in flight than can be held"))
    }

    /// P_DATA_REPLY: straight into the application's buffer.
    pub(super) fn read_reply(
        &mut self,
        device: &Device,
        frame: &Frame,
        handle: u64,
        sector: u64,
    ) -> Result<(), End> {
        let found = {
            let inner = device.inner.lock();
            inner.volume.expected_reply(handle, sector).and_then(|op| {
                let len = inner.volume.op(op).len_bytes();
                let data = inner.slots.get(op as usize)?.bio.as_ref()?.data();
                Some((op, len, data))
            })
        };
        let (op, len, data) = found.ok_or(protocol_error("data for no request"))?;
        if frame.payload_len.checked_sub(self.integrity.len()) != Some(len) {
            return Err(protocol_error("data of another length than was asked for"));
        }
        let digest = self.peers_digest()?;
        let mut got = 0;
        self.socket
            .recv_bio(&data, &mut got, RecvWait::Forever)
            .map_err(|error| self.lost(error))?;
        self.check(&digest, |integrity| integrity.of_bio(&data))?;
        drop(data);
        device.with(|inner, link, _| inner.volume.read_answered(op, true, link));
        Ok(())
    }

    /// P_RS_DATA_REPLY: a block that we asked for.
    pub(super) fn resync_reply(
        &mut self,
        device: &Device,
        frame: &Frame,
        sector: u64,
    ) -> Result<(), End> {
        let len = frame
            .data_len(self.integrity.len(), DpFlags::NONE)
            .map_err(|_| protocol_error("resync data of impossible size"))?;
        let mut leftover = self.checked_payload(device, len)?;
        let fate = device.with(|inner, link, now| {
            let fate = inner.volume.resync_reply(sector, len / 512, link);
            if let ReplyFate::Take(op) = fate {
                inner.keep_payload(op, leftover.take());
                inner.volume.resync_data(op, false, link, now);
            }
            fate
        });
        drop(leftover);
        match fate {
            ReplyFate::Take(_) | ReplyFate::Drop => Ok(()),
            ReplyFate::Unexpected => Err(protocol_error("resync data for no request")),
        }
    }

    /// P_RS_DEALLOCATED: a block that we asked for is all zeroes.
    pub(super) fn resync_zeroes(&mut self, device: &Device, desc: &BlockDesc) -> Result<(), End> {
        let fate = device.with(|inner, link, now| {
            let fate = inner
                .volume
                .resync_reply(desc.sector, desc.size / 512, link);
            if let ReplyFate::Take(op) = fate {
                inner.volume.resync_data(op, true, link, now);
            }
            fate
        });
        match fate {
            ReplyFate::Take(_) | ReplyFate::Drop => Ok(()),
            ReplyFate::Unexpected => Err(protocol_error("resync data for no request")),
        }
    }
}
