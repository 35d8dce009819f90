// SPDX-License-Identifier: GPL-2.0-or-later
//! GET_STATUS: what a driver of generation 8.4 tells of one minor (control-plane.md section 4.1).

use drbd_core::genl::state::{DiskState, Role};
use drbd_core::genl::{Attribute, Attributes, Context, Malformed};
use drbd_core::state::Conn;

use super::lift::disk_state;
use crate::Error;

/// Top level attribute.
const STATE_INFO: u16 = 8;
const CURRENT_STATE: u16 = 2;
const UUIDS: u16 = 7;
const DISK_FLAGS: u16 = 8;
const OUT_OF_SYNC: u16 = 10;
const RESYNC_TOTAL: u16 = 11;
const RESYNC_FAILED: u16 = 12;

/// The state of a volume and its connection in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateWord(pub u32);

impl StateWord {
    fn bits(self, shift: u32, width: u32) -> u32 {
        (self.0 >> shift) & ((1 << width) - 1)
    }

    /// Own role.
    pub fn role(self) -> Role {
        Role::from_number(self.bits(0, 2)).unwrap_or_default()
    }

    /// The peer's role.
    pub fn peer_role(self) -> Role {
        Role::from_number(self.bits(2, 2)).unwrap_or_default()
    }

    /// State of the connection and its resync; `None` for a number that no driver of 8.4 has.
    pub fn connection(self) -> Option<Conn> {
        u8::try_from(self.bits(4, 5))
            .ok()
            .and_then(Conn::from_number)
    }

    /// State of the connection and its resync.
    pub fn connection_word(self) -> &'static str {
        self.connection().map_or("Unknown", Conn::name)
    }

    /// State of the own disk.
    pub fn disk(self) -> DiskState {
        DiskState::from_number(disk_state(self.bits(9, 4))).unwrap_or_default()
    }

    /// State of the peer's disk.
    pub fn peer_disk(self) -> DiskState {
        DiskState::from_number(disk_state(self.bits(13, 4))).unwrap_or_default()
    }

    /// Suspended: by the administrator, for lack of data, for fencing.
    pub fn suspended(self) -> [bool; 3] {
        [17, 21, 22].map(|shift| self.bits(shift, 1) != 0)
    }

    /// Resync paused: waiting for another one, by the peer, by the administrator.
    pub fn resync_paused(self) -> [bool; 3] {
        [18, 19, 20].map(|shift| self.bits(shift, 1) != 0)
    }

    /// Neither disk nor connection.
    pub fn is_unconfigured(self) -> bool {
        self.connection() == Some(Conn::StandAlone) && self.disk() == DiskState::Diskless
    }

    /// The nodes have met.
    pub fn is_connected(self) -> bool {
        self.connection() >= Some(Conn::Connected)
    }

    /// The nodes have met, and no resync or verify runs.
    pub fn is_quiet(self) -> bool {
        self.connection() == Some(Conn::Connected)
    }

    /// Nobody tries to connect any more.
    pub fn is_given_up(self) -> bool {
        self.connection()
            .is_some_and(|conn| conn < Conn::Unconnected)
    }
}

/// What GET_STATUS tells of a minor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinorStatus {
    /// Resource.
    pub resource: String,
    /// Volume.
    pub volume: u32,
    /// State.
    pub state: StateWord,
    /// Current, bitmap and two history UUIDs; `None` without a disk.
    pub uuids: Option<[u64; 4]>,
    /// Metadata flags.
    pub disk_flags: u32,
    /// Bits out of sync.
    pub out_of_sync_bits: u64,
    /// Bits of the resync that runs, and those that failed.
    pub resync_bits: Option<(u64, u64)>,
}

impl MinorStatus {
    /// Decodes the attributes of a reply.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn decode(attributes: &[u8]) -> Result<Self, Error> {
        let context = Context::find(attributes)?;
        let mut status = Self {
            resource: context.resource.unwrap_or_default().to_owned(),
            volume: context.volume.unwrap_or_default(),
            state: StateWord(0),
            uuids: None,
            disk_flags: 0,
            out_of_sync_bits: 0,
            resync_bits: None,
        };
        for nest in Attributes::new(attributes) {
            let nest = nest?;
            if nest.nr != STATE_INFO {
                continue;
            }
            for attribute in Attributes::new(nest.payload) {
                status.take(&attribute?)?;
            }
            return Ok(status);
        }
        Err(Error::Nonsense("a status without a state".into()))
    }

    fn take(&mut self, attribute: &Attribute<'_>) -> Result<(), Malformed> {
        match attribute.nr {
            CURRENT_STATE => self.state = StateWord(attribute.u32()?),
            UUIDS => self.uuids = Some(uuids(attribute.payload)?),
            DISK_FLAGS => self.disk_flags = attribute.u32()?,
            OUT_OF_SYNC => self.out_of_sync_bits = attribute.u64()?,
            RESYNC_TOTAL => {
                let failed = self.resync_bits.map_or(0, |(_, failed)| failed);
                self.resync_bits = Some((attribute.u64()?, failed));
            }
            RESYNC_FAILED => {
                let total = self.resync_bits.map_or(0, |(total, _)| total);
                self.resync_bits = Some((total, attribute.u64()?));
            }
            _ => {}
        }
        Ok(())
    }
}

fn uuids(payload: &[u8]) -> Result<[u64; 4], Malformed> {
    let mut uuids = [0; 4];
    if payload.len() != 32 {
        return Err(Malformed);
    }
    for (uuid, bytes) in uuids.iter_mut().zip(payload.chunks_exact(8)) {
        *uuid = u64::from_ne_bytes(bytes.try_into().map_err(|_| Malformed)?);
    }
    Ok(uuids)
}
