// SPDX-License-Identifier: GPL-2.0-or-later
//! Taking resources down.

use drbd_core::genl::{Command, RetCode};
use drbd_netlink::{Client, Device, RequestMessage, Resource};

use super::request::{forget_minor, forget_resource};
use super::Asked;
use crate::cli::Place;
use crate::{exit, Failure};

/// Takes one resource or all down; a resource that is not there is down already.
pub(super) fn down(client: &mut Client, asked: &Asked<'_>) -> Result<u8, Failure> {
    let wanted = asked.text(Place::ResourceOrAllRequired);
    if wanted != "all" {
        let minors = minors(client, wanted)?;
        // The list of all is long where there are many; a resource with a volume is there without it.
        if !minors.is_empty() || names(client)?.iter().any(|name| name == wanted) {
            down_one(client, wanted, minors)?;
        }
        return Ok(exit::OK);
    }
    let mut first_failure = None;
    for name in names(client)? {
        let down = minors(client, &name).and_then(|minors| down_one(client, &name, minors));
        if let Err(failure) = down {
            // Go on with the others: one that is in use must not keep the rest up.
            if first_failure.is_none() {
                first_failure = Some(failure);
            } else {
                eprintln!("{failure}");
            }
        }
    }
    first_failure.map_or(Ok(exit::OK), Err)
}

/// Names of all resources.
fn names(client: &mut Client) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for message in client.dump_all(Command::GetResources)? {
        names.push(Resource::decode(&message)?.name);
    }
    Ok(names)
}

/// Minors of a resource; none if it is not there.
fn minors(client: &mut Client, name: &str) -> Result<Vec<u32>, Failure> {
    let mut minors = Vec::new();
    for message in client.dump(&RequestMessage::new(Command::GetDevices).resource(name))? {
        if message.header.code() == RetCode::NO_ERROR {
            minors.push(Device::decode(&message)?.minor);
        }
    }
    Ok(minors)
}

fn down_one(client: &mut Client, name: &str, minors: Vec<u32>) -> Result<(), Failure> {
    let reply = client.request(&RequestMessage::new(Command::Down).resource(name))?;
    if !reply.code.is_success() && reply.code != RetCode::ERR_RES_NOT_KNOWN {
        return Err(Failure::of_reply(name, reply));
    }
    minors.into_iter().for_each(forget_minor);
    forget_resource(name);
    Ok(())
}
