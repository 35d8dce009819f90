// SPDX-License-Identifier: GPL-2.0-or-later
//! Comparing blocks by their digests, for online verify and for a checksum-based resync, and
//! testing them for zeroes, for a thin one.

use crate::{
    admin::{refuse, Failure},
    crypto::Digester,
    device::Device,
    os::pages::Payload,
    resource::Resource,
};
use drbd_core::{config::NetOptions, genl::RetCode, state::Conn, wire::alg_name::AlgName};

/// The verify-alg of the options, in the form of the wire. Context: any.
pub(crate) fn verify_alg_of(net: &NetOptions) -> AlgName {
    AlgName::new(net.verify_alg.as_str().as_bytes()).unwrap_or(AlgName::EMPTY)
}

/// The csums-alg of the options, in the form of the wire. Context: any.
pub(crate) fn csums_alg_of(net: &NetOptions) -> AlgName {
    AlgName::new(net.csums_alg.as_str().as_bytes()).unwrap_or(AlgName::EMPTY)
}

/// Judges a change of verify-alg and csums-alg while they may be in use. Context: task.
pub(crate) fn check_change(
    resource: &Resource,
    old: &NetOptions,
    new: &NetOptions,
) -> Result<(), Failure> {
    let devices = resource.devices().unwrap_or_default();
    let runs = |conns: &[Conn]| {
        devices
            .iter()
            .any(|device| conns.contains(&device.state().conn))
    };
    if old.verify_alg != new.verify_alg && runs(&[Conn::VerifyS, Conn::VerifyT]) {
        return Err(refuse(RetCode::ERR_VERIFY_RUNNING, ""));
    }
    let resync = [
        Conn::SyncSource,
        Conn::SyncTarget,
        Conn::PausedSyncS,
        Conn::PausedSyncT,
    ];
    if old.csums_alg != new.csums_alg && runs(&resync) {
        return Err(refuse(
            RetCode::ERR_CSUMS_RESYNC_RUNNING,
            "csums-alg: change it when the resync is over",
        ));
    }
    Ok(())
}

/// Compares the two halves of a block; false when there is none. Context: task.
pub(crate) fn compare(device: &Device, digester: &mut Digester) -> bool {
    let (op, ok, mut slot, alg, tests) = {
        let mut inner = device.inner.lock();
        let inner = &mut *inner;
        let Some((op, ok)) = inner.volume.next_compare() else {
            return false;
        };
        let slot = inner.slots.get_mut(op as usize).map(core::mem::take);
        let alg = inner.volume.digest_alg(op);
        let tests = inner.volume.tests_for_zeroes(op);
        (op, ok, slot.unwrap_or_default(), alg, tests)
    };
    let zeroes = tests && slot.payload.as_ref().is_some_and(Payload::is_zero);
    let own = match (ok && !tests, &slot.payload) {
        (true, Some(data)) => digester.digest(alg, Some(data)).ok(),
        (true | false, _) => None,
    };
    let equal = match (&own, &slot.digest) {
        _ if tests => zeroes,
        (Some(own), Some(theirs)) => *own == **theirs,
        (_, _) => false,
    };
    device.with(|inner, link, now| {
        if inner.volume.sends_block(op) {
            inner.keep_payload(op, slot.payload.take());
        }
        inner.volume.compared(op, equal, link, now);
    });
    drop(slot);
    true
}
