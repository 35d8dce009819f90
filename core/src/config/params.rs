// SPDX-License-Identifier: GPL-2.0-or-later
//! Parameters of single commands; the same kind of table as the options that are kept.

use super::field::Field;
use super::group::{option_group, OptionGroup, Refusal};
use super::spec::{flag, s32, s32_given, switch, u32, u64_given, OptionSpec, Scale, Unit};
use super::value::Value;
use crate::genl::Tla;

option_group! {
    /// Parameters of `primary` and `secondary`.
    SetRoleParams in Tla::SetRoleParms;
    /// Promote without UpToDate data, or demote although the device is open.
    force: bool = switch(1).option("force").also_84();
}

option_group! {
    /// Parameters of `resize`.
    ResizeParams in Tla::ResizeParms;
    /// Size to use of the backing device; 0 for all of it.
    resize_size: u64 = u64_given(1, 0, 1 << 41).scale(Scale::Sectors).unit(Unit::Bytes).option("size").also_84();
    /// Do not ask the peer for its size.
    resize_force: bool = switch(2).option("assume-peer-has-space").also_84();
    /// The new space has the same content everywhere: no resync of it.
    no_resync: bool = switch(3).option("assume-clean").also_84();
    /// Stripes of the activity log.
    al_stripes: u32 = u32(4, 1, 1024, 1).option("al-stripes").also_84();
    /// Size of a stripe of the activity log.
    al_stripe_size: u32 = u32(5, 4, 16_777_216, 32).scale(Scale::Kibi).unit(Unit::Bytes).option("al-stripe-size-kB")
        .also_84();
}

option_group! {
    /// Parameters of `verify`.
    StartVerifyParams in Tla::StartOvParms;
    /// First sector.
    ov_start_sector: u64 = u64_given(1, 0, 1 << 41).scale(Scale::Sectors).unit(Unit::Bytes).option("start").also_84();
    /// Sector to stop at.
    ov_stop_sector: u64 = u64_given(2, 0, 1 << 41).scale(Scale::Sectors).unit(Unit::Bytes).option("stop").also_84();
}

option_group! {
    /// Parameters of `new-current-uuid`.
    NewCurrentUuidParams in Tla::NewCUuidParms;
    /// Clear the bitmap: both sides are declared equal, no initial resync.
    clear_bm: bool = switch(1).option("clear-bitmap").also_84();
    /// Resync everything from this node.
    force_resync: bool = switch(2).option("force-resync");
}

option_group! {
    /// Parameters of `disconnect` and `del-peer`.
    DisconnectParams in Tla::DisconnectParms;
    /// Do not ask the peer.
    force_disconnect: bool = switch(1).option("force").also_84();
}

option_group! {
    /// Parameters of `detach`.
    DetachParams in Tla::DetachParms;
    /// Do not wait for requests to the disk.
    force_detach: bool = switch(1).option("force").also_84();
    /// The device is to stay without a disk.
    intentional_diskless_detach: bool = flag(2, false).option("diskless")
        .default_only("diskless: a client without a disk is not implemented in this version");
}

option_group! {
    /// Parameters of `connect`.
    ConnectParams in Tla::ConnectParms;
    /// Only tell what would happen.
    tentative: bool = switch(1).option("tentative").at_84(5, 28);
    /// Give up the local changes of a split brain.
    discard_my_data: bool = switch(2).option("discard-my-data").at_84(5, 25);
}

option_group! {
    /// Parameters of `invalidate`.
    InvalidateParams in Tla::InvalidateParms;
    /// Peer to resync from; -1 for any.
    sync_from_peer_node_id: i32 = s32(1, -1, 32, -1).option("sync-from-peer-node-id");
    /// Resync all blocks, not just those marked.
    reset_bitmap: bool = flag(2, true).option("reset-bitmap")
        .default_only("reset-bitmap: only 'yes' is implemented in this version");
}

option_group! {
    /// Parameters of `invalidate-remote`.
    InvalidatePeerParams in Tla::InvalPeerParams;
    /// Resync all blocks, not just those marked.
    p_reset_bitmap: bool = flag(1, true).option("reset-bitmap")
        .default_only("reset-bitmap: only 'yes' is implemented in this version");
}

option_group! {
    /// Parameters of `suspend-io`.
    SuspendIoParams in Tla::SuspendIoParams;
    /// Also freeze the file system on the device.
    bdev_freeze: bool = flag(1, true).option("bdev-freeze");
}

option_group! {
    /// Parameters of `forget-peer`.
    ForgetPeerParams in Tla::ForgetPeerParms;
    /// Node id of the peer to forget.
    forget_peer_node_id: i32 = s32_given(1, i32::MIN as i64, i32::MAX as i64).required();
}
