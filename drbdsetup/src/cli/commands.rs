// SPDX-License-Identifier: GPL-2.0-or-later
//! The table of commands: what they are called, what they take, what they ask the kernel.

use clap::{Arg, ArgAction};
use drbd_core::config::{
    ConnectParams, DetachParams, DeviceOptions, DisconnectParams, DiskOptions, InvalidateParams,
    InvalidatePeerParams, NetOptions, NewCurrentUuidParams, OptionGroup, OptionSpec,
    PeerDeviceOptions, ResizeParams, ResourceOptions, SetRoleParams, StartVerifyParams,
    SuspendIoParams, DEVICE_ORDER, DISK_ORDER, NET_ORDER, PEER_DEVICE_ORDER, RESOURCE_ORDER,
};
use drbd_core::genl::v1::place_of;
use drbd_core::genl::{Command, Tla};

use super::arguments::Place;

/// A group of options of a command.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    tla: Tla,
    table: &'static [OptionSpec],
    /// Attribute numbers in the order of the help; `None`: that of the table.
    order: Option<&'static [u16]>,
    /// Leave out what can only be set when the object is created.
    changeable: bool,
    /// Only what generation 8.4 has in the top level attribute with this number.
    place_84: Option<u16>,
}

impl Options {
    const fn params<G: OptionGroup>() -> Self {
        Self {
            tla: G::TLA,
            table: G::TABLE,
            order: None,
            changeable: false,
            place_84: None,
        }
    }

    const fn create<G: OptionGroup>(order: &'static [u16]) -> Self {
        Self {
            tla: G::TLA,
            table: G::TABLE,
            order: Some(order),
            changeable: false,
            place_84: None,
        }
    }

    const fn change<G: OptionGroup>(order: &'static [u16]) -> Self {
        Self {
            tla: G::TLA,
            table: G::TABLE,
            order: Some(order),
            changeable: true,
            place_84: None,
        }
    }

    /// The options of `G` that generation 8.4 has in `place`.
    pub(super) const fn of_84<G: OptionGroup>(place: Tla, changeable: bool) -> Self {
        Self {
            tla: G::TLA,
            table: G::TABLE,
            order: None,
            changeable,
            place_84: Some(place.number()),
        }
    }

    /// The rows of a table of their own, in the attribute of `tla`.
    pub(super) const fn table(tla: Tla, table: &'static [OptionSpec]) -> Self {
        Self {
            tla,
            table,
            order: None,
            changeable: false,
            place_84: None,
        }
    }

    /// Top level attribute that a request carries for them.
    pub fn tla(&self) -> Tla {
        self.place_84.and_then(Tla::from_number).unwrap_or(self.tla)
    }

    /// The rows the command offers, in the order of the help.
    pub fn rows(&self) -> impl Iterator<Item = (Tla, &'static OptionSpec)> + '_ {
        let numbers: Vec<u16> = match self.order {
            Some(order) => order.to_vec(),
            None => self
                .table
                .iter()
                .filter(|spec| spec.option.is_some() || self.place_84.is_some())
                .map(|spec| spec.nr)
                .collect(),
        };
        numbers.into_iter().filter_map(|nr| {
            let spec = self.table.iter().find(|spec| spec.nr == nr)?;
            self.offers(spec).then_some((self.tla, spec))
        })
    }
}

impl Options {
    fn offers(&self, spec: &OptionSpec) -> bool {
        // The required ones are arguments without a name.
        let here = self.place_84.is_none_or(|place| {
            let there = place_of(self.tla, spec);
            !spec.required && there.is_some_and(|(group, _)| group == place)
        });
        here && (!self.changeable || !spec.invariant)
    }
}

/// An argument of a command that shows something.
#[derive(Clone, Copy, Debug)]
pub enum Switch {
    /// Present or not.
    Plain(&'static str, &'static str),
    /// yes or no; bare means yes.
    YesNo(&'static str, &'static str),
    /// Seconds.
    Seconds(&'static str, &'static str),
    /// Bytes.
    Bytes(&'static str, &'static str),
    /// One of some words; bare means the first.
    Word(&'static str, &'static str, &'static [&'static str]),
}

impl Switch {
    pub(super) fn arg(self) -> Arg {
        match self {
            Self::Plain(name, help) => Arg::new(name)
                .long(name)
                .help(help)
                .action(ArgAction::SetTrue),
            Self::YesNo(name, help) => Self::Word(name, help, &["yes", "no"]).arg(),
            Self::Seconds(name, help) => Arg::new(name)
                .long(name)
                .help(help)
                .value_name("seconds")
                .value_parser(clap::value_parser!(u32)),
            Self::Bytes(name, help) => Arg::new(name)
                .long(name)
                .help(help)
                .value_name("bytes")
                .value_parser(clap::value_parser!(u32)),
            Self::Word(name, help, words) => Arg::new(name)
                .long(name)
                .help(help)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(words[0])
                .value_parser(words.to_vec()),
        }
    }
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this request.
    Request(Command),
    /// Take resources down.
    Down,
    /// Create a volume, unless its device node is still there.
    NewMinor,
    /// Show states.
    Status,
    /// Show changes.
    Events,
    /// Show the configuration.
    Show,
    /// Show one word or line about an object.
    Query(Query),
    /// Wait for peers.
    Wait(Wait),
    /// Show something about a minor, in generation 8.4.
    Minor(MinorQuery),
    /// Wait for the peer of a minor, in generation 8.4.
    WaitMinor(Wait),
}

/// A question about a minor of generation 8.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinorQuery {
    /// Roles of both nodes.
    Roles,
    /// State of the connection.
    ConnectionState,
    /// States of both disks.
    DiskStates,
    /// Data generation identifiers.
    Generations {
        /// With explanations.
        explained: bool,
    },
    /// The state as shell variables.
    ShellStatus,
    /// Note the size of the backing device, for when it is resized while the minor is down.
    CheckResize,
}

/// A question with a short answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Role of a resource.
    Role,
    /// Role of a peer.
    PeerRole,
    /// State of a connection.
    ConnectionState,
    /// States of the disks of a volume.
    DiskStates,
    /// Data generation identifiers.
    Generations {
        /// With explanations.
        explained: bool,
    },
    /// Names for udev.
    Udev,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Until the resync is done; else until connected.
    pub sync: bool,
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Name.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Positional arguments.
    pub places: &'static [Place],
    /// Options out of the tables.
    pub options: &'static [Options],
    /// Other options.
    pub switches: &'static [Switch],
    /// Takes `--set-defaults`.
    pub set_defaults: bool,
    /// What it does.
    pub action: Action,
}

pub(super) const fn request(
    name: &'static str,
    about: &'static str,
    command: Command,
    places: &'static [Place],
    options: &'static [Options],
) -> CommandSpec {
    CommandSpec {
        name,
        about,
        places,
        options,
        switches: &[],
        set_defaults: false,
        action: Action::Request(command),
    }
}

pub(super) const fn changes(
    name: &'static str,
    about: &'static str,
    command: Command,
    places: &'static [Place],
    options: &'static [Options],
) -> CommandSpec {
    CommandSpec {
        set_defaults: true,
        ..request(name, about, command, places, options)
    }
}

pub(super) const fn local(
    name: &'static str,
    about: &'static str,
    action: Action,
    places: &'static [Place],
    switches: &'static [Switch],
) -> CommandSpec {
    CommandSpec {
        name,
        about,
        places,
        options: &[],
        switches,
        set_defaults: false,
        action,
    }
}

pub(super) const RESOURCE: &[Place] = &[Place::Resource];
pub(super) const MINOR: &[Place] = &[Place::Minor];
const PEER: &[Place] = &[Place::Resource, Place::PeerNodeId];
const PEER_DEVICE: &[Place] = &[Place::Resource, Place::PeerNodeId, Place::Volume];
const PATH: &[Place] = &[
    Place::Resource,
    Place::PeerNodeId,
    Place::LocalAddress,
    Place::RemoteAddress,
];

pub(super) const COLOR: Switch = Switch::Word(
    "color",
    "Accepted and ignored",
    &["always", "auto", "never"],
);
pub(super) const WAITING: &[Switch] = &[
    Switch::Seconds(
        "wfc-timeout",
        "Limit in the ordinary case; 0 waits for ever",
    ),
    Switch::Seconds(
        "degr-wfc-timeout",
        "Limit when the cluster was degraded before a crash; 0 waits for ever",
    ),
    Switch::Seconds(
        "outdated-wfc-timeout",
        "Limit when the peer is outdated; 0 waits for ever",
    ),
    Switch::YesNo(
        "wait-after-sb",
        "Also wait when the connection was given up, as after a split brain",
    ),
];

/// Every command.
pub const COMMANDS: &[CommandSpec] = &[
    request("primary", "Change the role of a node in a resource to primary.", Command::Primary, RESOURCE,
        &[Options::params::<SetRoleParams>()]),
    request("secondary", "Change the role of a node in a resource to secondary.", Command::Secondary, RESOURCE,
        &[Options::params::<SetRoleParams>()]),
    request("attach", "Attach a lower-level device to an existing replicated device.", Command::Attach,
        &[Place::Minor, Place::LowerDevice, Place::MetaDevice, Place::MetaIndex],
        &[Options::create::<DiskOptions>(DISK_ORDER)]),
    changes("disk-options", "Change the disk options of an attached lower-level device.", Command::ChgDiskOpts, MINOR,
        &[Options::change::<DiskOptions>(DISK_ORDER)]),
    request("detach", "Detach the lower-level device of a replicated device.", Command::Detach, MINOR,
        &[Options::params::<DetachParams>()]),
    request("connect", "Attempt to (re)establish a replication link to a peer host.", Command::Connect, PEER,
        &[Options::params::<ConnectParams>()]),
    request("new-peer", "Make a peer host known to a resource.", Command::NewPeer, PEER,
        &[Options::create::<NetOptions>(NET_ORDER)]),
    request("del-peer", "Remove a connection to a peer host.", Command::DelPeer, PEER,
        &[Options::params::<DisconnectParams>()]),
    request("new-path", "Add a path (endpoint address pair) where a peer host should be reachable.", Command::NewPath,
        PATH, &[]),
    request("del-path", "Remove a path (endpoint address pair) from a connection to a peer host.", Command::DelPath,
        PATH, &[]),
    changes("net-options", "Change the network options of a connection.", Command::ChgNetOpts, PEER,
        &[Options::change::<NetOptions>(NET_ORDER)]),
    request("disconnect", "Unconnect from a peer host.", Command::Disconnect, PEER,
        &[Options::params::<DisconnectParams>()]),
    request("resize", "Reexamine the lower-level device sizes to resize a replicated device.", Command::Resize, MINOR,
        &[Options::params::<ResizeParams>()]),
    changes("resource-options", "Change the resource options of an existing resource.", Command::ResourceOpts, RESOURCE,
        &[Options::change::<ResourceOptions>(RESOURCE_ORDER)]),
    changes("peer-device-options", "Change peer-device options.", Command::ChgPeerDeviceOpts, PEER_DEVICE,
        &[Options::change::<PeerDeviceOptions>(PEER_DEVICE_ORDER)]),
    request("new-current-uuid", "Generate a new current UUID.", Command::NewCUuid, MINOR,
        &[Options::params::<NewCurrentUuidParams>()]),
    request("invalidate", "Replace the local data of a volume with that of a peer.", Command::Invalidate, MINOR,
        &[Options::params::<InvalidateParams>()]),
    request("invalidate-remote", "Replace a peer's data of a volume with the local data.", Command::InvalPeer,
        PEER_DEVICE, &[Options::params::<InvalidatePeerParams>()]),
    request("pause-sync", "Stop resynchronizing between a local and a peer device.", Command::PauseSync, PEER_DEVICE, &[]),
    request("resume-sync", "Allow resynchronization to resume on a replicated device.", Command::ResumeSync, PEER_DEVICE,
        &[]),
    request("suspend-io", "Suspend I/O on a replicated device.", Command::SuspendIo, MINOR,
        &[Options::params::<SuspendIoParams>()]),
    request("resume-io", "Resume I/O on a replicated device.", Command::ResumeIo, MINOR, &[]),
    request("outdate", "Mark the data on a lower-level device as outdated.", Command::Outdate, MINOR, &[]),
    request("verify", "Verify the data on a lower-level device against a peer device.", Command::StartOv, PEER_DEVICE,
        &[Options::params::<StartVerifyParams>()]),
    local("down", "Take a resource down.", Action::Down, &[Place::ResourceOrAllRequired], &[]),
    local("role", "Show the current role of a resource.", Action::Query(Query::Role), RESOURCE, &[]),
    local("peer-role", "Show the current role of a peer.", Action::Query(Query::PeerRole), PEER, &[]),
    local("cstate", "Show the current state of a connection.", Action::Query(Query::ConnectionState), PEER, &[]),
    local("dstate", "Show the current disk state of a lower-level device.", Action::Query(Query::DiskStates), MINOR, &[]),
    local("show-gi", "Show the data generation identifiers for a device on a particular connection, with explanations.",
        Action::Query(Query::Generations { explained: true }), PEER_DEVICE, &[]),
    local("get-gi", "Show the data generation identifiers for a device on a particular connection.",
        Action::Query(Query::Generations { explained: false }), PEER_DEVICE, &[]),
    local("show", "Show the current configuration of a resource, or of all resources.", Action::Show,
        &[Place::ResourceOrAll], &[
            Switch::Plain("show-defaults", "Also show options that have their default"),
            Switch::Plain("json", "Print JSON"),
        ]),
    local("status", "Show the state of a resource, or of all resources.", Action::Status, &[Place::ResourceOrAll], &[
        Switch::Plain("verbose", "Show everything, not just what is noteworthy"),
        Switch::Plain("statistics", "Show figures"),
        Switch::Plain("json", "Print JSON"),
        COLOR,
    ]),
    local("events2", "Show the current state and all state changes of a resource, or of all resources.", Action::Events,
        &[Place::ResourceOrAll], &[
            Switch::Plain("timestamps", "Begin lines with the time"),
            Switch::Plain("statistics", "Show figures"),
            Switch::Plain("now", "End after the current state"),
            Switch::Plain("poll", "Read commands on standard input: 'n' shows the current state again"),
            Switch::Plain("full", "Show whole objects, figures included, also when only a part changed"),
            Switch::Bytes("rcvbuf", "Size of the socket's receive buffer"),
            COLOR,
        ]),
    local("wait-sync-volume", "Wait until resync finished on a volume.", Action::Wait(Wait { sync: true }), PEER_DEVICE,
        WAITING),
    local("wait-sync-connection", "Wait until resync finished on all volumes of a connection.",
        Action::Wait(Wait { sync: true }), PEER, WAITING),
    local("wait-sync-resource", "Wait until resync finished on all volumes.", Action::Wait(Wait { sync: true }), RESOURCE,
        WAITING),
    local("wait-connect-volume", "Wait until a device on a peer is visible.", Action::Wait(Wait { sync: false }),
        PEER_DEVICE, WAITING),
    local("wait-connect-connection", "Wait until all peer volumes of a connection are visible.",
        Action::Wait(Wait { sync: false }), PEER, WAITING),
    local("wait-connect-resource", "Wait until all connections are established.", Action::Wait(Wait { sync: false }),
        RESOURCE, WAITING),
    request("new-resource", "Create a new resource.", Command::NewResource, &[Place::Resource, Place::NodeId],
        &[Options::create::<ResourceOptions>(RESOURCE_ORDER)]),
    CommandSpec {
        action: Action::NewMinor,
        ..request("new-minor", "Create a new replicated device within a resource.", Command::NewMinor,
            &[Place::Resource, Place::Minor, Place::Volume], &[Options::create::<DeviceOptions>(DEVICE_ORDER)])
    },
    request("del-minor", "Remove a replicated device.", Command::DelMinor, MINOR, &[]),
    request("del-resource", "Remove a resource.", Command::DelResource, RESOURCE, &[]),
    request("forget-peer", "Completely remove any reference to an unconnected peer from meta-data.", Command::ForgetPeer,
        PEER, &[]),
    request("rename-resource", "Rename a resource.", Command::RenameResource, &[Place::Resource, Place::NewName], &[]),
    local("udev", "Generate output for udev rules.", Action::Query(Query::Udev), MINOR, &[]),
];
