// SPDX-License-Identifier: GPL-2.0-or-later
//! The full resync, timed by the driver's own events.

use std::time::Duration;

use anyhow::{ensure, Context, Result};

use crate::counters::{self, Counters};
use crate::driver::{Driver, RESOURCE};
use crate::figures::Sample;
use crate::pair::Pair;
use crate::workload::Workload;

/// For 256 MiB.
const LIMIT: Duration = Duration::from_secs(180);

/// Promotes the node by force and follows the events from the begin of the
/// resync to its end, without asking anything in between: that would cost the
/// processor that is measured.
const SCRIPT: &str = r#"
cd /tmp; rm -f events; mkfifo events
$setup events2 "$resource" >events & listener=$!
exec 3<events
said() { while read -t 150 -r line <&3; do case $line in $1) return 0;; esac; done; return 1; }
said 'exists -'
$counters >before
$adm -- --force primary "$resource" >/dev/null 2>&1 & promotion=$!
said '*replication:SyncSource*'
start=$EPOCHREALTIME
said '*replication:Established*'
end=$EPOCHREALTIME; $counters >after
case $line in *peer-disk:UpToDate*) ;; *) echo "the resync ended with: $line" >&2; exit 1;; esac
wait $promotion; kill $listener
echo "$start $end"; echo ==; cat before; echo ==; cat after
"#;

/// Measures the resync that makes the secondary's disk good.
///
/// # Errors
///
/// If the node cannot be promoted, or the resync fails or takes too long.
pub(crate) fn measure(pair: &Pair, driver: Driver, round: u32) -> Result<Sample> {
    let script = format!(
        "{} resource={RESOURCE} counters='{}'\n{SCRIPT}",
        driver.tools(),
        counters::COMMAND
    );
    let reading =
        || -> Result<Counters> { Counters::parse(&pair.secondary.sh(counters::COMMAND)?) };
    let before = reading()?;
    let said = pair.primary.sh_within(&script, LIMIT)?;
    let after = reading()?;
    let mut parts = said.splitn(3, "==\n");
    let mut part = || parts.next().context("the script's output is incomplete");
    let seconds = elapsed(part()?)?;
    let moved = {
        let start = Counters::parse(part()?)?;
        Counters::parse(part()?)? - start
    };
    let bytes = pair.device_bytes()?;
    // Headers come on top; a resync that sends less has skipped something.
    ensure!(
        moved.bytes >= bytes,
        "{} bytes went over the wire for a device of {bytes}",
        moved.bytes
    );
    Ok(Sample {
        driver,
        workload: Workload::FullResync,
        round,
        ios: bytes / Workload::FullResync.io_bytes(),
        seconds,
        packets: moved.packets,
        bytes: moved.bytes,
        primary_switches: moved.switches,
        secondary_switches: (after - before).switches,
    })
}

/// Seconds between two points of time in seconds.
fn elapsed(text: &str) -> Result<f64> {
    let times: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    match times
        .with_context(|| format!("no times: {text}"))?
        .as_slice()
    {
        [start, end] if end > start => Ok(end - start),
        _ => anyhow::bail!("no two times: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward() {
        assert!((elapsed("10.5 12.75\n").unwrap() - 2.25).abs() < 1e-9);
        assert!(elapsed("12.75 10.5").is_err());
        assert!(elapsed("1.0").is_err());
        assert!(elapsed("now then").is_err());
    }
}
