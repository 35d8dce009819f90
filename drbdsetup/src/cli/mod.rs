// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line.

mod arguments;
mod commands;
mod commands_84;
mod generation;
mod options;

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

pub use arguments::{parse_address, parse_minor, Place};
pub use commands::{Action, CommandSpec, MinorQuery, Options, Query, Switch, Wait, COMMANDS};
pub use commands_84::COMMANDS_84;
pub use generation::Generation;
pub(crate) use options::given_options;

/// The program of generation 9; manual pages and completions are made of it.
pub fn program() -> Command {
    program_of(Generation::V9)
}

/// The program for clap, made of the table of commands of a generation and the tables of options.
pub fn program_of(generation: Generation) -> Command {
    Command::new("drbdsetup")
        .about("Configures the DRBD kernel module")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .infer_long_args(true)
        .subcommands(
            generation
                .commands()
                .iter()
                .map(|spec| subcommand(spec, generation)),
        )
}

fn subcommand(spec: &'static CommandSpec, generation: Generation) -> Command {
    let mut command = Command::new(spec.name)
        .about(spec.about)
        .infer_long_args(true);
    for place in spec.places {
        command = command.arg(place.arg());
    }
    if spec.set_defaults {
        command = command.arg(
            Arg::new("set-defaults")
                .long("set-defaults")
                .action(ArgAction::SetTrue)
                .help("Set every option that is not given to its default"),
        );
    }
    command = spec
        .options
        .iter()
        .flat_map(Options::rows)
        .fold(command, |command, row| {
            command.arg(options::arg(row, generation))
        });
    spec.switches
        .iter()
        .fold(command, |command, switch| command.arg(switch.arg()))
}

/// Puts arguments into the order clap expects: the old form `drbdsetup OBJECT COMMAND` is accepted.
pub fn normalize(mut arguments: Vec<OsString>, generation: Generation) -> Vec<OsString> {
    let commands = generation.commands();
    let is_command = |argument: &OsString| commands.iter().any(|spec| *argument == *spec.name);
    if let [first, second, ..] = arguments.as_slice() {
        if !is_command(first) && first != "help" && is_command(second) {
            arguments.swap(0, 1);
        }
    }
    arguments.insert(0, "drbdsetup".into());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        program().debug_assert();
        program_of(Generation::V84).debug_assert();
    }

    #[test]
    fn both_orders_are_accepted() {
        let swapped = normalize(vec!["0".into(), "detach".into()], Generation::V9);
        assert_eq!(swapped, ["drbdsetup", "detach", "0"]);
        let straight = normalize(vec!["down".into(), "status".into()], Generation::V9);
        assert_eq!(straight, ["drbdsetup", "down", "status"]);
    }

    fn accepts(line: &str) -> bool {
        accepts_in(Generation::V9, line)
    }

    fn accepts_in(generation: Generation, line: &str) -> bool {
        let words = line.split(' ').map(OsString::from).collect();
        program_of(generation)
            .try_get_matches_from(normalize(words, generation))
            .is_ok()
    }

    #[test]
    fn arguments_of_the_recorded_8_4_sessions_are_accepted() {
        for line in [
            "new-resource r0",
            "new-resource r0 --cpu-mask=1 --on-no-data-accessible=suspend-io",
            "new-minor r0 0 0",
            "attach 0 /dev/vda /dev/vda internal --c-plan-ahead=0 --resync-rate=10M --fencing=resource-only",
            "attach 1 /dev/vg0/r0 /dev/vg0/md 3 --size=1G --max-bio-bvecs=1 --on-io-error=detach",
            "connect r0 ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788 --protocol=C --max-buffers=4000 --unplug-watermark=16",
            "connect r0 ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788 --discard-my-data --dry-run",
            "net-options ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788 --ping-timeout=7",
            "disconnect ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788 --force",
            "disk-options 0 --set-defaults --c-max-rate=50M --al-extents=1237",
            "primary 0 --force",
            "secondary /dev/drbd0",
            "0 detach",
            "resize 0 --assume-clean --size=1G",
            "verify 0 --start=8 --stop=64",
            "new-current-uuid 0 --clear-bitmap",
            "wait-connect 0 --wfc-timeout=3",
            "sh-status 0",
            "status r0 --verbose --statistics --json",
            "show 0 --show-defaults",
            "events2 --now",
            "down r0",
        ] {
            assert!(accepts_in(Generation::V84, line), "{line}");
        }
        for line in [
            "new-resource r0 0",
            "new-peer r0 1 --_name=n2",
            "disk-options 0 --size=1G",
            "attach 0 /dev/vda /dev/vda internal --timeout=3",
            "net-options ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788 --fencing=dont-care",
            "net-options ipv4:10.7.0.1:7788 ipv4:10.7.0.2:7788 --sndbuf-size=100M",
            "primary r0",
        ] {
            assert!(!accepts_in(Generation::V84, line), "{line}");
        }
    }

    #[test]
    fn arguments_of_the_recorded_sessions_are_accepted() {
        for line in [
            "new-resource r0 0 --quorum=off",
            "new-resource r0 0 --quorum majority --auto-promote=no",
            "new-minor r0 0 0",
            "new-peer r0 1 --_name=n2 --protocol=C --ping-timeout=200 --timeout=290 --ping-int=30 --connect-int=30",
            "new-path r0 1 ipv4:10.9.0.1:7788 ipv4:10.9.0.2:7788",
            "peer-device-options r0 1 0 --set-defaults --c-plan-ahead=0 --resync-rate=400M",
            "attach 0 /dev/vdb /dev/vdb internal",
            "attach minor-3 /dev/vdb /dev/vdc flexible --al-extents=67 --md-flushes=no",
            "connect r0 1 --discard-my-data",
            "connect r0 1 --dry-run=yes",
            "primary r0 --force",
            "primary r0 --force=no",
            "primary r0 --overwrite-data-of-peer",
            "disk-options /dev/drbd0 --resync-after=-1",
            "status",
            "status all --verbose --statistics --json",
            "status r0 --color=never",
            "events2 --now --timestamps --statistics",
            "show r0 --show-defaults --json",
            "wait-connect-resource r0 --wfc-timeout=3 --degr-wfc-timeout=2 --wait-after-sb=yes",
            "down all",
        ] {
            assert!(accepts(line), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "nosuchcmd",
            "primary",
            "primary r0 --nosuch",
            "net-options r0 1 --timeout=9999",
            "disk-options 0 --on-io-error=foo",
            "resize 0 --size=1T",
            "new-peer r0 x --_name=n2",
            "net-options r0 1 --_name=12345678901234567890123456789012345678901234567890123456789012345",
            "new-resource all 0",
            "new-path r0 1 10.9.0.1:x 10.9.0.2:7788",
            "attach 0 /dev/vdb /dev/vdb -7",
            "attach zero /dev/vdb /dev/vdb internal",
            "net-options r0 1 --transport=tcp",
            "primary r0 --force=maybe",
        ] {
            assert!(!accepts(line), "{line}");
        }
    }
}
