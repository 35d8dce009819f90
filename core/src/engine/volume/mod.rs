// SPDX-License-Identifier: GPL-2.0-or-later
//! One volume: a block device, its local disk and its copy at the peer.
//!
//! Inputs are methods; they change state and leave effects behind. The host carries them out
//! after it dropped the volume's lock: [`Volume::next_effect`] gives what concerns single
//! operations, [`Volume::take_todo`] what concerns the volume. Only [`Volume::local_done`] may be
//! called in hard interrupt context.

mod admin;
mod al_updates;
mod app;
mod bitmap_exchange;
mod checksum;
mod compare;
mod completion;
mod conflict;
mod congestion;
mod disk;
mod fence;
mod frozen;
mod generation;
mod handshake;
mod helpers;
mod incoming;
mod launching;
mod lifecycle;
mod local;
mod md;
mod new_uuid;
mod options;
mod outgoing;
mod pace;
mod peer_io;
mod read_balancing;
mod refused;
mod resize;
mod resync_source;
mod resync_target;
#[cfg(test)]
mod rig;
mod sizes;
mod state_change;
mod status;
mod thin;
mod todo;
mod unflushed;
mod verify;
mod watch;

pub use crate::state::action::Helper;
pub use admin::{Begin, Outcome};
pub use app::{Admission, AppIo, ReadFrom};
pub use compare::DigestFate;
pub use disk::{Attach, AttachBuffers, Disk, DiskOptions};
pub use handshake::Refusal;
pub use incoming::{write_of, write_of_data, End};
pub use lifecycle::AttachError;
pub use md::{MdIo, MdResult};
pub use new_uuid::NewUuidRefusal;
pub use options::PeerOptions;
pub use peer_io::{PeerReadKind, PeerWrite, PeerWriteFate};
pub use resize::Offer;
pub use resync_target::ReplyFate;
pub use sizes::{Resize, ResizeRefusal};
pub use state_change::Context;
pub use status::{Counters, Progress, Snapshot};
pub use todo::Todo;
pub use verify::{Finding, Range, VerifyProgress};
pub use watch::Watched;

use super::{
    mem::Mem,
    op::{Action, BioFlags, Kind, List, Op, OpId, Slab, LOG},
    ranges::{Bucket, Ranges},
};
use crate::{state::State, uuid::PeerUuids, wire::dialect::Dialect};
use bitmap_exchange::Exchange;
use resync_target::Resync;

/// How an application's operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoResult {
    /// As asked.
    Done,
    /// It failed.
    Error,
    /// The operation is not supported by the disk.
    Unsupported,
}

/// Something to be done for one operation. The host does it without the volume's lock; what
/// belongs to `op` in its table is taken out under the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Submit the application's bio to the disk; ends in [`Volume::local_done`].
    SubmitApp {
        /// The operation.
        op: OpId,
    },
    /// Write, discard or zero for the peer; ends in [`Volume::local_done`].
    SubmitWrite {
        /// The operation, whose payload (for [`Action::Data`]) the host has.
        op: OpId,
        /// What to do.
        action: Action,
        /// First sector.
        sector: u64,
        /// Length.
        len_sectors: u32,
        /// FUA, preflush, sync.
        bio: BioFlags,
    },
    /// Read into the operation's payload; ends in [`Volume::local_done`].
    SubmitRead {
        /// The operation.
        op: OpId,
        /// First sector.
        sector: u64,
        /// Length.
        len_sectors: u32,
    },
    /// End the application's bio.
    Complete {
        /// The operation; its slot may already serve another.
        op: OpId,
        /// How it ended.
        result: IoResult,
    },
    /// Drop what belongs to the operation.
    Release {
        /// The operation.
        op: OpId,
    },
}

/// What a volume wants of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionRequest {
    /// End it with this state (ProtocolError and the like reconnect, Disconnecting does not).
    End(crate::state::Conn),
}

/// The peer's view of this volume and what was agreed with it.
pub(crate) struct PeerDevice {
    /// The peer's generation UUIDs, while connected.
    pub(crate) uuids: Option<PeerUuids>,
    /// Own dirty bits at the last P_UUIDS sent.
    pub(crate) comm_bm_set: u64,
    /// A policy decided by them, and the peer has not heard of them yet.
    pub(crate) comm_bm_decided: bool,
    /// What the peer says it can hold, sectors.
    pub(crate) size_sectors: u64,
    /// Largest bio the peer takes, bytes.
    pub(crate) max_bio_bytes: u32,
    /// This node accepted the meta connection.
    pub(crate) resolve_conflicts: bool,
    /// connect --discard-my-data, until a handshake used it.
    pub(crate) discard_my_data: bool,
    /// connect --tentative.
    pub(crate) dry_run: bool,
    /// Both disks were Inconsistent and the peer became Primary.
    pub(crate) consider_resync: bool,
    /// Agreed dialect, while connected.
    pub(crate) dialect: Dialect,
    /// Replication protocol of the connection.
    pub(crate) protocol: crate::wire::handshake::ReplicationProtocol,
    /// Peer device options.
    pub(crate) options: PeerOptions,
    /// Between the handshake's first packet and the end of the connection.
    pub(crate) linked: bool,
    /// The host was asked to end this connection. What it may still do before it does that leads nowhere.
    pub(crate) ends: bool,
    /// The peer finished a resync in which we are the source: finish when this ping is answered.
    pub(crate) finish_source_ping: Option<u32>,
    /// It finished, but bits are left here: writes whose end is still to come clear them.
    pub(crate) target_finished: bool,
    /// This connection had a resync from here; its acknowledgements may still be on their way.
    pub(crate) was_source: bool,
    /// The next resync from here begins when this ping is answered.
    pub(crate) start_source_ping: Option<u32>,
    /// P_SYNC_UUID that came before what it follows from was known here.
    pub(crate) early_sync_uuid: Option<u64>,
    /// Requests with digests were given up: their answers may be on their way.
    pub(crate) checksums_stale: bool,
    /// The target was told that blocks are in sync, and may not have heard of it. Then the ping
    /// whose answer says that it has.
    pub(crate) told_in_sync: bool,
    pub(crate) told_ping: Option<u32>,
    /// Number of the last data packet or acknowledgement that was handled.
    pub(crate) sequence: u32,
    /// Number of the last one from here.
    pub(crate) sequence_sent: u32,
    /// Answers to own requests that nobody waits for any more.
    pub(crate) stale_replies: u32,
    /// Sectors sent and received as data.
    pub(crate) sent_sectors: u64,
    pub(crate) received_sectors: u64,
}

/// One volume of a resource.
pub struct Volume<M: Mem> {
    pub(crate) number: u16,
    pub(crate) state: State,
    /// Facts about the surroundings that state rules use.
    pub(crate) context: Context,
    pub(crate) ops: Slab<M>,
    pub(crate) ranges: Ranges<M>,
    pub(crate) disk: Option<Disk<M>>,
    pub(crate) peer: PeerDevice,
    pub(crate) resync: Resync,
    verify: verify::Verify,
    /// Blocks whose two halves the host is to compare.
    compare: List,
    pub(crate) exchange: Exchange,
    congestion: congestion::Congestion,
    sizing: sizes::Sizing,
    /// Application operations and resync requests that the peer owes an answer.
    awaited_answers: u32,
    /// read-balancing round-robin: the peer had the last turn.
    peer_turn: bool,
    pub(crate) admin: admin::Admin,
    helpers: helpers::Helpers,
    pub(crate) connection_request: Option<ConnectionRequest>,
    pub(crate) capacity_sectors: u64,
    /// UUID of the data that applications saw last (replication-semantics section 1).
    pub(crate) exposed_uuid: u64,
    pub(crate) counters: Counters,
    todo: Todo,

    /// Bitmaps in the send queue, and how many of them belong to an exchange that is over.
    bitmaps_queued: u32,
    bitmaps_stale: u32,
    /// Application operations in use, and how many may be.
    app_used: u32,
    app_limit: u32,
    /// Application writes launched and not yet destroyed.
    launched_writes: u32,
    /// Writes of the peer under way of which this is the only copy.
    only_copies: u32,
    /// Application operations that the upper layer waits for.
    upper_pending: u32,
    /// New application I/O waits: the bitmap is about to be sent.
    bitmap_hold: bool,
    /// Application I/O waits until this version of the superblock is durable.
    uuid_hold: Option<u64>,
    /// The transfer log is to be cleaned when `uuid_hold` is over.
    clean_log: bool,
    /// What this node, a Primary without disk, knows of the generation that it writes to.
    peer_generation: generation::PeerGeneration,
    /// A write that completed was at the peer alone and may be lost there: the next flush fails.
    flush_fails: bool,
    /// Writes that wait for the metadata to tell which disk did not take them.
    refused: u32,
    /// Writes that the peer's go before: see [`flag::POSTPONED`].
    postponed: u32,
    /// Writes of the peer that wait for P_SUPERSEDED.
    withheld: u32,
    /// The administrator quiesces the device.
    pub(crate) frozen: bool,
    /// A block failed: follow on-io-error in task context.
    io_error_pending: bool,
    /// The flags of the superblock are to be looked at again.
    md_flags_due: bool,
    /// The disk cannot be used any more, whatever on-io-error says.
    force_detach: bool,
    /// Operations that a disk was given up with and has not answered.
    late: u32,
    /// A disk went that could not be flushed any more: what the peer wrote in this connection may
    /// not be durable, and never is going to be.
    flush_lost: bool,
    unflushed: unflushed::Unflushed,
    /// The disk is Failed and becomes Diskless when nothing uses it.
    detaching: bool,
    /// A new data generation begins when I/O is resumed.
    new_uuid_deferred: bool,
    /// Connections so far.
    links: u32,
    /// Completed writes of the last connection may be missing at the peer, and no new generation
    /// tells so yet.
    unconfirmed: bool,
    /// Something was parked that may be able to run at once.
    frozen_due: bool,
    /// Another volume of the connection has not finished its handshake.
    pub(crate) others_in_handshake: bool,
    /// This node went down as a Primary without its peer.
    degraded: bool,
    /// P_SYNC_UUID to send when the superblock is durable.
    pending_sync_uuid: Option<u64>,
    held_packets: handshake::HeldPackets,
    pending_state: Option<handshake::Pending>,
    last_handshake: Option<crate::uuid::Handshake>,
    entropy: u64,

    submit: List,
    complete: List,
    released: List,
    ready: List,
    parked: List,
    al_wait: List,
    al_full: List,
    /// Those in `al_full` may try again.
    al_retry: bool,
    log: List<LOG>,
}

impl<M: Mem> Volume<M> {
    /// A volume without disk and connection.
    ///
    /// `ops` has room for the application's operations (`app_limit`) and for those of a peer;
    /// `buckets` should be [`super::ranges::BUCKETS`] long.
    pub fn new(number: u16, ops: M::Buf<Op>, buckets: M::Buf<Bucket>, app_limit: u32) -> Self {
        Volume {
            number,
            state: State::UNCONFIGURED,
            context: Context::DEFAULT,
            ops: Slab::new(ops),
            ranges: Ranges::new(buckets),
            disk: None,
            peer: PeerDevice {
                uuids: None,
                comm_bm_set: 0,
                comm_bm_decided: false,
                size_sectors: 0,
                max_bio_bytes: lifecycle::MAX_BIO_BYTES,
                resolve_conflicts: false,
                discard_my_data: false,
                dry_run: false,
                consider_resync: false,
                dialect: Dialect::INITIAL,
                protocol: crate::wire::handshake::ReplicationProtocol::C,
                options: PeerOptions::default(),
                linked: false,
                ends: false,
                finish_source_ping: None,
                target_finished: false,
                was_source: false,
                start_source_ping: None,
                early_sync_uuid: None,
                checksums_stale: false,
                told_in_sync: false,
                told_ping: None,
                sequence: 0,
                sequence_sent: 0,
                stale_replies: 0,
                sent_sectors: 0,
                received_sectors: 0,
            },
            resync: Resync::default(),
            verify: verify::Verify::default(),
            compare: List::new(),
            exchange: Exchange::default(),
            congestion: congestion::Congestion::default(),
            sizing: sizes::Sizing::default(),
            awaited_answers: 0,
            peer_turn: false,
            admin: admin::Admin::default(),
            helpers: helpers::Helpers::default(),
            connection_request: None,
            capacity_sectors: 0,
            exposed_uuid: 0,
            counters: Counters::default(),
            todo: Todo::NONE,
            bitmaps_queued: 0,
            bitmaps_stale: 0,
            app_used: 0,
            app_limit,
            launched_writes: 0,
            only_copies: 0,
            upper_pending: 0,
            bitmap_hold: false,
            uuid_hold: None,
            clean_log: false,
            peer_generation: generation::PeerGeneration::default(),
            flush_fails: false,
            refused: 0,
            postponed: 0,
            withheld: 0,
            frozen: false,
            io_error_pending: false,
            md_flags_due: false,
            force_detach: false,
            late: 0,
            flush_lost: false,
            unflushed: unflushed::Unflushed::default(),
            detaching: false,
            new_uuid_deferred: false,
            links: 0,
            unconfirmed: false,
            frozen_due: false,
            others_in_handshake: false,
            degraded: false,
            pending_sync_uuid: None,
            held_packets: handshake::HeldPackets::default(),
            pending_state: None,
            last_handshake: None,
            entropy: 0,
            submit: List::new(),
            complete: List::new(),
            released: List::new(),
            ready: List::new(),
            parked: List::new(),
            al_wait: List::new(),
            al_full: List::new(),
            al_retry: false,
            log: List::new(),
        }
    }

    /// Number of the volume in its resource.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The state, as protocol 101 sees it.
    pub fn state(&self) -> State {
        self.state
    }

    /// Size of the block device, sectors.
    pub fn capacity_sectors(&self) -> u64 {
        self.capacity_sectors
    }

    /// Slots for operations.
    pub fn ops_capacity(&self) -> u32 {
        self.ops.capacity()
    }

    /// Takes a larger slab for operations; gives back what is to be freed.
    pub fn grow_ops(&mut self, ops: M::Buf<Op>) -> M::Buf<Op> {
        let (Ok(old) | Err(old)) = self.ops.grow(ops);
        old
    }

    /// Facts of operation `op`.
    pub fn op(&self, op: OpId) -> &Op {
        self.ops.at(op)
    }

    /// Handle of operation `op` on the wire.
    pub fn handle(&self, op: OpId) -> u64 {
        self.ops.handle(op)
    }

    /// Takes the set of things to do.
    pub fn take_todo(&mut self) -> Todo {
        core::mem::take(&mut self.todo)
    }

    pub(crate) fn todo(&mut self, work: Todo) {
        self.todo = self.todo.with(work);
    }

    /// Whether single operations wait to be carried out or ended.
    pub fn has_effects(&self) -> bool {
        !self.complete.is_empty() || !self.submit.is_empty() || !self.released.is_empty()
    }

    /// The next completion or release, and with `may_submit` (task context) also what is to be
    /// submitted. What belongs to a released operation is taken out of the host's table under the
    /// same lock: the slot may serve another one afterwards.
    pub fn next_effect(&mut self, may_submit: bool) -> Option<Effect> {
        if let Some(op) = self.ops.pop_front(&mut self.complete) {
            return Some(self.deliver(op));
        }
        if let Some(op) = self.ops.pop_front(&mut self.released) {
            self.ops.free(op);
            self.todo(Todo::WAKE);
            return Some(Effect::Release { op });
        }
        if !may_submit {
            return None;
        }
        let op = self.ops.pop_front(&mut self.submit)?;
        let at = self.ops.at(op);
        let (sector, len_sectors) = (at.sector, at.len_sectors);
        Some(match at.kind {
            Kind::AppRead | Kind::AppWrite => Effect::SubmitApp { op },
            _ if at.reads() => Effect::SubmitRead {
                op,
                sector,
                len_sectors,
            },
            Kind::PeerWrite | Kind::RsTarget => Effect::SubmitWrite {
                op,
                action: at.action,
                sector,
                len_sectors,
                bio: at.bio,
            },
            Kind::PeerRead
            | Kind::RsRead
            | Kind::OvOwn
            | Kind::OvPeer
            | Kind::Late
            | Kind::Free => Effect::Release { op },
        })
    }
}
