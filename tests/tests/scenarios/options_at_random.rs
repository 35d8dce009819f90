// SPDX-License-Identifier: GPL-2.0-or-later
//! Options as the dice say, another set in every round and other disk options on each node, under load and whatever else
//! happens to a pair meanwhile: it finds itself again without help, what was written is what is read, and the disks are equal.
//!
//! `DRBD_SEED` repeats a run, `DRBD_ROUNDS` sets how many rounds there are.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::dice::{self, dice};
use drbd_tests::scenario::step;
use drbd_tests::{mapper, scenario, Cluster, Draw, Mishap, Mishaps, Pairing, Setup, Side};

/// How many rounds there are unless the environment says otherwise.
const ROUNDS: u32 = 5;

#[test]
#[ignore = "full: rounds of half a minute"]
fn options_at_random() {
    scenario("options_at_random", &setup(Pairing::OursOurs), one_primary);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn options_at_random_with_stock() {
    scenario(
        "options_at_random_with_stock",
        &setup(Pairing::OursStock),
        one_primary,
    );
}

#[test]
#[ignore = "full: the same with two Primaries"]
fn options_at_random_of_two_primaries() {
    scenario(
        "options_at_random_of_two_primaries",
        &setup(Pairing::OursOurs),
        two_primaries,
    );
}

#[test]
#[ignore = "full: the same with the stock driver as one of two Primaries"]
fn options_at_random_of_two_primaries_with_stock() {
    scenario(
        "options_at_random_of_two_primaries_with_stock",
        &setup(Pairing::OursStock),
        two_primaries,
    );
}

/// The disks, of which a part is used at first.
const DISK_MIB: u64 = 72;
const FIRST_MIB: u64 = 56;

/// What each of the Primaries writes to.
const OWN_MIB: u64 = 12;

/// For the load and its verification on two busy machines.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).disk_mib(DISK_MIB).mapped()
}

/// Writes all over a part of the device for some ten seconds, then reads it back.
fn load(dice: &mut fastrand::Rng, start_mib: u64) -> String {
    let smallest = if dice.bool() { "512" } else { "4k" };
    let depth = 1 << dice.u32(0..6);
    format!(
        "fio --thread --name=load --filename=/dev/drbd0 --size={OWN_MIB}m --offset={start_mib}m --rate=,1m \
         --rw=randwrite --bsrange={smallest}-64k --ioengine=libaio --direct=1 --iodepth={depth} \
         --verify=crc32c --verify_fatal=1 --do_verify=1 --output=/run/fio.log || \
         {{ cat /run/fio.log; exit 1; }}"
    )
}

/// Writes all over the first MiB, whatever the other node does there.
const SHARED: &str = "fio --thread --name=shared --filename=/dev/drbd0 --size=1m --rw=randwrite --norandommap \
     --randrepeat=0 --bsrange=512-32k --blockalign=512 --ioengine=libaio --direct=1 --iodepth=4 --rate=,256k \
     --time_based --runtime=15 --output=/run/shared.log || { cat /run/shared.log; exit 1; }";

/// A pair whose options and days are as the dice say.
struct Life<'a> {
    cluster: &'a Cluster,
    draw: Draw<'a>,
    kinds: Vec<Mishap>,
    two_primaries: bool,
}

impl Life<'_> {
    fn primaries(&self, dice: &mut fastrand::Rng) -> Vec<&Side> {
        match self.two_primaries {
            true => self.cluster.sides().to_vec(),
            false => vec![self.cluster.sides()[dice.usize(..2)]],
        }
    }

    fn round(&self, dice: &mut fastrand::Rng) -> Result<()> {
        let sides = self.cluster.sides();
        for side in sides {
            side.down()?;
        }
        let with_secret = Draw {
            secret: true,
            ..self.draw
        };
        with_secret.configure(self.cluster, dice)?;
        for side in sides {
            side.drbdadm("up")?;
        }
        for side in sides {
            side.wait_healthy()?;
        }
        let primaries = self.primaries(dice);
        let mut running = Vec::new();
        for (side, start_mib) in primaries.iter().zip([4, 4 + OWN_MIB]) {
            println!("    {} is Primary", side.name());
            side.primary()?;
            running.push(side.node.spawn(&load(dice, start_mib))?);
            // The in-tree driver does not bear it, see two_primaries.rs.
            if sides.iter().all(|side| side.is_ours()) && self.two_primaries {
                running.push(side.node.spawn(SHARED)?);
            }
        }
        let mishaps = Mishaps {
            cluster: self.cluster,
            kinds: &self.kinds,
            draw: self.draw,
            largest_mib: DISK_MIB,
        };
        for _ in 0..dice.u32(1..6) {
            std::thread::sleep(Duration::from_millis(dice.u64(0..4000)));
            mishaps.happen(dice, &primaries)?;
        }
        for load in running {
            let output = load.wait(LOAD_LIMIT)?;
            ensure!(output.success(), "{output:?}");
        }
        self.end(&primaries)
    }

    /// Nobody has to help but for a disk that could not be attached again.
    fn end(&self, primaries: &[&Side]) -> Result<()> {
        let sides = self.cluster.sides();
        for side in sides {
            // It was refused if the other one was not there just then.
            if side.view()?.disk == "Diskless" {
                side.drbdadm("attach")?;
            }
        }
        for side in sides {
            side.wait_healthy()?;
            let view = side.view()?;
            ensure!(view.out_of_sync_kib == 0, "bits are left: {view:?}");
        }
        for side in primaries {
            side.secondary()?;
        }
        self.cluster.compare_disks()
    }

    fn live(&self) -> Result<()> {
        let rounds = dice::count("DRBD_ROUNDS", ROUNDS)?;
        let mut dice = dice()?;
        for side in self.cluster.sides() {
            mapper::set_size(side, FIRST_MIB)?;
        }
        step("up", || self.cluster.up_and_synced())?;
        self.cluster.alpha.secondary()?;
        for number in 1..=rounds {
            step(&format!("round {number}"), || self.round(&mut dice))?;
        }
        self.cluster.finish()
    }
}

fn one_primary(cluster: &Cluster) -> Result<()> {
    let life = Life {
        cluster,
        draw: Draw {
            careless: true,
            ..Draw::default()
        },
        kinds: Mishap::ALL.to_vec(),
        two_primaries: false,
    };
    life.live()
}

fn two_primaries(cluster: &Cluster) -> Result<()> {
    let mut kinds = Mishap::ALL.to_vec();
    kinds.retain(Mishap::leaves_them_together);
    let life = Life {
        cluster,
        draw: Draw {
            careless: true,
            net: &["protocol C", "allow-two-primaries yes"],
            ..Draw::default()
        },
        kinds,
        two_primaries: true,
    };
    life.live()
}
