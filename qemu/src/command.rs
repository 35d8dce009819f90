// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands in the guest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::agent::{Agent, Failure, Transcript};
use crate::error::{tail, Context, Error, Result};
use crate::image::patient;
use crate::node::Node;
use crate::proto::{Exit, Request};

/// Lines of a command's output shown with errors.
const OUTPUT_LINES: usize = 40;

/// After a time-out the command is killed and given this long to die.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + the signal's number if a signal ended it.
    pub status: i32,
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// Whether the status is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

/// `argv` of a shell that runs `script`.
pub(crate) fn shell(script: &str) -> Request {
    Request::Exec {
        argv: vec!["/bin/bash".to_owned(), "-c".to_owned(), script.to_owned()],
        env: std::collections::BTreeMap::new(),
        cwd: None,
        input: false,
    }
}

/// A command that runs while the test does something else.
///
/// Dropping it leaves it running.
pub struct Running {
    node: Node,
    agent: Arc<Agent>,
    job: u32,
    command: String,
    sent: Mutex<u64>,
}

impl Running {
    pub(crate) fn start(node: &Node, request: &Request, command: &str) -> Result<Running> {
        let agent = node.agent()?;
        let job = agent.open(request).map_err(|failure| match failure {
            Failure::Gone(why) => node.gone(command, &why),
            Failure::Late => node.late(command, Duration::ZERO, Context::default()),
        })?;
        let (node, command) = (node.clone(), command.to_owned());
        Ok(Running {
            node,
            agent,
            job,
            command,
            sent: Mutex::new(0),
        })
    }

    /// The node it runs on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after `limit`; the command is killed then.
    /// [`Error::Gone`] if the node is gone before.
    pub fn wait(self, limit: Duration) -> Result<Output> {
        let (exit, transcript) = self.finish(limit)?;
        output(&self.node, &self.command, exit, transcript)
    }

    /// As [`Running::wait`], but an exit status other than 0 is an error too.
    ///
    /// # Errors
    ///
    /// Also [`Error::Command`].
    pub fn wait_success(self, limit: Duration) -> Result<String> {
        let (node, command) = (self.node.clone(), self.command.clone());
        successful(&node, &command, self.wait(limit)?)
    }

    /// Its exit status, as in [`Output`], without ending the use of it.
    ///
    /// # Errors
    ///
    /// As [`Running::wait`].
    pub fn status(&self, limit: Duration) -> Result<i32> {
        let (exit, transcript) = self.finish(limit)?;
        output(&self.node, &self.command, exit, transcript).map(|output| output.status)
    }

    pub(crate) fn finish(&self, limit: Duration) -> Result<(Exit, Transcript)> {
        let limit = patient(limit);
        match self.agent.wait_exit(self.job, limit) {
            Ok(exit) => Ok((exit, self.agent.forget(self.job))),
            Err(Failure::Late) => {
                let _ = self.kill();
                let _ = self.agent.wait_exit(self.job, KILL_LIMIT);
                let so_far = context(&self.agent.forget(self.job));
                Err(self
                    .node
                    .late(&format!("`{}` to end", self.command), limit, so_far))
            }
            Err(Failure::Gone(why)) => {
                self.agent.forget(self.job);
                Err(self.node.gone(&format!("`{}`", self.command), &why))
            }
        }
    }

    /// Whether it has ended, or its node has.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(
            self.agent.wait_exit(self.job, Duration::ZERO),
            Err(Failure::Late)
        )
    }

    /// What it has said so far: standard output and standard error.
    #[must_use]
    pub fn so_far(&self) -> (String, String) {
        let transcript = self.agent.transcript(self.job);
        (text(&transcript.output), text(&transcript.error_output))
    }

    /// Takes what it has said since the last call, for those who follow it.
    #[must_use]
    pub fn take(&self) -> (Vec<u8>, Vec<u8>) {
        self.agent.take_output(self.job)
    }

    /// Waits until `needle` stands in its standard output.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]; [`Error::Gone`] if it or its node ends without
    /// having said it.
    pub fn wait_for(&self, needle: &str, limit: Duration) -> Result<()> {
        let limit = patient(limit);
        let said = |job: &Transcript| text(&job.output).contains(needle);
        let what = format!("`{}` to say {needle:?}", self.command);
        match self.agent.wait_output(self.job, limit, said) {
            Ok(()) if said(&self.agent.transcript(self.job)) => Ok(()),
            Ok(()) => Err(Error::Gone {
                node: self.node.name().to_owned(),
                what,
                state: "it ended".to_owned(),
                context: context(&self.agent.transcript(self.job)),
            }),
            Err(Failure::Late) => {
                Err(self
                    .node
                    .late(&what, limit, context(&self.agent.transcript(self.job))))
            }
            Err(Failure::Gone(why)) => Err(self.node.gone(&what, &why)),
        }
    }

    /// Waits until it says more than was taken, ends, or `limit` is over.
    pub fn wait_more(&self, limit: Duration) {
        let more = |job: &Transcript| !job.output.is_empty() || !job.error_output.is_empty();
        let _ = self.agent.wait_output(self.job, limit, more);
    }

    /// Writes to its standard input (of commands started with input only).
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] if it does not read, [`Error::Gone`].
    pub fn write(&self, data: &[u8], limit: Duration) -> Result<()> {
        let what = format!("`{}` to read its input", self.command);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        self.agent
            .input(self.job, &mut sent, data, limit)
            .map_err(|failure| match failure {
                Failure::Late => self.node.late(&what, limit, Context::default()),
                Failure::Gone(why) => self.node.gone(&what, &why),
            })
    }

    /// Ends its standard input.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn end_input(&self) -> Result<()> {
        self.agent
            .end_input(self.job)
            .map_err(|_| self.node.gone(&self.command, "input"))
    }

    /// Sends a signal to the command and all it started.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let number = signal as i32 as u8;
        self.agent
            .signal(self.job, number)
            .map_err(|_| self.node.gone(&self.command, "signal"))
    }

    /// Kills the command and all it started.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn context(job: &Transcript) -> Context {
    Context::default()
        .with("its output", &tail(&text(&job.output), OUTPUT_LINES))
        .with(
            "its error output",
            &tail(&text(&job.error_output), OUTPUT_LINES),
        )
}

fn output(node: &Node, command: &str, exit: Exit, transcript: Transcript) -> Result<Output> {
    if let Some(why) = exit.error {
        return Err(node.gone(&format!("`{command}`"), &why));
    }
    if transcript.lost_bytes > 0 {
        let why = format!(
            "it said {} bytes too much to be kept",
            transcript.lost_bytes
        );
        return Err(node.gone(&format!("`{command}`"), &why));
    }
    let status = exit
        .code
        .or(exit.signal.map(|signal| 128 + signal))
        .unwrap_or(-1);
    Ok(Output {
        status,
        stdout: text(&transcript.output),
        stderr: text(&transcript.error_output),
    })
}

/// Standard output of a command that must succeed.
pub(crate) fn successful(node: &Node, command: &str, output: Output) -> Result<String> {
    if output.success() {
        return Ok(output.stdout);
    }
    let context = Context::default()
        .with("its output", &tail(&output.stdout, OUTPUT_LINES))
        .with("its error output", &tail(&output.stderr, OUTPUT_LINES))
        .with("console", &node.console().tail());
    Err(Error::Command {
        node: node.name().to_owned(),
        command: command.to_owned(),
        status: format!("exit status {}", output.status),
        context,
    })
}
