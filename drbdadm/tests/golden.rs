// SPDX-License-Identifier: GPL-2.0-or-later
//! Replays recorded dry runs: the same calls in the same order as the
//! reference, exceptions listed by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
fn drbdadm(config: &Path, node: &str, args: &[&str]) -> Output {
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
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.1.0")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output with the directory taken out, and the status.
fn result(config: &Path, node: &str, args: &[&str]) -> (String, i32) {
    let output = drbdadm(config, node, args);
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
    let mut replayed = 0;
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
            if let Some(expected) = recorded(&format!("out/v9-9.34/{name}.{kind}")) {
                assert_eq!(result(&config, node, args), expected, "{name}.{kind}");
                replayed += 1;
            }
        }
    }
    assert!(replayed >= 14, "{replayed}");
}

#[test]
fn bad_configurations_end_as_recorded() {
    let exceptions = exceptions();
    for config in configs("bad") {
        let sample = format!("outbad/{}", stem(&config));
        let expected = recorded(&format!("outbad/v9-9.34/{}", stem(&config))).unwrap();
        let found = result(&config, "alpha", &["-d", "up", "all"]);
        if exceptions.contains(&sample) {
            assert_ne!(found, expected, "{sample} is no exception any more");
        } else {
            assert_eq!(found, expected, "{sample}");
        }
    }
}

#[test]
fn every_command_makes_the_recorded_calls() {
    let exceptions = exceptions();
    let mut replayed = 0;
    for entry in std::fs::read_dir(golden().join("cmds/v9-9.34")).unwrap() {
        let path = entry.unwrap().path();
        let name = stem(&path);
        let (config, _) = name.split_once("--").unwrap();
        let config = golden()
            .join(format!("in/{config}.conf"))
            .canonicalize()
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for block in text.split("$ drbdadm ").skip(1) {
            let (line, rest) = block.split_once('\n').unwrap();
            let expected: String = rest
                .lines()
                .filter(|line| !line.starts_with("!!"))
                .map(|line| format!("{line}\n"))
                .collect();
            let args: Vec<&str> = line.split(' ').collect();
            let (out, status) = result(&config, "alpha", &args);
            let found = format!("{out}rc={status}\n");
            if exceptions.contains(&format!("cmds/{}", args[1])) {
                if status == 0 {
                    assert_ne!(found, expected, "{line} is no exception any more");
                }
            } else {
                assert_eq!(found, expected, "{name}: {line}");
            }
            replayed += 1;
        }
    }
    assert!(replayed > 350, "{replayed}");
}

#[test]
fn outdate_names_the_minor() {
    let config = golden().join("in/01-two-node.conf").canonicalize().unwrap();
    let (out, status) = result(&config, "alpha", &["-d", "outdate", "r0"]);
    assert_eq!(
        out,
        "drbdsetup outdate 1\ndrbdmeta 1 v09 /dev/vg0/r0 internal outdate\n"
    );
    assert_eq!(status, 0);
}

#[test]
fn a_missing_configuration_says_what_to_type() {
    let output = drbdadm(Path::new("/nonexistent/drbd.conf"), "alpha", &["status"]);
    assert_eq!(output.status.code(), Some(10));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/nonexistent/drbd.conf"), "{text}");
    assert!(text.contains("ls -l"), "{text}");
}
