// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line, the same as that of the reference (metadata.md 10).

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use drbd_core::meta::{Format, MdError, Placement};

use crate::superblock::OutputFormat;

/// Works on the metadata of a DRBD volume that is not attached.
#[derive(Debug, Parser)]
#[command(name = "drbdmeta", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Minor number, /dev/drbdN, or '-' for a volume without one (no lock, no check whether it is attached)
    pub(crate) device: String,
    /// Metadata format
    #[arg(value_parser = parse_format)]
    pub(crate) format: Format,
    /// The device that holds the metadata
    pub(crate) md_device: PathBuf,
    /// Where on it: internal, flex-internal, flex-external, or a slot number 0..255
    #[arg(value_parser = parse_placement)]
    pub(crate) index: Placement,
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Options; they may stand anywhere.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Answer yes to every question; accept a regular file; dump metadata that is not clean
    #[arg(long, short = 'f', global = true)]
    pub(crate) force: bool,
    /// With --force: do not print the questions
    #[arg(long, short = 'q', global = true)]
    pub(crate) quiet: bool,
    /// Tell more; may be repeated
    #[arg(long, short = 'v', global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Overwrite data that looks used
    #[arg(long, global = true)]
    pub(crate) ignore_sanity_checks: bool,
    /// Write nothing
    #[arg(long, global = true, alias = "tentative")]
    pub(crate) dry_run: bool,
    /// create-md: largest request of the peer, 0..1M bytes
    #[arg(long, global = true, value_parser = parse_size, default_value = "0")]
    pub(crate) peer_max_bio_size: u64,
    /// create-md: stripes of the activity log
    #[arg(long, global = true, value_parser = parse_size, default_value = "1")]
    pub(crate) al_stripes: u64,
    /// create-md: size of a stripe of the activity log, KiB
    #[arg(long = "al-stripe-size-kB", global = true, value_parser = parse_size, default_value = "32")]
    pub(crate) al_stripe_size_kb: u64,
    /// Node id of the peer, for the commands that concern one
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(0..=31))]
    pub(crate) node_id: Option<u32>,
    /// create-md: how to clear the bitmap
    #[arg(long, global = true, value_enum, default_value = "automatic")]
    pub(crate) initialize_bitmap: InitializeBitmap,
    /// Where the last known sizes are kept
    #[arg(long, global = true, hide = true, default_value = "/var/lib/drbd")]
    pub(crate) var_lib_drbd: PathBuf,
    /// Where the lock files are
    #[arg(long, global = true, hide = true, default_value = "/var/lock")]
    pub(crate) lock_dir: PathBuf,
}

/// Ways to clear the bitmap.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum InitializeBitmap {
    /// Have the device zero it, else write zeros
    Automatic,
    /// Have the device zero it
    Zeroout,
    /// Write zeros
    Pwrite,
    /// Leave it as it is
    Skip,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create metadata, or convert what is there
    CreateMd {
        /// v09: peers to have a bitmap for, 1..31
        #[arg(value_parser = clap::value_parser!(u32).range(1..=31))]
        max_peers: Option<u32>,
    },
    /// Remove the superblock
    WipeMd,
    /// Print the metadata as text
    DumpMd,
    /// Print the superblock: exit 0 valid, 2 valid where the device used to end, 3 not valid
    DumpSuperblock {
        /// How to print it
        #[arg(long, value_enum, default_value = "json")]
        output_format: OutputFormat,
    },
    /// Write metadata from the text of dump-md
    RestoreMd {
        /// The text; standard input without it
        file: Option<PathBuf>,
    },
    /// Check the text of dump-md
    VerifyDump {
        /// The text; standard input without it
        file: Option<PathBuf>,
    },
    /// Apply the activity log to the bitmap; required before every attach
    ApplyAl,
    /// Print the generation identifiers
    GetGi,
    /// Print the generation identifiers with explanations
    ShowGi,
    /// Change the generation identifiers; empty fields stay as they are
    SetGi {
        /// In the form of get-gi
        identifiers: String,
    },
    /// Print the state of the disk
    Dstate,
    /// Mark the data as outdated
    Outdate,
    /// Mark the data as inconsistent
    Invalidate,
    /// Print the device UUID
    ReadDevUuid,
    /// Set the device UUID
    WriteDevUuid {
        /// 16 hexadecimal digits
        #[arg(value_parser = parse_uuid)]
        uuid: u64,
    },
    /// Move internal metadata to the new end of a device that was resized offline
    CheckResize,
    /// v09: forget a peer (--node-id) and free its bitmap
    ForgetPeer,
}

impl Command {
    /// Whether the command changes the metadata.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Command::CreateMd { .. }
            | Command::WipeMd
            | Command::RestoreMd { .. }
            | Command::ApplyAl
            | Command::SetGi { .. }
            | Command::Outdate
            | Command::Invalidate
            | Command::WriteDevUuid { .. }
            | Command::CheckResize
            | Command::ForgetPeer => true,
            Command::DumpMd
            | Command::DumpSuperblock { .. }
            | Command::VerifyDump { .. }
            | Command::GetGi
            | Command::ShowGi
            | Command::Dstate
            | Command::ReadDevUuid => false,
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::CreateMd { .. } => "create-md",
            Command::WipeMd => "wipe-md",
            Command::DumpMd => "dump-md",
            Command::DumpSuperblock { .. } => "dump-superblock",
            Command::RestoreMd { .. } => "restore-md",
            Command::VerifyDump { .. } => "verify-dump",
            Command::ApplyAl => "apply-al",
            Command::GetGi => "get-gi",
            Command::ShowGi => "show-gi",
            Command::SetGi { .. } => "set-gi",
            Command::Dstate => "dstate",
            Command::Outdate => "outdate",
            Command::Invalidate => "invalidate",
            Command::ReadDevUuid => "read-dev-uuid",
            Command::WriteDevUuid { .. } => "write-dev-uuid",
            Command::CheckResize => "check-resize",
            Command::ForgetPeer => "forget-peer",
        }
    }
}

/// How the configuration writes a placement.
pub(crate) fn placement_name(placement: Placement) -> String {
    match placement {
        Placement::Internal => "internal".to_string(),
        Placement::FlexExternal => "flex-external".to_string(),
        Placement::Index(slot) => slot.to_string(),
    }
}

/// How the command line writes a format.
pub(crate) fn format_name(format: Format) -> &'static str {
    match format {
        Format::V08 => "v08",
        Format::V09 => "v09",
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "v08" => Ok(Format::V08),
        "v09" => Ok(Format::V09),
        "v06" | "v07" => Err(format!(
            "{text} metadata of DRBD 0.7 or older is not supported"
        )),
        _ => Err("v08 or v09 expected".to_string()),
    }
}

fn parse_placement(text: &str) -> Result<Placement, String> {
    let index = match text {
        "internal" => -1,
        "flex-external" => -2,
        "flex-internal" => -3,
        _ => text.parse::<u8>().map(i64::from).map_err(|_| {
            "internal, flex-internal, flex-external or a slot number 0..255 expected".to_string()
        })?,
    };
    Placement::from_index(index).map_err(|error: MdError| error.to_string())
}

fn parse_uuid(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 16 {
        return Err("1 to 16 hexadecimal digits expected".to_string());
    }
    u64::from_str_radix(digits, 16).map_err(|_| "hexadecimal digits expected".to_string())
}

/// A number with an optional suffix: s (512), k, m, g.
fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 's' | 'S')) => (&text[..at], 512),
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "a number, with k, m, g or s if wanted, expected".to_string())?;
    number
        .checked_mul(factor)
        .ok_or_else(|| "the number is too large".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_anywhere() {
        let parsed = |line: &str| Cli::try_parse_from(line.split_whitespace());
        for line in [
            "drbdmeta --force 0 v08 /dev/sda internal create-md --al-stripes 7 --al-stripe-size-kB 64",
            "drbdmeta 0 --al-stripes=7 v08 /dev/sda internal --al-stripe-size-kB=64 create-md --force",
        ] {
            let cli = parsed(line).unwrap();
            assert!(cli.options.force);
            assert_eq!((cli.options.al_stripes, cli.options.al_stripe_size_kb), (7, 64));
        }
        let cli = parsed("drbdmeta - v09 /dev/sda 3 --node-id=1 show-gi").unwrap();
        assert_eq!(
            (cli.device.as_str(), cli.index, cli.options.node_id),
            ("-", Placement::Index(3), Some(1))
        );
        assert!(matches!(
            parsed("drbdmeta 0 v09 x flex-internal create-md 31")
                .unwrap()
                .command,
            Command::CreateMd {
                max_peers: Some(31)
            }
        ));
        for line in [
            "drbdmeta 0 v09 x internal create-md 0",
            "drbdmeta 0 v09 x internal create-md 32",
            "drbdmeta 0 v07 x internal dump-md",
            "drbdmeta 0 v08 x 256 dump-md",
            "drbdmeta 0 v08 x internal paint-it-blue",
            "drbdmeta 0 v08 x",
            "drbdmeta 0 v08 x internal dump-md --node-id 32",
            "drbdmeta 0 v08 x internal write-dev-uuid 11223344556677889",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse_size("1M"), Ok(1 << 20));
        assert_eq!(parse_size("8s"), Ok(4096));
        assert!(parse_size("18014398509481984k").is_err());
        assert!(parse_size("k").is_err());
    }
}
