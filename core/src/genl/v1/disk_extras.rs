// SPDX-License-Identifier: GPL-2.0-or-later
//! Options that version 1 counts to the disk and version 2 to the connection.

use super::super::changes::Changes;
use super::super::tla::Tla;
use super::super::tlv::{find_nest, Attributes};
use super::super::writer::Writer;
use super::place::{from_v1, Fault};
use crate::config::{NetOptions, OptionGroup, PeerDeviceOptions, Refusal, Value};
use crate::genl::RetCode;

/// Attribute numbers of the fencing policy in both versions.
const FENCING_V1: u16 = 7;
const FENCING_V2: u16 = 30;

/// Room for the nest of a peer device's options.
const ROOM_BYTES: usize = 256;

/// What a disk of version 1 keeps for the connection, which may come later or change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskExtras {
    /// Rates of the resync.
    pub peer_device: PeerDeviceOptions,
    /// Number of the fencing policy.
    pub fencing: u32,
}

impl DiskExtras {
    /// These options after a request of version 1 that creates (`set_defaults`) or changes a disk.
    ///
    /// # Errors
    ///
    /// Code and sentence for values without meaning, or that this module does not implement.
    pub fn changed_by(&self, message: &[u8], set_defaults: bool) -> Result<Self, Refusal> {
        const MALFORMED: Refusal = Refusal::new(
            RetCode::ERR_MANDATORY_TAG,
            "malformed or repeated attribute",
        );
        let mut room = [0; ROOM_BYTES];
        let mut writer = Writer::new(&mut room);
        // Nothing but a message that repeats its attributes needs more room.
        from_v1::<PeerDeviceOptions>(message, &mut writer).map_err(|_: Fault| MALFORMED)?;
        let mut whole = [0; ROOM_BYTES];
        let mut nest = Writer::new(&mut whole);
        nest.nest(Tla::PeerDeviceOpts, |w| w.put_raw(writer.bytes()))
            .map_err(|_| MALFORMED)?;
        let nest = find_nest(nest.bytes(), Tla::PeerDeviceOpts)?;
        let peer_device = Changes::for_change(nest, set_defaults)?.apply(&self.peer_device)?;
        let mut fencing = if set_defaults { 0 } else { self.fencing };
        if let Some(disk) = find_nest(message, Tla::DiskConf)? {
            for attribute in Attributes::new(disk.payload) {
                let attribute = attribute?;
                if attribute.nr == FENCING_V1 {
                    fencing = attribute.u32()?;
                }
            }
        }
        if let Some(spec) = NetOptions::spec(FENCING_V2) {
            spec.admit(Value::Int(i64::from(fencing)))?;
        }
        Ok(Self {
            peer_device,
            fencing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_conf(fill: impl FnOnce(&mut Writer<'_>)) -> ([u8; 128], usize) {
        let mut bytes = [0; 128];
        let mut writer = Writer::new(&mut bytes);
        writer
            .nest(Tla::DiskConf, |w| {
                fill(w);
                Ok(())
            })
            .unwrap();
        let len = writer.len();
        (bytes, len)
    }

    #[test]
    fn the_rates_of_a_disk_are_found() {
        let (bytes, len) = disk_conf(|w| {
            w.put_u32(8, 10_240).unwrap();
            w.put_u32(11, 0).unwrap();
            w.put_u32(10, 1237).unwrap();
        });
        let old = DiskExtras::default();
        let new = old.changed_by(&bytes[..len], false).unwrap();
        assert_eq!(
            (new.peer_device.resync_rate, new.peer_device.c_plan_ahead),
            (10_240, 0)
        );
        let (bytes, len) = disk_conf(|_| ());
        assert_eq!(new.changed_by(&bytes[..len], false), Ok(new));
        assert_eq!(new.changed_by(&bytes[..len], true), Ok(old));
    }

    #[test]
    fn a_policy_without_meaning_is_refused() {
        let (bytes, len) = disk_conf(|w| w.put_u32(FENCING_V1, 9).unwrap());
        assert!(DiskExtras::default()
            .changed_by(&bytes[..len], false)
            .is_err());
    }

    #[test]
    fn a_rate_that_comes_twice_is_refused() {
        let (bytes, len) = disk_conf(|w| {
            w.put_u32(8, 1).unwrap();
            w.put_u32(8, 2).unwrap();
        });
        let refusal = DiskExtras::default().changed_by(&bytes[..len], false);
        assert_eq!(refusal.unwrap_err().code, RetCode::ERR_MANDATORY_TAG);
    }
}
