// SPDX-License-Identifier: GPL-2.0-or-later
//! Replays everything the reference was recorded doing: the same verdict, the
//! same dump, the same calls in the same order. Where we differ on purpose,
//! `golden-exceptions.txt` says why and `golden-instead/` what comes instead.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The recordings, and the driver they were made for.
const TAGS: [(&str, &str); 2] = [("v9-9.34", "9.1.0"), ("v84-deb9.22", "8.4.11")];

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/tests")
}

fn golden() -> PathBuf {
    recordings().join("golden")
}

fn exceptions() -> BTreeSet<String> {
    include_str!("../../conf/tests/golden-exceptions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split('\t').next()?.to_owned()))
        .collect()
}

/// What a run wrote, and its exit status.
#[derive(Debug)]
struct Told {
    out: String,
    err: String,
    status: i32,
}

/// Runs drbdadm by its bare name, as the recordings were made.
fn drbdadm(driver: &str, config: &Path, node: &str, args: &[&str], first: &str) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
    let path = std::env::var("PATH").unwrap();
    Command::new("drbdadm")
        .arg("-c")
        .arg(config)
        .args(args)
        .env(
            "PATH",
            format!("{first}{}:{path}", binary.parent().unwrap().display()),
        )
        .env("__DRBD_NODE__", node)
        .env("DRBD_DRIVER_VERSION_OVERRIDE", driver)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a run tells, with the directory taken out.
fn told(driver: &str, config: &Path, args: &[&str]) -> Told {
    let node = if stem(config) == "05-floating-ipv6" {
        "fd00:0:0:1::a"
    } else {
        "alpha"
    };
    let output = drbdadm(driver, config, node, args, "");
    let directory = config.parent().unwrap().display().to_string();
    let text = |bytes| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(&directory, "@DIR@")
    };
    Told {
        out: text(output.stdout),
        err: text(output.stderr),
        status: output.status.code().unwrap(),
    }
}

/// Checks what was told: as recorded, or as `golden-instead/` says where the
/// sample is an exception.
fn check(exception: bool, sample: &str, recorded: &(String, i32), found: &Told) {
    let answer = (found.out.clone(), found.status);
    if !exception {
        assert_eq!(&answer, recorded, "{sample}: {}", found.err);
        return;
    }
    assert_ne!(&answer, recorded, "{sample} is no exception any more");
    let instead = recordings().join("golden-instead");
    let file = |kind: &str| std::fs::read_to_string(instead.join(format!("{sample}.{kind}")));
    let status: i32 = file("rc")
        .unwrap_or_else(|error| panic!("golden-instead/{sample}.rc: {error}"))
        .trim()
        .parse()
        .unwrap();
    let out = file("out").unwrap_or_default();
    assert_eq!(answer, (out, status), "golden-instead/{sample}");
    // An error has to say it; a line of the file is a piece of what it says.
    let says = file("says").unwrap_or_default();
    assert_eq!(
        status >= 10,
        !says.is_empty(),
        "golden-instead/{sample}.says"
    );
    for piece in says.lines() {
        assert!(
            found.err.contains(piece),
            "{sample}: {piece}: {}",
            found.err
        );
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Files of a folder with an ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = std::fs::read_dir(golden().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path().canonicalize().unwrap())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    list.sort();
    list
}

/// Standard output and exit status of a recording.
fn recorded(sample: &str) -> (String, i32) {
    let read = |kind: &str| std::fs::read_to_string(golden().join(format!("{sample}.{kind}")));
    let status = read("rc").unwrap().trim().parse().unwrap();
    (read("out").unwrap_or_default(), status)
}

/// Samples of a folder: the names of its exit statuses. No output is without one.
fn samples(folder: &str) -> BTreeSet<String> {
    let stems = |ending: &str| -> BTreeSet<String> {
        let named = |path: &PathBuf| stem(path);
        files(folder, ending).iter().map(named).collect()
    };
    let all = stems("rc");
    for ending in ["out", "err"] {
        assert!(stems(ending).is_subset(&all), "{folder}: {ending}");
    }
    all
}

#[test]
fn accepted_configurations_are_dumped_and_brought_up_as_recorded() {
    let exceptions = exceptions();
    for (tag, driver) in TAGS {
        let mut left = samples(&format!("out/{tag}"));
        for config in files("in", "conf") {
            for (kind, args) in [
                ("up", &["-d", "up", "all"][..]),
                ("up-S", &["-S", "-d", "up", "all"][..]),
                ("dump", &["dump"][..]),
                ("dump-v", &["-v", "dump"][..]),
                ("dump-xml", &["dump-xml"][..]),
            ] {
                let name = format!("{}.{kind}", stem(&config));
                if !left.remove(&name) {
                    // Only what is stacked has been recorded both ways.
                    assert_eq!(kind, "up-S", "{tag} {name} is recorded");
                    continue;
                }
                let sample = format!("out/{tag}/{name}");
                let found = told(driver, &config, args);
                let exception = exceptions.contains(&sample);
                check(exception, &sample, &recorded(&sample), &found);
            }
        }
        assert!(left.is_empty(), "{tag}: not replayed: {left:?}");
    }
}

#[test]
fn bad_configurations_end_as_recorded() {
    let exceptions = exceptions();
    for (tag, driver) in TAGS {
        let mut left = samples(&format!("outbad/{tag}"));
        for config in files("bad", "conf") {
            let name = stem(&config);
            assert!(left.remove(&name), "{tag} {name} is recorded");
            let sample = format!("outbad/{tag}/{name}");
            let found = told(driver, &config, &["-d", "up", "all"]);
            let exception = exceptions.contains(&sample);
            check(exception, &sample, &recorded(&sample), &found);
        }
        assert!(left.is_empty(), "{tag}: not replayed: {left:?}");
    }
}

#[test]
fn every_command_makes_the_recorded_calls() {
    let list = std::fs::read_to_string(golden().join("cmds/cmdlist")).unwrap();
    let commands = list.lines().count();
    for (tag, driver) in TAGS {
        for file in files(&format!("cmds/{tag}"), "txt") {
            assert_eq!(replay(tag, driver, &file), commands, "{tag} {file:?}");
        }
    }
}

/// Replays the commands of one file; the number of them.
fn replay(tag: &str, driver: &str, path: &Path) -> usize {
    let exceptions = exceptions();
    let name = stem(path);
    let (config, _) = name.split_once("--").unwrap();
    let config = golden().join(format!("in/{config}.conf"));
    let config = config.canonicalize().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut replayed = 0;
    for block in text.split("$ drbdadm ").skip(1) {
        let (line, rest) = block.split_once('\n').unwrap();
        let (calls, status) = rest.rsplit_once("rc=").unwrap();
        let calls = calls
            .lines()
            .filter(|line| !line.starts_with("!!"))
            .map(|line| format!("{line}\n"))
            .collect();
        let expected = (calls, status.trim().parse().unwrap());
        let args: Vec<&str> = line.split(' ').collect();
        let found = told(driver, &config, &args);
        let exception = exceptions.contains(&format!("cmds/{tag}/{}", args[1]));
        let sample = format!("cmds/{tag}/{name}.{}", args[1]);
        check(exception, &sample, &expected, &found);
        replayed += 1;
    }
    replayed
}

/// The 8.4 `adjust` of `01-two-node.conf` with what a kernel shows.
fn adjust_84(shown: &Path) -> Told {
    let directory = tempfile::tempdir().unwrap();
    let fake = directory.path().join("drbdsetup-84");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = \"show r0\" ] && cat {}\n",
        shown.display()
    );
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let first = format!("{}:", directory.path().display());
    let config = golden().join("in/01-two-node.conf");
    let output = drbdadm("8.4.11", &config, "alpha", &["-d", "adjust", "r0"], &first);
    Told {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

#[test]
fn adjust_for_8_4_changes_what_was_recorded() {
    let exceptions = exceptions();
    let mut left = samples("adjust-v84");
    for shown in files("adjust-v84", "show") {
        assert!(left.remove(&stem(&shown)), "{shown:?} is recorded");
        let sample = format!("adjust-v84/{}", stem(&shown));
        let exception = exceptions.contains(&sample);
        check(exception, &sample, &recorded(&sample), &adjust_84(&shown));
    }
    assert!(left.is_empty(), "not replayed: {left:?}");
}

#[test]
fn what_comes_instead_belongs_to_an_exception() {
    let exceptions = exceptions();
    let top = recordings().join("golden-instead");
    let mut folders = vec![top.clone()];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let sample = path.strip_prefix(&top).unwrap().with_extension("");
            let sample = sample.to_string_lossy().into_owned();
            // `cmds/TAG/CONF--SELECTOR.COMMAND` is one of `cmds/TAG/COMMAND`.
            let key = match (sample.starts_with("cmds/"), sample.rsplit_once('.')) {
                (true, Some((file, command))) => {
                    format!("{}/{command}", file.rsplit_once('/').unwrap().0)
                }
                _ => sample,
            };
            assert!(exceptions.contains(&key), "{}", path.display());
            found.insert(key);
        }
    }
    assert_eq!(found, exceptions);
}

#[test]
fn a_missing_configuration_says_what_to_type() {
    let config = Path::new("/nonexistent/drbd.conf");
    let found = told("9.1.0", config, &["status"]);
    assert_eq!(found.status, 10);
    assert!(found.err.contains("@DIR@/drbd.conf"), "{}", found.err);
    assert!(found.err.contains("ls -l"), "{}", found.err);
}
