// SPDX-License-Identifier: GPL-2.0-or-later
//! drbdmeta: works on the metadata of a DRBD volume that is not attached.
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

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Command};
use failure::{Failure, EXIT_REFUSED};
use md_file::MdFile;
use volume::Volume;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some(code) = drbd_pages::serve(&words, Cli::command, Vec::new) {
        return ExitCode::from(code);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit)
        }
    }
}

/// Wrong usage: the reason on standard error, the usage on standard output, exit 20.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    eprint!("{error}");
    println!("{}", Cli::command().render_usage());
    ExitCode::from(EXIT_REFUSED)
}

/// Returns the exit code of what ended as it should.
fn run(cli: &Cli) -> Result<u8, Failure> {
    let minor = minor::parse(&cli.device)?;
    // Held until the program ends.
    let _lock = minor
        .map(|minor| minor::lock(minor, &cli.options))
        .transpose()?;
    let attached = minor.is_some_and(minor::is_attached);
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
