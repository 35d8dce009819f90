// SPDX-License-Identifier: GPL-2.0-or-later
//! Talking to the daemon.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::daemon::protocol::{Answer, Request};

/// A connection to the daemon of this node.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| {
            format!(
                "cannot reach drbd-had at {}\n  does it run?  systemctl status drbd-had",
                socket.display()
            )
        })?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// Gives up waiting for an answer after that.
    pub(super) fn limit(&mut self, limit: Duration) -> Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit))?;
        Ok(())
    }

    /// Says something.
    pub(super) fn say(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        Ok(())
    }

    /// The next answer, as it came and as it is meant; `None` when the daemon is gone.
    pub(super) fn hear(&mut self) -> Result<Option<(String, Answer)>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let answer = serde_json::from_str(&line).context(
            "drbd-had answers something that this drbd-hactl does not know: same version?",
        )?;
        Ok(Some((line, answer)))
    }

    /// Asks once.
    pub(super) fn ask(&mut self, request: &Request) -> Result<(String, Answer)> {
        self.say(request)?;
        self.hear()?
            .context("drbd-had ended before it answered\n  see:  journalctl -u drbd-had")
    }
}
