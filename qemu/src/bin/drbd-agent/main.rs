// SPDX-License-Identifier: GPL-2.0-or-later
//! The harness's hand in the guest.
//!
//! `init` is the guest's process 1: it starts `serve`, reaps whatever is left
//! to it and starts `serve` again should that ever die. `serve` carries out
//! what the harness asks for over a virtio-serial port. `child` is what every
//! command passes through on its way to its program.

mod child;
mod file;
mod job;
mod serve;

use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["init", ..] => init(),
        ["serve"] => report(serve::run()),
        ["child", rest @ ..] => report(child::run(rest)),
        _ => {
            eprintln!(
                "drbd-agent: to be run in a guest as: drbd-agent init | serve | child PROGRAM ..."
            );
            ExitCode::from(2)
        }
    }
}

fn report(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drbd-agent: {error}");
            ExitCode::from(127)
        }
    }
}

/// Process 1 never returns: its end is a kernel panic.
fn init() -> ExitCode {
    loop {
        let server = Command::new("/proc/self/exe").arg("serve").spawn();
        let Ok(server) = server else {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        };
        let server_pid = server.id();
        loop {
            match nix::sys::wait::wait() {
                Ok(status) => {
                    let pid = status.pid().map(nix::unistd::Pid::as_raw);
                    if pid == i32::try_from(server_pid).ok() {
                        eprintln!("drbd-agent: server ended ({status:?}), starting it again");
                        break;
                    }
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
