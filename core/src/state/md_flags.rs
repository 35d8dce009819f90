// SPDX-License-Identifier: GPL-2.0-or-later
//! What the metadata remembers of a state, and what an attach makes of it.
//!
//! The flags are recomputed at every change while the own disk is usable (replication-semantics.md sections 1 and 9,
//! metadata.md section 8).

use super::context::{Context, Fencing, Negotiated};
use super::model::{Conn, Disk, Role, State};

/// The flags of the superblock that follow from the state.
///
/// In format v09 `connected` and `peer_outdated` belong to the peer's slot, the others to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MdState {
    /// The disk is better than Inconsistent (0x01).
    pub consistent: bool,
    /// The data is being changed under a Primary (0x02): a crash if it is found at attach.
    pub primary: bool,
    /// The peer is connected (0x04).
    pub connected: bool,
    /// The disk is better than Outdated (0x10).
    pub was_up_to_date: bool,
    /// The peer's disk is known to be outdated or inconsistent (0x20).
    pub peer_outdated: bool,
    /// Crashed as Primary, and both disks were not UpToDate since (0x40).
    pub crashed_primary: bool,
}

/// Bits of the v08 flag word that the state decides.
const DECIDED: u32 = 0x01 | 0x02 | 0x04 | 0x10 | 0x20 | 0x40;
/// The activity log was applied by user space; any change of state ends that.
const AL_CLEAN: u32 = 0x80;

impl MdState {
    /// What to remember of `state`. `crashed_primary` is the flag kept in memory since attach.
    pub fn of(state: State, crashed_primary: bool) -> MdState {
        let serves_diskless_primary =
            state.pdsk < Disk::Inconsistent && state.peer == Role::Primary;
        MdState {
            consistent: state.disk > Disk::Inconsistent,
            primary: state.role == Role::Primary || serves_diskless_primary,
            connected: state.conn > Conn::WfReportParams,
            was_up_to_date: state.disk > Disk::Outdated,
            peer_outdated: state.pdsk >= Disk::Inconsistent && state.pdsk <= Disk::Outdated,
            crashed_primary,
        }
    }

    /// Reads the flags out of a v08 flag word.
    pub fn from_v08(word: u32) -> MdState {
        let has = |bit: u32| word & bit != 0;
        MdState {
            consistent: has(0x01),
            primary: has(0x02),
            connected: has(0x04),
            was_up_to_date: has(0x10),
            peer_outdated: has(0x20),
            crashed_primary: has(0x40),
        }
    }

    /// The v08 flag word: FULL_SYNC and AL_DISABLED stay as in `previous`, AL_CLEAN is dropped.
    pub fn to_v08(self, previous: u32) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        previous & !(DECIDED | AL_CLEAN)
            | bit(self.consistent, 0x01)
            | bit(self.primary, 0x02)
            | bit(self.connected, 0x04)
            | bit(self.was_up_to_date, 0x10)
            | bit(self.peer_outdated, 0x20)
            | bit(self.crashed_primary, 0x40)
    }
}

/// What an attach finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Own disk to enter: what the metadata says, or `Negotiating` while connected.
    pub disk: Disk,
    /// Peer's disk to enter.
    pub pdsk: Disk,
    /// To be put into [`Context::negotiating`] when `disk` is `Negotiating`. A fresh P_UUIDS of the peer is needed
    /// then: forget the last one.
    pub negotiating: Option<Negotiated>,
    /// This node crashed as Primary.
    pub crashed_primary: bool,
    /// The bitmap cannot be trusted: set all bits.
    pub set_all_bits: bool,
    /// The degraded wait-for-connection timeout applies.
    pub degraded: bool,
}

/// Facts for [`attach`] that are neither in the state nor in [`MdState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachFacts {
    /// The setting of all bits was begun and not confirmed (0x08).
    pub full_sync: bool,
    /// The activity log means nothing (0x100).
    pub al_disabled: bool,
    /// Whether the exposed-data UUID equals the current UUID on the disk.
    pub data_unchanged: bool,
}

/// Decides what a disk is worth whose metadata was just read, `now` being `Attaching`.
pub fn attach(now: State, md: MdState, facts: AttachFacts, context: &Context) -> Attached {
    // A Primary that froze for want of data has not crashed: it is the one that attaches.
    let froze = now.role == Role::Primary && now.susp_nod;
    let crashed_primary = md.crashed_primary || md.primary && !froze;
    let pdsk = if md.peer_outdated {
        Disk::Outdated
    } else {
        now.pdsk
    };
    let disk = match (md.consistent, md.was_up_to_date) {
        (false, _) => Disk::Inconsistent,
        (true, false) => Disk::Outdated,
        (true, true) if pdsk == Disk::Outdated || context.fencing == Fencing::DontCare => {
            Disk::UpToDate
        }
        (true, true) => Disk::Consistent,
    };
    let remembered = Negotiated {
        disk,
        pdsk,
        data_unchanged: facts.data_unchanged,
    };
    let connected = now.conn == Conn::Connected;
    Attached {
        disk: if connected { Disk::Negotiating } else { disk },
        pdsk: if connected { now.pdsk } else { pdsk },
        negotiating: Some(remembered).filter(|_| connected),
        crashed_primary,
        // One that froze lost its disk with what no log names, as well.
        set_all_bits: facts.full_sync || facts.al_disabled && (crashed_primary || md.primary),
        degraded: now.role != Role::Primary && md.primary && !md.connected,
    }
}

/// Whether an attach is refused because a Primary works with other data than the disk holds (error 150).
///
/// `exposed` and `current` are UUIDs; bit 0 is ignored.
///
/// A Primary peer that is Inconsistent judges the disk itself: it may be the source that its resync lost. (The stock driver
/// refuses that one as well, until the peer is demoted.)
pub fn attach_refused(now: State, exposed: u64, current: u64) -> bool {
    let peer_judges = now.role == Role::Secondary
        && now.conn >= Conn::Connected
        && now.pdsk == Disk::Inconsistent;
    let someone_primary = now.role == Role::Primary || now.peer == Role::Primary;
    let served = now.pdsk == Disk::UpToDate || peer_judges;
    !served && exposed != 0 && someone_primary && exposed & !1 != current & !1
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: AttachFacts = AttachFacts {
        full_sync: false,
        al_disabled: false,
        data_unchanged: true,
    };
    const ATTACHING: State = State {
        disk: Disk::Attaching,
        ..State::UNCONFIGURED
    };

    #[test]
    fn flags_of_a_few_states() {
        let connected = State {
            role: Role::Primary,
            conn: Conn::Connected,
            disk: Disk::UpToDate,
            pdsk: Disk::UpToDate,
            ..State::UNCONFIGURED
        };
        assert_eq!(MdState::of(connected, false).to_v08(0), 0x17);
        let alone = State {
            conn: Conn::WfConnection,
            pdsk: Disk::Outdated,
            ..connected
        };
        assert_eq!(MdState::of(alone, true).to_v08(0), 0x73);
        // Serving a Primary without disk counts as being written to.
        let server = State {
            role: Role::Secondary,
            peer: Role::Primary,
            pdsk: Disk::Diskless,
            ..connected
        };
        assert_eq!(MdState::of(server, false).to_v08(0), 0x17);
        // A Secondary that crashed: metadata.md section 8 saw 0x051.
        let secondary = State {
            disk: Disk::UpToDate,
            ..State::UNCONFIGURED
        };
        assert_eq!(MdState::of(secondary, true).to_v08(0x80), 0x51);
        // FULL_SYNC and AL_DISABLED pass through, AL_CLEAN does not.
        assert_eq!(MdState::of(ATTACHING, false).to_v08(0x1ff), 0x108);
        for word in 0..0x200 {
            assert_eq!(MdState::from_v08(word).to_v08(word), word & !0x80);
        }
    }

    #[test]
    fn what_an_attach_makes_of_the_flags() {
        let fenced = Context {
            fencing: Fencing::ResourceOnly,
            ..Context::DEFAULT
        };
        for (flags, context, disk, pdsk) in [
            (0x00, &Context::DEFAULT, Disk::Inconsistent, Disk::Unknown),
            (0x01, &Context::DEFAULT, Disk::Outdated, Disk::Unknown),
            (0x11, &Context::DEFAULT, Disk::UpToDate, Disk::Unknown),
            (0x11, &fenced, Disk::Consistent, Disk::Unknown),
            (0x31, &fenced, Disk::UpToDate, Disk::Outdated),
            (0x21, &fenced, Disk::Outdated, Disk::Outdated),
        ] {
            let attached = attach(ATTACHING, MdState::from_v08(flags), FACTS, context);
            assert_eq!(
                (attached.disk, attached.pdsk),
                (disk, pdsk),
                "flags {flags:#x}"
            );
            assert_eq!(attached.negotiating, None);
        }
    }

    #[test]
    fn while_connected_the_peer_is_asked_first() {
        let now = State {
            conn: Conn::Connected,
            pdsk: Disk::UpToDate,
            peer: Role::Primary,
            ..ATTACHING
        };
        let attached = attach(now, MdState::from_v08(0x11), FACTS, &Context::DEFAULT);
        assert_eq!(
            (attached.disk, attached.pdsk),
            (Disk::Negotiating, Disk::UpToDate)
        );
        assert_eq!(attached.negotiating.unwrap().disk, Disk::UpToDate);
    }

    #[test]
    fn crash_detection() {
        let crashed = |now: State, flags| {
            attach(now, MdState::from_v08(flags), FACTS, &Context::DEFAULT).crashed_primary
        };
        assert!(crashed(ATTACHING, 0x13));
        assert!(crashed(ATTACHING, 0x51));
        assert!(!crashed(ATTACHING, 0x11));
        let frozen = State {
            role: Role::Primary,
            susp_nod: true,
            ..ATTACHING
        };
        assert!(!crashed(frozen, 0x13));
        let untracked = AttachFacts {
            al_disabled: true,
            ..FACTS
        };
        let set_all = |now: State, flags| {
            attach(now, MdState::from_v08(flags), untracked, &Context::DEFAULT).set_all_bits
        };
        assert!(set_all(ATTACHING, 0x13));
        assert!(!set_all(ATTACHING, 0x11));
        // What was being written when it froze no log names.
        assert!(set_all(frozen, 0x13));
        assert!(attach(ATTACHING, MdState::from_v08(0x13), FACTS, &Context::DEFAULT).degraded);
        assert!(!attach(ATTACHING, MdState::from_v08(0x17), FACTS, &Context::DEFAULT).degraded);
    }

    #[test]
    fn a_primary_does_not_swap_its_data() {
        let now = State {
            role: Role::Primary,
            ..ATTACHING
        };
        assert!(attach_refused(now, 0x1001, 0x2000));
        assert!(!attach_refused(now, 0x1001, 0x1000));
        let lost_source = State {
            role: Role::Secondary,
            peer: Role::Primary,
            conn: Conn::Connected,
            pdsk: Disk::Inconsistent,
            ..now
        };
        assert!(!attach_refused(lost_source, 0x1001, 0x2000));
        for refused in [
            State {
                role: Role::Primary,
                ..lost_source
            },
            State {
                pdsk: Disk::Diskless,
                ..lost_source
            },
        ] {
            assert!(attach_refused(refused, 0x1001, 0x2000), "{refused:?}");
        }
        assert!(!attach_refused(now, 0, 0x2000));
        assert!(!attach_refused(ATTACHING, 0x1001, 0x2000));
        assert!(!attach_refused(
            State {
                pdsk: Disk::UpToDate,
                ..now
            },
            0x1001,
            0x2000
        ));
    }
}
