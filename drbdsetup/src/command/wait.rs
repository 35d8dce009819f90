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

pub(super) fn wait(client: &mut Client, asked: &Asked<'_>, wait: Wait) -> Result<u8, Failure> {
    let seconds = |name: &str| asked.matches.get_one::<u32>(name).copied().unwrap_or(0);
    let limits = Limits::new(
        seconds("wfc-timeout"),
        seconds("degr-wfc-timeout"),
        seconds("outdated-wfc-timeout"),
    );
    let after_split_brain = asked
        .matches
        .get_one::<String>("wait-after-sb")
        .is_some_and(|word| word == "yes");
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
            .of(timeout_type(client, &peer_device)?)
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
        let pause = next.map_or(LOOK_AGAIN, |end| {
            end.saturating_duration_since(instant).min(LOOK_AGAIN)
        });
        events.next(pause)?;
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

fn timeout_type(client: &mut Client, peer_device: &PeerDevice) -> Result<TimeoutType, Failure> {
    let request = RequestMessage::new(Command::GetTimeoutType)
        .resource(&peer_device.resource)
        .peer(peer_device.peer_node_id)
        .volume(peer_device.volume);
    let reply = client.request(&request)?;
    if !reply.code.is_success() {
        return Err(Failure::of_reply(&peer_device.resource, reply));
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
