// SPDX-License-Identifier: GPL-2.0-or-later
//! STATE_INFO: what GET_STATUS and the notification EVENT tell of a volume.

use super::super::state::peer_flags;
use super::super::writer::{NoRoom, Writer};
use crate::config::Text;

/// Number of the top level attribute; version 2 has none with this meaning.
const STATE_INFO: u16 = 8;

/// Why a state is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked.
    GetStatus,
    /// It changed: the words before and after.
    Change {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// A helper program was started.
    HelperStarts(Helper),
    /// It ended, with this exit code.
    HelperEnded(Helper, u32),
    /// A resync came forward.
    Progress,
}

/// Name of a helper program's event.
pub type Helper = Text<32>;

/// What a disk knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFacts {
    /// Current, bitmap and two history UUIDs.
    pub uuids: [u64; 4],
    /// Metadata flags.
    pub flags: u32,
    /// Bits of the bitmap.
    pub bits: u64,
    /// Of them those that are set.
    pub out_of_sync_bits: u64,
}

/// Metadata flags as 8.4 has them: of the disk, and those that version 2 keeps for the peer.
pub const fn disk_flags(disk: u32, peer: u32) -> u32 {
    const CONNECTED: u32 = 4;
    const FULL_SYNC: u32 = 8;
    const PEER_OUTDATED: u32 = 32;
    let mut flags = disk;
    if peer & peer_flags::CONNECTED != 0 {
        flags |= CONNECTED;
    }
    if peer & peer_flags::FULL_SYNC != 0 {
        flags |= FULL_SYNC;
    }
    if peer & peer_flags::OUTDATED != 0 {
        flags |= PEER_OUTDATED;
    }
    flags
}

/// What is known of a volume; sizes are sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// The state word (as on the wire).
    pub state: u32,
    /// Size.
    pub capacity: u64,
    /// UUID of the data that applications saw last.
    pub exposed_uuid: u64,
    /// Sent to the peer.
    pub sent: u64,
    /// Received from the peer.
    pub received: u64,
    /// Read from the disk.
    pub read: u64,
    /// Written to the disk.
    pub written: u64,
    /// Activity-log transactions.
    pub al_writes: u64,
    /// Bitmap writes.
    pub bm_writes: u64,
    /// Application requests that are not finished.
    pub application_requests: u32,
    /// Requests of the application that the peer has not answered.
    pub pending: u32,
    /// Requests of the resync that the peer has not answered.
    pub resync_pending: u32,
    /// The disk, if there is one.
    pub disk: Option<DiskFacts>,
    /// Bits of the resync that runs, and those that failed.
    pub resync_bits: Option<(u64, u64)>,
}

/// The nest.
#[derive(Clone, Copy, Debug)]
pub struct StateInfo<'a> {
    /// Why it is told.
    pub reason: Reason,
    /// What is told.
    pub volume: &'a VolumeFacts,
}

impl StateInfo<'_> {
    /// Writes the nest (control-plane.md section 2, STATE_INFO: the order of the reference).
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        let volume = self.volume;
        writer.plain_nest_of(STATE_INFO, |w| {
            w.put_u32(1, self.reason_number())?;
            w.put_u32(2, volume.state)?;
            w.put_u64(4, volume.exposed_uuid)?;
            w.put_u64(3, volume.capacity)?;
            let counters = [
                (15, volume.sent),
                (16, volume.received),
                (17, volume.read),
                (18, volume.written),
                (19, volume.al_writes),
                (20, volume.bm_writes),
            ];
            for (nr, counter) in counters {
                w.put_u64(nr, counter)?;
            }
            w.put_u32(21, volume.application_requests)?;
            w.put_u32(22, volume.pending)?;
            w.put_u32(23, volume.resync_pending)?;
            if let Some(disk) = &volume.disk {
                put_disk(disk, w)?;
                if let Some((total, failed)) = volume.resync_bits {
                    w.put_u64(11, total)?;
                    w.put_u64(12, failed)?;
                }
            }
            self.put_reason(w)
        })
    }

    const fn reason_number(&self) -> u32 {
        match self.reason {
            Reason::GetStatus => 1,
            Reason::Change { .. } => 2,
            Reason::HelperStarts(_) => 3,
            Reason::HelperEnded(..) => 4,
            Reason::Progress => 5,
        }
    }

    fn put_reason(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match &self.reason {
            Reason::GetStatus | Reason::Progress => Ok(()),
            Reason::Change { from, to } => {
                w.put_u32(5, *from)?;
                w.put_u32(6, *to)
            }
            Reason::HelperStarts(name) => w.put_text(13, name.as_str()),
            Reason::HelperEnded(name, exit_code) => {
                w.put_u32(14, *exit_code)?;
                w.put_text(13, name.as_str())
            }
        }
    }
}

fn put_disk(disk: &DiskFacts, w: &mut Writer<'_>) -> Result<(), NoRoom> {
    let mut bytes = [0; 32];
    for (room, uuid) in bytes.chunks_exact_mut(8).zip(disk.uuids) {
        room.copy_from_slice(&uuid.to_ne_bytes());
    }
    w.put_bytes(7, &bytes)?;
    w.put_u32(8, disk.flags)?;
    w.put_u64(9, disk.bits)?;
    w.put_u64(10, disk.out_of_sync_bits)
}
