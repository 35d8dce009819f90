// SPDX-License-Identifier: GPL-2.0-or-later
//! The control interface against recorded messages of DRBD 9.3.3 and drbd-utils 9.22 (`golden/drbd9/nl`).
//!
//! Every request is decoded; every message of the kernel is decoded and written again to the same bytes.

use std::path::{Path, PathBuf};

use drbd_core::config::{
    DeviceOptions, DiskOptions, NetOptions, OptionGroup, PeerDeviceOptions, ResourceOptions, Value,
};
use drbd_core::genl::state::NotificationKind;
use drbd_core::genl::{
    decode_address, encode_reply, encode_timeout_type, find_nest, info_texts, read_group,
    Attributes, Command, ConnectionInfo, ConnectionStatistics, Context, DeviceInfo,
    DeviceStatistics, HelperInfo, Notification, NotificationHeader, NotifiedObject, PathAddresses,
    PathInfo, PeerDeviceInfo, PeerDeviceStatistics, Record, RenameResourceInfo, Request,
    ResourceInfo, ResourceStatistics, RetCode, TimeoutParams, Tla, UserHeader, Writer,
    FAMILY_VERSION, NO_MINOR, RECORD_BYTES_MAX,
};

struct Message {
    file: String,
    number: usize,
    from_user: bool,
    nl_flags: u16,
    sequence: u32,
    command: Command,
    version: u8,
    header: UserHeader,
    attributes: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/drbd9/nl")
}

fn messages() -> Vec<Message> {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, part) in text.split("\n-- ").skip(1).enumerate() {
            let from_user = part.lines().next().unwrap().contains("[user->kernel]");
            let bytes: Vec<u8> = part
                .lines()
                .filter(|line| {
                    line.starts_with("      ") && line.as_bytes().get(10..12) == Some(b"  ")
                })
                .flat_map(|line| line[12..].split_whitespace())
                .map(|hex| u8::from_str_radix(hex, 16).unwrap())
                .collect();
            let declared = u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize;
            assert_eq!(declared, bytes.len(), "{file} message {number}");
            let kind = u16::from_ne_bytes(bytes[4..6].try_into().unwrap());
            if kind != 0x25 {
                continue;
            }
            let (header, attributes) = UserHeader::split(&bytes[20..]).unwrap();
            all.push(Message {
                file: file.clone(),
                number: number + 1,
                from_user,
                nl_flags: u16::from_ne_bytes(bytes[6..8].try_into().unwrap()),
                sequence: u32::from_ne_bytes(bytes[8..12].try_into().unwrap()),
                command: Command::from_number(bytes[16]).unwrap(),
                version: bytes[17],
                header,
                attributes: attributes.to_vec(),
            });
        }
    }
    assert!(all.len() > 250, "only {} messages", all.len());
    all
}

fn write(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; RECORD_BYTES_MAX];
    let mut writer = Writer::new(&mut buffer);
    fill(&mut writer);
    writer.bytes().to_vec()
}

#[test]
fn requests_decode_or_are_refused_for_what_is_not_implemented() {
    let mut refused = Vec::new();
    let mut accepted = 0;
    for message in messages().iter().filter(|message| message.from_user) {
        assert_eq!(message.version, FAMILY_VERSION);
        let flags = message.header.flags();
        match Request::decode(
            message.command,
            message.header.minor,
            flags,
            &message.attributes,
            true,
        ) {
            Ok(_) => accepted += 1,
            Err(refusal) => {
                refused.push(format!(
                    "{} {}: {:?} {}",
                    message.file, message.number, refusal.code, refusal.text
                ));
            }
        }
    }
    assert!(accepted > 60, "only {accepted}");
    let expected = [
        "20-resource-options-quorum.txt 1: ERR_INVALID_REQUEST(162) quorum: only 'off' is implemented in this version",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn requests_decode_to_what_was_typed() {
    let all = messages();
    let find = |file: &str, command| {
        all.iter()
            .find(|message| {
                message.file.starts_with(file) && message.from_user && message.command == command
            })
            .unwrap()
    };
    let decode = |message: &'static Message| {
        let flags = message.header.flags();
        Request::decode(
            message.command,
            message.header.minor,
            flags,
            &message.attributes,
            true,
        )
        .unwrap()
    };
    let leak = |message: &Message| -> &'static Message {
        Box::leak(Box::new(Message {
            file: message.file.clone(),
            attributes: message.attributes.clone(),
            ..*message
        }))
    };

    let Request::NewResource {
        resource: "r0",
        options,
    } = decode(leak(find("01-", Command::NewResource)))
    else {
        panic!("not new-resource");
    };
    assert_eq!(options.create().unwrap().node_id, 0);

    let Request::NewPeer { peer, options } = decode(leak(find("03-", Command::NewPeer))) else {
        panic!("not new-peer")
    };
    assert_eq!((peer.resource, peer.node_id), ("r0", 1));
    let net = options.create().unwrap();
    assert_eq!(
        (
            net.name.as_str(),
            net.timeout,
            net.ping_timeo,
            net.ping_int,
            net.connect_int
        ),
        ("n2", 290, 200, 30, 30)
    );
    assert_eq!(net.max_buffers, 2048);

    let Request::NewPath {
        my_addr, peer_addr, ..
    } = decode(leak(find("04-", Command::NewPath)))
    else {
        panic!("not new-path");
    };
    assert_eq!(
        (my_addr.to_string(), peer_addr.to_string()),
        ("10.9.0.1:7788".into(), "10.9.0.2:7788".into())
    );

    let Request::Attach { minor: 0, options } = decode(leak(find("05-", Command::Attach))) else {
        panic!("not attach")
    };
    let disk = options.create().unwrap();
    assert_eq!(
        (
            disk.backing_dev.as_str(),
            disk.meta_dev_idx,
            disk.al_extents
        ),
        ("/dev/vdb", -3, 1237)
    );

    assert!(matches!(
        decode(leak(find("09-", Command::Primary))),
        Request::Primary {
            resource: "r0",
            force: true
        }
    ));
    let Request::GetTimeoutType { target } = decode(leak(find("37-", Command::GetTimeoutType)))
    else {
        panic!("not get-timeout-type");
    };
    assert_eq!(
        (target.peer.resource, target.peer.node_id, target.volume),
        ("r0", 1, 0)
    );
    assert!(matches!(
        decode(leak(find("36-", Command::RenameResource))),
        Request::RenameResource {
            resource: "r0",
            new_name: "r9"
        }
    ));
}

fn paths(attributes: &[u8]) -> Vec<PathAddresses> {
    let nest = find_nest(attributes, Tla::PathParms).unwrap().unwrap();
    let ends: Vec<_> = Attributes::new(nest.payload)
        .map(|attribute| decode_address(attribute.unwrap().payload).unwrap())
        .collect();
    ends.chunks(2)
        .map(|pair| PathAddresses {
            my_addr: pair[0],
            peer_addr: pair[1],
        })
        .collect()
}

fn rewrite_notification(message: &Message) -> Vec<u8> {
    let bytes = &message.attributes;
    let context = Context::find(bytes).unwrap();
    let header = NotificationHeader::find(bytes).unwrap().unwrap();
    let renamed = RenameResourceInfo::find(bytes).unwrap();
    let paths = if message.command == Command::ConnectionState {
        paths(bytes)
    } else {
        Vec::new()
    };
    let resource_info = ResourceInfo::find(bytes).unwrap();
    let device_info = DeviceInfo::find(bytes).unwrap();
    let connection_info = ConnectionInfo::find(bytes).unwrap();
    let peer_device_info = PeerDeviceInfo::find(bytes).unwrap();
    let path_info = PathInfo::find(bytes).unwrap().unwrap_or_default();
    let helper = HelperInfo::find(bytes).unwrap().unwrap_or_default();
    let resource_statistics = ResourceStatistics::find(bytes).unwrap().unwrap_or_default();
    let device_statistics = DeviceStatistics::find(bytes).unwrap().unwrap_or_default();
    let connection_statistics = ConnectionStatistics::find(bytes)
        .unwrap()
        .unwrap_or_default();
    let peer_device_statistics = PeerDeviceStatistics::find(bytes)
        .unwrap()
        .unwrap_or_default();
    let object = match message.command {
        Command::ResourceState => NotifiedObject::Resource {
            info: resource_info.as_ref(),
            statistics: &resource_statistics,
            renamed: renamed.as_ref(),
        },
        Command::DeviceState => NotifiedObject::Device {
            info: device_info.as_ref(),
            statistics: &device_statistics,
        },
        Command::ConnectionState => NotifiedObject::Connection {
            info: connection_info.as_ref(),
            paths: &paths,
            statistics: &connection_statistics,
        },
        Command::PeerDeviceState => NotifiedObject::PeerDevice {
            info: peer_device_info.as_ref(),
            statistics: &peer_device_statistics,
        },
        Command::PathState => NotifiedObject::Path { info: &path_info },
        Command::Helper => NotifiedObject::Helper { info: &helper },
        Command::InitialStateDone => NotifiedObject::InitialStateDone,
        other => panic!("{other:?} is no notification"),
    };
    if header.kind == NotificationKind::Destroy && message.command != Command::PathState {
        assert!(resource_info.is_none() && device_info.is_none() && connection_info.is_none());
    }
    let notification = Notification {
        context,
        header,
        object,
    };
    assert_eq!(notification.command(), message.command);
    write(|w| notification.encode(w).unwrap())
}

#[test]
fn notifications_are_rewritten_to_the_same_bytes() {
    let mut count = 0;
    for message in messages()
        .iter()
        .filter(|message| message.command.is_event())
    {
        assert_eq!(message.header.code(), RetCode::NO_ERROR);
        assert_eq!(
            rewrite_notification(message),
            message.attributes,
            "{} message {}",
            message.file,
            message.number
        );
        count += 1;
    }
    assert!(count > 120, "only {count}");
}

fn rewrite_group<G: OptionGroup>(writer: &mut Writer<'_>, attributes: &[u8]) {
    let Some(nest) = find_nest(attributes, G::TLA).unwrap() else {
        return;
    };
    let mut values = Vec::new();
    read_group(G::TABLE, nest.payload, |spec, value| {
        values.push((spec, value))
    })
    .unwrap();
    writer
        .nest(G::TLA, |w| {
            for spec in G::TABLE {
                if let Some((_, value)) = values.iter().find(|(found, _)| found.nr == spec.nr) {
                    w.put_option(spec, *value)?;
                }
            }
            Ok(())
        })
        .unwrap();
}

fn encode_found<R: Record>(writer: &mut Writer<'_>, attributes: &[u8]) {
    R::find(attributes)
        .unwrap()
        .unwrap()
        .encode(writer)
        .unwrap();
}

#[test]
fn dump_records_are_rewritten_to_the_same_bytes() {
    let mut count = 0;
    for message in messages()
        .iter()
        .filter(|message| !message.from_user && message.nl_flags & 2 != 0)
    {
        if message.attributes.is_empty() {
            continue;
        }
        let bytes = &message.attributes;
        let again = write(|w| {
            Context::find(bytes).unwrap().encode(w).unwrap();
            match message.command {
                Command::GetResources => {
                    rewrite_group::<ResourceOptions>(w, bytes);
                    encode_found::<ResourceInfo>(w, bytes);
                    encode_found::<ResourceStatistics>(w, bytes);
                }
                Command::GetDevices => {
                    rewrite_group::<DiskOptions>(w, bytes);
                    rewrite_group::<DeviceOptions>(w, bytes);
                    encode_found::<DeviceInfo>(w, bytes);
                    encode_found::<DeviceStatistics>(w, bytes);
                }
                Command::GetConnections => {
                    rewrite_group::<NetOptions>(w, bytes);
                    w.put_raw(find_nest(bytes, Tla::PathParms).unwrap().unwrap().whole)
                        .unwrap();
                    encode_found::<ConnectionInfo>(w, bytes);
                    encode_found::<ConnectionStatistics>(w, bytes);
                }
                Command::GetPeerDevices => {
                    encode_found::<PeerDeviceInfo>(w, bytes);
                    encode_found::<PeerDeviceStatistics>(w, bytes);
                    rewrite_group::<PeerDeviceOptions>(w, bytes);
                }
                other => panic!("{other:?} is no dump"),
            }
        });
        assert_eq!(&again, bytes, "{} message {}", message.file, message.number);
        count += 1;
    }
    assert!(count >= 10, "only {count}");
}

#[test]
fn typed_records_write_what_the_reference_writes() {
    use drbd_core::genl::{ConnectionRecord, DeviceRecord, PeerDeviceRecord, ResourceRecord};
    let all = messages();
    let find = |command| {
        all.iter()
            .find(|message| {
                message.file.starts_with("39-") && !message.from_user && message.command == command
            })
            .unwrap()
    };
    fn typed<G: OptionGroup>(attributes: &[u8]) -> G {
        let mut group = G::default();
        let nest = find_nest(attributes, G::TLA).unwrap().unwrap();
        read_group(G::TABLE, nest.payload, |spec, value| {
            // The recorded module promotes on open, this one does not.
            if spec.field == "auto_promote" {
                assert_eq!(value, Value::Bool(true));
                assert!(group.set(spec.nr, value).is_err());
            } else {
                group.set(spec.nr, value).unwrap();
            }
        })
        .unwrap();
        group
    }

    let message = find(Command::GetResources);
    let mut options = typed::<ResourceOptions>(&message.attributes);
    options.auto_promote = true;
    let record = ResourceRecord {
        context: Context::find(&message.attributes).unwrap(),
        options: &options,
        info: &ResourceInfo::find(&message.attributes).unwrap().unwrap(),
        statistics: &ResourceStatistics::find(&message.attributes)
            .unwrap()
            .unwrap(),
    };
    assert_eq!(
        write(|w| record.encode(w, true).unwrap()),
        message.attributes
    );

    let message = find(Command::GetDevices);
    let record = DeviceRecord {
        context: Context::find(&message.attributes).unwrap(),
        disk: Some(&typed(&message.attributes)),
        options: &typed(&message.attributes),
        info: &DeviceInfo::find(&message.attributes).unwrap().unwrap(),
        statistics: &DeviceStatistics::find(&message.attributes)
            .unwrap()
            .unwrap(),
    };
    assert_eq!(
        write(|w| record.encode(w, true).unwrap()),
        message.attributes
    );

    let message = find(Command::GetConnections);
    let record = ConnectionRecord {
        context: Context::find(&message.attributes).unwrap(),
        net: &typed(&message.attributes),
        paths: &paths(&message.attributes),
        info: &ConnectionInfo::find(&message.attributes).unwrap().unwrap(),
        statistics: &ConnectionStatistics::find(&message.attributes)
            .unwrap()
            .unwrap(),
    };
    assert_eq!(
        write(|w| record.encode(w, true).unwrap()),
        message.attributes
    );
    let hidden = write(|w| record.encode(w, false).unwrap());
    let nest = find_nest(&hidden, Tla::NetConf).unwrap().unwrap();
    assert!(
        Attributes::new(nest.payload).all(|attribute| attribute.unwrap().nr != 1),
        "the secret is told"
    );

    let message = find(Command::GetPeerDevices);
    let record = PeerDeviceRecord {
        context: Context::find(&message.attributes).unwrap(),
        info: &PeerDeviceInfo::find(&message.attributes).unwrap().unwrap(),
        statistics: &PeerDeviceStatistics::find(&message.attributes)
            .unwrap()
            .unwrap(),
        options: &typed(&message.attributes),
    };
    assert_eq!(
        write(|w| record.encode(w, true).unwrap()),
        message.attributes
    );
}

#[test]
fn replies_echo_the_context_and_carry_the_texts() {
    let all = messages();
    let mut count = 0;
    for reply in all.iter().filter(|message| {
        !message.from_user && !message.command.is_event() && message.nl_flags == 0
    }) {
        let request = all
            .iter()
            .rfind(|message| {
                message.from_user
                    && message.number < reply.number
                    && message.file == reply.file
                    && message.sequence == reply.sequence
                    && message.command == reply.command
            })
            .unwrap();
        let texts: Vec<_> = info_texts(&reply.attributes)
            .collect::<Result<_, _>>()
            .unwrap();
        let again = write(|w| {
            encode_reply(w, &request.attributes, &texts).unwrap();
            if let Some(params) = TimeoutParams::find(&reply.attributes).unwrap() {
                encode_timeout_type(w, params.timeout_type).unwrap();
            }
        });
        assert_eq!(
            again, reply.attributes,
            "{} message {}",
            reply.file, reply.number
        );
        assert_eq!(reply.header.minor, request.header.minor);
        assert!(reply.header.code().name().is_some());
        count += 1;
    }
    assert!(count > 25, "only {count}");
}

#[test]
fn every_cut_and_flip_of_a_request_is_answered() {
    for message in messages().iter().filter(|message| message.from_user) {
        let decode = |bytes: &[u8]| {
            let _ = Request::decode(message.command, NO_MINOR, 0, bytes, true);
            let _ = Request::decode(message.command, 0, 1, bytes, false);
        };
        for end in 0..message.attributes.len() {
            decode(&message.attributes[..end]);
        }
        for at in 0..message.attributes.len() {
            for bit in [1, 0x80] {
                let mut bytes = message.attributes.clone();
                bytes[at] ^= bit;
                decode(&bytes);
            }
        }
    }
}
