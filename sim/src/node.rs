// SPDX-License-Identifier: GPL-2.0-or-later
//! One node: what a host keeps beside the engine.

use super::{
    admin::Admin,
    disk::{FakeDisk, Payload},
    fence::Handler,
    heap::{filled, Heap, Rng},
    kind::Kind,
    metadata::{self, MdSetup},
    net::Frame,
};
use drbd_core::{
    engine::{
        link::{Durable, Link},
        op::{Action, BioFlags, Op, OpId},
        ranges::{Bucket, BUCKETS},
        reply_queue::{HeldAck, ReplyItem, ReplyQueue},
        send_queue::{ClosedEpoch, SendItem, SendQueue},
        volume::{DiskOptions, End, IoResult, PeerOptions, Range, Todo, Volume},
    },
    meta::Block,
    state::{action::Helper, Fencing, OnNoData, State},
    wire::{dialect::Dialect, handshake::ReplicationProtocol, packet::Packet},
};
use std::collections::{BTreeSet, VecDeque};

/// Operations of the application, and of the peer.
const APP_OPS: usize = 24;
const PEER_OPS: usize = 96;

/// Barriers behind a conflict.
const HELD_ACKS: usize = 6;

/// More than this many operations of a volume mean that somebody is not held back.
const OPS_MAX: usize = 2048;

/// One request of the application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppReq {
    pub(crate) id: u64,
    pub(crate) write: bool,
    pub(crate) action: Action,
    pub(crate) sector: u64,
    pub(crate) len: u64,
    pub(crate) bio: BioFlags,
    /// What a write of data writes.
    pub(crate) tag: u64,
}

impl AppReq {
    /// What it is about.
    pub(crate) fn sectors(&self) -> core::ops::Range<u64> {
        self.sector..self.sector + self.len
    }

    /// Some sector is of both.
    pub(crate) fn overlaps(&self, other: &AppReq) -> bool {
        self.sectors().start < other.sectors().end && other.sectors().start < self.sectors().end
    }
}

/// What the application learned.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) req: AppReq,
    pub(crate) result: IoResult,
    /// What a read read.
    pub(crate) read: Option<Payload>,
}

/// What belongs to an operation.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) app: Option<AppReq>,
    pub(crate) payload: Option<Payload>,
    /// The peer's digest of the block.
    pub(crate) digest: Option<Vec<u8>>,
}

/// Something the disk is doing.
pub(crate) struct LocalIo {
    pub(crate) op: OpId,
    /// Application, so that a read's data goes to it.
    pub(crate) app: bool,
    pub(crate) what: Io,
}

pub(crate) enum Io {
    Read(u64, u64),
    Write(Payload, BioFlags),
    Discard(u64, u64),
    Flush,
}

impl Io {
    pub(crate) fn range(&self) -> (u64, u64) {
        match self {
            Io::Read(sector, len) | Io::Discard(sector, len) => (*sector, *len),
            Io::Write(payload, _) => (payload.sector, payload.len),
            Io::Flush => (0, 0),
        }
    }
}

pub(crate) struct MdWrite {
    pub(crate) sector: u64,
    pub(crate) durable: bool,
    pub(crate) block: Box<Block>,
}

/// One volume of a node.
pub(crate) struct Vol {
    pub(crate) volume: Volume<Heap>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) disk: FakeDisk,
    pub(crate) md: MdSetup,
    pub(crate) options: DiskOptions,
    pub(crate) attached: bool,
    pub(crate) inflight: Vec<LocalIo>,
    pub(crate) md_write: Option<MdWrite>,
    pub(crate) md_due: bool,
    /// When the write of metadata under way began.
    pub(crate) md_since_ms: u64,
    /// One that was given up and has not ended.
    pub(crate) md_late: Option<MdWrite>,
    /// When it was last looked whether the disk answers.
    pub(crate) watched_ms: u64,
    pub(crate) pending: VecDeque<AppReq>,
    pub(crate) ready: bool,
    pub(crate) effects: bool,
    pub(crate) todo: Todo,
    pub(crate) tick_ms: Option<u64>,
    pub(crate) wake: bool,
    pub(crate) last_state: State,
    /// Counts changes of the state.
    pub(crate) changes: u64,
    pub(crate) read_only: bool,
    /// A helper program of this volume runs.
    pub(crate) helper: Option<Helper>,
    /// Blocks that online verify just found different, and those of them that are.
    pub(crate) unequal: Vec<(u64, u64)>,
    pub(crate) differed: BTreeSet<u64>,
}

impl Vol {
    fn engine(number: usize, rng: &mut Rng) -> Volume<Heap> {
        let mut volume = Volume::new(
            number as u16,
            filled(Op::FREE, APP_OPS + PEER_OPS),
            filled(Bucket::EMPTY, BUCKETS),
            APP_OPS as u32,
        );
        volume.add_entropy(rng.next());
        volume
    }

    pub(crate) fn new(number: usize, sectors: u64, md: MdSetup, rng: &mut Rng) -> Self {
        let volume = Self::engine(number, rng);
        Vol {
            last_state: volume.state(),
            volume,
            slots: (0..APP_OPS + PEER_OPS).map(|_| Slot::default()).collect(),
            disk: FakeDisk::new(sectors),
            md,
            options: DiskOptions::default(),
            attached: false,
            unequal: Vec::new(),
            differed: BTreeSet::new(),
            inflight: Vec::new(),
            md_write: None,
            md_due: false,
            md_since_ms: 0,
            md_late: None,
            watched_ms: 0,
            pending: VecDeque::new(),
            ready: false,
            effects: false,
            todo: Todo::NONE,
            tick_ms: None,
            wake: false,
            changes: 0,
            read_only: true,
            helper: None,
        }
    }

    /// Takes note of what an input left behind.
    pub(crate) fn after(&mut self) {
        let todo = self.volume.take_todo();
        self.ready |= todo.has(Todo::READY);
        self.md_due |= todo.has(Todo::METADATA);
        self.wake |= todo.has(Todo::WAKE);
        self.todo = self
            .todo
            .with(todo)
            .without(Todo::METADATA)
            .without(Todo::WAKE)
            .without(Todo::READY);
        self.effects |= self.volume.has_effects();
        // Who waits for I/O has the device open.
        let open = !self.pending.is_empty() || self.volume.upper_pending() > 0;
        self.volume.context_mut().device_open = open;
        if self.volume.state() != self.last_state {
            self.last_state = self.volume.state();
            self.changes += 1;
        }
    }

    /// The node stops; what the disk was doing may or may not have happened.
    fn stop(&mut self, number: usize, power_cut: bool, rng: &mut Rng) {
        let superblocks = metadata::superblock_sectors(&self.disk);
        for io in self.inflight.drain(..) {
            match io.what {
                Io::Read(..) | Io::Flush => {}
                // What is flushed before is flushed when the write itself begins.
                Io::Write(_, bio) if bio.preflush && rng.one_in(2) => {}
                Io::Write(payload, bio) => {
                    if bio.preflush {
                        self.disk.flush();
                    }
                    self.disk.write_torn(&payload, rng);
                }
                Io::Discard(sector, len) => {
                    self.disk.write_torn(&Payload::zeroes(sector, len), rng)
                }
            }
        }
        let late = self.md_late.take();
        for write in late.into_iter().chain(self.md_write.take()) {
            let whole = superblocks.contains(&write.sector);
            let begun = !write.durable || rng.one_in(2);
            if begun && write.durable {
                self.disk.flush();
            }
            if begun {
                self.disk
                    .md_write_torn(write.sector, &write.block, whole, rng);
            }
        }
        if power_cut {
            self.disk.power_cut(&superblocks, rng);
        } else {
            self.disk.flush();
        }
        let mut disk = core::mem::replace(&mut self.disk, FakeDisk::new(0));
        disk.hanging = false;
        let (md, options) = (self.md, self.options);
        *self = Vol::new(number, disk.sectors, md, rng);
        self.disk = disk;
        self.options = options;
    }
}

/// The outgoing queues, as volumes see them.
pub(crate) struct Queues {
    pub(crate) send: SendQueue<Heap>,
    pub(crate) replies: ReplyQueue<Heap>,
    pub(crate) pings: u32,
    /// The sender was woken.
    pub(crate) send_event: bool,
    /// Writes that lost a conflict.
    pub(crate) rejected: u64,
}

impl Queues {
    fn new(volumes: usize) -> Self {
        let ops = (APP_OPS + PEER_OPS) * volumes;
        Queues {
            send: SendQueue::new(
                filled(SendItem::Control, ops + 64),
                filled((0, Packet::Ping), 64),
                filled(ClosedEpoch::default(), APP_OPS * volumes),
            ),
            replies: ReplyQueue::new(
                filled(ReplyItem::Ping, 2 * ops + 64),
                filled(HeldAck::default(), HELD_ACKS),
            ),
            pings: 0,
            send_event: false,
            rejected: 0,
        }
    }
}

impl Link for Queues {
    fn send_write(&mut self, volume: u16, op: OpId) -> Option<u32> {
        self.send_event = true;
        self.send.push_write(volume, op)
    }
    fn send(&mut self, item: SendItem) -> bool {
        self.send_event = true;
        self.send.push(item)
    }
    fn control(&mut self, volume: u16, packet: Packet) -> bool {
        self.send_event = true;
        self.send.push_control(volume, packet)
    }
    fn completed(&mut self, epoch: u32) {
        self.send_event = true;
        self.send.completed(epoch);
    }
    fn new_epoch(&mut self) {
        self.send_event = true;
        self.send.new_epoch();
    }
    fn flush(&mut self) -> Durable {
        self.send_event = true;
        self.send.flush()
    }
    fn reply(&mut self, item: ReplyItem) {
        self.replies.push(item);
    }
    fn ping(&mut self) -> u32 {
        self.pings += 1;
        self.replies.push(ReplyItem::Ping);
        self.pings
    }
    fn peer_write_received(&mut self) {
        self.replies.write_received();
    }
    fn peer_write_drained(&mut self) {
        self.replies.write_drained();
    }
    fn peer_write_done(&mut self) {
        let _ = self.replies.write_done();
    }
    fn write_rejected(&mut self, epoch: u32) {
        self.rejected += 1;
        self.send.write_rejected(epoch);
    }
    fn peer_write_rejected(&mut self) -> u32 {
        self.replies.write_rejected()
    }
    fn peer_write_forgotten(&mut self, epoch: u32) {
        self.replies.write_forgotten(epoch);
    }
}

/// Where the connection's thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    StandAlone,
    WfConnection,
    /// On the wire with this number.
    Joined(u64),
    /// The volumes were told; the queues are still open.
    Ending,
    /// The queues are closed and drained.
    Draining,
    /// The volumes were told that it is over; not all is settled.
    Settling,
}

/// What the sender is in the middle of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sending {
    /// On the wire, the engine does not know yet.
    Op(usize, OpId),
    Bitmap(usize),
}

/// One node.
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) up: bool,
    pub(crate) vols: Vec<Vol>,
    pub(crate) queues: Queues,
    pub(crate) phase: Phase,
    /// Why the current connection ends.
    pub(crate) end: Option<End>,
    /// The administrator wants a connection.
    pub(crate) wanted: bool,
    pub(crate) discard_my_data: bool,
    pub(crate) dialect: Dialect,
    pub(crate) protocol: ReplicationProtocol,
    pub(crate) peer_options: PeerOptions,
    /// Of the story: with two Primaries they are allowed here, and of a careless one a disk is attached whatever the peer may have.
    pub(crate) kind: Kind,
    /// What online verify found: volume and range.
    pub(crate) findings: Vec<(usize, Range)>,
    /// A write that came before an acknowledgement that is counted before it: volume and number.
    pub(crate) early: Option<(usize, u32, Frame)>,
    /// When the sender looks next for epochs that are not acknowledged.
    pub(crate) forgive_ms: u64,
    pub(crate) sending: Option<Sending>,
    /// The barrier that the receiver waits at.
    pub(crate) barrier: Option<u32>,
    pub(crate) pings_answered: u32,
    pub(crate) conn_answer: Option<i32>,
    pub(crate) admin: Option<Admin>,
    /// How the last command of the administrator ended.
    pub(crate) admin_result: Option<Result<(), String>>,
    pub(crate) completions: Vec<Completion>,
    /// Whether the last end was a disagreement.
    pub(crate) last_end: Option<End>,
    /// It runs helper programs.
    pub(crate) helpers: bool,
    /// The fence-peer handler that runs.
    pub(crate) handler: Option<Handler>,
    pub(crate) fencing: Fencing,
    pub(crate) on_no_data: OnNoData,
    /// The administrator resumed I/O since the last connection that came to be.
    pub(crate) resumed: bool,
    pub(crate) trace: bool,
}

impl Node {
    pub(crate) fn new(index: usize, sizes: &[u64], md: MdSetup, rng: &mut Rng) -> Self {
        let md = MdSetup {
            node_id: index as u32,
            ..md
        };
        Node {
            index,
            up: true,
            vols: sizes
                .iter()
                .enumerate()
                .map(|(number, sectors)| Vol::new(number, *sectors, md, rng))
                .collect(),
            queues: Queues::new(sizes.len()),
            phase: Phase::StandAlone,
            end: None,
            wanted: false,
            discard_my_data: false,
            dialect: Dialect::INITIAL,
            protocol: ReplicationProtocol::C,
            peer_options: PeerOptions::default(),
            kind: Kind::Careful,
            findings: Vec::new(),
            early: None,
            forgive_ms: 0,
            sending: None,
            barrier: None,
            pings_answered: 0,
            conn_answer: None,
            admin: None,
            admin_result: None,
            completions: Vec::new(),
            last_end: None,
            helpers: false,
            handler: None,
            fencing: Fencing::DontCare,
            on_no_data: OnNoData::IoError,
            resumed: false,
            trace: std::env::var_os("ENGINE_TRACE").is_some(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.vols[0].volume.state()
    }

    /// Makes room for more operations of the peer.
    pub(crate) fn grow(&mut self, v: usize) {
        let vol = &mut self.vols[v];
        let total = 2 * vol.slots.len();
        assert!(total <= OPS_MAX, "it takes in {total} operations");
        vol.slots.resize_with(total, Slot::default);
        drop(vol.volume.grow_ops(filled(Op::FREE, total)));
        let ops: usize = self.vols.iter().map(|vol| vol.slots.len()).sum();
        let controls = self.queues.send.room() + self.queues.send.len();
        drop(self.queues.send.grow(
            filled(SendItem::Control, controls.max(ops + 64)),
            filled(ClosedEpoch::default(), ops),
        ));
        drop(
            self.queues
                .replies
                .grow(filled(ReplyItem::Ping, 2 * ops + 64)),
        );
    }

    /// The node goes down hard.
    pub(crate) fn crash(&mut self, power_cut: bool, rng: &mut Rng) {
        for (number, vol) in self.vols.iter_mut().enumerate() {
            vol.stop(number, power_cut, rng);
        }
        let vols = core::mem::take(&mut self.vols);
        let md = vols[0].md;
        let protocol = self.protocol;
        let peer_options = self.peer_options;
        let kind = self.kind;
        let (helpers, trace) = (self.helpers, self.trace);
        let (fencing, on_no_data) = (self.fencing, self.on_no_data);
        *self = Node::new(self.index, &[], md, rng);
        self.queues = Queues::new(vols.len());
        self.vols = vols;
        self.protocol = protocol;
        self.peer_options = peer_options;
        self.kind = kind;
        self.trace = trace;
        self.helpers = helpers;
        (self.fencing, self.on_no_data) = (fencing, on_no_data);
        self.update_context();
        for vol in &mut self.vols {
            vol.volume.enable_helpers(helpers);
        }
        self.up = false;
    }

    /// Whether this node is in the middle of ending a connection.
    pub(crate) fn ending(&self) -> bool {
        matches!(
            self.phase,
            Phase::Ending | Phase::Draining | Phase::Settling
        )
    }

    pub(crate) fn end_with(&mut self, end: End) {
        use drbd_core::state::Conn;
        match self.end {
            Some(old) if old.conn == Conn::Disconnecting || end.conn != Conn::Disconnecting => {}
            Some(_) | None => self.end = Some(end),
        }
    }
}
