// SPDX-License-Identifier: GPL-2.0-or-later
//! Every packet with any content round-trips in every version that has it.

#[path = "wire_support/dialects.rs"]
mod dialects;

use dialects::{dialect, STAGES};
use drbd_core::state::{Conn, Disk, Request, Role, State};
use drbd_core::uuid::{GenUuids, PeerUuids, Policy, UuidFlags};
use drbd_core::wire::*;
use proptest::prelude::*;

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
