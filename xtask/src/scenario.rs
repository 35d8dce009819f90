// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask demo`, `bench` and `vm`: set up and build, then hand over to the program that does it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::env::Env;
use crate::{build, workspace};

/// A program of the crates that boot virtual machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The story of two machines and one disk.
    Demo,
    /// Ours against the stock driver.
    Bench,
    /// Two booted nodes for an administrator.
    Vm,
}

impl Program {
    /// Package and binary.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Demo => ("drbd-tests", "demo"),
            Self::Bench => ("drbd-tests", "bench"),
            Self::Vm => ("drbd-qemu", "drbd-vm"),
        }
    }

    /// What the program does when it is given no argument.
    fn default_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Vm => &["pair"],
            Self::Demo | Self::Bench => &[],
        }
    }
}

/// Sets up, builds, and runs `program`; its exit code becomes ours.
///
/// # Errors
///
/// When set-up or build fails or the program cannot be started.
pub fn run(program: Program, arguments: &[String]) -> Result<ExitCode> {
    build::run(&build::Options::default())?;
    let (package, binary) = program.place();
    let mut command = workspace::cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        package,
        "--bin",
        binary,
        "--",
    ]);
    if arguments.is_empty() {
        command.args(program.default_arguments());
    }
    command.args(arguments);
    Place::usual()?.export(&mut command);
    let status = command.status().context("cannot start cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Products and image that virtual machines get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Directory of module and tools.
    pub dist: PathBuf,
    /// Description of kernel and root file system.
    pub manifest: PathBuf,
    /// Name of what is remembered about scenarios with these.
    pub name: &'static str,
}

impl Place {
    /// Where the build and the set-up leave theirs.
    ///
    /// # Errors
    ///
    /// When there is no cache directory.
    pub fn usual() -> Result<Self> {
        Ok(Self {
            dist: workspace::dist(),
            manifest: Env::path(&Cache::of_user()?),
            name: "scenarios",
        })
    }

    /// Tells `command` where they are.
    pub fn export(&self, command: &mut Command) {
        command
            .env("DRBD_DIST", &self.dist)
            .env("DRBD_MANIFEST", &self.manifest);
    }

    /// What differs from build to build.
    ///
    /// # Errors
    ///
    /// When the products cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let dist = self.dist.display();
        let listed =
            std::fs::read_dir(&self.dist).with_context(|| format!("cannot read {dist}"))?;
        let paths = listed.map(|entry| Ok(entry?.path()));
        let mut files: Vec<PathBuf> = paths.collect::<Result<_>>()?;
        files.retain(|file| file.is_file());
        files.sort();
        files.push(self.manifest.clone());
        Ok(files)
    }

    /// The file that remembers which scenarios passed.
    pub fn memory(&self) -> PathBuf {
        workspace::root()
            .join("target")
            .join(format!("{}.json", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_learns_where_things_are() {
        let mut command = Command::new("true");
        Place::usual().unwrap().export(&mut command);
        let dist = command.get_envs().find(|(name, _)| *name == "DRBD_DIST");
        assert!(dist
            .unwrap()
            .1
            .unwrap()
            .to_string_lossy()
            .ends_with("target/dist"));
        assert!(command.get_envs().any(|(name, _)| name == "DRBD_MANIFEST"));
    }
}
