// SPDX-License-Identifier: GPL-2.0-or-later
//! From the attributes of a message to a [`Request`].

use core::net::SocketAddr;

use super::super::address::decode_address;
use super::super::changes::{Changes, MALFORMED};
use super::super::command::Command;
use super::super::context::Context;
use super::super::name::check_name;
use super::super::ret_code::RetCode;
use super::super::tla::Tla;
use super::super::tlv::{find_nest, Attributes, Malformed, Seen};
use super::super::{FLAG_SET_DEFAULTS, MINOR_MAX, NODE_ID_END, NO_MINOR, VOLUME_MAX};
use super::{Peer, PeerDevice, Request};
use crate::config::{
    ConnectParams, DisconnectParams, ForgetPeerParams, InvalidateParams, InvalidatePeerParams,
    NetOptions, OptionGroup, Refusal, ResourceOptions, SetRoleParams, StartVerifyParams,
    SuspendIoParams,
};

const NET_CONF_NAME: u16 = 31;
const PATH_MY_ADDR: u16 = 1;
const PATH_PEER_ADDR: u16 = 2;
const RENAME_NEW_NAME: u16 = 1;

const fn invalid(text: &'static str) -> Refusal {
    Refusal::new(RetCode::ERR_INVALID_REQUEST, text)
}

/// What a request is made of while it is decoded.
struct Parts<'a> {
    context: Context<'a>,
    minor: u32,
    set_defaults: bool,
    attributes: &'a [u8],
}

impl<'a> Parts<'a> {
    fn resource(&self) -> Result<&'a str, Refusal> {
        self.context
            .resource
            .ok_or(invalid("resource name missing"))
    }

    fn minor(&self) -> Result<u32, Refusal> {
        if self.minor == NO_MINOR {
            return Err(Refusal::new(RetCode::ERR_MINOR_INVALID, "minor missing"));
        }
        Ok(self.minor)
    }

    fn peer(&self) -> Result<Peer<'a>, Refusal> {
        let resource = self.resource()?;
        let node_id = self
            .context
            .peer_node_id
            .ok_or(invalid("peer node id missing"))?;
        if node_id >= NODE_ID_END {
            return Err(invalid("peer node id out of range"));
        }
        Ok(Peer { resource, node_id })
    }

    fn peer_device(&self) -> Result<PeerDevice<'a>, Refusal> {
        let peer = self.peer()?;
        let volume = self.context.volume.ok_or(invalid("volume missing"))?;
        Ok(PeerDevice { peer, volume })
    }

    fn params<G: OptionGroup>(&self) -> Result<G, Refusal> {
        self.create::<G>()?.create()
    }

    fn create<G: OptionGroup>(&self) -> Result<Changes<'a, G>, Refusal> {
        let changes = Changes::for_create(find_nest(self.attributes, G::TLA)?)?;
        Ok(changes)
    }

    fn change<G: OptionGroup>(&self) -> Result<Changes<'a, G>, Refusal> {
        Changes::for_change(find_nest(self.attributes, G::TLA)?, self.set_defaults)
    }

    fn force(&self) -> Result<bool, Refusal> {
        Ok(self.params::<SetRoleParams>()?.force)
    }

    fn path(&self) -> Result<(SocketAddr, SocketAddr), Refusal> {
        let missing = Refusal::new(RetCode::ERR_MANDATORY_TAG, "required attribute missing");
        let nest = find_nest(self.attributes, Tla::PathParms)?.ok_or(missing)?;
        let family = |_: Malformed| invalid("only ipv4 and ipv6 addresses are supported");
        let (mut my_addr, mut peer_addr) = (None, None);
        let mut seen = Seen::default();
        for attribute in Attributes::new(nest.payload) {
            let attribute = attribute?;
            seen.note(attribute.nr)?;
            match attribute.nr {
                PATH_MY_ADDR => my_addr = Some(decode_address(attribute.payload).map_err(family)?),
                PATH_PEER_ADDR => {
                    peer_addr = Some(decode_address(attribute.payload).map_err(family)?)
                }
                _ => {}
            }
        }
        Ok((my_addr.ok_or(missing)?, peer_addr.ok_or(missing)?))
    }

    fn new_name(&self) -> Result<&'a str, Refusal> {
        let missing = Refusal::new(RetCode::ERR_MANDATORY_TAG, "name missing");
        let nest = find_nest(self.attributes, Tla::RenameResourceParms)?.ok_or(missing)?;
        let mut name = None;
        for attribute in Attributes::new(nest.payload) {
            let attribute = attribute?;
            if attribute.nr == RENAME_NEW_NAME && name.replace(attribute.text()?).is_some() {
                return Err(MALFORMED);
            }
        }
        name.ok_or(missing)
    }
}

/// Longest name of a resource.
const NAME_BYTES_MAX: usize = 127;

impl<'a> Request<'a> {
    /// Decodes a request. `minor` and `flags` come from the family's header, `attributes` is what follows it;
    /// `strict_names` is the module parameter of that name.
    ///
    /// Attributes may come in any order and unknown ones are ignored; repeated ones and wrong sizes are refused.
    ///
    /// # Errors
    ///
    /// Code and text of the reply.
    pub fn decode(
        command: Command,
        minor: u32,
        flags: u32,
        attributes: &'a [u8],
        strict_names: bool,
    ) -> Result<Self, Refusal> {
        check_top_level(attributes)?;
        let context = Context::find(attributes)?;
        if context.peer_node_id.is_some() && context.resource.is_none() {
            return Err(invalid("peer node id without resource"));
        }
        let parts = Parts {
            context,
            minor,
            set_defaults: flags & FLAG_SET_DEFAULTS != 0,
            attributes,
        };
        let resource = context.resource;
        Ok(match command {
            Command::NewResource => new_resource(&parts, strict_names)?,
            Command::DelResource => Self::DelResource {
                resource: parts.resource()?,
            },
            Command::ResourceOpts => Self::ResourceOptions {
                resource: parts.resource()?,
                options: parts.change()?,
            },
            Command::RenameResource => rename(&parts, strict_names)?,
            Command::Primary => Self::Primary {
                resource: parts.resource()?,
                force: parts.force()?,
            },
            Command::Secondary => Self::Secondary {
                resource: parts.resource()?,
                force: parts.force()?,
            },
            Command::Down => Self::Down {
                resource: parts.resource()?,
            },
            Command::ForgetPeer => forget_peer(&parts)?,
            Command::NewMinor => new_minor(&parts)?,
            Command::DelMinor => Self::DelMinor {
                minor: parts.minor()?,
            },
            Command::Attach => Self::Attach {
                minor: parts.minor()?,
                options: parts.create()?,
            },
            Command::Detach => Self::Detach {
                minor: parts.minor()?,
                params: parts.params()?,
            },
            Command::ChgDiskOpts => Self::DiskOptions {
                minor: parts.minor()?,
                options: parts.change()?,
            },
            Command::Resize => Self::Resize {
                minor: parts.minor()?,
                params: parts.params()?,
            },
            Command::NewCUuid => Self::NewCurrentUuid {
                minor: parts.minor()?,
                params: parts.params()?,
            },
            Command::Invalidate => invalidate(&parts)?,
            Command::SuspendIo => {
                let freeze = parts.params::<SuspendIoParams>()?.bdev_freeze;
                Self::SuspendIo {
                    minor: parts.minor()?,
                    freeze,
                }
            }
            Command::ResumeIo => Self::ResumeIo {
                minor: parts.minor()?,
            },
            Command::Outdate => Self::Outdate {
                minor: parts.minor()?,
            },
            Command::NewPeer => new_peer(&parts, strict_names)?,
            Command::DelPeer => {
                let force = parts.params::<DisconnectParams>()?.force_disconnect;
                Self::DelPeer {
                    peer: parts.peer()?,
                    force,
                }
            }
            Command::NewPath => {
                let (my_addr, peer_addr) = parts.path()?;
                Self::NewPath {
                    peer: parts.peer()?,
                    my_addr,
                    peer_addr,
                }
            }
            Command::DelPath => {
                let (my_addr, peer_addr) = parts.path()?;
                Self::DelPath {
                    peer: parts.peer()?,
                    my_addr,
                    peer_addr,
                }
            }
            Command::Connect => Self::Connect {
                peer: parts.peer()?,
                params: parts.params::<ConnectParams>()?,
            },
            Command::Disconnect => {
                let force = parts.params::<DisconnectParams>()?.force_disconnect;
                Self::Disconnect {
                    peer: parts.peer()?,
                    force,
                }
            }
            Command::ChgNetOpts => Self::NetOptions {
                peer: parts.peer()?,
                options: parts.change()?,
            },
            Command::ChgPeerDeviceOpts => Self::PeerDeviceOptions {
                target: parts.peer_device()?,
                options: parts.change()?,
            },
            Command::StartOv => start_verify(&parts)?,
            Command::InvalPeer => {
                parts.params::<InvalidatePeerParams>()?;
                Self::InvalidateRemote {
                    target: parts.peer_device()?,
                }
            }
            Command::PauseSync => Self::PauseSync {
                target: parts.peer_device()?,
            },
            Command::ResumeSync => Self::ResumeSync {
                target: parts.peer_device()?,
            },
            Command::GetTimeoutType => Self::GetTimeoutType {
                target: parts.peer_device()?,
            },
            Command::GetResources => Self::GetResources,
            Command::GetDevices => Self::GetDevices { resource },
            Command::GetConnections => Self::GetConnections { resource },
            Command::GetPeerDevices => Self::GetPeerDevices { resource },
            Command::GetPaths => Self::GetPaths { resource },
            Command::GetInitialState => Self::GetInitialState { resource },
            Command::ResourceState
            | Command::DeviceState
            | Command::ConnectionState
            | Command::PeerDeviceState
            | Command::PathState
            | Command::Helper
            | Command::InitialStateDone => return Err(invalid("this is not a request")),
        })
    }
}

fn check_top_level(attributes: &[u8]) -> Result<(), Refusal> {
    let mut seen = Seen::default();
    for attribute in Attributes::new(attributes) {
        seen.note(attribute?.nr)?;
    }
    Ok(())
}

fn new_resource<'a>(parts: &Parts<'a>, strict_names: bool) -> Result<Request<'a>, Refusal> {
    let resource = parts.context.resource.unwrap_or("");
    check_name(resource, strict_names)?;
    let options = parts.create::<ResourceOptions>()?;
    // The table clamps numbers; a clamped node id would be another node.
    if number_given(parts, Tla::ResourceOpts, 4)?.is_some_and(|id| id >= NODE_ID_END) {
        return Err(invalid("node id out of range"));
    }
    Ok(Request::NewResource { resource, options })
}

fn rename<'a>(parts: &Parts<'a>, strict_names: bool) -> Result<Request<'a>, Refusal> {
    let resource = parts.resource()?;
    let new_name = parts.new_name()?;
    check_name(new_name, strict_names)?;
    if new_name.len() > NAME_BYTES_MAX {
        return Err(invalid("name too long"));
    }
    Ok(Request::RenameResource { resource, new_name })
}

fn forget_peer<'a>(parts: &Parts<'a>) -> Result<Request<'a>, Refusal> {
    let resource = parts.resource()?;
    let params = parts.params::<ForgetPeerParams>()?;
    let node_id = u32::try_from(params.forget_peer_node_id)
        .ok()
        .filter(|id| *id < NODE_ID_END)
        .ok_or(Refusal::new(RetCode::ERR_INVALID_PEER_NODE_ID, ""))?;
    Ok(Request::ForgetPeer { resource, node_id })
}

fn new_minor<'a>(parts: &Parts<'a>) -> Result<Request<'a>, Refusal> {
    let resource = parts.resource()?;
    let minor = parts.minor()?;
    if minor > MINOR_MAX {
        return Err(invalid("requested minor out of range"));
    }
    let volume = parts.context.volume.ok_or(invalid("volume missing"))?;
    if volume > VOLUME_MAX {
        return Err(invalid("requested volume id out of range"));
    }
    Ok(Request::NewMinor {
        resource,
        minor,
        volume,
        options: parts.create()?,
    })
}

fn invalidate<'a>(parts: &Parts<'a>) -> Result<Request<'a>, Refusal> {
    let minor = parts.minor()?;
    let params = parts.params::<InvalidateParams>()?;
    let from = match u32::try_from(params.sync_from_peer_node_id) {
        Ok(id) if id < NODE_ID_END => Some(id),
        Ok(_) => return Err(Refusal::new(RetCode::ERR_INVALID_PEER_NODE_ID, "")),
        Err(_) => None,
    };
    Ok(Request::Invalidate { minor, from })
}

fn new_peer<'a>(parts: &Parts<'a>, strict_names: bool) -> Result<Request<'a>, Refusal> {
    let peer = parts.peer()?;
    let options = parts.create::<NetOptions>()?;
    if !options.names(NET_CONF_NAME) {
        return Err(Refusal::new(
            RetCode::ERR_MANDATORY_TAG,
            "required attribute missing",
        ));
    }
    check_name(options.create()?.name.as_str(), strict_names)?;
    Ok(Request::NewPeer { peer, options })
}

fn start_verify<'a>(parts: &Parts<'a>) -> Result<Request<'a>, Refusal> {
    let target = parts.peer_device()?;
    let given = parts.create::<StartVerifyParams>()?;
    let params = given.create()?;
    Ok(Request::StartVerify {
        target,
        start_sector: given.names(1).then_some(params.ov_start_sector),
        stop_sector: given.names(2).then_some(params.ov_stop_sector),
    })
}

/// The number a request carries before the table clamps it.
fn number_given(parts: &Parts<'_>, tla: Tla, nr: u16) -> Result<Option<u32>, Malformed> {
    let Some(nest) = find_nest(parts.attributes, tla)? else {
        return Ok(None);
    };
    for attribute in Attributes::new(nest.payload) {
        let attribute = attribute?;
        if attribute.nr == nr {
            return Ok(Some(attribute.u32()?));
        }
    }
    Ok(None)
}
