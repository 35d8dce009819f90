// SPDX-License-Identifier: GPL-2.0-or-later
//! Options of a resource (RESOURCE_OPTS; section `options` of drbd.conf).

use super::choices::{
    OnNoData, OnNoQuorum, OnSuspendedPrimaryOutdated, IO_ERROR_OR_SUSPEND,
    ON_SUSPENDED_PRIMARY_OUTDATED, QUORUM,
};
use super::field::Field;
use super::group::{option_group, OptionGroup, Refusal};
use super::spec::{flag, s32, text, u32, u32_given, word, OptionSpec, Scale, Unit};
use super::text::Text;
use super::value::Value;
use crate::genl::Tla;

const QUORUM_REASON: &str = "quorum: only 'off' is implemented in this version";
const QUORUM_DETAIL: &str = "this option needs quorum, which is not implemented in this version";
const TWO_PHASE: &str =
    "this option belongs to protocol 118 and later, which is not implemented in this version";
const COMPAT: &str = "the 8.4 command line emulation of DRBD 9.33 is not implemented; load the module with api_version=1";

option_group! {
    /// Options of a resource.
    ResourceOptions in Tla::ResourceOpts;
    /// CPUs for the threads of the resource, as a hexadecimal mask; empty for all.
    cpu_mask: Text<256> = text(1, 256).option("cpu-mask").also_84();
    /// What I/O does while neither the local nor a remote disk has the data.
    on_no_data: OnNoData = word(2, IO_ERROR_OR_SUSPEND, 0).option("on-no-data-accessible").also_84();
    /// Promote on the first open for writing, demote on the last close.
    auto_promote: bool = flag(3, true).option("auto-promote")
        .only(&[0], "auto-promote is not implemented in this version; promote with 'primary'");
    /// Number of this node in the resource, 0..31.
    node_id: u32 = u32_given(4, 0, 31).required().invariant();
    /// Amount of data after which peers are told that it is in sync everywhere.
    peer_ack_window: u32 = u32(5, 2048, 204_800, 4096).scale(Scale::Sectors).unit(Unit::Bytes)
        .option("peer-ack-window").default_only(TWO_PHASE);
    /// Time limit of a cluster-wide state change.
    twopc_timeout: u32 = u32(6, 50, 600, 300).unit(Unit::Deciseconds).option("twopc-timeout").default_only(TWO_PHASE);
    /// Pause before a cluster-wide state change is tried again.
    twopc_retry_timeout: u32 = u32(7, 1, 50, 1).unit(Unit::Deciseconds).option("twopc-retry-timeout")
        .default_only(TWO_PHASE);
    /// Idle time after which the last peer acknowledgement is sent.
    peer_ack_delay: u32 = u32(8, 1, 10_000, 100).unit(Unit::Milliseconds).option("peer-ack-delay")
        .default_only(TWO_PHASE);
    /// How long a promotion waits for a peer's disappearance to be understood.
    auto_promote_timeout: u32 = u32(9, 0, 600, 20).unit(Unit::Deciseconds).option("auto-promote-timeout")
        .default_only("auto-promote-timeout: auto-promote is not implemented in this version");
    /// Application requests that may be outstanding at once.
    nr_requests: u32 = u32(10, 4, 4_294_967_295, 8000).option("max-io-depth")
        .default_only("max-io-depth: only the default is implemented in this version");
    /// Nodes that must be reachable for I/O.
    quorum: i32 = s32(11, 1, 32, 0).or_word(QUORUM).option("quorum").default_only(QUORUM_REASON);
    /// What I/O does without quorum.
    on_no_quorum: OnNoQuorum = word(12, IO_ERROR_OR_SUSPEND, 1).option("on-no-quorum").default_only(QUORUM_DETAIL);
    /// Nodes with UpToDate data that must be reachable for quorum.
    quorum_min_redundancy: i32 = s32(13, 1, 32, 0).or_word(QUORUM).option("quorum-minimum-redundancy")
        .default_only(QUORUM_DETAIL);
    /// What a suspended primary does when a peer has newer data.
    on_susp_primary_outdated: OnSuspendedPrimaryOutdated = word(14, ON_SUSPENDED_PRIMARY_OUTDATED, 0)
        .option("on-suspended-primary-outdated").default_only(QUORUM_DETAIL);
    /// Node id was left out by an 8.4 style command.
    drbd8_compat_mode: bool = flag(15, false).default_only(COMPAT);
    /// Behave like DRBD 8.4 on the command line.
    explicit_drbd8_compat: bool = flag(16, false).option("drbd8-api-compatibility").default_only(COMPAT);
}
