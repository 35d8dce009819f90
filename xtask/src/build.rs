// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask build`: the kernel module and the tools, into `target/dist`.

use anyhow::{Context, Result};
use clap::Args;

use crate::env::Env;
use crate::progress::Step;
use crate::{module, setup, tools, workspace};

/// What `cargo xtask build` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Build the kernel module only.
    #[arg(long)]
    pub kmod_only: bool,
    /// Check the module's Rust code with clippy as well; a warning is an error.
    #[arg(long)]
    pub clippy: bool,
    /// Build the module with its self-test into target/selftest instead.
    #[arg(long)]
    pub selftest: bool,
}

/// Sets up if need be and builds.
///
/// # Errors
///
/// When something does not compile.
pub fn run(options: &Options) -> Result<Env> {
    let env = setup::run(false)?;
    let dist = workspace::dist();
    std::fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;

    if options.selftest {
        let step = Step::start("drbd.ko with self-test");
        module::build(&env, module::Flavour::SelfTest)?;
        step.done("");
        return Ok(env);
    }
    let step = Step::start("drbd.ko");
    module::build(&env, module::Flavour::Plain)?;
    step.done("");
    if options.clippy {
        let step = Step::start("drbd.ko: clippy");
        module::build(&env, module::Flavour::Clippy)?;
        step.done("");
    }
    if !options.kmod_only {
        let step = Step::start("tools");
        tools::build(&dist)?;
        step.done("");
    }
    Ok(env)
}
