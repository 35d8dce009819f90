// SPDX-License-Identifier: GPL-2.0-or-later
//! What the engine has to do because a state changed, as an ordered list.
//!
//! The order is part of the protocol: P_SYNC_UUID before any P_STATE that shows the resync, P_UUIDS before the P_STATE
//! that depends on it (wire-protocol.md section 15).

/// A helper program of user space that is called for a volume (control-plane section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Two nodes wrote without each other; a policy may still solve it.
    InitialSplitBrain = 0,
    /// Nothing solves it: the connection ends.
    SplitBrain,
    /// A Primary would have to take the peer's data, and `rr-conflict` says to call for help.
    PriLost,
    /// A policy chose this Primary's data to be given up, and it could not be demoted.
    PriLostAfterSb,
    /// The own disk failed and `on-io-error` says to call for help.
    LocalIoError,
    /// A Primary lost its last up-to-date copy.
    PriOnInconDegr,
    /// This node is about to take blocks from the peer. An exit code other than 0 forbids it.
    BeforeResyncTarget,
    /// This node is about to give blocks to the peer. An exit code other than 0 and 3 forbids it.
    BeforeResyncSource,
    /// The blocks of the peer are here, or as many as could be had.
    AfterResyncTarget,
    /// Online verify found blocks that differ.
    OutOfSync,
}

impl Helper {
    /// All of them, in the order in which they run when several are due.
    pub const ALL: [Helper; 10] = [
        Helper::InitialSplitBrain,
        Helper::SplitBrain,
        Helper::PriLost,
        Helper::PriLostAfterSb,
        Helper::LocalIoError,
        Helper::PriOnInconDegr,
        Helper::BeforeResyncTarget,
        Helper::BeforeResyncSource,
        Helper::AfterResyncTarget,
        Helper::OutOfSync,
    ];

    /// A bit of its own.
    pub const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// The word that the program is called with.
    pub const fn name(self) -> &'static str {
        match self {
            Helper::InitialSplitBrain => "initial-split-brain",
            Helper::SplitBrain => "split-brain",
            Helper::PriLost => "pri-lost",
            Helper::PriLostAfterSb => "pri-lost-after-sb",
            Helper::LocalIoError => "local-io-error",
            Helper::PriOnInconDegr => "pri-on-incon-degr",
            Helper::BeforeResyncTarget => "before-resync-target",
            Helper::BeforeResyncSource => "before-resync-source",
            Helper::AfterResyncTarget => "after-resync-target",
            Helper::OutOfSync => "out-of-sync",
        }
    }
}

/// Why the changed pages of the bitmap are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapWrite {
    /// This node was demoted; bits may still be set while it runs.
    Demote,
    /// The diskless peer was demoted; bits may still be set while it runs.
    DemoteDisklessPeer,
    /// A resync or verify ended, cleanly or not.
    ResyncEnded,
}

/// What happens to requests that were frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thaw {
    /// Send what the peer has not confirmed once more, in the old order and epochs.
    Resend,
    /// Submit frozen local requests to the disk that is back.
    RestartDiskIo,
    /// The peer is fenced: give up on it for all outstanding requests.
    CleanTransferLog,
}

/// Side of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Data goes out.
    Source,
    /// Data comes in.
    Target,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    // Done at once, while the state still belongs to the caller.
    /// Close the current epoch: replication begins or ends.
    NewEpoch,
    /// The handshake of the connection is over: forget that P_STATE was sent, let waiting changes try again.
    ClearStateSent,
    /// StandAlone ended: start the receiver.
    StartReceiver,
    /// Tell the receiver to clean up and end.
    StopReceiver,
    /// Tell the receiver to clean up and connect anew.
    RestartReceiver,
    /// Activity-log updates go on.
    ResumeActivityLog,
    /// The disk became good: the data applications see is that of the current UUID.
    ExposeCurrentUuid,
    /// Both disks were Inconsistent and the peer became Primary: its next P_STATE begins a sync handshake.
    ConsiderResync,
    /// Online verify begins: set its marks; the node that asks starts its timer.
    VerifyBegins,
    /// Online verify ended: remember where.
    VerifyEnds,
    /// Resync is held: stop its clock.
    ResyncPauses,
    /// Resync goes on: start its clock; the target requests again at once.
    ResyncContinues,
    /// Recompute the flags of the metadata ([`super::md_flags::MdState`]) and mark them changed.
    UpdateMetadata,

    // Done afterwards, in this order, possibly sleeping.
    /// Both disks are UpToDate: nobody has crashed as Primary any more, neither in memory nor in the peer's flags.
    ClearCrashedPrimary,
    /// Tell user space about the change.
    Notify,
    /// Run a helper.
    RunHelper(Helper),
    /// Treat frozen requests and clear the reason of the suspension: `fencing` tells which one, for the whole
    /// resource. For [`Thaw::Resend`] after fencing the deferred new UUID is dropped first.
    Thaw {
        /// What happens to the requests.
        thaw: Thaw,
        /// True: clears `susp_fen`. False: clears `susp_nod`.
        fencing: bool,
    },
    /// Make a new sync UUID the bitmap UUID, sync the metadata, send P_SYNC_UUID.
    SendSyncUuid,
    /// Forget counters and locks of an earlier resync.
    ResetResync,
    /// Send P_SIZES.
    SendSizes,
    /// Send P_UUIDS.
    SendUuids,
    /// Send P_STATE with the current state.
    SendState,
    /// Send the bitmap once no application write is in flight.
    SendBitmap,
    /// Treat the resync from here as ended: [`crate::uuid::GenUuids::finish_as_source`].
    FinishSourceUuids,
    /// Begin a new data generation; written to disk at once.
    NewCurrentUuid,
    /// Begin a new data generation as soon as I/O is resumed.
    DeferNewCurrentUuid,
    /// Write changed bitmap pages.
    WriteBitmap(BitmapWrite),
    /// Set all bits, write the bitmap, then begin the resync.
    StartFullSync(Side),
    /// Complete local requests without waiting for the disk.
    AbortLocalRequests,
    /// Release the extents locked for resync.
    CancelResyncExtents,
    /// Write the metadata if it changed.
    SyncMetadata,
    /// Drop the reference that held the failed disk; when the last one is gone it becomes Diskless.
    ReleaseFailedDisk,
    /// The disk is gone: close it.
    CloseDisk,
    /// Resynchronise what was added while a disk was away.
    ResyncAfterGrow,
    /// Hold the resync of devices that come after this one.
    PauseDependents,
    /// Let devices that come after this one go on, if nothing else holds them.
    ResumeDependents,
    /// The connection is StandAlone: drop what its handshake agreed.
    ForgetPeer,
}

/// Room for every action one change can cause.
const ROOM: usize = 24;

/// Actions in the order in which they have to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    list: [Option<Action>; ROOM],
    length: usize,
}

impl Actions {
    /// Nothing to do.
    pub const NONE: Actions = Actions {
        list: [None; ROOM],
        length: 0,
    };

    /// Appends `action`. A P_STATE or P_UUIDS that would repeat one with no other packet between is left out.
    pub(super) fn push(&mut self, action: Action) {
        if matches!(action, Action::SendState | Action::SendUuids) && self.last_packet_like(action)
        {
            return;
        }
        debug_assert!(self.length < ROOM, "more actions than any change causes");
        if let Some(slot) = self.list.get_mut(self.length) {
            *slot = Some(action);
            self.length = self.length.saturating_add(1);
        }
    }

    pub(super) fn push_if(&mut self, condition: bool, action: Action) {
        if condition {
            self.push(action);
        }
    }

    /// Whether the last change of what the peer was told makes repeating `action` pointless.
    fn last_packet_like(&self, action: Action) -> bool {
        let packet_or_uuid = |done: &Action| {
            matches!(
                done,
                Action::SendSizes
                    | Action::SendUuids
                    | Action::SendState
                    | Action::SendSyncUuid
                    | Action::NewCurrentUuid
            )
        };
        self.iter().filter(packet_or_uuid).last() == Some(action)
    }

    /// The actions in order.
    pub fn iter(&self) -> impl Iterator<Item = Action> + '_ {
        self.list.iter().filter_map(|action| *action)
    }

    /// Whether `action` is among them.
    pub fn contains(&self, action: Action) -> bool {
        self.iter().any(|other| other == action)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}
