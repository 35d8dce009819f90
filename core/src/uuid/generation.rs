// SPDX-License-Identifier: GPL-2.0-or-later
//! The generation UUIDs of one disk as one peer sees them, and what happens to them.
//!
//! The current UUID names the data, the bitmap UUID the data at the moment since which the bitmap counts, the history
//! what both once were. Format v08 holds exactly this. Format v09 has one bitmap UUID per peer and a common history of
//! 32: the view of a peer is the common current UUID, that peer's slot and the first two of the history.
//! replication-semantics.md section 2.

/// The current UUID of fresh metadata: no data yet.
pub const JUST_CREATED: u64 = 4;

/// What a sync UUID adds to the bitmap UUID it is derived from, so that a lost P_SYNC_UUID can be recognised.
pub const SYNC_OFFSET: u64 = 1 << 48;

/// Bit 0 of a current UUID says that the node was Primary; it is no part of the name.
const PRIMARY: u64 = 1;

/// Whether two UUIDs name the same data.
pub const fn same(one: u64, other: u64) -> bool {
    (one ^ other) & !PRIMARY == 0
}

/// Generation UUIDs, as they are stored and sent.
///
/// Whoever changes `current` through a method here also has to take it as the exposed-data UUID of the volume, and to
/// mark the metadata changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GenUuids {
    /// Name of the data; bit 0 is the Primary marker.
    pub current: u64,
    /// Name of the data when the bitmap began to count, 0 if it does not count.
    pub bitmap: u64,
    /// Former bitmap UUIDs, younger first; 0 where there is none.
    pub history: [u64; 2],
}

impl GenUuids {
    /// Of fresh metadata.
    pub const FRESH: GenUuids = GenUuids {
        current: JUST_CREATED,
        bitmap: 0,
        history: [0, 0],
    };

    /// Takes `current`, with bit 0 telling the own role.
    pub fn set_current(&mut self, current: u64, primary: bool) {
        self.current = current & !PRIMARY | u64::from(primary);
    }

    /// Sets or clears the Primary marker: at promotion and at demotion.
    pub fn set_primary(&mut self, primary: bool) {
        self.set_current(self.current, primary);
    }

    /// Whether bit 0 of the bitmap UUID says that this node was Primary when the data diverged.
    pub fn was_primary_at_split(&self) -> bool {
        self.bitmap & PRIMARY != 0
    }

    /// Begins a new data generation. Has to reach the disk at once.
    ///
    /// The bitmap counts from the old one, or from where it counts already: then the old one goes into the history. (The stock
    /// driver overwrites a bitmap UUID, and a peer whose data is that old knows nobody any more.)
    pub fn new_current(&mut self, random: u64, primary: bool) {
        if self.bitmap == 0 {
            self.bitmap = self.current;
        } else {
            let [younger, _] = self.history;
            self.history = [self.current, younger];
        }
        self.set_current(random, primary);
    }

    /// Moves the bitmap UUID into the history; nothing happens when there is none.
    pub fn drop_bitmap(&mut self) {
        if self.bitmap != 0 {
            self.rotate_bitmap(0);
        }
    }

    /// Moves the bitmap UUID (if any) into the history and takes another.
    pub fn rotate_bitmap(&mut self, bitmap: u64) {
        if self.bitmap != 0 {
            let [younger, _] = self.history;
            self.history = [self.bitmap, younger];
        }
        self.bitmap = bitmap;
    }

    /// Undoes the rotation of a resync whose sync UUID never arrived.
    fn restore_bitmap(&mut self) {
        let [younger, older] = self.history;
        self.bitmap = younger;
        self.history = [older, older];
    }

    /// A resync from here begins: returns the sync UUID to send. Has to reach the disk first.
    ///
    /// The first of a generation is named after it, so that [`GenUuids::resync_began`] knows it again. (The stock driver takes
    /// any random number.)
    pub fn start_as_source(&mut self, random: u64) -> u64 {
        let sync = match self.bitmap {
            0 | JUST_CREATED => {
                // One step is what a resync that starts again adds.
                let steps = (random / SYNC_OFFSET).max(2);
                (self.current & !PRIMARY).wrapping_add(steps.wrapping_mul(SYNC_OFFSET))
            }
            bitmap => bitmap.wrapping_add(SYNC_OFFSET),
        };
        self.rotate_bitmap(sync);
        sync
    }

    /// Whether a resync from here began in the current generation, so that the peer may have that, whatever the bitmap UUID says.
    /// Not seen of one that the stock driver began, if it was the first of the generation.
    pub fn resync_began(&self) -> bool {
        let [younger, _] = self.history;
        let of_current = self.bitmap.wrapping_sub(self.current & !PRIMARY) % SYNC_OFFSET == 0;
        let again = same(younger.wrapping_add(SYNC_OFFSET), self.bitmap);
        self.bitmap != 0 && (of_current || again)
    }

    /// A resync to here begins with this sync UUID: until it ends the data has this name.
    pub fn start_as_target(&mut self, sync: u64, primary: bool) {
        self.set_current(sync, primary);
        self.bitmap = 0;
    }

    /// A resync from here ended without failed blocks.
    pub fn finish_as_source(&mut self) {
        self.drop_bitmap();
    }

    /// A resync to here ended without failed blocks: take the peer's names, known since before the resync or told during it.
    /// The result equals what [`GenUuids::finish_as_source`] leaves on the other side.
    pub fn finish_as_target(&mut self, peer: &GenUuids, primary: bool) {
        let sync = self.current;
        self.bitmap = peer.bitmap;
        self.history = peer.history;
        if !same(peer.bitmap, sync) {
            self.rotate_bitmap(sync);
        }
        self.set_current(peer.current, primary);
        self.drop_bitmap();
    }

    /// The administrator declares both disks equal: a new generation whose bitmap does not count.
    pub fn skip_initial_sync(&mut self, random: u64, primary: bool) {
        self.rotate_bitmap(0);
        self.new_current(random, primary);
        self.bitmap = 0;
    }

    /// The peer declared both disks equal.
    pub fn adopt_skipped_sync(&mut self, peer_current: u64, primary: bool) {
        self.set_current(peer_current, primary);
        self.bitmap = 0;
    }
}

/// A correction that the comparison found necessary: one side missed the beginning or the end of a resync.
///
/// It also holds when the comparison's verdict is overruled later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// None.
    None,
    /// This node missed the end of a resync from here: finish its own UUIDs and write them.
    FinishOwn,
    /// The peer missed the end of a resync from there: finish what is known of it.
    FinishPeer,
    /// The sync UUID sent by this node was lost: undo its own UUIDs and write them.
    UndoOwn,
    /// The sync UUID sent by the peer was lost: undo what is known of it.
    UndoPeer,
}

impl Fix {
    /// Whether the own metadata changes.
    pub const fn changes_own(self) -> bool {
        matches!(self, Fix::FinishOwn | Fix::UndoOwn)
    }

    /// Carries the correction out.
    pub fn apply(self, own: &mut GenUuids, peer: &mut GenUuids) {
        match self {
            Fix::None => {}
            Fix::FinishOwn => own.drop_bitmap(),
            Fix::FinishPeer => peer.drop_bitmap(),
            Fix::UndoOwn => own.restore_bitmap(),
            Fix::UndoPeer => peer.restore_bitmap(),
        }
    }
}

/// Flags that travel with the UUIDs (wire-protocol.md section 5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UuidFlags(pub u64);

impl UuidFlags {
    /// `discard-my-data` is pending.
    pub const DISCARD_MY_DATA: UuidFlags = UuidFlags(1);
    /// The sender crashed as Primary.
    pub const CRASHED_PRIMARY: UuidFlags = UuidFlags(2);
    /// The sender's disk will be Inconsistent once it is attached.
    pub const INCONSISTENT: UuidFlags = UuidFlags(4);
    /// The administrator declared both disks equal.
    pub const SKIP_INITIAL_SYNC: UuidFlags = UuidFlags(8);

    /// Whether all of `other` are set.
    pub const fn contains(self, other: UuidFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: UuidFlags) -> UuidFlags {
        UuidFlags(self.0 & !other.0)
    }
}

/// What the peer told last by P_UUIDS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerUuids {
    /// Its UUIDs.
    pub uuids: GenUuids,
    /// Bits set in its bitmap.
    pub dirty_bits: u64,
    /// Its flags.
    pub flags: UuidFlags,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gen(current: u64, bitmap: u64, history: [u64; 2]) -> GenUuids {
        GenUuids {
            current,
            bitmap,
            history,
        }
    }

    #[test]
    fn a_resync_leaves_both_sides_equal() {
        let mut source = gen(0x1001, 0x2000, [0x30, 0x40]);
        let mut target = gen(0x2000, 0, [0x30, 0x40]);
        let known_of_source = source;
        let sync = source.start_as_source(0xdead);
        assert_eq!(sync, 0x2000 + SYNC_OFFSET);
        target.start_as_target(sync, false);
        assert_eq!(target, gen(sync, 0, [0x30, 0x40]));
        source.finish_as_source();
        target.finish_as_target(&known_of_source, false);
        assert_eq!(source, gen(0x1001, 0, [sync, 0x2000]));
        assert_eq!(target, gen(0x1000, 0, [sync, 0x2000]));
    }

    #[test]
    fn a_first_sync_is_named_after_its_generation() {
        for bitmap in [0, JUST_CREATED] {
            let mut source = gen(0x1001, bitmap, [0, 0]);
            assert_eq!(
                source.start_as_source(0xdead_0000_0000_1234),
                0xdead_0000_0000_1000
            );
            assert_eq!(source.history, [bitmap, 0]);
        }
    }

    #[test]
    fn a_resync_since_the_generation_began_is_known_again() {
        for random in [0, SYNC_OFFSET, u64::MAX] {
            let mut own = gen(0x1001, 0, [0x30, 0x40]);
            assert!(!own.resync_began());
            own.start_as_source(random);
            assert!(own.resync_began());
            own.new_current(0x2222, true);
            assert!(!own.resync_began(), "{own:x?}");
            own.start_as_source(random);
            assert!(own.resync_began());
            own.finish_as_source();
            assert!(!own.resync_began());
            own.new_current(0x3332, true);
            assert!(!own.resync_began());
        }
    }

    #[test]
    fn a_new_generation_counts_from_the_old_one() {
        let mut own = gen(0x1001, 0, [0x30, 0x40]);
        own.new_current(0x2222, true);
        assert_eq!(own, gen(0x2223, 0x1001, [0x30, 0x40]));
        assert!(own.was_primary_at_split());
        own.new_current(0x3331, false);
        assert_eq!(own, gen(0x3330, 0x1001, [0x2223, 0x30]));
    }

    #[test]
    fn dropping_nothing_changes_nothing() {
        let mut own = gen(1, 0, [2, 3]);
        own.drop_bitmap();
        assert_eq!(own, gen(1, 0, [2, 3]));
        own.set_primary(false);
        assert_eq!(own.current, 0);
    }

    #[test]
    fn skipping_the_initial_sync() {
        let mut own = GenUuids::FRESH;
        own.skip_initial_sync(0x5555, false);
        assert_eq!(own, gen(0x5554, 0, [0, 0]));
        let mut peer = GenUuids::FRESH;
        peer.adopt_skipped_sync(own.current, false);
        assert_eq!(peer, own);
    }
}
