// SPDX-License-Identifier: GPL-2.0-or-later
//! Replays recorded configurations: the same verdict and the same dump as the
//! reference, exceptions listed by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drbd_conf::{print, resolve, Dialect, LocalHost, Resolved};

/// The recordings, and the language they were made with.
const TAGS: [(&str, Dialect); 2] = [("v9-9.34", Dialect::V9), ("v84-deb9.22", Dialect::V84)];

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
    read_as(path, Dialect::V9)
}

fn read_as(path: &Path, dialect: Dialect) -> (i32, String, Option<Resolved>) {
    let nodename = if stem(path) == "05-floating-ipv6" {
        "fd00:0:0:1::a"
    } else {
        "alpha"
    };
    let local = LocalHost {
        nodename,
        has_address: &|_| false,
        interactive: false,
        peer: None,
    };
    let (config, found) = drbd_conf::load_as(&path.to_string_lossy(), dialect).unwrap();
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

/// What we do where we differ.
fn instead(sample: &str, kind: &str) -> String {
    let path = golden().join(format!("../golden-instead/{sample}.{kind}"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn accepted_configurations_dump_as_recorded() {
    let exceptions = exceptions();
    let mut compared = 0;
    for (tag, dialect) in TAGS {
        for path in samples("in") {
            let name = stem(&path);
            let (status, told, resolved) = read_as(&path, dialect);
            let verdict = recorded(&format!("out/{tag}/{name}.dump"), "rc");
            assert_eq!(status.to_string(), verdict.trim(), "{tag} {name}: {told}");
            let Some(resolved) = resolved else {
                assert_places(&told, usize::MAX - 1);
                continue;
            };
            let directory = path.parent().unwrap().to_string_lossy().into_owned();
            for (kind, text) in [
                ("dump", print::dump_all(&resolved, false)),
                ("dump-v", print::dump_all(&resolved, true)),
                ("dump-xml", print::dump_xml(&resolved)),
            ] {
                let sample = format!("out/{tag}/{name}.{kind}");
                let expected = recorded(&sample, "out");
                assert!(!expected.is_empty(), "{sample} is recorded");
                let text = text.replace(&directory, "@DIR@");
                if exceptions.contains_key(&sample) {
                    assert_ne!(text, expected, "{sample} is no exception any more");
                    assert_eq!(text, instead(&sample, "out"), "{sample}");
                } else {
                    assert_eq!(text, expected, "{sample}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn rejected_configurations_have_the_recorded_verdict() {
    let exceptions = exceptions();
    for (tag, dialect) in TAGS {
        for path in samples("bad") {
            let name = stem(&path);
            let sample = format!("outbad/{tag}/{name}");
            let expected: i32 = recorded(&sample, "rc").trim().parse().unwrap();
            let (status, told, _) = read_as(&path, dialect);
            if exceptions.contains_key(&sample) {
                assert_ne!(status, expected, "{sample} is no exception any more");
                let verdict = instead(&sample, "rc");
                assert_eq!(status.to_string(), verdict.trim(), "{sample}: {told}");
            } else {
                assert_eq!(status, expected, "{sample}: {told}");
            }
            if status >= 10 {
                let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                assert_places(&told, lines);
            }
        }
    }
}

#[test]
fn an_option_of_the_other_generation_says_when_it_came() {
    let (status, told, _) = read_as(&golden().join("in/08-mesh-quorum.conf"), Dialect::V84);
    assert_eq!(status, 10);
    for (place, text) in [
        (
            ":3:",
            "`auto-promote` came with DRBD 9.0.0, the driver here is of generation 8.4",
        ),
        (":6:", "`quorum` came with DRBD 9.0.7"),
    ] {
        let line = told.lines().find(|line| line.contains(text));
        assert!(
            line.is_some_and(|line| line.contains(place)),
            "{text}: {told}"
        );
    }
    // One run names all of them.
    assert!(
        told.contains("`connection-mesh` came with DRBD 9"),
        "{told}"
    );
    assert!(told.contains("`node-id` came with DRBD 9"), "{told}");
}

#[test]
fn options_of_a_volume_survive_a_dump_for_8_4() {
    let path = golden().join("in/02-multi-volume.conf");
    let (_, _, resolved) = read_as(&path, Dialect::V84);
    let text = print::dump_all(&resolved.unwrap(), false);
    assert_eq!(text.matches("c-max-rate 300M;").count(), 2, "{text}");
    let (config, found) = drbd_conf::load_text_as("dump", text.clone(), Dialect::V84);
    assert!(
        found.exit_code().is_none(),
        "{}",
        found.render(&config.sources)
    );
    let local = LocalHost {
        nodename: "alpha",
        has_address: &|_| false,
        interactive: false,
        peer: None,
    };
    let (again, _) = resolve(config, &local);
    let volume = &again.full[0].hosts[0].volumes[1];
    let value = |name: &str| {
        let opt = volume.options.disk.iter().find(|opt| opt.name == name);
        opt.map(|opt| opt.value.as_str())
    };
    assert_eq!(value("c-max-rate"), Some("300M"));
    assert_eq!(value("al-extents"), Some("3389"));
}

#[test]
fn a_third_host_needs_a_choice_of_the_peer() {
    let path = golden().join("bad/three-on.conf");
    let (status, told, _) = read_as(&path, Dialect::V84);
    assert_eq!(status, 10);
    assert!(told.contains("`--peer NAME`: bravo, charlie"), "{told}");
    for (peer, address) in [("bravo", "10.1.1.32"), ("charlie", "10.1.1.33")] {
        let (config, _) = drbd_conf::load_as(&path.to_string_lossy(), Dialect::V84).unwrap();
        let local = LocalHost {
            nodename: "alpha",
            has_address: &|_| false,
            interactive: false,
            peer: Some(peer),
        };
        let (resolved, found) = resolve(config, &local);
        assert!(found.exit_code().is_none(), "{peer}");
        let ends = &resolved.full[0].connections[0].paths[0].hosts;
        assert_eq!(ends[1].address.as_ref().unwrap().host, address);
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
