// SPDX-License-Identifier: GPL-2.0-or-later
//! A hundred resources of one volume are brought up, adjusted and taken down: our tools start fewer processes and are
//! done sooner than the reference's, with either module.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_qemu::{Lab, NodeSpec};
use drbd_tests::scenario::step;
use drbd_tests::Side;

const RESOURCES: u64 = 100;

/// Each has a piece of the disk of its own.
const SECTORS_EACH: u64 = 8192;

/// Every command is measured so often, and the fastest counts. One takes minutes where nothing is accelerated.
const ROUNDS: usize = 1;

const BOOT_LIMIT: Duration = Duration::from_secs(120);
const LIMIT: Duration = Duration::from_secs(300);

/// Whose tools drive whose module.
#[derive(Clone, Copy)]
struct Rig {
    name: &'static str,
    /// The distribution's tools instead of ours.
    their_tools: bool,
    /// The in-tree module instead of ours.
    their_module: bool,
}

const OURS: Rig = Rig {
    name: "our tools, our module",
    their_tools: false,
    their_module: false,
};
const REFERENCE: Rig = Rig {
    name: "reference, in-tree module",
    their_tools: true,
    their_module: true,
};
const REFERENCE_ON_OURS: Rig = Rig {
    name: "reference, our module",
    their_tools: true,
    their_module: false,
};

const COMMANDS: [&str; 3] = ["up all", "adjust all", "down all"];

/// What a command took.
#[derive(Clone, Copy, Debug)]
struct Taken {
    millis: u64,
    /// Processes that were started, the command's own included; kernel threads are none.
    processes: u64,
}

impl Taken {
    fn best(self, other: Option<Taken>) -> Taken {
        match other {
            Some(other) if other.millis < self.millis => other,
            _ => self,
        }
    }
}

#[test]
#[ignore = "full: three times a hundred resources, minutes each without acceleration"]
fn up_of_a_hundred_resources() {
    if let Err(error) = play() {
        panic!("up_of_a_hundred_resources: {error:#}");
    }
}

fn play() -> Result<()> {
    let mut lab = Lab::new("up_of_a_hundred_resources")?;
    let disk_mib = RESOURCES * SECTORS_EACH / 2048 + 1;
    let spec = NodeSpec::ours("alpha").disk_mib(disk_mib).mem_mb(1024);
    let side = Side {
        node: lab.add(spec)?,
    };
    lab.boot(BOOT_LIMIT)?;
    let told = story(&side);
    let consoles = lab.check_consoles();
    if told.is_err() {
        eprintln!("{}", side.node.console_tail());
    }
    told.and(consoles.map_err(Into::into))
}

fn story(side: &Side) -> Result<()> {
    step("disks", || prepare(side))?;
    let rigs = [OURS, REFERENCE, REFERENCE_ON_OURS];
    let mut best: [[Option<Taken>; 3]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (rig, best) in rigs.iter().zip(&mut best) {
            step(rig.name, || measure(side, *rig, best))?;
        }
    }
    let [ours, theirs, theirs_on_ours] = best;
    println!(
        "{:<11} {:<26} {:>9} {:>10}",
        "command", "", "ms", "processes"
    );
    for (at, command) in COMMANDS.iter().enumerate() {
        let taken = |list: &[Option<Taken>; 3]| list[at].context("was not measured");
        let (own, reference) = (taken(&ours)?, taken(&theirs)?);
        let on_ours = taken(&theirs_on_ours)?;
        for (rig, taken) in rigs.iter().zip([own, reference, on_ours]) {
            println!(
                "{command:<11} {:<26} {:>9} {:>10}",
                rig.name, taken.millis, taken.processes
            );
        }
        println!(
            "{command:<11} {:.1} times as fast as the reference, {:.1} times with the same module",
            ratio(reference, own),
            ratio(on_ours, own)
        );
        // What taking down costs is the module's: there the same one is compared. Everything else is compared with what
        // a user of the reference has.
        let compared = match *command {
            "down all" => on_ours,
            _ => reference,
        };
        ensure!(
            own.processes <= reference.processes.min(on_ours.processes)
                && own.millis <= compared.millis,
            "{command}: {own:?}, the reference {reference:?}, with our module {on_ours:?}"
        );
        // drbdadm, and the one that carries out its calls.
        ensure!(own.processes <= 2, "{command}: {own:?}");
    }
    step("stage by stage", || stages(side))?;
    side.sh("rmmod drbd").map(drop)
}

/// Where the time of `up` and `down` goes, with our tools and our module: one command for one kind of call.
fn stages(side: &Side) -> Result<()> {
    side.sh("rmmod drbd; modprobe drbd")?;
    side.node
        .sh_within("yes yes | drbdadm -- --force create-md all", LIMIT)?;
    for command in [
        "new-resource",
        "new-minor",
        "new-peer",
        "new-path",
        "apply-al",
        "attach",
        "connect",
        "disconnect",
        "detach",
        "del-minor",
        "down",
    ] {
        timed(side, "true", &format!("drbdadm {command} all"))?;
    }
    Ok(())
}

fn ratio(slow: Taken, fast: Taken) -> f64 {
    slow.millis as f64 / fast.millis.max(1) as f64
}

/// Pieces of the disk, and the configuration.
fn prepare(side: &Side) -> Result<()> {
    side.node.sh_within(
        &format!(
            "modprobe dm_mod 2>/dev/null; set -e
             for i in $(seq 0 {last}); do
                 dmsetup create --noudevsync d$i --table \"0 {SECTORS_EACH} linear /dev/vdb $((i * {SECTORS_EACH}))\"
             done; dmsetup mknodes",
            last = RESOURCES - 1
        ),
        LIMIT,
    )?;
    let ip = side.node.ip(0);
    let mut text = "global { usage-count no; disable-ip-verification; }\n".to_owned();
    for number in 0..RESOURCES {
        writeln!(
            text,
            "resource r{number} {{\n\
             \tdevice minor {number}; disk /dev/mapper/d{number}; meta-disk internal;\n\
             \tnet {{ protocol C; }}\n\
             \ton alpha {{ address {ip}:{port}; }}\n\
             \ton absent {{ address 10.255.255.254:{port}; }}\n}}",
            port = 7100 + number
        )?;
    }
    side.node.put("/etc/resources", text.as_bytes())?;
    Ok(())
}

/// Brings everything up, adjusts it and takes it down again.
fn measure(side: &Side, rig: Rig, best: &mut [Option<Taken>; 3]) -> Result<()> {
    let load = if rig.their_module {
        "modprobe lru_cache; insmod $(find /lib/modules/$(uname -r)/kernel -name 'drbd.ko*' | head -1)"
    } else {
        "modprobe drbd"
    };
    side.sh(&format!("rmmod drbd 2>/dev/null; {load}"))?;
    // Our module has no auto-promote and says so: to the reference that is a difference to adjust. Only 9 knows the option.
    let common = match rig.their_module {
        true => "",
        false => "common { options { auto-promote no; } }",
    };
    side.sh(&format!(
        "{{ echo '{common}'; cat /etc/resources; }} >/etc/drbd.conf"
    ))?;
    let path = if rig.their_tools {
        "export PATH=/usr/lib/drbd-lab/stock:$PATH"
    } else {
        "true"
    };
    side.node.sh_within(
        &format!("{path}; yes yes | drbdadm -- --force create-md all"),
        LIMIT,
    )?;
    for (command, best) in COMMANDS.iter().zip(best) {
        let taken = timed(side, path, &format!("drbdadm {command}"))
            .with_context(|| format!("{}: {command}", rig.name))?;
        *best = Some(taken.best(*best));
        let there = "grep -c ' cs:' /proc/drbd || true";
        let there = if rig.their_module {
            there
        } else {
            "drbdsetup status --json | grep -c '\"name\": \"r[0-9]*\"' || true"
        };
        let expected = if *command == "down all" { 0 } else { RESOURCES };
        let found: u64 = side.sh(there)?.trim().parse()?;
        ensure!(
            found == expected,
            "{}: {command}: {found} resources are there, not {expected}",
            rig.name
        );
        if *command == "up all" {
            let left = side
                .node
                .sh_within(&format!("{path}; drbdadm -d adjust all"), LIMIT)?;
            ensure!(left.trim().is_empty(), "{}: left to do: {left}", rig.name);
        }
    }
    Ok(())
}

/// Runs a command and counts what it starts. Every new process is in the kernel's trace with the one that
/// made it.
fn timed(side: &Side, path: &str, command: &str) -> Result<Taken> {
    let script = format!(
        "{path}; set -e; T=/sys/kernel/tracing
         [ -e $T/tracing_on ] || mount -t tracefs nodev $T
         echo 0 >$T/tracing_on; echo >$T/trace; echo 1 >$T/events/sched/sched_process_fork/enable
         begun=$EPOCHREALTIME; echo 1 >$T/tracing_on
         {command} >/run/out 2>&1 || {{ cat /run/out >&2; exit 1; }}
         echo 0 >$T/tracing_on; ended=$EPOCHREALTIME
         echo $(( (${{ended/./}} - ${{begun/./}}) / 1000 ))
         sed -n 's/.*sched_process_fork: comm=\\(.*\\) pid=.*child_comm=.*/\\1/p' $T/trace | sort | uniq -c"
    );
    let told = side.node.sh_within(&script, LIMIT)?;
    let (millis, forks) = told.split_once('\n').context("no time")?;
    let mut processes = 0;
    for line in forks.lines() {
        let (count, parent) = line.trim().split_once(' ').context("no count")?;
        let of_kernel = ["kthreadd", "kworker", "(udev", "systemd"];
        if !of_kernel.iter().any(|name| parent.starts_with(name)) {
            processes += count.parse::<u64>()?;
        }
    }
    println!(
        "    {command}: {millis} ms; started by {}",
        forks.replace('\n', ",")
    );
    Ok(Taken {
        millis: millis.trim().parse()?,
        processes,
    })
}
