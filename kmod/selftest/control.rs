// SPDX-License-Identifier: GPL-2.0-or-later
//! Netlink family, /proc/drbd, user-mode helper, parameters.

use super::{check, mirror::Mirror};
use crate::os::{
    genl::{Command, Cursor, Handler, Kind, Record, Request, Server, UserHdr},
    lock::{new_mutex, Arc, Mutex},
    params,
    procfs::{ProcFile, Show},
    umh,
};
use core::fmt::{self, Write};
use kernel::prelude::*;

/// Stays while the module is loaded.
pub(super) struct Control {
    proc_file: Option<ProcFile>,
    echo: Arc<Echo>,
}

impl Control {
    /// Takes the mirror over, until the module or command 7 removes it.
    pub(super) fn keep(&self, mirror: Mirror) {
        *self.echo.mirror.lock() = Some(mirror);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.echo.server.lock().take());
        drop(self.echo.mirror.lock().take());
        drop(self.proc_file.take());
    }
}

const ECHO: u8 = 5;
const NOTIFY: u8 = 6;
const REMOVE: u8 = 7;
const LIST: u8 = 30;
const RECORDS: u64 = 300;

#[pin_data]
struct Echo {
    #[pin]
    server: Mutex<Option<Server>>,
    #[pin]
    mirror: Mutex<Option<Mirror>>,
}

impl Handler for Echo {
    fn doit(&self, request: &Request<'_>, out: &mut [u8]) -> Result<(UserHdr, usize)> {
        let hdr = UserHdr {
            minor: request.hdr.minor,
            value: 101,
        };
        if request.cmd == NOTIFY {
            let server = self.server.lock();
            server
                .as_ref()
                .ok_or(ENODEV)?
                .multicast(NOTIFY, request.hdr, request.attrs)?;
            return Ok((hdr, 0));
        }
        if request.cmd == REMOVE {
            // In use or not: the disk goes at once, its last parts at the last close.
            drop(self.mirror.lock().take());
            return Ok((hdr, 0));
        }
        if request.hdr.value == 99 {
            return Err(EINVAL);
        }
        let len = request.attrs.len();
        out.get_mut(..len)
            .ok_or(EMSGSIZE)?
            .copy_from_slice(request.attrs);
        Ok((hdr, len))
    }

    fn dump(
        &self,
        request: &Request<'_>,
        cursor: &mut Cursor,
        out: &mut [u8],
    ) -> Result<Option<Record>> {
        let [at, ..] = cursor;
        if *at >= RECORDS {
            return Ok(None);
        }
        // One attribute of type 2 with 100 bytes, the record number first.
        let head = [104, 0, 2, 0, *at as u8, (*at >> 8) as u8];
        let part = out.get_mut(..104).ok_or(EMSGSIZE)?;
        part.fill(0);
        for (to, from) in part.iter_mut().zip(head) {
            *to = from;
        }
        let hdr = UserHdr {
            minor: *at as u32,
            value: if request.sys_admin { 101 } else { 1 },
        };
        *at = at.wrapping_add(1);
        Ok(Some(Record {
            cmd: LIST,
            hdr,
            len: 104,
        }))
    }
}

struct Version;

impl Show for Version {
    fn show(&self, out: &mut dyn Write) -> fmt::Result {
        let api = params::api_version();
        writeln!(out, "version: 9.90.0 (api:{api}/proto:86-101)")
    }
}

pub(super) fn run() -> Result<Control> {
    check(
        params::minor_count() == 32 && params::api_version() == 2,
        "parameters",
    )?;
    check(
        params::strict_names() && !params::disable_sendpage(),
        "boolean parameters",
    )?;
    check(params::protocol_version_min() == 86, "protocol_version_min")?;
    let mut buf = [0; params::HELPER_MAX];
    check(
        params::usermode_helper(&mut buf) == c"/sbin/drbdadm",
        "usermode_helper",
    )?;
    check(!params::helper_disabled(), "helper is on")?;

    check(
        umh::run(c"/bin/sh", &[c"-c", c"exit 7"], &[])? == 7,
        "helper's exit code",
    )?;
    let env = umh::run(
        c"/bin/sh",
        &[c"-c", c"test \"$DRBD_NODE\" = n1"],
        &[c"DRBD_NODE=n1"],
    )?;
    check(env == 0, "helper's environment")?;
    check(
        umh::run(c"/bin/sh", &[c"-c", c"kill -9 $$"], &[])? == 137,
        "helper killed",
    )?;
    check(
        umh::run(c"/nonesuch", &[], &[]) == Err(ENOENT),
        "helper missing",
    )?;

    let proc_file = ProcFile::new(c"drbd", Arc::new(Version, GFP_KERNEL)?)?;
    let echo = Arc::pin_init(
        pin_init!(Echo { server <- new_mutex!(None), mirror <- new_mutex!(None) }),
        GFP_KERNEL,
    )?;
    let rows = [
        Command {
            cmd: LIST,
            kind: Kind::Dump,
            admin: false,
        },
        Command {
            cmd: NOTIFY,
            kind: Kind::Do,
            admin: true,
        },
        Command {
            cmd: REMOVE,
            kind: Kind::Do,
            admin: true,
        },
        Command {
            cmd: ECHO,
            kind: Kind::Do,
            admin: true,
        },
    ];
    let server = Server::register(2, 34, &rows, echo.clone())?;
    check(
        Server::register(2, 34, &rows, echo.clone()).is_err(),
        "family exists",
    )?;
    *echo.server.lock() = Some(server);
    Ok(Control {
        proc_file: Some(proc_file),
        echo,
    })
}
