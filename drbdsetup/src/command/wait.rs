// SPDX-License-Identifier: GPL-2.0-or-later
//! `wait-connect-*` and `wait-sync-*`.

use std::time::{Duration, Instant};

use drbd_core::genl::state::{ConnectionState, ReplicationState, TimeoutType};
use drbd_core::genl::{Command, Record, RetCode, TimeoutParams};
use drbd_netlink::{Client, Connection, EventStream, PeerDevice, RequestMessage};

use super::Asked;
use crate::cli::{Place, Wait};
use crate::{exit, Failure};

/// The state is looked at again at least this often, whatever events say.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Limits in seconds; 0 waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    ordinary: u32,
    degraded: u32,
    outdated: u32,
}

impl Limits {
    /// The two special limits are never longer than the ordinary one.
    fn new(ordinary: u32, degraded: u32, outdated: u32) -> Self {
        let capped = |limit: u32| {
            if ordinary != 0 && (limit == 0 || limit > ordinary) {
                ordinary
            } else {
                limit
            }
        };
        Self {
            ordinary,
            degraded: capped(degraded),
            outdated: capped(outdated),
        }
    }

    fn of(self, kind: TimeoutType) -> Option<Duration> {
        let seconds = match kind {
            TimeoutType::Default => self.ordinary,
            TimeoutType::Degraded => self.degraded,
            TimeoutType::PeerOutdated => self.outdated,
        };
        (seconds != 0).then(|| Duration::from_secs(seconds.into()))
    }
}

/// A peer device that is waited for.
struct Waited {
    peer_node_id: u32,
    volume: u32,
    end: Option<Instant>,
    timed_out: bool,
}

fn limits(asked: &Asked<'_>) -> Limits {
    let seconds = |name: &str| asked.matches.get_one::<u32>(name).copied().unwrap_or(0);
    Limits::new(
        seconds("wfc-timeout"),
        seconds("degr-wfc-timeout"),
        seconds("outdated-wfc-timeout"),
    )
}

/// Whether to wait even after the connection was given up.
fn after_split_brain(asked: &Asked<'_>) -> bool {
    asked
        .matches
        .get_one::<String>("wait-after-sb")
        .is_some_and(|word| word == "yes")
}

/// Waits for the peer of one minor of a driver of generation 8.4 (control-plane.md section 8).
pub(super) fn wait_minor(
    client: &mut Client,
    asked: &Asked<'_>,
    wait: Wait,
) -> Result<u8, Failure> {
    let minor = asked.minor()?;
    let start = Instant::now();
    let mut events = EventStream::open(client.family(), None)?;
    let kind = timeout_type(
        client,
        asked.object(),
        &RequestMessage::new(Command::GetTimeoutType).minor(minor),
    )?;
    let end = limits(asked).of(kind).map(|limit| start + limit);
    loop {
        let state = match client.minor_status(minor)? {
            Ok(status) => status.state,
            Err(reply) => return Err(Failure::of_reply(asked.object(), reply)),
        };
        let reached = if wait.sync {
            state.is_quiet()
        } else {
            state.is_connected()
        };
        if reached || (state.is_given_up() && !after_split_brain(asked)) {
            return Ok(exit::OK);
        }
        let now = Instant::now();
        if end.is_some_and(|end| end <= now) {
            return Ok(exit::TIMEOUT);
        }
        events.next(pause(end, now))?;
        while events.has_queued() {
            events.next(Duration::ZERO)?;
        }
    }
}

/// How long to sleep if nothing happens.
fn pause(end: Option<Instant>, now: Instant) -> Duration {
    end.map_or(LOOK_AGAIN, |end| {
        end.saturating_duration_since(now).min(LOOK_AGAIN)
    })
}

pub(super) fn wait(client: &mut Client, asked: &Asked<'_>, wait: Wait) -> Result<u8, Failure> {
    let limits = limits(asked);
    let after_split_brain = after_split_brain(asked);
    let start = Instant::now();
    let mut events = EventStream::open(client.family(), None)?;
    let Some(peer_devices) = peer_devices(client, asked)? else {
        // The reference tells it and counts it as success: there is nothing to wait for.
        let object = asked.object().to_owned();
        eprintln!(
            "{}",
            Failure::Refused {
                object,
                code: RetCode::ERR_RES_NOT_KNOWN,
                texts: Vec::new()
            }
        );
        return Ok(exit::OK);
    };
    let mut waited = Vec::new();
    for peer_device in peer_devices {
        let end = limits
            .of(timeout_type(
                client,
                &peer_device.resource,
                &timeout_request(&peer_device),
            )?)
            .map(|limit| start + limit);
        let PeerDevice {
            peer_node_id,
            volume,
            ..
        } = peer_device;
        waited.push(Waited {
            peer_node_id,
            volume,
            end,
            timed_out: false,
        });
    }
    loop {
        let now = peer_devices_now(client, asked)?;
        let connections = connections(client, asked)?;
        let given_up = |id: u32| {
            connections.iter().any(|peer| {
                peer.peer_node_id == id && peer.info.connection_state < ConnectionState::Unconnected
            })
        };
        if !after_split_brain && waited.iter().any(|peer| given_up(peer.peer_node_id)) {
            return Ok(exit::OK);
        }
        waited.retain(|peer| {
            now.iter()
                .find(|other| {
                    other.peer_node_id == peer.peer_node_id && other.volume == peer.volume
                })
                .is_some_and(|other| !reached(other, wait))
        });
        let instant = Instant::now();
        waited
            .iter_mut()
            .for_each(|peer| peer.timed_out = peer.end.is_some_and(|end| end <= instant));
        if waited.iter().all(|peer| peer.timed_out) {
            return Ok(if waited.is_empty() {
                exit::OK
            } else {
                exit::TIMEOUT
            });
        }
        let next = waited
            .iter()
            .filter(|peer| !peer.timed_out)
            .filter_map(|peer| peer.end)
            .min();
        events.next(pause(next, instant))?;
        while events.has_queued() {
            events.next(Duration::ZERO)?;
        }
    }
}

fn reached(peer_device: &PeerDevice, wait: Wait) -> bool {
    let state = peer_device.info.replication_state;
    if wait.sync {
        state == ReplicationState::Established
    } else {
        state >= ReplicationState::Established
    }
}

/// The peer devices the command is about; `None` when the resource is not known.
fn peer_devices(
    client: &mut Client,
    asked: &Asked<'_>,
) -> Result<Option<Vec<PeerDevice>>, Failure> {
    let mut found = Vec::new();
    for message in client.dump(&filtered(Command::GetPeerDevices, asked))? {
        if message.header.code() == RetCode::ERR_RES_NOT_KNOWN {
            return Ok(None);
        }
        let peer_device = PeerDevice::decode(&message)?;
        let peer = !asked.has(Place::PeerNodeId)
            || asked.number(Place::PeerNodeId) == peer_device.peer_node_id;
        let volume = !asked.has(Place::Volume) || asked.number(Place::Volume) == peer_device.volume;
        if peer && volume {
            found.push(peer_device);
        }
    }
    Ok(Some(found))
}

/// As [`peer_devices`]; a resource that went away has none.
fn peer_devices_now(client: &mut Client, asked: &Asked<'_>) -> Result<Vec<PeerDevice>, Failure> {
    Ok(peer_devices(client, asked)?.unwrap_or_default())
}

fn connections(client: &mut Client, asked: &Asked<'_>) -> Result<Vec<Connection>, Failure> {
    let mut found = Vec::new();
    for message in client.dump(&filtered(Command::GetConnections, asked))? {
        if message.header.code() == RetCode::NO_ERROR {
            found.push(Connection::decode(&message)?);
        }
    }
    Ok(found)
}

fn filtered(command: Command, asked: &Asked<'_>) -> RequestMessage {
    RequestMessage::new(command).resource(asked.text(Place::Resource))
}

fn timeout_request(peer_device: &PeerDevice) -> RequestMessage {
    RequestMessage::new(Command::GetTimeoutType)
        .resource(&peer_device.resource)
        .peer(peer_device.peer_node_id)
        .volume(peer_device.volume)
}

fn timeout_type(
    client: &mut Client,
    object: &str,
    request: &RequestMessage,
) -> Result<TimeoutType, Failure> {
    let reply = client.request(request)?;
    if !reply.code.is_success() {
        return Err(Failure::of_reply(object, reply));
    }
    let params = TimeoutParams::find(&reply.attributes).map_err(drbd_netlink::Error::from)?;
    Ok(params.unwrap_or_default().timeout_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_limits_are_not_longer_than_the_ordinary_one() {
        let limits = Limits::new(10, 0, 20);
        assert_eq!(
            limits,
            Limits {
                ordinary: 10,
                degraded: 10,
                outdated: 10
            }
        );
        let limits = Limits::new(0, 5, 7);
        assert_eq!(limits.of(TimeoutType::Default), None);
        assert_eq!(
            limits.of(TimeoutType::Degraded),
            Some(Duration::from_secs(5))
        );
        assert_eq!(
            limits.of(TimeoutType::PeerOutdated),
            Some(Duration::from_secs(7))
        );
    }
}
