// SPDX-License-Identifier: GPL-2.0-or-later
//! Disks that fail, and disks that come and go.

use super::told::{each_seed, primary, writes};
use drbd_core::state::Disk;

#[test]
fn a_disk_is_detached_and_attached_while_connected() {
    each_seed(|seed| {
        for n in [0, 1] {
            let mut world = primary(seed);
            writes(&mut world, 0, 10);
            world.finish_io();
            world.nodes[n].command(crate::admin::Admin::Detach(0, 0, false));
            world.succeed(n, "detach");
            world.settle();
            assert_eq!(world.nodes[n].state().disk, Disk::Diskless);
            assert_eq!(world.nodes[1 - n].state().pdsk, Disk::Diskless);
            // A Primary without disk works with the peer's.
            for _ in 0..20 {
                let sector = world.rng.below(90 * 2048);
                world.write(0, sector, 16);
                world.read(0, 0, sector, 16);
                world.run(4);
            }
            world.settle();
            assert_eq!(world.model.failed, 0);
            world.assert_idle();
            world.attach(n, 0);
            world.settle();
            world.assert_in_sync();
            for n in [0, 1] {
                world.model.check_disk(n, &world.nodes);
            }
        }
    });
}

#[test]
fn a_failing_disk_is_detached() {
    each_seed(|seed| {
        for n in [0, 1] {
            let mut world = primary(seed);
            writes(&mut world, 0, 10);
            world.nodes[n].vols[0].disk.failing = true;
            writes(&mut world, 0, 20);
            world.read(0, 0, 100, 8);
            world.settle();
            assert_eq!(world.nodes[n].state().disk, Disk::Diskless);
            assert_eq!(world.nodes[1 - n].state().pdsk, Disk::Diskless);
            assert_eq!(world.model.failed, 0, "one copy is left");
            world.assert_idle();
            world.nodes[n].vols[0].disk.failing = false;
            world.attach(n, 0);
            world.settle();
            world.assert_in_sync();
            world.model.check_disk(n, &world.nodes);
        }
    });
}

#[test]
fn metadata_that_cannot_be_written_detaches() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 5);
        world.nodes[0].vols[0].disk.md_failing = true;
        writes(&mut world, 0, 30);
        world.settle();
        assert_eq!(world.nodes[0].state().disk, Disk::Diskless);
        assert_eq!(world.model.failed, 0);
        world.assert_idle();
        world.nodes[0].vols[0].disk.md_failing = false;
        world.attach(0, 0);
        world.settle();
        world.assert_in_sync();
        world.model.check_disk(0, &world.nodes);
    });
}
