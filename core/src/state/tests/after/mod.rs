// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of what follows from a change.

extern crate std;

mod actions;
mod packets;

use super::UP;
use crate::state::action::{Action, Actions};
use crate::state::after::{after_change, Facts};
use crate::state::{Change, Conn, Disk, Role, State, Warnings};
use std::vec::Vec;

const PRIMARY: State = State {
    role: Role::Primary,
    ..UP
};
const ALONE: State = State {
    peer: Role::Unknown,
    conn: Conn::WfConnection,
    pdsk: Disk::Unknown,
    ..UP
};

fn change(old: State, new: State) -> Change {
    Change {
        old,
        new,
        warnings: Warnings::NONE,
    }
}

fn after(old: State, new: State) -> Actions {
    after_change(&change(old, new), &Facts::of(new))
}

fn packets(actions: &Actions) -> Vec<Action> {
    let sends = |action: &Action| {
        matches!(
            action,
            Action::SendSizes
                | Action::SendUuids
                | Action::SendState
                | Action::SendSyncUuid
                | Action::SendBitmap
                | Action::NewCurrentUuid
        )
    };
    actions.iter().filter(sends).collect()
}
