// SPDX-License-Identifier: GPL-2.0-or-later
//! Option al-updates: without it the activity log is not written, and the superblock has to say so. After a crash of a
//! Primary whose superblock says it, all blocks are out of sync (metadata.md section 8).

use super::disk::Disk;
use crate::{engine::mem::Mem, meta::MdFlags};

impl<M: Mem> Disk<M> {
    /// Brings activity log and superblock a step nearer to what the option demands. Metadata thread, before each write: the
    /// next step is due when the last one is durable.
    ///
    /// At every moment the log on the disk names all that is being written to, or the superblock says that it does not.
    pub(super) fn follow_al_updates(&mut self) {
        let (flags, peer) = (self.flags(), self.peer_flags());
        let disabled = flags.contains(MdFlags::AL_DISABLED);
        if self.facts.options.al_updates {
            self.al.set_updates(true);
            if disabled && !self.al.is_rewriting() {
                self.set_flags(flags.without(MdFlags::AL_DISABLED), peer);
            }
        } else if !disabled {
            self.set_flags(flags.with(MdFlags::AL_DISABLED), peer);
        } else if self.durable_al_disabled {
            self.al.set_updates(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        md::{MdIo, MdResult},
        rig::{volume, write_metadata, Peer},
        Volume,
    };
    use crate::{
        engine::mem::tests::Heap,
        meta::{MdFlags, Superblock},
        state::Conn,
    };

    extern crate std;
    use std::vec::Vec;

    fn set(vol: &mut Volume<Heap>, al_updates: bool) {
        let mut options = vol.disk.as_ref().unwrap().facts.options;
        options.al_updates = al_updates;
        vol.set_disk_options(options);
    }

    fn disabled(vol: &Volume<Heap>) -> bool {
        let flags = vol.disk.as_ref().unwrap().flags();
        flags.contains(MdFlags::AL_DISABLED)
    }

    /// What is written until nothing is left: whether each is a superblock.
    fn writes(vol: &mut Volume<Heap>, peer: &mut Peer) -> Vec<bool> {
        let mut block = [0; 4096];
        let mut writes = Vec::new();
        while let Some(io) = vol.md_poll(&mut block, peer, 0) {
            if let MdIo::Write { .. } = io {
                writes.push(Superblock::decode(&block).is_ok());
                vol.md_done(MdResult::Written, peer, 0);
            }
        }
        writes
    }

    #[test]
    fn without_a_log_the_superblock_says_so_first() {
        let mut peer = Peer::default();
        let mut vol = volume(Conn::Connected, 8192);
        set(&mut vol, true);
        write_metadata(&mut vol, &mut peer);
        assert!(!disabled(&vol));
        set(&mut vol, false);
        let mut block = [0; 4096];
        let io = vol.md_poll(&mut block, &mut peer, 0);
        assert!(matches!(io, Some(MdIo::Write { .. })), "{io:?}");
        let written = Superblock::decode(&block).unwrap();
        assert!(written.flags.contains(MdFlags::AL_DISABLED));
        // Not there yet: a new extent is still told to the log.
        let log = &mut vol.disk.as_mut().unwrap().al;
        assert!(matches!(
            log.begin(7..=7),
            crate::activity_log::Begin::Wait { .. }
        ));
        vol.md_done(MdResult::Written, &mut peer, 0);
        write_metadata(&mut vol, &mut peer);
        let log = &mut vol.disk.as_mut().unwrap().al;
        assert_eq!(log.begin(8..=8), crate::activity_log::Begin::Ready);
    }

    #[test]
    fn with_a_log_the_superblock_says_so_last() {
        let mut peer = Peer::default();
        let mut vol = volume(Conn::Connected, 8192);
        vol.update_md_flags();
        write_metadata(&mut vol, &mut peer);
        assert!(disabled(&vol));
        // Extents leave a log that nobody writes without their bits being written first.
        vol.set_out_of_sync(64, 8);
        set(&mut vol, true);
        let writes = writes(&mut vol, &mut peer);
        let blocks = vol.disk.as_ref().unwrap().facts.layout.al.blocks();
        let superblocks = writes.iter().filter(|is_superblock| **is_superblock);
        assert_eq!(superblocks.count(), 1, "{writes:?}");
        assert_eq!(writes.last(), Some(&true), "{writes:?}");
        assert_eq!(writes.len(), blocks as usize + 2, "log, bits, superblock");
        assert!(!disabled(&vol));
    }
}
