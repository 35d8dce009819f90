// SPDX-License-Identifier: GPL-2.0-or-later
//! Single stories, each under a few seeds.

use crate::world::{Setup, World};
use drbd_core::{
    engine::op::Action,
    meta::{Format, MdFlags, Superblock},
    state::{Conn, Disk, Role},
    wire::{dialect::Features, handshake::ReplicationProtocol},
};

/// Seeds of each story; `ENGINE_SEEDS` overrides.
const SEEDS: u64 = 4;

pub(super) fn each_seed(story: impl Fn(u64)) {
    let only = std::env::var("ENGINE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = std::env::var("ENGINE_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS) {
        if only.is_none_or(|only: u64| only == seed) {
            eprintln!("ENGINE_SEED={seed}");
            story(seed);
        }
    }
}

fn synced(seed: u64) -> World {
    let mut world = World::new(Setup::synced(seed));
    world.start();
    world.assert_in_sync();
    world
}

/// A primary on node 0, both in sync.
pub(super) fn primary(seed: u64) -> World {
    let mut world = synced(seed);
    world.promote(0);
    world.settle();
    world
}

pub(super) fn writes(world: &mut World, n: usize, count: u64) {
    for _ in 0..count {
        let sector = world.rng.below(90 * 2048);
        let len = 1 + world.rng.below(64);
        world.write(n, sector, len);
        world.run(3);
    }
}

#[test]
fn two_fresh_nodes_connect_and_stay_inconsistent() {
    each_seed(|seed| {
        let mut world = World::new(Setup::new(seed));
        world.start();
        assert_eq!(world.disks(), [(Disk::Inconsistent, Disk::Inconsistent); 2]);
        assert_eq!(world.nodes[0].state().conn, Conn::Connected);
        world.nodes[0].promote(false);
        assert_eq!(world.refused(0, "promotion without data"), "NoUpToDateDisk");
        world.assert_idle();
    });
}

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

#[test]
fn writes_are_mirrored_with_every_protocol() {
    each_seed(|seed| {
        for protocol in [
            ReplicationProtocol::A,
            ReplicationProtocol::B,
            ReplicationProtocol::C,
        ] {
            let mut world = World::new(Setup::synced(seed));
            for node in &mut world.nodes {
                node.protocol = protocol;
            }
            world.start();
            world.promote(0);
            writes(&mut world, 0, 60);
            world.settle();
            world.assert_in_sync();
            assert_eq!(world.model.in_flight(), 0);
            assert_eq!(world.model.failed, 0);
            world.model.check_disk(0, &world.nodes);
            world.model.check_disk(1, &world.nodes);
        }
    });
}

#[test]
fn discards_zeroes_and_flushes() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.nodes[1].vols[0].disk.no_discard = false;
        writes(&mut world, 0, 20);
        for round in 0..12 {
            let action = [Action::Discard, Action::ZeroesUnmap, Action::ZeroesKeep][round % 3];
            let sector = world.rng.below(40 * 2048);
            // Longer than a bio may be, and over several extents of the activity log.
            let len = 1 + world.rng.below(20_000);
            world.act(0, 0, action, sector, len, false);
            world.act(0, 0, Action::Flush, 0, 0, false);
            writes(&mut world, 0, 3);
        }
        world.settle();
        world.assert_in_sync();
        assert_eq!(world.model.failed, 0);
        world.model.check_disk(1, &world.nodes);
    });
}

/// A flush is over when both disks have what was written before, with and without an own one.
#[test]
fn a_flush_makes_the_peers_copy_durable() {
    each_seed(|seed| {
        for diskless in [false, true] {
            let mut world = primary(seed);
            if diskless {
                detach(&mut world, 0);
            }
            for _ in 0..10 {
                writes(&mut world, 0, 10);
                world.finish_io();
                world.act(0, 0, Action::Flush, 0, 0, false);
                world.finish_io();
                for (n, node) in world.nodes.iter().enumerate() {
                    let volatile = node.vols[0].disk.volatile_sectors();
                    assert_eq!(volatile, 0, "of node {n}, diskless {diskless}");
                }
            }
            assert_eq!(world.model.failed, 0);
            world.settle();
            world.assert_idle();
        }
    });
}

/// What only the peer had may be lost with its cache: the next flush says so, once.
#[test]
fn a_flush_after_the_only_copy_was_out_of_sight_fails() {
    let tellings = std::cell::Cell::new(0);
    each_seed(|seed| {
        // With protocol A too the write has arrived when it completes, for want of another copy.
        let mut world = World::new(Setup::synced(seed));
        for node in &mut world.nodes {
            node.protocol = ReplicationProtocol::A;
        }
        world.start();
        world.promote(0);
        detach(&mut world, 0);
        writes(&mut world, 0, 10);
        world.finish_io();
        world.act(0, 0, Action::Flush, 0, 0, false);
        world.finish_io();
        assert_eq!(world.model.failed, 0);
        // It completes, and the barrier behind it may not get through.
        world.write(0, 4096, 8);
        world.finish_io();
        let disk = &world.nodes[1].vols[0].disk;
        assert!(disk.contents(4097).contains_key(&4096), "not on the disk");
        world.disconnect_network();
        let at_risk = world.nodes[1].vols[0].disk.volatile_sectors() > 0;
        world.reconnect_network();
        world.settle();
        let mut flush = || {
            world.act(0, 0, Action::Flush, 0, 0, false);
            world.finish_io();
            world.model.failed
        };
        let told = flush();
        assert!(told == 1 || told == 0 && !at_risk);
        assert_eq!(flush(), told, "told twice");
        tellings.set(tellings.get() + told);
    });
    assert!(tellings.get() > 0, "no flush ever failed");
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

fn detach(world: &mut World, n: usize) {
    world.nodes[n].command(crate::admin::Admin::Detach(0, 0, false));
    world.succeed(n, "detach");
    world.settle();
}

/// With data-integrity-alg no P_ZEROES may go to a stock peer: the block layer has to write zeros.
#[test]
fn zeroes_are_refused_while_the_peer_does_not_take_them() {
    each_seed(|seed| {
        let mut world = World::new(Setup::synced(seed));
        world.features = Features::TRIM.union(Features::WSAME);
        world.start();
        world.promote(0);
        world.settle();
        for action in [Action::ZeroesUnmap, Action::ZeroesKeep, Action::Data] {
            world.act(0, 0, action, 64, 512, false);
        }
        world.finish_io();
        assert_eq!(world.model.failed, 2);
        world.act(0, 0, Action::Discard, 64, 512, false);
        world.finish_io();
        assert_eq!(world.model.failed, 2);
        // Alone it may do what it likes.
        world.disconnect_network();
        world.act(0, 0, Action::ZeroesKeep, 64, 512, false);
        world.finish_io();
        assert_eq!(world.model.failed, 2);
        world.reconnect_network();
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
fn a_secondary_that_lost_power_returns() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 30);
        world.crash(1, true);
        writes(&mut world, 0, 10);
        world.settle();
        assert_eq!(world.nodes[0].state().conn, Conn::WfConnection);
        world.boot(1);
        world.attach(1, 0);
        world.connect(1);
        world.settle();
        world.assert_in_sync();
        assert_eq!(world.model.failed, 0);
        world.model.check_disk(0, &world.nodes);
        world.model.check_disk(1, &world.nodes);
    });
}

#[test]
fn the_survivor_of_a_primary_has_every_acknowledged_write() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 40);
        world.run(seed * 17);
        world.crash(0, true);
        world.settle();
        world.model.check_disk(1, &world.nodes);
        world.promote(1);
        writes(&mut world, 1, 10);
        world.finish_io();
        world.boot(0);
        world.attach(0, 0);
        world.connect(0);
        world.settle();
        world.assert_in_sync();
        world.model.check_disk(0, &world.nodes);
        assert_eq!(world.nodes[0].state().role, Role::Secondary);
    });
}

/// A superblock that a dead Primary left is no promise: its log was applied and does not count.
#[test]
fn a_primary_that_died_writes_nothing_before_its_log_counts_again() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 5);
        world.finish_io();
        world.crash(1, true);
        world.settle();
        world.crash(0, true);
        world.boot(0);
        world.hold_md[0] = true;
        world.attach(0, 0);
        world.promote(0);
        world.write(0, 4096, 8);
        world.hold_md[0] = false;
        world.until("a write on the disk", |world| {
            !world.nodes[0].vols[0].inflight.is_empty()
        });
        let superblock = crate::metadata::superblock(&world.nodes[0].vols[0].disk);
        assert!(superblock.needs_apply_al());
        world.finish_io();
        assert_eq!(world.model.failed, 0);
    });
}

#[test]
fn a_crashed_primary_that_returns_first_is_the_source() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 40);
        world.crash(0, false);
        world.settle();
        world.boot(0);
        world.attach(0, 0);
        world.connect(0);
        world.settle();
        world.assert_in_sync();
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

/// Both were Primary without the other.
fn split(seed: u64) -> World {
    let mut world = primary(seed);
    world.disconnect_network();
    world.write(0, 80, 8);
    world.finish_io();
    world.demote(0);
    world.promote(1);
    world.write(1, 800, 8);
    world.finish_io();
    world.settle();
    world
}

#[test]
fn split_brain_is_refused_on_both() {
    each_seed(|seed| {
        let mut world = split(seed);
        world.reconnect_network();
        // The first that sees it hangs up; the other is left waiting or sees it as well.
        assert!(world
            .nodes
            .iter()
            .any(|node| node.state().conn == Conn::StandAlone));
        assert!(world
            .nodes
            .iter()
            .all(|node| node.state().conn < Conn::Connected));
        assert!(world
            .nodes
            .iter()
            .all(|node| node.state().disk == Disk::UpToDate));
        world.assert_idle();
    });
}

#[test]
fn discard_my_data_ends_a_split_brain() {
    each_seed(|seed| {
        let mut world = split(seed);
        world.reconnect_network();
        let now = world.now;
        for n in [0, 1] {
            if world.nodes[n].state().conn == Conn::StandAlone {
                world.nodes[n].connect(n == 0, now);
            } else if n == 0 {
                world.nodes[0].command(crate::admin::Admin::Disconnect(false));
                world.succeed(0, "disconnect");
                world.nodes[0].connect(true, now);
            }
        }
        world.settle();
        world.assert_in_sync();
        world.model.check_disk(0, &world.nodes);
        world.model.check_disk(1, &world.nodes);
    });
}

#[test]
fn a_graceful_disconnect_leaves_the_peer_waiting() {
    each_seed(|seed| {
        let mut world = primary(seed);
        writes(&mut world, 0, 10);
        world.settle();
        world.nodes[1].command(crate::admin::Admin::Disconnect(false));
        world.succeed(1, "disconnect");
        world.settle();
        assert_eq!(world.nodes[1].state().conn, Conn::StandAlone);
        assert_eq!(world.nodes[0].state().conn, Conn::WfConnection);
        writes(&mut world, 0, 10);
        world.settle();
        world.connect(1);
        world.settle();
        world.assert_in_sync();
        // The roles change.
        world.demote(0);
        world.settle();
        world.promote(1);
        writes(&mut world, 1, 10);
        world.settle();
        world.assert_in_sync();
    });
}

#[test]
fn the_second_primary_is_refused() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.nodes[1].promote(false);
        let why = world.refused(1, "a second primary");
        assert_eq!(why, "TwoPrimaries");
        world.settle();
        assert_eq!(world.nodes[1].state().role, Role::Secondary);
        assert_eq!(world.nodes[0].state().peer, Role::Secondary);
    });
}

#[test]
fn two_promotions_at_once_make_at_most_one_primary() {
    each_seed(|seed| {
        let mut world = synced(seed);
        world.nodes[0].promote(false);
        world.nodes[1].promote(false);
        world.settle();
        let primaries = world
            .nodes
            .iter()
            .filter(|node| node.state().role == Role::Primary);
        assert!(primaries.count() <= 1);
        for n in [0, 1] {
            assert!(world.nodes[n].admin_result.is_some());
            let peer = world.nodes[1 - n].state().role;
            assert_eq!(
                world.nodes[n].state().peer,
                peer,
                "the nodes know each other's role"
            );
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

#[test]
fn two_volumes_share_a_connection() {
    each_seed(|seed| {
        let mut world = World::new(Setup {
            volumes: 2,
            ..Setup::synced(seed)
        });
        world.start();
        world.promote(0);
        for _ in 0..40 {
            let v = world.rng.below(2) as usize;
            let sector = world.rng.below(90 * 2048);
            world.act(0, v, Action::Data, sector, 8, false);
            world.run(3);
        }
        world.disconnect_network();
        for v in [0, 1] {
            world.act(0, v, Action::Data, 4096, 8, false);
        }
        world.finish_io();
        world.reconnect_network();
        world.assert_in_sync();
        world.model.check_disk(1, &world.nodes);
    });
}

/// What a lost Primary wrote does not change under the next one.
#[test]
fn a_promotion_waits_for_what_the_lost_peer_wrote() {
    each_seed(|seed| {
        let mut world = World::new(Setup::synced(seed));
        for node in &mut world.nodes {
            node.protocol = ReplicationProtocol::B;
        }
        world.start();
        world.promote(0);
        world.hold_io[1] = true;
        world.write(0, 4096, 8);
        world.finish_io();
        world.crash(0, true);
        world.until("the loss is noticed", |world| {
            world.nodes[1].state().conn < Conn::Connected
        });
        world.nodes[1].promote(false);
        while world.step() {}
        assert_eq!(world.nodes[1].state().role, Role::Secondary);
        world.hold_io[1] = false;
        world.succeed(1, "promote");
        world.read(1, 0, 4096, 8);
        world.finish_io();
    });
}

/// A superblock that ends the log's validity ends it when it is begun, not when it is written.
#[test]
fn a_new_primary_does_not_rely_on_a_log_that_is_being_ended() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.write(0, 4096, 8);
        world.settle();
        let ends_log = |write: &crate::node::MdWrite| {
            Superblock::decode(&write.block)
                .is_ok_and(|superblock| !superblock.flags.contains(MdFlags::PRIMARY_IND))
        };
        world.nodes[0].demote();
        world.until("the superblock is being written", |world| {
            world.nodes[0].vols[0]
                .md_write
                .as_ref()
                .is_some_and(ends_log)
        });
        world.hold_md[0] = true;
        world.succeed(0, "demote");
        world.promote(0);
        world.write(0, 4096, 8);
        while world.step() {}
        assert_eq!(world.model.in_flight(), 1, "the log does not count yet");
        world.hold_md[0] = false;
        world.settle();
        world.assert_in_sync();
    });
}
