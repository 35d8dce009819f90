// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands of API version 1: which objects they mean, and by which steps of version 2 they are carried out
//! (control-plane sections 1.3 and 6).

use super::{commands, v1_status};
use crate::{
    admin::{self, kernel_error, refuse, state_code, Failure},
    change,
    device::Device,
    netlink::facts,
    options,
    os::{
        genl::{Request as Raw, UserHdr},
        lock::Arc,
    },
    resource::{Registry, Resource},
};
use drbd_core::{
    config::{OptionGroup, Value},
    genl::{
        encode_reply,
        state::TimeoutType,
        v1::{self, DiskExtras, Names, Reason},
        Command, Context, RetCode, Writer, FLAG_SET_DEFAULTS, NO_MINOR,
    },
    state::{Conn, Ss},
};
use kernel::prelude::*;

/// Room for the attributes of a step.
const STEP_MAX: usize = 4096;
/// Number of the fencing policy among the options of a connection.
const FENCING: u16 = 30;

/// A step: an error is one of the system (the message has no meaning), a failure an answer.
type Step<T> = Result<core::result::Result<T, Failure>>;

/// Carries out a request of the 8.4 tools and writes the attributes of its reply. Context: a process of user space.
pub(super) fn run(
    registry: &Arc<Registry>,
    raw: &Raw<'_>,
    out: &mut [u8],
) -> Result<(UserHdr, usize)> {
    if raw.cmd == v1::GET_STATUS {
        return status(registry, raw, out);
    }
    let command = v1::command(raw.cmd)
        .filter(|command| !command.is_event() && !command.is_dump())
        .ok_or(EOPNOTSUPP)?;
    let mut timeout_type = None;
    let outcome = match Target::find(registry, command, raw) {
        Ok(target) => carry_out(registry, command, raw, &target, &mut timeout_type)?,
        Err(failure) => Err(failure),
    };
    let told = match outcome {
        Ok(code) => Ok(v1::code(code)),
        Err(failure) => Err(refuse(v1::code(failure.code), failure.text)),
    };
    commands::answer(raw, told, timeout_type, out)
}

/// The objects that a request names.
struct Target {
    resource: Option<Arc<Resource>>,
    device: Option<Arc<Device>>,
}

const fn invalid(text: &'static str) -> Failure {
    refuse(RetCode::ERR_INVALID_REQUEST, text)
}

impl Target {
    /// Control-plane section 1.3, steps 4 to 6.
    fn find(registry: &Arc<Registry>, command: Command, raw: &Raw<'_>) -> Result<Self, Failure> {
        let context = Context::find(raw.attrs).map_err(|_| {
            refuse(
                RetCode::ERR_MANDATORY_TAG,
                "malformed or repeated attribute",
            )
        })?;
        let named = context.resource.and_then(|name| registry.find(name));
        let by_minor = registry.find_minor(raw.hdr.minor);
        match command {
            Command::NewResource => Ok(Target::of(None, None)),
            Command::Disconnect | Command::ChgNetOpts => {
                if named.is_some() {
                    return Err(invalid("no resource name expected"));
                }
                if by_minor.is_some() {
                    return Err(invalid("no minor number expected"));
                }
                let (Some(my_addr), Some(peer_addr)) = (context.my_addr, context.peer_addr) else {
                    return Err(invalid("connection endpoint(s) missing"));
                };
                for resource in registry.resources().map_err(kernel_error)?.iter() {
                    let connections = facts::connections(resource).map_err(kernel_error)?;
                    let wanted = Some((my_addr, peer_addr));
                    if connections.iter().any(|found| facts::ends(found) == wanted) {
                        return Ok(Target::of(Some(resource.clone()), None));
                    }
                }
                Err(invalid("unknown connection"))
            }
            Command::NewMinor
            | Command::DelResource
            | Command::ResourceOpts
            | Command::Connect
            | Command::Down => match (named, context.resource) {
                (Some(resource), _) => Ok(Target::of(Some(resource), None)),
                (None, Some(_)) => Err(refuse(RetCode::ERR_RES_NOT_KNOWN, "unknown resource")),
                (None, None) => Err(invalid("unknown resource")),
            },
            _ => match by_minor {
                Some((resource, device)) => Ok(Target::of(Some(resource), Some(device))),
                None => Err(refuse(RetCode::ERR_MINOR_INVALID, "unknown minor")),
            },
        }
    }

    fn of(resource: Option<Arc<Resource>>, device: Option<Arc<Device>>) -> Self {
        Target { resource, device }
    }
}

/// Writes one step and carries it out. Errors: `EINVAL` for a message with what this dialect does not have.
fn step(
    registry: &Arc<Registry>,
    step: Command,
    raw: &Raw<'_>,
    target: &Target,
    extras: DiskExtras,
    timeout_type: &mut Option<TimeoutType>,
) -> Step<RetCode> {
    let context = Context::find(raw.attrs).unwrap_or_default();
    let own = target.resource.as_ref().map(|resource| resource.name());
    let volume = target.device.as_ref().map(|device| device.number);
    let names = Names {
        resource: own.or(context.resource),
        volume: volume.map(u32::from).or(context.volume),
        extras,
    };
    let mut room = KVec::from_elem(0u8, STEP_MAX, GFP_KERNEL)?;
    let mut writer = Writer::new(&mut room);
    match v1::write_step(step, &names, raw.attrs, &mut writer) {
        Ok(Ok(())) => {}
        Ok(Err(v1::Unsupported)) => return Err(EINVAL),
        Err(refusal) => return Ok(Err(commands::from_refusal(refusal))),
    }
    let attrs = writer.bytes();
    let message = Raw {
        cmd: step.number(),
        attrs,
        ..*raw
    };
    Ok(commands::execute(registry, step, &message, timeout_type))
}

fn carry_out(
    registry: &Arc<Registry>,
    command: Command,
    raw: &Raw<'_>,
    target: &Target,
    timeout_type: &mut Option<TimeoutType>,
) -> Step<RetCode> {
    let plain = DiskExtras::default();
    match (command, &target.resource, &target.device) {
        (Command::Connect, Some(resource), _) => connect(registry, raw, target, resource),
        (Command::Disconnect, ..) => {
            step(registry, Command::DelPeer, raw, target, plain, timeout_type)
        }
        (Command::DelResource, Some(resource), _) => {
            if let Err(failure) = forget_ended(resource) {
                return Ok(Err(failure));
            }
            step(registry, command, raw, target, plain, timeout_type)
        }
        (Command::Attach | Command::ChgDiskOpts, Some(resource), Some(device)) => {
            disk(registry, command, raw, target, resource, device)
        }
        (Command::InvalPeer, Some(resource), Some(device)) => {
            Ok(change::invalidate_peer(resource, device))
        }
        (Command::PauseSync, Some(resource), Some(device)) => {
            Ok(change::pause_sync(resource, device, true))
        }
        (Command::ResumeSync, Some(resource), Some(device)) => {
            Ok(change::pause_sync(resource, device, false))
        }
        (Command::StartOv | Command::GetTimeoutType, Some(resource), Some(_))
            if resource.first_connection().is_none() =>
        {
            if command == Command::StartOv {
                return Ok(Err(refuse(state_code(Ss::NeedConnection), "")));
            }
            *timeout_type = Some(TimeoutType::Default);
            Ok(admin::OK)
        }
        _ => step(registry, command, raw, target, plain, timeout_type),
    }
}

/// Removes a connection that ended: it has no configuration any more.
fn forget_ended(resource: &Arc<Resource>) -> Result<(), Failure> {
    match resource.first_connection() {
        Some(old) if old.cstate() == Conn::StandAlone => {
            admin::del_peer(resource, &old, true).map(drop)
        }
        Some(_) => Err(refuse(RetCode::ERR_NET_CONFIGURED, "")),
        None => Ok(()),
    }
}

/// The peer, its path and the options that the disks have for it, and then the connect itself. What fails leaves nothing.
fn connect(
    registry: &Arc<Registry>,
    raw: &Raw<'_>,
    target: &Target,
    resource: &Arc<Resource>,
) -> Step<RetCode> {
    let context = Context::find(raw.attrs).unwrap_or_default();
    if context.my_addr.is_none() || context.peer_addr.is_none() {
        return Ok(Err(invalid("connection endpoint(s) missing")));
    }
    if let Err(failure) = forget_ended(resource) {
        return Ok(Err(failure));
    }
    let devices = resource.devices()?;
    let mut extras = DiskExtras::default();
    for device in devices.iter() {
        extras.fencing = extras.fencing.max(device.extras.lock().fencing);
    }
    let mut unused = None;
    let mut outcome = step(
        registry,
        Command::NewPeer,
        raw,
        target,
        extras,
        &mut unused,
    )?;
    for next in [Command::NewPath, Command::Connect] {
        if outcome.is_ok() && next == Command::Connect {
            hand_over(resource, &devices);
        }
        if outcome.is_ok() {
            outcome = step(registry, next, raw, target, extras, &mut unused)?;
        }
    }
    if outcome.is_err() {
        let _ = forget_ended(resource);
    }
    Ok(outcome)
}

/// Gives the connection the options that the disks kept for it.
fn hand_over(resource: &Arc<Resource>, devices: &[Arc<Device>]) {
    let Some(connection) = resource.first_connection() else {
        return;
    };
    for device in devices {
        let rates = device.extras.lock().peer_device;
        // Without memory the rates are the defaults.
        let _ = options::set_peer_device_options(resource, &connection, device, rates);
    }
}

/// Attach and disk-options: a part of the options belongs to the connection.
fn disk(
    registry: &Arc<Registry>,
    command: Command,
    raw: &Raw<'_>,
    target: &Target,
    resource: &Arc<Resource>,
    device: &Arc<Device>,
) -> Step<RetCode> {
    let flags = u32::from_ne_bytes(raw.hdr.value.to_ne_bytes());
    let set_defaults = command == Command::Attach || flags & FLAG_SET_DEFAULTS != 0;
    let old = *device.extras.lock();
    let new = match old.changed_by(raw.attrs, set_defaults) {
        Ok(new) => new,
        Err(refusal) => return Ok(Err(commands::from_refusal(refusal))),
    };
    let mut unused = None;
    let outcome = step(registry, command, raw, target, old, &mut unused)?;
    if outcome.is_err() {
        return Ok(outcome);
    }
    *device.extras.lock() = new;
    let Some(connection) = resource.first_connection() else {
        return Ok(outcome);
    };
    let rates = options::set_peer_device_options(resource, &connection, device, new.peer_device);
    Ok(rates.and_then(|_| {
        let mut net = connection.net();
        if new.fencing == old.fencing {
            return outcome;
        }
        net.set(FENCING, Value::Int(i64::from(new.fencing)))
            .and_then(|()| net.check())
            .map_err(commands::from_refusal)?;
        options::set_net_options(resource, &connection, net).and(outcome)
    }))
}

/// GET_STATUS for one minor. Anybody may ask.
fn status(
    registry: &Arc<Registry>,
    raw: &Raw<'_>,
    out: &mut [u8],
) -> Result<(UserHdr, usize)> {
    let mut writer = Writer::new(out);
    let mut hdr = UserHdr {
        minor: raw.hdr.minor,
        value: RetCode::NO_ERROR.0,
    };
    match registry.find_minor(raw.hdr.minor) {
        Some((resource, device)) => {
            let mut room = KVec::from_elem(0u8, STEP_MAX, GFP_KERNEL)?;
            v1_status::write(
                &resource,
                Some(&device),
                Reason::GetStatus,
                raw.sys_admin,
                &mut room,
                &mut writer,
            )?;
        }
        None => {
            hdr.value = RetCode::ERR_MINOR_INVALID.0;
            let text = if hdr.minor == NO_MINOR {
                "minor missing"
            } else {
                "unknown minor"
            };
            encode_reply(&mut writer, raw.attrs, &[text]).map_err(|_| EMSGSIZE)?;
        }
    }
    Ok((hdr, writer.bytes().len()))
}
