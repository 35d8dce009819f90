// SPDX-License-Identifier: GPL-2.0-or-later
//! Online verify: the command, the comparison, and what is told about the result.

use crate::{
    admin::{refuse, state_code, Failure, Outcome},
    change::request_until_settled,
    crypto::Digester,
    device::Device,
    os::lock::Arc,
    resource::Resource,
};
use drbd_core::{
    config::NetOptions,
    engine::volume::{Finding, Todo},
    genl::RetCode,
    state::{Conn, Request},
    wire::alg_name::AlgName,
};
use kernel::prelude::*;

/// The verify-alg of the options, in the form of the wire. Context: any.
pub(crate) fn alg_of(net: &NetOptions) -> AlgName {
    AlgName::new(net.verify_alg.as_str().as_bytes()).unwrap_or(AlgName::EMPTY)
}

/// Judges a change of verify-alg while volumes are connected. Context: task.
pub(crate) fn check_change(
    resource: &Resource,
    old: &NetOptions,
    new: &NetOptions,
) -> Result<(), Failure> {
    if old.verify_alg == new.verify_alg {
        return Ok(());
    }
    let devices = resource.devices().unwrap_or_default();
    let runs = |conn: Conn| matches!(conn, Conn::VerifyS | Conn::VerifyT);
    if devices.iter().any(|device| runs(device.state().conn)) {
        return Err(refuse(RetCode::ERR_VERIFY_RUNNING, ""));
    }
    Ok(())
}

/// verify: compares the two copies; while one runs, changes where it stops.
pub(crate) fn start(
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    start: Option<u64>,
    stop: Option<u64>,
) -> Outcome {
    let _admin = resource.admin.lock();
    if !device.with(|inner, _, _| inner.volume.prepare_verify(start, stop)) {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "the peer's protocol version does not know of a stop sector",
        ));
    }
    let code = request_until_settled(device, Request::NONE.conn(Conn::VerifyS))?;
    if code.is_success() {
        Ok(state_code(code))
    } else {
        Err(refuse(state_code(code), ""))
    }
}

/// The worker's part. Context: task.
pub(crate) fn tend(device: &Device, todo: Todo, digester: &mut Digester) {
    if todo.has(Todo::COMPARE) {
        while compare(device, digester) {}
    }
    if todo.has(Todo::FINDING) {
        report(device);
    }
}

/// Compares the two halves of a block; false when there is none.
fn compare(device: &Device, digester: &mut Digester) -> bool {
    let (op, ok, slot, alg) = {
        let mut inner = device.inner.lock();
        let inner = &mut *inner;
        let Some((op, ok)) = inner.volume.next_compare() else {
            return false;
        };
        let slot = inner.slots.get_mut(op as usize).map(core::mem::take);
        (op, ok, slot.unwrap_or_default(), inner.volume.verify_alg())
    };
    let own = match (ok, &slot.payload) {
        (true, Some(data)) => digester.digest(alg, Some(data)).ok(),
        (true | false, _) => None,
    };
    let equal = match (&own, &slot.digest) {
        (Some(own), Some(theirs)) => *own == **theirs,
        (_, _) => false,
    };
    drop(slot);
    device.with(|inner, link, now| inner.volume.verify_compared(op, equal, link, now));
    true
}

fn report(device: &Device) {
    let minor = device.minor;
    loop {
        let finding = device.inner.lock().volume.take_finding();
        match finding {
            None => return,
            Some(Finding::OutOfSync(range)) => pr_err!(
                "drbd{}: verify: the copies differ at sector {}, {} sectors\n",
                minor,
                range.sector,
                range.sectors
            ),
            Some(Finding::More) => {
                pr_err!("drbd{}: verify: further ranges differ\n", minor)
            }
            Some(Finding::Ended {
                complete,
                differing_blocks,
                skipped_blocks,
                position,
            }) => pr_info!(
                "drbd{}: verify {} at sector {}: {} blocks of 4 KiB differ, {} could not be compared\n",
                minor,
                if complete { "finished" } else { "aborted" },
                position,
                differing_blocks,
                skipped_blocks
            ),
        }
    }
}
