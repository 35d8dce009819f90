// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands that are one request.

use std::fs;
use std::path::Path;

use drbd_core::config::{DiskOptions, ForgetPeerParams, Kind, OptionGroup, ResourceOptions};
use drbd_core::genl::{Command, RetCode, Tla};
use drbd_netlink::{Client, OptionValue, RequestMessage};

use super::Asked;
use crate::cli::{given_options, Place};
use crate::lock::MinorLock;
use crate::{exit, Failure};

const RUN_FOLDER: &str = "/var/run/drbd";

/// Sends the request of a command.
pub(super) fn request(
    client: &mut Client,
    asked: &Asked<'_>,
    command: Command,
) -> Result<u8, Failure> {
    let message = message(asked, command)?;
    let _lock = match command {
        // A volume that is being created cannot be worked on by others.
        Command::NewMinor => None,
        _ if asked.has(Place::Minor) => Some(MinorLock::take(asked.minor()?)?),
        _ => None,
    };
    let reply = client.request(&message)?;
    if !reply.code.is_success() {
        return Err(Failure::of_reply(asked.object(), reply));
    }
    match command {
        Command::DelMinor => forget_minor(asked.minor()?),
        Command::DelResource => forget_resource(asked.text(Place::Resource)),
        _ => {}
    }
    Ok(exit::OK)
}

/// Creates a volume, unless its device node of an earlier life is still there.
pub(super) fn new_minor(client: &mut Client, asked: &Asked<'_>) -> Result<u8, Failure> {
    let minor = asked.minor()?;
    let nodes = [
        format!("/sys/block/drbd{minor}"),
        format!("/sys/devices/virtual/block/drbd{minor}"),
        format!("/sys/devices/virtual/bdi/147:{minor}"),
    ];
    if let Some(node) = nodes.iter().find(|node| Path::new(node).exists()) {
        return Err(Failure::Refused {
            object: asked.object().to_owned(),
            code: RetCode::ERR_MINOR_OR_VOLUME_EXISTS,
            texts: vec![format!("sysfs node '{node}' (already? still?) exists")],
        });
    }
    request(client, asked, Command::NewMinor)
}

/// The request a command and its arguments stand for.
pub(super) fn message(asked: &Asked<'_>, command: Command) -> Result<RequestMessage, Failure> {
    let mut message = RequestMessage::new(command);
    if asked.has(Place::Resource) {
        message = message.resource(asked.text(Place::Resource));
    }
    if asked.has(Place::PeerNodeId) && command != Command::ForgetPeer {
        message = message.peer(asked.number(Place::PeerNodeId));
    }
    if asked.has(Place::Volume) {
        message = message.volume(asked.number(Place::Volume));
    }
    if asked.has(Place::Minor) {
        message = message.minor(asked.minor()?);
    }
    if let (Some(my_addr), Some(peer_addr)) = (
        asked
            .has(Place::LocalAddress)
            .then(|| asked.address(Place::LocalAddress))
            .flatten(),
        asked
            .has(Place::RemoteAddress)
            .then(|| asked.address(Place::RemoteAddress))
            .flatten(),
    ) {
        message = message.path(my_addr, peer_addr);
    }
    if asked.has(Place::NewName) {
        message = message.new_name(asked.text(Place::NewName));
    }
    message = positional(asked, command, message);
    for (tla, spec, value) in given_options(asked.spec, asked.matches) {
        // A switch is only sent when it is on.
        if matches!(spec.kind, Kind::Flag { default: None }) && *value == OptionValue::Bool(false) {
            continue;
        }
        message = message.option(tla, spec, value.clone());
    }
    if asked.spec.set_defaults {
        message = message.set_defaults(asked.switch("set-defaults"));
        message = asked
            .spec
            .options
            .iter()
            .fold(message, |message, group| message.empty(group.tla()));
    }
    Ok(message)
}

/// Options that are arguments without a name.
fn positional(asked: &Asked<'_>, command: Command, message: RequestMessage) -> RequestMessage {
    let number = |place| OptionValue::Int(i64::from(asked.number(place)));
    let text = |place| OptionValue::Text(asked.text(place).to_owned());
    let index = asked
        .has(Place::MetaIndex)
        .then(|| asked.matches.get_one::<i32>(Place::MetaIndex.id()))
        .flatten();
    let given: Vec<(Tla, Option<_>, OptionValue)> = match command {
        Command::NewResource if asked.has(Place::NodeId) => {
            vec![(
                Tla::ResourceOpts,
                field::<ResourceOptions>("node_id"),
                number(Place::NodeId),
            )]
        }
        Command::ForgetPeer => vec![(
            Tla::ForgetPeerParms,
            field::<ForgetPeerParams>("forget_peer_node_id"),
            number(Place::PeerNodeId),
        )],
        Command::Attach => vec![
            (
                Tla::DiskConf,
                field::<DiskOptions>("backing_dev"),
                text(Place::LowerDevice),
            ),
            (
                Tla::DiskConf,
                field::<DiskOptions>("meta_dev"),
                text(Place::MetaDevice),
            ),
            (
                Tla::DiskConf,
                field::<DiskOptions>("meta_dev_idx"),
                OptionValue::Int(i64::from(index.copied().unwrap_or(-3))),
            ),
        ],
        _ => Vec::new(),
    };
    given
        .into_iter()
        .fold(message, |message, (tla, spec, value)| match spec {
            Some(spec) => message.option(tla, spec, value),
            None => message,
        })
}

fn field<G: OptionGroup>(name: &str) -> Option<&'static drbd_core::config::OptionSpec> {
    G::TABLE.iter().find(|spec| spec.field == name)
}

/// Removes the note which configuration file a minor came from.
pub(super) fn forget_minor(minor: u32) {
    // It is there only when drbdadm created the volume.
    let _ = fs::remove_file(format!("{RUN_FOLDER}/drbd-minor-{minor}.conf"));
}

/// Removes the note which configuration file a resource came from.
pub(super) fn forget_resource(name: &str) {
    if !name.contains('/') {
        let _ = fs::remove_file(format!("{RUN_FOLDER}/drbd-resource-{name}.conf"));
    }
}
