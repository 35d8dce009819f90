// SPDX-License-Identifier: GPL-2.0-or-later
//! The user's terminal.

use std::io::{self, IsTerminal};
use std::process::Command;

use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg, Termios};

/// Key that leaves or switches a shell: Ctrl-].
pub(crate) const ESCAPE: u8 = 0x1d;

/// Raw mode of standard input, while this lives.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Switches the terminal to raw mode; `None` if there is none.
    pub(crate) fn enter() -> Option<Raw> {
        if !is_interactive() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw).ok()?;
        Some(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Whether somebody sits there.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Rows and columns, as stty(1) says.
pub(crate) fn size() -> (u16, u16) {
    let parse = || {
        let output = Command::new("stty")
            .arg("size")
            .stdin(std::process::Stdio::inherit())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (rows, columns) = text.trim().split_once(' ')?;
        Some((rows.parse().ok()?, columns.parse().ok()?))
    };
    parse()
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
        .unwrap_or((24, 80))
}
