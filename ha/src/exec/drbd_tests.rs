// SPDX-License-Identifier: GPL-2.0-or-later
//! Against tools that are played by a script and keep the role in a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

const LIMIT: Duration = Duration::from_secs(3);

/// Files: `up` (the driver knows it), `role`, `disk`, `busy` (how often `secondary` is refused), `code` (of `primary`).
const DRBDADM: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>log
case $1 in
adjust) [ -e broken ] && { echo "no such resource" >&2; exit 10; }; echo Secondary >role; : >up;;
primary)
	code=$(cat code 2>/dev/null || echo 0)
	[ "$code" = 0 ] || { echo "refused" >&2; exit "$code"; }
	echo Primary >role;;
secondary)
	busy=$(cat busy 2>/dev/null || echo 0)
	[ "$busy" = 0 ] || { echo $((busy - 1)) >busy; echo "in use" >&2; exit 11; }
	echo Secondary >role;;
outdate) [ "$(cat role)" = Primary ] && exit 17; echo Outdated >disk;;
get-gi) echo 00000000000000A1:0000000000000000:0:0:1:1:0:1:0:0:0;;
esac
"#;

const DRBDSETUP: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
[ -e up ] || { echo "[]"; exit 0; }
disk=$(cat disk 2>/dev/null || echo UpToDate)
echo '[{"name":"r0","role":"'$(cat role)'","devices":[{"disk-state":"'$disk'"}],"connections":[]}]'
"#;

struct World {
    directory: tempfile::TempDir,
    tools: Tools,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let tools = Tools {
            drbdadm: file("drbdadm", DRBDADM),
            drbdsetup: file("drbdsetup", DRBDSETUP),
            proc: file("proc", ""),
            ..Tools::default()
        };
        World { directory, tools }
    }

    fn set(&self, file: &str, text: &str) {
        std::fs::write(self.directory.path().join(file), text).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(Path::new(self.directory.path()).join("log")).unwrap_or_default()
    }

    async fn act(&self, operation: Operation) -> Outcome {
        self.tools.act("r0", operation, LIMIT).await.outcome
    }
}

#[tokio::test]
async fn a_probe_brings_up_and_changes_nothing_that_is_up() {
    let world = World::new();
    assert_eq!(world.act(Operation::Probe).await, Outcome::NotRunning);
    assert!(world.log().contains("adjust r0"));
    let before = world.log();
    world.set("role", "Primary");
    assert_eq!(world.act(Operation::Probe).await, Outcome::Ok);
    assert_eq!(
        world.log().replace("get-gi r0\n", ""),
        before.replace("get-gi r0\n", "")
    );
}

#[tokio::test]
async fn a_resource_that_does_not_come_up_fails() {
    let world = World::new();
    world.set("broken", "");
    let done = world.tools.act("r0", Operation::Probe, LIMIT).await;
    assert_eq!(done.outcome, Outcome::Failed);
    assert_eq!(done.story, "drbdadm adjust: exit code 10: no such resource");
}

#[tokio::test]
async fn promotes_and_demotes() {
    let world = World::new();
    world.act(Operation::Probe).await;
    assert_eq!(world.act(Operation::Start).await, Outcome::Ok);
    assert_eq!(world.act(Operation::Monitor).await, Outcome::Ok);
    let Look::Up(brief) = world.tools.look("r0").await else {
        panic!("down");
    };
    assert_eq!((brief.role, brief.generation), (Role::Primary, 0xA0));
    // Somebody else looks at the device for a moment.
    world.set("busy", "2");
    assert_eq!(world.act(Operation::Stop).await, Outcome::Ok);
    assert_eq!(world.act(Operation::Monitor).await, Outcome::NotRunning);
    assert!(!world.log().contains("force"));
}

#[tokio::test]
async fn a_device_that_stays_open_is_a_failed_stop() {
    let world = World::new();
    world.act(Operation::Probe).await;
    world.act(Operation::Start).await;
    world.set("busy", "100");
    let done = world.tools.act("r0", Operation::Stop, LIMIT).await;
    assert_eq!(done.outcome, Outcome::Failed);
    assert_eq!(done.story, "drbdadm secondary: exit code 11: in use");
}

#[tokio::test]
async fn without_good_data_a_promotion_is_not_tried_again() {
    let world = World::new();
    world.act(Operation::Probe).await;
    world.set("code", "17");
    assert_eq!(world.act(Operation::Start).await, Outcome::Failed);
    assert_eq!(world.log().matches("primary").count(), 1);
    world.set("code", "11");
    assert_eq!(world.act(Operation::Start).await, Outcome::Failed);
    assert!(world.log().matches("primary").count() > 2);
}

#[tokio::test]
async fn outdates_a_secondary_only() {
    let world = World::new();
    world.act(Operation::Probe).await;
    world.act(Operation::Start).await;
    assert_eq!(world.act(Operation::Outdate).await, Outcome::Failed);
    world.act(Operation::Stop).await;
    assert_eq!(world.act(Operation::Outdate).await, Outcome::Ok);
}

#[tokio::test]
async fn without_a_driver_everything_is_down() {
    let world = World::new();
    std::fs::remove_file(&world.tools.proc).unwrap();
    assert_eq!(world.tools.look("r0").await, Look::Down);
    assert_eq!(world.act(Operation::Stop).await, Outcome::Ok);
    assert_eq!(world.act(Operation::Monitor).await, Outcome::NotRunning);
}
