// SPDX-License-Identifier: GPL-2.0-or-later
//! API version 1 against recorded messages of the in-tree driver and of drbdsetup-84 (`golden/control-plane/netlink`).
//!
//! Every request is carried over to the steps of version 2 that it means; every record and notification of the kernel is
//! written in version 2, rendered, and compared with what was recorded.

use std::net::SocketAddr;
use std::path::Path;

use drbd_core::config::{DiskOptions, NetOptions, OptionGroup, ResourceOptions, Text, Value};
use drbd_core::genl::state::{ConnectionState, DiskState, ReplicationState, Role, WriteOrdering};
use drbd_core::genl::v1::{self, DiskExtras, DiskFacts, Names, Reason, StateInfo, VolumeFacts};
use drbd_core::genl::{
    Attributes, Command, ConnectionInfo, ConnectionRecord, ConnectionStatistics, Context,
    DeviceInfo, DeviceRecord, DeviceStatistics, PathAddresses, PeerDeviceInfo, PeerDeviceRecord,
    PeerDeviceStatistics, Request, ResourceInfo, ResourceRecord, ResourceStatistics, UserHeader,
    Writer, RECORD_BYTES_MAX,
};

struct Message {
    from_user: bool,
    command: u8,
    header: UserHeader,
    attributes: Vec<u8>,
}

/// The messages of the family in one file.
fn messages(file: &str) -> Vec<Message> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/control-plane/netlink")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut all = Vec::new();
    let mut from_user = false;
    for line in text.lines() {
        if line.starts_with("request") || line.starts_with("reply") {
            from_user = line.starts_with("request");
        }
        let Some(words) = line.trim_start().strip_prefix("hex: ") else {
            continue;
        };
        let bytes: Vec<u8> = words
            .split_whitespace()
            .flat_map(|word| (0..word.len() / 2).map(move |at| &word[2 * at..2 * at + 2]))
            .map(|hex| u8::from_str_radix(hex, 16).unwrap())
            .collect();
        if bytes[4..6] != [0x25, 0] {
            continue;
        }
        let (header, attributes) = UserHeader::split(&bytes[20..]).unwrap();
        all.push(Message {
            from_user,
            command: bytes[16],
            header,
            attributes: attributes.to_vec(),
        });
    }
    assert!(!all.is_empty(), "{file}");
    all
}

fn write(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; RECORD_BYTES_MAX];
    let mut writer = Writer::new(&mut buffer);
    fill(&mut writer);
    writer.bytes().to_vec()
}

/// Number, mark of a nest, and content of every attribute; inside a nest in the order of the numbers.
type Tree = Vec<(u16, bool, Vec<(u16, Vec<u8>)>)>;

fn tree(attributes: &[u8]) -> Tree {
    let nests = Attributes::new(attributes).map(|nest| {
        let nest = nest.unwrap();
        let mut inner: Vec<(u16, Vec<u8>)> = Attributes::new(nest.payload)
            .map(|attribute| {
                let attribute = attribute.unwrap();
                (attribute.nr, attribute.payload.to_vec())
            })
            .collect();
        inner.sort();
        (nest.nr, nest.whole[3] & 0x80 != 0, inner)
    });
    nests.collect()
}

fn ends() -> (SocketAddr, SocketAddr) {
    (
        "10.7.0.1:7788".parse().unwrap(),
        "10.7.0.2:7788".parse().unwrap(),
    )
}

fn rendered(v2: &[u8], extras: &DiskExtras) -> Tree {
    tree(&write(|w| v1::render(v2, Some(ends()), extras, w).unwrap()))
}

fn extras() -> DiskExtras {
    let mut extras = DiskExtras {
        fencing: 1,
        ..DiskExtras::default()
    };
    extras.peer_device.resync_rate = 10_240;
    extras.peer_device.c_plan_ahead = 0;
    extras
}

fn reply(file: &str, command: u8) -> Message {
    let mut all = messages(file).into_iter();
    all.find(|message| !message.from_user && message.command == command)
        .unwrap()
}

const NAMES: Names<'_> = Names {
    resource: Some("r0"),
    volume: Some(0),
    extras: DiskExtras {
        fencing: 0,
        peer_device: DEFAULT_RATES,
    },
};

const DEFAULT_RATES: drbd_core::config::PeerDeviceOptions = drbd_core::config::PeerDeviceOptions {
    resync_rate: 250,
    c_plan_ahead: 20,
    c_delay_target: 10,
    c_fill_target: 100,
    c_max_rate: 102_400,
    c_min_rate: 250,
    bitmap: true,
    resync_without_replication: true,
    peer_tiebreaker: true,
};

/// Carries one request over and hands the step to `check`.
fn step<T>(file: &str, step: Command, check: impl FnOnce(Request<'_>) -> T) -> T {
    let requests: Vec<Message> = messages(file)
        .into_iter()
        .filter(|message| message.from_user)
        .collect();
    let message = &requests[0];
    let attributes = write(|w| {
        v1::write_step(step, &NAMES, &message.attributes, w)
            .unwrap()
            .unwrap()
    });
    let header = message.header;
    check(Request::decode(step, header.minor, header.flags(), &attributes, true).unwrap())
}

#[test]
fn a_resource_gets_a_node_id() {
    let message = messages("01-new-resource.txt")
        .into_iter()
        .find(|message| message.from_user && message.command == Command::NewResource.number())
        .unwrap();
    let attributes = write(|w| {
        v1::write_step(Command::NewResource, &NAMES, &message.attributes, w)
            .unwrap()
            .unwrap()
    });
    let request = Request::decode(Command::NewResource, u32::MAX, 0, &attributes, true).unwrap();
    let Request::NewResource { resource, options } = request else {
        panic!("{request:?}");
    };
    assert_eq!((resource, options.create().unwrap().node_id), ("r0", 0));
}

#[test]
fn a_connect_becomes_a_peer_a_path_and_a_connect() {
    step("05-connect.txt", Command::NewPeer, |request| {
        let Request::NewPeer { peer, options } = request else {
            panic!("{request:?}");
        };
        let net = options.create().unwrap();
        assert_eq!((peer.resource, peer.node_id), ("r0", v1::PEER_NODE_ID));
        assert_eq!(
            (net.name.as_str(), net.shared_secret.as_str()),
            ("peer", "geheim")
        );
        assert_eq!((net.timeout, net.ping_int), (30, 3));
    });
    step("05-connect.txt", Command::NewPath, |request| {
        let Request::NewPath {
            my_addr, peer_addr, ..
        } = request
        else {
            panic!("{request:?}");
        };
        assert_eq!((my_addr, peer_addr), ends());
    });
    step("05-connect.txt", Command::Connect, |request| {
        let Request::Connect { params, .. } = request else {
            panic!("{request:?}");
        };
        assert!(!params.discard_my_data && !params.tentative);
    });
}

#[test]
fn an_attach_loses_what_belongs_to_the_connection() {
    step("04-attach.txt", Command::Attach, |request| {
        let Request::Attach { options, .. } = request else {
            panic!("{request:?}");
        };
        let disk = options.create().unwrap();
        assert_eq!(disk.backing_dev.as_str(), "/dev/vda");
        assert_eq!(disk.meta_dev_idx, -3);
    });
    let message = messages("04-attach.txt").remove(0);
    let refused_or_kept = DiskExtras::default().changed_by(&message.attributes, true);
    // The recording asks for fencing, which may not be implemented; nothing else is refused.
    match refused_or_kept {
        Ok(kept) => assert_eq!(kept.peer_device.resync_rate, 10_240),
        Err(refusal) => assert!(refusal.text.starts_with("fencing"), "{refusal:?}"),
    }
}

#[test]
fn commands_on_a_minor_become_commands_on_its_peer_device() {
    step("21-pause-sync.txt", Command::PauseSync, |request| {
        assert!(matches!(request, Request::PauseSync { target } if target.volume == 0));
    });
    step("25-verify.txt", Command::StartOv, |request| {
        assert!(
            matches!(request, Request::StartVerify { .. }),
            "{request:?}"
        );
    });
    step("11-primary-force.txt", Command::Primary, |request| {
        assert!(matches!(
            request,
            Request::Primary {
                resource: "r0",
                force: true
            }
        ));
    });
}

#[test]
fn a_second_address_is_not_taken() {
    let attributes = write(|w| {
        w.nest(drbd_core::genl::Tla::NetConf, |w| w.put_bytes(35, &[0; 16]))
            .unwrap();
    });
    let mut buffer = [0; 256];
    for step in [Command::NewPeer, Command::ChgNetOpts] {
        let mut writer = Writer::new(&mut buffer);
        let answer = v1::write_step(step, &NAMES, &attributes, &mut writer);
        assert_eq!(answer, Ok(Err(v1::Unsupported)));
    }
}

#[test]
fn resources_are_told_as_recorded() {
    let v2 = write(|w| {
        ResourceRecord {
            context: Context::resource("r0"),
            options: &ResourceOptions::default(),
            info: &ResourceInfo {
                role: Role::Primary,
                ..ResourceInfo::default()
            },
            statistics: &ResourceStatistics {
                write_ordering: WriteOrdering::Flush,
            },
        }
        .encode(w, true)
        .unwrap();
    });
    let golden = reply("13-status.txt", Command::GetResources.number());
    assert_eq!(rendered(&v2, &extras()), tree(&golden.attributes));
}

#[test]
fn devices_are_told_as_recorded() {
    let mut disk = DiskOptions::default();
    for (nr, value) in [
        (1, Value::Text("/dev/vda")),
        (2, Value::Text("/dev/vda")),
        (3, Value::Int(-3)),
    ] {
        disk.set(nr, value).unwrap();
    }
    let mut history = [0; 32];
    history[0] = u64::from_be_bytes([0x07, 0x25, 0xb2, 0xff, 0x22, 0x06, 0x6e, 0x3c]);
    history[1] = 4;
    let uuid = 0x3951_a4e6_e174_3de1;
    let golden = reply("13-status.txt", Command::GetDevices.number());
    // The two histories as recorded, whatever they are.
    let recorded = tree(&golden.attributes);
    let words: Vec<u64> = recorded[3].2[13]
        .1
        .chunks(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .collect();
    history[..4].copy_from_slice(&words);
    let v2 = write(|w| {
        DeviceRecord {
            context: Context {
                volume: Some(0),
                ..Context::resource("r0")
            },
            disk: Some(&disk),
            options: &Default::default(),
            info: &DeviceInfo {
                disk_state: DiskState::UpToDate,
                backing_dev_path: Text::new("/dev/vda").unwrap(),
                has_quorum: true,
                ..DeviceInfo::default()
            },
            statistics: &DeviceStatistics {
                size: 81_840,
                read: 81_840,
                al_writes: 8,
                exposed_data_uuid: uuid,
                current_uuid: uuid,
                disk_flags: 23,
                history_uuids: Some(history),
                ..DeviceStatistics::default()
            },
        }
        .encode(w, true)
        .unwrap();
    });
    assert_eq!(rendered(&v2, &extras()), recorded);
}

#[test]
fn connections_and_peer_devices_are_told_as_recorded() {
    let mut net = NetOptions::default();
    for (nr, value) in [
        (1, Value::Text("geheim")),
        (2, Value::Text("sha1")),
        (4, Value::Text("sha1")),
        (8, Value::Int(30)),
        (9, Value::Int(3)),
        (31, Value::Text("peer")),
    ] {
        net.set(nr, value).unwrap();
    }
    let context = Context {
        peer_node_id: Some(1),
        connection: Some("peer"),
        ..Context::resource("r0")
    };
    let (my_addr, peer_addr) = ends();
    let v2 = write(|w| {
        ConnectionRecord {
            context,
            net: &net,
            paths: &[PathAddresses { my_addr, peer_addr }],
            info: &ConnectionInfo {
                connection_state: ConnectionState::Connected,
                peer_role: Role::Secondary,
            },
            statistics: &ConnectionStatistics::default(),
        }
        .encode(w, true)
        .unwrap();
    });
    let golden = reply("13-status.txt", Command::GetConnections.number());
    assert_eq!(rendered(&v2, &extras()), tree(&golden.attributes));

    let v2 = write(|w| {
        PeerDeviceRecord {
            context: Context {
                volume: Some(0),
                ..context
            },
            info: &PeerDeviceInfo {
                replication_state: ReplicationState::Established,
                peer_disk_state: DiskState::UpToDate,
                ..PeerDeviceInfo::default()
            },
            statistics: &PeerDeviceStatistics {
                sent: 81_840,
                flags: 1,
                ..PeerDeviceStatistics::default()
            },
            options: &DEFAULT_RATES,
        }
        .encode(w, true)
        .unwrap();
    });
    let golden = reply("13-status.txt", Command::GetPeerDevices.number());
    assert_eq!(rendered(&v2, &extras()), tree(&golden.attributes));
}

#[test]
fn disk_states_keep_their_meaning() {
    for (state, number) in [
        (DiskState::Diskless, 0u32),
        (DiskState::Attaching, 1),
        (DiskState::Detaching, 2),
        (DiskState::Failed, 2),
        (DiskState::Negotiating, 3),
        (DiskState::Inconsistent, 4),
        (DiskState::DUnknown, 6),
        (DiskState::UpToDate, 8),
    ] {
        let v2 = write(|w| {
            use drbd_core::genl::Record;
            DeviceInfo {
                disk_state: state,
                ..DeviceInfo::default()
            }
            .encode(w)
            .unwrap();
        });
        let told = rendered(&v2, &extras());
        assert_eq!(told[0].2, [(1, number.to_ne_bytes().to_vec())], "{state:?}");
    }
}

#[test]
fn a_status_is_told_byte_by_byte_as_recorded() {
    let golden = reply("15-role.txt", v1::GET_STATUS);
    let nest = Attributes::new(&golden.attributes)
        .map(Result::unwrap)
        .find(|nest| nest.nr == 8)
        .unwrap();
    let word = |nr: u16| {
        let found = Attributes::new(nest.payload).map(Result::unwrap);
        let found = found.into_iter().find(|attribute| attribute.nr == nr);
        found.unwrap()
    };
    let uuids = word(7).payload.to_vec();
    let uuids: Vec<u64> = uuids
        .chunks(8)
        .map(|uuid| u64::from_ne_bytes(uuid.try_into().unwrap()))
        .collect();
    let volume = VolumeFacts {
        state: 69_801,
        capacity: 81_840,
        exposed_uuid: uuids[0],
        sent: 81_840,
        read: 81_840,
        al_writes: 8,
        disk: Some(DiskFacts {
            uuids: uuids.try_into().unwrap(),
            flags: 23,
            bits: 10_230,
            out_of_sync_bits: 0,
        }),
        ..VolumeFacts::default()
    };
    let info = StateInfo {
        reason: Reason::GetStatus,
        volume: &volume,
    };
    assert_eq!(write(|w| info.encode(w).unwrap()), nest.whole);
}

#[test]
fn codes_that_the_old_tools_do_not_know_are_not_told() {
    use drbd_core::genl::RetCode;
    assert_eq!(v1::code(RetCode::NO_ERROR), RetCode::NO_ERROR);
    assert_eq!(v1::code(RetCode(171)), RetCode::ERR_INVALID_REQUEST);
    assert_eq!(v1::code(RetCode(-28)), RetCode(0));
    assert_eq!(v1::code(RetCode(-2)), RetCode(-2));
    assert_eq!(v1::command(44), None);
    assert_eq!(v1::command(12), Some(Command::Attach));
}
