// SPDX-License-Identifier: GPL-2.0-or-later
//! The tree of a configuration.
//!
//! One set of types serves the text as written and the resolved configuration:
//! `resolve` fills in what the text leaves out and marks it as derived, so
//! that `dump` can print either.

mod connection;
mod host;
mod volume;

pub use connection::{Connection, Mesh, Path, PathHost, PeerDevice};
pub use host::{Address, Family, Host, HostKind, HostProxy};
pub use volume::{MetaDisk, MetaIndex, Volume};

use crate::dialect::Dialect;
use crate::source::{SourceMap, Span};

/// An option as given, or as inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its modern name.
    pub name: String,
    /// Its value; `no-x` and bare booleans already have theirs.
    pub value: String,
    /// The statement; of an inherited option the statement it came from.
    pub span: Span,
    /// How special the place is it was written at; higher wins.
    pub level: Level,
}

/// Places options are written at, from the most general to the most special.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `common`, of the file or of a template.
    Common,
    /// The resource.
    Resource,
    /// `connection-mesh`.
    Mesh,
    /// A `volume` of the resource.
    ResourceVolume,
    /// A host, or a volume in it.
    Host,
    /// A `connection`.
    Connection,
    /// A `volume` of a connection.
    PeerDevice,
}

/// The three kinds of options a `disk { }` section holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskOptions {
    /// Of the backing device.
    pub disk: Vec<Opt>,
    /// Of the volume itself.
    pub device: Vec<Opt>,
    /// Per connection.
    pub peer_device: Vec<Opt>,
}

impl DiskOptions {
    /// Whether no option is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.disk.is_empty() && self.device.is_empty() && self.peer_device.is_empty()
    }

    /// All options in the order they are printed.
    pub fn iter(&self) -> impl Iterator<Item = &Opt> {
        self.disk
            .iter()
            .chain(&self.peer_device)
            .chain(&self.device)
    }
}

/// A `proxy { }` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Its options.
    pub options: Vec<Opt>,
    /// Its plugin lines, words joined by one space.
    pub plugins: Vec<String>,
}

impl ProxyOptions {
    /// Whether the section would print nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.options.is_empty() && self.plugins.is_empty()
    }
}

/// The sections `common` and `resource` share.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// `options { }`.
    pub options: Vec<Opt>,
    /// `net { }`.
    pub net: Vec<Opt>,
    /// `disk { }`.
    pub disk: DiskOptions,
    /// `startup { }`.
    pub startup: Vec<Opt>,
    /// `stacked-timeouts` in `startup { }`.
    pub stacked_timeouts: bool,
    /// `become-primary-on` in `startup { }`; read, and used by nothing here.
    pub become_primary_on: Vec<String>,
    /// `proxy { }`.
    pub proxy: ProxyOptions,
    /// `handlers { }`.
    pub handlers: Vec<Opt>,
}

impl Sections {
    /// Whether nothing is there to print.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
            && self.net.is_empty()
            && self.disk.is_empty()
            && self.startup.is_empty()
            && !self.stacked_timeouts
            && self.proxy.is_empty()
            && self.handlers.is_empty()
    }
}

/// `usage-count`; read, and used by nothing: nothing is ever sent anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageCount {
    /// Count.
    Yes,
    /// Do not count.
    No,
    /// The default.
    #[default]
    Ask,
}

/// `global { }`.
#[derive(Clone, Debug, Default)]
pub struct Global {
    /// Do not check that this node has the address of its host section.
    pub disable_ip_verification: bool,
    /// `SYMLINK_BY_RES` always has the volume number.
    pub udev_always_use_vnr: bool,
    /// Number of minors for a module parameter of 8.3.
    pub minor_count: Option<u32>,
    /// Seconds between two redraws of the wait dialog.
    pub dialog_refresh: Option<u32>,
    /// Seconds; 5 if not given.
    pub cmd_timeout_short: Option<u32>,
    /// Seconds; 121 if not given.
    pub cmd_timeout_medium: Option<u32>,
    /// Seconds; 600 if not given.
    pub cmd_timeout_long: Option<u32>,
    /// Whether installations may be counted.
    pub usage_count: UsageCount,
}

/// A file named by `template-file`.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name, made absolute.
    pub path: String,
    /// What its `common` section says.
    pub common: Sections,
}

/// A `resource`.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// The name, as written.
    pub span: Span,
    /// The `{` behind it: the line that tools call the resource's own.
    pub open: Span,
    /// `template-file`.
    pub template: Option<Template>,
    /// Option sections.
    pub sections: Sections,
    /// Volumes of the resource, for every host.
    pub volumes: Vec<Volume>,
    /// `on`, `floating` and `stacked-on-top-of`, in file order.
    pub hosts: Vec<Host>,
    /// Connections, as written or derived.
    pub connections: Vec<Connection>,
    /// `connection-mesh`.
    pub meshes: Vec<Mesh>,
    /// Index in `hosts` of this node. Resolved.
    pub local: Option<usize>,
}

impl Resource {
    /// Whether one host section is `stacked-on-top-of`.
    #[must_use]
    pub fn is_stacked(&self) -> bool {
        self.hosts
            .iter()
            .any(|host| matches!(host.kind, HostKind::Stacked { .. }))
    }

    /// Whether this node has a part in the resource. Resolved.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// This node's host section. Resolved.
    #[must_use]
    pub fn local_host(&self) -> Option<&Host> {
        self.hosts.get(self.local?)
    }
}

/// `require-drbd-module-version-...`
#[derive(Clone, Debug)]
pub struct Requirement {
    /// `eq`, `ne`, `gt`, `ge`, `lt` or `le`.
    pub relation: String,
    /// The version the loaded driver is compared with.
    pub version: [u32; 3],
    /// The statement.
    pub span: Span,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every file read.
    pub sources: SourceMap,
    /// The generation it was read for.
    pub dialect: Dialect,
    /// Name of the first file.
    pub path: String,
    /// `global { }`.
    pub global: Global,
    /// `common { }`, if there is one.
    pub common: Option<Sections>,
    /// Resources in file order.
    pub resources: Vec<Resource>,
    /// Demands on the loaded driver.
    pub requirements: Vec<Requirement>,
    /// Include patterns without a match: worth a word when asked to be verbose.
    pub unmatched_includes: Vec<(Span, String)>,
}
