// SPDX-License-Identifier: GPL-2.0-or-later
//! Counting what a guest's kernel executes.
//!
//! QEMU translates guest code in blocks. A small plugin of ours (`plugin/count.c`) counts in a file how often each is
//! executed: instructions, unlike times, do not depend on what else the host does.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{tail, Error, Result};
use crate::node::Node;

const SOURCE: &str = include_str!("../plugin/count.c");

/// Versions of the interface between QEMU and its plugins that the plugin can be compiled for: of QEMU before 9.0, and
/// of QEMU since.
const INTERFACES: [u32; 2] = [1, 2];

/// First bytes of the plugin's file.
const MAGIC: u64 = u64::from_le_bytes(*b"drbdcnt1");

/// Bytes before the first record, and of each record.
const RECORD: usize = 24;

/// A run of instructions that is executed from its first to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Virtual address of the first instruction; 0 for the blocks of programs, which are not told apart.
    pub address: u64,
    /// Number of instructions.
    pub instructions: u64,
}

/// How often each block was executed, since the node was switched on or between two such readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed(HashMap<Block, u64>);

impl Executed {
    /// Reads the plugin's file.
    pub(crate) fn read(file: &Path) -> Result<Executed> {
        let bytes = fs::read(file).map_err(Error::file(file))?;
        Executed::parse(&bytes).map_err(|why| Error::Host(format!("{}: {why}", file.display())))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Executed, String> {
        let mut rows = bytes.chunks_exact(RECORD).map(|row| {
            let mut words = row.chunks_exact(8).map(|word| {
                let word = <[u8; 8]>::try_from(word).unwrap_or_default();
                u64::from_le_bytes(word)
            });
            [(); 3].map(|()| words.next().unwrap_or_default())
        });
        let Some([MAGIC, used, lost]) = rows.next() else {
            return Err("not written by the plugin".to_owned());
        };
        if lost > 0 {
            return Err(format!("the plugin had no room for {lost} blocks"));
        }
        let used = usize::try_from(used).unwrap_or(usize::MAX);
        let runs = rows.take(used).map(|[address, instructions, runs]| {
            (
                Block {
                    address,
                    instructions,
                },
                runs,
            )
        });
        Ok(Executed(runs.collect()))
    }

    /// What was executed after the reading `earlier` of the same node.
    #[must_use]
    pub fn since(&self, earlier: &Executed) -> Executed {
        let runs = self.0.iter().filter_map(|(block, runs)| {
            let before = earlier.0.get(block).copied().unwrap_or_default();
            let more = runs.saturating_sub(before);
            (more > 0).then_some((*block, more))
        });
        Executed(runs.collect())
    }

    /// Blocks of the kernel and its modules, each with the number of instructions executed in it.
    pub fn kernel(&self) -> impl Iterator<Item = (Block, u64)> + '_ {
        self.0
            .iter()
            .filter(|(block, _)| block.address != 0)
            .map(|(block, runs)| (*block, runs.saturating_mul(block.instructions)))
    }
}

/// Whether nodes made with [`crate::NodeSpec::counted`] work on this host.
///
/// # Errors
///
/// [`Error::Host`] with the reason if not.
pub fn can_count() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("drbd-count-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    let made = plugin(&dir).map(drop);
    let _ = fs::remove_dir_all(&dir);
    made
}

/// The plugin, compiled into `dir` for the QEMU of this host.
///
/// # Errors
///
/// [`Error::Host`] if there is no C compiler, or QEMU was built without plugins or takes none of ours.
pub(crate) fn plugin(dir: &Path) -> Result<PathBuf> {
    let source = dir.join("count.c");
    fs::write(&source, SOURCE).map_err(Error::file(&source))?;
    let mut refusals = Vec::new();
    for interface in INTERFACES {
        let plugin = dir.join(format!("count-{interface}.so"));
        compile(&source, &plugin, interface)?;
        match try_out(&plugin, &dir.join("count.try")) {
            Ok(()) => return Ok(plugin),
            Err(why) => refusals.push(why),
        }
    }
    refusals.dedup();
    Err(Error::Host(format!(
        "this QEMU cannot count instructions: it takes no TCG plugin of ours\n  {}\n  Debian's QEMU can; one of your \
         own wants --enable-plugins",
        refusals.join("\n  ")
    )))
}

fn compile(source: &Path, plugin: &Path, interface: u32) -> Result<()> {
    let mut command = Command::new("cc");
    command
        .args(["-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden"])
        .arg(format!("-DDRBD_PLUGIN_API={interface}"))
        .arg("-o")
        .args([plugin, source]);
    let output = command
        .output()
        .map_err(|error| Error::Host(format!("cannot start the C compiler cc: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Host(format!(
        "cannot compile QEMU's plugin\n{}",
        tail(&said, 20)
    )))
}

/// Starts QEMU without a machine, and lets its monitor end it.
fn try_out(plugin: &Path, out: &Path) -> std::result::Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot start it: {error}");
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-machine", "none", "-nodefaults", "-display", "none"])
        // It could be KVM otherwise, which runs no plugin.
        .args(["-accel", "tcg", "-monitor", "stdio"])
        .args(["-plugin", &argument(plugin, out)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    if let Some(mut monitor) = child.stdin.take() {
        // One that has refused the plugin does not read this.
        let _ = monitor.write_all(b"quit\n");
    }
    let output = child.wait_with_output().map_err(cannot)?;
    if output.status.success() {
        return Ok(());
    }
    Err(tail(String::from_utf8_lossy(&output.stderr).trim(), 3))
}

/// Value of QEMU's option `-plugin`.
pub(crate) fn argument(plugin: &Path, out: &Path) -> String {
    let safe = crate::machine::comma_safe;
    format!("file={},out={}", safe(plugin), safe(out))
}

impl Node {
    /// Where the plugin counts this node's blocks.
    pub(crate) fn counts_file(&self) -> PathBuf {
        let dir = &self.inner.shared.run_dir;
        dir.join(format!("{}.counts", self.name()))
    }

    /// How often each block of code was executed since the power was switched
    /// on, for a node made with [`crate::NodeSpec::counted`].
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for any other; [`Error::Host`] if not everything could
    /// be counted.
    pub fn executed(&self) -> Result<Executed> {
        if self.inner.counting.is_none() {
            return Err(Error::Usage(format!("{} is not counted", self.name())));
        }
        Executed::read(&self.counts_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    const ONE: Block = Block {
        address: 0xffff_ffff_c000_1000,
        instructions: 5,
    };

    #[test]
    fn the_kernels_blocks_are_told_apart_from_programs() {
        let bytes = file(&[MAGIC, 2, 0, ONE.address, 5, 3, 0, 7, 100, 9, 9, 9]);
        let executed = Executed::parse(&bytes).unwrap();
        assert_eq!(executed.kernel().collect::<Vec<_>>(), [(ONE, 15)]);
    }

    #[test]
    fn a_difference_has_only_what_was_executed_meanwhile() {
        let earlier = Executed::parse(&file(&[MAGIC, 1, 0, ONE.address, 5, 3])).unwrap();
        let bytes = file(&[MAGIC, 2, 0, ONE.address, 5, 10, ONE.address + 64, 2, 1]);
        let later = Executed::parse(&bytes).unwrap();
        let counts: Vec<u64> = later.since(&earlier).kernel().map(|(_, n)| n).collect();
        assert_eq!(counts.iter().sum::<u64>(), 7 * 5 + 2);
        assert_eq!(later.since(&later).kernel().count(), 0);
    }

    #[test]
    fn an_incomplete_count_is_an_error() {
        assert!(Executed::parse(&file(&[MAGIC, 0, 1])).is_err());
        assert!(Executed::parse(b"drbdcnt0").is_err());
        assert!(Executed::parse(&[]).is_err());
    }

    #[test]
    fn this_hosts_qemu_takes_the_plugin_or_says_why_not() {
        if let Err(error) = can_count() {
            assert!(error.to_string().lines().count() > 1, "{error}");
        }
    }
}
