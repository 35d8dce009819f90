// SPDX-License-Identifier: GPL-2.0-or-later
//! The commands: one table for the command line, the help and the dispatch.

use drbd_conf::Dialect;

use crate::arguments::Group;

/// What a command works on; one step is made for each such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Works {
    /// On the configuration; resource names are ignored.
    OnConfiguration,
    /// On nothing at all; not even the configuration is read.
    Alone,
    /// On a whole resource.
    OnResource,
    /// On a resource, or on one of its volumes.
    OnAny,
    /// On the connection to a peer.
    OnConnection,
    /// On a path of a connection.
    OnPath,
    /// On a volume and a peer.
    OnPeerDevice,
    /// On a volume.
    OnVolume,
    /// On exactly one volume: a resource with several needs a number.
    OnOneVolume,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// One call of drbdsetup with the same name.
    Setup,
    /// One call of drbdmeta with the same name.
    Meta,
    /// drbdsetup, and drbdmeta if the kernel cannot answer.
    SetupOrMeta,
    /// drbdsetup, then drbdmeta for each volume.
    ForgetPeer,
    /// apply-al and attach.
    Attach,
    /// create-md.
    CreateMd,
    /// outdate.
    Outdate,
    /// resize and check-resize.
    Resize,
    /// check-resize.
    CheckResize,
    /// wait-connect, wait-sync.
    Wait,
    /// dump-superblock.
    DumpSuperblock,
    /// Everything a resource needs.
    Up,
    /// Take it down.
    Down,
    /// Only what differs.
    Adjust,
    /// Print something about the configuration.
    Inspect,
    /// Say what is wrong with a resource.
    Explain,
    /// A live view.
    Top,
    /// Run a handler.
    Handler,
    /// sh-b-pri of generation 8.4.
    Promote,
    /// sh-status of generation 8.4.
    ShellStatus,
}

/// In which list a command is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// In the help.
    Help,
    /// In `hidden-commands`, for scripts.
    Scripts,
    /// In `hidden-commands`, called by the kernel.
    Kernel,
    /// In `hidden-commands`, for experts.
    Experts,
}

/// One command.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it works on.
    pub(crate) works: Works,
    /// What a step is.
    pub(crate) act: Act,
    /// Options it hands on.
    pub(crate) options: Group,
    /// Where it is listed.
    pub(crate) shown: Shown,
    /// One line for the help.
    pub(crate) about: &'static str,
}

/// Commands that only one generation has.
const ONLY_IN_84: &[&str] = &["sh-b-pri", "sh-new-minor", "sh-status"];
const ONLY_IN_9: &[&str] = &[
    "del-minor",
    "del-path",
    "del-peer",
    "disconnected",
    "dump-superblock",
    "explain",
    "forget-peer",
    "new-path",
    "new-peer",
    "peer-device-options",
    "quorum-lost",
    "repair-md",
    "sh-list-adjustable",
    "sh-list-config-file",
    "top",
    "wait-connect-connection",
    "wait-connect-resource",
    "wait-connect-volume",
    "wait-sync",
    "wait-sync-connection",
    "wait-sync-resource",
    "wait-sync-volume",
];

impl Command {
    /// Whether a generation has the command.
    pub(crate) fn is_in(&self, dialect: Dialect) -> bool {
        let lacking = match dialect {
            Dialect::V84 => ONLY_IN_9,
            Dialect::V9 => ONLY_IN_84,
        };
        !lacking.contains(&self.name)
    }

    /// Whether the command prints what can be printed as JSON.
    pub(crate) fn has_json(&self) -> bool {
        match self.act {
            Act::Explain | Act::DumpSuperblock => true,
            Act::Inspect => !matches!(self.name, "dump-xml" | "proxy-up" | "proxy-down"),
            Act::Setup | Act::SetupOrMeta => {
                matches!(
                    self.name,
                    "role" | "cstate" | "dstate" | "get-gi" | "status"
                )
            }
            _ => false,
        }
    }

    /// What the command works on in a generation: in 8.4 most things were said
    /// of minors.
    pub(crate) fn works_in(&self, dialect: Dialect) -> Works {
        if !dialect.is_84() {
            return self.works;
        }
        match (self.works, self.act, self.name) {
            (_, Act::Handler, "fence-peer" | "unfence-peer") => Works::OnResource,
            (_, Act::Handler, _) => Works::OnOneVolume,
            (_, _, "sh-resource") => Works::OnResource,
            (_, _, "connect" | "disconnect" | "net-options") => Works::OnResource,
            (_, _, "primary" | "secondary" | "role" | "wait-connect") => Works::OnVolume,
            (_, Act::Up | Act::Adjust, _) => Works::OnAny,
            (Works::OnConnection | Works::OnPeerDevice, _, _) => Works::OnVolume,
            (works, _, _) => works,
        }
    }

    /// The options it takes in a generation. 8.4 knew most of them only behind
    /// a `--`.
    pub(crate) fn options_in(&self, dialect: Dialect) -> Group {
        let lacking = matches!(
            self.name,
            "secondary"
                | "invalidate"
                | "invalidate-remote"
                | "resize"
                | "verify"
                | "status"
                | "dump-md"
                | "wipe-md"
                | "apply-al"
                | "adjust"
                | "adjust-with-progress"
                | "suspend-io"
        );
        if dialect.is_84() && lacking {
            Group::None
        } else {
            self.options
        }
    }

    /// Whether the resource may be left out, meaning all of them.
    pub(crate) fn defaults_to_all(&self) -> bool {
        matches!(
            self.name,
            "dump" | "dump-xml" | "explain" | "status" | "sh-list-config-file" | "top"
        )
    }

    /// Whether volumes without a backing device are left out.
    pub(crate) fn needs_disk(&self) -> bool {
        matches!(
            self.act,
            Act::Meta | Act::Attach | Act::CreateMd | Act::Outdate | Act::DumpSuperblock
        ) || matches!(
            self.name,
            "detach" | "disk-options" | "resize" | "check-resize" | "invalidate"
        )
    }

    /// Whether this node must have the addresses of its configuration.
    pub(crate) fn needs_address(&self) -> bool {
        matches!(
            self.name,
            "up" | "adjust" | "adjust-with-progress" | "connect" | "new-path" | "new-peer"
        )
    }
}

/// The command of a name; old names are understood.
pub(crate) fn find(name: &str, dialect: Dialect) -> Option<&'static Command> {
    let name = match name {
        "state" => "role",
        "outdate-peer" => "fence-peer",
        other => other,
    };
    COMMANDS
        .iter()
        .find(|command| command.name == name && command.is_in(dialect))
}

const fn row(
    name: &'static str,
    works: Works,
    act: Act,
    options: Group,
    shown: Shown,
    about: &'static str,
) -> Command {
    Command {
        name,
        works,
        act,
        options,
        shown,
        about,
    }
}

/// All commands, in the order of the help.
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Command] = {
    use Act::*;
    use Group as G;
    use Shown::*;
    use Works::*;
    &[
        row("create-md", OnVolume, CreateMd, G::CreateMd, Help, "Write fresh metadata to the disks of a resource"),
        row("up", OnResource, Up, G::None, Help, "Configure, attach and connect a resource"),
        row("down", OnResource, Down, G::None, Help, "Take a resource down"),
        row("adjust", OnResource, Adjust, G::Adjust, Help, "Make the kernel agree with the configuration, changing only what differs"),
        row("adjust-with-progress", OnResource, Adjust, G::Adjust, Help, "Like adjust, with a line for each stage"),
        row("primary", OnResource, Setup, G::Force, Help, "Let this node use the device"),
        row("secondary", OnResource, Setup, G::Force, Help, "Let the other node use the device"),
        row("attach", OnVolume, Attach, G::Attach, Help, "Attach the backing disk"),
        row("detach", OnVolume, Setup, G::Detach, Help, "Detach the backing disk"),
        row("connect", OnConnection, Setup, G::Connect, Help, "Connect to a peer"),
        row("disconnect", OnConnection, Setup, G::Force, Help, "Disconnect from a peer"),
        row("status", OnResource, Setup, G::Status, Help, "Show the state of a resource and its peers"),
        row("explain", OnResource, Explain, G::Explain, Help, "Say why a resource is not connected, in sync or usable, and what to type"),
        row("top", OnResource, Top, G::Top, Help, "Watch roles, disks, rates and progress"),
        row("role", OnResource, Setup, G::None, Help, "Show the role of this node"),
        row("cstate", OnConnection, Setup, G::None, Help, "Show the state of a connection"),
        row("dstate", OnVolume, SetupOrMeta, G::None, Help, "Show the state of the disks"),
        row("dump", OnResource, Inspect, G::None, Help, "Print the configuration as it was understood"),
        row("dump-xml", OnResource, Inspect, G::None, Help, "Print the configuration as XML"),
        row("verify", OnPeerDevice, Setup, G::Verify, Help, "Compare the data with a peer"),
        row("pause-sync", OnPeerDevice, Setup, G::None, Help, "Pause a resynchronization"),
        row("resume-sync", OnPeerDevice, Setup, G::None, Help, "Let a resynchronization go on"),
        row("invalidate", OnVolume, SetupOrMeta, G::Invalidate, Help, "Give up the local data and fetch the peer's"),
        row("invalidate-remote", OnPeerDevice, Setup, G::ResetBitmap, Help, "Give up the peer's data and send ours"),
        row("outdate", OnVolume, Outdate, G::None, Help, "Mark the local data as out of date"),
        row("resize", OnVolume, Resize, G::Resize, Help, "Use the new size of the backing disks"),
        row("disk-options", OnVolume, Setup, G::DiskOptions, Help, "Change options of a backing disk"),
        row("net-options", OnConnection, Setup, G::NetOptions, Help, "Change options of a connection"),
        row("resource-options", OnResource, Setup, G::ResourceOptions, Help, "Change options of a resource"),
        row("peer-device-options", OnPeerDevice, Setup, G::PeerDeviceOptions, Help, "Change options of a volume towards a peer"),
        row("wait-connect", OnAny, Wait, G::Startup, Help, "Wait until the peers are connected"),
        row("wait-connect-resource", OnAny, Wait, G::Startup, Help, "Wait until the peers are connected"),
        row("wait-connect-connection", OnConnection, Setup, G::Startup, Help, "Wait until a peer is connected"),
        row("wait-connect-volume", OnPeerDevice, Setup, G::Startup, Help, "Wait until a volume of a peer is there"),
        row("wait-sync", OnAny, Wait, G::Startup, Help, "Wait until the resynchronization is done"),
        row("wait-sync-resource", OnAny, Wait, G::Startup, Help, "Wait until the resynchronization is done"),
        row("wait-sync-connection", OnConnection, Setup, G::Startup, Help, "Wait until a peer is in sync"),
        row("wait-sync-volume", OnPeerDevice, Setup, G::Startup, Help, "Wait until a volume of a peer is in sync"),
        row("show-gi", OnPeerDevice, SetupOrMeta, G::None, Help, "Explain the generation identifiers"),
        row("get-gi", OnPeerDevice, SetupOrMeta, G::None, Help, "Print the generation identifiers"),
        row("dump-md", OnVolume, Meta, G::Force, Help, "Print the metadata as text"),
        row("dump-superblock", OnVolume, DumpSuperblock, G::None, Help, "Print the superblock as JSON"),
        row("wipe-md", OnVolume, Meta, G::Force, Help, "Destroy the metadata"),
        row("apply-al", OnVolume, Meta, G::Force, Help, "Apply the activity log of a crashed node"),
        row("repair-md", OnVolume, Meta, G::Force, Help, "Repair unused slots of the metadata"),
        row("forget-peer", OnConnection, ForgetPeer, G::None, Help, "Remove a peer from the metadata"),
        row("new-peer", OnConnection, Setup, G::NewPeer, Help, "Make a peer known to the kernel"),
        row("del-peer", OnConnection, Setup, G::Force, Help, "Remove a peer from the kernel"),
        row("new-path", OnPath, Setup, G::None, Help, "Add a path to a connection"),
        row("del-path", OnPath, Setup, G::None, Help, "Remove a path from a connection"),
        row("hidden-commands", Alone, Inspect, G::None, Help, "List further commands"),
        row("new-resource", OnResource, Setup, G::ResourceOptions, Scripts, "Make a resource known to the kernel"),
        row("proxy-down", OnConnection, Inspect, G::None, Scripts, "Not supported: drbd-proxy"),
        row("proxy-up", OnConnection, Inspect, G::None, Scripts, "Not supported: drbd-proxy"),
        row("sh-dev", OnVolume, Inspect, G::None, Scripts, "Print the device"),
        row("sh-ip", OnVolume, Inspect, G::None, Scripts, "Print the address of this node"),
        row("sh-list-adjustable", OnConfiguration, Inspect, G::None, Scripts, "Print resources with something to adjust"),
        row("sh-list-config-file", OnAny, Inspect, G::None, Scripts, "Print where resources are defined"),
        row("sh-ll-dev", OnVolume, Inspect, G::None, Scripts, "Print the backing disk"),
        row("sh-lr-of", OnResource, Inspect, G::None, Scripts, "Print the resource below"),
        row("sh-md-dev", OnVolume, Inspect, G::None, Scripts, "Print the metadata device"),
        row("sh-md-idx", OnVolume, Inspect, G::None, Scripts, "Print the metadata index"),
        row("sh-minor", OnVolume, Inspect, G::None, Scripts, "Print the minor number"),
        row("sh-mod-parms", OnConfiguration, Inspect, G::None, Scripts, "Print parameters for the module"),
        row("sh-nop", OnConfiguration, Inspect, G::None, Scripts, "Only read the configuration"),
        row("sh-resource", OnAny, Inspect, G::None, Scripts, "Print the name of the resource"),
        row("sh-resources", OnConfiguration, Inspect, G::None, Scripts, "Print all resources of this node"),
        row("sh-b-pri", OnAny, Promote, G::None, Scripts, "Promote what `become-primary-on` says"),
        row("sh-status", OnAny, ShellStatus, G::None, Scripts, "Print the state as shell variables"),
        row("sh-udev", OnOneVolume, Inspect, G::None, Scripts, "Print names for udev"),
        row("after-resync-target", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("before-resync-source", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("before-resync-target", OnResource, Handler, G::None, Kernel, "Run this handler"),
        row("disconnected", OnResource, Handler, G::None, Kernel, "Run this handler"),
        row("fence-peer", OnResource, Handler, G::None, Kernel, "Run this handler"),
        row("initial-split-brain", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("local-io-error", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("out-of-sync", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("pri-lost", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("pri-lost-after-sb", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("pri-on-incon-degr", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("quorum-lost", OnResource, Handler, G::None, Kernel, "Run this handler"),
        row("split-brain", OnAny, Handler, G::None, Kernel, "Run this handler"),
        row("unfence-peer", OnResource, Handler, G::None, Kernel, "Run this handler"),
        row("check-resize", OnVolume, CheckResize, G::None, Experts, "Use a new size quietly, or move the metadata"),
        row("del-minor", OnVolume, Setup, G::None, Experts, "Remove a device from the kernel"),
        row("new-current-uuid", OnOneVolume, Setup, G::NewCurrentUuid, Experts, "Start a new data generation"),
        row("new-minor", OnVolume, Setup, G::NewMinor, Experts, "Make a device known to the kernel"),
        row("sh-new-minor", OnVolume, Setup, G::NewMinor, Experts, "The old name of new-minor"),
        row("resume-io", OnVolume, Setup, G::None, Experts, "Let suspended I/O go on"),
        row("set-gi", OnOneVolume, Meta, G::None, Experts, "Set the generation identifiers"),
        row("suspend-io", OnVolume, Setup, G::SuspendIo, Experts, "Suspend I/O"),
    ]
};
