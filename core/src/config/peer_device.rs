// SPDX-License-Identifier: GPL-2.0-or-later
//! Options of a volume towards one peer (PEER_DEVICE_OPTS; section `disk` of drbd.conf).

use super::field::Field;
use super::group::{option_group, OptionGroup, Refusal};
use super::spec::{flag, u32, OptionSpec, Scale, Unit};
use super::value::Value;
use crate::genl::Tla;

option_group! {
    /// Options of a volume towards one peer.
    PeerDeviceOptions in Tla::PeerDeviceOpts;
    /// Resync rate while the controller is off (c-plan-ahead 0).
    resync_rate: u32 = u32(1, 1, 8 << 20, 250).scale(Scale::Kibi).unit(Unit::BytesPerSecond).option("resync-rate")
        .at_84(3, 8).range_84(1, 4 << 20);
    /// How far the resync controller plans ahead; 0 for a fixed rate.
    c_plan_ahead: u32 = u32(2, 0, 300, 20).unit(Unit::Deciseconds).option("c-plan-ahead").at_84(3, 11);
    /// Delay the controller aims at.
    c_delay_target: u32 = u32(3, 1, 100, 10).unit(Unit::Deciseconds).option("c-delay-target").at_84(3, 12);
    /// Resync data in flight the controller aims at; 0 to use the delay.
    c_fill_target: u32 = u32(4, 0, 1 << 20, 100).scale(Scale::Sectors).unit(Unit::Bytes).option("c-fill-target")
        .at_84(3, 13);
    /// Ceiling of the resync rate.
    c_max_rate: u32 = u32(5, 0, 4 << 20, 102_400).scale(Scale::Kibi).unit(Unit::BytesPerSecond).option("c-max-rate")
        .at_84(3, 14).range_84(250, 4 << 20);
    /// Floor of the resync rate while there is application I/O; 0 for none.
    c_min_rate: u32 = u32(6, 0, 4 << 20, 250).scale(Scale::Kibi).unit(Unit::BytesPerSecond).option("c-min-rate")
        .at_84(3, 15);
    /// Keep a bitmap for this peer.
    bitmap: bool = flag(7, true).option("bitmap")
        .default_only("bitmap: a peer without a bitmap is not implemented in this version");
    /// Resync also with a peer that is not replicated to.
    resync_without_replication: bool = flag(8, true).option("resync-without-replication")
        .default_only("resync-without-replication: only 'yes' is implemented in this version");
    /// Let this peer decide a tie of quorum.
    peer_tiebreaker: bool = flag(9, true).option("peer-tiebreaker")
        .default_only("peer-tiebreaker: quorum is not implemented in this version");
}
