// SPDX-License-Identifier: GPL-2.0-or-later
//! Digests of blocks that arrive: for online verify, and for a checksum-based resync.

use super::{protocol_error, Receiver};
use crate::{
    compare::{csums_alg_of, verify_alg_of},
    crypto::Digest,
    device::Device,
};
use drbd_core::{
    config::Text,
    engine::volume::{DigestFate, End, PeerReadKind},
    state::Conn,
    wire::{alg_name::AlgName, block::BlockRequest, sync_param::SyncParam, Frame},
};
use kernel::prelude::*;

impl Receiver<'_> {
    /// Receives a digest by `alg`, which has to be all of the payload.
    fn block_digest(&mut self, alg: AlgName, frame: &Frame) -> Result<KBox<Digest>, End> {
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
        Ok(digest)
    }

    /// P_CSUM_RS_REQUEST: the target of a resync asks whether its block is ours.
    pub(super) fn checksum_request(
        &mut self,
        device: &Device,
        frame: &Frame,
        request: &BlockRequest,
    ) -> Result<(), End> {
        let alg = device.peek(|volume| volume.csums_alg());
        if alg.is_empty() {
            return Err(protocol_error("a digest, but csums-alg is not set here"));
        }
        let digest = self.block_digest(alg, frame)?;
        self.read(device, PeerReadKind::ChecksumResync, request, Some(digest))
    }

    /// P_OV_REPLY: the peer's digest of a block, to be compared with our own.
    pub(super) fn verify_reply(
        &mut self,
        device: &Device,
        frame: &Frame,
        reply: &BlockRequest,
    ) -> Result<(), End> {
        let alg = device.peek(|volume| volume.verify_alg());
        let digest = self.block_digest(alg, frame)?;
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

    /// The peer's digests for online verify and resync were accepted by the engine: they are the
    /// connection's.
    pub(super) fn follow_digests(
        &mut self,
        param: &SyncParam,
        accepted: bool,
    ) -> Result<(), End> {
        let (verify, csums) = (param.verify_alg, param.csums_alg);
        let net = self.connection.net();
        if !accepted || verify_alg_of(&net) == verify && csums_alg_of(&net) == csums {
            return Ok(());
        }
        let mut known = |name: AlgName| name.is_empty() || self.digester.size(name).is_ok();
        let known = [verify, csums].map(&mut known) == [true; 2];
        let texts = (Text::new(verify.as_str()), Text::new(csums.as_str()));
        let ((Some(verify), Some(csums)), true) = (texts, known) else {
            return Err(End {
                conn: Conn::Disconnecting,
                why: "the peer changed verify-alg or csums-alg to a digest that this kernel does not have",
            });
        };
        {
            let mut conf = self.connection.conf.lock();
            conf.net.verify_alg = verify;
            conf.net.csums_alg = csums;
        }
        self.connection.conf_changed();
        Ok(())
    }
}
