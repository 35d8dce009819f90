// SPDX-License-Identifier: GPL-2.0-or-later
//! What can go wrong between here and the kernel.

use std::io;
use std::time::Duration;

/// A request that could not be carried to the kernel or back. Refusals by drbd are in [`crate::Reply`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no family `drbd`.
    #[error("the kernel has no generic netlink family 'drbd'")]
    NoFamily,
    /// The family speaks another version of the interface.
    #[error("API mismatch!\n\tAPI version drbdsetup: 1, 2 kernel: {version}\n\theader size drbdsetup: 8 kernel: {header_bytes}")]
    ApiMismatch {
        /// Version of the family.
        version: u32,
        /// Size of the family's header.
        header_bytes: u32,
    },
    /// A system call on the socket failed.
    #[error("{action} the netlink socket: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// Error of the system call.
        source: io::Error,
    },
    /// The kernel refused the message itself.
    #[error("the kernel refused the request: {0}")]
    Refused(io::Error),
    /// No answer in time.
    #[error("no answer from the kernel within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The answer makes no sense.
    #[error("the kernel's answer could not be understood: {0}")]
    Nonsense(String),
    /// The module was unloaded while events were awaited.
    #[error("the drbd module was unloaded")]
    ModuleUnloaded,
    /// Events were lost because they were not read fast enough.
    #[error("notifications were lost: the receive buffer of the socket overflowed")]
    Overrun,
    /// Request attributes too large for a message.
    #[error("the request is too large for a netlink message")]
    TooLarge,
}

impl From<drbd_core::genl::Malformed> for Error {
    fn from(_: drbd_core::genl::Malformed) -> Self {
        Self::Nonsense("malformed attributes".into())
    }
}

impl From<netlink_packet_core::DecodeError> for Error {
    fn from(error: netlink_packet_core::DecodeError) -> Self {
        Self::Nonsense(error.to_string())
    }
}
