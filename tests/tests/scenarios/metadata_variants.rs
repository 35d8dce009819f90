// SPDX-License-Identifier: GPL-2.0-or-later
//! Every place and format of the metadata; what we leave on a v08 disk the
//! in-tree driver takes up.

use anyhow::{ensure, Result};
use drbd_tests::config::{Config, MetaDisk};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

#[test]
#[ignore = "full: takes more than three minutes"]
fn metadata_variants() {
    let setup = Setup {
        disks_mib: vec![64, 136],
        ..Setup::default()
    };
    scenario("metadata_variants", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for meta_disk in [MetaDisk::Internal, MetaDisk::Flexible, MetaDisk::Indexed] {
        let config = Config {
            meta_disk,
            ..Config::default()
        };
        for format in ["v08", "v09"] {
            step(&format!("{meta_disk:?} {format}"), || -> Result<()> {
                let place = meta_disk.drbdmeta_words();
                for side in cluster.sides() {
                    cluster.configure(side, &config)?;
                    let peers = if format == "v09" { "1" } else { "" };
                    side.sh("wipefs -q -a /dev/vdb; dd if=/dev/zero of=/dev/vdc bs=1M count=1 2>/dev/null; dd if=/dev/zero of=/dev/vdb bs=1M seek=63 count=1 conv=notrunc 2>/dev/null")?;
                    side.sh(&format!(
                        "yes yes | drbdmeta --force 0 {format} {place} create-md {peers}"
                    ))?;
                    side.drbdadm("up")?;
                }
                alpha.wait_connection("Connected")?;
                alpha.primary_force()?;
                alpha.wait_healthy()?;
                beta.wait_healthy()?;
                alpha.sh(
                    "dd if=/dev/urandom of=/dev/drbd0 bs=64k count=40 oflag=direct 2>/dev/null",
                )?;
                let sum = alpha
                    .sh("dd if=/dev/drbd0 bs=64k count=40 iflag=direct 2>/dev/null | md5sum")?;
                alpha.secondary()?;
                for side in cluster.sides() {
                    side.down()?;
                }
                // Attached again it is what it was.
                for side in cluster.sides() {
                    side.drbdadm("up")?;
                }
                alpha.wait_healthy()?;
                beta.primary()?;
                let again =
                    beta.sh("dd if=/dev/drbd0 bs=64k count=40 iflag=direct 2>/dev/null | md5sum")?;
                ensure!(sum == again, "other data after down and up");
                beta.secondary()?;
                for side in cluster.sides() {
                    side.down()?;
                }
                if format == "v08" {
                    taken_up_by_stock(cluster, place, &sum)?;
                }
                Ok(())
            })?;
        }
    }
    for side in cluster.sides() {
        side.sh("rmmod drbd")?;
    }
    Ok(cluster.lab.check_consoles()?)
}

/// The in-tree driver attaches the disk and reads the same data.
fn taken_up_by_stock(cluster: &Cluster, place: &str, sum: &str) -> Result<()> {
    let beta = &cluster.beta;
    let attach = place.replace("flex-external", "flexible");
    let seen = beta.sh(&format!(
        "rmmod drbd && modprobe lru_cache && insmod $(find /lib/modules/$(uname -r)/kernel -name 'drbd.ko*' | head -1) >&2 \
         && export PATH=/lib/drbd:$PATH && drbdmeta 0 v08 {place} apply-al >&2 \
         && drbdsetup-84 new-resource r0 >&2 && drbdsetup-84 new-minor r0 0 0 >&2 \
         && drbdsetup-84 attach 0 /dev/vdb {attach} >&2 && drbdsetup-84 primary 0 >&2 \
         && dd if=/dev/drbd0 bs=64k count=40 iflag=direct 2>/dev/null | md5sum; \
         drbdsetup-84 secondary 0 >&2; drbdsetup-84 down r0 >&2; rmmod drbd; modprobe drbd"
    ))?;
    ensure!(
        seen.trim() == sum.trim(),
        "the in-tree driver reads other data: {seen}"
    );
    Ok(())
}
