// SPDX-License-Identifier: GPL-2.0-or-later
//! The programs that the agent calls, all found in PATH.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::agent::World;
use crate::code::{Code, Failure};
use crate::parameters::Parameters;
use crate::status::{self, Facts};

/// Exit code of `drbdsetup` and `drbdadm` for a state change that needs UpToDate data (SS_NO_UP_TO_DATE_DISK).
pub(crate) const NO_GOOD_DATA: i32 = 17;

/// What is there while the driver is loaded.
pub(crate) const PROC: &str = "/proc/drbd";

/// Name of this node.
pub(crate) fn own_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// Says something to the cluster's log.
pub(crate) fn log(text: &str) {
    eprintln!("drbd: {text}");
}

/// Whether a program of that name is in PATH.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn run(program: &str, arguments: &[&str]) -> Result<Output, Failure> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.map_err(|error| {
        Failure::new(
            Code::NotInstalled,
            format!("cannot start {program}: {error}"),
        )
    })
}

/// The last line that a program wrote to its standard error.
fn last_words(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned())
}

/// What `drbdadm` prints for the resource, if it succeeds.
pub(crate) fn drbdadm_text(
    parameters: &Parameters,
    command: &str,
) -> Result<Option<String>, Failure> {
    let output = run(
        "drbdadm",
        &["-c", &parameters.conf, command, &parameters.resource],
    )?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then_some(text))
}

/// Takes down what the configuration does not know any more; whether that worked.
pub(crate) fn down_without_configuration(resource: &str) -> bool {
    run("drbdsetup", &["down", resource]).is_ok_and(|output| output.status.success())
}

/// The driver's version: of the one that is loaded, else of the one that would be.
pub(crate) fn driver_version() -> Option<String> {
    let loaded = std::fs::read_to_string(PROC).ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("version:"))?;
        Some(line.trim().to_owned())
    });
    loaded.or_else(|| {
        let output = run("modinfo", &["-F", "version", "drbd"]).ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    })
}

/// This node.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    parameters: &'a Parameters,
    begun: Instant,
}

impl<'a> Node<'a> {
    /// Seen by an agent of that resource.
    pub(crate) fn new(parameters: &'a Parameters) -> Self {
        Node {
            parameters,
            begun: Instant::now(),
        }
    }
}

impl World for Node<'_> {
    fn look(&self) -> Result<Option<Facts>, Failure> {
        if !self.driver_is_loaded() {
            return Ok(None);
        }
        let resource = &self.parameters.resource;
        let output = run("drbdsetup", &["status", resource, "--json"])?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.trim_start().starts_with('[') {
            return status::of_json(&text, resource).map_err(|error| {
                Failure::new(Code::Generic, format!("drbdsetup status: {error}"))
            });
        }
        // Generation 8.4 has no JSON, and a driver of generation 9 says no more of what it does not know.
        let output = run("drbdsetup", &["sh-status", resource])?;
        Ok(status::of_assignments(&String::from_utf8_lossy(
            &output.stdout,
        )))
    }

    fn drbdadm(&self, command: &[&str]) -> Result<(i32, String), Failure> {
        let mut arguments = vec!["-c", &self.parameters.conf];
        arguments.extend(command);
        arguments.push(&self.parameters.resource);
        let output = run("drbdadm", &arguments)?;
        let code = output.status.code().unwrap_or(1);
        let said = last_words(&output);
        if code != 0 {
            log(&format!(
                "drbdadm {}: exit {code}: {said}",
                arguments.join(" ")
            ));
        }
        Ok((code, said))
    }

    fn set_score(&self, score: Option<u32>) {
        set_score(score);
    }

    fn driver_is_loaded(&self) -> bool {
        Path::new(PROC).exists()
    }

    fn load_driver(&self) -> Result<(), Failure> {
        let output = run("modprobe", &["drbd"])?;
        if output.status.success() {
            return Ok(());
        }
        let why = last_words(&output);
        Err(Failure::new(
            Code::NotInstalled,
            format!("the driver does not load: {why}: try modprobe drbd"),
        ))
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

/// Sets the promotion score of this node, or takes it away.
pub(crate) fn set_score(score: Option<u32>) {
    let value = score.map(|score| score.to_string());
    let what = match &value {
        Some(value) => vec!["-v", value],
        None => vec!["-D"],
    };
    let (program, mut arguments) = if is_installed("crm_master") {
        ("crm_master", vec!["-Q", "-l", "reboot"])
    } else {
        ("crm_attribute", vec!["-Q", "--promotion", "-l", "reboot"])
    };
    arguments.extend(what);
    match run(program, &arguments) {
        Ok(output) if output.status.success() => {}
        Ok(output) => log(&format!("{program}: {}", last_words(&output))),
        Err(failure) => log(&failure.reason),
    }
}
