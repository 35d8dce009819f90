// SPDX-License-Identifier: GPL-2.0-or-later
//! The control interface: generic netlink family `drbd`, API version 2.
//!
//! Everything about the messages is in `drbd_core::genl`; here requests meet the objects.

mod commands;
mod dump;
pub(crate) mod facts;

use crate::{
    os::{
        genl::{Command as Row, Cursor, Handler, Kind, Record, Request, Server, UserHdr},
        lock::Arc,
    },
    resource::Registry,
};
use drbd_core::genl::{version_accepted, Command, ATTRIBUTE_MAX, FAMILY_VERSION};
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

/// The registered interface; dropping it ends it and waits for commands under way.
pub(crate) struct Control {
    registry: Arc<Registry>,
    server: Option<Arc<Server>>,
}

impl Control {
    /// Registers the family. Context: task.
    pub(crate) fn start(registry: Arc<Registry>) -> Result<Self> {
        let mut rows = KVec::new();
        for command in Command::ALL {
            if command.is_event() {
                continue;
            }
            let row = Row {
                cmd: command.number(),
                kind: if command.is_dump() {
                    Kind::Dump
                } else {
                    Kind::Do
                },
                admin: command.needs_privilege(),
            };
            rows.push(row, GFP_KERNEL)?;
        }
        let handler = Arc::new(
            Interface {
                registry: registry.clone(),
            },
            GFP_KERNEL,
        )?;
        let server = Server::register(
            u32::from(FAMILY_VERSION),
            u32::from(ATTRIBUTE_MAX),
            &rows,
            handler,
        )?;
        let server = Arc::new(server, GFP_KERNEL)?;
        registry.notifier.set_server(Some(server.clone()));
        Ok(Control {
            registry,
            server: Some(server),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.registry.notifier.set_server(None);
        drop(self.server.take());
    }
}
