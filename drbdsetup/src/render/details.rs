// SPDX-License-Identifier: GPL-2.0-or-later
//! Progress and rates of a resync or online verify.

use drbd_core::genl::state::ReplicationState;
use drbd_core::genl::PeerDeviceStatistics;

const SECTORS_PER_MIB: f64 = 2048.0;

/// Progress of a resync or verify. Rates are MiB/s; NaN and infinity mean unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SyncDetails {
    /// Done, in per cent.
    pub done_percent: f64,
    /// Rate since the oldest mark but one.
    pub rate0: f64,
    /// Rate since the newest mark.
    pub rate1: f64,
    /// Rate since the start, pauses left out.
    pub rate: f64,
    /// Rate the controller wants.
    pub wanted: f64,
    /// Seconds to the end at the newest rate.
    pub seconds_left: f64,
}

impl SyncDetails {
    /// The details, if there are any (drbd9-api.md section 6: `rs_total == 0` means none).
    pub fn of(statistics: &PeerDeviceStatistics, state: ReplicationState) -> Option<Self> {
        if statistics.rs_total == 0 {
            return None;
        }
        let left = if is_verify(state) {
            statistics.ov_left
        } else {
            statistics
                .out_of_sync
                .saturating_sub(statistics.resync_failed)
        };
        let total = sectors(statistics.rs_total);
        let done = sectors(statistics.rs_total.saturating_sub(left));
        let rate1 = rate(statistics.rs_db1_sectors, statistics.rs_dt1_ms);
        Some(Self {
            done_percent: 100.0 * done / total,
            rate0: rate(statistics.rs_db0_sectors, statistics.rs_dt0_ms),
            rate1,
            rate: done
                / SECTORS_PER_MIB
                / seconds(
                    statistics
                        .rs_dt_start_ms
                        .saturating_sub(statistics.rs_paused_ms),
                ),
            wanted: f64::from(statistics.rs_c_sync_rate) / 1024.0,
            seconds_left: sectors(left) / SECTORS_PER_MIB / rate1,
        })
    }
}

/// True while a verify runs.
pub(super) fn is_verify(state: ReplicationState) -> bool {
    matches!(state, ReplicationState::VerifyS | ReplicationState::VerifyT)
}

/// In sync, in per cent of the device.
pub(super) fn in_sync_percent(out_of_sync: u64, size: u64) -> f64 {
    if size == 0 {
        return 0.0;
    }
    100.0 * (1.0 - sectors(out_of_sync) / sectors(size))
}

#[expect(clippy::cast_precision_loss, reason = "sizes for display")]
fn sectors(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "times for display")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn rate(sectors_done: u64, ms: u64) -> f64 {
    sectors(sectors_done) / SECTORS_PER_MIB / seconds(ms)
}

/// Seconds as C prints them: `nan` and `inf` in small letters, no sign.
pub(super) fn shown_seconds(value: f64) -> String {
    if value.is_nan() {
        "nan".into()
    } else if value.is_infinite() {
        "inf".into()
    } else {
        format!("{value:.0}")
    }
}

/// A rate for display: what cannot be told counts as 0.
pub(super) fn shown_rate(value: f64) -> String {
    format!("{:.2}", if value.is_finite() { value } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_recorded_pause() {
        // golden/drbd9/state/10-pausedsyncsource.txt
        let statistics = PeerDeviceStatistics {
            out_of_sync: 83_888,
            rs_total: 130_992,
            rs_dt_start_ms: 11_528,
            rs_dt0_ms: 11_528,
            rs_db0_sectors: 47_104,
            rs_dt1_ms: 5472,
            rs_db1_sectors: 20_480,
            ..PeerDeviceStatistics::default()
        };
        let details = SyncDetails::of(&statistics, ReplicationState::PausedSyncS).unwrap();
        assert_eq!(
            format!(
                "{:.2} {:.2} {:.2} {:.2}",
                details.done_percent, details.rate0, details.rate1, details.rate
            ),
            "35.96 2.00 1.83 2.00"
        );
        assert_eq!(shown_seconds(details.seconds_left), "22");
    }

    #[test]
    fn a_fresh_resync_has_no_rate() {
        let statistics = PeerDeviceStatistics {
            out_of_sync: 24,
            rs_total: 24,
            ..PeerDeviceStatistics::default()
        };
        let details = SyncDetails::of(&statistics, ReplicationState::SyncSource).unwrap();
        assert_eq!(
            (
                shown_rate(details.rate1),
                shown_seconds(details.seconds_left)
            ),
            ("0.00".into(), "nan".into())
        );
        assert!(SyncDetails::of(
            &PeerDeviceStatistics::default(),
            ReplicationState::SyncSource
        )
        .is_none());
    }
}
