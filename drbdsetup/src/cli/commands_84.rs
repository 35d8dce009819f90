// SPDX-License-Identifier: GPL-2.0-or-later
//! The table of commands for drivers of generation 8.4 (control-plane.md section 8).

use drbd_core::config::{
    ConnectParams, DetachParams, Dialect84, DisconnectParams, DiskOptions, Kind, NetOptions,
    NewCurrentUuidParams, OptionSpec, PeerDeviceOptions, ResizeParams, ResourceOptions, Scale,
    SetRoleParams, StartVerifyParams, Support, Unit, Wire,
};
use drbd_core::genl::{Command, Tla};

use super::arguments::Place;
use super::commands::{
    changes, local, request, Action, CommandSpec, MinorQuery, Options, Query, Switch, Wait, COLOR,
    MINOR, RESOURCE, WAITING,
};

/// An option that no driver has used for long, but that old configurations set.
const OLD_DISK: &[OptionSpec] = &[OptionSpec {
    nr: 5,
    field: "max_bio_bvecs",
    option: Some("max-bio-bvecs"),
    kind: Kind::Number {
        wire: Wire::U32,
        min: 0,
        max: 128,
        default: Some(0),
        scale: Scale::One,
        choices: &[],
    },
    unit: Unit::None,
    required: false,
    invariant: true,
    sensitive: false,
    support: Support::Any,
    dialect84: Dialect84::Same,
    help: "Has no effect.",
}];

const ATTACH: &[Options] = &[
    Options::of_84::<DiskOptions>(Tla::DiskConf, false),
    Options::of_84::<PeerDeviceOptions>(Tla::DiskConf, false),
    Options::of_84::<NetOptions>(Tla::DiskConf, false),
    Options::table(Tla::DiskConf, OLD_DISK),
];
const DISK: &[Options] = &[
    Options::of_84::<DiskOptions>(Tla::DiskConf, true),
    Options::of_84::<PeerDeviceOptions>(Tla::DiskConf, true),
    Options::of_84::<NetOptions>(Tla::DiskConf, true),
];
const CONNECT: &[Options] = &[
    Options::of_84::<NetOptions>(Tla::NetConf, false),
    Options::of_84::<DiskOptions>(Tla::NetConf, false),
    Options::of_84::<ConnectParams>(Tla::NetConf, false),
];
const NET: &[Options] = &[
    Options::of_84::<NetOptions>(Tla::NetConf, true),
    Options::of_84::<DiskOptions>(Tla::NetConf, true),
];
const ENDS: &[Place] = &[Place::LocalAddress, Place::RemoteAddress];
const RESOURCE_OR_ALL: &[Place] = &[Place::ResourceOrAll];

const fn minor(name: &'static str, about: &'static str, command: Command) -> CommandSpec {
    request(name, about, command, MINOR, &[])
}

const fn query(name: &'static str, about: &'static str, query: MinorQuery) -> CommandSpec {
    local(name, about, Action::Minor(query), MINOR, &[])
}

/// Every command.
pub const COMMANDS_84: &[CommandSpec] = &[
    request(
        "primary",
        "Change the role of a node in a resource to primary.",
        Command::Primary,
        MINOR,
        &[Options::of_84::<SetRoleParams>(Tla::SetRoleParms, false)],
    ),
    minor(
        "secondary",
        "Change the role of a node in a resource to secondary.",
        Command::Secondary,
    ),
    request(
        "attach",
        "Attach a lower-level device to an existing replicated device.",
        Command::Attach,
        &[
            Place::Minor,
            Place::LowerDevice,
            Place::MetaDevice,
            Place::MetaIndex,
        ],
        ATTACH,
    ),
    changes(
        "disk-options",
        "Change the disk options of an attached lower-level device.",
        Command::ChgDiskOpts,
        MINOR,
        DISK,
    ),
    request(
        "detach",
        "Detach the lower-level device of a replicated device.",
        Command::Detach,
        MINOR,
        &[Options::of_84::<DetachParams>(Tla::DetachParms, false)],
    ),
    request(
        "connect",
        "Attempt to (re)establish a replication link to a peer host.",
        Command::Connect,
        &[Place::Resource, Place::LocalAddress, Place::RemoteAddress],
        CONNECT,
    ),
    changes(
        "net-options",
        "Change the network options of a connection.",
        Command::ChgNetOpts,
        ENDS,
        NET,
    ),
    request(
        "disconnect",
        "Unconnect from a peer host.",
        Command::Disconnect,
        ENDS,
        &[Options::of_84::<DisconnectParams>(
            Tla::DisconnectParms,
            false,
        )],
    ),
    request(
        "resize",
        "Reexamine the lower-level device sizes to resize a replicated device.",
        Command::Resize,
        MINOR,
        &[Options::of_84::<ResizeParams>(Tla::ResizeParms, false)],
    ),
    changes(
        "resource-options",
        "Change the resource options of an existing resource.",
        Command::ResourceOpts,
        RESOURCE,
        &[Options::of_84::<ResourceOptions>(Tla::ResourceOpts, true)],
    ),
    request(
        "new-current-uuid",
        "Generate a new current UUID.",
        Command::NewCUuid,
        MINOR,
        &[Options::of_84::<NewCurrentUuidParams>(
            Tla::NewCUuidParms,
            false,
        )],
    ),
    minor(
        "invalidate",
        "Replace the local data of a volume with that of the peer.",
        Command::Invalidate,
    ),
    minor(
        "invalidate-remote",
        "Replace the peer's data of a volume with the local data.",
        Command::InvalPeer,
    ),
    minor(
        "pause-sync",
        "Stop resynchronizing between a local and a peer device.",
        Command::PauseSync,
    ),
    minor(
        "resume-sync",
        "Allow resynchronization to resume on a replicated device.",
        Command::ResumeSync,
    ),
    minor(
        "suspend-io",
        "Suspend I/O on a replicated device.",
        Command::SuspendIo,
    ),
    minor(
        "resume-io",
        "Resume I/O on a replicated device.",
        Command::ResumeIo,
    ),
    minor(
        "outdate",
        "Mark the data on a lower-level device as outdated.",
        Command::Outdate,
    ),
    request(
        "verify",
        "Verify the data on a lower-level device against the peer's.",
        Command::StartOv,
        MINOR,
        &[Options::of_84::<StartVerifyParams>(
            Tla::StartOvParms,
            false,
        )],
    ),
    local(
        "down",
        "Take a resource down.",
        Action::Down,
        &[Place::ResourceOrAllRequired],
        &[],
    ),
    query("role", "Show the roles of both nodes.", MinorQuery::Roles),
    query(
        "state",
        "Show the roles of both nodes; the old name of role.",
        MinorQuery::Roles,
    ),
    query(
        "cstate",
        "Show the current state of the connection.",
        MinorQuery::ConnectionState,
    ),
    query(
        "dstate",
        "Show the current states of both disks.",
        MinorQuery::DiskStates,
    ),
    query(
        "show-gi",
        "Show the data generation identifiers, with explanations.",
        MinorQuery::Generations { explained: true },
    ),
    query(
        "get-gi",
        "Show the data generation identifiers.",
        MinorQuery::Generations { explained: false },
    ),
    query(
        "sh-status",
        "Show the state as shell variables.",
        MinorQuery::ShellStatus,
    ),
    query(
        "check-resize",
        "Note the size of the lower-level device.",
        MinorQuery::CheckResize,
    ),
    local(
        "udev",
        "Generate output for udev rules.",
        Action::Query(Query::Udev),
        MINOR,
        &[],
    ),
    local(
        "show",
        "Show the current configuration of a resource, or of all resources.",
        Action::Show,
        RESOURCE_OR_ALL,
        &[Switch::Plain(
            "show-defaults",
            "Also show options that have their default",
        )],
    ),
    local(
        "status",
        "Show the state of a resource, or of all resources.",
        Action::Status,
        RESOURCE_OR_ALL,
        &[
            Switch::Plain("verbose", "Show everything, not just what is noteworthy"),
            Switch::Plain("statistics", "Show figures"),
            Switch::Plain("json", "Print JSON, in the form of generation 9"),
            COLOR,
        ],
    ),
    local(
        "events2",
        "Show the current state and all state changes of a resource, or of all resources.",
        Action::Events,
        RESOURCE_OR_ALL,
        &[
            Switch::Plain("timestamps", "Begin lines with the time"),
            Switch::Plain("statistics", "Show figures"),
            Switch::Plain("now", "End after the current state"),
            Switch::Plain(
                "poll",
                "Read commands on standard input: 'n' shows the current state again",
            ),
            Switch::Plain(
                "full",
                "Show whole objects, figures included, also when only a part changed",
            ),
            Switch::Bytes("rcvbuf", "Size of the socket's receive buffer"),
            COLOR,
        ],
    ),
    local(
        "wait-connect",
        "Wait until the nodes are connected.",
        Action::WaitMinor(Wait { sync: false }),
        MINOR,
        WAITING,
    ),
    local(
        "wait-sync",
        "Wait until the nodes are connected and the resync is over.",
        Action::WaitMinor(Wait { sync: true }),
        MINOR,
        WAITING,
    ),
    request(
        "new-resource",
        "Create a new resource.",
        Command::NewResource,
        RESOURCE,
        &[Options::of_84::<ResourceOptions>(Tla::ResourceOpts, false)],
    ),
    CommandSpec {
        action: Action::NewMinor,
        ..request(
            "new-minor",
            "Create a new replicated device within a resource.",
            Command::NewMinor,
            &[Place::Resource, Place::Minor, Place::Volume],
            &[],
        )
    },
    minor(
        "del-minor",
        "Remove a replicated device.",
        Command::DelMinor,
    ),
    request(
        "del-resource",
        "Remove a resource.",
        Command::DelResource,
        RESOURCE,
        &[],
    ),
];
