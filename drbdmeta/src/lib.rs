// SPDX-License-Identifier: GPL-2.0-or-later
//! The parts of drbdmeta, which works on the metadata of a DRBD volume that is not attached.
//!
//! Everything on disk is read and written through `drbd_core::meta`; this program opens the
//! device, asks questions, and prints.

mod aligned;
mod apply;
mod bitmap_io;
mod cli;
mod create;
mod dump;
mod failure;
mod identifiers;
mod lkbd;
mod md_file;
mod minor;
mod old_log;
mod parse;
mod question;
mod resize;
mod restore;
mod signatures;
mod state;
mod superblock;
mod token;
mod volume;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use cli::{Cli, Command};
use failure::{Failure, EXIT_REFUSED};
use md_file::MdFile;
use volume::Volume;

/// Stands in every binary of this program: drbdadm takes it for granted there.
pub const MARK: &str = concat!("drbdmeta of drbd-rs ", env!("CARGO_PKG_VERSION"));

/// What the calls of one process share: the definition of the command line.
#[derive(Default)]
pub struct Session {
    program: Option<clap::Command>,
}

/// Runs the program with the arguments after its name; the result is its exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    let session = &mut Session::default();
    call(arguments, session, &mut minor::ask_drbdsetup)
}

/// As [`main`], with another way to learn the state of a minor's own disk (`UpToDate`, `Diskless`
/// ...; `None` if the kernel does not have the minor). It is asked for minors that exist only.
pub fn call(
    arguments: impl Iterator<Item = OsString>,
    session: &mut Session,
    disk_state: &mut dyn FnMut(u32) -> Option<String>,
) -> u8 {
    let given: Vec<OsString> = arguments.collect();
    let words: Vec<String> = given
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some(code) = drbd_pages::serve(&words, Cli::command, Vec::new) {
        return code;
    }
    let program = std::iter::once(OsString::from("drbdmeta"));
    let definition = session.program.get_or_insert_with(Cli::command);
    let parsed = definition
        .try_get_matches_from_mut(program.chain(given))
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(&cli, disk_state) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit
        }
    }
}

/// Wrong usage: the reason on standard error, the usage on standard output, exit 20.
fn usage(error: &clap::Error) -> u8 {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        print!("{error}");
        return 0;
    }
    eprint!("{error}");
    println!("{}", Cli::command().render_usage());
    EXIT_REFUSED
}

/// Returns the exit code of what ended as it should.
fn run(cli: &Cli, disk_state: &mut dyn FnMut(u32) -> Option<String>) -> Result<u8, Failure> {
    let minor = minor::parse(&cli.device)?;
    // Held until the command ends.
    let _lock = minor
        .map(|minor| minor::lock(minor, &cli.options))
        .transpose()?;
    let attached = minor.is_some_and(|minor| minor::is_attached(minor, disk_state));
    if attached && cli.command.writes() {
        let device = &cli.device;
        return Err(Failure::new(
            EXIT_REFUSED,
            format!("cannot {} while {device} is attached", cli.command.name()),
            "the kernel would not see the change, and overwrite it",
            "detach it first: drbdadm detach RESOURCE",
        ));
    }
    let file = MdFile::open(
        &cli.md_device,
        cli.index,
        cli.command.writes(),
        &cli.options,
    )?;
    if attached || file.shared {
        eprintln!("# Output might be stale, since the device is in use");
    }
    let mut volume = Volume::new(file, minor, cli);
    let done = match &cli.command {
        Command::DumpSuperblock { output_format } => {
            return superblock::dump(&volume, *output_format);
        }
        Command::CreateMd { max_peers } => create::create(&mut volume, *max_peers),
        Command::WipeMd => create::wipe(&mut volume),
        Command::DumpMd => dump::dump(&volume),
        Command::RestoreMd { file } => restore::restore(&mut volume, file.as_deref()),
        Command::VerifyDump { file } => restore::verify(&volume, file.as_deref()),
        Command::ApplyAl => apply::apply(&mut volume),
        Command::GetGi => state::get_gi(&volume),
        Command::ShowGi => state::show_gi(&volume),
        Command::SetGi { identifiers } => state::set_gi(&mut volume, identifiers),
        Command::Dstate => state::dstate(&volume),
        Command::Outdate => state::outdate(&mut volume),
        Command::Invalidate => state::invalidate(&mut volume),
        Command::ReadDevUuid => state::read_dev_uuid(&volume),
        Command::WriteDevUuid { uuid } => state::write_dev_uuid(&mut volume, *uuid),
        Command::CheckResize => resize::check_resize(&mut volume),
        Command::ForgetPeer => state::forget_peer(&mut volume),
    };
    done.map(|()| 0)
}
