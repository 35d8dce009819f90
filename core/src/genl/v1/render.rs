// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel tells, rewritten for the 8.4 tools.
//!
//! Most nests have the same numbers for what both versions have; what version 1 lacks is left out. Disk states are
//! numbered differently, and some options live elsewhere (control-plane.md section 2).

use core::net::SocketAddr;

use super::super::changes::encode_group;
use super::super::context::Context;
use super::super::tla::Tla;
use super::super::tlv::{find_nest, Attribute, Attributes};
use super::super::writer::{NoRoom, Writer};
use super::place::to_v1;
use super::DiskExtras;
use crate::config::{DiskOptions, NetOptions, PeerDeviceOptions, ResourceOptions};

/// Numbers in DISK_CONF that have no option in version 2, or one elsewhere.
const MAX_BIO_BVECS: u16 = 5;
const FENCING: u16 = 7;
/// Numbers in NET_CONF that are parameters of the connect in version 2.
const DISCARD_MY_DATA: u16 = 25;
const TENTATIVE: u16 = 28;
const UNPLUG_WATERMARK: u16 = 16;
const UNPLUG_WATERMARK_DEFAULT: u32 = 128;
/// History UUIDs come as 32 bytes: two, and room for two.
const HISTORY_UUIDS: u16 = 14;
const HISTORY_BYTES: usize = 32;
/// Disk states from here on have a number less than in version 2, which has one more of them.
const DETACHING: u32 = 2;

/// Room for the options of a peer device.
const EXTRAS_BYTES: usize = 256;

/// Rewrites a dump record or a notification of version 2.
///
/// `ends` are the addresses of the resource's connection, where the message is about it; `extras` what the disk of the
/// message's volume keeps for the connection.
///
/// # Errors
///
/// [`NoRoom`].
pub fn render(
    message: &[u8],
    ends: Option<(SocketAddr, SocketAddr)>,
    extras: &DiskExtras,
    writer: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    for nest in Attributes::new(message).flatten() {
        match Tla::from_number(nest.nr) {
            Some(Tla::CfgContext) => context(&nest, ends, writer)?,
            Some(Tla::ResourceOpts) => writer.nest(Tla::ResourceOpts, |w| {
                to_v1::<ResourceOptions>(&nest, Tla::ResourceOpts.number(), w)
            })?,
            Some(Tla::DiskConf) => disk_conf(&nest, extras, writer)?,
            Some(Tla::NetConf) => net_conf(&nest, writer)?,
            Some(Tla::ResourceInfo) => up_to(&nest, Tla::ResourceInfo, 4, None, writer)?,
            Some(Tla::DeviceInfo) => up_to(&nest, Tla::DeviceInfo, 1, Some(1), writer)?,
            Some(Tla::ConnectionInfo) => up_to(&nest, Tla::ConnectionInfo, 2, None, writer)?,
            Some(Tla::PeerDeviceInfo) => up_to(&nest, Tla::PeerDeviceInfo, 5, Some(2), writer)?,
            Some(Tla::ResourceStatistics) => {
                up_to(&nest, Tla::ResourceStatistics, 1, None, writer)?;
            }
            Some(Tla::DeviceStatistics) => up_to(&nest, Tla::DeviceStatistics, 14, None, writer)?,
            Some(Tla::ConnectionStatistics) => {
                up_to(&nest, Tla::ConnectionStatistics, 1, None, writer)?;
            }
            Some(Tla::PeerDeviceStatistics) => {
                up_to(&nest, Tla::PeerDeviceStatistics, 9, None, writer)?;
            }
            Some(Tla::NotificationHeader) => {
                up_to(&nest, Tla::NotificationHeader, 1, None, writer)?
            }
            Some(Tla::Helper) => up_to(&nest, Tla::Helper, 2, None, writer)?,
            // Devices of version 1 have no options; paths, renaming and peers are not there at all.
            _ => {}
        }
    }
    Ok(())
}

fn context(
    nest: &Attribute<'_>,
    ends: Option<(SocketAddr, SocketAddr)>,
    writer: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    let found = Context::decode(nest.payload).unwrap_or_default();
    // Only a message about the connection names its peer.
    let ends = ends.filter(|_| found.peer_node_id.is_some());
    let context = Context {
        volume: found.volume,
        resource: found.resource,
        my_addr: ends.map(|(my_addr, _)| my_addr),
        peer_addr: ends.map(|(_, peer_addr)| peer_addr),
        ..Context::default()
    };
    context.encode(writer)
}

/// Options of the disk, of the volume towards the peer, and one of the connection.
fn disk_conf(
    disk: &Attribute<'_>,
    extras: &DiskExtras,
    writer: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    let mut room = [0; EXTRAS_BYTES];
    let mut rates = Writer::new(&mut room);
    encode_group(&mut rates, &extras.peer_device, true)?;
    let rates = find_nest(rates.bytes(), Tla::PeerDeviceOpts).map_err(|_| NoRoom)?;
    writer.nest(Tla::DiskConf, |w| {
        let group = Tla::DiskConf.number();
        to_v1::<DiskOptions>(disk, group, w)?;
        w.put_u32(MAX_BIO_BVECS, 0)?;
        w.put_u32(FENCING, extras.fencing)?;
        match rates {
            Some(rates) => to_v1::<PeerDeviceOptions>(&rates, group, w),
            None => Ok(()),
        }
    })
}

fn net_conf(net: &Attribute<'_>, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
    writer.nest(Tla::NetConf, |w| {
        to_v1::<NetOptions>(net, Tla::NetConf.number(), w)?;
        w.put_u32(UNPLUG_WATERMARK, UNPLUG_WATERMARK_DEFAULT)?;
        w.put_flag(DISCARD_MY_DATA, false)?;
        w.put_flag(TENTATIVE, false)
    })
}

/// Copies the attributes up to number `last`; `disk` is the number of the one that is the state of a disk.
fn up_to(
    nest: &Attribute<'_>,
    tla: Tla,
    last: u16,
    disk: Option<u16>,
    writer: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    writer.nest(tla, |w| {
        for attribute in Attributes::new(nest.payload).flatten() {
            if attribute.nr > last {
                continue;
            }
            if disk == Some(attribute.nr) {
                let state = attribute.u32().map_err(|_| NoRoom)?;
                w.put_u32(attribute.nr, disk_state(state))?;
            } else if tla == Tla::DeviceStatistics && attribute.nr == HISTORY_UUIDS {
                let bytes = attribute.payload;
                w.put_bytes(attribute.nr, bytes.get(..HISTORY_BYTES).unwrap_or(bytes))?;
            } else {
                w.put_bytes(attribute.nr, attribute.payload)?;
            }
        }
        Ok(())
    })
}

/// A disk that is being let go of has failed, in the words of version 1.
const fn disk_state(state: u32) -> u32 {
    if state < DETACHING {
        state
    } else if state == DETACHING {
        DETACHING
    } else {
        state.saturating_sub(1)
    }
}
