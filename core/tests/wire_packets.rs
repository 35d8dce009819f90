// SPDX-License-Identifier: GPL-2.0-or-later
//! Each bad field of a packet is refused.

#[path = "wire_support/dialects.rs"]
mod dialects;

use dialects::{dialect, STAGES};
use drbd_core::uuid::Policy;
use drbd_core::wire::block::{MAX_BIO_BYTES, MAX_DISCARD_BYTES};
use drbd_core::wire::*;

/// Decodes a packet of the newest version from its bytes behind the header.
fn decode(command: Command, body: &[u8]) -> Result<Packet, WireError> {
    decode_in(dialect(101), command, body)
}

fn decode_in(dialect: Dialect, command: Command, body: &[u8]) -> Result<Packet, WireError> {
    let stage = STAGES
        .into_iter()
        .find(|stage| command.allowed_at(*stage))
        .unwrap();
    let header = Header {
        volume: 0,
        command: command.id(),
        length: body.len() as u32,
    };
    Packet::decode(dialect, &dispatch(dialect, stage, &header)?, body)
}

fn bytes(fields: &[&[u8]]) -> Vec<u8> {
    fields.concat()
}

fn bad(field: &'static str, value: u64) -> Result<Packet, WireError> {
    Err(WireError::BadValue { field, value })
}

fn bad_setting(field: &'static str, value: u64) -> Result<Packet, WireError> {
    Err(WireError::BadSetting { field, value })
}

#[test]
fn requests_of_impossible_size_are_refused() {
    let request = |size: u32| {
        bytes(&[
            &8_u64.to_be_bytes(),
            &[0xff; 8],
            &size.to_be_bytes(),
            &0xdead_beef_u32.to_be_bytes(),
        ])
    };
    for command in [
        Command::DataRequest,
        Command::RsDataRequest,
        Command::OvRequest,
        Command::RsThinReq,
    ] {
        assert!(decode(command, &request(512)).is_ok());
        assert!(decode(command, &request(MAX_BIO_BYTES)).is_ok());
        for size in [0, 256, 511, 513, 768, MAX_BIO_BYTES + 512, u32::MAX] {
            assert_eq!(
                decode(command, &request(size)),
                bad("size", u64::from(size))
            );
        }
    }
    let wanted = BlockRequest {
        sector: 8,
        block_id: BlockId::SYNCER,
        size: 4096,
    };
    assert_eq!(
        decode(Command::RsDataRequest, &request(4096)),
        Ok(Packet::RsDataRequest(wanted))
    );
}

#[test]
fn ranges_of_impossible_size_are_refused() {
    let range = |size: u32| {
        bytes(&[
            &8_u64.to_be_bytes(),
            &size.to_be_bytes(),
            &[0xde, 0xad, 0xbe, 0xef],
        ])
    };
    for command in [Command::OutOfSync, Command::RsDeallocated] {
        assert!(decode(command, &range(MAX_DISCARD_BYTES)).is_ok());
        for size in [0, 100, MAX_DISCARD_BYTES + 512] {
            assert_eq!(decode(command, &range(size)), bad("size", u64::from(size)));
        }
    }
    let wanted = BlockDesc {
        sector: 8,
        size: 512,
    };
    assert_eq!(
        decode(Command::OutOfSync, &range(512)),
        Ok(Packet::OutOfSync(wanted))
    );
}

#[test]
fn sectors_whose_end_cannot_be_computed_are_refused() {
    let sector = 1_u64 << 54;
    let data = bytes(&[&sector.to_be_bytes(), &[0; 16]]);
    for command in [Command::Data, Command::DataReply, Command::RsDataReply] {
        assert_eq!(decode(command, &data), bad("sector", sector));
    }
    let data = bytes(&[&(sector - 1).to_be_bytes(), &[0; 16]]);
    assert!(decode(Command::Data, &data).is_ok());
    // An ack only echoes: whoever asked compares.
    assert!(decode(Command::WriteAck, &[0xff; 24]).is_ok());
}

#[test]
fn discards_need_their_flag_and_a_size() {
    let trim =
        |flags: u32, size: u32| bytes(&[&[0; 20], &flags.to_be_bytes(), &size.to_be_bytes()]);
    assert!(decode(Command::Trim, &trim(322, 4096)).is_ok());
    assert_eq!(
        decode(Command::Trim, &trim(258, 4096)),
        bad("dp_flags", 258)
    );
    assert_eq!(
        decode(Command::Trim, &trim(1024, 4096)),
        bad("dp_flags", 1024)
    );
    assert!(decode(Command::Zeroes, &trim(1024, MAX_DISCARD_BYTES)).is_ok());
    assert!(decode(Command::Zeroes, &trim(1024 | 64, 512)).is_ok());
    assert_eq!(
        decode(Command::Zeroes, &trim(64, 4096)),
        bad("dp_flags", 64)
    );
    for size in [0, 4097, MAX_DISCARD_BYTES + 512] {
        assert_eq!(
            decode(Command::Trim, &trim(64, size)),
            bad("size", u64::from(size))
        );
    }
}

#[test]
fn trim_is_taken_from_a_peer_without_the_feature_but_not_sent_to_it() {
    let plain = Dialect::new(101, Features::NONE).unwrap();
    let trim = bytes(&[&[0; 20], &64_u32.to_be_bytes(), &4096_u32.to_be_bytes()]);
    let packet = decode_in(plain, Command::Trim, &trim).unwrap();
    let error = WireError::NotInDialect {
        command: Command::Trim,
        version: 101,
    };
    assert_eq!(packet.encode(plain, &mut [0; MAX_FIXED]), Err(error));
    assert_eq!(packet.encode(dialect(101), &mut [0; MAX_FIXED]), Ok(28));
}

#[test]
fn settings_nobody_has_end_the_connection_for_good() {
    let protocol = |numbers: [u32; 6], alg: &[u8]| {
        let mut body: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        body.extend_from_slice(alg);
        decode(Command::Protocol, &body)
    };
    assert!(protocol([3, 0, 0, 0, 0, 0], b"\0").is_ok());
    assert_eq!(
        protocol([0, 0, 0, 0, 0, 0], b"\0"),
        bad_setting("protocol", 0)
    );
    assert_eq!(
        protocol([4, 0, 0, 0, 0, 0], b"\0"),
        bad_setting("protocol", 4)
    );
    assert_eq!(
        protocol([3, 11, 0, 0, 0, 0], b"\0"),
        bad_setting("after-sb-0pri", 11)
    );
    assert_eq!(
        protocol([3, 0, 99, 0, 0, 0], b"\0"),
        bad_setting("after-sb-1pri", 99)
    );
    assert_eq!(
        protocol([3, 0, 0, 12, 0, 0], b"\0"),
        bad_setting("after-sb-2pri", 12)
    );
    assert_eq!(
        protocol([3, 0, 0, 0, 0, 2], b"\0"),
        bad_setting("allow-two-primaries", 2)
    );
    let error = protocol([3, 0, 0, 0, 0, 2], b"\0").unwrap_err();
    assert_eq!(error.reaction(Stage::Data), Reaction::Disconnecting);

    assert_eq!(
        protocol([3, 0, 0, 0, 0, 0], b"sha1"),
        bad("data-integrity-alg", 4)
    );
    assert_eq!(
        protocol([3, 0, 0, 0, 0, 0], b"sh\n1\0"),
        bad("data-integrity-alg", 5)
    );
    let too_short = WireError::TooShort {
        command: Command::Protocol,
        length: 24,
        least: 25,
    };
    assert_eq!(protocol([3, 0, 0, 0, 0, 0], b""), Err(too_short));
    let too_long = WireError::TooLong {
        command: Command::Protocol,
        length: 89,
        most: 88,
    };
    assert_eq!(protocol([3, 0, 0, 0, 0, 0], &[0; 65]), Err(too_long));
}

#[test]
fn integrity_algorithm_is_not_dropped_for_a_peer_too_old_to_be_told() {
    let mut protocol = Protocol {
        protocol: ReplicationProtocol::C,
        after_sb_0p: Policy::Disconnect,
        after_sb_1p: Policy::Disconnect,
        after_sb_2p: Policy::Disconnect,
        conn_flags: ConnFlags::NONE,
        two_primaries: false,
        integrity_alg: AlgName::EMPTY,
    };
    let mut buffer = [0; MAX_FIXED];
    assert_eq!(
        Packet::Protocol(protocol).encode(dialect(86), &mut buffer),
        Ok(24)
    );
    assert_eq!(
        Packet::Protocol(protocol).encode(dialect(87), &mut buffer),
        Ok(25)
    );
    protocol.integrity_alg = AlgName::new(b"sha1").unwrap();
    assert_eq!(protocol.encoded_len(dialect(101)), 29);
    assert!(Packet::Protocol(protocol)
        .encode(dialect(86), &mut buffer)
        .is_err());
}

#[test]
fn resync_parameters_have_the_lengths_of_their_versions() {
    let md5 = AlgName::new(b"md5").unwrap();
    let param = Packet::SyncParam(SyncParam {
        verify_alg: md5,
        csums_alg: md5,
        ..SyncParam::DEFAULT
    });
    for (version, command, length) in [
        (86, Command::SyncParam, 4),
        (87, Command::SyncParam, 4),
        (88, Command::SyncParam, 8),
        (89, Command::SyncParam89, 132),
        (94, Command::SyncParam89, 132),
        (95, Command::SyncParam89, 148),
        (101, Command::SyncParam89, 148),
    ] {
        let dialect = dialect(version);
        let mut buffer = [0; MAX_FIXED];
        assert_eq!(
            (param.command(dialect), param.encode(dialect, &mut buffer)),
            (command, Ok(length))
        );
        let read = decode_in(dialect, command, &buffer[..length]).unwrap();
        assert_eq!(read.encode(dialect, &mut [0; MAX_FIXED]), Ok(length));
        assert!(decode_in(dialect, command, &buffer[..length - 1]).is_err());
        assert!(decode_in(dialect, command, &[0; 150]).is_err());
    }
    let mut unterminated = [0; 148];
    unterminated[4..68].fill(b'a');
    assert_eq!(
        decode(Command::SyncParam89, &unterminated),
        bad("verify-alg", 64)
    );
}

#[test]
fn default_resync_parameters_are_those_a_diskless_stock_node_sends() {
    let mut buffer = [0; MAX_FIXED];
    assert_eq!(
        Packet::SyncParam(SyncParam::DEFAULT).encode(dialect(101), &mut buffer),
        Ok(148)
    );
    assert_eq!(buffer[..4], [0, 0, 0, 0xfa]);
    assert_eq!(
        buffer[132..],
        [0, 0, 0, 0x14, 0, 0, 0, 0x0a, 0, 0, 0, 0x64, 0, 1, 0x90, 0]
    );
}

#[test]
fn sizes_carry_limits_exactly_when_agreed() {
    let plain = Dialect::new(101, Features::TRIM).unwrap();
    assert!(decode_in(plain, Command::Sizes, &[0; 32]).is_ok());
    assert!(decode_in(plain, Command::Sizes, &[0; 56]).is_err());
    assert!(decode(Command::Sizes, &[0; 32]).is_err());
    let Packet::Sizes(sizes) = decode_in(plain, Command::Sizes, &[0; 32]).unwrap() else {
        panic!()
    };
    assert_eq!(sizes.queue_limits, None);
    let error = WireError::BadValue {
        field: "queue limits",
        value: 0,
    };
    assert_eq!(
        Packet::Sizes(sizes).encode(dialect(101), &mut [0; MAX_FIXED]),
        Err(error)
    );
}

#[test]
fn states_nobody_defined_are_refused() {
    assert!(decode(Command::State, &0x0001_10a6_u32.to_be_bytes()).is_ok());
    assert_eq!(
        decode(Command::State, &0x0001_1186_u32.to_be_bytes()),
        bad("state", 0x0001_1186)
    );
    // Masks are not states: everything may stand in a request.
    assert!(decode(Command::StateChgReq, &[0xff; 8]).is_ok());
}

#[test]
fn payload_must_suit_the_packet() {
    let mut buffer = [0; MAX_FRAME];
    let encode =
        |packet: Packet, len, buffer: &mut [u8]| packet.encode_frame(dialect(101), 0, len, buffer);
    assert_eq!(encode(Packet::Ping, 0, &mut buffer), Ok(16));
    let error = WireError::TooLong {
        command: Command::Ping,
        length: 1,
        most: 0,
    };
    assert_eq!(encode(Packet::Ping, 1, &mut buffer), Err(error));
    let error = WireError::TooShort {
        command: Command::AuthChallenge,
        length: 63,
        least: 64,
    };
    assert_eq!(encode(Packet::AuthChallenge, 63, &mut buffer), Err(error));
    assert_eq!(encode(Packet::AuthChallenge, 64, &mut buffer), Ok(16));
    assert!(encode(Packet::AuthChallenge, 129, &mut buffer).is_err());
    assert!(encode(Packet::Ping, 0, &mut buffer[..15]).is_err());
    assert!(encode(Packet::SyncUuid(1), 0, &mut buffer[..23]).is_err());
    assert_eq!(encode(Packet::SyncUuid(1), 0, &mut buffer[..24]), Ok(24));
}
