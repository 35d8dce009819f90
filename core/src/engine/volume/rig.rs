// SPDX-License-Identifier: GPL-2.0-or-later
//! For tests: a connected volume, and a peer that is played by hand.

extern crate std;
use super::{
    Admission, AppIo, Attach, AttachBuffers, Disk, DiskOptions, Effect, MdIo, MdResult, Volume,
};
use crate::{
    activity_log::Slot,
    bitmap::{PageState, WORDS_PER_PAGE},
    engine::{
        link::{Durable, Link, Unlinked},
        mem::tests::Heap,
        op::{Action, BioFlags, Op, OpId},
        ranges::{Bucket, BUCKETS},
        reply_queue::ReplyItem,
        send_queue::SendItem,
    },
    meta::{AlGeometry, Format, Layout, MdFlags, Placement, Superblock},
    state::{Conn, Disk as DiskState, Role},
    wire::{
        block::BlockAck,
        command::Command,
        dialect::{Dialect, Features},
        handshake::ConnectionFeatures,
        packet::Packet,
    },
};
use std::{boxed::Box, vec, vec::Vec};

/// What was sent to the peer.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) items: Vec<SendItem>,
    pub(super) controls: Vec<Packet>,
    pub(super) acks: Vec<(Command, BlockAck)>,
    /// Ranges that may be lost.
    pub(super) unflushed: Vec<(u64, u64)>,
    pub(super) pings: u32,
    /// Epochs of own writes that the peer did not carry out.
    pub(super) rejected: Vec<u32>,
    /// Writes of the peer that were not carried out, less those forgotten.
    pub(super) peer_rejected: u32,
    /// Writes of the peer that are done.
    pub(super) peer_done: u32,
}

impl Link for Peer {
    fn send_write(&mut self, volume: u16, op: OpId) -> Option<u32> {
        self.items.push(SendItem::Write {
            volume,
            op,
            epoch: 1,
        });
        Some(1)
    }
    fn send(&mut self, item: SendItem) -> bool {
        self.items.push(item);
        true
    }
    fn control(&mut self, _: u16, packet: Packet) -> bool {
        self.controls.push(packet);
        true
    }
    fn completed(&mut self, _: u32) {}
    fn new_epoch(&mut self) {}
    fn flush(&mut self) -> Durable {
        Durable::Already
    }
    fn reply(&mut self, item: ReplyItem) {
        match item {
            ReplyItem::Block { command, ack, .. } => self.acks.push((command, ack)),
            ReplyItem::Unflushed {
                sector,
                len_sectors,
                ..
            } => self.unflushed.push((sector, len_sectors)),
            _ => {}
        }
    }
    fn ping(&mut self) -> u32 {
        self.pings = self.pings.wrapping_add(1);
        self.pings
    }
    fn peer_write_received(&mut self) {}
    fn peer_write_drained(&mut self) {}
    fn peer_write_done(&mut self) {
        self.peer_done += 1;
    }
    fn write_rejected(&mut self, epoch: u32) {
        self.rejected.push(epoch);
    }
    fn peer_write_rejected(&mut self) -> u32 {
        self.peer_rejected += 1;
        7
    }
    fn peer_write_forgotten(&mut self, epoch: u32) {
        assert_eq!(epoch, 7);
        self.peer_rejected -= 1;
    }
}

/// A disk of `sectors` sectors as create-md leaves it.
pub(super) fn disk(sectors: u64) -> Disk<Heap> {
    let layout = Layout::new(Placement::Internal, 65_536, 0, AlGeometry::DEFAULT, 1).unwrap();
    let mut sb = Superblock::create(Format::V09, &layout);
    sb.effective_sectors = sectors;
    sb.flags = sb.flags.with(MdFlags::AL_DISABLED);
    let pages = 8;
    let buffers = AttachBuffers {
        superblock: vec![sb].into_boxed_slice(),
        bitmap_words: vec![0; pages * WORDS_PER_PAGE].into_boxed_slice(),
        bitmap_pages: vec![PageState::CLEAN; pages].into_boxed_slice(),
        al_slots: vec![Slot::EMPTY; 64].into_boxed_slice(),
        al_index: vec![0; 64].into_boxed_slice(),
    };
    let facts = Attach {
        layout,
        options: DiskOptions {
            al_updates: false,
            ..DiskOptions::default()
        },
        peer_node_id: 1,
        logical_block_bytes: 512,
        physical_block_bytes: 512,
        io_min_bytes: 512,
        io_opt_bytes: 0,
        can_discard: false,
        max_bio_bytes: 1 << 20,
    };
    Disk::new(buffers, facts).unwrap()
}

/// A Primary of `sectors` sectors in state `conn`, both disks good as far as that allows.
pub(super) fn volume(conn: Conn, sectors: u64) -> Volume<Heap> {
    let ops: Box<[Op]> = vec![Op::FREE; 64].into_boxed_slice();
    let buckets = vec![Bucket::EMPTY; BUCKETS].into_boxed_slice();
    let mut volume = Volume::new(0, ops, buckets, 32);
    let mut disk = disk(sectors);
    disk.durable_primary = true;
    volume.disk = Some(disk);
    volume.capacity_sectors = sectors;
    let offer = ConnectionFeatures::own(Features::TRIM);
    volume.peer.dialect = Dialect::negotiate(&offer, &offer).unwrap();
    volume.peer.linked = true;
    volume.peer.options.c_max_rate_kib = 0;
    volume.state.role = Role::Primary;
    volume.state.peer = Role::Secondary;
    volume.state.disk = DiskState::UpToDate;
    volume.state.pdsk = DiskState::UpToDate;
    volume.state.conn = Conn::Connected;
    volume.hard(&mut Unlinked, 0, |state| state.conn = conn);
    assert_eq!(volume.state.conn, conn);
    volume.uuid_hold = None;
    volume
}

/// What is to be done for single operations.
pub(super) fn effects(volume: &mut Volume<Heap>) -> Vec<Effect> {
    core::iter::from_fn(|| volume.next_effect(true)).collect()
}

/// The metadata thread works until nothing is left to write; every write succeeds.
pub(super) fn write_metadata(volume: &mut Volume<Heap>, peer: &mut Peer) {
    let mut block = [0; 4096];
    while let Some(io) = volume.md_poll(&mut block, peer, 0) {
        if matches!(io, MdIo::Write { .. }) {
            volume.md_done(MdResult::Written, peer, 0);
        }
    }
}

/// The application reads or writes 8 sectors.
pub(super) fn submit(volume: &mut Volume<Heap>, peer: &mut Peer, write: bool, sector: u64) -> OpId {
    let io = AppIo {
        write,
        action: Action::Data,
        sector,
        len_sectors: 8,
        bio: BioFlags::default(),
    };
    match volume.submit(io, peer, 0) {
        Admission::Accepted(op) => op,
        other => panic!("{other:?}"),
    }
}
