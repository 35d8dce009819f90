// SPDX-License-Identifier: GPL-2.0-or-later
//! resync-after: which minor's resync waits for which (replication-semantics section 7.5).
//!
//! Each minor names at most one that goes before it. A chain ends at a minor without disk, since
//! its options are gone with the disk, and at one that does not exist: neither holds anybody up.

use crate::state::{resync::blocks_dependents, Disk, State};

/// Longer chains are taken for circles.
const STEPS_MAX: u32 = 1 << 16;

/// A minor as those see it that come after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Predecessor {
    /// Its state.
    pub state: State,
    /// The minor that goes before it.
    pub after: Option<u32>,
}

/// Whether the resync of a minor that comes after minor `after` has to wait. `look` finds a minor.
pub fn is_held(after: Option<u32>, look: impl Fn(u32) -> Option<Predecessor>) -> bool {
    let mut next = after;
    for _ in 0..STEPS_MAX {
        let Some(before) = next.and_then(&look) else {
            return false;
        };
        if before.state.disk == Disk::Diskless {
            return false;
        }
        if blocks_dependents(before.state) {
            return true;
        }
        next = before.after;
    }
    false
}

/// Whether `minor` would come after itself if it came after minor `after`.
pub fn closes_circle(
    minor: u32,
    after: Option<u32>,
    look: impl Fn(u32) -> Option<Predecessor>,
) -> bool {
    let mut next = after;
    for _ in 0..STEPS_MAX {
        match next {
            None => return false,
            Some(before) if before == minor => return true,
            Some(before) => next = look(before).and_then(|before| before.after),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Conn, Role};

    const IDLE: State = State {
        peer: Role::Secondary,
        conn: Conn::Connected,
        disk: Disk::UpToDate,
        pdsk: Disk::UpToDate,
        ..State::UNCONFIGURED
    };

    fn chain(states: [State; 3]) -> impl Fn(u32) -> Option<Predecessor> {
        move |minor| {
            let state = *states.get(minor as usize)?;
            let after = minor.checked_sub(1);
            Some(Predecessor { state, after })
        }
    }

    #[test]
    fn any_minor_of_the_chain_holds_those_after_it() {
        let busy = State {
            conn: Conn::SyncTarget,
            disk: Disk::Inconsistent,
            ..IDLE
        };
        assert!(!is_held(Some(2), chain([IDLE; 3])));
        assert!(is_held(Some(2), chain([busy, IDLE, IDLE])));
        assert!(is_held(Some(2), chain([IDLE, IDLE, busy])));
        assert!(!is_held(Some(1), chain([IDLE, IDLE, busy])));
        assert!(!is_held(None, chain([busy; 3])));
        // So do a verify, which reads as much, and a pause.
        let verifies = State {
            conn: Conn::VerifyS,
            ..IDLE
        };
        let paused = State {
            user_isp: true,
            ..IDLE
        };
        assert!(is_held(Some(0), chain([verifies; 3])));
        assert!(is_held(Some(0), chain([paused; 3])));
    }

    #[test]
    fn who_has_no_disk_or_does_not_exist_holds_nobody() {
        let busy = State {
            conn: Conn::SyncSource,
            ..IDLE
        };
        let gone = State {
            disk: Disk::Diskless,
            conn: Conn::Connected,
            ..IDLE
        };
        assert!(!is_held(Some(7), chain([busy; 3])));
        assert!(!is_held(Some(1), chain([busy, gone, IDLE])));
    }

    #[test]
    fn a_circle_is_seen_however_long_it_is() {
        let look = chain([IDLE; 3]);
        assert!(closes_circle(0, Some(2), &look));
        assert!(closes_circle(1, Some(1), &look));
        assert!(!closes_circle(2, Some(1), &look));
        assert!(!closes_circle(0, Some(9), &look));
        // One that is there already.
        let two = |minor: u32| {
            Some(Predecessor {
                state: IDLE,
                after: Some(1 - minor.min(1)),
            })
        };
        assert!(closes_circle(5, Some(0), two));
        assert!(!is_held(Some(0), two));
    }
}
