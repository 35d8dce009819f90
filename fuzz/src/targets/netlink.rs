// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages of API version 2: as the module decodes requests, and as the tools decode what a kernel tells.
//!
//! An input is the command's number, flags, the minor, and attributes.

use drbd_core::config::{
    DeviceOptions, DiskOptions, NetOptions, OptionGroup, PeerDeviceOptions, Refusal,
    ResourceOptions,
};
use drbd_core::genl::{
    encode_group, encode_reply, find_nest, info_texts, read_group, Changes, Command,
    ConnectionInfo, ConnectionStatistics, Context, DeviceInfo, DeviceStatistics, HelperInfo,
    NotificationHeader, PathInfo, PeerDeviceInfo, PeerDeviceStatistics, Record, RenameResourceInfo,
    Request, ResourceInfo, ResourceStatistics, TimeoutParams, Tla, Writer, FLAG_SET_DEFAULTS,
    RECORD_BYTES_MAX,
};

use super::{number_at, Target};
use crate::mutate::{mutate, mutate_attributes, ATTRIBUTES_AT};
use crate::{seeds, Trace};

/// A request of netlink is not longer than a page here.
pub(super) const BYTES_MAX: usize = 4096;

/// Where the attributes are in a whole message: after the headers of netlink, generic netlink and drbd.
const MESSAGE_HEADERS: usize = 28;

pub(super) const TARGET: Target = Target {
    name: "netlink",
    about: "requests and records of API version 2",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 1 << 20,
    seeds: || from_recordings("core/tests/golden/drbd9/nl"),
    words: || vec![b"r0\0".to_vec(), b"tcp\0".to_vec()],
    change,
    run,
};

/// Inputs from recorded messages.
pub(super) fn from_recordings(directory: &str) -> Vec<Vec<u8>> {
    let texts = seeds::contents(directory, ".txt");
    let messages = texts
        .iter()
        .flat_map(|text| seeds::messages(&String::from_utf8_lossy(text)));
    messages
        .filter(|message| message.len() >= MESSAGE_HEADERS)
        .map(|message| {
            let mut input = vec![message[16], message[24], 0, 0];
            input.extend_from_slice(&message[20..24]);
            input.extend_from_slice(&message[MESSAGE_HEADERS..]);
            input
        })
        .collect()
}

/// Changes attributes as such, or any bytes.
pub(super) fn change(
    rng: &mut fastrand::Rng,
    input: &mut Vec<u8>,
    others: &[Vec<u8>],
    words: &[Vec<u8>],
) {
    if input.len() > ATTRIBUTES_AT && rng.u32(0..4) != 0 {
        let mut attributes = input.split_off(ATTRIBUTES_AT);
        mutate_attributes(rng, &mut attributes, others);
        input.extend(attributes);
        if rng.u32(0..4) == 0 {
            input[0] = rng.u8(0..52);
        }
    } else {
        mutate(rng, input, others, words, BYTES_MAX);
    }
}

fn run(input: &[u8], trace: &mut Trace) {
    let attributes = input.get(ATTRIBUTES_AT..).unwrap_or(&[]);
    let head = number_at(input, 0).to_le_bytes();
    let [command, flags, _, _, minor @ ..] = head;
    if let Some(command) = Command::from_number(command) {
        request(
            command,
            u32::from(flags) & FLAG_SET_DEFAULTS,
            u32::from_ne_bytes(minor),
            flags & 2 != 0,
            attributes,
            trace,
        );
    }
    reply(attributes);
    told(attributes, trace);
}

/// What the module does with a request.
pub(super) fn request(
    command: Command,
    flags: u32,
    minor: u32,
    strict_names: bool,
    attributes: &[u8],
    trace: &mut Trace,
) {
    let request = match Request::decode(command, minor, flags, attributes, strict_names) {
        Ok(request) => request,
        Err(refusal) => {
            assert!(!refusal.code.is_success(), "refused with success");
            trace.note((command.number(), refusal.code.0, refusal.text));
            return;
        }
    };
    trace.note((command.number(), "decoded"));
    match request {
        Request::NewResource { options, .. } | Request::ResourceOptions { options, .. } => {
            group::<ResourceOptions>(&options, trace);
        }
        Request::NewMinor { options, .. } => group::<DeviceOptions>(&options, trace),
        Request::Attach { options, .. } | Request::DiskOptions { options, .. } => {
            group::<DiskOptions>(&options, trace);
        }
        Request::NewPeer { options, .. } | Request::NetOptions { options, .. } => {
            group::<NetOptions>(&options, trace);
        }
        Request::PeerDeviceOptions { options, .. } => group::<PeerDeviceOptions>(&options, trace),
        _ => {}
    }
}

/// Applies changes; the group that comes out is told and read again without loss.
fn group<G: OptionGroup + PartialEq + std::fmt::Debug>(
    changes: &Changes<'_, G>,
    trace: &mut Trace,
) {
    let group = match changes.apply(&G::default()) {
        Ok(group) => group,
        Err(Refusal { code, text }) => return trace.note((code.0, text)),
    };
    trace.note("applied");
    let mut buffer = [0; RECORD_BYTES_MAX];
    let mut writer = Writer::new(&mut buffer);
    encode_group(&mut writer, &group, true).unwrap_or_else(|_| panic!("no room for {group:?}"));
    let nest = find_nest(writer.bytes(), G::TLA);
    let nest = nest.unwrap_or_else(|_| panic!("malformed for {group:?}"));
    let mut again = G::default();
    let payload = nest.map_or(&[][..], |nest| nest.payload);
    read_group(G::TABLE, payload, |spec, value| {
        again
            .set(spec.nr, value)
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", spec.field));
    })
    .unwrap_or_else(|_| panic!("does not read {group:?}"));
    assert_eq!(again, group);
}

/// A reply echoes what it can, into whatever room there is.
fn reply(attributes: &[u8]) {
    let mut buffer = [0; 512];
    for room in [0, 3, 20, 512] {
        let mut writer = Writer::new(&mut buffer[..room]);
        let texts = ["unknown resource", "", "second"];
        if encode_reply(&mut writer, attributes, &texts).is_ok() {
            let read: Vec<_> = info_texts(writer.bytes()).collect();
            assert_eq!(read, [Ok("unknown resource"), Ok("second")]);
        }
    }
    let _ = info_texts(attributes).count();
}

/// What the tools read of a message from a kernel.
fn told(attributes: &[u8], trace: &mut Trace) {
    if let Ok(context) = Context::find(attributes) {
        let mut buffer = [0; RECORD_BYTES_MAX];
        let mut writer = Writer::new(&mut buffer);
        context
            .encode(&mut writer)
            .unwrap_or_else(|_| panic!("no room for {context:?}"));
        assert_eq!(Context::find(writer.bytes()), Ok(context));
    }
    record::<ResourceInfo>(attributes, trace);
    record::<DeviceInfo>(attributes, trace);
    record::<ConnectionInfo>(attributes, trace);
    record::<PeerDeviceInfo>(attributes, trace);
    record::<ResourceStatistics>(attributes, trace);
    record::<DeviceStatistics>(attributes, trace);
    record::<ConnectionStatistics>(attributes, trace);
    record::<PeerDeviceStatistics>(attributes, trace);
    record::<PathInfo>(attributes, trace);
    record::<HelperInfo>(attributes, trace);
    record::<TimeoutParams>(attributes, trace);
    record::<RenameResourceInfo>(attributes, trace);
    record::<NotificationHeader>(attributes, trace);
    for tla in (0..64).filter_map(Tla::from_number) {
        let Ok(Some(nest)) = find_nest(attributes, tla) else {
            continue;
        };
        for table in [
            ResourceOptions::TABLE,
            DiskOptions::TABLE,
            NetOptions::TABLE,
            PeerDeviceOptions::TABLE,
            DeviceOptions::TABLE,
        ] {
            let _ = read_group(table, nest.payload, |_, _| {});
        }
    }
}

fn record<R: Record + PartialEq + std::fmt::Debug>(attributes: &[u8], trace: &mut Trace) {
    let found = R::find(attributes);
    trace.note((
        R::TLA.number(),
        found.is_err(),
        found.as_ref().is_ok_and(Option::is_some),
    ));
    if let Ok(Some(found)) = found {
        let mut buffer = [0; RECORD_BYTES_MAX];
        let mut writer = Writer::new(&mut buffer);
        found
            .encode(&mut writer)
            .unwrap_or_else(|_| panic!("no room for {found:?}"));
        assert_eq!(R::find(writer.bytes()), Ok(Some(found)));
    }
}
