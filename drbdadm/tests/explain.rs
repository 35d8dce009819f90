// SPDX-License-Identifier: GPL-2.0-or-later
//! `explain` and `--json`, with a script in the place of drbdsetup that answers
//! as a kernel in a given state would.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{json, Value};

const CONFIG: &str = "\
global { usage-count no; disable-ip-verification; }
resource r0 {
  device minor 1; disk /nonexistent/a; meta-disk internal;
  on alpha { node-id 0; address 10.1.1.31:7789; }
  on bravo { node-id 1; address 10.1.1.32:7789; }
}
";

/// A run of drbdadm on a machine in the state that `status` says.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new(status: &Value, get_gi: &str, kernel_log: &str) -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("drbd.conf"), CONFIG).unwrap();
        std::fs::write(path("status"), status.to_string()).unwrap();
        std::fs::write(path("gi"), get_gi).unwrap();
        std::fs::write(path("kmsg"), kernel_log).unwrap();
        let here = directory.path().display();
        let script = format!(
            "#!/bin/sh\ncase $1 in\n\
             status) cat {here}/status;;\n\
             get-gi) cat {here}/gi;;\n\
             role) echo Secondary;;\n\
             cstate) echo StandAlone;;\n\
             *) exit 10;;\nesac\n"
        );
        std::fs::write(path("drbdsetup"), script).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path("drbdsetup"), mode).unwrap();
        Machine { directory }
    }

    /// Status, stdout, stderr.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let path = |name: &str| self.directory.path().join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_drbdadm"))
            .arg("-s")
            .arg(path("drbdsetup"))
            .arg("-c")
            .arg(path("drbd.conf"))
            .args(args)
            .env("__DRBD_NODE__", "alpha")
            .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.90.0")
            .env("DRBDADM_KMSG", path("kmsg"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let told = text(output.stderr)
            .lines()
            .filter(|line| !line.contains("__DRBD_NODE__") && !line.contains("PRETENDING"))
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        (output.status.code().unwrap(), text(output.stdout), told)
    }

    fn explain(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = ["explain", "--json", "r0"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        let (status, text, told) = self.run(&all);
        assert_eq!(status, 0, "{told}");
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }
}

/// A resource with one volume and one peer.
fn status(role: &str, disk: &str, connection: &str, peer: &Value) -> Value {
    let mut device = json!({
        "volume": 0, "replication-state": "Off", "peer-disk-state": "DUnknown",
        "resync-suspended": "no", "out-of-sync": 0
    });
    for (key, value) in peer.as_object().unwrap() {
        device[key] = value.clone();
    }
    json!([{
        "name": "r0", "node-id": 0, "role": role,
        "devices": [{ "volume": 0, "minor": 1, "disk-state": disk, "client": false }],
        "connections": [{
            "peer-node-id": 1, "name": "bravo", "connection-state": connection,
            "peer-role": peer["role"].as_str().unwrap_or("Unknown"),
            "peer_devices": [device],
        }],
    }])
}

/// Everything that an explanation says to type, and where.
fn commands(explanation: &Value) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for finding in explanation["findings"].as_array().unwrap() {
        for choice in finding["choices"].as_array().unwrap() {
            for command in choice["commands"].as_array().unwrap() {
                list.push((
                    choice["on"].as_str().unwrap().to_owned(),
                    command.as_str().unwrap().to_owned(),
                ));
            }
        }
    }
    list
}

fn has(explanation: &Value, on: &str, command: &str) -> bool {
    commands(explanation).contains(&(on.to_owned(), command.to_owned()))
}

#[test]
fn what_works_is_said_to_work() {
    let peer = json!({ "replication-state": "Established", "peer-disk-state": "UpToDate", "role": "Secondary" });
    let machine = Machine::new(&status("Secondary", "UpToDate", "Connected", &peer), "", "");
    let explanation = machine.explain(&[]);
    for field in ["up", "connected", "in_sync", "promotable"] {
        assert_eq!(explanation[field], true, "{field}: {explanation}");
    }
    assert_eq!(explanation["findings"], json!([]));
    let (_, text, _) = machine.run(&["explain"]);
    assert!(text.contains("nothing is wrong"), "{text}");
}

#[test]
fn a_resource_that_is_down_is_brought_up() {
    let machine = Machine::new(&json!([]), "", "");
    let explanation = machine.explain(&[]);
    assert_eq!(explanation["up"], false);
    assert!(has(&explanation, "", "drbdadm up r0"), "{explanation}");
    // And its disk is not there, which would be the next surprise.
    assert!(explanation
        .to_string()
        .contains("/nonexistent/a does not exist"));
}

#[test]
fn a_split_brain_shows_both_histories_and_what_each_choice_costs() {
    let peer = json!({ "out-of-sync": 2048 });
    let machine = Machine::new(
        &status("Primary", "UpToDate", "StandAlone", &peer),
        "D000000000000001:A000000000000000:B000000000000000:0000000000000000:1:1:1:0:0:0:0:0:0:0:0:0\n",
        "6,1,1,-;drbd: r0: connection ends (StandAlone): split brain: both disks changed without the other\n",
    );
    let gi = "--peer-gi=E000000000000000:A000000000000000:B000000000000000:0000000000000000:1:1";
    let explanation = machine.explain(&[gi]);
    let finding = &explanation["findings"][0];
    assert!(
        finding["problem"]
            .as_str()
            .unwrap()
            .starts_with("split brain"),
        "{finding}"
    );
    let because = finding["because"].to_string();
    for part in [
        "here:  now D000000000000001, shared A000000000000000",
        "there: now E000000000000000, shared A000000000000000",
        "at most 2048 KiB",
        "the kernel said last",
    ] {
        assert!(because.contains(part), "{part}: {because}");
    }
    // Either side can be given up.
    assert!(has(
        &explanation,
        "bravo",
        "drbdadm connect --discard-my-data r0"
    ));
    assert!(has(&explanation, "", "drbdadm connect r0"));
    assert!(has(&explanation, "", "drbdadm secondary r0"));
    assert!(has(
        &explanation,
        "",
        "drbdadm connect --discard-my-data r0"
    ));
    assert!(has(&explanation, "bravo", "drbdadm connect r0"));
}

#[test]
fn a_disconnected_peer_is_not_called_a_split_brain() {
    let machine = Machine::new(
        &status("Secondary", "UpToDate", "StandAlone", &json!({})),
        "D000000000000000:0000000000000000:B000000000000000:0000000000000000:1:1\n",
        "6,1,1,-;drbd: r1: connection ends (StandAlone): split brain: both\n",
    );
    let gi = "--peer-gi=D000000000000000:0000000000000000:B000000000000000:0000000000000000";
    let explanation = machine.explain(&[gi]);
    let finding = &explanation["findings"][0];
    assert!(
        !finding["problem"].to_string().contains("split brain"),
        "{finding}"
    );
    assert!(finding["because"]
        .to_string()
        .contains("both have the same data"));
    assert!(has(&explanation, "", "drbdadm connect r0"));
}

#[test]
fn a_peer_that_is_waited_for_says_where_it_should_be() {
    let machine = Machine::new(
        &status("Secondary", "UpToDate", "Connecting", &json!({})),
        "",
        "",
    );
    let explanation = machine.explain(&[]);
    let text = explanation.to_string();
    assert!(text.contains("10.1.1.32:7789"), "{text}");
    assert!(text.contains("has the address 10.1.1.31"), "{text}");
    assert!(has(&explanation, "bravo", "drbdadm explain r0"));
}

#[test]
fn a_resync_is_progress_and_new_disks_need_a_choice() {
    let peer = json!({
        "replication-state": "SyncTarget", "peer-disk-state": "UpToDate", "role": "Primary",
        "percent-resync-done": 25.0, "estimated-seconds-to-finish": 200, "out-of-sync": 4096
    });
    let machine = Machine::new(
        &status("Secondary", "Inconsistent", "Connected", &peer),
        "",
        "",
    );
    let explanation = machine.explain(&[]);
    let text = explanation.to_string();
    assert!(text.contains("25.0 % done, about 3m20s left"), "{text}");
    assert!(text.contains("cannot be Primary here: bravo is"), "{text}");
    assert_eq!(explanation["connected"], true);
    assert_eq!(explanation["in_sync"], false);

    let peer = json!({ "replication-state": "Established", "peer-disk-state": "Inconsistent", "role": "Secondary" });
    let machine = Machine::new(
        &status("Secondary", "Inconsistent", "Connected", &peer),
        "",
        "",
    );
    let explanation = machine.explain(&[]);
    assert!(
        has(&explanation, "", "drbdadm primary --force r0"),
        "{explanation}"
    );
    assert!(has(
        &explanation,
        "",
        "drbdadm new-current-uuid --clear-bitmap r0/0"
    ));
    assert_eq!(explanation["promotable"], false);
}

#[test]
fn reading_commands_print_json() {
    let peer = json!({});
    let machine = Machine::new(
        &status("Secondary", "UpToDate", "StandAlone", &peer),
        "",
        "",
    );
    let json = |args: &[&str]| -> Value {
        let (status, text, told) = machine.run(args);
        assert_eq!(status, 0, "{args:?} {told}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?} {error}: {text}"))
    };
    assert_eq!(
        json(&["--json", "sh-resources"]),
        json!({ "resources": ["r0"] })
    );
    assert_eq!(
        json(&["sh-dev", "--json", "r0"]),
        json!([{ "resource": "r0", "volume": 0, "sh-dev": "/dev/drbd1" }])
    );
    assert_eq!(
        json(&["sh-udev", "r0", "--json"])[0]["SYMLINK_BY_RES"],
        "drbd/by-res/r0"
    );
    assert_eq!(
        json(&["role", "--json", "r0"]),
        json!([{ "resource": "r0", "role": "Secondary" }])
    );
    assert_eq!(
        json(&["cstate", "--json", "r0"]),
        json!([{ "resource": "r0", "peer-node-id": 1, "cstate": "StandAlone" }])
    );
    let dump = json(&["dump", "--json"]);
    assert_eq!(dump["resources"][0]["hosts"][1]["address"]["port"], 7789);
    assert_eq!(dump["resources"][0]["line"], 2);
    assert!(
        json(&["hidden-commands", "--json"])
            .as_array()
            .unwrap()
            .len()
            > 20
    );
    assert!(json(&["status", "--json", "r0"]).is_array());
}

#[test]
fn errors_are_json_when_asked_for() {
    let machine = Machine::new(&json!([]), "", "");
    let (status, out, told) = machine.run(&["--json", "role", "nosuch"]);
    assert_eq!((status, out.as_str()), (1, ""));
    let error: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(error["error"]["status"], 1);
    assert!(error["error"]["message"]
        .as_str()
        .unwrap()
        .contains("nosuch"));

    let (status, _, told) = machine.run(&["--json", "up", "r0"]);
    assert_eq!(status, 1);
    let error: Value = serde_json::from_str(&told).unwrap();
    assert!(
        error["error"]["message"].as_str().unwrap().contains("`up`"),
        "{error}"
    );

    let config = machine.directory.path().join("drbd.conf");
    std::fs::write(
        config,
        CONFIG.replace("meta-disk internal", "metadisk internal"),
    )
    .unwrap();
    let (status, _, told) = machine.run(&["--json", "dump"]);
    assert_eq!(status, 10);
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let finding = &lines[0]["diagnostics"][0];
    assert_eq!(
        (&finding["line"], &finding["severity"]),
        (&json!(3), &json!("error"))
    );
    assert!(
        finding["help"].to_string().contains("meta-disk"),
        "{finding}"
    );
    assert_eq!(lines.last().unwrap()["error"]["status"], 10);
}

#[test]
fn top_shows_rates_progress_and_what_limits() {
    let peer = json!({
        "replication-state": "SyncSource", "peer-disk-state": "Inconsistent", "role": "Secondary",
        "percent-resync-done": 40.0, "estimated-seconds-to-finish": 3700, "out-of-sync": 20480,
        "sent": 1000
    });
    let machine = Machine::new(&status("Primary", "UpToDate", "Connected", &peer), "", "");
    // The second look finds counters that have grown.
    let grown = json!({
        "replication-state": "SyncSource", "peer-disk-state": "Inconsistent", "role": "Secondary",
        "percent-resync-done": 45.0, "estimated-seconds-to-finish": 3600, "out-of-sync": 10240,
        "sent": 901_000
    });
    let path = |name: &str| machine.directory.path().join(name);
    let here = machine.directory.path().display();
    std::fs::write(
        path("grown"),
        status("Primary", "UpToDate", "Connected", &grown).to_string(),
    )
    .unwrap();
    let script = format!("#!/bin/sh\ncat {here}/status\ncp {here}/grown {here}/status\n");
    std::fs::write(path("drbdsetup"), script).unwrap();
    let (status, text, told) = machine.run(&["top", "--count=1", "--interval=0.1"]);
    assert_eq!(status, 0, "{told}");
    let line = text.lines().find(|line| line.contains("r0/0")).unwrap();
    for part in [
        "Primary",
        "bravo",
        "SyncSource",
        "Inconsistent",
        "####......",
        "45.0%",
        "1h00m left",
    ] {
        assert!(line.contains(part), "{part}: {text}");
    }
    assert!(line.contains("MiB/s"), "{text}");
    let (status, _, told) = machine.run(&["top", "--interval=0"]);
    assert_eq!(status, 1, "{told}");
}
