// SPDX-License-Identifier: GPL-2.0-or-later
//! Between header and packet: may this command come here, and may it be so long?
//!
//! This is the one place where the length a peer claims is judged; everything later relies on it.

use super::block::{DpFlags, MAX_BIO_BYTES, SECTOR_BYTES};
use super::command::{Command, Level, Stage};
use super::dialect::Dialect;
use super::error::WireError;
use super::header::Header;

/// Most bytes of the decoded part of any packet.
pub const MAX_FIXED: usize = 148;
/// Most bytes of header and decoded part together.
pub const MAX_FRAME: usize = Header::MAX_LEN + MAX_FIXED;

/// A header that was judged: which packet, and how its bytes divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The packet.
    pub command: Command,
    /// The volume of the header; none if the packet speaks of the whole connection.
    pub volume: Option<u16>,
    /// Bytes to read and hand to [`super::Packet::decode`], at most [`MAX_FIXED`].
    pub fixed_len: usize,
    /// Bytes of payload after them.
    pub payload_len: u32,
}

/// Judges a header (wire-protocol section 2, dispatch rules of both sockets).
///
/// # Errors
///
/// [`WireError::UnknownCommand`], [`WireError::Unexpected`], [`WireError::NotInDialect`], [`WireError::TooShort`],
/// [`WireError::TooLong`].
pub fn dispatch(dialect: Dialect, stage: Stage, header: &Header) -> Result<Frame, WireError> {
    let command = Command::from_id(header.command).ok_or(WireError::UnknownCommand {
        command: header.command,
    })?;
    if !command.allowed_at(stage) {
        return Err(WireError::Unexpected { command });
    }
    // Features are not asked for: the stock driver sends P_TRIM to peers that did not offer it.
    if !command.exists_in(dialect) {
        return Err(WireError::NotInDialect {
            command,
            version: dialect.version(),
        });
    }
    let lengths = command.lengths(dialect);
    let length = header.length;
    let least = lengths.fixed_min.saturating_add(lengths.payload_min);
    let most = lengths.fixed_max.saturating_add(lengths.payload_max);
    if length < least {
        return Err(WireError::TooShort {
            command,
            length,
            least,
        });
    }
    if length > most {
        return Err(WireError::TooLong {
            command,
            length,
            most,
        });
    }
    let fixed_len = if lengths.payload_max == 0 {
        length
    } else {
        lengths.fixed_min
    };
    Ok(Frame {
        command,
        volume: match command.level(dialect) {
            Level::Connection => None,
            Level::Volume => Some(header.volume),
        },
        fixed_len: usize::try_from(fixed_len).unwrap_or(usize::MAX),
        payload_len: length.saturating_sub(fixed_len),
    })
}

impl Frame {
    /// Bytes of block data in the payload of P_DATA, P_DATA_REPLY or P_RS_DATA_REPLY, after the digest of
    /// `digest_len` bytes (0 without data-integrity-alg).
    ///
    /// # Errors
    ///
    /// [`WireError::BadValue`] unless the rest is a multiple of 512, at most 1 MiB, and not empty; only a P_DATA that
    /// asks for a flush may be empty (wire-protocol section 6.2).
    pub fn data_len(&self, digest_len: u32, flags: DpFlags) -> Result<u32, WireError> {
        let bad = WireError::BadValue {
            field: "data length",
            value: u64::from(self.payload_len),
        };
        let length = self.payload_len.checked_sub(digest_len).ok_or(bad)?;
        let may_be_empty = self.command == Command::Data && flags.contains(DpFlags::FLUSH);
        if length % SECTOR_BYTES != 0 || length > MAX_BIO_BYTES || (length == 0 && !may_be_empty) {
            return Err(bad);
        }
        Ok(length)
    }

    /// Checks that the payload is exactly one digest of `digest_len` bytes (P_OV_REPLY, P_CSUM_RS_REQUEST).
    ///
    /// # Errors
    ///
    /// [`WireError::BadValue`].
    pub fn check_digest(&self, digest_len: u32) -> Result<(), WireError> {
        if self.payload_len == digest_len {
            Ok(())
        } else {
            Err(WireError::BadValue {
                field: "digest length",
                value: u64::from(self.payload_len),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Features, Reaction};

    fn dialect(version: u8) -> Dialect {
        Dialect::new(version, Features::ALL).unwrap()
    }

    fn header(command: u16, length: u32) -> Header {
        Header {
            volume: 3,
            command,
            length,
        }
    }

    #[test]
    fn splits_structure_and_payload() {
        let frame = dispatch(dialect(101), Stage::Data, &header(0, 24 + 20 + 4096)).unwrap();
        assert_eq!(
            (frame.volume, frame.fixed_len, frame.payload_len),
            (Some(3), 24, 4116)
        );
        assert_eq!(frame.data_len(20, DpFlags::NONE), Ok(4096));
        assert!(frame.data_len(0, DpFlags::NONE).is_err());
        assert!(frame.data_len(5000, DpFlags::NONE).is_err());
        let protocol = dispatch(dialect(101), Stage::Data, &header(0x0b, 29)).unwrap();
        assert_eq!(
            (protocol.volume, protocol.fixed_len, protocol.payload_len),
            (None, 29, 0)
        );
    }

    #[test]
    fn only_a_flush_may_be_empty() {
        let empty = |command| dispatch(dialect(101), Stage::Data, &header(command, 24)).unwrap();
        assert_eq!(empty(0).data_len(0, DpFlags::FLUSH), Ok(0));
        assert!(empty(0).data_len(0, DpFlags::FUA).is_err());
        assert!(empty(1).data_len(0, DpFlags::FLUSH).is_err());
        assert!(empty(2).data_len(0, DpFlags::NONE).is_err());
    }

    #[test]
    fn block_data_ends_at_one_mebibyte() {
        let frame = |length| dispatch(dialect(101), Stage::Data, &header(0, length));
        assert_eq!(
            frame(24 + MAX_BIO_BYTES)
                .unwrap()
                .data_len(0, DpFlags::NONE),
            Ok(MAX_BIO_BYTES)
        );
        // A digest of 64 bytes would make this legal, no digest does not.
        let over = frame(24 + MAX_BIO_BYTES + 64).unwrap();
        assert_eq!(over.data_len(64, DpFlags::NONE), Ok(MAX_BIO_BYTES));
        assert!(over.data_len(0, DpFlags::NONE).is_err());
        assert_eq!(
            frame(24 + MAX_BIO_BYTES + 65),
            Err(WireError::TooLong {
                command: Command::Data,
                length: 1_048_665,
                most: 1_048_664
            })
        );
        assert!(frame(u32::MAX).is_err());
    }

    #[test]
    fn refuses_each_wrong_length_with_a_reaction() {
        for command in Command::ALL {
            for version in [86, 87, 88, 94, 95, 99, 100, 101] {
                let dialect = dialect(version);
                if !command.exists_in(dialect) {
                    continue;
                }
                let stage = [
                    Stage::First,
                    Stage::Features,
                    Stage::AuthChallenge,
                    Stage::AuthResponse,
                    Stage::Data,
                    Stage::Meta,
                ]
                .into_iter()
                .find(|stage| command.allowed_at(*stage))
                .unwrap();
                let lengths = command.lengths(dialect);
                let least = lengths.fixed_min + lengths.payload_min;
                let most = lengths.fixed_max + lengths.payload_max;
                assert!(usize::try_from(lengths.fixed_max).unwrap() <= MAX_FIXED);
                let at = |length| dispatch(dialect, stage, &header(command.id(), length));
                assert!(at(least).is_ok() && at(most).is_ok());
                if least > 0 {
                    assert_eq!(
                        at(least - 1),
                        Err(WireError::TooShort {
                            command: *command,
                            length: least - 1,
                            least
                        })
                    );
                }
                let error = at(most + 1).unwrap_err();
                assert_eq!(
                    error,
                    WireError::TooLong {
                        command: *command,
                        length: most + 1,
                        most
                    }
                );
                let expected = match stage {
                    Stage::First => Reaction::CloseSocket,
                    Stage::Features | Stage::AuthChallenge => Reaction::Disconnecting,
                    Stage::AuthResponse => Reaction::Retry,
                    Stage::Data => Reaction::ProtocolError,
                    Stage::Meta => Reaction::NetworkFailure,
                };
                assert_eq!(error.reaction(stage), expected);
            }
        }
    }

    #[test]
    fn refuses_what_does_not_belong_here() {
        let at = |version, stage, command| {
            dispatch(dialect(version), stage, &header(command, 0)).unwrap_err()
        };
        assert_eq!(
            at(101, Stage::Data, 0x34),
            WireError::UnknownCommand { command: 0x34 }
        );
        assert_eq!(
            at(101, Stage::Data, 0x13),
            WireError::Unexpected {
                command: Command::Ping
            }
        );
        assert_eq!(
            at(101, Stage::Meta, 0x00),
            WireError::Unexpected {
                command: Command::Data
            }
        );
        assert_eq!(
            at(101, Stage::Data, 0x10),
            WireError::Unexpected {
                command: Command::AuthChallenge
            }
        );
        assert_eq!(
            at(101, Stage::Data, 0xfffe),
            WireError::Unexpected {
                command: Command::ConnectionFeatures
            }
        );
        assert_eq!(
            at(99, Stage::Data, 0x2a),
            WireError::NotInDialect {
                command: Command::ConnStChgReq,
                version: 99
            }
        );
        assert_eq!(
            at(101, Stage::Data, 0x0a),
            WireError::NotInDialect {
                command: Command::SyncParam,
                version: 101
            }
        );
        assert_eq!(
            at(101, Stage::Meta, 0x99).reaction(Stage::Meta),
            Reaction::Disconnecting
        );
        assert_eq!(
            at(101, Stage::Data, 0x99).reaction(Stage::Data),
            Reaction::ProtocolError
        );
    }

    #[test]
    fn state_requests_were_for_the_connection_before_volumes() {
        let volume = |version| {
            dispatch(dialect(version), Stage::Data, &header(0x12, 8))
                .unwrap()
                .volume
        };
        assert_eq!((volume(99), volume(100)), (None, Some(3)));
    }
}
