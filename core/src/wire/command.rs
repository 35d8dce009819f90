// SPDX-License-Identifier: GPL-2.0-or-later
//! The packet catalogue: one row per packet (wire-protocol section 3).
//!
//! Numbers that have no handler in these versions (0x05, 0x06, 0x25, 0x26, P_WSAME 0x34 and those of DRBD 9) have no
//! row, so they are refused as unknown.

use super::block::MAX_BIO_BYTES;
use super::dialect::{Dialect, Features, SyncParamForm};

/// One of the two TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Requests, bulk data, configuration, states.
    Data,
    /// Acks, pings, replies to state requests.
    Meta,
}

/// What may be received at a point of the connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// First packet of an accepted socket: says which of the two it is.
    First,
    /// Waiting for the peer's features.
    Features,
    /// Waiting for the peer's challenge.
    AuthChallenge,
    /// Waiting for the peer's answer to our challenge.
    AuthResponse,
    /// Data socket, from P_PROTOCOL on.
    Data,
    /// Meta socket, after the first packet.
    Meta,
}

/// Whom a packet speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The connection; the volume in the header means nothing.
    Connection,
    /// The volume in the header.
    Volume,
}

/// Where a packet may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    At(Stage),
    BothSockets,
}

/// What comes after the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    None,
    /// At most so many bytes, decoded together with the structure.
    Text(u32),
    /// Between so many bytes of payload, which are not decoded here.
    Payload(u32, u32),
    /// As the bitmap chunk of the dialect says, at least so many bytes.
    Bitmap(u32),
    /// As the form of the resync parameters of the dialect says.
    SyncParam,
    /// The queue limits, if the dialect has them.
    QueueLimits,
}

/// Largest digest of any algorithm, in bytes.
pub const MAX_DIGEST: u32 = 64;
/// Bytes of an algorithm field or text, NUL included.
pub const ALG_NAME_BYTES: u32 = 64;
/// Block data with a digest before it.
const BLOCKS: Tail = Tail::Payload(0, MAX_BIO_BYTES + MAX_DIGEST);
/// A digest alone.
const DIGEST: Tail = Tail::Payload(1, MAX_DIGEST);
/// Bytes a peer's challenge may have; ours has the smallest size.
pub const CHALLENGE_BYTES: (u32, u32) = (64, 128);

/// How many bytes a packet has after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    /// Fewest bytes of the decoded part.
    pub(super) fixed_min: u32,
    /// Most bytes of the decoded part; larger than `fixed_min` only if there is no payload.
    pub(super) fixed_max: u32,
    /// Fewest bytes of payload.
    pub(super) payload_min: u32,
    /// Most bytes of payload.
    pub(super) payload_max: u32,
}

/// One row of the catalogue.
#[derive(Debug)]
struct Row {
    id: u16,
    name: &'static str,
    log_name: &'static str,
    lane: Lane,
    level: Level,
    size: u32,
    tail: Tail,
    versions: (u8, u8),
    needs: Features,
}

const DATA: Lane = Lane::At(Stage::Data);
const META: Lane = Lane::At(Stage::Meta);
const FIRST: Lane = Lane::At(Stage::First);
const FEATURES: Lane = Lane::At(Stage::Features);
const CHALLENGE: Lane = Lane::At(Stage::AuthChallenge);
const RESPONSE: Lane = Lane::At(Stage::AuthResponse);
const BOTH: Lane = Lane::BothSockets;
/// From this version on, for ever.
const fn since(version: u8) -> (u8, u8) {
    (version, u8::MAX)
}
/// Before anything was agreed.
const ALWAYS: (u8, u8) = since(0);
/// In each version that can be agreed on.
const AGREED: (u8, u8) = since(86);

macro_rules! catalogue {
    ($(
        $(#[$doc:meta])*
        $command:ident = $id:literal, $name:literal, $log_name:literal, $lane:ident, $level:ident, $size:literal,
        $tail:expr, $versions:expr, $needs:expr;
    )*) => {
        /// A packet of the versions 86 to 101.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command {
            $( $(#[$doc])* $command, )*
        }

        impl Command {
            /// Every packet, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$( Self::$command, )*];

            /// The packet with this number.
            #[must_use]
            pub const fn from_id(id: u16) -> Option<Self> {
                match id {
                    $( $id => Some(Self::$command), )*
                    _ => None,
                }
            }

            /// One comparison and a load: a match over all packets is a search where jump tables are
            /// forbidden, as they are in the kernel.
            const fn row(self) -> &'static Row {
                const ROWS: [Row; Command::ALL.len()] = [$( Row {
                    id: $id,
                    name: $name,
                    log_name: $log_name,
                    lane: $lane,
                    level: Level::$level,
                    size: $size,
                    tail: $tail,
                    versions: $versions,
                    needs: $needs,
                }, )*];
                static TABLE: [Row; Command::ALL.len()] = ROWS;
                #[expect(clippy::indexing_slicing, reason = "a row for each packet")]
                let row = &TABLE[self as usize];
                row
            }
        }
    };
}

#[rustfmt::skip]
catalogue! {
    /// Replicated write: `[digest][data]` follow.
    Data = 0x00, "P_DATA", "Data", DATA, Volume, 24, BLOCKS, AGREED, Features::NONE;
    /// Answer to a remote read: `[digest][data]` follow.
    DataReply = 0x01, "P_DATA_REPLY", "DataReply", DATA, Volume, 24, BLOCKS, AGREED, Features::NONE;
    /// Resync data: `[digest][data]` follow.
    RsDataReply = 0x02, "P_RS_DATA_REPLY", "RSDataReply", DATA, Volume, 24, BLOCKS, AGREED, Features::NONE;
    /// Closes a write epoch.
    Barrier = 0x03, "P_BARRIER", "Barrier", DATA, Connection, 8, Tail::None, AGREED, Features::NONE;
    /// Plain bitmap words follow; none at the end of a transfer.
    Bitmap = 0x04, "P_BITMAP", "ReportBitMap", DATA, Volume, 0, Tail::Bitmap(0), AGREED, Features::NONE;
    /// Hint that the sender's queue ran empty.
    UnplugRemote = 0x07, "P_UNPLUG_REMOTE", "UnplugRemote", DATA, Volume, 0, Tail::None, AGREED, Features::NONE;
    /// Remote read.
    DataRequest = 0x08, "P_DATA_REQUEST", "DataRequest", DATA, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Resync request of the target.
    RsDataRequest = 0x09, "P_RS_DATA_REQUEST", "RSDataRequest", DATA, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Resync parameters up to version 88.
    SyncParam = 0x0a, "P_SYNC_PARAM", "SyncParam", DATA, Volume, 0, Tail::SyncParam, (86, 88), Features::NONE;
    /// Settings of the connection that must be equal on both nodes.
    Protocol = 0x0b, "P_PROTOCOL", "ReportProtocol", DATA, Connection, 24, Tail::Text(ALG_NAME_BYTES), AGREED, Features::NONE;
    /// Generation UUIDs.
    Uuids = 0x0c, "P_UUIDS", "ReportUUIDs", DATA, Volume, 48, Tail::None, AGREED, Features::NONE;
    /// Sizes and queue limits.
    Sizes = 0x0d, "P_SIZES", "ReportSizes", DATA, Volume, 32, Tail::QueueLimits, AGREED, Features::NONE;
    /// State as the sender sees it.
    State = 0x0e, "P_STATE", "ReportState", DATA, Volume, 4, Tail::None, AGREED, Features::NONE;
    /// The resync starts: UUID it will end with.
    SyncUuid = 0x0f, "P_SYNC_UUID", "ReportSyncUUID", DATA, Volume, 8, Tail::None, AGREED, Features::NONE;
    /// Random bytes to be signed follow.
    AuthChallenge = 0x10, "P_AUTH_CHALLENGE", "AuthChallenge", CHALLENGE, Connection, 0, Tail::Payload(CHALLENGE_BYTES.0, CHALLENGE_BYTES.1), AGREED, Features::NONE;
    /// The signature of the challenge follows.
    AuthResponse = 0x11, "P_AUTH_RESPONSE", "AuthResponse", RESPONSE, Connection, 0, DIGEST, AGREED, Features::NONE;
    /// Asks the peer to agree to a change of state.
    StateChgReq = 0x12, "P_STATE_CHG_REQ", "StateChgRequest", DATA, Volume, 8, Tail::None, AGREED, Features::NONE;
    /// To be answered at once.
    Ping = 0x13, "P_PING", "Ping", META, Connection, 0, Tail::None, AGREED, Features::NONE;
    /// Answer to a ping.
    PingAck = 0x14, "P_PING_ACK", "PingAck", META, Connection, 0, Tail::None, AGREED, Features::NONE;
    /// Write received (protocol B).
    RecvAck = 0x15, "P_RECV_ACK", "RecvAck", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Write on disk (protocol C).
    WriteAck = 0x16, "P_WRITE_ACK", "WriteAck", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Write on disk and the range is in sync; also the ack of resync data.
    RsWriteAck = 0x17, "P_RS_WRITE_ACK", "RSWriteAck", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Two primaries: the write was superseded by the peer's.
    Superseded = 0x18, "P_SUPERSEDED", "Superseded", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Write failed.
    NegAck = 0x19, "P_NEG_ACK", "NegAck", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Remote read failed.
    NegDreply = 0x1a, "P_NEG_DREPLY", "NegDReply", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Resync or verify read failed.
    NegRsDreply = 0x1b, "P_NEG_RS_DREPLY", "NegRSDReply", META, Volume, 24, Tail::None, AGREED, Features::NONE;
    /// Every write of an epoch is durable.
    BarrierAck = 0x1c, "P_BARRIER_ACK", "BarrierAck", META, Connection, 8, Tail::None, AGREED, Features::NONE;
    /// Answer to a state request.
    StateChgReply = 0x1d, "P_STATE_CHG_REPLY", "StateChgReply", META, Volume, 4, Tail::None, AGREED, Features::NONE;
    /// Online verify asks for a digest.
    OvRequest = 0x1e, "P_OV_REQUEST", "OVRequest", DATA, Volume, 24, Tail::None, since(88), Features::NONE;
    /// Online verify: the digest follows.
    OvReply = 0x1f, "P_OV_REPLY", "OVReply", DATA, Volume, 24, DIGEST, since(88), Features::NONE;
    /// Online verify: result in the block id.
    OvResult = 0x20, "P_OV_RESULT", "OVResult", META, Volume, 24, Tail::None, since(88), Features::NONE;
    /// Resync request with the digest of the target's block following.
    CsumRsRequest = 0x21, "P_CSUM_RS_REQUEST", "CsumRSRequest", DATA, Volume, 24, DIGEST, since(89), Features::NONE;
    /// Checksum resync: the blocks are equal. The block id is garbage.
    RsIsInSync = 0x22, "P_RS_IS_IN_SYNC", "CsumRSIsInSync", META, Volume, 24, Tail::None, since(89), Features::NONE;
    /// Resync parameters from version 89 on.
    SyncParam89 = 0x23, "P_SYNC_PARAM89", "SyncParam89", DATA, Volume, 0, Tail::SyncParam, since(89), Features::NONE;
    /// A compressed piece of the bitmap follows.
    CompressedBitmap = 0x24, "P_COMPRESSED_BITMAP", "CBitmap", DATA, Volume, 0, Tail::Bitmap(2), since(90), Features::NONE;
    /// Received and ignored, never sent.
    DelayProbe = 0x27, "P_DELAY_PROBE", "DelayProbe", BOTH, Connection, 8, Tail::None, since(93), Features::NONE;
    /// The sender wrote this range without replicating it.
    OutOfSync = 0x28, "P_OUT_OF_SYNC", "OutOfSync", DATA, Volume, 16, Tail::None, since(96), Features::NONE;
    /// The source is Ahead: resync request refused.
    RsCancel = 0x29, "P_RS_CANCEL", "RSCancel", META, Volume, 24, Tail::None, since(96), Features::NONE;
    /// Asks the peer to agree to a change of the whole connection.
    ConnStChgReq = 0x2a, "P_CONN_ST_CHG_REQ", "conn_st_chg_req", DATA, Connection, 8, Tail::None, since(100), Features::NONE;
    /// Answer to that.
    ConnStChgReply = 0x2b, "P_CONN_ST_CHG_REPLY", "conn_st_chg_reply", META, Connection, 4, Tail::None, since(100), Features::NONE;
    /// Two primaries: send the write again later.
    RetryWrite = 0x2c, "P_RETRY_WRITE", "retry_write", META, Volume, 24, Tail::None, since(100), Features::NONE;
    /// Settings of the connection changed while connected.
    ProtocolUpdate = 0x2d, "P_PROTOCOL_UPDATE", "protocol_update", DATA, Connection, 24, Tail::Text(ALG_NAME_BYTES), since(100), Features::NONE;
    /// Discard.
    Trim = 0x31, "P_TRIM", "Trim", DATA, Volume, 28, Tail::None, since(95), Features::TRIM;
    /// Resync request that may be answered by [`Command::RsDeallocated`].
    RsThinReq = 0x32, "P_RS_THIN_REQ", "rs_thin_req", DATA, Volume, 24, Tail::None, AGREED, Features::THIN_RESYNC;
    /// The range is all zero on the source.
    RsDeallocated = 0x33, "P_RS_DEALLOCATED", "rs_deallocated", DATA, Volume, 16, Tail::None, AGREED, Features::THIN_RESYNC;
    /// Write zeroes.
    Zeroes = 0x36, "P_ZEROES", "Zeroes", DATA, Volume, 28, Tail::None, since(95), Features::WZEROES;
    /// This socket is the meta socket.
    InitialMeta = 0xfff1, "P_INITIAL_META", "InitialMeta", FIRST, Connection, 0, Tail::None, ALWAYS, Features::NONE;
    /// This socket is the data socket.
    InitialData = 0xfff2, "P_INITIAL_DATA", "InitialData", FIRST, Connection, 0, Tail::None, ALWAYS, Features::NONE;
    /// Versions and features of the sender.
    ConnectionFeatures = 0xfffe, "P_CONNECTION_FEATURES", "ConnectionFeatures", FEATURES, Connection, 72, Tail::None, ALWAYS, Features::NONE;
}

impl Command {
    /// The number on the wire.
    #[must_use]
    pub const fn id(self) -> u16 {
        self.row().id
    }

    /// The protocol's name, such as `P_DATA`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The name in log lines, as administrators know it.
    #[must_use]
    pub const fn log_name(self) -> &'static str {
        self.row().log_name
    }

    /// Whom the packet speaks of. Before there were volumes, state requests were for the connection.
    #[must_use]
    pub const fn level(self, dialect: Dialect) -> Level {
        match self {
            Self::StateChgReq | Self::StateChgReply if !dialect.has_volumes() => Level::Connection,
            _ => self.row().level,
        }
    }

    /// The socket it travels on; a delay probe, which may come on both, counts as data.
    #[must_use]
    pub const fn socket(self) -> Socket {
        match (self, self.row().lane) {
            (Self::InitialMeta, _) | (_, Lane::At(Stage::Meta)) => Socket::Meta,
            _ => Socket::Data,
        }
    }

    /// Whether it may be received at this stage.
    #[must_use]
    pub fn allowed_at(self, stage: Stage) -> bool {
        match self.row().lane {
            Lane::At(own) => own == stage,
            Lane::BothSockets => matches!(stage, Stage::Data | Stage::Meta),
        }
    }

    /// Whether a packet for a volume that is not configured here only describes that, and is drained.
    #[must_use]
    pub const fn tolerates_unknown_volume(self) -> bool {
        matches!(
            self,
            Self::SyncParam | Self::SyncParam89 | Self::Sizes | Self::Uuids | Self::State
        )
    }

    /// Whether the agreed version has it, whatever the features.
    pub(super) const fn exists_in(self, dialect: Dialect) -> bool {
        let (first, last) = self.row().versions;
        dialect.version() >= first && dialect.version() <= last
    }

    /// The feature that must be agreed before it is sent.
    #[must_use]
    pub const fn needs(self) -> Features {
        self.row().needs
    }

    /// How long it may be.
    pub(super) fn lengths(self, dialect: Dialect) -> Lengths {
        let Row { size, tail, .. } = *self.row();
        let fixed = |fixed_min, fixed_max| Lengths {
            fixed_min,
            fixed_max,
            payload_min: 0,
            payload_max: 0,
        };
        let payload = |payload_min, payload_max| Lengths {
            fixed_min: size,
            fixed_max: size,
            payload_min,
            payload_max,
        };
        match tail {
            Tail::None => fixed(size, size),
            Tail::Text(most) => {
                // The name and its NUL came with version 87.
                let (least, most) = if dialect.has_integrity_alg() {
                    (1, most)
                } else {
                    (0, 0)
                };
                fixed(size.saturating_add(least), size.saturating_add(most))
            }
            Tail::Payload(least, most) => payload(least, most),
            Tail::Bitmap(least) => payload(least, to_u32(dialect.bitmap_chunk_bytes())),
            Tail::SyncParam => match dialect.sync_param_form() {
                SyncParamForm::Rate => fixed(4, 4),
                SyncParamForm::RateAndVerify => fixed(5, 4 + ALG_NAME_BYTES),
                SyncParamForm::Algorithms => fixed(132, 132),
                SyncParamForm::Controller => fixed(148, 148),
            },
            Tail::QueueLimits => {
                let size = to_u32(dialect.sizes_len());
                fixed(size, size)
            }
        }
    }
}

/// A length of this protocol as it travels; all of them fit.
pub(super) fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_ascending() {
        for pair in Command::ALL.windows(2) {
            assert!(pair[0].id() < pair[1].id());
            assert_ne!(pair[0].name(), pair[1].name());
            assert_ne!(pair[0].log_name(), pair[1].log_name());
        }
        for command in Command::ALL {
            assert_eq!(Command::from_id(command.id()), Some(*command));
        }
        assert_eq!(Command::ALL.len(), 49);
    }

    #[test]
    fn packets_without_a_handler_are_unknown() {
        for id in [
            0x05, 0x06, 0x25, 0x26, 0x2e, 0x2f, 0x30, 0x34, 0x35, 0x40, 0x58, 0x59, 0x100, 0xffff,
        ] {
            assert_eq!(Command::from_id(id), None, "{id:#x}");
        }
    }

    #[test]
    fn versions_and_features_decide_what_may_be_sent() {
        let at = |version, features| Dialect::new(version, features).unwrap();
        assert!(at(88, Features::NONE).may_send(Command::SyncParam));
        assert!(!at(89, Features::NONE).may_send(Command::SyncParam));
        assert!(at(89, Features::NONE).may_send(Command::SyncParam89));
        assert!(!at(101, Features::NONE).may_send(Command::Trim));
        assert!(at(101, Features::TRIM).may_send(Command::Trim));
        assert!(!at(94, Features::TRIM).may_discard());
        assert!(!Dialect::INITIAL.may_send(Command::Data));
        assert!(Dialect::INITIAL.may_send(Command::ConnectionFeatures));
    }
}
