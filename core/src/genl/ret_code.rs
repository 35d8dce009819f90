// SPDX-License-Identifier: GPL-2.0-or-later
//! Codes of replies: configuration errors (above 100) and results of state changes (up to 4).
//!
//! Numbers: drbd9-api.md section 9, control-plane.md section 3. Texts that scripts look for are
//! those of golden/drbd9/state/30-errors-and-exit-codes.txt.

/// Code in the header of a reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetCode(pub i32);

macro_rules! codes {
    ($($name:ident = $number:literal $text:literal;)+) => {
        impl RetCode {
            $(#[doc = $text] pub const $name: Self = Self($number);)+

            /// Every code with a name.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Symbolic name.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)+ _ => None }
            }

            /// One sentence for the administrator.
            pub const fn text(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)+ _ => None }
            }
        }
    };
}

codes! {
    NO_ERROR = 101 "No error";
    ERR_LOCAL_ADDR = 102 "Local address(port) already in use.";
    ERR_PEER_ADDR = 103 "Remote address(port) already in use.";
    ERR_OPEN_DISK = 104 "Can not open backing device.";
    ERR_OPEN_MD_DISK = 105 "Can not open meta device.";
    ERR_DISK_NOT_BDEV = 107 "Lower device is not a block device.";
    ERR_MD_NOT_BDEV = 108 "Meta device is not a block device.";
    ERR_DISK_TOO_SMALL = 111 "Low.dev. smaller than requested DRBD-dev. size.";
    ERR_MD_DISK_TOO_SMALL = 112 "Meta device too small.";
    ERR_BDCLAIM_DISK = 114 "Lower device is already claimed. This usually means it is mounted.";
    ERR_BDCLAIM_MD_DISK = 115 "Meta device is already claimed. This usually means it is mounted.";
    ERR_MD_IDX_INVALID = 116 "Invalid meta device index.";
    ERR_IO_MD_DISK = 118 "IO error(s) occurred during initial access to meta-data.";
    ERR_MD_INVALID = 119 "No valid meta-data signature found.";
    ERR_AUTH_ALG = 120 "The hash algorithm for authentication is not available.";
    ERR_AUTH_ALG_ND = 121 "The algorithm for authentication is not a hash.";
    ERR_NOMEM = 122 "Out of memory.";
    ERR_DISCARD_IMPOSSIBLE = 123 "--discard-my-data not allowed when primary.";
    ERR_DISK_CONFIGURED = 124 "Device is attached to a disk (use detach first)";
    ERR_NET_CONFIGURED = 125 "Device has a net-config (use disconnect first)";
    ERR_MANDATORY_TAG = 126 "UnknownMandatoryTag";
    ERR_MINOR_INVALID = 127 "Device minor not allocated";
    ERR_INTR = 129 "Interrupted by Signal";
    ERR_RESIZE_RESYNC = 130 "Resize not allowed during resync.";
    ERR_NO_PRIMARY = 131 "Need one Primary node to resize.";
    ERR_RESYNC_AFTER = 132 "The resync-after minor number is invalid";
    ERR_RESYNC_AFTER_CYCLE = 133 "This would cause a resync-after dependency cycle";
    ERR_PAUSE_IS_SET = 134 "Sync-pause flag is already set";
    ERR_PAUSE_IS_CLEAR = 135 "Sync-pause flag is already cleared";
    ERR_PACKET_NR = 137 "Unknown packet type";
    ERR_NO_DISK = 138 "Device does not have a disk-config";
    ERR_NOT_PROTO_C = 139 "Protocol C required";
    ERR_NOMEM_BITMAP = 140 "Out of memory for the bitmap";
    ERR_INTEGRITY_ALG = 141 "The hash algorithm for data integrity is not available.";
    ERR_INTEGRITY_ALG_ND = 142 "The algorithm for data integrity is not a hash.";
    ERR_CPU_MASK_PARSE = 143 "Invalid cpu-mask";
    ERR_CSUMS_ALG = 144 "The hash algorithm for checksum-based resync is not available.";
    ERR_CSUMS_ALG_ND = 145 "The algorithm for checksum-based resync is not a hash.";
    ERR_VERIFY_ALG = 146 "VERIFYAlgNotAvail";
    ERR_VERIFY_ALG_ND = 147 "The algorithm for online verify is not a hash.";
    ERR_CSUMS_RESYNC_RUNNING = 148 "Can not change csums-alg while resync is in progress";
    ERR_VERIFY_RUNNING = 149 "Can not change verify-alg while online verify runs";
    ERR_DATA_NOT_CURRENT = 150 "Can only attach to the data we lost last (see kernel log).";
    ERR_CONNECTED = 151 "Need to be StandAlone";
    ERR_PERM = 152 "Permission denied. CAP_SYS_ADMIN necessary";
    ERR_NEED_APV_93 = 153 "Protocol version 93 required to use --assume-clean";
    ERR_STONITH_AND_PROT_A = 154 "Fencing policy resource-and-stonith only with prot B or C allowed";
    ERR_CONG_NOT_PROTO_A = 155 "on-congestion policy pull-ahead only with prot A allowed";
    ERR_PIC_AFTER_DEP = 156 "Sync-pause flag is already cleared. Note: Resync pause caused by a local resync-after dependency.";
    ERR_PIC_PEER_DEP = 157 "Sync-pause flag is already cleared. Note: Resync pause caused by the peer node.";
    ERR_RES_NOT_KNOWN = 158 "Unknown resource";
    ERR_RES_IN_USE = 159 "Resource still in use (delete all minors first)";
    ERR_MINOR_CONFIGURED = 160 "Minor still configured (down it first)";
    ERR_MINOR_OR_VOLUME_EXISTS = 161 "Minor or volume exists already (delete it first)";
    ERR_INVALID_REQUEST = 162 "Invalid configuration request";
    ERR_NEED_APV_100 = 163 "Protocol version 100 required in order to change these network options while connected";
    ERR_NEED_ALLOW_TWO_PRI = 164 "Can not clear allow_two_primaries as long as there are primaries on both sides";
    ERR_MD_UNCLEAN = 165 "Unclean meta-data found.";
    ERR_MD_LAYOUT_CONNECTED = 166 "The activity log's layout can not change while connected";
    ERR_MD_LAYOUT_TOO_BIG = 167 "Resulting activity log area too big";
    ERR_MD_LAYOUT_TOO_SMALL = 168 "Resulting activity log area too small";
    ERR_MD_LAYOUT_NO_FIT = 169 "Resulting activity log does not fit into available meta-data space";
    ERR_IMPLICIT_SHRINK = 170 "Implicit device shrinking not allowed. See kernel log.";
    ERR_INVALID_PEER_NODE_ID = 171 "Invalid peer-node-id";
    ERR_CREATE_TRANSPORT = 172 "Failed to create transport";
    ERR_LOCAL_AND_PEER_ADDR = 173 "Combination of local address(port) and remote address(port) already in use";
    ERR_ALREADY_EXISTS = 174 "Already exists";
    ERR_APV_TOO_LOW = 175 "A higher DRBD protocol level is required for this operation";
    ERR_PATH_COLLISION = 176 "An incoming connection could not be told apart from one on another path";
    SS_CW_NO_NEED = 4 "No cluster-wide change needed";
    SS_CW_SUCCESS = 3 "Cluster-wide success";
    SS_NOTHING_TO_DO = 2 "Nothing to do";
    SS_SUCCESS = 1 "Success";
    SS_UNKNOWN_ERROR = 0 "Unknown error";
    SS_TWO_PRIMARIES = -1 "Multiple primaries not allowed by config";
    SS_NO_UP_TO_DATE_DISK = -2 "Need access to UpToDate data";
    SS_NO_LOCAL_DISK = -4 "Can not resync without local disk";
    SS_NO_REMOTE_DISK = -5 "Can not resync without remote disk";
    SS_CONNECTED_OUTDATES = -6 "Refusing to be Outdated while Connected";
    SS_PRIMARY_NOP = -7 "Refusing to be Primary while peer is not outdated";
    SS_RESYNC_RUNNING = -8 "Can not start OV/resync since it is already active";
    SS_ALREADY_STANDALONE = -9 "Can not disconnect a StandAlone device";
    SS_CW_FAILED_BY_PEER = -10 "State change was refused by peer node";
    SS_IS_DISKLESS = -11 "Device is diskless, the requested operation requires a disk";
    SS_DEVICE_IN_USE = -12 "Device is held open by someone";
    SS_NO_NET_CONFIG = -13 "Have no net/connection configuration";
    SS_NO_VERIFY_ALG = -14 "Need a verify algorithm to start online verify";
    SS_NEED_CONNECTION = -15 "State change requires a connection";
    SS_LOWER_THAN_OUTDATED = -16 "Disk state is lower than outdated";
    SS_NOT_SUPPORTED = -17 "Peer does not support protocol";
    SS_IN_TRANSIENT_STATE = -18 "In transient state, retry after next state change";
    SS_CONCURRENT_ST_CHG = -19 "Concurrent state changes detected and aborted";
    SS_O_VOL_PEER_PRI = -20 "Other vol primary on peer not allowed by config";
    SS_INTERRUPTED = -21 "Interrupted state change";
    SS_PRIMARY_READER = -22 "Peer may not become primary while device is opened read-only";
    SS_TIMEOUT = -23 "Timeout in operation";
    SS_WEAKLY_CONNECTED = -24 "Primary nodes must be strongly connected among each other";
    SS_NO_QUORUM = -25 "No quorum";
    SS_ATTACH_NO_BITMAP = -26 "Intentional diskless peer may not attach a disk";
    SS_HANDSHAKE_DISCONNECT = -27 "Disconnect chosen in handshake";
    SS_HANDSHAKE_RETRY = -28 "Retry chosen in handshake";
}

impl RetCode {
    /// True when the request was carried out, or nothing had to be done.
    pub const fn is_success(self) -> bool {
        self.0 == Self::NO_ERROR.0 || (self.0 >= 1 && self.0 <= 4)
    }

    /// True for results of state changes, false for configuration errors.
    pub const fn is_state_result(self) -> bool {
        self.0 <= 4
    }
}

impl core::fmt::Debug for RetCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({})", self.0),
            None => write!(f, "RetCode({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_what_drbdsetup_takes_for_success() {
        for code in RetCode::ALL {
            let expected = matches!(code.0, 101 | 1..=4);
            assert_eq!(code.is_success(), expected, "{code:?}");
        }
        assert!(!RetCode(5).is_success());
        assert_eq!(RetCode(99).text(), None);
        assert_eq!(RetCode::ERR_RES_NOT_KNOWN.text(), Some("Unknown resource"));
        assert!(RetCode::SS_IN_TRANSIENT_STATE.is_state_result());
        assert!(!RetCode::ERR_NOMEM.is_state_result());
    }
}
