// SPDX-License-Identifier: GPL-2.0-or-later
//! Options that a command hands on to drbdsetup or drbdmeta.
//!
//! Options of the kernel come from the table that the configuration's grammar
//! reads, too; the few others are listed here.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction};
use drbd_conf::schema::{self, Kind, Scope};
use drbd_conf::Dialect;

/// A set of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    None,
    Force,
    Adjust,
    Attach,
    Connect,
    CreateMd,
    Detach,
    DiskOptions,
    Explain,
    Invalidate,
    NetOptions,
    NewCurrentUuid,
    NewMinor,
    NewPeer,
    PeerDeviceOptions,
    ResetBitmap,
    Resize,
    ResourceOptions,
    Startup,
    Status,
    SuspendIo,
    Top,
    Verify,
}

/// How an option that is not in the table takes its value.
#[derive(Clone, Copy)]
enum Takes {
    /// `--x`, `--x=yes`, `--x=no`
    YesNo,
    /// `--x`
    Nothing,
    /// `--x=VALUE` or `--x VALUE`
    Value(&'static str),
    /// `--x` or `--x=VALUE`
    Perhaps(&'static str),
}

use Takes::{Nothing, Perhaps, Value, YesNo};

impl Group {
    fn tables(self) -> &'static [Scope] {
        match self {
            Group::Attach | Group::DiskOptions => &[Scope::Disk],
            Group::NetOptions | Group::NewPeer => &[Scope::Net],
            Group::PeerDeviceOptions => &[Scope::PeerDevice],
            Group::ResourceOptions => &[Scope::Resource],
            Group::NewMinor => &[Scope::Device],
            Group::Startup => &[Scope::Startup],
            _ => &[],
        }
    }

    /// Options of the table that a generation knows.
    fn specs(self, dialect: Dialect) -> Vec<schema::OptionSpec> {
        let mut list: Vec<_> = self
            .tables()
            .iter()
            .flat_map(|scope| schema::options_in(dialect, *scope))
            .collect();
        if dialect.is_84() && matches!(self, Group::Attach | Group::DiskOptions) {
            list.extend(schema::options_in(dialect, Scope::PeerDevice));
            list.extend(schema::find(&[Scope::Net], "fencing"));
        }
        if dialect.is_84() && self == Group::Connect {
            list.extend(schema::options_in(dialect, Scope::Net));
        }
        if dialect.is_84() {
            list.retain(|spec| spec.name != "fencing" || self.tables() == [Scope::Disk]);
        }
        list
    }

    fn others(self) -> &'static [(&'static str, Takes, &'static str)] {
        match self {
            Group::Force => &[("force", YesNo, "Go on where it is normally refused")],
            Group::Adjust => &[
                ("skip-disk", Nothing, "Leave disks alone"),
                ("skip-net", Nothing, "Leave connections alone"),
            ],
            Group::Connect => &[
                (
                    "discard-my-data",
                    YesNo,
                    "In a split brain, give up what was written here",
                ),
                ("tentative", YesNo, "Only find out what would happen"),
            ],
            Group::CreateMd => &[
                ("force", YesNo, "Ask nothing"),
                ("max-peers", Value("N"), "Room for N peers, 1 to 31"),
                ("format", Value("v08|v09"), "Metadata format"),
                ("al-stripes", Value("N"), "Stripes of the activity log"),
                (
                    "al-stripe-size-kB",
                    Value("KIB"),
                    "Size of an activity log stripe",
                ),
                (
                    "bitmap-block-size",
                    Value("BYTES"),
                    "Data that one bit of the bitmap stands for",
                ),
                (
                    "ignore-sanity-checks",
                    YesNo,
                    "Overwrite what looks like data",
                ),
            ],
            Group::Detach => &[
                ("force", YesNo, "Do not wait for I/O in flight"),
                ("diskless", YesNo, "Stay without a disk on purpose"),
            ],
            Group::Explain => &[(
                "peer-gi",
                Value("GI"),
                "What `drbdadm get-gi` prints on the peer",
            )],
            Group::Invalidate => &[
                ("force", YesNo, "Ask nothing"),
                (
                    "reset-bitmap",
                    YesNo,
                    "Copy everything, not only differences",
                ),
                (
                    "sync-from-peer-node-id",
                    Value("ID"),
                    "Fetch from this peer",
                ),
            ],
            Group::ResetBitmap => &[(
                "reset-bitmap",
                YesNo,
                "Copy everything, not only differences",
            )],
            Group::NewCurrentUuid => &[
                ("clear-bitmap", YesNo, "Declare the disks equal"),
                ("force-resync", YesNo, "Make all peers resynchronize"),
            ],
            Group::Resize => &[
                ("size", Value("SIZE"), "Size of the device"),
                ("assume-clean", YesNo, "Do not resynchronize the new part"),
                (
                    "assume-peer-has-space",
                    YesNo,
                    "Do not ask peers that are not connected",
                ),
                ("al-stripes", Value("N"), "Stripes of the activity log"),
                (
                    "al-stripe-size-kB",
                    Value("KIB"),
                    "Size of an activity log stripe",
                ),
            ],
            Group::Status => &[
                ("statistics", Nothing, "Show counters, too"),
                ("color", Perhaps("WHEN"), "always, auto or never"),
            ],
            Group::SuspendIo => &[("bdev-freeze", YesNo, "Freeze the file system, too")],
            Group::Top => &[
                (
                    "interval",
                    Value("SECONDS"),
                    "Time between two looks, 2 if not given",
                ),
                ("count", Value("N"), "Print N pictures and end"),
            ],
            Group::Verify => &[
                ("start", Value("SECTOR"), "Where to begin"),
                ("stop", Value("SECTOR"), "Where to end"),
            ],
            Group::None
            | Group::Attach
            | Group::DiskOptions
            | Group::NetOptions
            | Group::NewMinor
            | Group::NewPeer
            | Group::PeerDeviceOptions
            | Group::ResourceOptions
            | Group::Startup => &[],
        }
    }

    /// Whether options are replaced as a set with `--set-defaults`.
    fn has_set_defaults(self) -> bool {
        matches!(
            self,
            Group::DiskOptions
                | Group::NetOptions
                | Group::PeerDeviceOptions
                | Group::ResourceOptions
        )
    }

    /// The options as clap knows them.
    pub(crate) fn arguments(self, dialect: Dialect) -> Vec<Arg> {
        let mut list = Vec::new();
        for spec in self.specs(dialect) {
            if spec.name.starts_with('_') || (self == Group::DiskOptions && spec.name == "size") {
                continue;
            }
            let arg = Arg::new(spec.name).long(spec.name).help(help(&spec));
            list.push(if spec.is_flag() {
                perhaps(arg, "yes|no").value_parser(["yes", "no"])
            } else if spec.takes_only_words() {
                one(arg, "WORD").value_parser(PossibleValuesParser::new(spec.words()))
            } else {
                let what = match spec.kind {
                    Kind::Text { .. } => "TEXT",
                    Kind::Volume => "MINOR",
                    _ => "VALUE",
                };
                one(arg, what)
            });
        }
        for (name, takes, help) in self.others() {
            let foreign = matches!(*name, "max-peers" | "bitmap-block-size" | "force-resync")
                || (*name == "diskless" && self == Group::Detach);
            if dialect.is_84() && foreign {
                continue;
            }
            let arg = Arg::new(*name).long(*name).help(*help);
            list.push(match takes {
                YesNo => perhaps(arg, "yes|no").value_parser(["yes", "no"]),
                Perhaps(what) => perhaps(arg, what),
                Value(what) => one(arg, what),
                Nothing => arg.action(ArgAction::SetTrue),
            });
        }
        if self == Group::Force {
            // `primary --overwrite-data-of-peer` is the old name.
            for arg in &mut list {
                *arg = arg.clone().alias("overwrite-data-of-peer");
            }
        }
        if self.has_set_defaults() {
            list.push(
                Arg::new("set-defaults")
                    .long("set-defaults")
                    .action(ArgAction::SetTrue)
                    .help("Put options that are not given back to their defaults"),
            );
        }
        list
    }
}

/// What an option does, and in which version it came.
fn help(spec: &schema::OptionSpec) -> String {
    let text = spec.help.trim();
    match schema::since(spec.name) {
        Some(version) => format!("{text} (since {version})").trim().to_owned(),
        None => text.to_owned(),
    }
}

fn one(arg: Arg, what: &'static str) -> Arg {
    arg.action(ArgAction::Append)
        .num_args(1)
        .value_name(what)
        .allow_hyphen_values(true)
}

fn perhaps(arg: Arg, what: &'static str) -> Arg {
    arg.action(ArgAction::Append)
        .num_args(0..=1)
        .require_equals(true)
        .value_name(what)
}
