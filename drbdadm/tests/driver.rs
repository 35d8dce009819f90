// SPDX-License-Identifier: GPL-2.0-or-later
//! What the driver in place changes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use drbd_core::meta::{AlGeometry, Format, Layout, Placement, Superblock};

const CONFIG: &str = "\
global { disable-ip-verification; }
resource r0 {
  device minor 1; disk /nonexistent/a; meta-disk internal;
  on alpha { address 10.1.1.31:7789; } on bravo { address 10.1.1.32:7789; }
}
";

fn scratch(case: &str, config: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("driver-{}-{case}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("drbd.conf"), config).unwrap();
    directory
}

fn drbdadm(directory: &Path, version: &str, args: &[&str]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_drbdadm")).parent().unwrap();
    Command::new("drbdadm")
        .arg("-c")
        .arg(directory.join("drbd.conf"))
        .args(args)
        .env(
            "PATH",
            format!("{}:{}:/usr/bin:/bin", directory.display(), binary.display()),
        )
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn new_metadata_is_of_the_kind_the_driver_can_attach() {
    let directory = scratch("format", CONFIG);
    for (version, args, expected) in [
        (
            "9.90.0",
            &["-d", "create-md", "r0"][..],
            "v09 /nonexistent/a internal create-md 1",
        ),
        (
            "8.4.11",
            &["-d", "create-md", "r0"],
            "v08 /nonexistent/a internal create-md",
        ),
        (
            "8.4.11",
            &["-d", "create-md", "--format=v09", "r0"],
            "v09 /nonexistent/a internal create-md 1",
        ),
        (
            "9.90.0",
            &["-d", "create-md", "--format=v08", "r0"],
            "v08 /nonexistent/a internal create-md",
        ),
    ] {
        let output = drbdadm(&directory, version, args);
        assert_eq!(
            stdout(&output),
            format!("drbdmeta 1 {expected}\n"),
            "{version} {args:?}"
        );
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_format_on_the_disk_is_used_as_found() {
    for (name, format, peers) in [("v08", Format::V08, 1), ("v09", Format::V09, 3)] {
        let directory = scratch(&format!("found-{name}"), "");
        let image = directory.join("image");
        let mut bytes = vec![0; 1 << 20];
        let sectors = u64::try_from(bytes.len()).unwrap() / 512;
        let layout = Layout::new(
            Placement::Internal,
            sectors,
            sectors,
            AlGeometry::DEFAULT,
            peers,
        )
        .unwrap();
        let mut block = [0; 4096];
        Superblock::create(format, &layout).encode(&mut block);
        let end = bytes.len();
        bytes[end - 4096..].copy_from_slice(&block);
        std::fs::write(&image, bytes).unwrap();
        let config = CONFIG.replace("/nonexistent/a", &image.to_string_lossy());
        std::fs::write(directory.join("drbd.conf"), config).unwrap();
        let output = drbdadm(&directory, "9.90.0", &["-d", "apply-al", "r0"]);
        let expected = format!("drbdmeta 1 {name} {} internal apply-al\n", image.display());
        assert_eq!(stdout(&output), expected);
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_driver_of_the_old_generation_gets_its_own_calls() {
    let directory = scratch("old", CONFIG);
    let program = |name: &str, script: &str| {
        let path = directory.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    // Without a drbdsetup-84 the other one is told which driver it is for.
    program(
        "drbdsetup",
        "#!/bin/sh\necho \"$DRBD_DRIVER_VERSION_OVERRIDE $*\"\n",
    );
    let output = drbdadm(&directory, "8.4.11", &["down", "r0"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "8.4.11 down r0\n");
    let output = drbdadm(
        &directory,
        "8.4.11",
        &["-s", "/nonexistent/x", "down", "r0"],
    );
    assert_eq!(output.status.code(), Some(20));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot start /nonexistent/x"), "{text}");
    assert!(text.contains("name it: drbdadm -s PATH"), "{text}");
    program("drbdsetup-84", "#!/bin/sh\necho \"old $*\"\nexit 11\n");
    let output = drbdadm(&directory, "8.4.11", &["primary", "--force", "r0"]);
    assert_eq!(output.status.code(), Some(11));
    assert_eq!(stdout(&output), "old primary 1 --force\n");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_name_that_ends_in_84_is_that_generation() {
    let directory = scratch("name", CONFIG);
    let link = directory.join("drbdadm-84");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_drbdadm"), &link).unwrap();
    let output = Command::new(&link)
        .arg("-c")
        .arg(directory.join("drbd.conf"))
        .args(["-d", "connect", "r0"])
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.90.0")
        .output()
        .unwrap();
    assert_eq!(
        stdout(&output),
        "drbdsetup-84 connect r0 ipv4:10.1.1.31:7789 ipv4:10.1.1.32:7789\n"
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn sh_b_pri_follows_become_primary_on() {
    for (names, expected) in [
        ("both", "drbdsetup-84 primary 1\n"),
        ("alpha", "drbdsetup-84 primary 1\n"),
        ("bravo", ""),
    ] {
        let startup = format!("resource r0 {{ startup {{ become-primary-on {names}; }}");
        let directory = scratch(
            &format!("bpri-{names}"),
            &CONFIG.replace("resource r0 {", &startup),
        );
        let output = drbdadm(&directory, "8.4.11", &["-d", "sh-b-pri", "r0"]);
        assert_eq!(stdout(&output), expected, "{names}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn demands_on_the_driver_are_kept() {
    let config = format!("require-drbd-module-version-ge 9.1.0;\n{CONFIG}");
    let directory = scratch("demand", &config);
    let met = drbdadm(&directory, "9.90.0", &["sh-nop"]);
    assert_eq!(met.status.code(), Some(0));
    let unmet = drbdadm(&directory, "9.0.9", &["sh-nop"]);
    assert_eq!(unmet.status.code(), Some(10));
    let text = String::from_utf8(unmet.stderr).unwrap();
    assert!(
        text.contains("drbd.conf:1:1: error: the driver is 9.0.9"),
        "{text}"
    );
    std::fs::remove_dir_all(directory).unwrap();
}
