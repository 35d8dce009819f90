// SPDX-License-Identifier: GPL-2.0-or-later
//! Which helper programs of user space run for a volume, and what waits for them.
//!
//! control-plane section 10. The host runs one helper of a volume at a time, without any lock and
//! for as long as it takes: a helper calls `drbdsetup`. It says how the program ended with
//! [`Volume::helper_done`]. Two events wait for that: a resync, which its helper may forbid, and
//! the end of a failed disk. While a resync waits the connection's receiver waits as well, so that
//! what the peer says next finds it begun.

use super::{Todo, Volume};
use crate::{
    engine::{link::Link, mem::Mem},
    state::{
        action::{Helper, Side},
        Conn, Disk as DiskState,
    },
    uuid::{Handshake, Notes},
};

/// Exit code of `before-resync-source` that means the same as 0.
const SOURCE_GOES_ON: u8 = 3;

/// A resync that waits for its helper.
#[derive(Clone, Copy, Debug)]
struct Gate {
    side: Side,
    /// The helper was started for this resync, not for an earlier one.
    started: bool,
    /// It agreed.
    open: bool,
}

/// Helpers that are wanted, and the one that runs.
#[derive(Debug, Default)]
pub(super) struct Helpers {
    /// The host runs helpers.
    enabled: bool,
    /// A bit for each, by [`Helper::bit`].
    wanted: u16,
    running: Option<Helper>,
    gate: Option<Gate>,
    /// The disk is lost by an error, not by the administrator.
    pub(super) disk_error: bool,
}

impl Helpers {
    /// Whether `helper` is to run, or runs.
    fn awaits(&self, helper: Helper) -> bool {
        self.wanted & helper.bit() != 0 || self.running == Some(helper)
    }

    /// The disk failed, and the program that is told so has not ended.
    pub(super) fn hold_disk(&self) -> bool {
        self.awaits(Helper::LocalIoError)
    }

    /// A resync waits for its helper's consent.
    pub(super) fn hold_receiver(&self) -> bool {
        self.gate.is_some_and(|gate| !gate.open)
    }

    /// The resync that waits will not begin.
    pub(super) fn drop_gate(&mut self) {
        if let Some(gate) = self.gate.take() {
            self.wanted &= !before_resync(gate.side).bit();
        }
    }
}

fn before_resync(side: Side) -> Helper {
    match side {
        Side::Source => Helper::BeforeResyncSource,
        Side::Target => Helper::BeforeResyncTarget,
    }
}

impl<M: Mem> Volume<M> {
    /// Whether the host runs helpers; without it they are not asked for. Host, before anything else.
    pub fn enable_helpers(&mut self, enabled: bool) {
        self.helpers.enabled = enabled;
    }

    pub(super) fn want_helper(&mut self, helper: Helper) {
        if self.helpers.enabled {
            self.helpers.wanted |= helper.bit();
            self.todo(Todo::HELPER);
        }
    }

    /// The helper program that is to run now, after [`Todo::HELPER`]; `None` while one runs. The
    /// host calls [`Volume::helper_done`] when it has ended, or could not be started.
    pub fn next_helper(&mut self) -> Option<Helper> {
        let helpers = &mut self.helpers;
        if helpers.running.is_some() {
            return None;
        }
        let helper = *Helper::ALL
            .iter()
            .find(|helper| helpers.wanted & helper.bit() != 0)?;
        helpers.wanted &= !helper.bit();
        helpers.running = Some(helper);
        if let Some(gate) = helpers.gate.as_mut() {
            gate.started |= before_resync(gate.side) == helper;
        }
        Some(helper)
    }

    /// The helper of [`Volume::next_helper`] ended with `exit_code`; 0 if it could not be started.
    pub fn helper_done(&mut self, exit_code: u8, link: &mut dyn Link, now_ms: u64) {
        let Some(helper) = self.helpers.running.take() else {
            return;
        };
        self.todo(Todo::HELPER.with(Todo::WAKE).with(Todo::READY));
        let Some(gate) = self.helpers.gate else {
            return;
        };
        if before_resync(gate.side) != helper || !gate.started || gate.open {
            return;
        }
        let agrees = exit_code == 0 || gate.side == Side::Source && exit_code == SOURCE_GOES_ON;
        if !agrees {
            self.helpers.gate = None;
            self.end_connection(Conn::Disconnecting);
            return;
        }
        if !self.resync_still_due(gate.side) {
            self.helpers.gate = None;
            return;
        }
        self.helpers.gate = Some(Gate { open: true, ..gate });
        self.start_resync(gate.side, link, now_ms);
    }

    /// Whether the state is still one from which a resync of that side begins.
    fn resync_still_due(&self, side: Side) -> bool {
        let conn = self.state.conn;
        self.peer.linked
            && match side {
                Side::Source => self.source_may_begin(),
                Side::Target => matches!(conn, Conn::WfSyncUuid | Conn::Behind),
            }
    }

    /// Whether the resync has to wait for its helper.
    pub(super) fn resync_waits_for_helper(&mut self, side: Side) -> bool {
        if !self.helpers.enabled {
            return false;
        }
        match self.helpers.gate {
            Some(gate) if gate.side == side => !gate.open,
            Some(_) | None => {
                self.helpers.drop_gate();
                self.helpers.gate = Some(Gate {
                    side,
                    started: false,
                    open: false,
                });
                self.want_helper(before_resync(side));
                true
            }
        }
    }

    /// Whether the receiver has to wait before it takes the next packet of this volume: the whole
    /// bitmap or the size changes, or a resync waits for its helper, or for what it follows from.
    pub fn receiver_waits(&self) -> bool {
        let early = self.peer.early_sync_uuid.is_some();
        self.bulk_running() || self.resizing() || self.helpers.hold_receiver() || early
    }

    /// Asks for the helpers that a comparison of generations calls for.
    pub(super) fn want_handshake_helpers(&mut self, met: &Handshake) {
        for (note, helper) in [
            (Notes::INITIAL_SPLIT_BRAIN, Helper::InitialSplitBrain),
            (Notes::SPLIT_BRAIN, Helper::SplitBrain),
            (Notes::PRI_LOST, Helper::PriLost),
            (Notes::PRI_LOST_AFTER_SPLIT_BRAIN, Helper::PriLostAfterSb),
        ] {
            if met.notes.contains(note) {
                self.want_helper(helper);
            }
        }
    }

    /// A disk failed: whether on-io-error asks for its helper.
    pub(super) fn calls_io_error_helper(&self) -> bool {
        let failed = self.state.disk == DiskState::Failed && self.helpers.disk_error;
        failed
            && self.disk.as_ref().is_some_and(|disk| {
                disk.facts.options.on_io_error == crate::config::OnIoError::CallHelper
            })
    }
}

#[cfg(test)]
#[path = "helpers_tests.rs"]
mod tests;
