// SPDX-License-Identifier: GPL-2.0-or-later
//! Fencing: runs the handler and tells the volumes what it said (`drbd_core::engine::fencing`).

use crate::{
    change::request_state,
    connection::Connection,
    device::Device,
    helper,
    os::lock::{Arc, Atomic, Full, Relaxed},
    resource::Resource,
};
use drbd_core::{
    engine::fencing::{self, Call},
    state::{promote::Fenced, Disk, Fencing, Request, State},
};
use kernel::prelude::*;

/// The policy of the net options.
pub(crate) fn policy(connection: &Connection) -> Fencing {
    let number = connection.net().fencing_policy.number();
    u8::try_from(number)
        .ok()
        .and_then(Fencing::from_number)
        .unwrap_or(Fencing::DontCare)
}

/// Whether somebody is at fencing the peer of a connection, and what was agreed with it.
pub(crate) struct Fencer {
    /// 0: nobody. More than 1: to be looked at again afterwards.
    stage: Atomic<u32>,
    /// The peer agreed to outdate its disk when the connection ends.
    pub(crate) peer_gives_up: Atomic<bool>,
}

impl Fencer {
    /// Nobody. Context: any.
    pub(crate) fn new() -> Self {
        Fencer {
            stage: Atomic::new(0),
            peer_gives_up: Atomic::new(false),
        }
    }

    /// True for who may begin; else whoever is at it looks again.
    fn begin(&self) -> bool {
        self.stage.fetch_add(1, Full) == 0
    }

    /// True if somebody else wanted to begin.
    fn end(&self) -> bool {
        self.stage.xchg(0, Full) > 1
    }

    fn is_busy(&self) -> bool {
        self.stage.load(Relaxed) > 0
    }
}

fn states(devices: &KVec<Arc<Device>>) -> impl Iterator<Item = State> + '_ {
    devices.iter().map(|device| device.state())
}

/// A connection has ended: fences the peer if that is called for. Context: the connection's thread.
pub(crate) fn after_loss(connection: &Arc<Connection>) {
    let Some(resource) = connection.resource() else {
        return;
    };
    let devices = connection.devices();
    if connection.fencer.peer_gives_up.xchg(false, Full) {
        for device in devices.iter() {
            device.with(|inner, link, now| inner.volume.peer_outdated_itself(link, now));
        }
    }
    if !fencing::is_due(states(&devices)) {
        return;
    }
    // Nothing to run, nothing to wait for.
    match fencing::call(states(&devices), policy(connection)) {
        Call::Needless => return,
        Call::Unable => return give_up(&devices),
        Call::Handler => {}
    }
    if !connection.fencer.begin() {
        return; // whoever is at it looks again
    }
    let (owner, peer) = (resource.clone(), connection.clone());
    let job = move || loop {
        let _ = fence(&owner, &peer);
        let due = fencing::is_due(states(&peer.devices())) && !peer.is_established();
        let again = peer.fencer.end();
        peer.changed.wake_all();
        if !again || !due || !peer.fencer.begin() {
            return;
        }
    };
    if let Err(error) = resource.helpers.spawn(&resource.programs, c"drbd_fence", job) {
        pr_err!("{}: cannot fence the peer: {:?}\n", resource.name(), error);
        let _ = connection.fencer.end();
    }
}

fn give_up(devices: &KVec<Arc<Device>>) {
    for device in devices.iter() {
        device.with(|inner, link, now| inner.volume.fencing_is_impossible(link, now));
    }
}

/// Fences the peer for a promotion; true if it can do no harm. Context: a process of user space,
/// which does not hold the resource's lock: handlers run commands.
pub(crate) fn for_promotion(resource: &Arc<Resource>) -> bool {
    let Some(connection) = resource.first_connection() else {
        return false;
    };
    while !connection.fencer.begin() {
        let over = || !connection.fencer.is_busy();
        if connection.changed.wait_killable(None, over).is_err() {
            return false;
        }
        if fencing::is_fenced(states(&connection.devices())) {
            return true;
        }
    }
    let fenced = fence(resource, &connection);
    if connection.fencer.end() {
        after_loss(&connection);
    }
    connection.changed.wake_all();
    fenced
}

/// Runs the handler, if the policy asks for it, and applies its answer.
fn fence(resource: &Arc<Resource>, connection: &Arc<Connection>) -> bool {
    let devices = connection.devices();
    let policy = policy(connection);
    match fencing::call(states(&devices), policy) {
        Call::Needless => return true,
        Call::Unable => {
            give_up(&devices);
            return false;
        }
        Call::Handler => {}
    }
    let mut links = KVec::new();
    for device in devices.iter() {
        let count = device.peek(|volume| volume.links());
        if links.push(count, GFP_KERNEL).is_err() {
            return false;
        }
    }
    let code = helper::run(resource, None, Some(connection), "fence-peer");
    let name = resource.name();
    let request = match fencing::answer(states(&devices), code, policy) {
        Fenced::Ask(request) => request,
        Fenced::AskSurprised(request) => {
            pr_err!("{}: fence-peer shot the peer, but fencing is not resource-and-stonith\n", name);
            request
        }
        Fenced::Broken => {
            pr_err!("{}: fence-peer helper broken, returned {}: the peer is not fenced\n", name, code);
            return fencing::is_fenced(states(&devices));
        }
    };
    for (device, links) in devices.iter().zip(links.iter()) {
        let result =
            device.with(|inner, link, now| inner.volume.fence_answer(*links, request, link, now));
        match result {
            Ok(()) => {}
            Err(code) => pr_warn!(
                "drbd{}: the answer of fence-peer does not count: {}\n",
                device.minor,
                code.text()
            ),
        }
    }
    resource.notifier.resource_changed(resource);
    fencing::is_fenced(states(&devices))
}

/// The peer was brought up to date: runs `unfence-peer` when all volumes are. Context: a volume's
/// worker.
pub(crate) fn after_resync(resource: &Arc<Resource>) {
    let Some(connection) = resource.first_connection() else {
        return;
    };
    if !fencing::may_unfence(states(&connection.devices()), policy(&connection)) {
        return;
    }
    let owner = resource.clone();
    let job = move || {
        let _ = helper::run(&owner, None, Some(&connection), "unfence-peer");
    };
    if let Err(error) = resource.helpers.spawn(&resource.programs, c"drbd_unfence", job) {
        pr_err!("{}: cannot run unfence-peer: {:?}\n", resource.name(), error);
    }
}

/// Gives a volume the options that the rules about its state look at. Context: task.
pub(crate) fn update_context(resource: &Resource, device: &Device) {
    let connection = resource.first_connection();
    let fencing = connection.map_or(Fencing::DontCare, |connection| policy(&connection));
    let on_no_data = resource.options.lock().on_no_data.number();
    let on_no_data = u8::try_from(on_no_data)
        .ok()
        .and_then(drbd_core::state::OnNoData::from_number)
        .unwrap_or(drbd_core::state::OnNoData::IoError);
    device.with(|inner, _, _| {
        let context = inner.volume.context_mut();
        context.fencing = fencing;
        context.on_no_data = on_no_data;
    });
}

/// Both agreed that the peer gives up: it counts as outdated. Context: task.
pub(crate) fn outdate_self(devices: &KVec<Arc<Device>>) {
    for device in devices.iter() {
        let _ = request_state(device, Request::NONE.disk(Disk::Outdated));
    }
}
