// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages of API version 1: rewritten into steps of version 2, which are decoded; and what the kernel tells, rendered.
//!
//! An input is as for version 2: number, flags, minor, attributes.

use drbd_core::genl::v1::{self, DiskExtras, Names};
use drbd_core::genl::{Attributes, Command, Writer, RECORD_BYTES_MAX};

use super::netlink::{change, from_recordings, request, BYTES_MAX};
use super::{number_at, Target};
use crate::mutate::ATTRIBUTES_AT;
use crate::Trace;

pub(super) const TARGET: Target = Target {
    name: "netlink-v1",
    about: "requests of API version 1, rewritten",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 1 << 20,
    seeds: || {
        let mut all = from_recordings("core/tests/golden/control-plane/netlink");
        // What the module renders is of version 2.
        all.extend(from_recordings("core/tests/golden/drbd9/nl"));
        all
    },
    words: || vec![b"r0\0".to_vec(), b"sha1\0".to_vec()],
    change,
    run,
};

fn run(input: &[u8], trace: &mut Trace) {
    let attributes = input.get(ATTRIBUTES_AT..).unwrap_or(&[]);
    let [number, flags, ..] = number_at(input, 0).to_le_bytes();
    let set_defaults = flags & 1 != 0;
    let extras = DiskExtras::default().changed_by(attributes, set_defaults);
    trace.note(
        extras
            .map_err(|refusal| (refusal.code.0, refusal.text))
            .err(),
    );
    let extras = extras.unwrap_or_default();
    if let Some(command) = v1::command(number) {
        // A connect is three steps, an attach may be two.
        for step in [
            command,
            Command::NewPeer,
            Command::NewPath,
            Command::DelPeer,
        ] {
            rewrite(step, &extras, attributes, flags, trace);
        }
    }
    render(&extras, attributes);
}

fn rewrite(step: Command, extras: &DiskExtras, message: &[u8], flags: u8, trace: &mut Trace) {
    let names = Names {
        resource: (flags & 4 != 0).then_some("r0"),
        volume: (flags & 8 != 0).then_some(0),
        extras: *extras,
    };
    let mut room = [0; 2 * BYTES_MAX];
    let mut writer = Writer::new(&mut room);
    match v1::write_step(step, &names, message, &mut writer) {
        Ok(Ok(())) => {
            assert!(
                Attributes::new(writer.bytes()).all(|one| one.is_ok()),
                "the step's attributes are malformed"
            );
            request(step, u32::from(flags & 1), 0, false, writer.bytes(), trace);
        }
        Ok(Err(v1::Unsupported)) => trace.note((step.number(), "unsupported")),
        Err(refusal) => trace.note((step.number(), refusal.code.0)),
    }
}

fn render(extras: &DiskExtras, message: &[u8]) {
    let ends = "10.7.0.1:7788"
        .parse()
        .ok()
        .zip("[fe80::1]:7788".parse().ok());
    let mut buffer = [0; 2 * RECORD_BYTES_MAX];
    for room in [buffer.len(), 100, 0] {
        let mut writer = Writer::new(&mut buffer[..room]);
        if v1::render(message, ends, extras, &mut writer).is_ok() {
            assert!(Attributes::new(writer.bytes()).all(|one| one.is_ok()));
        }
    }
}
