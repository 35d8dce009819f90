// SPDX-License-Identifier: GPL-2.0-or-later
//! What arrives for online verify.

use super::{protocol_error, Receiver};
use crate::{crypto::Digest, device::Device, verify};
use drbd_core::{
    config::Text,
    engine::volume::{DigestFate, End},
    state::Conn,
    wire::{block::BlockRequest, sync_param::SyncParam, Frame},
};
use kernel::prelude::*;

impl Receiver<'_> {
    /// P_OV_REPLY: the peer's digest of a block, to be compared with our own.
    pub(super) fn verify_reply(
        &mut self,
        device: &Device,
        frame: &Frame,
        reply: &BlockRequest,
    ) -> Result<(), End> {
        let alg = device.peek(|volume| volume.verify_alg());
        let size = self.digester.size(alg).unwrap_or(0);
        u32::try_from(size)
            .map_err(|_| protocol_error("a digest of impossible size"))
            .and_then(|size| {
                frame
                    .check_digest(size)
                    .map_err(|_| protocol_error("a digest of another length than ours"))
            })?;
        let no_memory = |_| protocol_error("out of memory");
        let mut digest = KBox::new(Digest::zeroes(size), GFP_KERNEL).map_err(no_memory)?;
        self.bytes(digest.bytes_mut())?;
        let len = reply.size as usize;
        let payload = device
            .pool
            .alloc(len)
            .map_err(|_| protocol_error("a block of impossible size"))?;
        let mut halves = Some((payload, digest));
        let fate = device.with(|inner, link, _| {
            let fate =
                inner
                    .volume
                    .verify_reply(reply.sector, reply.size / 512, reply.block_id, link);
            if let DigestFate::Take(op) = fate {
                if let (Some(slot), Some((payload, digest))) =
                    (inner.slots.get_mut(op as usize), halves.take())
                {
                    slot.payload = Some(payload);
                    slot.digest = Some(digest);
                }
                inner.volume.verify_read(op, link);
            }
            fate
        });
        drop(halves);
        match fate {
            DigestFate::Take(_) | DigestFate::Drop => Ok(()),
            DigestFate::Unexpected => Err(protocol_error("a digest for no request")),
        }
    }

    /// The peer's digest of online verify was accepted by the engine: it is the connection's.
    pub(super) fn follow_verify_alg(
        &mut self,
        param: &SyncParam,
        accepted: bool,
    ) -> Result<(), End> {
        let name = param.verify_alg;
        if !accepted || verify::alg_of(&self.connection.net()) == name {
            return Ok(());
        }
        let text = Text::new(name.as_str());
        let known = name.is_empty() || self.digester.size(name).is_ok();
        let Some(text) = text.filter(|_| known) else {
            return Err(End {
                conn: Conn::Disconnecting,
                why: "the peer changed verify-alg to a digest that this kernel does not have",
            });
        };
        self.connection.conf.lock().net.verify_alg = text;
        self.connection.conf_changed();
        Ok(())
    }
}
