// SPDX-License-Identifier: GPL-2.0-or-later
//! What is done for one selected thing, and what its statuses mean.

use drbd_conf::model::{Resource, Volume};

use crate::call::{Call, Runner};
use serde_json::{json, Value};

use crate::cli::Request;
use crate::command::Works;
use crate::driver;
use crate::failure::CANNOT_EXECUTE;
use crate::queue::run_together;
use crate::select::Selection;
use crate::steps::{id, meta_found, minor, Steps};

/// What is done for one thing.
pub(super) enum Unit {
    /// Calls in a row.
    Together(Vec<Call>),
    /// The second if the kernel cannot answer the first.
    Fallback(Call, Call),
    /// As above, with the statuses of outdate.
    Outdate(Call, Call),
    /// resize, check-resize, and what to do if the kernel cannot.
    Resize(Call, Call, Option<Call>),
    /// create-md of a volume, and a name for the device.
    CreateMd(Call, Volume),
    /// A handler's command line.
    Handler(String),
    /// primary, tried again for a while: the peer may be about to demote.
    Promote(Vec<Call>),
}

impl Unit {
    /// Carries it out; returns the status.
    pub(super) fn run(
        self,
        request: &Request,
        runner: &Runner,
        steps: &Steps<'_>,
        selection: &Selection<'_>,
    ) -> i32 {
        match self {
            Unit::Together(calls) => run_together(runner, &calls),
            Unit::Fallback(first, second) => fallback(runner, &first, &second),
            Unit::Outdate(first, second) => outdate(runner, &first, &second),
            Unit::Resize(first, second, last) => resize(runner, &first, &second, last.as_ref()),
            Unit::CreateMd(call, volume) => create_md(runner, &call, selection.resource, &volume),
            Unit::Promote(calls) => promote(runner, &calls),
            Unit::Handler(command) => handler(request, runner, steps, selection, &command),
        }
    }
}

impl Unit {
    /// What a question is answered with, for JSON; `None` if it is not.
    pub(super) fn answer(
        &self,
        request: &Request,
        runner: &Runner,
        selection: &Selection<'_>,
    ) -> Option<Value> {
        let (first, second) = match self {
            Unit::Together(calls) => (calls.first()?, None),
            Unit::Fallback(first, second) => (first, Some(second)),
            _ => return None,
        };
        let text = runner
            .output(first)
            .or_else(|| second.and_then(|call| runner.output(call)))?;
        let mut value = json!({ "resource": selection.resource.name });
        // RES, RES PEER, RES PEER VOLUME, or a minor.
        let number = |at: usize| first.args.get(at).and_then(|word| word.parse::<u32>().ok());
        match request.command.works_in(driver::dialect()) {
            Works::OnConnection => value["peer-node-id"] = number(2).into(),
            Works::OnPeerDevice => {
                value["peer-node-id"] = number(2).into();
                value["volume"] = number(3).into();
            }
            Works::OnVolume => value["minor"] = number(1).into(),
            _ => {}
        }
        value[request.command.name] = text.trim().into();
        Some(value)
    }
}

/// Statuses that are an answer of the kernel: done, refused, is Primary.
fn kernel_answered(status: i32) -> bool {
    matches!(status, 0 | 11 | 17)
}

/// Exit status of a change of state that the driver refused.
const STATE_REFUSED: i32 = 11;

/// How often `sh-b-pri` tries to promote a volume, a second apart.
const PROMOTE_TRIES: u32 = 5;

fn promote(runner: &Runner, calls: &[Call]) -> i32 {
    let mut worst = 0;
    for call in calls {
        let mut status = runner.run(call);
        for _ in 1..PROMOTE_TRIES {
            if status == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
            status = runner.run(call);
        }
        worst = worst.max(status);
    }
    worst
}

fn fallback(runner: &Runner, first: &Call, second: &Call) -> i32 {
    let status = runner.run(first);
    if kernel_answered(status) && !runner.is_dry() {
        return status;
    }
    runner.run(second)
}

fn outdate(runner: &Runner, first: &Call, second: &Call) -> i32 {
    let status = runner.run(first);
    if matches!(status, 0 | 17) && !runner.is_dry() {
        return status;
    }
    if status == STATE_REFUSED {
        // The disk is attached, so drbdmeta could only refuse for another reason: the driver is asked once more, to tell its own.
        return runner.run(&first.clone().loud());
    }
    // 5: the disk is Inconsistent or worse already.
    match (status, runner.run(second)) {
        (5, 0) => 0,
        (5, _) => 5,
        (_, second) => second,
    }
}

fn resize(runner: &Runner, first: &Call, second: &Call, last: Option<&Call>) -> i32 {
    let status = runner.run(first);
    if status != 0 {
        return last.map_or(status, |last| runner.run(last));
    }
    // It only notes the size for the next time.
    runner.run(second);
    0
}

/// Writes metadata and gives the device a random name of its own, by which it
/// is found again after an offline resize.
fn create_md(runner: &Runner, call: &Call, resource: &Resource, volume: &Volume) -> i32 {
    let status = runner.run(call);
    if status != 0 || runner.is_dry() {
        return status;
    }
    let read = meta_found(resource, volume, &["read-dev-uuid"]);
    let unnamed = runner
        .output(&read)
        .is_some_and(|text| text.trim().chars().all(|c| c == '0') && !text.trim().is_empty());
    let random = unnamed.then(random_u64).flatten();
    if let Some(uuid) = random {
        let uuid = format!("{uuid:016X}");
        // A device without a name works, too.
        runner.run(&meta_found(resource, volume, &["write-dev-uuid", &uuid]).optional());
    }
    0
}

fn random_u64() -> Option<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    let mut file = std::fs::File::open("/dev/urandom").ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// Runs a handler with what it needs to know in its environment.
fn handler(
    request: &Request,
    runner: &Runner,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    command: &str,
) -> i32 {
    let volumes = selection.volumes();
    let join = |texts: Vec<String>| texts.join(" ");
    let config = std::fs::canonicalize(&steps.resolved.config.path).map_or_else(
        |_| steps.resolved.config.path.clone(),
        |path| path.display().to_string(),
    );
    if request.verbose > 0 || runner.is_dry() {
        println!("/bin/sh -c {command:?}");
    }
    if runner.is_dry() {
        return 0;
    }
    let mut child = std::process::Command::new("/bin/sh");
    child
        .args(["-c", command])
        .env("DRBD_RESOURCE", &selection.resource.name)
        .env("DRBD_CONF", config);
    let volume = |name: &'static str, value: &dyn Fn(&Volume) -> String| {
        (name, join(volumes.iter().map(|v| value(v)).collect()))
    };
    let described = [
        volume("DRBD_MINOR", &minor),
        volume("DRBD_VOLUME", &|v| v.number.to_string()),
        volume("DRBD_LL_DISK", &|v| {
            v.disk.clone().unwrap_or_else(|| "none".into())
        }),
    ];
    let is_84 = driver::dialect().is_84();
    for (name, value) in described {
        // 8.4 tells of a whole resource only its minors.
        if is_84 && name != "DRBD_MINOR" && selection.volume.is_none() && volumes.len() > 1 {
            child.env_remove(name);
        } else {
            child.env(name, value);
        }
    }
    if is_84 {
        super::old::peer_of_handler(&mut child, selection);
    } else {
        child.env("DRBD_MY_NODE_ID", id(selection.host));
        for host in &selection.resource.hosts {
            child.env(
                format!("DRBD_NODE_ID_{}", id(host)),
                host.names.first().cloned().unwrap_or_default(),
            );
        }
    }
    match child.status() {
        Ok(status) => status.code().unwrap_or(CANNOT_EXECUTE),
        Err(error) => {
            eprintln!("error: cannot start /bin/sh: {error}");
            CANNOT_EXECUTE
        }
    }
}
