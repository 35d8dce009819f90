// SPDX-License-Identifier: GPL-2.0-or-later
//! The world of the handlers: Pacemaker's programs and the driver, each with a limit.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::reboot::{reboot, RebootMode};
use wait_timeout::ChildExt;

use super::cib::{self, Cib};
use super::constraint::{Constraint, Mark};
use super::decision::{Cluster, Made, World};
use super::log::Log;
use super::options::Options;
use super::peers::Peers;
use crate::status::{self, Facts};
use crate::tools;

/// For a question that is answered at once, on a node that is busy.
const LIMIT: Duration = Duration::from_secs(15);

/// How long a change of the configuration may take, seconds: the coordinator has to confirm it.
const CHANGE_LIMIT_S: &str = "12";

/// Exit code of Pacemaker's programs for something that is there already.
const EXISTS: i32 = 108;

/// The same before Pacemaker 2.
const EXISTED: i32 = 76;

/// Exit code for something that is not there.
const MISSING: i32 = 105;

/// A program that ended.
struct Ended {
    code: i32,
    /// What it printed, in a file that is gone when this is.
    out: tempfile::NamedTempFile,
    said: String,
}

impl Ended {
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let file = self.out.as_file_mut();
        file.rewind()
            .and_then(|()| file.read_to_string(&mut text))
            .map_err(|error| format!("cannot read what a program printed: {error}"))?;
        Ok(text)
    }
}

/// Runs a program of PATH; what it prints goes to files, so that it cannot wait for a reader.
fn run(
    program: &str,
    args: &[&str],
    env: &[(&str, &std::path::Path)],
    limit: Duration,
) -> Result<Ended, String> {
    let failed = |error: std::io::Error| format!("cannot start {program}: {error}");
    let out = tempfile::NamedTempFile::new_in("/run")
        .or_else(|_| tempfile::NamedTempFile::new())
        .map_err(failed)?;
    let mut errors = tempfile::tempfile().map_err(failed)?;
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null());
    command
        .stdout(out.reopen().map_err(failed)?)
        .stderr(errors.try_clone().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    let status = match child.wait_timeout(limit).map_err(failed)? {
        Some(status) => status,
        None => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "{program} did not end within {} s",
                limit.as_secs()
            ));
        }
    };
    let mut said = String::new();
    let _ = errors
        .rewind()
        .and_then(|()| File::read_to_string(&mut errors, &mut said));
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.map_or_else(|| status.to_string(), |line| line.trim().to_owned());
    let code = status.code().unwrap_or(1);
    Ok(Ended { code, out, said })
}

/// As [`run`], and the program has to succeed.
fn succeed(
    program: &str,
    args: &[&str],
    env: &[(&str, &std::path::Path)],
) -> Result<Ended, String> {
    let ended = run(program, args, env, LIMIT)?;
    if ended.code == 0 {
        return Ok(ended);
    }
    Err(format!(
        "{program} {}: exit {}: {}",
        args.join(" "),
        ended.code,
        ended.said
    ))
}

/// This node.
pub(crate) struct Node<'a> {
    options: &'a Options,
    resource: &'a str,
    peers: &'a Peers,
    log: &'a Log,
    begun: Instant,
}

impl<'a> Node<'a> {
    /// Seen by a handler of `resource`.
    pub(crate) fn new(
        options: &'a Options,
        resource: &'a str,
        peers: &'a Peers,
        log: &'a Log,
    ) -> Self {
        Node {
            options,
            resource,
            peers,
            log,
            begun: Instant::now(),
        }
    }

    /// The configuration at one moment, and the file that it is in.
    fn snapshot(&self) -> Result<(Ended, Cib), String> {
        let mut asked = succeed("cibadmin", &["--query"], &[])?;
        let text = asked.text()?;
        let prefix = self.options.prefix_for(self.resource);
        let cib = cib::read(&text, self.resource, &prefix, self.options.clone.as_deref())
            .map_err(|error| format!("cibadmin --query: {error}"))?;
        Ok((asked, cib))
    }

    fn minors(&self) -> Vec<u32> {
        if !self.peers.minors.is_empty() {
            return self.peers.minors.clone();
        }
        let asked = succeed("drbdadm", &["sh-minor", self.resource], &[]);
        let text = asked.and_then(|mut ended| ended.text()).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|minor| minor.parse().ok())
            .collect()
    }
}

impl World for Node<'_> {
    fn cib(&self) -> Result<Cib, String> {
        self.snapshot().map(|(_, cib)| cib)
    }

    fn cluster(&self) -> Result<Cluster, String> {
        let (asked, cib) = self.snapshot()?;
        // The verdict on the same moment, from the cluster's own scheduler.
        let env = [("CIB_file", asked.out.path())];
        let monitor = succeed("crm_mon", &["--output-as=xml", "--one-shot"], &env)?.text()?;
        let (coordinator, nodes) = cib::read_monitor(&monitor)
            .map_err(|error| format!("crm_mon --output-as=xml: {error}"))?;
        Ok(Cluster {
            cib,
            coordinator,
            nodes,
        })
    }

    fn driver(&self) -> Option<Facts> {
        let proc = std::fs::read_to_string(tools::PROC).unwrap_or_default();
        // The driver of 8.4 may hold a lock of netlink while it waits for us.
        if proc.starts_with("version: 8.") {
            return status::of_proc(&proc, &self.minors());
        }
        let mut asked = run(
            "drbdsetup",
            &["status", self.resource, "--json"],
            &[],
            LIMIT,
        )
        .ok()?;
        status::of_json(&asked.text().ok()?, self.resource).ok()?
    }

    fn answers(&self, node: &str) -> bool {
        let asked = run(
            "crmadmin",
            &["--timeout", "3s", "--status", node],
            &[],
            LIMIT,
        );
        let Ok(mut asked) = asked else { return false };
        let text = asked.text().unwrap_or_default();
        asked.code == 0 && (text.contains(": ok") || text.contains("(ok)"))
    }

    fn mark(&self, node: &str) -> Mark {
        let attribute = &self.options.attribute;
        if attribute != "#uname" {
            let args = [
                "--quiet", "--type", "nodes", "--node", node, "--name", attribute, "--query",
            ];
            let value = succeed("crm_attribute", &args, &[]).and_then(|mut ended| ended.text());
            if let Some(value) = value
                .ok()
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
            {
                return (attribute.clone(), value);
            }
        }
        ("#uname".to_owned(), node.to_owned())
    }

    fn create(&self, constraint: &Constraint) -> Result<Made, String> {
        let xml = constraint.xml();
        let args = [
            "--create",
            "--scope",
            "constraints",
            "--timeout",
            CHANGE_LIMIT_S,
            "--xml-text",
            xml.as_str(),
        ];
        let ended = run("cibadmin", &args, &[], LIMIT)?;
        match ended.code {
            0 => Ok(Made::Done),
            EXISTS | EXISTED => Ok(Made::Exists),
            code => Err(format!("cibadmin --create: exit {code}: {}", ended.said)),
        }
    }

    fn narrow(&self, id: &str, without: &[Mark]) -> Result<(), String> {
        for (attribute, value) in without {
            let path =
                format!("//rsc_location[@id='{id}']//expression[@attribute='{attribute}'][@value='{value}']");
            let ended = run(
                "cibadmin",
                &["--delete", "--timeout", CHANGE_LIMIT_S, "--xpath", &path],
                &[],
                LIMIT,
            )?;
            if ended.code != 0 && ended.code != MISSING {
                return Err(format!(
                    "cibadmin --delete: exit {}: {}",
                    ended.code, ended.said
                ));
            }
        }
        Ok(())
    }

    fn widen(&self, constraint: &Constraint) -> Result<(), String> {
        let xml = constraint.xml();
        let args = [
            "--modify",
            "--scope",
            "constraints",
            "--timeout",
            CHANGE_LIMIT_S,
            "--xml-text",
            xml.as_str(),
        ];
        succeed("cibadmin", &args, &[]).map(drop)
    }

    fn remove(&self, id: &str, clone: &str) -> Result<(), String> {
        let xml = format!("<rsc_location rsc=\"{clone}\" id=\"{id}\"/>");
        let args = [
            "--delete",
            "--timeout",
            CHANGE_LIMIT_S,
            "--xml-text",
            xml.as_str(),
        ];
        succeed("cibadmin", &args, &[]).map(drop)
    }

    fn ask_to_be_shot(&self) -> Result<(), String> {
        let own = tools::own_name();
        let args = [
            "--type",
            "status",
            "--node",
            own.as_str(),
            "--name",
            "terminate",
            "--update",
            "true",
        ];
        succeed("crm_attribute", &args, &[]).map(drop)
    }

    fn reboot(&self) {
        // It returns only if it cannot.
        let Err(errno) = reboot(RebootMode::RB_AUTOBOOT);
        self.log.warning(&format!("cannot reboot: {errno}"));
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn info(&self, text: &str) {
        self.log.info(text);
    }

    fn warn(&self, text: &str) {
        self.log.warning(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_stuck_is_ended() {
        let begun = Instant::now();
        let error = run("sleep", &["60"], &[], Duration::from_millis(50))
            .err()
            .unwrap();
        assert!(error.contains("did not end"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_it_says_is_told() {
        let failed = succeed("sh", &["-c", "echo one >&2; echo two >&2; exit 3"], &[])
            .err()
            .unwrap();
        assert!(failed.contains("exit 3: two"), "{failed}");
        let mut long = succeed("sh", &["-c", "yes | head -c 300000"], &[]).unwrap();
        assert_eq!(long.text().unwrap().len(), 300_000);
    }
}
