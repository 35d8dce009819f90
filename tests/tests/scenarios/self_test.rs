// SPDX-License-Identifier: GPL-2.0-or-later
//! The module's safe layer over the kernel, wrapper by wrapper: the self-test that `cargo xtask build --selftest` compiles in.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_qemu::{dist_dir, Lab, NodeSpec};
use drbd_tests::scenario::{conclude, step};
use drbd_tests::Side;

/// For a boot.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

#[test]
#[ignore = "full: what it tests, every other scenario uses; it tells which wrapper is at fault"]
fn self_test() {
    let started = Instant::now();
    let (lab, side) = match boot() {
        Ok(booted) => booted,
        Err(error) => panic!("self_test: the node does not boot: {error:#}"),
    };
    conclude("self_test", &lab, &[&side], story(&side), started);
}

fn boot() -> Result<(Lab, Side)> {
    let mut lab = Lab::new("self_test")?;
    let node = lab.add(NodeSpec::bare("alpha").disk_mib(64))?;
    lab.boot(BOOT_LIMIT)?;
    Ok((lab, Side { node }))
}

fn story(side: &Side) -> Result<()> {
    let module = dist_dir().with_file_name("selftest").join("drbd.ko");
    side.node
        .put_file(&module, "/root/drbd.ko")
        .context("make it:  cargo xtask build --selftest --kmod-only")?;
    // It fails to load when a check fails; the console has which.
    step("the checks", || {
        side.sh("insmod /root/drbd.ko selftest=/dev/vdb")
    })?;
    let said = side.sh("dmesg | grep 'selftest: '")?;
    ensure!(said.contains("selftest: all passed"), "{said}");
    let checks = said.matches("selftest: ok: ").count();
    ensure!(checks > 100, "{checks} checks: {said}");
    println!("  {checks} checks");
    side.sh("rmmod drbd").map(drop)
}
