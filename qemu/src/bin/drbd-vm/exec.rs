// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbd-vm exec`: scripts in throw-away nodes.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use drbd_qemu::{GuestFile, Kind, Lab, Node, NodeSpec};

/// Boots nodes named n0, n1, ..., runs the scripts one after another, prints
/// what they say and what the kernels report, and ends with the first status
/// that is not 0. 125: the machines themselves failed; 124: too late;
/// 126: all scripts succeeded but a kernel reported an error.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Kinds of the nodes: ours, stock or bare.
    #[arg(long, value_delimiter = ',', default_value = "ours")]
    nodes: Vec<Kind>,
    /// Sizes in MiB of the data disks each node has: /dev/vdb, /dev/vdc, ...
    #[arg(long, value_delimiter = ',', value_name = "MIB")]
    disks: Vec<u64>,
    /// Files of the host to lay over every node's root file system.
    #[arg(long, value_name = "HOST:GUEST")]
    file: Vec<String>,
    /// Memory of each node in MiB.
    #[arg(long, default_value_t = 384, value_name = "MIB")]
    mem: u32,
    /// Virtual processors of each node.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Network cards of each node.
    #[arg(long, default_value_t = 1)]
    nics: u8,
    /// More kernel arguments for every node.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    kernel_arg: Vec<String>,
    /// Seconds each script may take.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// A script for a node, by number or name; `power-cut`, `start`, `freeze`,
    /// `thaw`, `reset`, `cut` and `heal` (its cable) are done from outside.
    #[arg(long, num_args = 2, value_names = ["NODE", "SCRIPT"], allow_hyphen_values = true)]
    on: Vec<String>,
    /// Print all consoles at the end.
    #[arg(long)]
    console: bool,
    /// Let kernel reports with this text pass.
    #[arg(long, value_name = "TEXT")]
    tolerate: Vec<String>,
    /// A script for node 0, before those of --on; `-` reads it from the input.
    #[arg(last = true)]
    script: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let begin = Instant::now();
    let mut lab = Lab::new("exec")?;
    for (index, kind) in arguments.nodes.iter().enumerate() {
        let node = lab.add(spec(&arguments, index, *kind)?)?;
        for text in &arguments.tolerate {
            node.tolerate("given with --tolerate", &[text]);
        }
    }
    lab.boot(Duration::from_secs(90))?;
    let accel = format!("{:?}", lab.accel()).to_uppercase();
    eprintln!(
        "drbd-vm: {} node(s) ready after {:.1?} ({accel})",
        lab.nodes().len(),
        begin.elapsed()
    );

    let limit = Duration::from_secs(arguments.timeout);
    let mut status = 0;
    for (number, script) in scripts(&arguments, &lab)? {
        let node = lab.nodes().get(number).context("no such node")?;
        status = step(node, &script, limit)?;
        if status != 0 {
            eprintln!("drbd-vm: {}: exit status {status}", node.name());
            break;
        }
    }
    if arguments.console {
        for node in lab.nodes() {
            println!("==== console of {}\n{}", node.name(), node.console_text());
        }
    }
    if let Err(error) = lab.check_consoles() {
        eprintln!("drbd-vm: {error}");
        status = if status == 0 { 126 } else { status };
    }
    eprintln!(
        "drbd-vm: consoles are in {}; {:.1?} in all",
        lab.log_dir().display(),
        begin.elapsed()
    );
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

fn spec(arguments: &Arguments, index: usize, kind: Kind) -> Result<NodeSpec> {
    let mut spec = NodeSpec::new(format!("n{index}"), kind)
        .mem_mb(arguments.mem)
        .cpus(arguments.cpus)
        .nics(arguments.nics);
    for mib in &arguments.disks {
        spec = spec.disk_mib(*mib);
    }
    for pair in &arguments.file {
        match pair.split_once(':') {
            Some((host, guest)) if guest.starts_with('/') => {
                spec = spec.file(GuestFile::host(host, guest));
            }
            _ => bail!("--file {pair}: expected HOST:/ABSOLUTE/GUEST/PATH"),
        }
    }
    for word in &arguments.kernel_arg {
        spec = spec.kernel_arg(word);
    }
    Ok(spec)
}

fn scripts(arguments: &Arguments, lab: &Lab) -> Result<Vec<(usize, String)>> {
    let mut scripts = Vec::new();
    match arguments.script.as_deref() {
        Some("-") => scripts.push((0, io::read_to_string(io::stdin())?)),
        Some(script) => scripts.push((0, script.to_owned())),
        None => {}
    }
    for pair in arguments.on.chunks(2) {
        let [node, script] = pair else {
            bail!("--on takes a node and a script")
        };
        let position = lab.nodes().iter().position(|known| known.name() == node);
        let number = position.or_else(|| node.parse().ok().filter(|n| *n < lab.nodes().len()));
        let number = number.with_context(|| format!("--on {node}: there is no such node"))?;
        scripts.push((number, script.clone()));
    }
    if scripts.is_empty() {
        bail!("nothing to do: give a script after --, or with --on NODE SCRIPT");
    }
    Ok(scripts)
}

/// Does one step; its exit status.
fn step(node: &Node, script: &str, limit: Duration) -> Result<i32> {
    match script {
        "power-cut" => node.power_cut()?,
        "start" => node.start_again(Duration::from_secs(90))?,
        "freeze" => node.freeze()?,
        "thaw" => node.thaw()?,
        "cut" => node.port(0)?.cut(true),
        "heal" => node.port(0)?.cut(false),
        "reset" => {
            node.reset()?;
            node.wait_ready(Duration::from_secs(90))?;
        }
        _ => return shell(node, script, limit),
    }
    Ok(0)
}

/// Runs a script and passes on what it says while it says it.
fn shell(node: &Node, script: &str, limit: Duration) -> Result<i32> {
    let running = node.spawn(script)?;
    let end = Instant::now() + limit;
    let print = || -> Result<()> {
        let (output, error_output) = running.take();
        io::stdout().write_all(&output)?;
        io::stdout().flush()?;
        io::stderr().write_all(&error_output)?;
        Ok(())
    };
    while !running.is_over() {
        if Instant::now() >= end {
            print()?;
            eprintln!(
                "drbd-vm: {}: not done after {limit:?}; console:",
                node.name()
            );
            eprintln!("{}", node.console_tail());
            let _ = running.kill();
            return Ok(124);
        }
        running.wait_more(Duration::from_millis(500));
        print()?;
    }
    print()?;
    Ok(running.wait(Duration::from_secs(1))?.status)
}
