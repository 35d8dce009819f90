// SPDX-License-Identifier: GPL-2.0-or-later
//! Against a power switch that is played by a script and keeps its plugs in files.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Files: `plug-N` holds on or off; `deny` makes it refuse, `lie` makes it say that it did, `fail` counts refusals down.
const AGENT: &str = r#"#!/bin/sh
dir=$(dirname "$0")
while IFS='=' read -r key value; do eval "$key=\$value"; done
echo "$action $plug $nodename $username $password" >>"$dir/log"
state=$(cat "$dir/plug-$plug" 2>/dev/null)
case $action in
off|on)
	[ -e "$dir/deny" ] && { echo "login denied" >&2; exit 3; }
	left=$(cat "$dir/fail" 2>/dev/null || echo 0)
	[ "$left" = 0 ] || { echo $((left - 1)) >"$dir/fail"; exit 1; }
	[ -e "$dir/lie" ] || echo $action >"$dir/plug-$plug";;
reboot) [ -e "$dir/deny" ] && exit 1; echo on >"$dir/plug-$plug";;
status) [ "$state" = off ] && exit 2; [ "$state" = on ] || exit 1;;
monitor) [ -e "$dir/deny" ] && exit 4;;
hang) sleep 60;;
esac
exit 0
"#;

struct Lab {
    directory: tempfile::TempDir,
    fencer: Fencer,
}

impl Lab {
    fn new(more: &str, levels: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let agent = directory.path().join("fence_lab");
        std::fs::write(&agent, AGENT).unwrap();
        std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
        let secret = directory.path().join("password");
        std::fs::write(&secret, "pass word\n").unwrap();
        let text = format!(
            r#"
[cluster]
name = "lab"
keyfile = "/k"
[[node]]
name = "n1"
id = 1
links = ["127.0.0.1:1", "127.0.0.1:2"]
[[node]]
name = "n2"
id = 2
links = ["127.0.0.2:1", "127.0.0.2:2"]
[[fence_device]]
name = "one"
agent = "{agent}"
targets = {{ n1 = "1", n2 = "2" }}
params = {{ username = "ha", password_file = "{secret}" }}
timeout = 5
retries = 1
[[fence_device]]
name = "two"
agent = "{agent}"
targets = {{ n2 = "3" }}
timeout = 5
retries = 0
[fencing]
{more}
{levels}
"#,
            agent = agent.display(),
            secret = secret.display(),
        );
        let (config, _) = crate::config::parse("lab.toml", text).unwrap_or_else(|f| panic!("{f}"));
        for plug in ["1", "2", "3"] {
            std::fs::write(directory.path().join(format!("plug-{plug}")), "on\n").unwrap();
        }
        Lab {
            fencer: Fencer::new(&config),
            directory,
        }
    }

    fn set(&self, file: &str, text: &str) {
        std::fs::write(self.directory.path().join(file), text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(file)).unwrap_or_default()
    }
}

#[tokio::test]
async fn off_is_told_with_everything_an_agent_needs_and_verified() {
    let lab = Lab::new("", "");
    lab.fencer.fence("n2", 0).await.unwrap();
    assert_eq!(lab.read("plug-2"), "off\n");
    assert_eq!(lab.read("plug-1"), "on\n");
    assert_eq!(
        lab.read("log"),
        "off 2 n2 ha pass word\nstatus 2 n2 ha pass word\n"
    );
    lab.fencer.unfence("n2").await.unwrap();
    assert_eq!(lab.read("plug-2"), "on\n");
}

#[tokio::test]
async fn a_refusal_is_a_failure_and_says_why() {
    let lab = Lab::new("", "");
    lab.set("deny", "");
    let why = lab.fencer.fence("n2", 0).await.unwrap_err();
    assert_eq!(why, "one: off: exit code 3: login denied");
    assert_eq!(lab.read("log").matches("off").count(), 2, "one retry");
}

#[tokio::test]
async fn a_device_that_lies_does_not_fence() {
    let lab = Lab::new("", "");
    lab.set("lie", "");
    let device = Device {
        attempts: 1,
        ..lab.fencer.level("n2", 0).unwrap()[0].0.clone()
    };
    let why = device.switch(Ask::Off, "2", "n2").await.unwrap_err();
    assert!(why.contains("and that it is on"), "{why}");
}

#[tokio::test]
async fn a_second_attempt_may_work() {
    let lab = Lab::new("", "");
    lab.set("fail", "1");
    lab.fencer.fence("n1", 0).await.unwrap();
}

#[tokio::test]
async fn levels_are_devices_in_turn_and_all_of_one_have_to_succeed() {
    let lab = Lab::new("", "levels = { n2 = [[\"one\", \"two\"], [\"two\"]] }");
    assert_eq!(lab.fencer.devices("n2", 0), ["one", "two"]);
    assert_eq!(lab.fencer.devices("n2", 1), ["two"]);
    lab.fencer.fence("n2", 0).await.unwrap();
    assert_eq!(
        (lab.read("plug-2"), lab.read("plug-3")),
        ("off\n".to_owned(), "off\n".to_owned())
    );
    assert!(lab
        .fencer
        .fence("n2", 2)
        .await
        .unwrap_err()
        .contains("no fence device of level 3"));
    assert!(lab.fencer.fence("n3", 0).await.is_err());
}

#[tokio::test]
async fn two_power_supplies_are_off_together_before_they_are_on() {
    let lab = Lab::new(
        "action = \"reboot\"",
        "levels = { n2 = [[\"one\", \"two\"]] }",
    );
    lab.fencer.fence("n2", 0).await.unwrap();
    let log = lab.read("log");
    let asked: Vec<String> = log
        .lines()
        .filter(|line| !line.starts_with("status"))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(asked, ["off 2", "off 3", "on 2", "on 3"]);
}

#[tokio::test]
async fn one_device_reboots_by_itself() {
    let lab = Lab::new("action = \"reboot\"", "");
    lab.fencer.fence("n1", 0).await.unwrap();
    assert!(lab.read("log").starts_with("reboot 1 n1"));
}

#[tokio::test]
async fn monitor_asks_each_device_once() {
    let lab = Lab::new("", "");
    let said = lab.fencer.monitor().await;
    assert_eq!(
        said,
        [("one".to_owned(), Ok(())), ("two".to_owned(), Ok(()))]
    );
    lab.set("deny", "");
    let said = lab.fencer.monitor().await;
    assert!(said.iter().all(|(_, result)| result.is_err()));
}

#[tokio::test]
async fn an_agent_that_is_not_there_does_not_fence() {
    let lab = Lab::new("", "");
    let device = Device {
        agent: "/nonexistent/fence".into(),
        attempts: 1,
        ..lab.fencer.level("n1", 0).unwrap()[0].0.clone()
    };
    let why = device.switch(Ask::Off, "1", "n1").await.unwrap_err();
    assert!(why.contains("could not be started"), "{why}");
}
