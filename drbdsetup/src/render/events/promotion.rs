// SPDX-License-Identifier: GPL-2.0-or-later
//! `may_promote` and `promotion_score`: what a cluster manager needs to choose a node (drbd9-api.md section 7).

use drbd_core::genl::state::{DiskState, Role, UUID_FLAG_STABLE};

use super::model::Model;

const SCORE_DISK: u64 = 10_000;
const SCORE_UP_TO_DATE: u64 = 100;
const COUNT_MAX: u64 = 99;

/// Whether and how gladly this node would be promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promotion {
    pub(super) may_promote: bool,
    pub(super) score: u64,
}

impl Promotion {
    /// The figures of a resource; `None` when it is not known.
    pub(super) fn of(model: &Model, resource: &str) -> Option<Self> {
        let (info, _) = model.resources.get(resource)?;
        let devices: Vec<_> = model
            .devices
            .iter()
            .filter(|((name, _), _)| name == resource)
            .collect();
        if devices.is_empty()
            || info.fail_io
            || devices.iter().any(|(_, (device, _))| !device.has_quorum)
        {
            return Some(Self::default());
        }
        let mut redundancy_min = u64::MAX;
        let mut up_to_date = 0;
        let mut all_have_disks = true;
        let mut all_reachable = true;
        for ((_, volume), (device, _)) in &devices {
            let own = u64::from(device.disk_state == DiskState::UpToDate);
            let peers = model
                .peer_devices
                .iter()
                .filter(|(((name, _), nr), (peer, _))| {
                    name == resource && nr == volume && peer.peer_disk_state == DiskState::UpToDate
                });
            let stable = peers
                .clone()
                .any(|(_, (_, statistics))| statistics.uuid_flags & UUID_FLAG_STABLE != 0);
            redundancy_min =
                redundancy_min.min(own + u64::try_from(peers.count()).unwrap_or(COUNT_MAX));
            up_to_date += own;
            all_have_disks &= matches!(
                device.disk_state,
                DiskState::UpToDate | DiskState::Consistent | DiskState::Inconsistent
            );
            all_reachable &= own == 1 || stable;
        }
        if redundancy_min == 0 {
            return Some(Self::default());
        }
        let primary_known = info.role == Role::Primary
            || model
                .connections
                .iter()
                .any(|((name, _), (peer, _))| name == resource && peer.peer_role == Role::Primary);
        let disks = if all_have_disks { SCORE_DISK } else { 0 };
        Some(Self {
            may_promote: !primary_known && all_reachable,
            score: disks
                + SCORE_UP_TO_DATE * up_to_date.min(COUNT_MAX)
                + redundancy_min.min(COUNT_MAX),
        })
    }
}
