// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel tells about its objects: states and figures.
//!
//! Sizes and counters are 512-byte sectors, times are milliseconds, unless said otherwise
//! (drbd9-api.md section 6).

use super::field::{fields_of, FieldKind, FieldSpec};
use super::state::{
    ConnectionState, DiskState, NotificationKind, ReplicationState, Role, TimeoutType,
    WriteOrdering,
};
use super::tla::Tla;
use super::tlv::{find_nest, Attribute, Attributes, Malformed, Seen};
use super::writer::{NoRoom, Writer};
use crate::config::Text;

/// A nest with a fixed set of attributes.
pub trait Record: Copy + Default {
    /// Its top level attribute.
    const TLA: Tla;
    /// Its attributes.
    const FIELDS: &'static [FieldSpec];

    /// Writes the nest with all attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`]; nothing is written then.
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom>;

    /// Reads the content of the nest; absent attributes keep their default, unknown ones are ignored.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for wrong sizes, repetitions and state numbers that do not exist.
    fn decode(nest: &[u8]) -> Result<Self, Malformed>;

    /// Finds and reads the nest in a message.
    ///
    /// # Errors
    ///
    /// As [`Record::decode`].
    fn find(attributes: &[u8]) -> Result<Option<Self>, Malformed> {
        find_nest(attributes, Self::TLA)?
            .map(|nest| Self::decode(nest.payload))
            .transpose()
    }
}

trait Cell: Sized {
    /// What the payload is.
    const KIND: FieldKind;

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom>;
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed>;
}

impl Cell for bool {
    const KIND: FieldKind = FieldKind::Flag;

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.put_flag(nr, *self)
    }
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
        attribute.flag()
    }
}

impl Cell for u32 {
    const KIND: FieldKind = FieldKind::U32;

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.put_u32(nr, *self)
    }
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
        attribute.u32()
    }
}

impl Cell for u64 {
    const KIND: FieldKind = FieldKind::U64;

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.put_u64(nr, *self)
    }
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
        attribute.u64()
    }
}

/// A flag that the interface carries in four bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct WideFlag(bool);

impl Cell for WideFlag {
    const KIND: FieldKind = FieldKind::U32;

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.put_u32(nr, u32::from(self.0))
    }
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
        Ok(Self(attribute.u32()? != 0))
    }
}

impl From<bool> for WideFlag {
    fn from(flag: bool) -> Self {
        Self(flag)
    }
}

impl From<WideFlag> for bool {
    fn from(flag: WideFlag) -> Self {
        flag.0
    }
}

impl<const N: usize> Cell for Text<N> {
    const KIND: FieldKind = FieldKind::Text(N);

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.put_text(nr, self.as_str())
    }
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
        Self::new(attribute.text()?).ok_or(Malformed)
    }
}

/// Bytes of all history UUIDs.
const HISTORY_BYTES: usize = 256;

/// History UUIDs, youngest first; what a shorter attribute does not carry is 0. `None` without a disk.
type History = Option<[u64; 32]>;

impl Cell for History {
    const KIND: FieldKind = FieldKind::Bytes(HISTORY_BYTES);

    fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        let Some(uuids) = self else {
            return writer.put_bytes(nr, &[]);
        };
        let mut bytes = [0; HISTORY_BYTES];
        for (room, uuid) in bytes.chunks_exact_mut(8).zip(uuids) {
            room.copy_from_slice(&uuid.to_ne_bytes());
        }
        writer.put_bytes(nr, &bytes)
    }
    fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
        let mut uuids = [0; 32];
        if attribute.payload.is_empty() {
            return Ok(None);
        }
        if attribute.payload.len() > HISTORY_BYTES || attribute.payload.len() % 8 != 0 {
            return Err(Malformed);
        }
        for (uuid, bytes) in uuids.iter_mut().zip(attribute.payload.chunks_exact(8)) {
            *uuid = u64::from_ne_bytes(<[u8; 8]>::try_from(bytes).map_err(|_| Malformed)?);
        }
        Ok(Some(uuids))
    }
}

macro_rules! state_cell {
    ($($name:ident),+) => {$(
        impl Cell for $name {
            const KIND: FieldKind = FieldKind::State($name::TYPE_NAME);

            fn put(&self, nr: u16, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
                writer.put_u32(nr, self.number())
            }
            fn take(attribute: &Attribute<'_>) -> Result<Self, Malformed> {
                Self::from_number(attribute.u32()?).ok_or(Malformed)
            }
        }
    )+};
}
state_cell!(
    Role,
    DiskState,
    ConnectionState,
    ReplicationState,
    WriteOrdering,
    TimeoutType
);

macro_rules! record {
    ($(#[$doc:meta])* $name:ident in $tla:ident { $($(#[doc = $help:literal])+ $nr:literal $field:ident: $type:ty $(as $cell:ty)?),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[doc = $help])+ pub $field: $type,)+ }

        impl Record for $name {
            const TLA: Tla = Tla::$tla;
            const FIELDS: &'static [FieldSpec] = &[
                $( FieldSpec::new(
                    $nr,
                    stringify!($field),
                    record!(@kind $type $(, $cell)?),
                    concat!($($help),+),
                ), )+
            ];

            fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
                writer.nest(Self::TLA, |w| {
                    $( record!(@put self.$field, $nr, w $(, $cell)?)?; )+
                    Ok(())
                })
            }

            fn decode(nest: &[u8]) -> Result<Self, Malformed> {
                let mut record = Self::default();
                let mut seen = Seen::default();
                for attribute in Attributes::new(nest) {
                    let attribute = attribute?;
                    seen.note(attribute.nr)?;
                    match attribute.nr {
                        $( $nr => record.$field = record!(@take attribute $(, $cell)?), )+
                        _ => {}
                    }
                }
                Ok(record)
            }
        }
    };
    (@kind $type:ty) => { <$type as Cell>::KIND };
    (@kind $type:ty, $cell:ty) => { <$cell as Cell>::KIND };
    (@put $value:expr, $nr:literal, $w:ident) => { Cell::put(&$value, $nr, $w) };
    (@put $value:expr, $nr:literal, $w:ident, $cell:ty) => { Cell::put(&<$cell>::from($value), $nr, $w) };
    (@take $attribute:ident) => { Cell::take(&$attribute)? };
    (@take $attribute:ident, $cell:ty) => { <$cell as Cell>::take(&$attribute)?.into() };
}

record! {
    /// State of a resource.
    ResourceInfo in ResourceInfo {
        /// Own role.
        1 role: Role,
        /// I/O suspended by the administrator.
        2 suspended_user: bool,
        /// I/O suspended because no data is accessible.
        3 suspended_no_data: bool,
        /// I/O suspended until the peer is fenced.
        4 suspended_fencing: bool,
        /// I/O suspended for lack of quorum.
        5 suspended_quorum: bool,
        /// All I/O of the remaining openers fails after a forced demotion.
        6 fail_io: bool,
    }
}
record! {
    /// State of a device.
    DeviceInfo in DeviceInfo {
        /// State of the local disk.
        1 disk_state: DiskState,
        /// Has no disk on purpose.
        2 intentional_diskless: bool,
        /// Has quorum; always yes while quorum is off.
        3 has_quorum: bool,
        /// Somebody has the device open.
        5 is_open: bool,
        /// Path of the backing device; empty without one.
        4 backing_dev_path: Text<128>,
    }
}
record! {
    /// State of a connection.
    ConnectionInfo in ConnectionInfo {
        /// State of the connection.
        1 connection_state: ConnectionState,
        /// Role of the peer; Unknown while not connected.
        2 peer_role: Role,
    }
}
record! {
    /// State of a peer device.
    PeerDeviceInfo in PeerDeviceInfo {
        /// Replication or resync.
        1 replication_state: ReplicationState,
        /// State of the peer's disk.
        2 peer_disk_state: DiskState,
        /// Resync paused by the local administrator.
        3 resync_suspended_user: bool as WideFlag,
        /// Resync paused by the peer.
        4 resync_suspended_peer: bool as WideFlag,
        /// Resync waits for another one.
        5 resync_suspended_dependency: bool as WideFlag,
        /// The peer has no disk on purpose.
        6 peer_intentional_diskless: bool,
        /// Resync waits because enough others run.
        7 resync_suspended_max_parallel: bool as WideFlag,
    }
}
record! {
    /// Figures of a resource.
    ResourceStatistics in ResourceStatistics {
        /// How dependent writes are ordered.
        1 write_ordering: WriteOrdering,
    }
}
record! {
    /// Figures of a device.
    DeviceStatistics in DeviceStatistics {
        /// Size of the device.
        1 size: u64,
        /// Read from the local disk.
        2 read: u64,
        /// Written to the local disk.
        3 written: u64,
        /// Activity-log transactions.
        4 al_writes: u64,
        /// Bitmap writes.
        5 bm_writes: u64,
        /// Application requests that are not finished.
        6 upper_pending: u32,
        /// Requests to the local disk that are not finished.
        7 lower_pending: u32,
        /// Application requests are held back.
        8 upper_blocked: bool,
        /// The local disk is congested.
        9 lower_blocked: bool,
        /// The activity log is not updated, because everything is out of sync anyway.
        10 al_suspended: bool,
        /// UUID of the data the applications see.
        11 exposed_data_uuid: u64,
        /// Current UUID of the local disk.
        12 current_uuid: u64,
        /// Metadata flags, bits of disk-flags.
        13 disk_flags: u32,
        /// History UUIDs, youngest first; `None` without a disk.
        14 history_uuids: History,
    }
}
record! {
    /// Figures of a connection.
    ConnectionStatistics in ConnectionStatistics {
        /// The send queue is congested.
        1 congested: bool,
        /// Application data sent and not acknowledged.
        2 ap_in_flight: u64,
        /// Resync data sent and not acknowledged.
        3 rs_in_flight: u64,
    }
}
record! {
    /// Figures of a peer device.
    PeerDeviceStatistics in PeerDeviceStatistics {
        /// Received from the peer.
        1 received: u64,
        /// Sent to the peer.
        2 sent: u64,
        /// Requests the peer has not answered.
        3 pending: u32,
        /// Requests of the peer that are not answered.
        4 unacked: u32,
        /// Out of sync.
        5 out_of_sync: u64,
        /// Failed during this resync.
        6 resync_failed: u64,
        /// Bitmap UUID.
        7 bitmap_uuid: u64,
        /// Metadata flags of the peer, bits of peer-flags.
        9 flags: u32,
        /// Size of this resync or verify; 0: no details.
        10 rs_total: u64,
        /// First sector of the verify.
        11 ov_start_sector: u64,
        /// Sector the verify stops at.
        12 ov_stop_sector: u64,
        /// Where the verify is.
        13 ov_position: u64,
        /// What the verify has left to do.
        14 ov_left: u64,
        /// What the verify skipped.
        15 ov_skipped: u64,
        /// Blocks a resync by checksums found equal.
        16 rs_same_csum: u64,
        /// Time since the start.
        17 rs_dt_start_ms: u64,
        /// Time spent paused.
        18 rs_paused_ms: u64,
        /// Time since the oldest mark but one.
        19 rs_dt0_ms: u64,
        /// Done since the oldest mark but one.
        20 rs_db0_sectors: u64,
        /// Time since the newest mark.
        21 rs_dt1_ms: u64,
        /// Done since the newest mark.
        22 rs_db1_sectors: u64,
        /// Rate the controller wants, in KiB/s.
        23 rs_c_sync_rate: u32,
        /// Flags of the peer's UUIDs.
        24 uuid_flags: u64,
    }
}
record! {
    /// State of a path.
    PathInfo in PathInfo {
        /// The connection uses it.
        1 established: bool,
    }
}
record! {
    /// Call of a helper program.
    HelperInfo in Helper {
        /// Handler.
        1 name: Text<32>,
        /// Wait status, i.e. exit code times 256.
        2 status: u32,
    }
}
record! {
    /// Answer to GET_TIMEOUT_TYPE.
    TimeoutParams in TimeoutParms {
        /// Which limit applies.
        1 timeout_type: TimeoutType,
    }
}
record! {
    /// New name of a resource.
    RenameResourceInfo in RenameResourceInfo {
        /// New name.
        1 new_name: Text<128>,
    }
}

const CONTINUES: u32 = 0x8000;

/// Kind of a notification, and whether its group goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotificationHeader {
    /// What happened.
    pub kind: NotificationKind,
    /// More notifications of the same change follow.
    pub continues: bool,
}

impl Record for NotificationHeader {
    const TLA: Tla = Tla::NotificationHeader;
    const FIELDS: &'static [FieldSpec] = fields_of(Tla::NotificationHeader);

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        let more = if self.continues { CONTINUES } else { 0 };
        writer.nest(Self::TLA, |w| w.put_u32(1, self.kind.number() | more))
    }

    fn decode(nest: &[u8]) -> Result<Self, Malformed> {
        let mut header = Self::default();
        let mut seen = Seen::default();
        for attribute in Attributes::new(nest) {
            let attribute = attribute?;
            seen.note(attribute.nr)?;
            if attribute.nr == 1 {
                let number = attribute.u32()?;
                header.continues = number & CONTINUES != 0;
                header.kind =
                    NotificationKind::from_number(number & !CONTINUES).ok_or(Malformed)?;
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_states_and_wrong_sizes_are_refused() {
        let mut buffer = [0; 64];
        for (nr, value) in [(1, 99), (2, 10)] {
            let mut writer = Writer::new(&mut buffer);
            writer.put_u32(nr, value).unwrap();
            assert_eq!(PeerDeviceInfo::decode(writer.bytes()), Err(Malformed));
        }
        let mut writer = Writer::new(&mut buffer);
        writer.put_flag(1, true).unwrap();
        assert_eq!(ResourceInfo::decode(writer.bytes()), Err(Malformed));
        let mut writer = Writer::new(&mut buffer);
        writer.put_u32(1, 2).unwrap();
        writer.put_u32(1, 2).unwrap();
        assert_eq!(ResourceInfo::decode(writer.bytes()), Err(Malformed));
    }

    #[test]
    fn unknown_attributes_are_ignored_and_absent_ones_default() {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        writer.put_u32(60, 1).unwrap();
        writer.put_u32(900, 1).unwrap();
        writer.put_u32(900, 1).unwrap();
        assert_eq!(
            ResourceInfo::decode(writer.bytes()),
            Ok(ResourceInfo::default())
        );
    }

    #[test]
    fn a_header_carries_the_continuation() {
        let header = NotificationHeader {
            kind: NotificationKind::Rename,
            continues: true,
        };
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        header.encode(&mut writer).unwrap();
        assert_eq!(NotificationHeader::find(writer.bytes()), Ok(Some(header)));
    }
}
