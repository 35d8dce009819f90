// SPDX-License-Identifier: GPL-2.0-or-later
//! Small words that several outputs share.

use std::net::SocketAddr;

use drbd_core::config::OptionSpec;
use drbd_core::genl::{DeviceStatistics, PeerDeviceInfo, ResourceInfo};

/// A flag.
pub fn yes_no(flag: bool) -> &'static str {
    if flag {
        "yes"
    } else {
        "no"
    }
}

fn list(reasons: &[(bool, &str)]) -> String {
    let given: Vec<_> = reasons
        .iter()
        .filter(|(given, _)| *given)
        .map(|(_, word)| *word)
        .collect();
    if given.is_empty() {
        "no".into()
    } else {
        given.join(",")
    }
}

/// Why I/O is suspended, or `no`.
pub fn suspended(info: &ResourceInfo) -> String {
    list(&[
        (info.suspended_user, "user"),
        (info.suspended_no_data, "no-data"),
        (info.suspended_fencing, "fencing"),
        (info.suspended_quorum, "quorum"),
    ])
}

/// Why a resync is suspended, or `no`.
pub fn resync_suspended(info: &PeerDeviceInfo) -> String {
    list(&[
        (info.resync_suspended_user, "user"),
        (info.resync_suspended_peer, "peer"),
        (info.resync_suspended_dependency, "dependency"),
        (info.resync_suspended_max_parallel, "max-parallel"),
    ])
}

/// Where requests are held back, or `no`.
pub fn blocked(statistics: &DeviceStatistics) -> String {
    list(&[
        (statistics.upper_blocked, "upper"),
        (statistics.lower_blocked, "lower"),
    ])
}

/// Path of the backing device, or `none`.
pub(super) fn backing_device(path: &str) -> &str {
    if path.is_empty() {
        "none"
    } else {
        path
    }
}

/// `ipv4` or `ipv6`.
pub(super) fn family(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    }
}

/// `ipv4:A:P` or `ipv6:[A]:P`.
pub(super) fn address(address: &SocketAddr) -> String {
    format!("{}:{address}", family(address))
}

/// The name of an option on the command line and in drbd.conf; one that the tools of generation 9 cannot set goes by its field.
pub fn option_name(spec: &OptionSpec) -> String {
    spec.option
        .map_or_else(|| spec.field.replace('_', "-"), str::to_owned)
}
