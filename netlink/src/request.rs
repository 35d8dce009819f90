// SPDX-License-Identifier: GPL-2.0-or-later
//! Building requests.

use std::net::SocketAddr;

use drbd_core::config::OptionSpec;
use drbd_core::genl::{
    encode_address, Command, Context, Tla, UserHeader, Writer, FLAG_SET_DEFAULTS, NO_MINOR,
};

use crate::options::OptionValue;
use crate::{v1, Api, DrbdMessage, Error};

/// Room for the attributes of a request; the longest have a few hundred bytes.
const REQUEST_BYTES_MAX: usize = 4096;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct RequestMessage {
    command: Command,
    minor: u32,
    set_defaults: bool,
    resource: Option<String>,
    peer_node_id: Option<u32>,
    volume: Option<u32>,
    path: Option<(SocketAddr, SocketAddr)>,
    new_name: Option<String>,
    nests: Vec<(Tla, Vec<(OptionSpec, OptionValue)>)>,
}

impl RequestMessage {
    /// A request about nothing in particular.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            minor: NO_MINOR,
            set_defaults: false,
            resource: None,
            peer_node_id: None,
            volume: None,
            path: None,
            new_name: None,
            nests: Vec::new(),
        }
    }

    /// About this resource.
    #[must_use]
    pub fn resource(mut self, name: &str) -> Self {
        self.resource = Some(name.to_owned());
        self
    }

    /// The resource it is about.
    pub(crate) fn resource_name(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// The same about every resource.
    pub(crate) fn of_every_resource(mut self) -> Self {
        self.resource = None;
        self
    }

    /// Number of the command.
    pub(crate) fn command_number(&self) -> u8 {
        self.command.number()
    }

    /// About this peer of the resource.
    #[must_use]
    pub fn peer(mut self, node_id: u32) -> Self {
        self.peer_node_id = Some(node_id);
        self
    }

    /// About this volume.
    #[must_use]
    pub fn volume(mut self, volume: u32) -> Self {
        self.volume = Some(volume);
        self
    }

    /// About this minor.
    #[must_use]
    pub fn minor(mut self, minor: u32) -> Self {
        self.minor = minor;
        self
    }

    /// Start from the defaults instead of the options in force.
    #[must_use]
    pub fn set_defaults(mut self, yes: bool) -> Self {
        self.set_defaults = yes;
        self
    }

    /// About this path.
    #[must_use]
    pub fn path(mut self, my_addr: SocketAddr, peer_addr: SocketAddr) -> Self {
        self.path = Some((my_addr, peer_addr));
        self
    }

    /// The new name of a rename.
    #[must_use]
    pub fn new_name(mut self, name: &str) -> Self {
        self.new_name = Some(name.to_owned());
        self
    }

    /// Adds an option; several of one group make one nest. A value of another kind than the row's is left out.
    #[must_use]
    pub fn option(mut self, tla: Tla, spec: &OptionSpec, value: OptionValue) -> Self {
        match self.nests.iter_mut().find(|(other, _)| *other == tla) {
            Some((_, options)) => options.push((*spec, value)),
            None => self.nests.push((tla, vec![(*spec, value)])),
        }
        self
    }

    /// Adds an empty nest: commands whose options are all left out still carry their group.
    #[must_use]
    pub fn empty(mut self, tla: Tla) -> Self {
        if !self.nests.iter().any(|(other, _)| *other == tla) {
            self.nests.push((tla, Vec::new()));
        }
        self
    }

    /// The message for a driver of this API version.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn message(&self, api: Api) -> Result<DrbdMessage, Error> {
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let mut writer = Writer::new(&mut buffer);
        match api {
            Api::V1 => self.fill_v1(&mut writer),
            Api::V2 => self.fill(&mut writer),
        }
        .map_err(|_| Error::TooLarge)?;
        let flags = if self.set_defaults {
            FLAG_SET_DEFAULTS
        } else {
            0
        };
        Ok(DrbdMessage {
            command: self.command.number(),
            header: UserHeader {
                minor: self.minor,
                value: i32::from_ne_bytes(flags.to_ne_bytes()),
            },
            attributes: writer.bytes().to_vec(),
        })
    }

    /// A path is the name of the connection there.
    fn fill_v1(&self, writer: &mut Writer<'_>) -> Result<(), drbd_core::genl::NoRoom> {
        let context = Context {
            volume: self.volume,
            resource: self.resource.as_deref(),
            my_addr: self.path.map(|(my_addr, _)| my_addr),
            peer_addr: self.path.map(|(_, peer_addr)| peer_addr),
            ..Context::default()
        };
        v1::lower(&context, &self.nests, writer)
    }

    fn fill(&self, writer: &mut Writer<'_>) -> Result<(), drbd_core::genl::NoRoom> {
        let context = Context {
            volume: self.volume,
            resource: self.resource.as_deref(),
            peer_node_id: self.peer_node_id,
            ..Context::default()
        };
        if context != Context::default() {
            context.encode_request(writer)?;
        }
        if let Some((my_addr, peer_addr)) = &self.path {
            writer.nest(Tla::PathParms, |w| {
                for (nr, address) in [(1, my_addr), (2, peer_addr)] {
                    let (bytes, len) = encode_address(address);
                    w.put_bytes(nr, bytes.get(..len).unwrap_or(&[]))?;
                }
                Ok(())
            })?;
        }
        if let Some(name) = &self.new_name {
            writer.nest(Tla::RenameResourceParms, |w| w.put_text(1, name))?;
        }
        for (tla, options) in &self.nests {
            writer.nest(*tla, |w| {
                options
                    .iter()
                    .try_for_each(|(spec, value)| w.put_option(spec, value.borrow()))
            })?;
        }
        Ok(())
    }
}
