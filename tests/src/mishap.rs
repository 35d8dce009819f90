// SPDX-License-Identifier: GPL-2.0-or-later
//! What happens to a pair while it is in use, one thing at a time.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::DEVICE;
use crate::mapper::{self, MIB_SECTORS};
use crate::wait;
use crate::{Cluster, Draw, Side};

/// For a command that may have to wait for the end of a resync or a verification.
const LIMIT: Duration = Duration::from_secs(240);

/// The longest that anything lasts.
const LONGEST_MS: u64 = 5000;

/// A thing that happens, and what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The link carries nothing for a while.
    Link,
    /// `disconnect` and `connect`.
    Disconnect,
    /// `detach` and `attach`.
    Detach,
    /// `pause-sync` and `resume-sync`.
    PauseSync,
    /// A verification is begun.
    Verify,
    /// A node that is not the only Primary takes its data for bad.
    Invalidate,
    /// A part of the device is discarded, and written again.
    Discard,
    /// The disk fails, and is attached again. The disks have to be mapped.
    DiskErrs,
    /// The disk does not answer for a while. The disks have to be mapped.
    DiskHangs,
    /// Both nodes get other options.
    Adjust,
    /// The disks grow by some MiB, and the device with them. They have to be mapped.
    Grow,
}

impl Mishap {
    /// All that can happen to a pair with one Primary.
    pub const ALL: [Mishap; 11] = [
        Mishap::Link,
        Mishap::Disconnect,
        Mishap::Detach,
        Mishap::PauseSync,
        Mishap::Verify,
        Mishap::Invalidate,
        Mishap::Discard,
        Mishap::DiskErrs,
        Mishap::DiskHangs,
        Mishap::Adjust,
        Mishap::Grow,
    ];

    /// Whether two Primaries can bear it: they may not lose each other.
    #[must_use]
    pub fn leaves_them_together(&self) -> bool {
        !matches!(self, Mishap::Link | Mishap::Disconnect)
    }
}

/// What may happen to a pair.
#[derive(Clone, Copy)]
pub struct Mishaps<'a> {
    /// The pair.
    pub cluster: &'a Cluster,
    /// What is picked from.
    pub kinds: &'a [Mishap],
    /// The options that it may be given.
    pub draw: Draw<'a>,
    /// The disks do not grow beyond this.
    pub largest_mib: u64,
}

/// Runs a command; a node may have its reasons to refuse it, which are told.
fn ask(side: &Side, command: &str) -> Result<bool> {
    let said = side.node.run(command, LIMIT)?;
    if !said.success() {
        let why = said.stderr.lines().next().unwrap_or_default();
        println!("      {}: {command}: {why}", side.name());
    }
    Ok(said.success())
}

/// As [`ask`], again and again until it is done.
fn insist(side: &Side, command: &str) -> Result<()> {
    let what = format!("{}: {command}", side.name());
    wait::until(&what, LIMIT, || ask(side, command), |done| *done).map(drop)
}

impl Mishaps<'_> {
    /// One thing happens, on a node that the dice pick, and is over.
    ///
    /// # Errors
    ///
    /// If what has to be possible is not.
    pub fn happen(&self, dice: &mut fastrand::Rng, primaries: &[&Side]) -> Result<()> {
        let kind = *dice.choice(self.kinds).context("nothing can happen")?;
        let primary = primaries[dice.usize(..primaries.len())];
        let other = match primary.name() == self.cluster.alpha.name() {
            true => &self.cluster.beta,
            false => &self.cluster.alpha,
        };
        let side = match kind {
            Mishap::Discard => primary,
            Mishap::Invalidate => other,
            _ => self.cluster.sides()[dice.usize(..2)],
        };
        let pause = Duration::from_millis(dice.u64(100..LONGEST_MS));
        println!("    {kind:?} on {}, for {pause:?}", side.name());
        let around = |begin: &str, end: &str| {
            ask(side, begin)?;
            sleep(pause);
            ask(side, end).map(drop)
        };
        match kind {
            Mishap::Link => {
                let port = side.node.port(0)?;
                port.cut(true);
                sleep(pause);
                port.cut(false);
                Ok(())
            }
            Mishap::Disconnect => around("drbdadm disconnect r0", "drbdadm connect r0"),
            Mishap::Detach => around("drbdadm detach r0", "drbdadm attach r0"),
            Mishap::PauseSync => around("drbdadm pause-sync r0", "drbdadm resume-sync r0"),
            Mishap::Verify => around("drbdadm verify r0", "true"),
            Mishap::Invalidate => around("drbdadm invalidate r0", "true"),
            Mishap::Discard => around(
                &format!("blkdiscard -o 32M -l 4M {DEVICE}"),
                &format!("dd if=/dev/urandom of={DEVICE} bs=64k seek=520 count=9 oflag=direct"),
            ),
            Mishap::DiskErrs => disk_errs(side, pause),
            Mishap::DiskHangs => {
                mapper::hang(side, mapper::NAME)?;
                sleep(pause);
                mapper::go_on(side, mapper::NAME)
            }
            Mishap::Adjust => self.adjust(dice),
            Mishap::Grow => self.grow(side, dice.u64(1..4)),
        }
    }

    fn adjust(&self, dice: &mut fastrand::Rng) -> Result<()> {
        self.draw.configure(self.cluster, dice)?;
        for side in self.cluster.sides() {
            insist(side, "drbdadm adjust r0")?;
        }
        // Between the two they may have met and disagreed.
        sleep(Duration::from_secs(1));
        for side in self.cluster.sides() {
            if side.view()?.connection == "StandAlone" {
                ask(side, "drbdadm connect r0")?;
            }
        }
        Ok(())
    }

    fn grow(&self, asked: &Side, by_mib: u64) -> Result<()> {
        let sides = self.cluster.sides();
        let mut mib = u64::MAX;
        for side in sides {
            mib = mib.min(mapper::size_sectors(side)? / MIB_SECTORS + by_mib);
        }
        if mib > self.largest_mib {
            return Ok(());
        }
        for side in sides {
            mapper::set_size(side, mib)?;
        }
        insist(asked, "drbdadm resize r0")
    }
}

/// Until it is heard of the disk is in use, if it is at all.
fn disk_errs(side: &Side, pause: Duration) -> Result<()> {
    let sectors = mapper::size_sectors(side)?;
    mapper::spoil(side)?;
    sleep(pause);
    mapper::set_size(side, sectors / MIB_SECTORS)?;
    side.wait("an end of the failure", LIMIT, |view| view.disk != "Failed")?;
    if side.view()?.disk == "Diskless" {
        ask(side, "drbdadm attach r0")?;
    }
    Ok(())
}
