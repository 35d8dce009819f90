// SPDX-License-Identifier: GPL-2.0-or-later
//! Every packet with any content round-trips in every version that has it, and each bad field is refused.

use drbd_core::state::{Conn, Disk, Request, Role, State};
use drbd_core::uuid::{GenUuids, PeerUuids, Policy, UuidFlags};
use drbd_core::wire::block::{MAX_BIO_BYTES, MAX_DISCARD_BYTES};
use drbd_core::wire::*;
use proptest::prelude::*;

const STAGES: [Stage; 6] = [
    Stage::First,
    Stage::Features,
    Stage::AuthChallenge,
    Stage::AuthResponse,
    Stage::Data,
    Stage::Meta,
];

fn dialect(version: u8) -> Dialect {
    Dialect::new(version, Features::ALL).unwrap()
}

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

fn name() -> impl Strategy<Value = AlgName> {
    prop::collection::vec(0x21..0x7f_u8, 0..64).prop_map(|bytes| AlgName::new(&bytes).unwrap())
}

fn block_data() -> impl Strategy<Value = BlockData> {
    (0..1_u64 << 54, any::<u64>(), any::<u32>(), any::<u32>()).prop_map(
        |(sector, id, seq_num, flags)| BlockData {
            sector,
            block_id: BlockId(id),
            seq_num,
            flags: DpFlags::from_bits(flags),
        },
    )
}

fn ack() -> impl Strategy<Value = BlockAck> {
    any::<(u64, u64, u32, u32)>().prop_map(|(sector, id, size, seq_num)| BlockAck {
        sector,
        block_id: BlockId(id),
        size,
        seq_num,
    })
}

fn request() -> impl Strategy<Value = BlockRequest> {
    (0..1_u64 << 54, any::<u64>(), 1..=2048_u32).prop_map(|(sector, id, sectors)| BlockRequest {
        sector,
        block_id: BlockId(id),
        size: sectors * 512,
    })
}

fn range() -> impl Strategy<Value = BlockDesc> {
    (0..1_u64 << 54, 1..=262_144_u32).prop_map(|(sector, sectors)| BlockDesc {
        sector,
        size: sectors * 512,
    })
}

fn trim(must: DpFlags) -> impl Strategy<Value = Trim> {
    (block_data(), 1..=262_144_u32).prop_map(move |(mut data, sectors)| {
        data.flags |= must;
        Trim {
            data,
            size: sectors * 512,
        }
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    (0..11_u8).prop_map(|number| Policy::from_number(number).unwrap())
}

fn protocol() -> impl Strategy<Value = Protocol> {
    (
        1..4_u32,
        policy(),
        policy(),
        policy(),
        any::<u32>(),
        any::<bool>(),
        name(),
    )
        .prop_map(
            |(
                number,
                after_sb_0p,
                after_sb_1p,
                after_sb_2p,
                flags,
                two_primaries,
                integrity_alg,
            )| Protocol {
                protocol: ReplicationProtocol::from_number(number).unwrap(),
                after_sb_0p,
                after_sb_1p,
                after_sb_2p,
                conn_flags: ConnFlags::from_bits(flags),
                two_primaries,
                integrity_alg,
            },
        )
}

fn sync_param() -> impl Strategy<Value = SyncParam> {
    (any::<[u32; 5]>(), name(), name()).prop_map(
        |([rate, plan, delay, fill, max], verify_alg, csums_alg)| SyncParam {
            resync_rate: rate,
            verify_alg,
            csums_alg,
            c_plan_ahead: plan,
            c_delay_target: delay,
            c_fill_target: fill,
            c_max_rate: max,
        },
    )
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (
        any::<[u64; 3]>(),
        any::<[u32; 6]>(),
        any::<[u16; 2]>(),
        any::<[u8; 3]>(),
    )
        .prop_map(
            |(
                [d_size, u_size, c_size],
                [max, physical, logical, offset, min, opt],
                [order, flags],
                bytes,
            )| Sizes {
                d_size,
                u_size,
                c_size,
                max_bio_size: max,
                queue_order_type: order,
                dds_flags: DdsFlags::from_bits(flags),
                queue_limits: Some(QueueLimits {
                    physical_block_size: physical,
                    logical_block_size: logical,
                    alignment_offset: offset,
                    io_min: min,
                    io_opt: opt,
                    discard_enabled: bytes[0],
                    discard_zeroes_data: bytes[1],
                    write_same_capable: bytes[2],
                }),
            },
        )
}

fn state() -> impl Strategy<Value = State> {
    (
        prop::sample::select(Role::ALL),
        prop::sample::select(Role::ALL),
        prop::sample::select(Conn::ALL),
        prop::sample::select(Disk::ALL),
        prop::sample::select(Disk::ALL),
        any::<[bool; 6]>(),
    )
        .prop_map(
            |(
                role,
                peer,
                conn,
                disk,
                pdsk,
                [susp, susp_nod, susp_fen, aftr_isp, peer_isp, user_isp],
            )| State {
                role,
                peer,
                conn,
                disk,
                pdsk,
                susp,
                susp_nod,
                susp_fen,
                aftr_isp,
                peer_isp,
                user_isp,
            },
        )
}

fn req_state() -> impl Strategy<Value = Request> {
    any::<[u32; 2]>().prop_map(|[mask, val]| Request { mask, val })
}

fn features() -> impl Strategy<Value = ConnectionFeatures> {
    any::<[u32; 4]>().prop_map(|[protocol_min, flags, protocol_max, sender_node_id]| {
        ConnectionFeatures {
            protocol_min,
            features: Features::from_bits(flags),
            protocol_max,
            sender_node_id,
        }
    })
}

/// Any packet, each kind as often as any other of its group.
fn packet() -> impl Strategy<Value = Packet> {
    let uuids =
        any::<[u64; 6]>().prop_map(|[current, bitmap, h0, h1, dirty_bits, flags]| PeerUuids {
            uuids: GenUuids {
                current,
                bitmap,
                history: [h0, h1],
            },
            dirty_bits,
            flags: UuidFlags(flags),
        });
    let numbers = any::<[u32; 2]>();
    prop_oneof![
        block_data().prop_map(Packet::Data),
        block_data().prop_map(Packet::DataReply),
        block_data().prop_map(Packet::RsDataReply),
        any::<u32>().prop_map(|number| Packet::Barrier(Barrier { number })),
        request().prop_map(Packet::DataRequest),
        request().prop_map(Packet::RsDataRequest),
        request().prop_map(Packet::OvRequest),
        request().prop_map(Packet::OvReply),
        request().prop_map(Packet::CsumRsRequest),
        request().prop_map(Packet::RsThinReq),
        protocol().prop_map(Packet::Protocol),
        protocol().prop_map(Packet::ProtocolUpdate),
        sync_param().prop_map(Packet::SyncParam),
        uuids.prop_map(Packet::Uuids),
        sizes().prop_map(Packet::Sizes),
        state().prop_map(Packet::State),
        any::<u64>().prop_map(Packet::SyncUuid),
        req_state().prop_map(Packet::StateChgReq),
        req_state().prop_map(Packet::ConnStChgReq),
        any::<i32>().prop_map(|number| Packet::StateChgReply(StateReply(number))),
        any::<i32>().prop_map(|number| Packet::ConnStChgReply(StateReply(number))),
        prop_oneof![
            ack().prop_map(Packet::RecvAck),
            ack().prop_map(Packet::WriteAck),
            ack().prop_map(Packet::RsWriteAck),
            ack().prop_map(Packet::Superseded),
            ack().prop_map(Packet::NegAck),
            ack().prop_map(Packet::NegDreply),
            ack().prop_map(Packet::NegRsDreply),
            ack().prop_map(Packet::OvResult),
            ack().prop_map(Packet::RsIsInSync),
            ack().prop_map(Packet::RsCancel),
            ack().prop_map(Packet::RetryWrite),
        ],
        numbers.prop_map(|[number, set_size]| Packet::BarrierAck(BarrierAck { number, set_size })),
        numbers
            .prop_map(|[seq_num, offset_us]| Packet::DelayProbe(DelayProbe { seq_num, offset_us })),
        range().prop_map(Packet::OutOfSync),
        range().prop_map(Packet::RsDeallocated),
        trim(DpFlags::DISCARD).prop_map(Packet::Trim),
        trim(DpFlags::ZEROES).prop_map(Packet::Zeroes),
        features().prop_map(Packet::ConnectionFeatures),
        prop::sample::select(vec![
            Packet::Bitmap,
            Packet::CompressedBitmap,
            Packet::UnplugRemote,
            Packet::AuthChallenge,
            Packet::AuthResponse,
            Packet::Ping,
            Packet::PingAck,
            Packet::InitialMeta,
            Packet::InitialData,
        ]),
    ]
}

/// What of a packet an older version cannot say.
fn as_told(packet: Packet, dialect: Dialect) -> Packet {
    let old = |version| dialect.version() < version;
    match packet {
        Packet::SyncParam(mut param) => {
            if old(95) {
                (param.c_plan_ahead, param.c_delay_target) = (0, 0);
                (param.c_fill_target, param.c_max_rate) = (0, 0);
            }
            if old(89) {
                param.csums_alg = AlgName::EMPTY;
            }
            if old(88) {
                param.verify_alg = AlgName::EMPTY;
            }
            Packet::SyncParam(param)
        }
        Packet::Protocol(mut protocol) if old(87) => {
            protocol.integrity_alg = AlgName::EMPTY;
            Packet::Protocol(protocol)
        }
        Packet::Sizes(mut sizes) if !dialect.features().contains(Features::WSAME) => {
            sizes.queue_limits = None;
            Packet::Sizes(sizes)
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn packets_round_trip(
        packet in packet(),
        version in prop_oneof![Just(101_u8), 86..=101_u8],
        features in 0..16_u32,
        volume: u16,
    ) {
        let dialect = Dialect::new(version, Features::from_bits(features)).unwrap();
        let packet = as_told(packet, dialect);
        let command = packet.command(dialect);
        let volume = if version >= 100 { volume } else { 0 };
        let payload = match command {
            Command::OvReply | Command::CsumRsRequest | Command::AuthResponse => 32,
            Command::AuthChallenge => 64,
            Command::Data => 4096,
            Command::CompressedBitmap => 4000,
            _ => 0,
        };
        let mut buffer = [0xa5; MAX_FRAME];
        let written = packet.encode_frame(dialect, volume, payload, &mut buffer);
        if !dialect.may_send(command) {
            prop_assert_eq!(written, Err(WireError::NotInDialect { command, version }));
            return Ok(());
        }
        let written = written.unwrap();
        prop_assert!(buffer[written..].iter().all(|byte| *byte == 0xa5));

        let header = Header::decode(dialect, &buffer).unwrap();
        prop_assert_eq!((header.volume, header.command), (volume, command.id()));
        prop_assert_eq!(dialect.header_len() + header.length as usize, written + payload as usize);
        let stage = STAGES.into_iter().find(|stage| command.allowed_at(*stage)).unwrap();
        let frame = dispatch(dialect, stage, &header).unwrap();
        prop_assert_eq!(frame.payload_len, payload);
        prop_assert_eq!(frame.volume.unwrap_or(volume), volume);
        let fixed = &buffer[dialect.header_len()..written];
        prop_assert_eq!(Packet::decode(dialect, &frame, fixed), Ok(packet));

        if let Some(shorter) = fixed.len().checked_sub(1) {
            let error = WireError::Truncated { needed: fixed.len(), have: shorter };
            prop_assert_eq!(Packet::decode(dialect, &frame, &fixed[..shorter]), Err(error));
        }
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_meaning(
        id in prop_oneof![0..0x40_u16, 0xfff0..=0xffff_u16],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(0..5_u8, 0..200),
            prop::collection::vec(Just(0_u8), 0..200),
        ],
        version in 86..=101_u8,
        stage in prop::sample::select(STAGES.to_vec()),
    ) {
        let dialect = dialect(version);
        let header = Header { volume: 0, command: id, length: body.len() as u32 };
        let Ok(frame) = dispatch(dialect, stage, &header) else { return Ok(()) };
        prop_assert_eq!(frame.fixed_len + frame.payload_len as usize, body.len());
        let Ok(packet) = Packet::decode(dialect, &frame, &body) else { return Ok(()) };
        let mut buffer = [0; MAX_FRAME];
        let written = packet.encode_frame(dialect, 0, frame.payload_len, &mut buffer).unwrap();
        let header = Header::decode(dialect, &buffer).unwrap();
        let frame = dispatch(dialect, stage, &header).unwrap();
        prop_assert_eq!(Packet::decode(dialect, &frame, &buffer[dialect.header_len()..written]), Ok(packet));
    }

    #[test]
    fn headers_round_trip_or_are_refused(volume: u16, command: u16, length: u32, version in 80..=101_u8) {
        let dialect = Dialect::new(version, Features::NONE).unwrap_or(Dialect::INITIAL);
        let header = Header { volume, command, length };
        let mut buffer = [0; Header::MAX_LEN];
        match header.encode(dialect, &mut buffer) {
            Ok(written) => {
                prop_assert_eq!(written, dialect.header_len());
                prop_assert_eq!(Header::decode(dialect, &buffer[..written]), Ok(header));
            }
            Err(_) => prop_assert!(version < 100 && (volume != 0 || version < 95 && length > 65535)),
        }
    }

    #[test]
    fn any_header_bytes_are_survived(bytes in any::<[u8; 16]>(), version in 86..=101_u8) {
        let _ = Header::decode(dialect(version), &bytes);
    }
}
