// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs with a limit: started in a process group of their own, killed with all of it when the time is over.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::underway::{Slot, VARIABLE};

/// Between the request to end and the end.
const GRACE: Duration = Duration::from_secs(2);
/// What is kept of each output.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// How long output is waited for that a daemon the program left behind may never close.
const DRAIN: Duration = Duration::from_millis(200);

/// Takes its slot, or ends; enters the control group, and is as killable as other programs when memory runs out, which the daemon
/// is not.
const ENTER: &str = r#"
set -C
[ -z "$1" ] || echo $$ >"$1" || exit 125
set +C
[ -z "$2" ] || { echo 0 >/proc/self/oom_score_adj; echo 0 >"$2/cgroup.procs"; }
shift 2
exec "$@"
"#;

/// A program to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Its file, or its name in PATH.
    pub file: PathBuf,
    /// Arguments.
    pub arguments: Vec<OsString>,
    /// Environment beside PATH and the locale.
    pub environment: Vec<(String, String)>,
    /// What it reads.
    pub input: Vec<u8>,
    /// Control group that its processes belong to, if there is one.
    pub cgroup: Option<PathBuf>,
    /// Where it is noted while it runs.
    pub(super) slot: Option<Arc<Slot>>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With that code.
    Exited(i32),
    /// By that signal.
    Killed(i32),
    /// It took too long, and was killed with everything it started.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

/// A program that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What it printed, as far as it is kept.
    pub output: String,
    /// What it complained about.
    pub complaints: String,
    /// How long it took.
    pub took: Duration,
}

impl Ended {
    /// Its exit code, if it had one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self.end {
            End::Exited(code) => Some(code),
            End::Killed(_) | End::TimedOut | End::NotStarted(_) => None,
        }
    }

    /// One line for people: how it ended, and its last words.
    #[must_use]
    pub fn story(&self) -> String {
        let end = match &self.end {
            End::Exited(code) => format!("exit code {code}"),
            End::Killed(signal) => format!("killed by signal {signal}"),
            End::TimedOut => format!("took longer than {} s and was killed", self.took.as_secs()),
            End::NotStarted(why) => format!("could not be started: {why}"),
        };
        let mut said = self.complaints.lines().chain(self.output.lines());
        match said.rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("{end}: {}", line.trim()),
            None => end,
        }
    }
}

impl Program {
    /// A program without anything special.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Program {
            file: file.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            ..Program::default()
        }
    }

    fn is_wrapped(&self) -> bool {
        self.cgroup.is_some() || self.slot.is_some()
    }

    fn command(&self) -> Command {
        let mut command = if self.is_wrapped() {
            // A shell enters the group and becomes the program, so that it has no process outside of it.
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", ENTER, "drbd-had"]);
            shell.arg(self.slot.as_ref().map_or(Path::new(""), |slot| slot.path()));
            shell.arg(self.cgroup.as_deref().unwrap_or(Path::new("")));
            shell.arg(&self.file);
            shell
        } else {
            Command::new(&self.file)
        };
        command.args(&self.arguments).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        command.env("PATH", path).env("LC_ALL", "C.UTF-8");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        if let Some(slot) = &self.slot {
            command.env(VARIABLE, slot.name());
        }
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.current_dir("/").process_group(0);
        command
    }

    /// Runs it for at most `limit`.
    pub async fn run(self, limit: Duration) -> Ended {
        let begun = Instant::now();
        let wrapped = self.is_wrapped();
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(error) => {
                return Ended {
                    end: End::NotStarted(error.to_string()),
                    output: String::new(),
                    complaints: String::new(),
                    took: begun.elapsed(),
                }
            }
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let mut guard = Guard { group };
        if let Some(mut stdin) = child.stdin.take() {
            let input = self.input;
            tokio::spawn(async move {
                // A program that does not read its input is none of our business.
                let _ = stdin.write_all(&input).await;
            });
        }
        let output = tokio::spawn(collect(child.stdout.take()));
        let complaints = tokio::spawn(collect(child.stderr.take()));
        let mut end = wait(&mut child, group, limit).await;
        guard.group = None;
        let output = finish(output).await;
        let complaints = finish(complaints).await;
        if wrapped && matches!(end, End::Exited(126 | 127)) {
            // What the shell says of a file that it can't become.
            let why = complaints.lines().next_back().unwrap_or("no such program");
            end = End::NotStarted(why.to_owned());
        }
        Ended {
            end,
            output,
            complaints,
            took: begun.elapsed(),
        }
    }
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Ends what still runs when nobody waits for it any more.
struct Guard {
    group: Option<i32>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            signal(group, Signal::SIGKILL);
        }
    }
}

fn signal(group: i32, signal: Signal) {
    // Nobody left to be told is what is wanted.
    let _ = killpg(Pid::from_raw(group), signal);
}

async fn wait(child: &mut Child, group: Option<i32>, limit: Duration) -> End {
    use std::os::unix::process::ExitStatusExt as _;
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Killed(signal.unwrap_or_default()),
        },
        Ok(Err(error)) => End::NotStarted(error.to_string()),
        Err(_) => {
            if let Some(group) = group {
                signal(group, Signal::SIGTERM);
                let _ = tokio::time::timeout(GRACE, child.wait()).await;
                // What it started and did not wait for is still in the group.
                signal(group, Signal::SIGKILL);
            }
            // A process that sleeps in the kernel does not end of a signal: nobody waits for it.
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
            End::TimedOut
        }
    }
}

type Collector = tokio::task::JoinHandle<()>;

/// What was read so far, and who reads on.
struct Collected {
    text: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    reader: Collector,
}

async fn collect(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Collected {
    let text = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = std::sync::Arc::clone(&text);
    let reader = tokio::spawn(async move {
        let Some(mut pipe) = pipe else {
            return;
        };
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            let Ok(mut text) = into.lock() else {
                return;
            };
            let room = OUTPUT_BYTES_MAX.saturating_sub(text.len());
            let part = buffer.get(..length.min(room)).unwrap_or_default();
            text.extend_from_slice(part);
        }
    });
    Collected { text, reader }
}

async fn finish(collector: tokio::task::JoinHandle<Collected>) -> String {
    let Ok(mut collected) = collector.await else {
        return String::new();
    };
    if tokio::time::timeout(DRAIN, &mut collected.reader)
        .await
        .is_err()
    {
        collected.reader.abort();
    }
    let text = collected.text.lock();
    text.map(|text| String::from_utf8_lossy(&text).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh", &["-c", script])
    }

    #[tokio::test]
    async fn tells_how_it_ended_and_what_it_said() {
        let ended = shell("read a; echo \"$a $B\"; echo no >&2; exit 7");
        let ended = Program {
            input: b"text\n".to_vec(),
            environment: vec![("B".to_owned(), "b".to_owned())],
            ..ended
        };
        let ended = ended.run(LONG).await;
        assert_eq!(ended.end, End::Exited(7));
        assert_eq!(ended.output, "text b\n");
        assert_eq!(ended.story(), "exit code 7: text b");
        let ended = shell("kill -9 $$").run(LONG).await;
        assert_eq!(ended.end, End::Killed(9));
        let ended = Program::new("/nonexistent", &[]).run(LONG).await;
        assert!(matches!(ended.end, End::NotStarted(_)), "{ended:?}");
    }

    #[tokio::test]
    async fn knows_nothing_of_our_environment() {
        std::env::set_var("DRBD_HA_SECRET_OF_A_TEST", "1");
        let ended = shell("env").run(LONG).await;
        assert!(
            !ended.output.contains("DRBD_HA_SECRET_OF_A_TEST"),
            "{}",
            ended.output
        );
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie is dead.
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn what_takes_too_long_ends_with_everything_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        // The child does not listen to requests.
        let script = format!(
            "sh -c 'trap \"\" TERM; echo $$ >{}; while :; do sleep 0.1; done' & wait",
            file.display()
        );
        let ended = shell(&script).run(Duration::from_millis(500)).await;
        assert_eq!(ended.end, End::TimedOut);
        let pid = std::fs::read_to_string(file).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!is_alive(&pid));
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_the_pipe_open_does_not_hold_us_up() {
        let begun = Instant::now();
        let ended = shell("sleep 3 & echo started").run(LONG).await;
        assert_eq!(ended.end, End::Exited(0));
        assert_eq!(ended.output, "started\n");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn endless_output_is_cut() {
        let ended = shell("head -c 1000000 /dev/zero").run(LONG).await;
        assert_eq!(ended.end, End::Exited(0));
        assert_eq!(ended.output.len(), OUTPUT_BYTES_MAX);
    }
}
