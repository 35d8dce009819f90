// SPDX-License-Identifier: GPL-2.0-or-later
//! What is configured for a connection, and what the engine sees of it.

use crate::{
    compare::{csums_alg_of, verify_alg_of},
    crypto::Algorithms,
    os::addr::SockAddr,
};
use drbd_core::{
    config::{NetOptions, PeerDeviceOptions},
    engine::volume::PeerOptions,
    uuid::Policy,
    wire::ReplicationProtocol,
};
use kernel::prelude::*;

/// One pair of addresses.
#[derive(Clone)]
pub(crate) struct Path {
    /// Here.
    pub(crate) local: SockAddr,
    /// At the peer.
    pub(crate) peer: SockAddr,
}

/// What is configured.
pub(crate) struct Conf {
    /// Options.
    pub(crate) net: NetOptions,
    /// The algorithms that they name.
    pub(crate) algorithms: Algorithms,
    /// Paths, the first one in use.
    pub(crate) paths: KVec<Path>,
    /// Options of the peer devices by volume number.
    pub(crate) peer_devices: KVec<(u16, PeerDeviceOptions)>,
}

impl Conf {
    /// Options of volume `number` towards the peer. Context: any.
    pub(crate) fn peer_device(&self, number: u16) -> PeerDeviceOptions {
        self.peer_devices
            .iter()
            .find(|(volume, _)| *volume == number)
            .map(|(_, options)| *options)
            .unwrap_or_default()
    }

    /// The same together with the connection's, as the engine wants them. Context: any.
    pub(crate) fn peer_options(&self, number: u16) -> PeerOptions {
        let device = self.peer_device(number);
        let net = &self.net;
        PeerOptions {
            after_sb: [
                policy(net.after_sb_0p.number()),
                policy(net.after_sb_1p.number()),
                policy(net.after_sb_2p.number()),
            ],
            rr_conflict: policy(net.rr_conflict.number()),
            always_asbp: net.always_asbp,
            use_rle: net.use_rle,
            max_buffers_pages: net.max_buffers,
            resync_rate_kib: device.resync_rate,
            c_plan_ahead_ds: device.c_plan_ahead,
            c_delay_target_ds: device.c_delay_target,
            c_fill_target_sectors: device.c_fill_target,
            c_max_rate_kib: device.c_max_rate,
            c_min_rate_kib: device.c_min_rate,
            verify_alg: verify_alg_of(net),
            csums_alg: csums_alg_of(net),
            csums_after_crash_only: net.csums_after_crash_only,
            on_congestion: net.on_congestion,
            cong_fill_sectors: net.cong_fill,
            cong_extents: net.cong_extents,
        }
    }
}

/// An after-split-brain policy by its number. Context: any.
pub(crate) fn policy(number: i64) -> Policy {
    u8::try_from(number)
        .ok()
        .and_then(Policy::from_number)
        .unwrap_or(Policy::Disconnect)
}

/// The replication protocol of the options. Context: any.
pub(crate) fn protocol_of(net: &NetOptions) -> ReplicationProtocol {
    match net.wire_protocol.number() {
        1 => ReplicationProtocol::A,
        2 => ReplicationProtocol::B,
        _ => ReplicationProtocol::C,
    }
}
