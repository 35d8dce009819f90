// SPDX-License-Identifier: GPL-2.0-or-later
//! The control interface: generic netlink family `drbd`, API version 2, or with `api_version=1` the dialect of 8.4.
//!
//! Everything about the messages is in `drbd_core::genl`; here requests meet the objects. Version 1 is carried out by the
//! commands of version 2.

mod commands;
mod dump;
pub(crate) mod facts;
mod v1;
mod v1_dump;
pub(crate) mod v1_status;

use crate::{
    os::{
        genl::{Command as Row, Cursor, Handler, Kind, Record, Request, Server, UserHdr},
        lock::Arc,
        params,
    },
    resource::Registry,
};
use drbd_core::genl::{v1 as dialect, version_accepted, Command, ATTRIBUTE_MAX, FAMILY_VERSION};
use kernel::prelude::*;

/// Answers requests.
struct Interface {
    registry: Arc<Registry>,
}

impl Handler for Interface {
    fn doit(&self, request: &Request<'_>, out: &mut [u8]) -> Result<(UserHdr, usize)> {
        let command = Command::from_number(request.cmd).ok_or(EOPNOTSUPP)?;
        if !version_accepted(command, request.version) {
            return Err(EINVAL);
        }
        commands::run(&self.registry, command, request, out)
    }

    fn dump(
        &self,
        request: &Request<'_>,
        cursor: &mut Cursor,
        out: &mut [u8],
    ) -> Result<Option<Record>> {
        let command = Command::from_number(request.cmd).ok_or(EOPNOTSUPP)?;
        dump::next(&self.registry, command, request, cursor, out)
    }
}

/// Answers requests of the 8.4 tools.
struct Dialect84 {
    registry: Arc<Registry>,
}

impl Handler for Dialect84 {
    fn doit(&self, request: &Request<'_>, out: &mut [u8]) -> Result<(UserHdr, usize)> {
        v1::run(&self.registry, request, out)
    }

    fn dump(
        &self,
        request: &Request<'_>,
        cursor: &mut Cursor,
        out: &mut [u8],
    ) -> Result<Option<Record>> {
        v1_dump::next(&self.registry, request, cursor, out)
    }
}

/// The registered interface; dropping it ends it and waits for commands under way.
pub(crate) struct Control {
    registry: Arc<Registry>,
    server: Option<Arc<Server>>,
}

impl Control {
    /// Registers the family. Context: task.
    pub(crate) fn start(registry: Arc<Registry>) -> Result<Self> {
        let server = match params::api_version() {
            1 => start_v1(&registry)?,
            2 => start_v2(&registry)?,
            other => {
                pr_err!(
                    "api_version={}: there are 2 (drbd-utils 9) and 1 (the 8.4 tools)\n",
                    other
                );
                return Err(EINVAL);
            }
        };
        let server = Arc::new(server, GFP_KERNEL)?;
        registry.notifier.set_server(Some(server.clone()));
        Ok(Control {
            registry,
            server: Some(server),
        })
    }
}

fn row(command: Command) -> Row {
    let kind = if command.is_dump() {
        Kind::Dump
    } else {
        Kind::Do
    };
    Row {
        cmd: command.number(),
        kind,
        admin: command.needs_privilege(),
    }
}

fn start_v2(registry: &Arc<Registry>) -> Result<Server> {
    let mut rows = KVec::new();
    for command in Command::ALL.iter().filter(|command| !command.is_event()) {
        rows.push(row(*command), GFP_KERNEL)?;
    }
    let registry = registry.clone();
    let handler = Arc::new(Interface { registry }, GFP_KERNEL)?;
    let version = u32::from(FAMILY_VERSION);
    Server::register(version, u32::from(ATTRIBUTE_MAX), &rows, handler)
}

fn start_v1(registry: &Arc<Registry>) -> Result<Server> {
    let mut rows = KVec::new();
    for kind in [Kind::Do, Kind::Dump] {
        let cmd = dialect::GET_STATUS;
        let admin = false;
        rows.push(Row { cmd, kind, admin }, GFP_KERNEL)?;
    }
    let commands = (0..=u8::MAX).filter_map(dialect::command);
    for command in commands.filter(|command| !command.is_event()) {
        rows.push(row(command), GFP_KERNEL)?;
    }
    let registry = registry.clone();
    let handler = Arc::new(Dialect84 { registry }, GFP_KERNEL)?;
    let version = u32::from(dialect::FAMILY_VERSION);
    Server::register(version, u32::from(dialect::ATTRIBUTE_MAX), &rows, handler)
}

impl Drop for Control {
    fn drop(&mut self) {
        self.registry.notifier.set_server(None);
        drop(self.server.take());
    }
}
