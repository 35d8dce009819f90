// SPDX-License-Identifier: GPL-2.0-or-later
//! `/proc/drbd`: what user space needs to see before it talks to the module (drbd9-api section 1), and with
//! `api_version=1` the state of every volume as 8.4 shows it (control-plane section 9.1).

use crate::{
    device::Device,
    netlink::{facts, v1_status},
    os::{
        lock::Arc,
        procfs::{ProcFile, Show},
    },
    resource::{Registry, Resource},
};
use core::fmt::{Result as Written, Write};
use drbd_core::{
    config::Protocol,
    genl::{state::WriteOrdering, v1::VolumeFacts},
    state::{Conn, Disk, Role, State},
    wire::Dialect,
};
use kernel::prelude::*;

/// What the 8.4 tools take for the version of the in-tree driver. They show the source version, and nothing else.
const VERSION_84: &str = "8.4.11";
const SOURCE_VERSION_84: &str = "D4BD45D4BD45D4BD45D4BD4";

struct Version;

impl Show for Version {
    fn show(&self, out: &mut dyn Write) -> Written {
        // The tools take the first word behind "version:".
        writeln!(
            out,
            "version: 9.90.0 (api:2/proto:{}-{})",
            Dialect::OWN_MIN,
            Dialect::OWN_MAX
        )?;
        writeln!(
            out,
            "drbd-rs: DRBD in Rust\nTransports (api:22): tcp (9.90.0)"
        )
    }
}

struct Volumes {
    registry: Arc<Registry>,
}

impl Show for Volumes {
    fn show(&self, out: &mut dyn Write) -> Written {
        writeln!(
            out,
            "version: {VERSION_84} (api:1/proto:86-{})",
            Dialect::OWN_MAX
        )?;
        writeln!(out, "srcversion: {SOURCE_VERSION_84:<24}")?;
        let mut next = 0u32;
        let mut expected = 0u32;
        while let Some((resource, device)) = self.lowest_from(next) {
            if device.minor != expected {
                writeln!(out)?;
            }
            show_volume(&resource, &device, out)?;
            let Some(after) = device.minor.checked_add(1) else {
                break;
            };
            (next, expected) = (after, after);
        }
        Ok(())
    }
}

impl Volumes {
    /// The volume with the lowest minor that is at least `minor`.
    fn lowest_from(&self, minor: u32) -> Option<(Arc<Resource>, Arc<Device>)> {
        let mut lowest: Option<(Arc<Resource>, Arc<Device>)> = None;
        for resource in self.registry.resources().unwrap_or_default().iter() {
            for device in resource.devices().unwrap_or_default().iter() {
                let better = lowest
                    .as_ref()
                    .is_none_or(|(_, found)| device.minor < found.minor);
                if device.minor >= minor && better {
                    lowest = Some((resource.clone(), device.clone()));
                }
            }
        }
        lowest
    }
}

fn show_volume(resource: &Resource, device: &Device, out: &mut dyn Write) -> Written {
    let state = device.state();
    let minor = device.minor;
    let unconfigured = state.conn == Conn::StandAlone
        && state.disk == Disk::Diskless
        && state.role == Role::Secondary;
    if unconfigured {
        return writeln!(out, "{minor:2}: cs:Unconfigured");
    }
    let connections = facts::connections(resource).unwrap_or_default();
    let protocol = match connections.first().map(|connection| connection.net().wire_protocol) {
        Some(Protocol::A) => 'A',
        Some(Protocol::B) => 'B',
        Some(Protocol::C) => 'C',
        None => ' ',
    };
    let volume = v1_status::facts_of(device);
    let statistics = facts::device_statistics(device);
    let flag = |set: bool, letter: char| if set { letter } else { '-' };
    writeln!(
        out,
        "{minor:2}: cs:{} ro:{}/{} ds:{}/{} {protocol} {}{}{}{}-{}",
        state.conn.name(),
        state.role.name(),
        state.peer.name(),
        state.disk.name(),
        state.pdsk.name(),
        if state.suspended() { 's' } else { 'r' },
        flag(state.aftr_isp, 'a'),
        flag(state.peer_isp, 'p'),
        flag(state.user_isp, 'u'),
        flag(statistics.al_suspended, 's'),
    )?;
    let ordering = match facts::resource_statistics(resource).write_ordering {
        WriteOrdering::Flush => 'f',
        WriteOrdering::Drain => 'd',
        WriteOrdering::None => 'n',
        WriteOrdering::Barrier => 'b',
    };
    let kib = |sectors: u64| sectors / 2;
    let out_of_sync_kib = kib(facts::out_of_sync_sectors(device));
    writeln!(
        out,
        "    ns:{} nr:{} dw:{} dr:{} al:{} bm:{} lo:{} pe:{} ua:{} ap:{} ep:1 wo:{ordering} oos:{out_of_sync_kib}",
        kib(volume.sent),
        kib(volume.received),
        kib(volume.written),
        kib(volume.read),
        volume.al_writes,
        volume.bm_writes,
        statistics.lower_pending,
        volume.pending.saturating_add(volume.resync_pending),
        facts::unacked(device),
        volume.application_requests,
    )?;
    show_progress(&state, &volume, out_of_sync_kib, out)
}

/// The bar of a resync: what is left of what was to be done.
fn show_progress(
    state: &State,
    volume: &VolumeFacts,
    left_kib: u64,
    out: &mut dyn Write,
) -> Written {
    let Some((total_bits, _)) = volume.resync_bits else {
        return Ok(());
    };
    if !matches!(state.conn, Conn::SyncSource | Conn::SyncTarget) || total_bits == 0 {
        return Ok(());
    }
    let total_kib = total_bits.saturating_mul(4);
    let done = total_kib.saturating_sub(left_kib).saturating_mul(1000);
    let permille = done.checked_div(total_kib).unwrap_or(0).min(1000);
    let marks = permille / 50;
    write!(out, "\t[")?;
    for _ in 1..marks {
        out.write_char('=')?;
    }
    out.write_char('>')?;
    for _ in marks..20 {
        out.write_char('.')?;
    }
    let (whole, tenth) = (permille / 10, permille % 10);
    writeln!(out, "] sync'ed:{whole:3}.{tenth}% ({left_kib}/{total_kib})K")
}

/// Creates the file. Context: task.
pub(crate) fn create(registry: &Arc<Registry>) -> Result<ProcFile> {
    let author: Arc<dyn Show> = if facts::is_v1() {
        let registry = registry.clone();
        Arc::new(Volumes { registry }, GFP_KERNEL)?
    } else {
        Arc::new(Version, GFP_KERNEL)?
    };
    ProcFile::new(c"drbd", author)
}
