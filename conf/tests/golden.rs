// SPDX-License-Identifier: GPL-2.0-or-later
//! Replays recorded configurations: the same verdict and the same dump as the
//! reference, exceptions listed by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drbd_conf::{print, resolve, LocalHost, Resolved};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Sample to reason.
fn exceptions() -> BTreeMap<String, String> {
    include_str!("golden-exceptions.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (sample, reason) = line.split_once('\t').expect("a reason for each exception");
            assert!(reason.len() > 20, "{sample}: say why");
            (sample.to_owned(), reason.to_owned())
        })
        .collect()
}

fn samples(directory: &str) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = std::fs::read_dir(golden().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    list.sort();
    assert!(list.len() > 10, "the samples are there");
    list
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The exit status of reading a file, everything told, and the result.
fn read(path: &Path) -> (i32, String, Option<Resolved>) {
    let nodename = if stem(path) == "05-floating-ipv6" {
        "fd00:0:0:1::a"
    } else {
        "alpha"
    };
    let local = LocalHost {
        nodename,
        has_address: &|_| false,
        interactive: false,
    };
    let (config, found) = drbd_conf::load(&path.to_string_lossy()).unwrap();
    let told = found.render(&config.sources);
    if let Some(status) = found.exit_code() {
        return (status, told, None);
    }
    let (resolved, found) = resolve(config, &local);
    let told = told + &found.render(&resolved.config.sources);
    match found.exit_code() {
        Some(status) => (status, told, None),
        None if resolved.full.is_empty() => (1, told, Some(resolved)),
        None if !resolved.full.iter().any(|r| r.is_local()) => (1, told, Some(resolved)),
        None => (0, told, Some(resolved)),
    }
}

fn recorded(sample: &str, kind: &str) -> String {
    let path = golden().join(format!("{sample}.{kind}"));
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn accepted_configurations_dump_as_recorded() {
    for path in samples("in") {
        let name = stem(&path);
        let (status, told, resolved) = read(&path);
        let resolved = resolved.unwrap_or_else(|| panic!("{name}: {told}"));
        assert_eq!(status, 0, "{name}: {told}");
        let directory = path.parent().unwrap().to_string_lossy().into_owned();
        for (kind, text) in [
            ("dump", print::dump_all(&resolved, false)),
            ("dump-v", print::dump_all(&resolved, true)),
            ("dump-xml", print::dump_xml(&resolved)),
        ] {
            let expected = recorded(&format!("out/v9-9.34/{name}.{kind}"), "out");
            assert!(!expected.is_empty(), "{name}.{kind} is recorded");
            assert_eq!(text.replace(&directory, "@DIR@"), expected, "{name}.{kind}");
        }
    }
}

#[test]
fn rejected_configurations_have_the_recorded_verdict() {
    let exceptions = exceptions();
    for path in samples("bad") {
        let name = stem(&path);
        let expected: i32 = recorded(&format!("outbad/v9-9.34/{name}"), "rc")
            .trim()
            .parse()
            .unwrap();
        let (status, told, _) = read(&path);
        if exceptions.contains_key(&format!("outbad/{name}")) {
            assert_ne!(status, expected, "{name} is no exception any more");
        } else {
            assert_eq!(status, expected, "{name}: {told}");
        }
        if status >= 10 {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert_places(&told, lines);
        }
    }
}

/// Every message has a file, a line that exists and a column.
fn assert_places(told: &str, lines: usize) {
    let heads: Vec<&str> = told
        .lines()
        .filter(|line| line.contains(": error: "))
        .collect();
    assert!(!heads.is_empty(), "{told}");
    for head in heads {
        let place = head.split(": error: ").next().unwrap();
        let mut parts = place.rsplit(':');
        let column: usize = parts.next().unwrap().parse().unwrap();
        let line: usize = parts.next().unwrap().parse().unwrap();
        assert!(column >= 1 && (1..=lines + 1).contains(&line), "{head}");
    }
}

#[test]
fn the_more_specific_of_two_values_wins() {
    let (status, _, resolved) = read(&golden().join("bad/ambiguous-inherit.conf"));
    assert_eq!(status, 0);
    let resolved = resolved.unwrap();
    let options = &resolved.full[0].connections[0].peer_devices[0].options;
    let rate = options
        .iter()
        .find(|opt| opt.name == "resync-rate")
        .unwrap();
    assert_eq!(rate.value, "2M");
}

#[test]
fn a_node_id_beyond_31_is_refused() {
    let (status, told, _) = read(&golden().join("bad/node-id-range.conf"));
    assert_eq!(status, 10);
    assert!(
        told.contains(":4:21: error: node-id 32 is out of range"),
        "{told}"
    );
}

#[test]
fn a_dump_reads_back_as_itself() {
    for path in samples("in") {
        let name = stem(&path);
        // The reference prints a stacked section without its volumes.
        if name == "06-stacked" {
            continue;
        }
        let (_, _, resolved) = read(&path);
        let first = print::dump_all(&resolved.unwrap(), false);
        let file = std::env::temp_dir().join(format!("{name}-{}.conf", std::process::id()));
        std::fs::write(&file, &first).unwrap();
        let (status, told, again) = read(&file);
        std::fs::remove_file(&file).unwrap();
        let Some(again) = again else {
            panic!("{name}: {status} {told}\n{first}");
        };
        let strip = |text: &str| -> String {
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect()
        };
        // `05` has its node name by file name.
        if name != "05-floating-ipv6" {
            assert_eq!(status, 0, "{name}: {told}");
        }
        assert_eq!(
            strip(&print::dump_all(&again, false)),
            strip(&first),
            "{name}"
        );
    }
}
