// SPDX-License-Identifier: GPL-2.0-or-later
//! Rates are kept, whoever asks, and follow the options at once.

extern crate std;
use super::super::{
    rig::{self, Peer},
    Effect, PeerReadKind, ReplyFate, Volume,
};
use super::TICK_MS;
use crate::{
    engine::{mem::tests::Heap, op::OpId, send_queue::SendItem},
    state::{action::Side, Conn},
    wire::block::BlockId,
};
use std::vec::Vec;

const SECTORS: u64 = 60_000;

/// A resync to here of everything.
fn target(peer: &mut Peer) -> Volume<Heap> {
    let mut volume = rig::volume(Conn::WfSyncUuid, SECTORS);
    volume.set_out_of_sync(0, SECTORS as u32);
    volume.start_resync(Side::Target, peer, 0);
    for _ in 0..3 {
        rig::write_metadata(&mut volume, peer);
        let _ = volume.resync_work(peer, 0);
    }
    volume
}

/// Ticks from `from_ms` on; every request is answered at once. The sectors that were asked for.
fn run(volume: &mut Volume<Heap>, peer: &mut Peer, from_ms: u64, ticks: u64) -> u64 {
    let mut asked = 0;
    for tick in 0..ticks {
        let now_ms = from_ms + tick * TICK_MS;
        let _ = volume.resync_work(peer, now_ms);
        loop {
            let items = core::mem::take(&mut peer.items);
            if items.is_empty() {
                break;
            }
            for item in items {
                let SendItem::RsRequest { op, .. } = item else {
                    continue;
                };
                volume.handed_over(op, peer);
                let (sector, len) = (volume.op(op).sector, volume.op(op).len_sectors);
                asked += u64::from(len);
                let ReplyFate::Take(op) = volume.resync_reply(sector, len, peer) else {
                    panic!("not taken");
                };
                volume.resync_data(op, false, peer, now_ms);
                for effect in rig::effects(volume) {
                    if let Effect::SubmitWrite { op, .. } = effect {
                        volume.local_done(op, true, peer);
                    }
                }
                let _ = rig::effects(volume);
            }
            let _ = volume.resync_work(peer, now_ms);
        }
    }
    asked
}

#[test]
fn a_fixed_rate_is_kept_however_low() {
    for rate_kib in [1, 4, 30, 250, 1000] {
        let mut peer = Peer::default();
        let mut volume = target(&mut peer);
        volume.peer.options.c_plan_ahead_ds = 0;
        volume.peer.options.resync_rate_kib = rate_kib;
        volume.peer.options.c_max_rate_kib = 7;
        let _ = run(&mut volume, &mut peer, 1000, 20);
        let asked = run(&mut volume, &mut peer, 3000, 200);
        // KiB/s for 20 s in sectors, and a block more or less.
        let wanted = u64::from(rate_kib) * 40;
        let off = asked.abs_diff(wanted);
        assert!(off <= wanted / 20 + 8, "{rate_kib}: {asked}, not {wanted}");
    }
}

#[test]
fn the_ceiling_follows_the_option_while_it_runs() {
    let mut peer = Peer::default();
    let mut volume = target(&mut peer);
    for (at, rate_kib) in [(1u64, 400u32), (2, 100), (3, 800)] {
        volume.peer.options.c_max_rate_kib = rate_kib;
        let _ = run(&mut volume, &mut peer, at * 20_000, 10);
        let asked = run(&mut volume, &mut peer, at * 20_000 + 1000, 50);
        let wanted = u64::from(rate_kib) * 2 * 5;
        let off = asked.abs_diff(wanted);
        assert!(off <= wanted / 20 + 8, "{rate_kib}: {asked}, not {wanted}");
    }
}

#[test]
fn somebody_else_on_the_disk_leaves_the_floor() {
    let mut peer = Peer::default();
    let mut volume = target(&mut peer);
    volume.peer.options.c_max_rate_kib = 2000;
    volume.peer.options.c_min_rate_kib = 50;
    let mut asked = 0;
    let _ = run(&mut volume, &mut peer, 9900, 1);
    for tick in 0..100u64 {
        // Mirrored writes: no application's on this node.
        volume.counters.written_sectors += 200;
        asked += run(&mut volume, &mut peer, 10_000 + tick * TICK_MS, 1);
    }
    let wanted = 50 * 2 * 10;
    assert!(
        asked.abs_diff(wanted) <= wanted / 2,
        "{asked}, not {wanted}"
    );
    let free = run(&mut volume, &mut peer, 30_000, 20);
    assert!(free > 4000, "{free} sectors when nobody else is there");
}

fn reads(volume: &mut Volume<Heap>, peer: &mut Peer) -> Vec<OpId> {
    rig::effects(volume)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::SubmitRead { op, .. } => {
                volume.local_done(op, true, peer);
                Some(op)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_source_reads_at_the_floor_while_its_applications_need_the_disk() {
    let mut peer = Peer::default();
    let mut volume = rig::volume(Conn::SyncSource, SECTORS);
    volume.peer.options.c_min_rate_kib = 100;
    let ask = |volume: &mut Volume<Heap>, peer: &mut Peer, sector, now_ms| {
        let kind = PeerReadKind::Resync;
        let op = volume.peer_read(kind, sector, 64, BlockId::SYNCER, peer, now_ms);
        volume.peer_read_start(op.unwrap().unwrap(), peer, now_ms);
    };
    ask(&mut volume, &mut peer, 0, 1000);
    for op in reads(&mut volume, &mut peer) {
        volume.handed_over(op, &mut peer);
    }
    let _ = rig::effects(&mut volume);
    let mut done = 0;
    for tick in 1..=50u64 {
        volume.counters.written_sectors += 500;
        let now_ms = 1000 + tick * TICK_MS;
        if volume.ops.used() < 16 {
            ask(&mut volume, &mut peer, tick * 64, now_ms);
        }
        let _ = volume.resync_work(&mut peer, now_ms);
        for op in reads(&mut volume, &mut peer) {
            volume.handed_over(op, &mut peer);
            done += 64;
        }
        let _ = rig::effects(&mut volume);
    }
    // 5 s.
    let wanted = 100 * 2 * 5;
    assert!(done <= wanted + 200, "{done} sectors, not {wanted}");
    assert!(done >= wanted / 2, "{done} sectors, not {wanted}");
    // Then nobody else is there.
    let waiting = volume.ops.used();
    assert!(waiting > 0);
    let _ = volume.resync_work(&mut peer, 10_000);
    assert_eq!(reads(&mut volume, &mut peer).len(), waiting as usize);
}
