// SPDX-License-Identifier: GPL-2.0-or-later
//! OCF agents: how one is called, and what its exit code means (failover.md section 2.3).

use std::path::PathBuf;

use crate::core::effect::Operation;
use crate::core::input::Outcome;

use super::process::{End, Ended, Program};

/// Where agents are, below `resource.d/PROVIDER/TYPE`.
pub const ROOT: &str = "/usr/lib/ocf";

/// What an agent puts before the reason of a failure.
const REASON_PREFIX: &str = "ocf-exit-reason:";

/// A resource that an agent runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ocf {
    /// Directory with `resource.d`.
    pub root: PathBuf,
    /// Provider.
    pub provider: String,
    /// Type.
    pub kind: String,
    /// Name of this instance, the same for its whole life.
    pub instance: String,
    /// Parameters.
    pub parameters: Vec<(String, String)>,
    /// Milliseconds between two monitors.
    pub interval_ms: u64,
}

impl Ocf {
    /// The agent's file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        let directory = self.root.join("resource.d").join(&self.provider);
        directory.join(&self.kind)
    }

    /// How it is called; `None` for what agents don't do.
    #[must_use]
    pub fn program(&self, operation: Operation, timeout_ms: u64) -> Option<Program> {
        let (action, interval_ms) = match operation {
            Operation::Probe => ("monitor", 0),
            Operation::Monitor => ("monitor", self.interval_ms),
            Operation::Start => ("start", 0),
            Operation::Stop | Operation::KillAndStop => ("stop", 0),
            Operation::Outdate => return None,
        };
        let mut program = Program::new(self.file(), &[action]);
        let root = self.root.display().to_string();
        let fixed = [
            ("OCF_ROOT", root.as_str()),
            ("OCF_RA_VERSION_MAJOR", "1"),
            ("OCF_RA_VERSION_MINOR", "1"),
            ("OCF_RESOURCE_INSTANCE", &self.instance),
            ("OCF_RESOURCE_TYPE", &self.kind),
            ("OCF_RESOURCE_PROVIDER", &self.provider),
            ("OCF_CHECK_LEVEL", "0"),
            ("OCF_EXIT_REASON_PREFIX", REASON_PREFIX),
            ("HA_LOGTAG", "drbd-had"),
            ("OCF_RESKEY_CRM_meta_timeout", &timeout_ms.to_string()),
            ("OCF_RESKEY_CRM_meta_interval", &interval_ms.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        program.environment.extend(fixed);
        let parameters = self.parameters.iter();
        let parameters =
            parameters.map(|(key, value)| (format!("OCF_RESKEY_{key}"), value.clone()));
        program.environment.extend(parameters);
        Some(program)
    }
}

/// What an exit code means.
#[must_use]
pub fn outcome(operation: Operation, ended: &Ended) -> Outcome {
    let looks = matches!(operation, Operation::Probe | Operation::Monitor);
    match &ended.end {
        End::Exited(code) => match code {
            0 => Outcome::Ok,
            8 | 190 | 191 if looks => Outcome::Ok,
            7 => Outcome::NotRunning,
            // 126 and 127 are the shell's: the agent is not there or can't be run.
            2 | 4 | 5 | 126 | 127 => Outcome::FailedHere,
            3 | 6 => Outcome::FailedEverywhere,
            _ => Outcome::Failed,
        },
        End::Killed(_) => Outcome::Failed,
        End::TimedOut => Outcome::TimedOut,
        End::NotStarted(_) => Outcome::FailedHere,
    }
}

/// The reason that an agent gives, else its last words.
#[must_use]
pub fn story(ended: &Ended) -> String {
    let given = ended.complaints.lines().rev();
    let given = given
        .filter_map(|line| line.trim().strip_prefix(REASON_PREFIX))
        .next();
    match (given, &ended.end) {
        (Some(reason), End::Exited(code)) => format!("exit code {code}: {}", reason.trim()),
        (Some(_) | None, _) => ended.story(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ended(end: End) -> Ended {
        Ended {
            end,
            output: String::new(),
            complaints: "a\nocf-exit-reason:no such device\nb\n".to_owned(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn every_code_of_the_standard() {
        use Operation::{Monitor, Probe, Start, Stop};
        let table = [
            (Start, 0, Outcome::Ok),
            (Start, 1, Outcome::Failed),
            (Start, 2, Outcome::FailedHere),
            (Start, 3, Outcome::FailedEverywhere),
            (Start, 4, Outcome::FailedHere),
            (Start, 5, Outcome::FailedHere),
            (Start, 6, Outcome::FailedEverywhere),
            (Start, 8, Outcome::Failed),
            (Stop, 7, Outcome::NotRunning),
            (Probe, 7, Outcome::NotRunning),
            (Monitor, 8, Outcome::Ok),
            (Monitor, 9, Outcome::Failed),
            (Monitor, 190, Outcome::Ok),
            (Probe, 191, Outcome::Ok),
            (Stop, 190, Outcome::Failed),
            (Start, 127, Outcome::FailedHere),
            (Start, 200, Outcome::Failed),
        ];
        for (operation, code, wanted) in table {
            assert_eq!(
                outcome(operation, &ended(End::Exited(code))),
                wanted,
                "{operation:?} {code}"
            );
        }
        assert_eq!(outcome(Stop, &ended(End::TimedOut)), Outcome::TimedOut);
        assert_eq!(outcome(Stop, &ended(End::Killed(9))), Outcome::Failed);
    }

    #[test]
    fn the_agents_reason_is_told() {
        assert_eq!(story(&ended(End::Exited(1))), "exit code 1: no such device");
        assert_eq!(story(&ended(End::Killed(9))), "killed by signal 9: b");
    }

    #[tokio::test]
    async fn an_agent_finds_its_environment() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let ocf = Ocf {
            root: directory.path().to_owned(),
            provider: "test".to_owned(),
            kind: "Dummy".to_owned(),
            instance: "db.data".to_owned(),
            parameters: vec![("ip".to_owned(), "10.0.0.1".to_owned())],
            interval_ms: 20_000,
        };
        std::fs::create_dir_all(ocf.file().parent().unwrap()).unwrap();
        std::fs::write(ocf.file(), "#!/bin/sh\necho \"$1\"\nset\n").unwrap();
        std::fs::set_permissions(ocf.file(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let run = |operation| {
            let program = ocf.program(operation, 5000).unwrap();
            program.run(Duration::from_secs(20))
        };
        let output = run(Operation::Monitor).await.output;
        let wanted = [
            "monitor\n",
            "OCF_RESKEY_ip='10.0.0.1'",
            "OCF_RESOURCE_INSTANCE='db.data'",
            "OCF_RESOURCE_TYPE='Dummy'",
            "OCF_RESOURCE_PROVIDER='test'",
            "OCF_RA_VERSION_MAJOR='1'",
            "OCF_RESKEY_CRM_meta_timeout='5000'",
            "OCF_RESKEY_CRM_meta_interval='20000'",
        ];
        for line in wanted {
            assert!(output.contains(line), "{line}: {output}");
        }
        assert!(ocf.program(Operation::Outdate, 1).is_none());
        let output = run(Operation::Probe).await.output;
        assert!(
            output.contains("OCF_RESKEY_CRM_meta_interval='0'"),
            "{output}"
        );
    }
}
