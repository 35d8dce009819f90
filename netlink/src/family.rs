// SPDX-License-Identifier: GPL-2.0-or-later
//! Finding the family: its number, version, commands and multicast group.

use std::time::Duration;

use drbd_core::genl::{v1, Command, FAMILY_NAME, FAMILY_VERSION, HEADER_BYTES, MULTICAST_GROUP};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload, NLM_F_REQUEST};
use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs, OpAttrs};
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::GenlMessage;

use crate::{Error, Transport};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Which of the two interfaces a driver has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// Generation 8.4, and this project's module with `api_version=1`.
    V1,
    /// Generation 9.
    #[default]
    V2,
}

impl Api {
    fn of_version(version: u32) -> Option<Self> {
        match u8::try_from(version).ok()? {
            v1::FAMILY_VERSION => Some(Self::V1),
            FAMILY_VERSION => Some(Self::V2),
            _ => None,
        }
    }
}

/// What the kernel says about the family `drbd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Message type of the family.
    pub id: u16,
    /// Multicast group `events`.
    pub events: u32,
    /// Interface that it announces.
    pub api: Api,
    commands: Vec<u8>,
}

impl Family {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// [`Error::NoFamily`] when the module is not loaded, [`Error::ApiMismatch`] when it speaks
    /// neither version.
    pub fn resolve(transport: &mut dyn Transport) -> Result<Self, Error> {
        let nlas = vec![GenlCtrlAttrs::FamilyName(FAMILY_NAME.into())];
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        header.sequence_number = 1;
        let payload = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas,
        });
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        transport.send(&bytes)?;
        let answer = transport.receive(TIMEOUT)?;
        match NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&answer)?.payload {
            NetlinkPayload::InnerMessage(message) => Self::from_attributes(&message.payload.nlas),
            NetlinkPayload::Error(error)
                if error.to_io().kind() == std::io::ErrorKind::NotFound =>
            {
                Err(Error::NoFamily)
            }
            NetlinkPayload::Error(error) => Err(Error::Refused(error.to_io())),
            other => Err(Error::Nonsense(format!("{other:?}"))),
        }
    }

    fn from_attributes(attributes: &[GenlCtrlAttrs]) -> Result<Self, Error> {
        let (mut id, mut version, mut header_bytes, mut events) = (None, 0, 0, None);
        let mut commands = Vec::new();
        for attribute in attributes {
            match attribute {
                GenlCtrlAttrs::FamilyId(number) => id = Some(*number),
                GenlCtrlAttrs::Version(number) => version = *number,
                GenlCtrlAttrs::HdrSize(size) => header_bytes = *size,
                GenlCtrlAttrs::Ops(ops) => {
                    commands.extend(
                        ops.iter()
                            .flatten()
                            .filter_map(|attribute| match attribute {
                                OpAttrs::Id(number) => u8::try_from(*number).ok(),
                                _ => None,
                            }),
                    );
                }
                GenlCtrlAttrs::McastGroups(groups) => {
                    events = groups.iter().find_map(|group| events_group(group))
                }
                _ => {}
            }
        }
        let known = Api::of_version(version);
        let Some(api) = known.filter(|_| usize::try_from(header_bytes) == Ok(HEADER_BYTES)) else {
            return Err(Error::ApiMismatch {
                version,
                header_bytes,
            });
        };
        let missing = |what: &str| Error::Nonsense(format!("the family has no {what}"));
        Ok(Self {
            id: id.ok_or_else(|| missing("id"))?,
            events: events.ok_or_else(|| missing("group"))?,
            api,
            commands,
        })
    }

    /// True when the kernel serves this command.
    pub fn serves(&self, command: Command) -> bool {
        self.commands.contains(&command.number())
    }
}

fn events_group(group: &[McastGrpAttrs]) -> Option<u32> {
    let named = group
        .iter()
        .any(|attribute| *attribute == McastGrpAttrs::Name(MULTICAST_GROUP.into()));
    group.iter().find_map(|attribute| match attribute {
        McastGrpAttrs::Id(id) if named => Some(*id),
        _ => None,
    })
}
