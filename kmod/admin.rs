// SPDX-License-Identifier: GPL-2.0-or-later
//! Administrative commands on resources, volumes, connections and paths.
//!
//! drbd9-api section 5. Each takes the resource's `admin` lock. A command either does everything
//! or leaves things as they were; `down` says how far it came by what is left.

use crate::{
    attach,
    conf::Path,
    connection::Connection,
    crypto::Algorithms,
    device::Device,
    fence,
    os::{
        addr::SockAddr,
        lock::{Arc, Relaxed},
    },
    resource::{Registry, Resource},
    role,
    threads::Threads,
    watch,
};
use drbd_core::{
    config::{DeviceOptions, NetOptions, ResourceOptions},
    genl::RetCode,
    state::{
        promote::{after_disconnect_refusal, Disconnect, ATTEMPTS_MAX, DISCONNECT},
        Conn, Disk, Request, Role, Ss,
    },
    wire::packet::Packet,
};
use kernel::prelude::*;

/// Why a command failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// Code of the reply.
    pub(crate) code: RetCode,
    /// A sentence for the administrator; empty when the code says it all.
    pub(crate) text: &'static str,
}

/// Result of a command.
pub(crate) type Outcome = Result<RetCode, Failure>;

/// Done.
pub(crate) const OK: Outcome = Ok(RetCode::NO_ERROR);

/// A refusal.
pub(crate) const fn refuse(code: RetCode, text: &'static str) -> Failure {
    Failure { code, text }
}

/// Out of memory, or another error of the kernel.
pub(crate) fn kernel_error<E>(_: E) -> Failure {
    refuse(
        RetCode::ERR_NOMEM,
        "the kernel could not provide what is needed",
    )
}

/// The code of a state change.
pub(crate) fn state_code(code: Ss) -> RetCode {
    RetCode(code.number())
}

/// new-resource. An existing one is fine.
pub(crate) fn new_resource(
    registry: &Arc<Registry>,
    name: &str,
    options: ResourceOptions,
) -> Outcome {
    let _changes = registry.changes.lock();
    if registry.find(name).is_some() {
        return OK;
    }
    let resource = Resource::new(name, options, registry).map_err(kernel_error)?;
    crate::options::bind_cpus(&resource, &options)?;
    registry.add(resource.clone()).map_err(kernel_error)?;
    registry.notifier.resource_created(&resource);
    OK
}

/// A command that waited for another may find its resource gone.
fn still_there(registry: &Arc<Registry>, resource: &Arc<Resource>) -> Result<(), Failure> {
    if registry.has(resource) {
        Ok(())
    } else {
        Err(refuse(RetCode::ERR_RES_NOT_KNOWN, "unknown resource"))
    }
}

/// del-resource.
pub(crate) fn del_resource(registry: &Arc<Registry>, resource: &Arc<Resource>) -> Outcome {
    let _admin = resource.admin.lock();
    remove_resource(registry, resource)
}

fn remove_resource(registry: &Arc<Registry>, resource: &Arc<Resource>) -> Outcome {
    let _changes = registry.changes.lock();
    still_there(registry, resource)?;
    if resource.first_connection().is_some() {
        return Err(refuse(
            RetCode::ERR_NET_CONFIGURED,
            "the resource still has a connection",
        ));
    }
    if !resource.devices().map_err(kernel_error)?.is_empty() {
        return Err(refuse(
            RetCode::ERR_RES_IN_USE,
            "the resource still has volumes",
        ));
    }
    registry.remove(resource.name());
    registry.notifier.resource_destroyed(resource);
    OK
}

/// new-minor. The same minor for the same volume is fine.
pub(crate) fn new_minor(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    minor: u32,
    volume: u16,
    options: DeviceOptions,
) -> Outcome {
    let _admin = resource.admin.lock();
    let _changes = registry.changes.lock();
    still_there(registry, resource)?;
    if let Some((owner, device)) = registry.find_minor(minor) {
        if owner.name() == resource.name() && device.number == volume {
            return OK;
        }
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "minor exists as different volume",
        ));
    }
    if resource.device(volume).is_some() {
        return Err(refuse(RetCode::ERR_MINOR_OR_VOLUME_EXISTS, ""));
    }
    let device = Device::new(minor, volume, options).map_err(kernel_error)?;
    let threads = Threads::start(registry, resource, &device).map_err(kernel_error)?;
    *device.threads.lock() = Some(threads);
    if let Err(error) = device.publish() {
        pr_err!(
            "drbd{}: cannot create the block device: {:?}\n",
            minor,
            error
        );
        stop_device(&device);
        return Err(refuse(
            RetCode::ERR_MINOR_OR_VOLUME_EXISTS,
            "the block device could not be created",
        ));
    }
    if let Err(error) = resource.add_device(device.clone()) {
        stop_device(&device);
        return Err(kernel_error(error));
    }
    fence::update_context(resource, &device);
    registry.notifier.device_created(resource, &device);
    OK
}

/// Ends the threads and the block device of a minor.
fn stop_device(device: &Arc<Device>) {
    let threads = device.threads.lock().take();
    if let Some(threads) = threads {
        threads.stop();
    }
    crate::suspend::thaw_filesystem(device);
    let disk = device.disk.lock().take();
    drop(disk);
}

/// del-minor.
pub(crate) fn del_minor(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    device: &Arc<Device>,
) -> Outcome {
    let _admin = resource.admin.lock();
    remove_minor(registry, resource, device)
}

fn remove_minor(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    device: &Arc<Device>,
) -> Outcome {
    let state = device.state();
    if state.disk != Disk::Diskless || state.role == Role::Primary {
        return Err(refuse(
            RetCode::ERR_MINOR_CONFIGURED,
            "the volume has a disk, or is Primary: detach it and make it Secondary first",
        ));
    }
    watch::check_answered(device, RetCode::ERR_MINOR_CONFIGURED)?;
    resource.remove_device(device.number);
    stop_device(device);
    registry.notifier.device_destroyed(resource, device);
    OK
}

/// new-peer: a connection, StandAlone.
pub(crate) fn new_peer(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    peer_node_id: u32,
    net: NetOptions,
) -> Outcome {
    let _admin = resource.admin.lock();
    let _changes = registry.changes.lock();
    still_there(registry, resource)?;
    if resource.connection(peer_node_id).is_some() {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "a connection for this peer node id already exists",
        ));
    }
    if resource.first_connection().is_some() {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "this version replicates to one peer: a second connection is not possible",
        ));
    }
    let algorithms = Algorithms::of(&net)?;
    let connection =
        Connection::new(resource, peer_node_id, net, algorithms).map_err(kernel_error)?;
    resource
        .add_connection(connection.clone())
        .map_err(kernel_error)?;
    update_contexts(resource)?;
    registry.notifier.connection_created(resource, &connection);
    OK
}

/// Tells the volumes of options that their rules look at.
fn update_contexts(resource: &Arc<Resource>) -> Result<(), Failure> {
    for device in resource.devices().map_err(kernel_error)?.iter() {
        fence::update_context(resource, device);
    }
    Ok(())
}

/// del-peer.
pub(crate) fn del_peer(
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    force: bool,
) -> Outcome {
    let _admin = resource.admin.lock();
    remove_peer(resource, connection, force)
}

fn remove_peer(resource: &Arc<Resource>, connection: &Arc<Connection>, force: bool) -> Outcome {
    stop_connection(connection, force)?;
    resource.remove_connection(connection.peer_node_id);
    update_contexts(resource)?;
    resource.notifier.connection_destroyed(resource, connection);
    connection.detach_from_resource();
    OK
}

/// new-path.
pub(crate) fn new_path(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    local_raw: &[u8],
    peer_raw: &[u8],
) -> Outcome {
    let _admin = resource.admin.lock();
    let _changes = registry.changes.lock();
    still_there(registry, resource)?;
    let malformed = refuse(
        RetCode::ERR_INVALID_REQUEST,
        "an address that is neither IPv4 nor IPv6",
    );
    let local = SockAddr::from_sockaddr(local_raw).ok_or(malformed)?;
    let peer = SockAddr::from_sockaddr(peer_raw).ok_or(malformed)?;
    check_addresses(registry, resource, &local, &peer)?;
    let path = Path { local, peer };
    connection
        .conf
        .lock()
        .paths
        .push(path.clone(), GFP_KERNEL)
        .map_err(kernel_error)?;
    resource.notifier.path_created(resource, connection, &path);
    OK
}

/// Addresses have to be unique (drbd9-api section 5, NEW_PATH).
fn check_addresses(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    local: &SockAddr,
    peer: &SockAddr,
) -> Result<(), Failure> {
    for other in registry.resources().map_err(kernel_error)?.iter() {
        for connection in other.connections().map_err(kernel_error)?.iter() {
            for path in connection.conf.lock().paths.iter() {
                let (same_local, same_peer) = (path.local == *local, path.peer == *peer);
                if same_local && same_peer {
                    return Err(refuse(RetCode::ERR_LOCAL_AND_PEER_ADDR, ""));
                }
                if other.name() != resource.name() && same_local {
                    return Err(refuse(RetCode::ERR_LOCAL_ADDR, ""));
                }
                if other.name() != resource.name() && same_peer {
                    return Err(refuse(RetCode::ERR_PEER_ADDR, ""));
                }
            }
        }
    }
    Ok(())
}

/// del-path.
pub(crate) fn del_path(
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    local_raw: &[u8],
    peer_raw: &[u8],
) -> Outcome {
    let _admin = resource.admin.lock();
    let unknown = refuse(RetCode::ERR_INVALID_REQUEST, "no such path");
    let local = SockAddr::from_sockaddr(local_raw).ok_or(unknown)?;
    let peer = SockAddr::from_sockaddr(peer_raw).ok_or(unknown)?;
    let up = connection.cstate() != Conn::StandAlone;
    let removed = {
        let mut conf = connection.conf.lock();
        let at = conf
            .paths
            .iter()
            .position(|path| path.local == local && path.peer == peer)
            .ok_or(unknown)?;
        if up && conf.paths.len() == 1 {
            return Err(refuse(
                RetCode::ERR_INVALID_REQUEST,
                "Can not delete last path, use disconnect first!",
            ));
        }
        conf.paths.remove(at).map_err(|_| unknown)?
    };
    resource
        .notifier
        .path_destroyed(resource, connection, &removed);
    OK
}

/// connect: StandAlone to Unconnected; the rest happens by itself.
pub(crate) fn connect(
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    discard_my_data: bool,
    tentative: bool,
) -> Outcome {
    let _admin = resource.admin.lock();
    if connection.cstate() != Conn::StandAlone {
        return Err(refuse(RetCode::ERR_NET_CONFIGURED, ""));
    }
    if connection.conf.lock().paths.is_empty() {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "connection endpoint(s) missing",
        ));
    }
    if discard_my_data && resource.role() == Role::Primary {
        return Err(refuse(RetCode::ERR_DISCARD_IMPOSSIBLE, ""));
    }
    // The options were judged when they were set; a module may be gone since.
    let _ = Algorithms::of(&connection.net())?;
    connection
        .start(discard_my_data, tentative)
        .map_err(kernel_error)?;
    Ok(state_code(Ss::Success))
}

/// disconnect: to StandAlone, in agreement with the peer unless forced.
pub(crate) fn disconnect(
    resource: &Arc<Resource>,
    connection: &Arc<Connection>,
    force: bool,
) -> Outcome {
    let _admin = resource.admin.lock();
    stop_connection(connection, force)?;
    OK
}

fn stop_connection(connection: &Arc<Connection>, force: bool) -> Result<(), Failure> {
    if connection.cstate() == Conn::StandAlone {
        return Ok(());
    }
    let mut agreed = DISCONNECT;
    if connection.is_established() && !force {
        agreed = ask_to_disconnect(connection)?;
    }
    let peer_gives_up = agreed == DISCONNECT.pdsk(Disk::Outdated);
    connection
        .fencer
        .peer_gives_up
        .store(peer_gives_up, Relaxed);
    connection.stop("disconnect by the administrator");
    if agreed == DISCONNECT.disk(Disk::Outdated) {
        fence::outdate_self(&connection.devices());
    }
    Ok(())
}

/// Asks the peer to agree (replication-semantics section 11.5); what was agreed on. With a fencing
/// policy one of the two gives up its data.
fn ask_to_disconnect(connection: &Arc<Connection>) -> Result<Request, Failure> {
    let mut request = DISCONNECT;
    for _ in 0..ATTEMPTS_MAX {
        let Err(code) = ask_once(connection, request) else {
            return Ok(request);
        };
        request = match after_disconnect_refusal(request, code, connection.cstate()) {
            Disconnect::Try(next) => next,
            Disconnect::Enforce(_) | Disconnect::Done => return Ok(DISCONNECT),
            Disconnect::GiveUp => return Err(no_agreement(code)),
        };
    }
    Err(no_agreement(Ss::CwFailedByPeer))
}

fn no_agreement(code: Ss) -> Failure {
    let text = if code == Ss::CwFailedByPeer {
        "the peer does not agree to disconnect"
    } else {
        ""
    };
    refuse(state_code(code), text)
}

fn ask_once(connection: &Arc<Connection>, request: Request) -> Result<(), Ss> {
    for device in connection.devices().iter() {
        // Would this node be left without data it needs?
        let judged = device.peek(|volume| volume.judge(request));
        match judged {
            Ok(()) | Err(Ss::AlreadyStandAlone | Ss::IsDiskless | Ss::LowerThanOutdated) => {}
            Err(code) => return Err(code),
        }
    }
    let _ = connection.take_answer();
    if !connection
        .queues
        .control(0, Packet::ConnStChgReq(request))
    {
        return Ok(()); // just lost
    }
    let net = connection.net();
    let patience_ms = net
        .timeout
        .saturating_mul(100)
        .saturating_add(net.ping_timeo.saturating_mul(100));
    let mut answer = None;
    let _ = connection.changed.wait_killable(Some(patience_ms), || {
        answer = answer.or_else(|| connection.take_answer());
        answer.is_some() || !connection.is_established()
    });
    match answer {
        Some(code) if code < Ss::Success.number() => Err(Ss::CwFailedByPeer),
        Some(_) | None => Ok(()),
    }
}

/// down: everything of a resource goes.
pub(crate) fn down(registry: &Arc<Registry>, resource: &Arc<Resource>) -> Outcome {
    let _admin = resource.admin.lock();
    let devices = resource.devices().map_err(kernel_error)?;
    for device in devices.iter() {
        device.going_down.store(true, Relaxed);
    }
    let result = take_down(registry, resource);
    for device in devices.iter() {
        device.going_down.store(false, Relaxed);
    }
    result
}

fn take_down(registry: &Arc<Registry>, resource: &Arc<Resource>) -> Outcome {
    if resource.role() == Role::Primary {
        role::demote(resource).map_err(|failure| refuse(failure.code, "failed to demote"))?;
    }
    for connection in resource.connections().map_err(kernel_error)?.iter() {
        remove_peer(resource, connection, false)
            .or_else(|_| remove_peer(resource, connection, true))?;
    }
    for device in resource.devices().map_err(kernel_error)?.iter() {
        attach::detach_quietly(device)
            .map_err(|failure| refuse(failure.code, "failed to detach"))?;
        remove_minor(registry, resource, device)?;
    }
    remove_resource(registry, resource)
}
