// SPDX-License-Identifier: GPL-2.0-or-later
//! Nodes that lose their power, and what the other one may then do.

use super::told::{each_seed, primary, writes};
use crate::world::{Setup, World};
use drbd_core::{
    meta::{MdFlags, Superblock},
    state::{Conn, Role},
    wire::handshake::ReplicationProtocol,
};

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
