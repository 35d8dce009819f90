// SPDX-License-Identifier: GPL-2.0-or-later
//! Asking for state changes of single volumes, and waiting for the answer.

use crate::{
    admin::{refuse, state_code, Failure, Outcome, OK},
    device::Device,
    os::{
        lock::Arc,
        params,
        timer::{now_ms, sleep_ms},
    },
    resource::Resource,
};
use drbd_core::{
    engine::volume::Begin,
    genl::RetCode,
    state::{Conn, Disk, Request, Ss},
};

fn of_state(code: Ss) -> Outcome {
    if code.is_success() {
        Ok(state_code(code))
    } else {
        Err(refuse(state_code(code), ""))
    }
}

/// Asks for a state change of one volume, and the peer if need be, and waits for the result.
/// Context: a process of user space.
pub(crate) fn request_state(device: &Arc<Device>, request: Request) -> Result<Ss, Failure> {
    let interrupted = refuse(RetCode::ERR_INTR, "");
    loop {
        match device.with(|inner, link, now| inner.volume.request(request, link, now)) {
            Begin::Done(code) => return Ok(code),
            Begin::Busy => {
                device
                    .changed
                    .wait_killable(None, || !device.peek(|volume| volume.request_pending()))
                    .map_err(|_| interrupted)?;
            }
            Begin::Asked => {
                let mut outcome = None;
                let waited = device.changed.wait_killable(None, || {
                    outcome = outcome.or_else(|| device.inner.lock().volume.take_outcome());
                    outcome.is_some()
                });
                match (waited, outcome) {
                    (_, Some(outcome)) => return Ok(outcome.code),
                    (Ok(_) | Err(_), None) => {
                        device.with(|inner, _, _| inner.volume.abandon_request());
                        return Err(interrupted);
                    }
                }
            }
        }
    }
}

/// Like [`request_state`], repeated while the state is in transit, for at most ten seconds.
pub(crate) fn request_until_settled(device: &Arc<Device>, request: Request) -> Result<Ss, Failure> {
    let until = now_ms().saturating_add(10_000);
    loop {
        let code = request_state(device, request)?;
        let transient = matches!(code, Ss::InTransientState | Ss::ConcurrentStateChange);
        if !transient || now_ms() > until {
            return Ok(code);
        }
        sleep_ms(100);
    }
}

/// invalidate: this node's data is worth nothing.
pub(crate) fn invalidate(resource: &Arc<Resource>, device: &Arc<Device>) -> Outcome {
    let _admin = resource.admin.lock();
    if device.state().conn < Conn::Connected {
        let alone = device.with(|inner, link, now| inner.volume.invalidate_alone(link, now));
        return of_state(alone.err().unwrap_or(Ss::Success));
    }
    of_state(request_until_settled(
        device,
        Request::NONE.conn(Conn::StartingSyncT),
    )?)
}

/// invalidate-remote: the peer's data is worth nothing.
pub(crate) fn invalidate_peer(resource: &Arc<Resource>, device: &Arc<Device>) -> Outcome {
    let _admin = resource.admin.lock();
    of_state(request_until_settled(
        device,
        Request::NONE.conn(Conn::StartingSyncS),
    )?)
}

/// pause-sync and resume-sync.
pub(crate) fn pause_sync(resource: &Arc<Resource>, device: &Arc<Device>, on: bool) -> Outcome {
    let _admin = resource.admin.lock();
    let state = device.state();
    if state.user_isp == on {
        let paused = matches!(state.conn, Conn::PausedSyncS | Conn::PausedSyncT);
        let code = match on {
            true => RetCode::ERR_PAUSE_IS_SET,
            false if paused && state.aftr_isp => RetCode::ERR_PIC_AFTER_DEP,
            false if paused && state.peer_isp => RetCode::ERR_PIC_PEER_DEP,
            false => RetCode::ERR_PAUSE_IS_CLEAR,
        };
        return Err(refuse(code, ""));
    }
    let code = request_state(device, Request::NONE.user_isp(on))?;
    if code.is_success() {
        OK
    } else {
        Err(refuse(state_code(code), ""))
    }
}

/// outdate. A handler that asked for it tells the other node, which goes on alone: so a crash must
/// not take it back.
pub(crate) fn outdate(device: &Arc<Device>) -> Outcome {
    let code = request_state(device, Request::NONE.disk(Disk::Outdated))?;
    // A connection to a good disk makes this one good again at once. 8.4 calls that a success.
    let in_vain = code == Ss::NothingToDo && device.state().disk > Disk::Outdated;
    let refused = in_vain && params::api_version() != 1;
    let outdated = of_state(if refused { Ss::ConnectedOutdates } else { code })?;
    let version = device.peek(|volume| volume.md_version());
    device.metadata_event.signal();
    device
        .changed
        .wait_killable(None, || device.peek(|volume| volume.md_is_durable(version)))
        .map_err(|_| refuse(RetCode::ERR_INTR, ""))?;
    Ok(outdated)
}
