// SPDX-License-Identifier: GPL-2.0-or-later
//! What `adjust` does for a difference between the kernel and the file; the
//! expected calls were recorded from the reference with a real kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CONFIG: &str = "\
global { usage-count no; }
common { net { protocol C; ping-timeout 50; } }
resource r0 {
  device /dev/drbd0 minor 0; disk /dev/vdb; meta-disk internal;
  on n1 { node-id 0; address 10.9.0.1:7788; }
  on n2 { node-id 1; address 10.9.0.2:7788; }
}
";

const SHOWN: &str = "\
resource \"r0\" {
    _this_host {
        node-id\t\t\t0;
        volume 0 {
            device\t\t\tminor 0;
            disk\t\t\t\"/dev/vdb\";
            meta-disk\t\t\tinternal;
        }
    }
    connection {
        _peer_node_id 1;
        path {
            _this_host ipv4 10.9.0.1:7788;
            _remote_host ipv4 10.9.0.2:7788;
        }
        _cstate Connected;
        net {
            ping-timeout    \t50; # 1/10 seconds
            _name           \t\"n2\";
        }
    }
}
";

fn scratch(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("adjust-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// The calls of `drbdadm -d adjust r0` and its status.
fn adjust(case: &str, config: &str, shown: &str, options: &[&str]) -> (String, i32) {
    let config = scratch(&format!("{case}.conf"), config);
    let shown = scratch(&format!("{case}.show"), shown);
    let binary = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("drbdadm")
        .args(["-d", "-c"])
        .arg(&config)
        .arg("adjust")
        .args(options)
        .arg("r0")
        .env(
            "PATH",
            format!("{}:{path}", binary.parent().unwrap().display()),
        )
        .env("__DRBD_NODE__", "n1")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.90.0")
        .env("FAKE_DRBDSETUP_SHOW", &shown)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    std::fs::remove_file(config).unwrap();
    std::fs::remove_file(shown).unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}

/// Replaces a part of the configuration, which must be there.
fn with(from: &str, to: &str) -> String {
    assert!(CONFIG.contains(from), "{from}");
    CONFIG.replace(from, to)
}

fn expect(case: &str, config: &str, shown: &str, calls: &[&str]) {
    let expected: String = calls.iter().map(|call| format!("{call}\n")).collect();
    assert_eq!(adjust(case, config, shown, &[]), (expected, 0), "{case}");
}

#[test]
fn nothing_to_do() {
    expect("same", CONFIG, SHOWN, &[]);
    // Our module shows what it cannot do otherwise as set.
    let shown = SHOWN.replace(
        "    _this_host {\n        node-id",
        "    options {\n        auto-promote no;\n    }\n    _this_host {\n        node-id",
    );
    assert_ne!(shown, SHOWN);
    expect("module-default", CONFIG, &shown, &[]);
}

#[test]
fn nothing_configured_is_up() {
    expect(
        "nothing",
        CONFIG,
        "# No currently configured DRBD found.\n",
        &[
            "drbdsetup new-resource r0 0",
            "drbdsetup new-minor r0 0 0",
            "drbdsetup new-peer r0 1 --_name=n2 --protocol=C --ping-timeout=50",
            "drbdsetup new-path r0 1 ipv4:10.9.0.1:7788 ipv4:10.9.0.2:7788",
            "drbdmeta 0 v09 /dev/vdb internal repair-md",
            "drbdmeta 0 v09 /dev/vdb internal apply-al",
            "drbdsetup attach 0 /dev/vdb /dev/vdb internal",
            "drbdsetup connect r0 1",
        ],
    );
}

#[test]
fn only_what_exists_in_part() {
    expect(
        "resource-only",
        CONFIG,
        "resource r0 { _this_host { node-id 0; } }",
        &[
            "drbdsetup new-minor r0 0 0",
            "drbdsetup new-peer r0 1 --_name=n2 --protocol=C --ping-timeout=50",
            "drbdsetup new-path r0 1 ipv4:10.9.0.1:7788 ipv4:10.9.0.2:7788",
            "drbdmeta 0 v09 /dev/vdb internal repair-md",
            "drbdmeta 0 v09 /dev/vdb internal apply-al",
            "drbdsetup attach 0 /dev/vdb /dev/vdb internal",
            "drbdsetup connect r0 1",
        ],
    );
}

#[test]
fn options_change_in_place() {
    expect(
        "net",
        &with("protocol C;", "protocol C; max-buffers 4096;"),
        SHOWN,
        &["drbdsetup net-options r0 1 --set-defaults --_name=n2 --protocol=C --max-buffers=4096 --ping-timeout=50"],
    );
    expect(
        "disk",
        &with(
            "meta-disk internal;",
            "meta-disk internal; disk { c-max-rate 8M; al-extents 2048; }",
        ),
        SHOWN,
        &[
            "drbdsetup peer-device-options r0 1 0 --set-defaults --c-max-rate=8M",
            "drbdsetup disk-options 0 --set-defaults --al-extents=2048",
        ],
    );
    expect(
        "resource",
        &with(
            "resource r0 {",
            "resource r0 { options { quorum 2; auto-promote no; }",
        ),
        SHOWN,
        &["drbdsetup resource-options r0 --set-defaults --quorum=2 --auto-promote=no"],
    );
}

#[test]
fn an_option_that_left_the_file_goes_back_to_its_default() {
    let shown = SHOWN.replace(
        "ping-timeout    \t50;",
        "ping-timeout 50; max-buffers 4096;",
    );
    expect(
        "left",
        CONFIG,
        &shown,
        &["drbdsetup net-options r0 1 --set-defaults --_name=n2 --protocol=C --ping-timeout=50"],
    );
}

#[test]
fn an_address_changes_by_a_reconnect() {
    expect(
        "address",
        &with("10.9.0.2:7788", "10.9.0.2:7789"),
        SHOWN,
        &[
            "drbdsetup disconnect r0 1",
            "drbdsetup del-path r0 1 ipv4:10.9.0.1:7788 ipv4:10.9.0.2:7788",
            "drbdsetup new-path r0 1 ipv4:10.9.0.1:7788 ipv4:10.9.0.2:7789",
            "drbdsetup connect r0 1",
        ],
    );
}

#[test]
fn a_second_path_needs_no_reconnect() {
    let config = with(
        "\n}\n",
        "\n  connection {\n    path { host n1; host n2; }\n    \
         path { host n1 address 10.8.0.1:7788; host n2 address 10.8.0.2:7788; }\n  }\n}\n",
    );
    expect(
        "path",
        &config,
        SHOWN,
        &["drbdsetup new-path r0 1 ipv4:10.8.0.1:7788 ipv4:10.8.0.2:7788"],
    );
}

#[test]
fn a_disk_that_left_the_file_is_detached() {
    expect(
        "diskless",
        &with("disk /dev/vdb; meta-disk internal;", "disk none;"),
        SHOWN,
        &[
            "drbdsetup detach --diskless 0",
            "drbdsetup peer-device-options r0 1 0 --set-defaults --bitmap=no",
        ],
    );
}

#[test]
fn another_disk_or_minor_is_another_attach() {
    let attach = [
        "drbdmeta 0 v09 /dev/vdc internal repair-md",
        "drbdmeta 0 v09 /dev/vdc internal apply-al",
        "drbdsetup attach 0 /dev/vdc /dev/vdc internal",
    ];
    let calls = [&["drbdsetup detach 0"][..], &attach].concat();
    expect("disk-path", &with("/dev/vdb", "/dev/vdc"), SHOWN, &calls);
    expect(
        "minor",
        &with("/dev/drbd0 minor 0", "minor 5"),
        SHOWN,
        &[
            "drbdsetup detach 0",
            "drbdsetup del-minor 0",
            "drbdsetup new-minor r0 5 0",
            "drbdmeta 5 v09 /dev/vdb internal repair-md",
            "drbdmeta 5 v09 /dev/vdb internal apply-al",
            "drbdsetup attach 5 /dev/vdb /dev/vdb internal",
        ],
    );
}

#[test]
fn what_was_taken_down_comes_back() {
    let shown = SHOWN
        .replace("_cstate Connected", "_cstate StandAlone")
        .replace("            disk\t\t\t\"/dev/vdb\";\n", "")
        .replace("            meta-disk\t\t\tinternal;\n", "");
    let back = [
        "drbdmeta 0 v09 /dev/vdb internal repair-md",
        "drbdmeta 0 v09 /dev/vdb internal apply-al",
        "drbdsetup attach 0 /dev/vdb /dev/vdb internal",
        "drbdsetup connect r0 1",
    ];
    expect("down", CONFIG, &shown, &back);
    // The same as an older drbdsetup prints it.
    let older = shown.replace("_cstate StandAlone", "_is_standalone");
    expect("older", CONFIG, &older, &back);
}

#[test]
fn a_peer_that_left_the_file_is_removed() {
    let shown = SHOWN.replace(
        "    connection {\n        _peer_node_id 1;",
        "    connection {\n        _peer_node_id 7;\n        _cstate Connecting;\n    }\n    connection {\n        _peer_node_id 1;",
    );
    assert_ne!(shown, SHOWN);
    expect(
        "gone",
        CONFIG,
        &shown,
        &["drbdsetup disconnect r0 7", "drbdsetup del-peer r0 7"],
    );
}

#[test]
fn parts_can_be_left_alone() {
    let config =
        with("protocol C;", "protocol C; max-buffers 4096;").replace("/dev/vdb", "/dev/vdc");
    let (calls, status) = adjust("skip", &config, SHOWN, &["--skip-net", "--skip-disk"]);
    assert_eq!((calls.as_str(), status), ("", 0));
    let (calls, _) = adjust("skip-disk", &config, SHOWN, &["--skip-disk"]);
    assert!(calls.starts_with("drbdsetup net-options"), "{calls}");
    assert_eq!(calls.lines().count(), 1);
}

#[test]
fn a_node_id_is_not_changed_under_a_running_resource() {
    let config = with("node-id 0", "node-id 3");
    assert_eq!(adjust("node-id", &config, SHOWN, &[]), (String::new(), 1));
}
