// SPDX-License-Identifier: GPL-2.0-or-later
//! Every input that once broke a rule, and every seed, is taken or refused; a planted fault is found, kept and replayed.

use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use drbd_fuzz::targets::{find, ALL};
use drbd_fuzz::worker::try_one;
use drbd_fuzz::{Trace, TIME_MAX};

#[test]
fn what_once_failed_stays_mended() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for target in ALL {
        let kept = std::fs::read_dir(root.join(target.name))
            .into_iter()
            .flatten();
        let kept = kept.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        for input in (target.seeds)().into_iter().chain(kept) {
            let started = Instant::now();
            try_one(&target, &input).unwrap_or_else(|fault| panic!("{}: {}", target.name, fault.0));
            assert!(started.elapsed() < TIME_MAX, "{} takes long", target.name);
        }
    }
}

/// Whether one of the seeds makes the target note this.
fn seeds_show(name: &str, fact: impl Hash) -> bool {
    let mut wanted = Trace::default();
    wanted.note(fact);
    let target = find(name).unwrap();
    (target.seeds)().iter().any(|seed| {
        let trace = try_one(&target, seed).unwrap();
        trace.facts().contains(&wanted.facts()[0])
    })
}

#[test]
fn the_seeds_get_far() {
    // A target that refuses all of its seeds early would try nothing.
    assert!(seeds_show("superblock", "attached"));
    assert!(seeds_show("activity-log", 1_i32), "a log in use");
    assert!(seeds_show("wire", "a whole bitmap"));
    assert!(seeds_show("netlink", "applied"));
    assert!(seeds_show("netlink-v1", "applied"));
    assert!(seeds_show("config", (1_usize, 1_usize)), "a resource");
    assert!(seeds_show("show", true));
    assert!(!seeds_show("show", "attached"));
}

#[test]
fn each_directory_of_regressions_has_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(ALL.iter().any(|target| target.name == name), "{name}");
        }
    }
}

/// A directory of its own, empty.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn fuzz(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drbd-fuzz"))
        .arg("--directory")
        .arg(directory)
        .args(arguments)
        .output()
        .unwrap()
}

/// Finds a planted fault, checks what is told, and replays the input that is named.
fn finds(target: &str, told: &str) {
    let directory = directory(target);
    let output = fuzz(
        &directory,
        &["--target", target, "--runs", "20000", "--seed", "1"],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(told), "{text}");
    let input = text
        .split_once("--replay ")
        .and_then(|(_, rest)| rest.lines().next())
        .unwrap_or_else(|| panic!("no command that replays it: {text}"));
    assert!(std::fs::read(input).unwrap().contains(&b'!'));
    let again = fuzz(&directory, &["--replay", input]);
    assert!(!again.status.success());
}

#[test]
fn finds_a_panic_and_makes_its_input_short() {
    finds("planted-panic", "the planted panic");
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-planted-panic/failures");
    let kept = std::fs::read_dir(failures.join("planted-panic")).unwrap();
    let inputs: Vec<_> = kept
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(inputs, [b"!"]);
}

#[test]
fn finds_what_takes_too_much_memory() {
    finds("planted-memory", "KiB of memory");
}

#[test]
fn finds_what_has_no_end() {
    finds("planted-hang", "no end after");
}

#[test]
fn finds_what_kills_the_process() {
    finds("planted-overflow", "overflowed its stack");
}

#[test]
fn a_target_without_fault_passes() {
    let directory = directory("clean");
    let output = fuzz(&directory, &["--target", "show", "--runs", "300"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("300 inputs"), "{text}");
}

#[test]
fn an_unknown_target_is_told() {
    let output = fuzz(&directory("unknown"), &["--target", "nosuch"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        text.contains("no target nosuch") && text.contains("--list"),
        "{text}"
    );
}
