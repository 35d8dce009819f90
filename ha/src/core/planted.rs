// SPDX-License-Identifier: GPL-2.0-or-later
//! Bugs on purpose, to show that the simulator finds them.
//!
//! Without the feature `planted-bugs`, which no product has, [`is`] is a constant.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Bug {
    /// The guard starts a group although a silent host was not fenced (G3).
    SkipFenceCheck = 1,
    /// A fencing counts for whatever life its target has when it is confirmed, and nobody waits for that.
    ForgetIncarnation,
    /// A view is committed when one member is missing among those who accepted.
    CommitWithoutAll,
    /// Nodes that are silent and were not fenced still vote.
    DeadVotes,
    /// A group counts as released when its last stop begins.
    ReleaseEarly,
    /// Acknowledgements of a plan are not needed (G3).
    SkipPromise,
    /// A node without quorum fences.
    FenceWithoutQuorum,
    /// A fenced node that comes back without a network fences back.
    ForgetSeenAll,
    /// A failed stop counts as stopped.
    AssumeStopped,
    /// What was probed is forgotten: a restarted daemon believes that nothing runs.
    SkipProbe,
    /// A disk that is not known to be recent is promoted (G4).
    PromoteConsistent,
}

impl Bug {
    /// All of them, with names for a command line.
    pub const ALL: [(&'static str, Bug); 11] = [
        ("skip-fence-check", Bug::SkipFenceCheck),
        ("forget-incarnation", Bug::ForgetIncarnation),
        ("commit-without-all", Bug::CommitWithoutAll),
        ("dead-votes", Bug::DeadVotes),
        ("release-early", Bug::ReleaseEarly),
        ("skip-promise", Bug::SkipPromise),
        ("fence-without-quorum", Bug::FenceWithoutQuorum),
        ("forget-seen-all", Bug::ForgetSeenAll),
        ("assume-stopped", Bug::AssumeStopped),
        ("skip-probe", Bug::SkipProbe),
        ("promote-consistent", Bug::PromoteConsistent),
    ];
}

#[cfg(feature = "planted-bugs")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug, or takes it out, for the whole process.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8);
    PLANTED.store(number, std::sync::atomic::Ordering::Relaxed);
}

/// Whether `bug` is planted.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether `bug` is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
