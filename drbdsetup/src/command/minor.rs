// SPDX-License-Identifier: GPL-2.0-or-later
//! Questions about a minor of a driver of generation 8.4.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::Path;

use drbd_core::config::META_INDEX_INTERNAL;
use drbd_core::genl::Command;
use drbd_netlink::v1::MinorStatus;
use drbd_netlink::{Client, Device};

use super::{print, Asked};
use crate::cli::MinorQuery;
use crate::render::{explain_generations_84, generations_84};
use crate::{exit, Failure};

/// Where drbdmeta looks for the last known size of a device with internal metadata.
const VAR_LIB: &str = "/var/lib/drbd";

pub(super) fn query(
    client: &mut Client,
    asked: &Asked<'_>,
    query: MinorQuery,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let minor = asked.minor()?;
    if query == MinorQuery::CheckResize {
        return check_resize(client, minor);
    }
    let status = match client.minor_status(minor)? {
        Ok(status) => status,
        Err(reply) => return Err(Failure::of_reply(asked.object(), reply)),
    };
    let state = status.state;
    let answer = match query {
        MinorQuery::ShellStatus => shell_status(minor, &status),
        MinorQuery::Generations { explained } => {
            let Some(line) = generations_84(&status) else {
                eprintln!("Device has no disk");
                return Ok(exit::NO_DISK);
            };
            if explained {
                explain_generations_84(&line, &status)
            } else {
                line
            }
        }
        _ if state.is_unconfigured() => "Unconfigured".to_owned(),
        MinorQuery::Roles => format!("{}/{}", state.role(), state.peer_role()),
        MinorQuery::ConnectionState => state.connection_word().to_owned(),
        MinorQuery::DiskStates => format!("{}/{}", state.disk(), state.peer_disk()),
        MinorQuery::CheckResize => return Ok(exit::OK),
    };
    print(out, &format!("{answer}\n"))?;
    Ok(exit::OK)
}

/// The variables of `sh-status`, in the order of the reference.
fn shell_status(minor: u32, status: &MinorStatus) -> String {
    let state = status.state;
    let flag = |set: bool| if set { "1" } else { "" };
    let known = if state.is_unconfigured() {
        "Unconfigured"
    } else {
        "Configured"
    };
    let [after, peer, user] = state.resync_paused();
    let suspended = state.suspended().contains(&true);
    let percent = status
        .resync_bits
        .map_or_else(String::new, |(total, failed)| {
            percent(total, failed, status.out_of_sync_bits)
        });
    format!(
        "_minor={minor}\n_res_name={}\n_volume={}\n_known={known}\n\n\
         _cstate={}\n_role={}\n_peer={}\n_disk={}\n_pdsk={}\n\n\
         _flags_susp={}\n_flags_aftr_isp={}\n_flags_peer_isp={}\n_flags_user_isp={}\n\n\
         _resynced_percent={percent}\n\n_sh_status_process\n\n",
        status.resource,
        status.volume,
        state.connection_word(),
        state.role(),
        state.peer_role(),
        state.disk(),
        state.peer_disk(),
        flag(suspended),
        flag(after),
        flag(peer),
        flag(user),
    )
}

/// How much of a resync is done, with one digit behind the point.
fn percent(total: u64, failed: u64, out_of_sync: u64) -> String {
    let left = out_of_sync.saturating_sub(failed).min(total);
    let permille = (total - left)
        .saturating_mul(1000)
        .checked_div(total)
        .unwrap_or(1000);
    format!("{}.{}", permille / 10, permille % 10)
}

/// Notes the size of the backing device: after it is resized while the minor is down, drbdmeta finds the metadata by it.
fn check_resize(client: &mut Client, minor: u32) -> Result<u8, Failure> {
    let path = Path::new(VAR_LIB).join(format!("drbd-minor-{minor}.lkbd"));
    let failed = |error: io::Error| {
        Failure::System(format!(
            "the size of the device could not be noted in {}: {error}",
            path.display()
        ))
    };
    for message in client.dump_all(Command::GetDevices)? {
        let device = Device::decode(&message)?;
        let Some(disk) = device.disk.filter(|_| device.minor == minor) else {
            continue;
        };
        if disk.number("meta_dev_idx") != Some(i64::from(META_INDEX_INTERNAL)) {
            // The place of external metadata does not depend on the size. Usually there is no file.
            let _ = fs::remove_file(&path);
            return Ok(exit::OK);
        }
        let backing = disk.text("backing_dev").unwrap_or_default();
        let bytes = File::open(backing)
            .and_then(|mut file| file.seek(SeekFrom::End(0)))
            .map_err(failed)?;
        let temporary = path.with_extension("lkbd.new");
        fs::create_dir_all(VAR_LIB)
            .and_then(|()| fs::write(&temporary, format!("{bytes}\t{backing}\n")))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(failed)?;
        return Ok(exit::OK);
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_what_is_not_out_of_sync() {
        assert_eq!(percent(10_230, 0, 7670), "25.0");
        assert_eq!(percent(10_230, 0, 0), "100.0");
        assert_eq!(percent(0, 0, 0), "100.0");
        assert_eq!(percent(10, 10, 10), "100.0");
    }
}
