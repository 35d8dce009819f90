// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands against recorded kernels.

use std::ffi::OsString;
use std::path::Path;

use drbd_netlink::recording::{Recording, ReplayKernel};

use super::*;
use crate::cli::{normalize, program, Generation, COMMANDS};

fn recording(name: &str) -> Recording {
    Recording::read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../core/tests/golden/drbd9/nl")
            .join(name),
    )
}

/// Runs a command line against the kernel of a recording.
fn run_against(name: &str, line: &str) -> (Result<u8, String>, String) {
    let mut family = recording("00-family-and-empty-dump.txt");
    family.messages.truncate(2);
    let kernel = ReplayKernel::new(&[family, recording(name)]);
    let mut client = Client::over(Box::new(kernel)).unwrap();
    let arguments = normalize(
        line.split(' ').map(OsString::from).collect(),
        Generation::V9,
    );
    let matches = program().try_get_matches_from(arguments).unwrap();
    let (name, matches) = matches.subcommand().unwrap();
    let spec = COMMANDS.iter().find(|spec| spec.name == name).unwrap();
    let mut out = Vec::new();
    let result = execute(&mut client, &Asked { spec, matches }, &mut out)
        .map_err(|failure| failure.to_string());
    (result, String::from_utf8(out).unwrap())
}

#[test]
fn questions_are_answered_out_of_the_dumps() {
    for (line, answer) in [
        ("role r0", "Secondary\n"),
        ("peer-role r0 1", "Secondary\n"),
        ("cstate r0 1", "Connected\n"),
        ("dstate 0", "UpToDate/UpToDate\n"),
        ("dstate /dev/drbd0", "UpToDate/UpToDate\n"),
        (
            "get-gi r0 1 0",
            "815AD88DCD1ADFEE:0000000000000000:0000000000000000:0000000000000000:1:1:0:0:0:0:0:1:0:0:0:1\n",
        ),
        ("udev 0", "DEVICE=drbd0\nSYMLINK_BY_RES=drbd/by-res/r0/0\nSYMLINK_BY_DISK=drbd/by-disk/vdb\n"),
    ] {
        assert_eq!(run_against("39-dumps.txt", line), (Ok(0), answer.into()), "{line}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    for (line, first) in [
        ("status nosuch", "nosuch: No such resource\n"),
        ("show nosuch", "nosuch: No such resource\n"),
        ("role nosuch", "nosuch: Unknown resource\n"),
        ("cstate r0 7", "r0: No such connection\n"),
        ("dstate 9", "9: No such device\n"),
        ("get-gi r0 7 0", "r0: No such peer device\n"),
    ] {
        let (result, out) = run_against("39-dumps.txt", line);
        let message = result.unwrap_err();
        assert!(
            message.starts_with(first) && message.contains("\n  try: "),
            "{message}"
        );
        assert_eq!(out, "");
    }
}

#[test]
fn an_empty_kernel_is_said_to_be_empty() {
    let empty = "00-family-and-empty-dump.txt";
    assert_eq!(
        run_against(empty, "status"),
        (Ok(0), "# No currently configured DRBD found.\n".into())
    );
    assert_eq!(run_against(empty, "status --json"), (Ok(0), "[]\n".into()));
    assert_eq!(run_against(empty, "down nosuch"), (Ok(0), String::new()));
}

#[test]
fn refusals_are_told_as_the_stock_tool_does() {
    let (result, _) = run_against("44-error-reply.txt", "new-peer r0 1 --_name=n2");
    assert_eq!(
        result.unwrap_err(),
        "r0: Failure: (162) Invalid configuration request\nadditional info from kernel:\n\
         Connection for peer node id 1 already exists"
    );
}

#[test]
fn success_of_recorded_commands() {
    for (name, line) in [
        ("01-new-resource.txt", "new-resource r0 0"),
        (
            "04-new-path.txt",
            "new-path r0 1 ipv4:10.9.0.1:7788 ipv4:10.9.0.2:7788",
        ),
        ("06-connect.txt", "connect r0 1"),
        ("09-primary-force.txt", "primary r0 --force"),
        ("32-secondary.txt", "secondary r0"),
        ("42-down.txt", "down r0"),
        ("36-rename.txt", "rename-resource r0 r9"),
        ("46-forget-peer.txt", "forget-peer r0 9"),
    ] {
        assert_eq!(run_against(name, line).0, Ok(0), "{line}");
    }
}

#[test]
fn the_current_state_is_shown_as_events() {
    let (result, out) = run_against("38-initial-state.txt", "events2 --now");
    assert_eq!(result, Ok(0));
    let expected = recording("38-initial-state.txt")
        .output
        .replace(" quorum:", " open:no quorum:");
    assert_eq!(out, expected);
    assert_eq!(
        run_against("38-initial-state.txt", "events2 nosuch --now").1,
        "exists -\n"
    );
    let (_, stamped) = run_against("38-initial-state.txt", "events2 --now --timestamps");
    let first = stamped.lines().next().unwrap();
    let (stamp, rest) = first.split_at(33);
    assert!(rest.starts_with("exists resource name:r0"), "{first}");
    assert_eq!(
        (
            stamp.as_bytes()[10],
            stamp.as_bytes()[19],
            stamp.as_bytes()[29],
            stamp.as_bytes()[32]
        ),
        (b'T', b'.', b':', b' ')
    );
}
