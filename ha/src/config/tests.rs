// SPDX-License-Identifier: GPL-2.0-or-later
//! Configurations that are accepted, and each kind that is refused, with its place.

use super::*;

const TWO: &str = include_str!("../../../docs/ha/active-passive.toml");

/// `TWO` with one text for another.
fn with(from: &str, to: &str) -> String {
    assert!(TWO.contains(from), "{from}");
    TWO.replacen(from, to, 1)
}

fn refused(text: String) -> String {
    match parse("t.toml", text) {
        Ok(_) => panic!("accepted"),
        Err(findings) => findings.to_string(),
    }
}

#[test]
fn every_example_is_accepted_without_a_word() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ha");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue;
        }
        match load(&path) {
            Ok((_, findings)) => assert!(findings.list.is_empty(), "{findings}"),
            Err(findings) => panic!("{findings}"),
        }
        seen.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    seen.sort();
    let shapes = [
        "active-active",
        "active-passive",
        "n-plus-1",
        "n-plus-m",
        "n-to-1",
        "n-to-n",
    ];
    assert_eq!(seen, shapes);
}

#[test]
fn says_what_it_read() {
    let (config, _) = parse("t.toml", TWO.to_owned()).unwrap();
    assert_eq!(config.nodes().count(), 2);
    assert!(config.two_node());
    let names: Vec<String> = config
        .groups()
        .flat_map(|group| group.resource.iter())
        .map(|resource| resource_name(resource.as_ref()))
        .collect();
    assert_eq!(
        names,
        [
            "drbd:r0",
            "ocf:Filesystem",
            "ocf:IPaddr2",
            "postgresql.service"
        ]
    );
    let levels = config.fence_levels("n2");
    assert_eq!(levels.len(), 1);
    assert_eq!(levels[0][0].name.as_ref(), "ipmi2");
    assert_eq!(config.file.timing().keepalive, 500);
}

#[test]
fn an_arbiter_makes_a_majority_and_not_two_nodes() {
    let more = format!("{TWO}\n[[node]]\nname = \"tie\"\nid = 3\nrole = \"arbiter\"\nlinks = [\"10.9.0.3:7700\", \"10.8.0.3:7700\"]\n");
    let (config, _) = parse("t.toml", more).unwrap();
    assert!(!config.two_node());
}

#[test]
fn unknown_keys_have_a_place() {
    let said = refused(with("failback = \"never\"", "failbak = \"never\""));
    assert!(said.contains("unknown field `failbak`"), "{said}");
    assert!(
        said.contains(":1: error:") && said.contains("failbak = \"never\"\n  ^^^^^^^"),
        "{said}"
    );
}

#[test]
fn wrong_types_have_a_place() {
    let said = refused(with("id = 2", "id = \"two\""));
    assert!(said.contains("id = \"two\"\n       ^^^^^"), "{said}");
}

#[test]
fn what_is_refused_and_what_is_said() {
    let cases = [
        ("id = 2", "id = 1", "both have the id 1"),
        ("id = 2", "id = 64", "1 to 63 are possible"),
        ("name = \"n2\"", "name = \"n1\"", "there are two nodes 'n1'"),
        (
            "\"10.9.0.2:7700\"",
            "\"10.9.0.2\"",
            "no address with a port",
        ),
        ("\"10.9.0.2:7700\"", "\"[fd00::2]:7700\"", "can't reach"),
        (
            "\"10.9.0.2:7700\"",
            "\"10.9.0.1:7700\"",
            "both have the address",
        ),
        ("\"10.9.0.2:7700\", ", "", "has 1 links, 'n1' has 2"),
        ("name = \"lab\"", "name = \"l a b\"", "no name of a cluster"),
        (
            "nodes = [\"n1\", \"n2\"]",
            "nodes = [\"n1\", \"n3\"]",
            "there is no node 'n3'",
        ),
        (
            "nodes = [\"n1\", \"n2\"]",
            "nodes = [\"n1\", \"n1\"]",
            "'n1' twice",
        ),
        ("nodes = [\"n1\", \"n2\"]", "nodes = []", "has no nodes"),
        (
            "priority = 10",
            "after = [\"web\"]",
            "there is no group 'web'",
        ),
        ("priority = 10", "after = [\"db\"]", "names itself"),
        (
            "priority = 10",
            "uses = { slots = 2 }\navoid_hard = true",
            "nothing to avoid",
        ),
        (
            "drbd = \"r0\"",
            "drbd = \"r0\"\nocf = \"heartbeat:Dummy\"",
            "exactly one of drbd, ocf and systemd",
        ),
        (
            "drbd = \"r0\"",
            "drbd = \"r0\"\nparams = { a = 1 }",
            "params are for OCF agents",
        ),
        ("\"heartbeat:IPaddr2\"", "\"IPaddr2\"", "no OCF agent"),
        ("postgresql.service", "postgresql", "is no unit"),
        (
            "systemd = \"postgresql.service\"",
            "drbd = \"r1\"",
            "comes after something else",
        ),
        (
            "device = \"/dev/watchdog\"",
            "device = \"none\"",
            "there is no watchdog",
        ),
        ("timeout = 10", "timeout = 1", "2 to 600 s"),
        (
            "targets = { n2 = \"n2\" }",
            "targets = { n3 = \"n2\" }",
            "there is no node 'n3'",
        ),
        (
            "targets = { n2 = \"n2\" }",
            "targets = { n1 = \"n2\" }",
            "nothing can fence 'n2'",
        ),
        (
            "delay_priority = 5000",
            "delay_priority = 1500",
            "chance would decide",
        ),
        (
            "delay_priority = 5000",
            "levels = { n1 = [[\"pdu\"]] }",
            "no fence device 'pdu'",
        ),
        (
            "delay_priority = 5000",
            "levels = { n1 = [[\"ipmi2\"]] }",
            "'ipmi2' can't fence 'n1'",
        ),
        (
            "lanplus = true",
            "action = \"on\"",
            "set by drbd-had for each call",
        ),
        (
            "[watchdog]",
            "[timing]\ndeadtime = 1000\n[watchdog]",
            "would fence a healthy node",
        ),
        (
            "[watchdog]",
            "[timing]\ninitdead = 6000\n[watchdog]",
            "still booting",
        ),
        (
            "[watchdog]",
            "[timing]\nwarntime = 6000\n[watchdog]",
            "between keepalive and deadtime",
        ),
        (
            "[watchdog]",
            "[quorum]\nping_group = [\"gateway\"]\n[watchdog]",
            "no IP address",
        ),
        (
            "[watchdog]",
            "[metrics]\nlisten = \"9943\"\n[watchdog]",
            "no address with a port",
        ),
        (
            "[watchdog]",
            "[[hook]]\nrun = [\"tell\"]\n[watchdog]",
            "whole path",
        ),
    ];
    for (from, to, wanted) in cases {
        let said = refused(with(from, to));
        assert!(said.contains(wanted), "{to}: {said}");
    }
}

#[test]
fn circles_of_groups_are_refused() {
    let group = |name: &str, after: &str| {
        format!("\n[[group]]\nname = \"{name}\"\nnodes = [\"n1\", \"n2\"]\nafter = [\"{after}\"]\n[[group.resource]]\nsystemd = \"{name}.service\"\n")
    };
    let said = refused(format!("{TWO}{}{}", group("a", "b"), group("b", "a")));
    assert!(said.contains("group 'a' waits for itself"), "{said}");
}

#[test]
fn what_is_unsafe_is_a_warning_when_somebody_said_so() {
    let text = with("device = \"/dev/watchdog\"", "device = \"none\"")
        .replace("name = \"lab\"", "name = \"lab\"\nallow_unsafe = true");
    let (_, findings) = parse("t.toml", text).unwrap();
    assert!(
        findings
            .to_string()
            .contains("warning: there is no watchdog"),
        "{findings}"
    );
}

#[test]
fn the_fingerprint_is_of_what_has_to_be_equal() {
    let hash = |text: String| parse("t.toml", text).unwrap().0.hash;
    let first = hash(TWO.to_owned());
    assert_eq!(first, hash(format!("# a comment\n{TWO}")));
    assert_eq!(
        first,
        hash(with(
            "keyfile = \"/etc/drbd-ha.key\"",
            "keyfile = \"/etc/other\""
        ))
    );
    assert_eq!(first, hash(with("timeout = 10", "timeout = 12")));
    assert_ne!(first, hash(with("priority = 10", "priority = 11")));
    assert_ne!(first, hash(with("10.9.0.2:7700", "10.9.0.2:7701")));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let said = load(Path::new("/nonexistent/ha.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("cannot read") && said.contains("drbd-hactl check"),
        "{said}"
    );
}
