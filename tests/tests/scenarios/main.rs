// SPDX-License-Identifier: GPL-2.0-or-later
//! Scenarios in virtual machines, one file per property.

mod authentication;
mod bad_peer;
mod checksum_resync;
mod congestion;
mod connect_together;
mod debian_tools;
mod detach_attach_under_load;
mod discard_and_zeroes;
mod diskless_primary;
mod flush_and_fua;
mod initial_sync_and_failover;
mod ipv6;
mod life_of_the_module;
mod link_down_under_load;
mod metadata_variants;
mod network_options;
mod power_cut_of_primary;
mod power_cut_of_secondary_under_load;
mod power_cuts_at_random;
mod protocols;
mod read_balancing;
mod reconnect_resyncs_only_changed_blocks;
mod refusals;
mod resync_after;
mod resync_pace;
mod split_brain_refused;
mod stock_peer;
mod upgrade_and_back;
mod verify;
