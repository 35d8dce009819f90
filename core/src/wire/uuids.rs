// SPDX-License-Identifier: GPL-2.0-or-later
//! Generation UUIDs of a volume, P_UUIDS (wire-protocol section 5.7). The vocabulary is [`crate::uuid`]'s.

use super::cursor::{Reader, Writer};
use super::error::WireError;
use crate::uuid::{GenUuids, PeerUuids, UuidFlags};

/// Any numbers are UUIDs; a node without a disk sends none.
pub(super) fn decode_uuids(reader: &mut Reader<'_>) -> Result<PeerUuids, WireError> {
    Ok(PeerUuids {
        uuids: GenUuids {
            current: reader.u64()?,
            bitmap: reader.u64()?,
            history: [reader.u64()?, reader.u64()?],
        },
        dirty_bits: reader.u64()?,
        flags: UuidFlags(reader.u64()?),
    })
}

pub(super) fn encode_uuids(uuids: &PeerUuids, writer: &mut Writer<'_>) -> Result<(), WireError> {
    let GenUuids {
        current,
        bitmap,
        history: [history_0, history_1],
    } = uuids.uuids;
    for uuid in [current, bitmap, history_0, history_1] {
        writer.u64(uuid)?;
    }
    writer.u64(uuids.dirty_bits)?;
    writer.u64(uuids.flags.0)
}
