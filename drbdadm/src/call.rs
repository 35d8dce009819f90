// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls of drbdsetup and drbdmeta: printed or carried out.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use drbd_conf::model::Global;
use serde::{Deserialize, Serialize};
use wait_timeout::ChildExt as _;

use crate::cli::Request;
use crate::driver;
use crate::failure::CANNOT_EXECUTE;
use crate::inside::{Inside, Outcome};
use crate::kernel;
use crate::progress::Bars;
use crate::worker::{Order, Streams};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Program {
    Drbdsetup,
    Drbdmeta,
}

impl Program {
    /// Its name, as it is installed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Drbdsetup => "drbdsetup",
            Program::Drbdmeta => "drbdmeta",
        }
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The kernel answers at once.
    Short,
    /// The kernel may have to wait for a peer or a disk.
    Medium,
    /// Metadata is read or written.
    Long,
    /// A wait, or a question to the administrator.
    None,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) program: Program,
    pub(crate) args: Vec<String>,
    pub(crate) limit: Limit,
    /// The resource it is for.
    pub(crate) resource: String,
    /// Hide what it says on stderr: another call answers if this one cannot.
    pub(crate) quiet: bool,
    /// Whether to go on if it fails.
    pub(crate) optional: bool,
}

impl Call {
    pub(crate) fn setup<I: Into<String>>(
        resource: &str,
        limit: Limit,
        args: impl IntoIterator<Item = I>,
    ) -> Call {
        Call {
            program: Program::Drbdsetup,
            args: args.into_iter().map(Into::into).collect(),
            limit,
            resource: resource.to_owned(),
            quiet: false,
            optional: false,
        }
    }

    pub(crate) fn meta<I: Into<String>>(
        resource: &str,
        limit: Limit,
        args: impl IntoIterator<Item = I>,
    ) -> Call {
        Call {
            program: Program::Drbdmeta,
            ..Call::setup(resource, limit, args)
        }
    }

    pub(crate) fn quiet(mut self) -> Call {
        self.quiet = true;
        self
    }

    /// The same, telling what it has to say.
    pub(crate) fn loud(mut self) -> Call {
        self.quiet = false;
        self
    }

    pub(crate) fn optional(mut self) -> Call {
        self.optional = true;
        self
    }

    /// Whether it waits for peers.
    fn is_wait(&self) -> bool {
        self.args
            .first()
            .is_some_and(|name| name.starts_with("wait-"))
    }

    pub(crate) fn with(mut self, more: impl IntoIterator<Item = String>) -> Call {
        self.args.extend(more);
        self
    }
}

/// What carries out calls.
pub(crate) struct Runner {
    drbdsetup: String,
    drbdmeta: String,
    /// The programs were named on the command line: drbdsetup, drbdmeta.
    named: [bool; 2],
    inside: Inside,
    /// The programs are those of generation 8.4.
    is_84: bool,
    variable: Option<String>,
    print: bool,
    dry_run: bool,
    short: Option<Duration>,
    medium: Option<Duration>,
    long: Option<Duration>,
}

impl Runner {
    pub(crate) fn new(request: &Request, global: &Global) -> Runner {
        // 0 means no limit, as in the configuration. A loaded machine needs
        // more than the reference's 5 s to load the module on the first call.
        let limit = |given: Option<u32>, default: u32| {
            let seconds = given.unwrap_or(default);
            (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
        };
        let is_84 = driver::dialect().is_84();
        let drbdsetup = if is_84 { "drbdsetup-84" } else { "drbdsetup" };
        Runner {
            is_84,
            drbdsetup: helper(request, request.drbdsetup.as_deref(), drbdsetup),
            drbdmeta: helper(request, request.drbdmeta.as_deref(), "drbdmeta"),
            named: [request.drbdsetup.is_some(), request.drbdmeta.is_some()],
            inside: Inside::default(),
            variable: request.variable.clone(),
            print: request.dry_run || (request.verbose > 0 && request.command.name != "status"),
            dry_run: request.dry_run,
            short: limit(global.cmd_timeout_short, 30),
            medium: limit(global.cmd_timeout_medium, 121),
            long: limit(global.cmd_timeout_long, 600),
        }
    }

    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run
    }

    fn program(&self, program: Program) -> &str {
        match program {
            Program::Drbdsetup => &self.drbdsetup,
            Program::Drbdmeta => &self.drbdmeta,
        }
    }

    /// The call as one line of shell.
    pub(crate) fn line(&self, call: &Call) -> String {
        let mut words = vec![escape(self.program(call.program))];
        words.extend(call.args.iter().map(|argument| escape(argument)));
        let line = words.join(" ");
        match &self.variable {
            Some(name) => format!("{name}={} {line}", escape(&call.resource)),
            None => line,
        }
    }

    /// Carries out a call, or prints it in a dry run. Returns its status; 20 if
    /// it could not be started or did not end in time.
    pub(crate) fn run(&self, call: &Call) -> i32 {
        if self.print {
            // A broken pipe on stdout must not stop what has been begun.
            let _ = writeln!(std::io::stdout(), "{}", self.line(call));
        }
        if self.dry_run {
            return 0;
        }
        let status = self.execute(call);
        if status >= 10 && !call.quiet && !call.optional {
            eprintln!(
                "Command '{}' terminated with exit code {status}",
                self.line(call)
            );
        }
        status
    }

    /// The program to be started: every drbdsetup works with a driver of 8.4, by itself or with the old one that it
    /// knows of.
    fn executable(&self, program: Program) -> &str {
        let named = self.program(program);
        if self.is_84 && program == Program::Drbdsetup && !is_there(named) {
            return named.strip_suffix("-84").unwrap_or(named);
        }
        named
    }

    fn command(&self, call: &Call) -> Command {
        let program = self.executable(call.program);
        let mut command = Command::new(program);
        command.args(&call.args);
        if program != self.program(call.program) {
            command.env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11");
        }
        command
    }

    /// Whether questions to the kernel cost no process.
    pub(crate) fn asks_inside(&self) -> bool {
        self.is_inside(Program::Drbdsetup)
    }

    fn is_inside(&self, program: Program) -> bool {
        let [setup, meta] = self.named;
        let named = match program {
            Program::Drbdsetup => setup,
            Program::Drbdmeta => meta,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        !named && (self.inside).serves(program, self.executable(program), &path)
    }

    /// Has a call carried out without a process of its own; `None` if it has to be
    /// one: it is not ours, or may take as long as it likes or ask a question.
    fn inside(&self, call: &Call, streams: Streams) -> Option<Outcome> {
        if call.limit == Limit::None || !self.is_inside(call.program) {
            return None;
        }
        let order = Order {
            program: call.program,
            args: call.args.clone(),
            streams,
        };
        self.inside.order(&order, self.limit(call))
    }

    fn execute(&self, call: &Call) -> i32 {
        let streams = match (call.quiet, call.optional) {
            (_, true) => Streams::Silent,
            (true, false) => Streams::Quiet,
            (false, false) => Streams::Shown,
        };
        match self.inside(call, streams) {
            Some(Outcome::Answered(answer)) => return i32::from(answer.status),
            Some(Outcome::Late) => return self.conclude(call, Ok(None)),
            Some(Outcome::Ended(status)) => return self.conclude(call, status.map(Some)),
            None => {}
        }
        let program = self.program(call.program);
        let mut command = self.command(call);
        if call.quiet || call.optional {
            command.stderr(Stdio::null());
        }
        if call.optional {
            command.stdout(Stdio::null());
        }
        match command.spawn() {
            Ok(mut child) => self.wait(call, &mut child),
            Err(error) => {
                eprintln!("error: cannot start {program}: {error}");
                eprintln!("  install it beside drbdadm, or name it: drbdadm -s PATH -m PATH ...");
                CANNOT_EXECUTE
            }
        }
    }

    /// How long a call may take.
    fn limit(&self, call: &Call) -> Option<Duration> {
        match call.limit {
            Limit::Short => self.short,
            Limit::Medium => self.medium,
            Limit::Long => self.long,
            Limit::None => None,
        }
    }

    fn wait(&self, call: &Call, child: &mut Child) -> i32 {
        let ended = match self.limit(call) {
            Some(limit) => child.wait_timeout(limit),
            None if call.is_wait() => self.watch(call, child).map(Some),
            None => child.wait().map(Some),
        };
        self.conclude(call, ended)
    }

    /// Status of a call whose process ended; it did not in time if there is none.
    fn conclude(&self, call: &Call, ended: std::io::Result<Option<ExitStatus>>) -> i32 {
        match ended {
            Ok(Some(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => code,
                (None, signal) => {
                    eprintln!(
                        "error: '{}' was killed by signal {}",
                        self.line(call),
                        signal.unwrap_or(0)
                    );
                    CANNOT_EXECUTE
                }
            },
            Ok(None) => {
                let seconds = self.limit(call).map_or(0, |limit| limit.as_secs());
                eprintln!(
                    "Command '{}' did not terminate within {seconds} seconds",
                    self.line(call)
                );
                CANNOT_EXECUTE
            }
            Err(error) => {
                eprintln!("error: cannot wait for '{}': {error}", self.line(call));
                CANNOT_EXECUTE
            }
        }
    }

    /// Waits for a child that itself waits for peers, and shows how far they are.
    fn watch(&self, call: &Call, child: &mut Child) -> std::io::Result<ExitStatus> {
        /// Time between two pictures.
        const PAUSE: Duration = Duration::from_millis(500);
        let Some(mut bars) = Bars::new() else {
            return child.wait();
        };
        loop {
            if let Some(status) = child.wait_timeout(PAUSE)? {
                bars.clear();
                return Ok(status);
            }
            let running = kernel::status(self).unwrap_or_default();
            for resource in running.iter().filter(|r| r.name == call.resource) {
                bars.draw(resource);
            }
        }
    }

    /// What a call prints, or `None` if it fails. Runs in a dry run, too: it
    /// only asks.
    pub(crate) fn output(&self, call: &Call) -> Option<String> {
        match self.inside(call, Streams::Captured) {
            Some(Outcome::Answered(answer)) => {
                return (answer.status == 0).then_some(answer.output);
            }
            Some(Outcome::Late | Outcome::Ended(_)) => return None,
            None => {}
        }
        let output = self
            .command(call)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A program beside drbdadm, if it was called by path; else by its name.
fn helper(request: &Request, given: Option<&str>, name: &str) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    if let Some((directory, _)) = request.program.rsplit_once('/') {
        let beside = format!("{directory}/{name}");
        // What stands for a program of 8.4 is found when it is started.
        let stands_for_it = beside.strip_suffix("-84").unwrap_or(&beside);
        if Path::new(&beside).is_file() || Path::new(stands_for_it).is_file() {
            return beside;
        }
    }
    name.to_owned()
}

/// Whether a program is where its path says, or in one of the folders of PATH.
fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Puts a backslash in front of everything a shell might look at.
fn escape(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        let plain = c.is_ascii_alphanumeric()
            || matches!(c, '%' | '+' | '-' | '.' | '/' | ':' | '=' | '@' | '_');
        if !plain {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn shells_read_the_words_back() {
        assert_eq!(
            escape("--shared-secret=a,b \"c"),
            "--shared-secret=a\\,b\\ \\\"c"
        );
        assert_eq!(escape("ipv6:[::1]:7"), "ipv6:\\[::1\\]:7");
    }
}
