// SPDX-License-Identifier: GPL-2.0-or-later
//! Resyncs: what they copy, beside what they go on, how they end.

use super::told::{each_seed, primary, writes};
use crate::world::{Setup, World};
use drbd_core::{
    meta::Format,
    state::{Conn, Disk},
};

#[test]
fn force_primary_begins_the_first_full_sync() {
    each_seed(|seed| {
        let formats = [(Format::V08, 1), (Format::V09, 1), (Format::V09, 7)];
        let (format, max_peers) = formats[seed as usize % 3];
        let mut world = World::new(Setup {
            format,
            max_peers,
            ..Setup::new(seed)
        });
        world.start();
        world.nodes[0].promote(true);
        world.succeed(0, "promote --force");
        world.settle();
        world.assert_in_sync();
        let sectors = world.nodes[0].vols[0].volume.capacity_sectors();
        assert_eq!(world.resynced_sectors(), sectors);
        let a = world.nodes[0].vols[0].volume.snapshot().uuids;
        let b = world.nodes[1].vols[0].volume.snapshot().uuids;
        assert_eq!((a.current & 1, b.current & 1), (1, 0));
        assert_eq!(
            a.history.map(|uuid| uuid & !1),
            b.history.map(|uuid| uuid & !1)
        );
        assert_ne!(a.history[0], 0);
        writes(&mut world, 0, 20);
        world.settle();
        world.assert_in_sync();
    });
}

/// The start of a resync is interrupted again and again, each time before the target's metadata
/// holds the name that the source gave it, and then the target loses power: what it was must
/// still be known to the source.
#[test]
fn a_resync_that_starts_again_and_again_keeps_its_ancestry() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.disconnect_network();
        writes(&mut world, 0, 20);
        world.settle();
        world.hold_md[1] = true;
        world.link_up = true;
        for _ in 0..3 {
            for _ in 0..40 {
                world.run(20);
                if world.nodes[1].state().conn == Conn::SyncTarget {
                    break;
                }
            }
            world.cut();
            world.run(60);
        }
        world.crash(1, true);
        world.hold_md[1] = false;
        world.boot(1);
        world.attach(1, 0);
        world.connect(1);
        world.settle();
        world.assert_in_sync();
    });
}

#[test]
fn an_interruption_resyncs_exactly_what_was_written() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 10);
        world.settle();
        world.disconnect_network();
        let s = world.nodes[0].state();
        assert_eq!((s.conn, s.disk), (Conn::WfConnection, Disk::UpToDate));
        // A new data generation, although nothing was written.
        assert_ne!(world.nodes[0].vols[0].volume.snapshot().uuids.bitmap, 0);
        for block in [3u64, 4, 5, 900, 7001] {
            world.write(0, block * 8, 8);
        }
        world.finish_io();
        world.settle();
        assert_eq!(
            world.nodes[0].vols[0].volume.snapshot().out_of_sync_sectors,
            40
        );
        world.resynced_sectors();
        world.reconnect_network();
        world.assert_in_sync();
        assert_eq!(world.resynced_sectors(), 40);
        world.model.check_disk(1, &world.nodes);
    });
}

#[test]
fn writes_go_on_during_a_resync() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.disconnect_network();
        for block in 0..40u64 {
            world.write(0, block * 64, 64);
        }
        world.finish_io();
        world.link_up = true;
        world.until("the resync begins", |world| {
            world.nodes[1].state().conn == Conn::SyncTarget
        });
        for _ in 0..60 {
            let sector = world.rng.below(48 * 64);
            let len = 1 + world.rng.below(24);
            world.write(0, sector, len);
            let sector = world.rng.below(48 * 64);
            world.read(0, 0, sector, 8);
            world.run(5);
        }
        world.settle();
        world.assert_in_sync();
        assert_eq!(world.model.failed, 0);
        world.model.check_disk(1, &world.nodes);
    });
}

/// The old primary is a target; it is promoted while the resync runs.
#[test]
fn a_target_can_be_the_primary() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.disconnect_network();
        for block in 0..60u64 {
            world.write(0, block * 64, 64);
        }
        world.finish_io();
        world.demote(0);
        world.link_up = true;
        world.until("the resync begins", |world| {
            world.nodes[1].state().conn == Conn::SyncTarget
        });
        world.promote(1);
        for _ in 0..60 {
            let sector = world.rng.below(66 * 64);
            let len = 1 + world.rng.below(24);
            world.write(1, sector, len);
            let sector = world.rng.below(66 * 64);
            world.read(1, 0, sector, 8);
            world.run(6);
        }
        world.settle();
        world.assert_in_sync();
        assert_eq!(world.model.failed, 0);
        world.model.check_disk(0, &world.nodes);
    });
}

#[test]
fn a_resync_that_is_interrupted_goes_on() {
    each_seed(|seed| {
        for stop in [Conn::WfBitMapT, Conn::WfSyncUuid, Conn::SyncTarget] {
            let mut world = primary(seed);
            world.disconnect_network();
            for block in 0..200u64 {
                world.write(0, block * 16, 8);
                world.run(2);
            }
            world.finish_io();
            world.resynced_sectors();
            world.link_up = true;
            world.until("the resync gets that far", |world| {
                world.nodes[1].state().conn == stop
            });
            world.run(seed * 13);
            world.disconnect_network();
            world.write(0, 5000 * 8, 8);
            world.finish_io();
            world.reconnect_network();
            world.assert_in_sync();
            let resynced = world.resynced_sectors();
            assert!(
                resynced < 3 * 201 * 8,
                "{resynced} sectors are a full resync"
            );
            world.model.check_disk(1, &world.nodes);
        }
    });
}

#[test]
fn invalidate_copies_everything_again() {
    each_seed(|seed| {
        for (n, conn) in [(0, Conn::StartingSyncS), (1, Conn::StartingSyncT)] {
            let mut world = primary(seed);
            writes(&mut world, 0, 10);
            world.settle();
            world.resynced_sectors();
            let request = drbd_core::state::Request::NONE.conn(conn);
            world.nodes[n].command(crate::admin::Admin::Change {
                request,
                asked: false,
            });
            world.succeed(n, "invalidate");
            writes(&mut world, 0, 10);
            world.settle();
            world.assert_in_sync();
            let sectors = world.nodes[0].vols[0].volume.capacity_sectors();
            assert!(world.resynced_sectors() > sectors * 9 / 10);
            world.model.check_disk(1, &world.nodes);
        }
    });
}

/// The Primary, node 0, that is invalidated and has got as far as `stop`.
fn invalidated(seed: u64, stop: Conn) -> World {
    let mut world = primary(seed);
    writes(&mut world, 0, 10);
    world.settle();
    world.resynced_sectors();
    let request = drbd_core::state::Request::NONE.conn(Conn::StartingSyncT);
    world.nodes[0].command(crate::admin::Admin::Change {
        request,
        asked: false,
    });
    world.until("the target gets that far", |world| {
        world.nodes[0].state().conn == stop
    });
    world
}

/// The stock driver calls both UpToDate when they meet again, with every bit set.
#[test]
fn an_invalidate_that_is_interrupted_goes_on() {
    each_seed(|seed| {
        for stop in [Conn::StartingSyncT, Conn::WfSyncUuid, Conn::SyncTarget] {
            let mut world = invalidated(seed, stop);
            world.disconnect_network();
            // It fails, and may be on the disk nevertheless.
            world.write(0, 64, 8);
            world.finish_io();
            world.reconnect_network();
            world.settle();
            world.assert_in_sync();
            let sectors = world.nodes[0].vols[0].volume.capacity_sectors();
            let resynced = world.resynced_sectors();
            assert!(resynced > sectors * 9 / 10, "{stop:?}: {resynced} sectors");
        }
    });
}

/// What its log covers must not be copied over what was to replace it.
#[test]
fn an_invalidated_primary_that_crashes_stays_invalidated() {
    each_seed(|seed| {
        let mut world = invalidated(seed, Conn::WfSyncUuid);
        world.crash(0, true);
        world.settle();
        world.boot(0);
        world.attach(0, 0);
        assert_eq!(world.nodes[0].state().disk, Disk::Inconsistent);
        world.connect(0);
        world.settle();
        world.assert_in_sync();
        let sectors = world.nodes[0].vols[0].volume.capacity_sectors();
        assert!(world.resynced_sectors() > sectors * 9 / 10);
    });
}
