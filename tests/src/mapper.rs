// SPDX-License-Identifier: GPL-2.0-or-later
//! A node's first disk behind a device mapper: it can err, hang and grow while it is in use.
//!
//! [`crate::Setup::mapped`] puts it there, at each boot.

use std::fmt::Write;

use anyhow::Result;

use crate::Side;

/// The mapper's name.
pub const NAME: &str = "backing";

/// Where the resource finds its disk.
pub const PATH: &str = "/dev/mapper/backing";

/// What is below it.
const DISK: &str = "/dev/vdb";

/// Sectors in a MiB.
pub const MIB_SECTORS: u64 = 2048;

/// What a stretch of the mapped disk is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The same sectors of the disk.
    Disk,
    /// A mapper of its own, see [`create_part`].
    Part(&'a str),
    /// Nothing: what goes there fails.
    Error,
}

/// Stretches one behind the other, each with its length in sectors.
pub type Stretches<'a> = [(u64, Target<'a>)];

fn table(stretches: &Stretches<'_>) -> String {
    let mut text = String::new();
    let mut start = 0;
    for (len_sectors, target) in stretches {
        let _ = match target {
            Target::Disk => writeln!(text, "{start} {len_sectors} linear {DISK} {start}"),
            Target::Part(name) => {
                writeln!(text, "{start} {len_sectors} linear /dev/mapper/{name} 0")
            }
            Target::Error => writeln!(text, "{start} {len_sectors} error"),
        };
        start += len_sectors;
    }
    text
}

/// Puts the mapper before the whole disk, unless it is there.
///
/// # Errors
///
/// If the node has no device mapper or no such disk.
pub fn create(side: &Side) -> Result<()> {
    side.sh(&format!(
        "modprobe -q dm-mod; set -e; [ -e {PATH} ] && exit
         dmsetup create {NAME} --table \"0 $(blockdev --getsz {DISK}) linear {DISK} 0\"
         dmsetup mknodes"
    ))
    .map(drop)
}

/// Makes a mapper of a part of the disk, to be the target of a stretch.
///
/// # Errors
///
/// If it is there already or lies beyond the end of the disk.
pub fn create_part(side: &Side, name: &str, start_sectors: u64, len_sectors: u64) -> Result<()> {
    side.sh(&format!(
        "set -e; dmsetup create {name} --table '0 {len_sectors} linear {DISK} {start_sectors}'
         dmsetup mknodes"
    ))
    .map(drop)
}

/// Length of the disk below, in sectors.
///
/// # Errors
///
/// If the node is gone.
pub fn disk_sectors(side: &Side) -> Result<u64> {
    Ok(side
        .sh(&format!("blockdev --getsz {DISK}"))?
        .trim()
        .parse()?)
}

/// Length of the mapped disk, in sectors.
///
/// # Errors
///
/// If there is none.
pub fn size_sectors(side: &Side) -> Result<u64> {
    Ok(side
        .sh(&format!("blockdev --getsz {PATH}"))?
        .trim()
        .parse()?)
}

/// Makes the mapped disk of other stretches; what is on its way meets the old ones or the new.
///
/// # Errors
///
/// If the mapper is not there or refuses.
pub fn reload(side: &Side, stretches: &Stretches<'_>) -> Result<()> {
    side.sh(&format!(
        "set -e; dmsetup load {NAME} <<END\n{}END\n{}\n{}",
        table(stretches),
        suspend(NAME),
        resume(NAME)
    ))
    .map(drop)
}

/// The whole disk again, without errors.
///
/// # Errors
///
/// As [`reload`].
pub fn heal(side: &Side) -> Result<()> {
    reload(side, &[(disk_sectors(side)?, Target::Disk)])
}

/// Everything fails.
///
/// # Errors
///
/// As [`reload`].
pub fn spoil(side: &Side) -> Result<()> {
    reload(side, &[(size_sectors(side)?, Target::Error)])
}

/// The first `mib` MiB of the disk alone.
///
/// # Errors
///
/// As [`reload`].
pub fn set_size(side: &Side, mib: u64) -> Result<()> {
    reload(side, &[(mib * MIB_SECTORS, Target::Disk)])
}

/// A mapper answers no more, until it is to [`go_on`].
///
/// # Errors
///
/// If it is not there.
pub fn hang(side: &Side, name: &str) -> Result<()> {
    side.sh(&suspend(name)).map(drop)
}

/// A mapper that hung answers what it was asked.
///
/// # Errors
///
/// If it is not there.
pub fn go_on(side: &Side, name: &str) -> Result<()> {
    side.sh(&resume(name)).map(drop)
}

fn suspend(name: &str) -> String {
    format!("dmsetup suspend --noflush --nolockfs {name}")
}

fn resume(name: &str) -> String {
    format!("dmsetup resume {name}")
}

#[cfg(test)]
mod tests {
    use super::{table, Target};

    #[test]
    fn stretches_lie_one_behind_the_other() {
        let text = table(&[
            (100, Target::Disk),
            (8, Target::Error),
            (2048, Target::Part("tail")),
            (1, Target::Disk),
        ]);
        assert_eq!(
            text,
            "0 100 linear /dev/vdb 0\n100 8 error\n108 2048 linear /dev/mapper/tail 0\n\
             2156 1 linear /dev/vdb 2156\n"
        );
    }
}
