// SPDX-License-Identifier: GPL-2.0-or-later
//! One value, chosen at the handshake, that answers every question about the agreed version and features.
//!
//! Nothing outside this file compares version numbers. Versions 86 to 99 can be spoken by the codec; which range
//! is announced is the caller's choice ([`Dialect::OWN_MIN`] and [`Dialect::OWN_MAX`] say what is).

use super::block::DpFlags;
use super::command::Command;
use super::error::WireError;
use super::flags::flag_set;
use super::handshake::ConnectionFeatures;
use super::header::HeaderKind;

flag_set! {
    /// Features that both nodes offer (wire-protocol section 5.2).
    pub struct Features(u32) {
        /// P_TRIM may be sent. The stock driver sends it without asking: always offer this.
        TRIM = 1;
        /// P_RS_THIN_REQ and P_RS_DEALLOCATED may be sent.
        THIN_RESYNC = 2;
        /// P_SIZES carries the queue limits; discards of 128 MiB; UUID rule 41.
        WSAME = 4;
        /// P_ZEROES may be sent, and P_TRIM means a plain discard.
        WZEROES = 8;
    }
}

impl Features {
    /// Every feature these versions know.
    pub const ALL: Self = Self::from_bits(0xf);
}

/// Layout of the packet with the resync parameters (wire-protocol section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncParamForm {
    /// 86 and 87: the resync rate alone, 4 bytes.
    Rate,
    /// 88: the rate and a NUL-terminated verify-alg.
    RateAndVerify,
    /// 89 to 94: the rate and two algorithm fields, 132 bytes.
    Algorithms,
    /// 95 and later: with the parameters of the resync controller, 148 bytes.
    Controller,
}

/// Lowest version this codec speaks.
const VERSION_MIN: u8 = 86;
/// Highest version this codec speaks.
const VERSION_MAX: u8 = 101;
/// Taken as agreed until the features were exchanged, so that the first packets have the oldest header.
const VERSION_INITIAL: u8 = 80;
/// A packet of the stock driver's bitmap transfer, header included.
const BITMAP_PACKET_BYTES: usize = 4096;
/// From this payload length on, versions 95 to 99 use the header with the long length field.
const HEADER_95_ABOVE_BYTES: u32 = 32768;
const KIB: u32 = 1024;
const MIB: u32 = 1024 * 1024;

/// The agreed protocol version and features of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    version: u8,
    features: Features,
}

impl Dialect {
    /// Lowest version that is announced to peers.
    pub const OWN_MIN: u8 = 100;
    /// Highest version that is announced to peers.
    pub const OWN_MAX: u8 = VERSION_MAX;
    /// Spoken until the features were exchanged: 8-byte headers, first packets and features only.
    pub const INITIAL: Self = Self {
        version: VERSION_INITIAL,
        features: Features::NONE,
    };

    /// The dialect of an agreed version; none outside 86 to 101.
    #[must_use]
    pub fn new(version: u8, features: Features) -> Option<Self> {
        (VERSION_MIN..=VERSION_MAX)
            .contains(&version)
            .then_some(Self { version, features })
    }

    /// Agrees on the highest common version and the common features.
    ///
    /// # Errors
    ///
    /// [`WireError::NoCommonVersion`] when the ranges do not overlap, or only in versions nobody speaks.
    pub fn negotiate(
        own: &ConnectionFeatures,
        peer: &ConnectionFeatures,
    ) -> Result<Self, WireError> {
        // A peer that knows one version only leaves its highest version zero.
        let peer_max = if peer.protocol_max == 0 {
            peer.protocol_min
        } else {
            peer.protocol_max
        };
        let none = WireError::NoCommonVersion {
            peer_min: peer.protocol_min,
            peer_max,
        };
        if own.protocol_max < peer.protocol_min || peer_max < own.protocol_min {
            return Err(none);
        }
        let version = u8::try_from(own.protocol_max.min(peer_max)).map_err(|_| none)?;
        Self::new(version, own.features.intersection(peer.features)).ok_or(none)
    }

    /// The agreed version, 86 to 101 (80 before the agreement).
    #[must_use]
    pub const fn version(self) -> u8 {
        self.version
    }

    /// The agreed features.
    #[must_use]
    pub const fn features(self) -> Features {
        self.features
    }

    /// Whether the agreed version is `version` or later.
    pub(super) const fn at_least(self, version: u8) -> bool {
        self.version >= version
    }

    /// Bytes of every header of this connection: 8 or 16.
    #[must_use]
    pub const fn header_len(self) -> usize {
        if self.at_least(100) {
            HeaderKind::H100.bytes()
        } else {
            HeaderKind::H80.bytes()
        }
    }

    /// The header to send for `length` bytes after it.
    #[must_use]
    pub const fn header_kind(self, length: u32) -> HeaderKind {
        if self.at_least(100) {
            HeaderKind::H100
        } else if self.at_least(95) && length > HEADER_95_ABOVE_BYTES {
            HeaderKind::H95
        } else {
            HeaderKind::H80
        }
    }

    /// Whether a header of this kind may be received.
    #[must_use]
    pub const fn accepts(self, kind: HeaderKind) -> bool {
        match kind {
            HeaderKind::H80 | HeaderKind::H95 => !self.at_least(100),
            HeaderKind::H100 => self.at_least(100),
        }
    }

    /// Whether `command` may be sent: the version and the features have it.
    #[must_use]
    pub fn may_send(self, command: Command) -> bool {
        command.exists_in(self) && self.features.contains(command.needs())
    }

    /// Whether discards may be sent at all: versions before 95 have no flag for them.
    #[must_use]
    pub fn may_discard(self) -> bool {
        self.may_send(Command::Trim)
    }

    /// The flags of a data packet that may be sent; the others do not exist in this version.
    #[must_use]
    pub const fn dp_flags(self, flags: DpFlags) -> DpFlags {
        let mut known = DpFlags::RW_SYNC.union(DpFlags::MAY_SET_IN_SYNC);
        if self.at_least(95) {
            known = known
                .union(DpFlags::FUA)
                .union(DpFlags::FLUSH)
                .union(DpFlags::DISCARD);
        }
        if self.at_least(100) {
            known = known
                .union(DpFlags::SEND_RECEIVE_ACK)
                .union(DpFlags::SEND_WRITE_ACK);
        }
        if self.features.contains(Features::WZEROES) {
            known = known.union(DpFlags::ZEROES);
        }
        flags.intersection(known)
    }

    /// Whether each data packet says which ack it wants; before, the receiver's own protocol A, B or C decides.
    #[must_use]
    pub const fn has_ack_flags(self) -> bool {
        self.at_least(100)
    }

    /// Whether data packets carry FUA, flush and discard.
    #[must_use]
    pub const fn has_flush_flags(self) -> bool {
        self.at_least(95)
    }

    /// Largest data or request a sender may use, in bytes, before the peer's own `max_bio_size` is looked at.
    #[must_use]
    pub const fn max_bio_bytes(self) -> u32 {
        if self.at_least(100) {
            MIB
        } else if self.at_least(95) {
            128 * KIB
        } else {
            32 * KIB
        }
    }

    /// Largest discard or write-zeroes a sender may use, in bytes.
    #[must_use]
    pub const fn max_discard_bytes(self) -> u32 {
        if self.features.contains(Features::WSAME) {
            128 * MIB
        } else {
            4 * MIB
        }
    }

    /// Whether P_SIZES carries the queue limits.
    #[must_use]
    pub const fn has_queue_limits(self) -> bool {
        self.features.contains(Features::WSAME)
    }

    /// Bytes of P_SIZES: 32 or 56.
    #[must_use]
    pub const fn sizes_len(self) -> usize {
        if self.has_queue_limits() {
            56
        } else {
            32
        }
    }

    /// Whether P_PROTOCOL ends with the name of the integrity algorithm.
    #[must_use]
    pub const fn has_integrity_alg(self) -> bool {
        self.at_least(87)
    }

    /// Layout of the resync parameters.
    #[must_use]
    pub const fn sync_param_form(self) -> SyncParamForm {
        if self.at_least(95) {
            SyncParamForm::Controller
        } else if self.at_least(89) {
            SyncParamForm::Algorithms
        } else if self.at_least(88) {
            SyncParamForm::RateAndVerify
        } else {
            SyncParamForm::Rate
        }
    }

    /// Most bytes of a bitmap packet after the header.
    #[must_use]
    pub const fn bitmap_chunk_bytes(self) -> usize {
        BITMAP_PACKET_BYTES.saturating_sub(self.header_len())
    }

    /// 64-bit words of a full plain bitmap packet: 511 or 510.
    #[must_use]
    pub const fn bitmap_chunk_words(self) -> usize {
        self.bitmap_chunk_bytes() / 8
    }

    /// Whether compressed bitmap packets may be sent.
    #[must_use]
    pub const fn has_compressed_bitmap(self) -> bool {
        self.at_least(90)
    }

    /// Whether online verify exists.
    #[must_use]
    pub const fn has_verify(self) -> bool {
        self.at_least(88)
    }

    /// Whether a verify may end at a stop sector, and VerifyS sends its state at the end: 97 to 99, and 101.
    #[must_use]
    pub const fn has_verify_stop_sector(self) -> bool {
        self.at_least(97) && self.version != 100
    }

    /// Whether a resync may compare checksums.
    #[must_use]
    pub const fn has_checksum_resync(self) -> bool {
        self.at_least(89)
    }

    /// Whether `new-current-uuid --clear-bitmap` can tell the peer to skip the first resync.
    #[must_use]
    pub const fn has_skip_initial_sync(self) -> bool {
        self.at_least(90)
    }

    /// Whether the UUID rules 34 to 37, 51 and 71 may repair a lost end of a resync.
    #[must_use]
    pub const fn has_uuid_fixups(self) -> bool {
        self.at_least(91)
    }

    /// Whether a connection may be tried only, with CF_DRY_RUN.
    #[must_use]
    pub const fn has_dry_run(self) -> bool {
        self.at_least(92)
    }

    /// Whether P_SIZES carries meaningful flags.
    #[must_use]
    pub const fn has_dds_flags(self) -> bool {
        self.at_least(93)
    }

    /// Whether the target tells the end of a resync by P_STATE; before, the source finds out by itself.
    #[must_use]
    pub const fn has_explicit_resync_end(self) -> bool {
        self.at_least(96)
    }

    /// Whether P_OUT_OF_SYNC, Ahead and Behind exist, the sync UUID is the bitmap UUID plus 2^48, and writes go on
    /// during the bitmap exchange.
    #[must_use]
    pub const fn has_out_of_sync(self) -> bool {
        self.at_least(96)
    }

    /// Whether there are volumes, and state requests for the whole connection.
    #[must_use]
    pub const fn has_volumes(self) -> bool {
        self.at_least(100)
    }

    /// Whether a conflicting write can be sent back to be retried; before, P_SUPERSEDED is sent.
    #[must_use]
    pub fn has_retry_write(self) -> bool {
        self.may_send(Command::RetryWrite)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// The versions in which `question` is answered with yes.
    fn versions(question: impl Fn(Dialect) -> bool) -> Vec<u8> {
        let dialects = (0..=u8::MAX).filter_map(|version| Dialect::new(version, Features::ALL));
        dialects
            .filter(|dialect| question(*dialect))
            .map(Dialect::version)
            .collect()
    }

    #[test]
    fn each_question_has_its_versions() {
        let since = |version| Vec::from_iter(version..=101_u8);
        assert_eq!(versions(|_| true), since(86));
        for (question, first) in [
            (Dialect::has_integrity_alg as fn(Dialect) -> bool, 87),
            (Dialect::has_verify, 88),
            (Dialect::has_checksum_resync, 89),
            (Dialect::has_compressed_bitmap, 90),
            (Dialect::has_skip_initial_sync, 90),
            (Dialect::has_uuid_fixups, 91),
            (Dialect::has_dry_run, 92),
            (Dialect::has_dds_flags, 93),
            (Dialect::has_flush_flags, 95),
            (Dialect::may_discard, 95),
            (Dialect::has_out_of_sync, 96),
            (Dialect::has_explicit_resync_end, 96),
            (Dialect::has_ack_flags, 100),
            (Dialect::has_volumes, 100),
            (Dialect::has_retry_write, 100),
        ] {
            assert_eq!(versions(question), since(first));
        }
        assert_eq!(versions(Dialect::has_verify_stop_sector), [97, 98, 99, 101]);
    }

    #[test]
    fn each_packet_has_its_versions() {
        for command in Command::ALL {
            let first = match command {
                Command::OvRequest | Command::OvReply | Command::OvResult => 88,
                Command::CsumRsRequest | Command::RsIsInSync | Command::SyncParam89 => 89,
                Command::CompressedBitmap => 90,
                Command::DelayProbe => 93,
                Command::Trim | Command::Zeroes => 95,
                Command::OutOfSync | Command::RsCancel => 96,
                Command::ConnStChgReq
                | Command::ConnStChgReply
                | Command::RetryWrite
                | Command::ProtocolUpdate => 100,
                _ => 86,
            };
            let last = if *command == Command::SyncParam {
                88
            } else {
                101
            };
            let wanted = Vec::from_iter(first..=last);
            assert_eq!(
                versions(|dialect| dialect.may_send(*command)),
                wanted,
                "{command:?}"
            );
        }
    }

    #[test]
    fn sizes_grow_with_versions_and_features() {
        let bytes = |version, features| {
            let dialect = Dialect::new(version, features).unwrap();
            (dialect.max_bio_bytes(), dialect.max_discard_bytes())
        };
        assert_eq!(bytes(94, Features::NONE), (32 << 10, 4 << 20));
        assert_eq!(bytes(95, Features::WSAME), (128 << 10, 128 << 20));
        assert_eq!(bytes(99, Features::TRIM), (128 << 10, 4 << 20));
        assert_eq!(bytes(100, Features::ALL), (1 << 20, 128 << 20));
    }

    #[test]
    fn flags_that_a_version_lacks_are_not_sent() {
        let all = DpFlags::from_bits(u32::MAX);
        let sent = |version, features| {
            Dialect::new(version, features)
                .unwrap()
                .dp_flags(all)
                .bits()
        };
        assert_eq!(sent(94, Features::NONE), 2 | 4);
        assert_eq!(sent(95, Features::NONE), 2 | 4 | 16 | 32 | 64);
        assert_eq!(sent(101, Features::NONE), 2 | 4 | 16 | 32 | 64 | 128 | 256);
        assert_eq!(
            sent(101, Features::ALL),
            2 | 4 | 16 | 32 | 64 | 128 | 256 | 1024
        );
    }
}
