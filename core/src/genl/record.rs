// SPDX-License-Identifier: GPL-2.0-or-later
//! Records of the dumps (GET_RESOURCES and friends): one object per message.

use core::net::SocketAddr;

use super::address::encode_address;
use super::changes::encode_group;
use super::context::Context;
use super::info::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, PathInfo, PeerDeviceInfo,
    PeerDeviceStatistics, Record, ResourceInfo, ResourceStatistics,
};
use super::tla::Tla;
use super::writer::{NoRoom, Writer};
use crate::config::{DeviceOptions, DiskOptions, NetOptions, PeerDeviceOptions, ResourceOptions};

/// Both ends of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathAddresses {
    /// Local end.
    pub my_addr: SocketAddr,
    /// Peer's end.
    pub peer_addr: SocketAddr,
}

/// A record of GET_RESOURCES. Header: minor -1.
#[derive(Clone, Copy, Debug)]
pub struct ResourceRecord<'a> {
    /// Resource name.
    pub context: Context<'a>,
    /// Options.
    pub options: &'a ResourceOptions,
    /// State.
    pub info: &'a ResourceInfo,
    /// Figures.
    pub statistics: &'a ResourceStatistics,
}

impl ResourceRecord<'_> {
    /// Writes the attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`], as for the other records.
    pub fn encode(&self, writer: &mut Writer<'_>, privileged: bool) -> Result<(), NoRoom> {
        self.context.encode(writer)?;
        encode_group(writer, self.options, privileged)?;
        self.info.encode(writer)?;
        self.statistics.encode(writer)
    }
}

/// A record of GET_DEVICES. Header: the minor.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRecord<'a> {
    /// Resource name and volume.
    pub context: Context<'a>,
    /// Options of the disk, while its state is above Failed.
    pub disk: Option<&'a DiskOptions>,
    /// Options of the device.
    pub options: &'a DeviceOptions,
    /// State.
    pub info: &'a DeviceInfo,
    /// Figures.
    pub statistics: &'a DeviceStatistics,
}

impl DeviceRecord<'_> {
    /// Writes the attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>, privileged: bool) -> Result<(), NoRoom> {
        self.context.encode(writer)?;
        if let Some(disk) = self.disk {
            encode_group(writer, disk, privileged)?;
        }
        encode_group(writer, self.options, privileged)?;
        self.info.encode(writer)?;
        self.statistics.encode(writer)
    }
}

/// A record of GET_CONNECTIONS. Header: minor -1.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRecord<'a> {
    /// Resource name, peer's node id, connection name.
    pub context: Context<'a>,
    /// Options.
    pub net: &'a NetOptions,
    /// Paths, in the order they were created.
    pub paths: &'a [PathAddresses],
    /// State.
    pub info: &'a ConnectionInfo,
    /// Figures.
    pub statistics: &'a ConnectionStatistics,
}

impl ConnectionRecord<'_> {
    /// Writes the attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>, privileged: bool) -> Result<(), NoRoom> {
        self.context.encode(writer)?;
        encode_group(writer, self.net, privileged)?;
        encode_paths(writer, self.paths)?;
        self.info.encode(writer)?;
        self.statistics.encode(writer)
    }
}

/// Writes PATH_PARMS of a connection: for every path its two ends.
pub(crate) fn encode_paths(writer: &mut Writer<'_>, paths: &[PathAddresses]) -> Result<(), NoRoom> {
    writer.plain_nest(Tla::PathParms, |w| {
        for path in paths {
            for (nr, address) in [(1, &path.my_addr), (2, &path.peer_addr)] {
                let (bytes, len) = encode_address(address);
                w.put_bytes_mandatory(nr, bytes.get(..len).unwrap_or(&[]))?;
            }
        }
        Ok(())
    })
}

/// A record of GET_PEER_DEVICES. Header: the minor.
#[derive(Clone, Copy, Debug)]
pub struct PeerDeviceRecord<'a> {
    /// Volume, resource name, peer's node id, connection name.
    pub context: Context<'a>,
    /// State.
    pub info: &'a PeerDeviceInfo,
    /// Figures.
    pub statistics: &'a PeerDeviceStatistics,
    /// Options.
    pub options: &'a PeerDeviceOptions,
}

impl PeerDeviceRecord<'_> {
    /// Writes the attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>, privileged: bool) -> Result<(), NoRoom> {
        self.context.encode(writer)?;
        self.info.encode(writer)?;
        self.statistics.encode(writer)?;
        encode_group(writer, self.options, privileged)
    }
}

/// A record of GET_PATHS. Header: minor -1.
#[derive(Clone, Copy, Debug)]
pub struct PathRecord<'a> {
    /// Resource name, peer's node id, connection name, both addresses.
    pub context: Context<'a>,
    /// State.
    pub info: &'a PathInfo,
}

impl PathRecord<'_> {
    /// Writes the attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.context.encode(writer)?;
        self.info.encode(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::NotificationKind;
    use super::super::{
        HelperInfo, Notification, NotificationHeader, NotifiedObject, RenameResourceInfo,
        RECORD_BYTES_MAX,
    };
    use super::*;
    use crate::config::{OptionGroup, OptionSpec, Text, Value, Wire};

    const LONG: &str = "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww";

    /// Bytes of a group whose strings are as long as they can be.
    fn longest<G: OptionGroup>(writer: &mut Writer<'_>) {
        let put = |w: &mut Writer<'_>, spec: &OptionSpec| match spec.kind {
            crate::config::Kind::Text { capacity, .. } => {
                let half = capacity.saturating_sub(1).min(LONG.len());
                w.put_option(spec, Value::Text(&LONG[..half]))?;
                // Two halves stand for a string of up to 255 bytes.
                if capacity > 128 {
                    w.put_option(spec, Value::Text(LONG))?;
                }
                Ok(())
            }
            _ => match spec.wire() {
                Wire::Flag => w.put_flag(spec.nr, true),
                Wire::U32 | Wire::S32 => w.put_u32(spec.nr, 1),
                Wire::U64 => w.put_u64(spec.nr, 1),
                Wire::Text => Ok(()),
            },
        };
        writer
            .nest(G::TLA, |w| {
                G::TABLE.iter().try_for_each(|spec| put(w, spec))
            })
            .unwrap();
    }

    #[test]
    fn the_largest_record_has_room() {
        let address = "[ffff::1]:65535".parse().unwrap();
        let context = Context {
            volume: Some(1),
            peer_node_id: Some(1),
            connection: Some(&LONG[..63]),
            my_addr: Some(address),
            peer_addr: Some(address),
            ..Context::resource(LONG)
        };
        let paths = [PathAddresses {
            my_addr: address,
            peer_addr: address,
        }; 8];
        let info = DeviceInfo {
            backing_dev_path: Text::new(LONG).unwrap(),
            ..DeviceInfo::default()
        };
        let statistics = DeviceStatistics {
            history_uuids: Some([1; 32]),
            ..DeviceStatistics::default()
        };
        let mut buffer = [0; RECORD_BYTES_MAX];
        let mut largest = 0;
        let mut measure = |fill: &dyn Fn(&mut Writer<'_>)| {
            let mut writer = Writer::new(&mut buffer);
            fill(&mut writer);
            largest = largest.max(writer.len());
        };
        measure(&|w| {
            context.encode(w).unwrap();
            longest::<ResourceOptions>(w);
            ResourceInfo::default().encode(w).unwrap();
            ResourceStatistics::default().encode(w).unwrap();
        });
        measure(&|w| {
            context.encode(w).unwrap();
            longest::<DiskOptions>(w);
            longest::<DeviceOptions>(w);
            info.encode(w).unwrap();
            statistics.encode(w).unwrap();
        });
        measure(&|w| {
            context.encode(w).unwrap();
            longest::<NetOptions>(w);
            encode_paths(w, &paths).unwrap();
            ConnectionInfo::default().encode(w).unwrap();
            ConnectionStatistics::default().encode(w).unwrap();
        });
        measure(&|w| {
            context.encode(w).unwrap();
            PeerDeviceInfo::default().encode(w).unwrap();
            PeerDeviceStatistics::default().encode(w).unwrap();
            longest::<PeerDeviceOptions>(w);
        });
        let helper = HelperInfo {
            name: Text::new(&LONG[..31]).unwrap(),
            status: 0,
        };
        let renamed = RenameResourceInfo {
            new_name: Text::new(LONG).unwrap(),
        };
        for object in [
            NotifiedObject::Device {
                info: Some(&info),
                statistics: &statistics,
            },
            NotifiedObject::Helper { info: &helper },
            NotifiedObject::Resource {
                info: Some(&ResourceInfo::default()),
                statistics: &ResourceStatistics::default(),
                renamed: Some(&renamed),
            },
        ] {
            let header = NotificationHeader {
                kind: NotificationKind::Change,
                continues: true,
            };
            measure(&|w| {
                Notification {
                    context,
                    header,
                    object,
                }
                .encode(w)
                .unwrap()
            });
        }
        // A dump record has to fit into one page together with the headers.
        assert!(largest > 1000 && largest < 3500, "{largest}");
    }
}
