// SPDX-License-Identifier: GPL-2.0-or-later
//! What two daemons do together: start, move, take over after a power cut, survive the death of a daemon, leave.

mod lab;

use std::net::UdpSocket;
use std::time::Duration;

use drbd_ha::daemon::protocol::{Answer, Request};
use lab::{wait, Lab};

#[test]
fn a_group_starts_once_moves_and_follows_standby() {
    let mut lab = Lab::new();
    lab.start();
    assert_eq!(
        lab.nodes[0].read("log"),
        "drbd promote\ndb.ocf-Dummy start\n",
        "{}",
        lab.logs()
    );
    let (code, said) = lab.nodes[1].hactl(&["move", "db", "n2"]);
    assert_eq!(code, 0, "{said}");
    lab.runs_on(1);
    assert!(
        lab.nodes[0]
            .read("log")
            .ends_with("db.ocf-Dummy stop\ndrbd demote\n"),
        "{}",
        lab.logs()
    );
    let (code, said) = lab.nodes[0].hactl(&["standby", "n2"]);
    assert_eq!(code, 0, "{said}");
    lab.runs_on(0);
    let (code, said) = lab.nodes[0].hactl(&["status"]);
    assert!(
        code == 0 && said.contains("n1 (Running)") && said.contains("standby"),
        "{said}"
    );
    let (_, said) = lab.nodes[0].hactl(&["links"]);
    assert_eq!(said.matches(" up ").count(), 2, "{said}");
    assert!(!lab.fenced(), "{}", lab.logs());
}

#[test]
fn after_a_power_cut_the_other_fences_and_takes_over() {
    let mut lab = Lab::new();
    lab.start();
    lab.nodes[0].cut_power();
    lab.runs_on(1);
    let log = lab.nodes[0].read("log");
    assert_eq!(log.matches("fenced").count(), 1, "{}", lab.logs());
    let Some(Answer::History { entries }) = lab.nodes[1].ask(&Request::History) else {
        panic!("no history");
    };
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(entries[0].ok && entries[0].target == "n1" && entries[0].devices == ["switch"]);
    let (code, said) = lab.nodes[1].hactl(&["fence-peer", "r0", "--timeout", "20"]);
    assert_eq!(code, 7, "{said}");
    // Back again: it joins, and nothing moves.
    lab.nodes[0].start();
    wait("n1 is a member again", || {
        let report = lab.nodes[1].report().ok_or("no report")?;
        let back = report.core.nodes.iter().all(|node| node.member);
        back.then_some(()).ok_or_else(|| lab.logs())
    });
    std::thread::sleep(Duration::from_secs(2));
    lab.runs_on(1);
}

#[test]
fn a_daemon_that_is_killed_and_comes_back_disturbs_nobody() {
    let mut lab = Lab::new();
    lab.start();
    let before = lab.nodes.each_ref().map(|node| node.read("log"));
    for at in [0, 1] {
        lab.nodes[at].kill();
        lab.nodes[at].start();
        wait("both are members", || {
            let reports = lab.nodes.each_ref().map(lab::Node::report);
            let member = |report: &Option<drbd_ha::daemon::protocol::Report>| {
                report.as_ref().is_some_and(|report| {
                    report.core.quorate && report.core.nodes.iter().all(|node| node.member)
                })
            };
            reports
                .iter()
                .all(member)
                .then_some(())
                .ok_or_else(|| lab.logs())
        });
    }
    // Long enough for a monitor that fails.
    std::thread::sleep(Duration::from_secs(3));
    lab.runs_on(0);
    let after = lab.nodes.each_ref().map(|node| node.read("log"));
    assert_eq!(before, after, "{}", lab.logs());
}

#[test]
fn what_a_killed_daemon_was_starting_ends_before_the_next_one_looks() {
    let mut lab = Lab::new();
    lab.nodes[0].set("slow-start", "3");
    for node in &mut lab.nodes {
        node.start();
    }
    let (at, log) = (0, "db.ocf-Dummy start\n");
    wait("the service is being started", || {
        let said = lab.nodes[at].read("log");
        said.ends_with(log).then_some(()).ok_or_else(|| lab.logs())
    });
    lab.nodes[at].kill();
    lab.nodes[at].set("slow-start", "0");
    lab.nodes[at].start();
    lab.runs_on(at);
    // As long as the first start would have taken.
    std::thread::sleep(Duration::from_secs(4));
    let said = lab.nodes[at].read("log");
    assert_eq!(
        (said.matches(log).count(), said.matches(" started").count()),
        (2, 1),
        "{}",
        lab.logs()
    );
    assert!(!lab.fenced(), "{}", lab.logs());
}

#[test]
fn who_leaves_hands_over_without_fencing() {
    let mut lab = Lab::new();
    lab.start();
    assert_eq!(lab.nodes[0].terminate(), 0, "{}", lab.logs());
    assert!(!lab.nodes[0].is_active());
    lab.runs_on(1);
    assert!(!lab.fenced(), "{}", lab.logs());
}

#[test]
fn a_service_that_dies_is_started_again() {
    let mut lab = Lab::new();
    lab.start();
    std::fs::remove_file(lab.nodes[0].directory.join("active-db.ocf-Dummy")).unwrap();
    lab.runs_on(0);
    assert_eq!(
        lab.nodes[0].read("log").matches("start").count(),
        2,
        "{}",
        lab.logs()
    );
    assert_eq!(lab.nodes[1].read("log"), "");
}

#[test]
fn strangers_are_counted_and_not_heard() {
    let mut lab = Lab::new();
    lab.start();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..10 {
        stranger
            .send_to(b"DHA1 let me in", &lab.nodes[0].links[0])
            .unwrap();
    }
    wait("they are counted", || {
        let report = lab.nodes[0].report().ok_or("no report")?;
        let counted = report.refused["unknown_node"] == 10;
        counted
            .then_some(())
            .ok_or_else(|| format!("{:?}", report.refused))
    });
}

#[test]
fn with_another_key_a_node_stays_alone() {
    let mut lab = Lab::new();
    lab.write("other", &[9; 48], 0o600);
    let config = lab.config("other");
    lab.write("other.toml", config.as_bytes(), 0o644);
    lab.nodes[1].use_config("other.toml");
    for node in &mut lab.nodes {
        node.start();
    }
    wait("both count what they can't read", || {
        let reports = lab.nodes.each_ref().map(lab::Node::report);
        let counts = |report: &Option<drbd_ha::daemon::protocol::Report>| {
            report
                .as_ref()
                .is_some_and(|report| report.refused["wrong_key"] > 20)
        };
        reports
            .iter()
            .all(counts)
            .then_some(())
            .ok_or_else(|| lab.logs())
    });
    // Neither has seen the other, so neither may act or fence.
    assert!(
        !lab.nodes[0].is_active() && !lab.nodes[1].is_active(),
        "{}",
        lab.logs()
    );
    assert!(!lab.fenced(), "{}", lab.logs());
}

#[test]
fn a_second_daemon_on_a_node_is_refused() {
    let mut lab = Lab::new();
    lab.nodes[0].start();
    wait("it listens", || {
        lab.nodes[0].report().map(drop).ok_or_else(|| lab.logs())
    });
    let (code, said) = lab.nodes[0].hactl(&["move", "web", "n2"]);
    assert!(
        code == 1 && said.contains("there is no group 'web'; there are: db"),
        "{said}"
    );
    let before = lab.nodes[0].read("lib/incarnation");
    let mut second = Lab::new();
    std::fs::remove_dir_all(&second.nodes[0].directory).unwrap();
    std::os::unix::fs::symlink(&lab.nodes[0].directory, &second.nodes[0].directory).unwrap();
    second.nodes[0].start();
    wait("it is refused", || {
        let said = lab.nodes[0].read("stderr");
        said.contains("another drbd-had listens")
            .then_some(())
            .ok_or(said)
    });
    assert_eq!(before, lab.nodes[0].read("lib/incarnation"));
    assert!(lab.nodes[0].report().is_some());
}
