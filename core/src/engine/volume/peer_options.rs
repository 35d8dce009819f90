// SPDX-License-Identifier: GPL-2.0-or-later
//! What is configured of a connection and a peer device.

use crate::wire::alg_name::AlgName;

/// Options of the connection and the peer device that a volume uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerOptions {
    /// After-split-brain policies without, with one and with two Primaries.
    pub after_sb: [crate::uuid::Policy; 3],
    /// rr-conflict.
    pub rr_conflict: crate::uuid::Policy,
    /// always-asbp.
    pub always_asbp: bool,
    /// use-rle.
    pub use_rle: bool,
    /// max-buffers, pages of 4 KiB.
    pub max_buffers_pages: u32,
    /// resync-rate, KiB/s.
    pub resync_rate_kib: u32,
    /// c-plan-ahead, 0.1 s.
    pub c_plan_ahead_ds: u32,
    /// c-delay-target, 0.1 s.
    pub c_delay_target_ds: u32,
    /// c-fill-target, sectors.
    pub c_fill_target_sectors: u32,
    /// c-max-rate, KiB/s.
    pub c_max_rate_kib: u32,
    /// c-min-rate, KiB/s.
    pub c_min_rate_kib: u32,
    /// verify-alg.
    pub verify_alg: AlgName,
    /// on-congestion.
    pub on_congestion: crate::config::OnCongestion,
    /// congestion-fill, sectors; 0 for no limit.
    pub cong_fill_sectors: u32,
    /// congestion-extents.
    pub cong_extents: u32,
}

impl Default for PeerOptions {
    fn default() -> Self {
        PeerOptions {
            after_sb: [crate::uuid::Policy::Disconnect; 3],
            rr_conflict: crate::uuid::Policy::Disconnect,
            always_asbp: false,
            use_rle: true,
            max_buffers_pages: 2048,
            resync_rate_kib: 250,
            c_plan_ahead_ds: 20,
            c_delay_target_ds: 10,
            c_fill_target_sectors: 100,
            c_max_rate_kib: 102_400,
            c_min_rate_kib: 250,
            verify_alg: AlgName::EMPTY,
            on_congestion: crate::config::OnCongestion::Block,
            cong_fill_sectors: 0,
            cong_extents: 1237,
        }
    }
}
