// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drivers have to do.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::counters::{self, Counters};
use crate::driver::Driver;
use crate::figures::Sample;
use crate::pair::Pair;
use crate::resync;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// The initial resync of the whole device.
    FullResync,
    /// 4 KiB random writes, one at a time.
    Random1,
    /// 4 KiB random writes, 32 at a time.
    Random32,
    /// 1 MiB sequential writes, one at a time.
    Sequential,
}

impl Workload {
    /// All, in the order in which they are measured: the resync makes the
    /// disks equal first.
    pub(crate) const ALL: [Workload; 4] = [
        Workload::FullResync,
        Workload::Random1,
        Workload::Random32,
        Workload::Sequential,
    ];

    /// Name for the reader.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Workload::FullResync => "resync 256 MiB",
            Workload::Random1 => "4 KiB random, depth 1",
            Workload::Random32 => "4 KiB random, depth 32",
            Workload::Sequential => "1 MiB sequential",
        }
    }

    /// Bytes of what counts as one I/O; for the resync, which has none, a MiB.
    pub(crate) fn io_bytes(self) -> u64 {
        match self {
            Workload::Random1 | Workload::Random32 => 4096,
            Workload::FullResync | Workload::Sequential => 1 << 20,
        }
    }

    /// Unit of [`Sample::rate`].
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Workload::Random1 | Workload::Random32 => "IOPS",
            Workload::FullResync | Workload::Sequential => "MiB/s",
        }
    }

    /// Lets the loaded driver do the work once, those without an end for
    /// `duration`.
    ///
    /// # Errors
    ///
    /// If the work fails.
    pub(crate) fn measure(
        self,
        pair: &Pair,
        driver: Driver,
        round: u32,
        duration: Duration,
    ) -> Result<Sample> {
        let (pattern, depth) = match self {
            Workload::FullResync => return resync::measure(pair, driver, round),
            Workload::Random1 => ("randwrite", 1),
            Workload::Random32 => ("randwrite", 32),
            Workload::Sequential => ("write", 1),
        };
        if self == Workload::Random1 {
            warm_up(pair)?;
        }
        let reading =
            || -> Result<Counters> { Counters::parse(&pair.secondary.sh(counters::COMMAND)?) };
        let before = reading()?;
        let said = pair.primary.sh(&format!(
            "cd /tmp; fio --name=w --filename=/dev/drbd0 --ioengine=libaio --direct=1 \
             --rw={pattern} --bs={} --iodepth={depth} --time_based --runtime={}ms \
             --exec_prerun='{command}' --exec_postrun='{command}' \
             --output-format=json --output=w.json && \
             cat w.prerun.txt; echo ==; cat w.postrun.txt; echo ==; cat w.json",
            self.io_bytes(),
            duration.as_millis(),
            command = counters::COMMAND,
        ))?;
        let after = reading()?;
        let mut parts = said.splitn(3, "==\n");
        let mut part = || parts.next().context("fio's output is incomplete");
        let start = Counters::parse(part()?)?;
        let end = Counters::parse(part()?)?;
        let write = Fio::parse(part()?)?;
        Ok(Sample {
            driver,
            workload: self,
            round,
            ios: write.total_ios,
            seconds: write.runtime as f64 / 1000.0,
            packets: (end - start).packets,
            bytes: (end - start).bytes,
            primary_switches: (end - start).switches,
            secondary_switches: (after - before).switches,
        })
    }
}

/// Brings the whole device into the activity log, so that no measurement has
/// more of that to do than another.
pub(crate) fn warm_up(pair: &Pair) -> Result<()> {
    let step = "fio --name=warm --filename=/dev/drbd0 --ioengine=libaio --direct=1 --iodepth=16 \
                --rw=randwrite --bs=4k --number_ios=600";
    pair.primary.sh(step).map(drop).context("warming up")
}

/// The part of fio's JSON that matters.
#[derive(Debug, Deserialize)]
pub(crate) struct Fio {
    jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    error: i64,
    write: Write,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Write {
    /// Writes that were done.
    pub(crate) total_ios: u64,
    /// Milliseconds.
    runtime: u64,
}

impl Fio {
    /// What the only job wrote.
    ///
    /// # Errors
    ///
    /// If it failed, or wrote nothing.
    pub(crate) fn parse(text: &str) -> Result<Write> {
        let all: Fio = serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))?;
        let job = all.jobs.into_iter().next().context("fio ran no job")?;
        ensure!(job.error == 0, "fio got error {}", job.error);
        ensure!(
            job.write.total_ios > 0 && job.write.runtime > 0,
            "fio wrote nothing"
        );
        Ok(job.write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_fio_is_one_of_ours() {
        let text = |error, ios| {
            format!(r#"{{"jobs":[{{"error":{error},"write":{{"total_ios":{ios},"runtime":9}}}}]}}"#)
        };
        assert_eq!(Fio::parse(&text(0, 7)).unwrap().total_ios, 7);
        assert!(Fio::parse(&text(5, 7)).is_err());
        assert!(Fio::parse(&text(0, 0)).is_err());
        assert!(Fio::parse("{\"jobs\":[]}").is_err());
    }
}
