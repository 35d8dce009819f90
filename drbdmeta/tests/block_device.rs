// SPDX-License-Identifier: GPL-2.0-or-later
//! What needs a real block device: exclusive opening, and questions nobody answers.
//!
//! Uses a loop device if it can get one (root, losetup); else says so and stops.

mod image;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use image::Image;
use nix::libc;

struct Loop {
    path: PathBuf,
    image: Image,
}

impl Loop {
    fn new(bytes: u64) -> Option<Loop> {
        let image = Image::new(bytes);
        let output = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(image.path())
            .output()
            .ok()?;
        if !output.status.success() {
            eprintln!(
                "skipped: no loop device ({})",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            return None;
        }
        let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        Some(Loop { path, image })
    }

    fn run(&self, args: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_drbdmeta"))
            .args(["0", "v08"])
            .arg(&self.path)
            .args(args.split_whitespace())
            .arg("--lock-dir")
            .arg(self.image.dir())
            .arg("--var-lib-drbd")
            .arg(self.image.dir())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}

#[test]
fn nothing_is_written_without_a_yes_or_while_in_use() {
    let Some(disk) = Loop::new(8 << 20) else {
        return;
    };
    let run = disk.run("internal create-md");
    assert!(
        run.status.success(),
        "an empty device needs no question: {run:?}"
    );
    let before = disk.image.read(0, 8 << 20);

    for command in ["create-md", "wipe-md"] {
        let run = disk.run(&format!("internal {command}"));
        assert_eq!(run.status.code(), Some(1), "{command}: {run:?}");
        assert!(
            String::from_utf8_lossy(&run.stderr).contains("error: cancelled, nothing was written")
        );
    }
    let run = disk.run("internal set-gi 0000000000000006");
    assert_eq!(run.status.code(), Some(0), "{run:?}");

    let mut options = std::fs::OpenOptions::new();
    let held = options
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(&disk.path)
        .unwrap();
    for command in [
        "create-md",
        "wipe-md",
        "apply-al",
        "write-dev-uuid 1",
        "outdate",
    ] {
        for force in ["", " --force"] {
            let run = disk.run(&format!("internal {command}{force}"));
            assert_eq!(run.status.code(), Some(20), "{command}: {run:?}");
            assert!(String::from_utf8_lossy(&run.stderr).contains("the device is in use"));
        }
    }
    let run = disk.run("internal get-gi");
    assert!(
        run.status.success() && String::from_utf8_lossy(&run.stderr).contains("might be stale"),
        "{run:?}"
    );
    assert!(disk.image.read(0, 8 << 20) == before);
    drop(held);

    let run = disk.run("internal wipe-md --force");
    assert!(run.status.success(), "{run:?}");
    assert!(disk
        .image
        .read((8 << 20) - 4096, 4096)
        .iter()
        .all(|byte| *byte == 0));
}

#[test]
fn a_real_file_system_is_recognised() {
    let Some(disk) = Loop::new(64 << 20) else {
        return;
    };
    let Ok(made) = Command::new("mkfs.ext4").arg("-q").arg(&disk.path).status() else {
        eprintln!("skipped: no mkfs.ext4");
        return;
    };
    assert!(made.success());
    let before = disk.image.read(0, 64 << 20);
    let run = disk.run("internal create-md --force");
    assert_eq!(run.status.code(), Some(40), "{run:?}");
    assert!(
        String::from_utf8_lossy(&run.stderr).contains("found ext3/ext4 file system"),
        "{run:?}"
    );
    assert!(disk.image.read(0, 64 << 20) == before);
}

#[test]
fn metadata_with_another_device_uuid_is_not_moved() {
    let Some(disk) = Loop::new(8 << 20) else {
        return;
    };
    assert!(disk.run("internal create-md").status.success());
    assert!(disk.run("internal write-dev-uuid 1").status.success());
    let lkbd = disk.image.dir().join("drbd-minor-0.lkbd");
    let known = std::fs::read_to_string(&lkbd).unwrap();
    std::fs::write(&lkbd, known.replace("0000000000000001", "0000000000000002")).unwrap();
    disk.image.resize(16 << 20);
    assert!(Command::new("losetup")
        .arg("-c")
        .arg(&disk.path)
        .status()
        .unwrap()
        .success());
    let before = disk.image.read(0, 16 << 20);
    let run = disk.run("internal check-resize");
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(
        String::from_utf8_lossy(&run.stderr).contains("another device UUID"),
        "{run:?}"
    );
    assert!(disk.image.read(0, 16 << 20) == before);
    std::fs::write(&lkbd, known).unwrap();
    assert!(disk.run("internal check-resize").status.success());
    let run = disk.run("internal read-dev-uuid");
    assert_eq!(String::from_utf8_lossy(&run.stdout), "0000000000000001\n");
}
