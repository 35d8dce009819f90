// SPDX-License-Identifier: GPL-2.0-or-later
//! The client against recorded answers of DRBD 9.3.3.

use std::path::Path;

use drbd_core::config::{find, NetOptions, OptionGroup};
use drbd_core::genl::state::{ConnectionState, DiskState, NotificationKind, Role};
use drbd_core::genl::{Command, RetCode, Tla};
use drbd_netlink::recording::{Recording, ReplayKernel};
use drbd_netlink::{Api, Client, EventObject, OptionValue, RequestMessage, Snapshot, Transport};

fn recording(name: &str) -> Recording {
    Recording::read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../core/tests/golden/drbd9/nl")
            .join(name),
    )
}

fn client(name: &str) -> Client {
    let kernel = ReplayKernel::new(&[recording("00-family-and-empty-dump.txt"), recording(name)]);
    Client::over(Box::new(kernel)).unwrap()
}

#[test]
fn the_family_is_understood() {
    let client = client("01-new-resource.txt");
    assert_eq!((client.family().id, client.family().events), (0x25, 19));
    assert!(client.family().serves(Command::GetPaths));
    assert!(!client.family().serves(Command::Helper));
}

/// A kernel whose module is unloaded, and loaded again, while a client is open.
struct Reloaded {
    kernel: ReplayKernel,
    answers: std::collections::VecDeque<Vec<u8>>,
}

impl Transport for Reloaded {
    fn send(&mut self, datagram: &[u8]) -> Result<(), drbd_netlink::Error> {
        self.kernel.send(datagram)
    }

    fn receive(&mut self, timeout: std::time::Duration) -> Result<Vec<u8>, drbd_netlink::Error> {
        let recorded = self.kernel.receive(timeout)?;
        Ok(self.answers.pop_front().unwrap_or(recorded))
    }
}

#[test]
fn a_client_notices_that_the_module_was_loaded_anew() {
    let family = recording("00-family-and-empty-dump.txt");
    let known = family.messages[1].bytes.clone();
    // FAMILY_ID is 0x25 there.
    let at = known.windows(5).position(|w| w == [6, 0, 1, 0, 0x25]);
    let mut moved = known.clone();
    moved[at.unwrap() + 4] = 0x26;
    // NLMSG_ERROR with ENOENT, as without the module.
    let mut gone = vec![36, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    gone.extend((-2i32).to_ne_bytes());
    gone.extend_from_slice(&family.messages[0].bytes[..16]);
    let answers = [known.clone(), known, gone, moved].into();
    let kernel = ReplayKernel::new(&[family]);
    let mut client = Client::over(Box::new(Reloaded { kernel, answers })).unwrap();
    assert!(client.is_current());
    assert!(!client.is_current(), "unloaded");
    assert!(!client.is_current(), "loaded again");
    assert!(client.is_current());
}

#[test]
fn a_snapshot_about_a_resource_asks_for_no_more() {
    let name = "39-dumps.txt";
    let requests = |about: Option<&str>| {
        let kernel = Watched::new(name);
        let sent = kernel.sent.clone();
        let mut client = Client::over(Box::new(kernel)).unwrap();
        let snapshot = Snapshot::read_about(&mut client, about).unwrap();
        assert!(snapshot.resource("r0").is_some());
        let sent = sent.borrow();
        let named = sent.iter().filter(|bytes| bytes.ends_with(b"r0\0\0"));
        (sent.len(), named.count())
    };
    // The family, and five lists; that of the resources knows no filter.
    assert_eq!(requests(None), (6, 0));
    assert_eq!(requests(Some("r0")), (6, 4));
}

/// A recorded kernel that lets others see what it was sent.
struct Watched {
    kernel: ReplayKernel,
    sent: std::rc::Rc<std::cell::RefCell<Vec<Vec<u8>>>>,
}

impl Watched {
    fn new(name: &str) -> Watched {
        let mut family = recording("00-family-and-empty-dump.txt");
        family.messages.truncate(2);
        Watched {
            kernel: ReplayKernel::new(&[family, recording(name)]),
            sent: std::rc::Rc::default(),
        }
    }
}

impl Transport for Watched {
    fn send(&mut self, datagram: &[u8]) -> Result<(), drbd_netlink::Error> {
        self.sent.borrow_mut().push(datagram.to_vec());
        self.kernel.send(datagram)
    }

    fn receive(&mut self, timeout: std::time::Duration) -> Result<Vec<u8>, drbd_netlink::Error> {
        self.kernel.receive(timeout)
    }
}

#[test]
fn replies_carry_code_and_texts() {
    let mut client = client("44-error-reply.txt");
    let reply = client
        .request(&RequestMessage::new(Command::NewPeer).resource("r0").peer(1))
        .unwrap();
    assert_eq!(reply.code, RetCode::ERR_INVALID_REQUEST);
    assert_eq!(
        reply.texts,
        ["Connection for peer node id 1 already exists"]
    );
}

#[test]
fn a_snapshot_is_read_by_the_dumps() {
    // The first request of each command counts: read without the empty dump of the first recording.
    let mut family = recording("00-family-and-empty-dump.txt");
    family.messages.truncate(2);
    let kernel = ReplayKernel::new(&[family, recording("39-dumps.txt")]);
    let mut client = Client::over(Box::new(kernel)).unwrap();
    let snapshot = Snapshot::read(&mut client).unwrap();
    let resource = snapshot.resource("r0").unwrap();
    assert_eq!(
        (resource.info.role, resource.options.number("node_id")),
        (Role::Secondary, Some(0))
    );
    let device = snapshot.devices_of("r0").next().unwrap();
    assert_eq!(
        (device.minor, device.info.disk_state, device.statistics.size),
        (0, DiskState::UpToDate, 130_992)
    );
    assert_eq!(
        device.disk.as_ref().unwrap().text("backing_dev"),
        Some("/dev/vdb")
    );
    let connection = snapshot.connections_of("r0").next().unwrap();
    assert_eq!(
        (connection.name.as_str(), connection.info.connection_state),
        ("n2", ConnectionState::Connected)
    );
    assert_eq!(connection.paths[0].peer_addr.to_string(), "10.9.0.2:7788");
    assert_eq!(snapshot.peer_devices_of(connection).count(), 1);
    assert!(snapshot.paths.unwrap().is_empty());
}

#[test]
fn requests_are_those_of_the_stock_tool() {
    let net = |name: &str, value| (find(NetOptions::TABLE, name).unwrap(), value);
    let mut request = RequestMessage::new(Command::NewPeer).resource("r0").peer(1);
    for (spec, value) in [
        net("_name", OptionValue::Text("n2".into())),
        net("protocol", OptionValue::Int(3)),
        net("ping-timeout", OptionValue::Int(200)),
        net("timeout", OptionValue::Int(290)),
        net("ping-int", OptionValue::Int(30)),
        net("connect-int", OptionValue::Int(30)),
    ] {
        request = request.option(Tla::NetConf, spec, value);
    }
    let recorded = recording("03-new-peer.txt");
    let mut expected = recorded.messages[0].drbd().unwrap();
    // The stock tool marks its attributes as mandatory (bit 14); that has no meaning any more.
    let ours = request.message(Api::V2).unwrap();
    for (index, byte) in expected.attributes.iter_mut().enumerate() {
        if ours.attributes[index] != *byte {
            assert_eq!(*byte & 0xbf, ours.attributes[index], "at {index}");
            *byte &= 0xbf;
        }
    }
    assert_eq!(ours, expected);
}

#[test]
fn events_are_decoded() {
    let events = recording("38-initial-state.txt").events();
    assert_eq!(events.len(), 6);
    assert!(events
        .iter()
        .all(|event| event.kind == NotificationKind::Exists));
    assert!(events[0].continues && !events[4].continues);
    assert_eq!(events[5].object, EventObject::InitialStateDone);
    let helpers = recording("09-primary-force.txt").events();
    assert!(helpers.iter().any(|event| matches!(&event.object,
        EventObject::Helper { name, minor: Some(0), .. } if name == "before-resync-source")));
}

#[test]
fn silence_is_an_error() {
    let mut kernel = ReplayKernel::new(&[]);
    assert!(kernel.receive(std::time::Duration::ZERO).is_err());
    assert!(Client::over(Box::new(kernel)).is_err());
}
