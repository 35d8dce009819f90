// SPDX-License-Identifier: GPL-2.0-or-later
//! Replays recorded dry runs: the same calls in the same order as the
//! reference, exceptions listed by name.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The recordings, and the driver they were made for.
const TAGS: [(&str, &str); 2] = [("v9-9.34", "9.1.0"), ("v84-deb9.22", "8.4.11")];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/tests/golden")
}

fn exceptions() -> Vec<String> {
    include_str!("../../conf/tests/golden-exceptions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split('\t').next()?.to_owned()))
        .collect()
}

/// Runs drbdadm by its bare name, as the recordings were made.
fn drbdadm(driver: &str, config: &Path, node: &str, args: &[&str]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
    let path = std::env::var("PATH").unwrap();
    Command::new("drbdadm")
        .arg("-c")
        .arg(config)
        .args(args)
        .env(
            "PATH",
            format!("{}:{path}", binary.parent().unwrap().display()),
        )
        .env("__DRBD_NODE__", node)
        .env("DRBD_DRIVER_VERSION_OVERRIDE", driver)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output with the directory taken out, and the status.
fn result(driver: &str, config: &Path, node: &str, args: &[&str]) -> (String, i32) {
    let output = drbdadm(driver, config, node, args);
    let directory = config.parent().unwrap().display().to_string();
    let text = String::from_utf8(output.stdout).unwrap();
    (
        text.replace(&directory, "@DIR@"),
        output.status.code().unwrap(),
    )
}

fn configs(directory: &str) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = std::fs::read_dir(golden().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path().canonicalize().unwrap())
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    list.sort();
    list
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn recorded(sample: &str) -> Option<(String, i32)> {
    let read = |kind: &str| std::fs::read_to_string(golden().join(format!("{sample}.{kind}")));
    let status = read("rc").ok()?.trim().parse().ok()?;
    Some((read("out").unwrap_or_default(), status))
}

#[test]
fn up_makes_the_recorded_calls() {
    let exceptions = exceptions();
    let mut replayed = 0;
    for (tag, driver) in TAGS {
        for config in configs("in") {
            let name = stem(&config);
            let node = if name == "05-floating-ipv6" {
                "fd00:0:0:1::a"
            } else {
                "alpha"
            };
            for (kind, args) in [
                ("up", &["-d", "up", "all"][..]),
                ("up-S", &["-S", "-d", "up", "all"][..]),
            ] {
                let sample = format!("out/{tag}/{name}.{kind}");
                let Some(expected) = recorded(&sample) else {
                    continue;
                };
                let found = result(driver, &config, node, args);
                if exceptions.contains(&sample) {
                    assert_ne!(found, expected, "{sample} is no exception any more");
                } else {
                    assert_eq!(found, expected, "{sample}");
                }
                replayed += 1;
            }
        }
    }
    assert!(replayed >= 28, "{replayed}");
}

#[test]
fn bad_configurations_end_as_recorded() {
    let exceptions = exceptions();
    for (tag, driver) in TAGS {
        for config in configs("bad") {
            let sample = format!("outbad/{tag}/{}", stem(&config));
            let expected = recorded(&sample).unwrap();
            let found = result(driver, &config, "alpha", &["-d", "up", "all"]);
            if exceptions.contains(&sample) {
                assert_ne!(found, expected, "{sample} is no exception any more");
            } else {
                assert_eq!(found, expected, "{sample}");
            }
        }
    }
}

#[test]
fn every_command_makes_the_recorded_calls() {
    for (tag, driver) in TAGS {
        let mut replayed = 0;
        for entry in std::fs::read_dir(golden().join("cmds").join(tag)).unwrap() {
            replayed += replay(tag, driver, &entry.unwrap().path());
        }
        assert!(replayed > 350, "{tag}: {replayed}");
    }
}

/// Replays the commands of one file; the number of them.
fn replay(tag: &str, driver: &str, path: &Path) -> usize {
    let exceptions = exceptions();
    let name = stem(path);
    let (config, _) = name.split_once("--").unwrap();
    let config = golden()
        .join(format!("in/{config}.conf"))
        .canonicalize()
        .unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut replayed = 0;
    for block in text.split("$ drbdadm ").skip(1) {
        let (line, rest) = block.split_once('\n').unwrap();
        let expected: String = rest
            .lines()
            .filter(|line| !line.starts_with("!!"))
            .map(|line| format!("{line}\n"))
            .collect();
        let args: Vec<&str> = line.split(' ').collect();
        let (out, status) = result(driver, &config, "alpha", &args);
        let found = format!("{out}rc={status}\n");
        if exceptions.contains(&format!("cmds/{tag}/{}", args[1])) {
            if status == 0 {
                assert_ne!(found, expected, "{line} is no exception any more");
            }
        } else {
            assert_eq!(found, expected, "{tag} {name}: {line}");
        }
        replayed += 1;
    }
    replayed
}

/// The 8.4 `adjust` of `01-two-node.conf` with what a kernel shows.
fn adjust_84(shown: &Path) -> (String, i32) {
    let directory = tempfile::tempdir().unwrap();
    let fake = directory.path().join("drbdsetup-84");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = \"show r0\" ] && cat {}\n",
        shown.display()
    );
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_drbdadm")).parent().unwrap();
    let output = Command::new("drbdadm")
        .arg("-c")
        .arg(golden().join("in/01-two-node.conf"))
        .args(["-d", "adjust", "r0"])
        .env(
            "PATH",
            format!(
                "{}:{}:/usr/bin:/bin",
                directory.path().display(),
                binary.display()
            ),
        )
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn adjust_for_8_4_changes_what_was_recorded() {
    let mut replayed = 0;
    for entry in std::fs::read_dir(golden().join("adjust-v84")).unwrap() {
        let shown = entry.unwrap().path();
        if shown.extension().is_none_or(|kind| kind != "show") {
            continue;
        }
        let sample = format!("adjust-v84/{}", stem(&shown));
        let expected = recorded(&sample).unwrap();
        let found = adjust_84(&shown);
        if sample.ends_with("16-resource-only") {
            // The reference crashes on it.
            assert_eq!(expected.1, 139);
            assert_eq!(
                found,
                (
                    "drbdsetup-84 new-minor r0 1 0\n\
                     drbdmeta 1 v08 /dev/vg0/r0 internal apply-al\n\
                     drbdsetup-84 attach 1 /dev/vg0/r0 /dev/vg0/r0 internal\n\
                     drbdsetup-84 connect r0 ipv4:10.1.1.31:7789 ipv4:10.1.1.32:7789 \
                     --protocol=C --cram-hmac-alg=sha1 --shared-secret=MySecret\\,1\n"
                        .to_owned(),
                    0
                )
            );
        } else {
            assert_eq!(found, expected, "{sample}");
        }
        replayed += 1;
    }
    assert_eq!(replayed, 16);
}

#[test]
fn outdate_names_the_minor() {
    let config = golden().join("in/01-two-node.conf").canonicalize().unwrap();
    let (out, status) = result("9.1.0", &config, "alpha", &["-d", "outdate", "r0"]);
    assert_eq!(
        out,
        "drbdsetup outdate 1\ndrbdmeta 1 v09 /dev/vg0/r0 internal outdate\n"
    );
    assert_eq!(status, 0);
}

#[test]
fn a_missing_configuration_says_what_to_type() {
    let output = drbdadm(
        "9.1.0",
        Path::new("/nonexistent/drbd.conf"),
        "alpha",
        &["status"],
    );
    assert_eq!(output.status.code(), Some(10));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/nonexistent/drbd.conf"), "{text}");
    assert!(text.contains("ls -l"), "{text}");
}
