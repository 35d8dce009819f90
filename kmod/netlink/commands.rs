// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands: which object they mean, what is done, what is answered (drbd9-api sections 3 and 5).

use crate::{
    admin::{self, refuse, Failure, Outcome},
    attach, change,
    connection::Connection,
    device::Device,
    options,
    os::{
        genl::{Request as Raw, UserHdr},
        lock::Arc,
        params,
    },
    resize,
    resource::{Registry, Resource},
    role, suspend, verify,
};
use core::net::SocketAddr;
use drbd_core::{
    config::{OptionGroup, Refusal},
    genl::{
        encode_address, encode_reply, encode_timeout_type, state::TimeoutType, Changes, Command,
        Context, Peer, PeerDevice, Request, RetCode, Writer, ADDRESS_BYTES_MAX,
    },
    state::Disk,
};
use kernel::prelude::*;

/// Carries out a command and writes the attributes of its reply. Context: a process of user space.
pub(super) fn run(
    registry: &Arc<Registry>,
    command: Command,
    raw: &Raw<'_>,
    out: &mut [u8],
) -> Result<(UserHdr, usize)> {
    let mut timeout_type = None;
    let outcome = execute(registry, command, raw, &mut timeout_type);
    answer(raw, outcome, timeout_type, out)
}

/// Carries out a command. Context: as [`run`].
pub(super) fn execute(
    registry: &Arc<Registry>,
    command: Command,
    raw: &Raw<'_>,
    timeout_type: &mut Option<TimeoutType>,
) -> Outcome {
    let flags = u32::from_ne_bytes(raw.hdr.value.to_ne_bytes());
    let strict = params::strict_names();
    match Request::decode(command, raw.hdr.minor, flags, raw.attrs, strict) {
        Err(refusal) => Err(from_refusal(refusal)),
        Ok(request) => {
            check_context(registry, raw).and_then(|()| dispatch(registry, request, timeout_type))
        }
    }
}

/// Writes the attributes of a reply.
pub(super) fn answer(
    raw: &Raw<'_>,
    outcome: Outcome,
    timeout_type: Option<TimeoutType>,
    out: &mut [u8],
) -> Result<(UserHdr, usize)> {
    let (code, text) = match outcome {
        Ok(code) => (code, ""),
        Err(failure) => (failure.code, failure.text),
    };
    let mut writer = Writer::new(out);
    let texts = [text];
    encode_reply(&mut writer, raw.attrs, &texts).map_err(|_| EMSGSIZE)?;
    if let Some(kind) = timeout_type {
        encode_timeout_type(&mut writer, kind).map_err(|_| EMSGSIZE)?;
    }
    let hdr = UserHdr {
        minor: raw.hdr.minor,
        value: code.0,
    };
    Ok((hdr, writer.bytes().len()))
}

pub(super) fn from_refusal(refusal: Refusal) -> Failure {
    refuse(refusal.code, refusal.text)
}

/// What is named beside what the command needs has to fit together.
fn check_context(registry: &Arc<Registry>, raw: &Raw<'_>) -> Result<(), Failure> {
    let context = Context::find(raw.attrs).unwrap_or_default();
    let (Some(name), Some((owner, device))) =
        (context.resource, registry.find_minor(raw.hdr.minor))
    else {
        return Ok(());
    };
    if owner.name() != name {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "minor exists in different resource",
        ));
    }
    if context
        .volume
        .is_some_and(|volume| volume != u32::from(device.number))
    {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "minor exists as different volume",
        ));
    }
    Ok(())
}

/// What a peer device is made of.
type Target = (Arc<Resource>, Arc<Connection>, Arc<Device>);

fn resource(registry: &Arc<Registry>, name: &str) -> Result<Arc<Resource>, Failure> {
    registry
        .find(name)
        .ok_or(refuse(RetCode::ERR_RES_NOT_KNOWN, "unknown resource"))
}

fn minor(registry: &Arc<Registry>, minor: u32) -> Result<(Arc<Resource>, Arc<Device>), Failure> {
    registry
        .find_minor(minor)
        .ok_or(refuse(RetCode::ERR_MINOR_INVALID, "unknown minor"))
}

fn peer(
    registry: &Arc<Registry>,
    peer: Peer<'_>,
) -> Result<(Arc<Resource>, Arc<Connection>), Failure> {
    let resource = resource(registry, peer.resource)?;
    check_node_id(&resource, peer.node_id)?;
    let connection = resource
        .connection(peer.node_id)
        .ok_or(refuse(RetCode::ERR_INVALID_REQUEST, "unknown connection"))?;
    Ok((resource, connection))
}

fn check_node_id(resource: &Resource, peer_node_id: u32) -> Result<(), Failure> {
    if resource.node_id() == peer_node_id {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "peer node id cannot be my own node id",
        ));
    }
    Ok(())
}

fn peer_device(registry: &Arc<Registry>, target: PeerDevice<'_>) -> Result<Target, Failure> {
    let (resource, connection) = peer(registry, target.peer)?;
    let device = u16::try_from(target.volume)
        .ok()
        .and_then(|volume| resource.device(volume))
        .ok_or(refuse(RetCode::ERR_INVALID_REQUEST, "unknown volume"))?;
    Ok((resource, connection, device))
}

fn changed<G: OptionGroup>(changes: &Changes<'_, G>, old: &G) -> Result<G, Failure> {
    changes.apply(old).map_err(from_refusal)
}

fn created<G: OptionGroup>(changes: &Changes<'_, G>) -> Result<G, Failure> {
    changes.create().map_err(from_refusal)
}

fn missing(text: &'static str) -> Outcome {
    Err(refuse(RetCode::ERR_INVALID_REQUEST, text))
}

/// Carries a request out. What is about an object goes there at once: the frame of the other arms, with their
/// options, would lie below it on a stack of sixteen kilobytes.
#[inline(never)]
fn dispatch(
    registry: &Arc<Registry>,
    request: Request<'_>,
    timeout_type: &mut Option<TimeoutType>,
) -> Outcome {
    let on_resource_or_new = matches!(
        request,
        Request::NewResource { .. }
            | Request::DelResource { .. }
            | Request::ResourceOptions { .. }
            | Request::RenameResource { .. }
            | Request::Primary { .. }
            | Request::Secondary { .. }
            | Request::Down { .. }
            | Request::ForgetPeer { .. }
            | Request::NewMinor { .. }
            | Request::NewPeer { .. }
    );
    if on_resource_or_new {
        on_resource(registry, request)
    } else {
        on_object(registry, request, timeout_type)
    }
}

#[inline(never)]
fn on_resource(registry: &Arc<Registry>, request: Request<'_>) -> Outcome {
    match request {
        Request::NewResource {
            resource: name,
            options: changes,
        } => admin::new_resource(registry, name, created(&changes)?),
        Request::DelResource { resource: name } => {
            admin::del_resource(registry, &resource(registry, name)?)
        }
        Request::ResourceOptions {
            resource: name,
            options: changes,
        } => {
            let resource = resource(registry, name)?;
            let old = *resource.options.lock();
            options::set_resource_options(&resource, &changed(&changes, &old)?)
        }
        Request::RenameResource { .. } => missing("renaming a resource is not implemented"),
        Request::Primary {
            resource: name,
            force,
        } => role::set_role(&resource(registry, name)?, true, force),
        Request::Secondary { force: true, .. } => {
            missing("secondary --force is not implemented: stop the users of the device first")
        }
        Request::Secondary { resource: name, .. } => {
            role::set_role(&resource(registry, name)?, false, false)
        }
        Request::Down { resource: name } => {
            let resource = resource(registry, name)?;
            let down = admin::down(registry, &resource);
            if down.is_ok() {
                resource.programs.wait();
            }
            down
        }
        Request::ForgetPeer { .. } => {
            missing("forget-peer is not implemented: use drbdmeta while the volume is down")
        }
        Request::NewMinor {
            resource: name,
            minor,
            volume,
            options: changes,
        } => {
            let volume = u16::try_from(volume).unwrap_or(u16::MAX);
            let resource = resource(registry, name)?;
            admin::new_minor(registry, &resource, minor, volume, created(&changes)?)
        }
        Request::NewPeer {
            peer,
            options: changes,
        } => {
            let resource = resource(registry, peer.resource)?;
            check_node_id(&resource, peer.node_id)?;
            admin::new_peer(registry, &resource, peer.node_id, created(&changes)?)
        }
        _ => missing("this is not a command about a resource"),
    }
}

#[inline(never)]
fn on_object(
    registry: &Arc<Registry>,
    request: Request<'_>,
    timeout_type: &mut Option<TimeoutType>,
) -> Outcome {
    match request {
        Request::DelMinor { minor: number } => {
            let (resource, device) = minor(registry, number)?;
            admin::del_minor(registry, &resource, &device)
        }
        Request::Attach {
            minor: number,
            options: changes,
        } => {
            let (resource, device) = minor(registry, number)?;
            attach::attach(registry, &resource, &device, &created(&changes)?)
        }
        Request::Detach {
            minor: number,
            params,
        } => {
            let (resource, device) = minor(registry, number)?;
            attach::detach(&resource, &device, params.force_detach)
        }
        Request::DiskOptions {
            minor: number,
            options: changes,
        } => {
            let (resource, device) = minor(registry, number)?;
            let old = *device.disk_options.lock();
            let old = old.ok_or(refuse(RetCode::ERR_NO_DISK, ""))?;
            options::set_disk_options(registry, &resource, &device, &changed(&changes, &old)?)
        }
        Request::Invalidate { minor: number, .. } => {
            let (resource, device) = minor(registry, number)?;
            change::invalidate(&resource, &device)
        }
        Request::Outdate { minor: number } => change::outdate(&minor(registry, number)?.1),
        Request::Resize {
            minor: number,
            params,
        } => {
            let (resource, device) = minor(registry, number)?;
            resize::resize(&resource, &device, &params)
        }
        Request::NewCurrentUuid {
            minor: number,
            params,
        } => {
            let (resource, device) = minor(registry, number)?;
            resize::new_generation(&resource, &device, &params)
        }
        Request::SuspendIo {
            minor: number,
            freeze,
        } => suspend::suspend(&minor(registry, number)?.0, freeze),
        Request::ResumeIo { minor: number } => suspend::resume(&minor(registry, number)?.0),
        request => on_peer(registry, request, timeout_type),
    }
}

/// A `struct sockaddr` as user space gave it.
struct RawAddress([u8; ADDRESS_BYTES_MAX], usize);

impl RawAddress {
    fn of(address: &SocketAddr) -> Self {
        let (bytes, len) = encode_address(address);
        RawAddress(bytes, len)
    }

    fn bytes(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or(&[])
    }
}

#[inline(never)]
fn on_peer(
    registry: &Arc<Registry>,
    request: Request<'_>,
    timeout_type: &mut Option<TimeoutType>,
) -> Outcome {
    match request {
        Request::DelPeer { peer: name, force } => {
            let (resource, connection) = peer(registry, name)?;
            admin::del_peer(&resource, &connection, force)
        }
        Request::NewPath {
            peer: name,
            my_addr,
            peer_addr,
        } => {
            let (resource, connection) = peer(registry, name)?;
            let (local, remote) = (RawAddress::of(&my_addr), RawAddress::of(&peer_addr));
            admin::new_path(
                registry,
                &resource,
                &connection,
                local.bytes(),
                remote.bytes(),
            )
        }
        Request::DelPath {
            peer: name,
            my_addr,
            peer_addr,
        } => {
            let (resource, connection) = peer(registry, name)?;
            let (local, remote) = (RawAddress::of(&my_addr), RawAddress::of(&peer_addr));
            admin::del_path(&resource, &connection, local.bytes(), remote.bytes())
        }
        Request::Connect { peer: name, params } => {
            let (resource, connection) = peer(registry, name)?;
            admin::connect(
                &resource,
                &connection,
                params.discard_my_data,
                params.tentative,
            )
        }
        Request::Disconnect { peer: name, force } => {
            let (resource, connection) = peer(registry, name)?;
            admin::disconnect(&resource, &connection, force)
        }
        Request::NetOptions {
            peer: name,
            options: changes,
        } => {
            let (resource, connection) = peer(registry, name)?;
            let old = connection.net();
            options::set_net_options(&resource, &connection, changed(&changes, &old)?)
        }
        Request::PeerDeviceOptions {
            target,
            options: changes,
        } => {
            let (resource, connection, device) = peer_device(registry, target)?;
            let old = connection.peer_device_options(device.number);
            let new = changed(&changes, &old)?;
            options::set_peer_device_options(&resource, &connection, &device, new)
        }
        Request::StartVerify {
            target,
            start_sector,
            stop_sector,
        } => {
            let (resource, _, device) = peer_device(registry, target)?;
            verify::start(&resource, &device, start_sector, stop_sector)
        }
        Request::InvalidateRemote { target } => {
            let (resource, _, device) = peer_device(registry, target)?;
            change::invalidate_peer(&resource, &device)
        }
        Request::PauseSync { target } => {
            let (resource, _, device) = peer_device(registry, target)?;
            change::pause_sync(&resource, &device, true)
        }
        Request::ResumeSync { target } => {
            let (resource, _, device) = peer_device(registry, target)?;
            change::pause_sync(&resource, &device, false)
        }
        Request::GetTimeoutType { target } => {
            let (_, _, device) = peer_device(registry, target)?;
            *timeout_type = Some(if device.state().pdsk == Disk::Outdated {
                TimeoutType::PeerOutdated
            } else if device.peek(|volume| volume.degraded()) {
                TimeoutType::Degraded
            } else {
                TimeoutType::Default
            });
            admin::OK
        }
        _ => missing("this is not a command"),
    }
}
