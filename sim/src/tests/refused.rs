// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes that one of the disks did not take.

use super::told::{each_seed, primary, writes};
use drbd_core::state::{Conn, Disk};

/// A write that one disk refused is at the other alone. Whoever dies as soon as the application
/// heard of it: the copy that lacks it does not pass for the good one.
#[test]
fn a_write_that_one_disk_refused_is_not_undone() {
    for (n, metadata_too) in [(0, false), (0, true), (1, false)] {
        each_seed(|seed| {
            let mut world = primary(seed);
            writes(&mut world, 0, 5);
            world.finish_io();
            world.nodes[n].vols[0].disk.failing = true;
            world.nodes[n].vols[0].disk.md_failing = metadata_too;
            world.write(0, 4096, 8);
            world.until("the write", |world| world.model.in_flight() == 0);
            assert_eq!(world.model.failed, 0, "one copy is left");
            world.nodes[n].vols[0].disk.failing = false;
            world.nodes[n].vols[0].disk.md_failing = false;
            if n == 0 {
                // What the other acknowledged it has; it may forget what it was to remember.
                world.crash(1, false);
            }
            world.crash(0, true);
            world.settle();
            for n in [0, 1] {
                if !world.nodes[n].up {
                    world.boot(n);
                }
            }
            world.settle();
            for n in [0, 1] {
                if world.nodes[n].state().disk == Disk::Diskless {
                    world.attach(n, 0);
                }
            }
            // It says so itself, or the other is of a newer generation.
            let lacking = world.nodes[n].state().disk;
            let of = |n: usize| world.nodes[n].vols[0].volume.snapshot().uuids.current & !1;
            assert!(lacking != Disk::UpToDate || of(0) != of(1), "both are good");
            for n in [0, 1] {
                if world.nodes[n].state().conn == Conn::StandAlone {
                    world.connect(n);
                }
            }
            world.settle();
            world.assert_in_sync();
            for n in [0, 1] {
                world.model.check_disk(n, &world.nodes);
            }
        });
    }
}
