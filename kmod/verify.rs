// SPDX-License-Identifier: GPL-2.0-or-later
//! Online verify: the command, and what is told about the result.

use crate::{
    admin::{refuse, state_code, Outcome},
    change::request_until_settled,
    device::Device,
    os::lock::Arc,
    resource::Resource,
};
use drbd_core::{
    engine::volume::Finding,
    genl::RetCode,
    state::{Conn, Request},
};
use kernel::prelude::*;

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

/// Tells what was found. Context: task.
pub(crate) fn report(device: &Device) {
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
