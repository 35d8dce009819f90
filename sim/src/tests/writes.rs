// SPDX-License-Identifier: GPL-2.0-or-later
//! What is written reaches both disks, or fails where it has to.

use super::told::{detach, each_seed, primary, writes};
use crate::world::{Setup, World};
use drbd_core::{
    engine::op::Action,
    wire::{dialect::Features, handshake::ReplicationProtocol},
};

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
        assert_ne!(disk.tag(4096), 0, "not on the disk");
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
