// SPDX-License-Identifier: GPL-2.0-or-later
//! Child processes that cannot outlive this one.
//!
//! The kernel kills each child when the thread that made it ends
//! (`PR_SET_PDEATHSIG`, set by setpriv(1)), so all are made by one thread that
//! lives as long as the process: even a test run ended by SIGKILL leaves no
//! virtual machine behind.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{mpsc, Mutex, OnceLock, PoisonError};
use std::thread;

type Answer = mpsc::SyncSender<io::Result<Child>>;
type Order = (Command, Answer);

static MAKER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();

/// Becomes the program, unless the process that asked for it is gone already:
/// a parent that died before setpriv(1) made its request is never reported.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// A command for `program` that will be killed with this process and is not
/// reached by the terminal's Ctrl-C.
pub(crate) fn tied(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "sh", "-c", UNLESS_ORPHANED]);
    command.arg(std::process::id().to_string()).arg(program);
    command.process_group(0);
    command
}

/// Starts a command made by [`tied`].
///
/// # Errors
///
/// What starting it reports, setpriv(1) missing first of all.
pub(crate) fn start(command: Command) -> io::Result<Child> {
    let maker = MAKER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in receiver {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, result) = mpsc::sync_channel(1);
    maker
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    /// What the test below runs in a process of its own.
    #[test]
    #[ignore = "helper of a_killed_process_leaves_no_child"]
    fn start_a_sleeper_and_wait() {
        let mut child = thread::spawn(|| {
            let mut command = tied("sleep");
            command.arg("60");
            start(command).unwrap()
        })
        .join()
        .unwrap();
        println!("child {}", child.id());
        // Killed long before; the wait is for the lint and the case it is not.
        child.wait().unwrap();
    }

    #[test]
    fn a_killed_process_leaves_no_child() {
        kill_the_parent(|_| true);
    }

    #[test]
    fn nor_one_that_has_become_the_program() {
        kill_the_parent(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.unwrap_or_default().trim() == "sleep"
        });
    }

    /// Kills a parent once its child is `ready`.
    fn kill_the_parent(ready: impl Fn(&str) -> bool) {
        use std::io::{BufRead, BufReader};
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::tests::start_a_sleeper_and_wait"])
            .args(["--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let pid = out
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.rsplit_once("child ").map(|(_, pid)| pid.to_owned()))
            .unwrap();
        let alive = || {
            std::path::Path::new("/proc")
                .join(&pid)
                .join("exe")
                .exists()
        };
        assert!(alive(), "the sleeper runs");
        let begin = Instant::now();
        while !ready(&pid) {
            assert!(begin.elapsed() < Duration::from_secs(5), "{pid} is not it");
            thread::sleep(Duration::from_millis(1));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let begin = Instant::now();
        while alive() {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "sleeper {pid} outlived us"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}
