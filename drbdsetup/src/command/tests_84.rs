// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands against the recorded in-tree driver of generation 8.4.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use drbd_core::genl::Attributes;
use drbd_netlink::recording::{Recording, ReplayKernel};

use super::*;
use crate::cli::{normalize, program_of, Action};

fn recording(name: &str) -> Recording {
    Recording::read_words(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../core/tests/golden/control-plane/netlink")
            .join(name),
    )
}

fn asked<T>(line: &str, act: impl FnOnce(&Asked<'_>) -> T) -> T {
    let words = line.split(' ').map(OsString::from).collect();
    let matches = program_of(Generation::V84)
        .try_get_matches_from(normalize(words, Generation::V84))
        .unwrap();
    let (name, matches) = matches.subcommand().unwrap();
    let spec = Generation::V84
        .commands()
        .iter()
        .find(|spec| spec.name == name)
        .unwrap();
    act(&Asked { spec, matches })
}

/// Runs a command line against the kernel of a recording.
fn run_against(name: &str, line: &str) -> (Result<u8, String>, String) {
    let mut family = recording("01-new-resource.txt");
    family.messages.truncate(2);
    let mut recorded = recording(name);
    // The tool stopped listening before the end of the list was written.
    let mut done = recorded.messages[0].clone();
    done.from_user = false;
    done.bytes = vec![0; 20];
    (done.bytes[0], done.bytes[4]) = (20, 3);
    recorded.messages.push(done);
    let kernel = ReplayKernel::new(&[family, recorded]);
    let mut client = Client::over(Box::new(kernel)).unwrap();
    assert_eq!(client.family().api, Api::V1);
    let mut out = Vec::new();
    let result = asked(line, |asked| execute(&mut client, asked, &mut out))
        .map_err(|failure| failure.to_string());
    (result, String::from_utf8(out).unwrap())
}

/// Attributes by group and number, without the mark of the old tools.
fn tree(attributes: &[u8]) -> BTreeMap<(u16, u16), Vec<u8>> {
    let mut tree = BTreeMap::new();
    for nest in Attributes::new(attributes) {
        let nest = nest.unwrap();
        tree.insert((nest.nr, 0), Vec::new());
        for attribute in Attributes::new(nest.payload) {
            let attribute = attribute.unwrap();
            tree.insert((nest.nr, attribute.nr), attribute.payload.to_vec());
        }
    }
    tree
}

#[test]
fn requests_are_those_of_the_old_tool() {
    let ends = "ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788";
    for (name, line) in [
        ("01-new-resource.txt", "new-resource r0".to_owned()),
        ("02-new-minor.txt", "new-minor r0 0 0".to_owned()),
        (
            "04-attach.txt",
            "attach 0 /dev/vda /dev/vda internal --fencing=resource-only --c-plan-ahead=0 --resync-rate=10M".to_owned(),
        ),
        ("11-primary-force.txt", "primary 0 --force".to_owned()),
        ("17-disk-options.txt", "disk-options 0 --c-max-rate=50M".to_owned()),
        ("19-net-options.txt", format!("net-options {ends} --max-buffers=3000")),
        (
            "20-resource-options.txt",
            "resource-options r0 --on-no-data-accessible=suspend-io".to_owned(),
        ),
        ("21-pause-sync.txt", "pause-sync 0".to_owned()),
        ("25-verify.txt", "verify 0 --start=1M".to_owned()),
        ("52-secondary.txt", "secondary 0".to_owned()),
        ("57-del-minor.txt", "del-minor 0".to_owned()),
        ("58-del-resource.txt", "del-resource r0".to_owned()),
    ] {
        let recorded = recording(name)
            .messages
            .iter()
            .filter(|message| message.from_user)
            .find_map(|message| message.drbd())
            .unwrap();
        let ours = asked(&line, |asked| {
            let command = match asked.spec.action {
                Action::Request(command) => command,
                Action::NewMinor => drbd_core::genl::Command::NewMinor,
                other => panic!("{line}: {other:?}"),
            };
            request::message(asked, command)
                .unwrap()
                .message(Api::V1)
                .unwrap()
        });
        assert_eq!(
            (ours.command, ours.header),
            (recorded.command, recorded.header),
            "{line}"
        );
        assert_eq!(tree(&ours.attributes), tree(&recorded.attributes), "{line}");
    }
}

#[test]
fn questions_are_answered_out_of_the_status() {
    for (line, answer) in [
        ("role 0", "Primary/Secondary\n"),
        ("cstate 0", "VerifyS\n"),
        ("dstate /dev/drbd0", "UpToDate/UpToDate\n"),
    ] {
        assert_eq!(
            run_against("29-get-gi.txt", line),
            (Ok(0), answer.into()),
            "{line}"
        );
    }
    let (result, line) = run_against("29-get-gi.txt", "get-gi 0");
    assert_eq!(result, Ok(0));
    assert_eq!(line.trim_end().split(':').count(), 11, "{line}");
    let (_, explained) = run_against("29-get-gi.txt", "show-gi 0");
    assert!(
        explained.contains(line.trim_end())
            && explained
                .ends_with("flags: Primary, Connected, UpToDate\nmeta-data: need apply-al\n"),
        "{explained}"
    );
    let (_, shell) = run_against("29-get-gi.txt", "sh-status 0");
    assert!(
        shell.starts_with("_minor=0\n_res_name=r0\n_volume=0\n_known=Configured\n\n_cstate=VerifyS\n_role=Primary\n"),
        "{shell}"
    );
}

#[test]
fn the_status_is_that_of_the_old_tool() {
    let (result, text) = run_against("13-status.txt", "status r0");
    assert_eq!(result, Ok(0));
    assert_eq!(
        text,
        "r0 role:Primary\n  disk:UpToDate\n  peer role:Secondary\n    replication:Established peer-disk:UpToDate\n\n"
    );
    let (_, verbose) = run_against("13-status.txt", "status r0 --verbose --statistics");
    for words in [
        "r0 role:Primary suspended:no\n    write-ordering:flush\n  volume:0 minor:0 disk:UpToDate\n      size:",
        "al-suspended:no blocked:no\n  peer connection:Connected role:Secondary congested:no\n",
        "    volume:0 replication:Established peer-disk:UpToDate resync-suspended:no\n        received:",
    ] {
        assert!(verbose.contains(words), "no `{words}` in\n{verbose}");
    }
    let (_, json) = run_against("13-status.txt", "status r0 --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["connections"][0]["name"], "peer");
    assert_eq!(json[0]["devices"][0]["disk-state"], "UpToDate");
}

/// The driver's refusal of an unknown resource would never end: it is not asked for one.
#[test]
fn no_list_is_asked_for_with_a_filter() {
    let (result, _) = run_against("31-show-nosuch.txt", "status nosuch");
    assert!(
        result
            .unwrap_err()
            .starts_with("nosuch: No such resource\n"),
        "the refusal"
    );
    assert_eq!(
        run_against("13-status.txt", "status 0").1,
        run_against("13-status.txt", "status r0").1
    );
    let mut family = recording("01-new-resource.txt");
    family.messages.truncate(2);
    let kernel = ReplayKernel::new(&[family, recording("13-status.txt")]);
    let mut client = Client::over(Box::new(kernel)).unwrap();
    let request = |name| {
        drbd_netlink::RequestMessage::new(drbd_core::genl::Command::GetDevices).resource(name)
    };
    assert_eq!(client.dump(&request("r0")).unwrap().len(), 1);
    let unknown = client.dump(&request("r1")).unwrap();
    assert_eq!(
        unknown[0].header.code(),
        drbd_core::genl::RetCode::ERR_RES_NOT_KNOWN
    );
}

#[test]
fn udev_is_told_the_names() {
    assert_eq!(
        run_against("13-status.txt", "udev 0"),
        (
            Ok(0),
            "DEVICE=drbd0\nSYMLINK_BY_RES=drbd/by-res/r0/0\nSYMLINK_BY_DISK=drbd/by-disk/vda\n"
                .into()
        )
    );
}

#[test]
fn the_configuration_is_shown_as_the_old_tool_does() {
    let (result, text) = run_against("13-status.txt", "show r0");
    assert_eq!(result, Ok(0));
    println!("{text}");
    for words in [
        "resource r0 {\n    options {\n",
        "        shared-secret   \t\"geheim\";\n",
        "    _remote_host {\n        address\t\t\tipv4 10.7.0.2:7788;\n    }\n",
        "    _this_host {\n        address\t\t\tipv4 10.7.0.1:7788;\n        volume 0 {\n            device\t\t\tminor 0;\n            \
         disk\t\t\t\"/dev/vda\";\n            meta-disk\t\t\tinternal;\n            disk {\n",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    let (_, all) = run_against("13-status.txt", "show r0 --show-defaults");
    assert!(
        all.contains("        unplug-watermark\t128; # default\n"),
        "{all}"
    );
    assert!(all.contains("                fencing         \t"), "{all}");
}

#[test]
fn the_current_state_is_shown_as_events() {
    let (result, text) = run_against("16-events2-now.txt", "events2 --now");
    assert_eq!(result, Ok(0));
    assert_eq!(
        text,
        "exists resource name:r0 role:Primary suspended:no\n\
         exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Secondary\n\
         exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
         exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate \
         resync-suspended:no\n\
         exists -\n"
    );
}

#[test]
fn refusals_are_told_as_the_old_tool_does() {
    for (name, line, first) in [
        (
            "10-primary-refused.txt",
            "primary 0",
            "0: State change failed: (-2) Need access to UpToDate data",
        ),
        (
            "03-attach-unknown-minor.txt",
            "attach 0 /dev/vda /dev/vda internal",
            "0: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor",
        ),
    ] {
        let (result, _) = run_against(name, line);
        let message = result.unwrap_err();
        assert!(message.starts_with(first), "{message}");
    }
}
