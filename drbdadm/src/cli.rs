// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line.
//!
//! Options may stand anywhere. Those in front of a `--` that precedes the
//! command, and those given with `-W`, go to the back end unseen, as ever.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use drbd_conf::Dialect;

use crate::command::{self, Command, Shown};
use crate::driver;
use crate::failure::{Failure, USAGE};

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The program's own name, as it was called.
    pub(crate) program: String,
    /// The command.
    pub(crate) command: &'static Command,
    /// Selectors as given.
    pub(crate) selectors: Vec<String>,
    /// Options for the back end, ready to be passed: `--force`, `--size=5G`.
    pub(crate) backend: Vec<String>,
    /// `-d`: print instead of doing.
    pub(crate) dry_run: bool,
    /// `-v`: how often.
    pub(crate) verbose: u8,
    /// `-S`.
    pub(crate) stacked: bool,
    /// `-c`.
    pub(crate) config: Option<String>,
    /// `-t`.
    pub(crate) config_to_test: Vec<String>,
    /// `-n`.
    pub(crate) variable: Option<String>,
    /// `-s`.
    pub(crate) drbdsetup: Option<String>,
    /// `-m`.
    pub(crate) drbdmeta: Option<String>,
    /// `-P`.
    pub(crate) peer: Option<String>,
    /// `--json`.
    pub(crate) json: bool,
}

fn general() -> Vec<Arg> {
    let flag = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name)
            .long(name)
            .short(short)
            .action(ArgAction::Count)
            .global(true)
            .help(help)
    };
    let value = |name: &'static str, short: char, what: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .short(short)
            .value_name(what)
            .allow_hyphen_values(true)
            .action(ArgAction::Append)
            .global(true)
            .help(help)
    };
    vec![
        flag("dry-run", 'd', "Print the commands, do nothing"),
        flag("verbose", 'v', "Print the commands, and run them"),
        flag("stacked", 'S', "Work on stacked resources"),
        value("config-file", 'c', "FILE", "Read FILE; - is standard input"),
        value(
            "config-to-test",
            't',
            "FILE",
            "Check FILE together with the configuration",
        ),
        value("config-to-exclude", 'E', "FILE", "Do not read FILE").hide(true),
        value("drbdsetup", 's', "PATH", "Use this drbdsetup"),
        value("drbdmeta", 'm', "PATH", "Use this drbdmeta"),
        value("drbd-proxy-ctl", 'p', "PATH", "Accepted, not used").hide(true),
        value(
            "sh-varname",
            'n',
            "NAME",
            "Print NAME=RESOURCE in front of each command",
        ),
        value("peer", 'P', "HOST", "Work on the connection to HOST only"),
        value(
            "backend-option",
            'W',
            "OPTION",
            "Hand OPTION on to drbdsetup or drbdmeta",
        ),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .global(true)
            .help("Print results and errors as JSON"),
        flag("version", 'V', "Print versions as shell variables"),
    ]
}

/// The definition that help, completion and parsing share.
pub(crate) fn definition(dialect: Dialect) -> clap::Command {
    let selectors = Arg::new("selectors")
        .value_name("RESOURCE")
        .action(ArgAction::Append)
        .num_args(0..)
        .help("all, RES, RES/VOLUME, RES:PEER, RES:PEER/VOLUME or minor-N");
    let mut root = clap::Command::new("drbdadm")
        .about("Administer drbd resources as drbd.conf describes them")
        .override_usage("drbdadm [OPTIONS] COMMAND [COMMAND OPTIONS] {all|RESOURCE...}")
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args(general());
    for command in command::COMMANDS.iter().filter(|c| c.is_in(dialect)) {
        root = root.subcommand(
            clap::Command::new(command.name)
                .about(command.about)
                .hide(command.shown != Shown::Help)
                .disable_version_flag(true)
                .infer_long_args(true)
                .args(command.options_in(dialect).arguments(dialect))
                .arg(selectors.clone()),
        );
    }
    root
}

/// Reads the command line; `None` if all there was to do was to print help.
pub(crate) fn parse(argv: &[String]) -> Result<Option<Request>, Failure> {
    let program = argv.first().cloned().unwrap_or_else(|| "drbdadm".into());
    let name = program.rsplit('/').next().unwrap_or("drbdadm").to_owned();
    let (early, arguments) = old_style(argv.get(1..).unwrap_or(&[]));
    let dialect = driver::dialect();
    let mut root = definition(dialect);
    let parsed = root
        .clone()
        .try_get_matches_from(std::iter::once("drbdadm".to_owned()).chain(arguments));
    let matches = match parsed {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print!("{}", error.render());
            return Ok(None);
        }
        Err(error) => return Err(Failure::ready(USAGE, explain(&name, &error))),
    };
    if matches.get_count("version") > 0 {
        crate::driver::print_versions();
        return Ok(None);
    }
    let Some((given, inner)) = matches.subcommand() else {
        return Err(Failure::ready(USAGE, root.render_help().to_string()));
    };
    let Some(command) = command::find(given, dialect) else {
        return Err(Failure::ready(USAGE, unknown(&name, given)));
    };
    let many = |id: &str| -> Vec<String> {
        inner
            .get_many::<String>(id)
            .map(|values| values.cloned().collect())
            .unwrap_or_default()
    };
    let last = |id: &str| many(id).pop();
    let json = inner.get_flag("json");
    if json && !command.has_json() {
        return Err(Failure::new(
            USAGE,
            format!("`{}` prints nothing that there is JSON for", command.name),
            &["leave out --json"],
        ));
    }
    let verbose = inner.get_count("verbose");
    let mut backend = early;
    backend.extend(backend_options(inner, command));
    if command.name == "status" && verbose > 0 {
        backend.push("--verbose".into());
    }
    if command.name == "status" && json {
        backend.push("--json".into());
    }
    backend.extend(many("backend-option"));
    let mut selectors = many("selectors");
    let peer = last("peer");
    if let (Some(peer), false) = (&peer, dialect.is_84()) {
        for selector in &mut selectors {
            if !selector.contains(':') {
                *selector = format!("{selector}:{peer}");
            }
        }
    }
    Ok(Some(Request {
        program,
        command,
        selectors,
        backend,
        dry_run: inner.get_count("dry-run") > 0,
        verbose,
        stacked: inner.get_count("stacked") > 0,
        config: last("config-file"),
        config_to_test: many("config-to-test"),
        variable: last("sh-varname"),
        drbdsetup: last("drbdsetup"),
        drbdmeta: last("drbdmeta"),
        peer,
        json,
    }))
}

/// `drbdadm -- --force primary r0`: what stands between `--` and the command
/// word belongs to the back end.
///
/// Old names of commands are replaced on the way.
fn old_style(arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let mut early = Vec::new();
    let mut rest = Vec::new();
    let mut behind_dashes = false;
    let mut command_seen = false;
    let mut value_next = false;
    for argument in arguments {
        if command_seen || value_next {
            rest.push(argument.clone());
            value_next = false;
            continue;
        }
        if argument == "--" && !behind_dashes {
            behind_dashes = true;
            continue;
        }
        let is_command =
            !argument.starts_with('-') && command::find(argument, driver::dialect()).is_some();
        if behind_dashes && !is_command {
            early.push(argument.clone());
            continue;
        }
        if is_command {
            command_seen = true;
            for (old, new) in [("state", "role"), ("outdate-peer", "fence-peer")] {
                if argument == old {
                    eprintln!("'drbdadm {old}' is deprecated, use 'drbdadm {new}' instead.");
                }
            }
            rest.push(
                command::find(argument, driver::dialect())
                    .map_or(argument.as_str(), |c| c.name)
                    .to_owned(),
            );
            continue;
        }
        // The word behind `-c` is a file, even if it is called `dump`.
        value_next = matches!(
            argument.as_str(),
            "-c" | "-t" | "-E" | "-s" | "-m" | "-p" | "-n" | "-P" | "-W"
        );
        rest.push(argument.clone());
    }
    if !command_seen && rest.first().map(String::as_str) == Some("help") {
        rest = vec!["--help".into()];
    }
    (early, rest)
}

/// The back-end options in the order they were typed.
fn backend_options(matches: &ArgMatches, command: &Command) -> Vec<String> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let dialect = driver::dialect();
    for arg in command.options_in(dialect).arguments(dialect) {
        let id = arg.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            let at = matches.index_of(id).unwrap_or(0);
            found.push((at, format!("--{id}")));
            continue;
        }
        let mut indices = matches.indices_of(id).into_iter().flatten();
        for occurrence in matches.get_occurrences::<String>(id).into_iter().flatten() {
            let values: Vec<&String> = occurrence.collect();
            let at = indices.next().unwrap_or(usize::MAX);
            found.push(match values.first() {
                Some(value) => (at, format!("--{id}={value}")),
                None => (at, format!("--{id}")),
            });
        }
    }
    found.sort();
    found.into_iter().map(|(_, option)| option).collect()
}

fn unknown(program: &str, word: &str) -> String {
    format!("{program}: Unknown command '{word}'\n  see `drbdadm --help` and `drbdadm hidden-commands`\n")
}

fn explain(program: &str, error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    if error.kind() == ErrorKind::InvalidSubcommand {
        if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
            let mut text = unknown(program, word);
            if let Some(ContextValue::Strings(near)) = error.get(ContextKind::SuggestedSubcommand) {
                text.push_str(&format!("  did you mean {}?\n", near.join(", ")));
            }
            return text;
        }
    }
    error.render().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&argv).unwrap().unwrap()
    }

    #[test]
    fn the_definition_is_consistent() {
        definition(Dialect::V9).debug_assert();
        definition(Dialect::V84).debug_assert();
    }

    #[test]
    fn options_stand_anywhere_and_keep_their_order() {
        let request = request("drbdadm verify r0 --stop=1M -d --start 0 r1");
        assert!(request.dry_run);
        assert_eq!(request.selectors, ["r0", "r1"]);
        assert_eq!(request.backend, ["--stop=1M", "--start=0"]);
    }

    #[test]
    fn old_style_and_w_options_pass_unseen() {
        assert_eq!(
            request("drbdadm -- --force primary r0").backend,
            ["--force"]
        );
        assert_eq!(
            request("drbdadm -W--anything primary r0").backend,
            ["--anything"]
        );
        assert_eq!(
            request("drbdadm -c dump status r0").config,
            Some("dump".into())
        );
    }

    #[test]
    fn a_flag_may_have_a_value_but_takes_no_word() {
        assert_eq!(request("drbdadm primary --force r0").backend, ["--force"]);
        assert_eq!(
            request("drbdadm primary --force=yes r0").backend,
            ["--force=yes"]
        );
        assert_eq!(
            request("drbdadm primary --overwrite-data-of-peer r0").backend,
            ["--force"]
        );
    }

    #[test]
    fn foreign_options_and_commands_are_refused() {
        for line in [
            "drbdadm primary --size=3 r0",
            "drbdadm nosuch r0",
            "drbdadm",
        ] {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(parse(&argv).unwrap_err().status, USAGE, "{line}");
        }
    }
}
