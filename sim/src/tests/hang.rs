// SPDX-License-Identifier: GPL-2.0-or-later
//! Disks that hang, and what they write when everybody is done with them.

use super::told::{each_seed, primary, writes};
use drbd_core::state::Disk;
use std::cell::Cell;

/// The disk of `n` hangs with writes on it, is given up, answers late and comes back: the
/// application hears of no error, nothing is lost, and no disk is taken before that answer.
#[test]
fn a_disk_that_hangs_is_given_up_and_comes_back() {
    let lates = Cell::new(0);
    for n in [0, 1] {
        each_seed(|seed| {
            let mut world = primary(seed);
            world.set_disk_timeout(1000);
            writes(&mut world, 0, 5);
            world.finish_io();
            world.nodes[n].vols[0].disk.hanging = true;
            writes(&mut world, 0, 9);
            world.settle();
            assert_eq!(world.model.in_flight(), 0, "{}", world.describe());
            assert_eq!(world.model.failed, 0, "the other copy is good");
            assert_eq!(world.nodes[n].state().disk, Disk::Diskless);
            let vol = &world.nodes[n].vols[0];
            // A flush alone may have been what it was given up for.
            let late = vol.volume.late_io() > 0 || vol.md_late.is_some();
            lates.set(lates.get() + u32::from(late));
            world.write(0, 64, 8);
            world.settle();
            assert_eq!(world.model.failed, 0);
            // It goes on, in any order with what else happens.
            world.nodes[n].vols[0].disk.hanging = false;
            world.write(0, 4096, 8);
            world.settle();
            let vol = &world.nodes[n].vols[0];
            assert!(vol.inflight.is_empty() && vol.md_late.is_none());
            assert_eq!(vol.volume.late_io(), 0);
            world.attach(n, 0);
            world.settle();
            world.assert_in_sync();
            for n in [0, 1] {
                world.model.check_disk(n, &world.nodes);
            }
        });
    }
    assert!(lates.get() > 2, "{} late answers", lates.get());
}
