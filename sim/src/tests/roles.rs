// SPDX-License-Identifier: GPL-2.0-or-later
//! Who is Primary, who is connected to whom, and two histories.

use super::told::{each_seed, primary, synced, writes};
use crate::world::{Setup, World};
use drbd_core::state::{Conn, Disk, Role};

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

/// A source's name for what the target has until the end does not prove that the target has begun: here it crashed before it wrote
/// that down, and both go on alone.
#[test]
fn a_resync_that_did_not_begin_hides_no_split_brain() {
    each_seed(|seed| {
        let mut world = primary(seed);
        world.write(0, 80, 8);
        world.finish_io();
        world.crash(0, true);
        world.settle();
        world.boot(0);
        world.attach(0, 0);
        world.connect(0);
        world.until("the source has begun", |world| {
            world.nodes[1].state().conn == Conn::WfBitMapT
        });
        world.hold_md[1] = true;
        world.until("the source has begun", |world| {
            world.nodes[0].state().conn == Conn::SyncSource
        });
        world.crash(1, true);
        world.hold_md[1] = false;
        world.settle();
        world.promote(0);
        world.write(0, 800, 8);
        world.finish_io();
        world.demote(0);
        world.nodes[0].command(crate::admin::Admin::Disconnect(false));
        world.succeed(0, "disconnect");
        world.boot(1);
        world.attach(1, 0);
        world.promote(1);
        world.write(1, 1600, 8);
        world.finish_io();
        world.connect(0);
        world.connect(1);
        world.settle();
        let conn = |n: usize| world.nodes[n].state().conn;
        assert!(conn(0) < Conn::Connected && conn(1) < Conn::Connected);
        assert!(conn(0) == Conn::StandAlone || conn(1) == Conn::StandAlone);
        world.model.check_disk(0, &world.nodes);
        world.model.check_disk(1, &world.nodes);
    });
}
