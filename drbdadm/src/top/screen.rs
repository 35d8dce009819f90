// SPDX-License-Identifier: GPL-2.0-or-later
//! The terminal: cleared before each picture, and given back as it was.

use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

/// Another screen of the terminal, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Where pictures go.
pub(super) struct Screen {
    /// What the terminal was like; none if the pictures are not for one.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal if there is one and it is `wanted`.
    pub(super) fn open(wanted: bool) -> Screen {
        let there = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let before = termios::tcgetattr(std::io::stdin())
            .ok()
            .filter(|_| wanted && there);
        if let Some(before) = &before {
            // Keys are read one by one, and not shown.
            let mut keys = before.clone();
            keys.local_flags
                .remove(LocalFlags::ICANON | LocalFlags::ECHO);
            let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &keys);
            print!("{ENTER}");
            let _ = std::io::stdout().flush();
        }
        Screen { before }
    }

    pub(super) fn is_live(&self) -> bool {
        self.before.is_some()
    }

    /// Waits; true if `q` was pressed.
    pub(super) fn wait(&mut self, interval: Duration) -> bool {
        if !self.is_live() {
            std::thread::sleep(interval);
            return false;
        }
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(interval).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) => false,
            Ok(_) => {
                let mut key = [0; 16];
                let length = nix::unistd::read(&stdin, &mut key);
                // A terminal that is gone wants no more pictures.
                length.map_or(true, |length| {
                    length == 0
                        || key
                            .iter()
                            .take(length)
                            .any(|key| matches!(key, b'q' | b'Q'))
                })
            }
            Err(_) => false,
        }
    }

    pub(super) fn show(&mut self, node: &str, text: &str) {
        let mut out = std::io::stdout();
        let _ = if self.is_live() {
            write!(out, "{CLEAR}drbdadm top on {node}, q ends it\n\n{text}")
        } else {
            writeln!(out, "{text}")
        };
        let _ = out.flush();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
            print!("{LEAVE}");
            let _ = std::io::stdout().flush();
        }
    }
}
