// SPDX-License-Identifier: GPL-2.0-or-later
//! Single measurements, and what they amount to.

use serde::Serialize;

use crate::driver::Driver;
use crate::workload::Workload;

/// One driver's work in one round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Who did it.
    pub(crate) driver: Driver,
    /// What was done.
    pub(crate) workload: Workload,
    /// Round, from 0.
    pub(crate) round: u32,
    /// I/Os of [`Workload::io_bytes`] each.
    pub(crate) ios: u64,
    /// Duration.
    pub(crate) seconds: f64,
    /// Frames over the wire, both ways.
    pub(crate) packets: u64,
    /// Bytes of those frames.
    pub(crate) bytes: u64,
    /// Context switches of the node that writes; fio's are among them.
    pub(crate) primary_switches: u64,
    /// Context switches of the other node.
    pub(crate) secondary_switches: u64,
}

impl Sample {
    /// In the workload's unit, which both times is I/Os a second.
    pub(crate) fn rate(&self) -> f64 {
        self.ios as f64 / self.seconds
    }

    /// The rate with its unit.
    pub(crate) fn rate_text(&self) -> String {
        format!("{:.0} {}", self.rate(), self.workload.unit())
    }

    fn per_io(&self, count: u64) -> f64 {
        count as f64 / self.ios as f64
    }
}

/// Median of several values, the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The value in the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The greatest.
    pub(crate) greatest: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = match values.get(middle.checked_sub(1).unwrap_or(middle)) {
            Some(lower) if values.len() % 2 == 0 => (lower + upper) / 2.0,
            _ => upper,
        };
        Some(Spread {
            median,
            least: *values.first()?,
            greatest: *values.last()?,
        })
    }
}

/// What one driver is worth at one workload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// The work.
    pub(crate) workload: Workload,
    /// The driver.
    pub(crate) driver: Driver,
    /// In the workload's unit.
    pub(crate) rate: Spread,
    /// This driver's rate over the stock driver's in the same round.
    pub(crate) ratio: Spread,
    /// Median of the frames per I/O.
    pub(crate) packets: f64,
    /// Median of the bytes over the wire per I/O.
    pub(crate) bytes: f64,
    /// Median of the writing node's context switches per I/O.
    pub(crate) primary_switches: f64,
    /// Median of the other node's context switches per I/O.
    pub(crate) secondary_switches: f64,
}

/// Figures of all workloads and both drivers that were measured.
pub(crate) fn summarise(samples: &[Sample]) -> Vec<Figures> {
    let mut all = Vec::new();
    for workload in Workload::ALL {
        for driver in [Driver::Ours, Driver::Stock] {
            all.extend(figures(samples, workload, driver));
        }
    }
    all
}

fn figures(samples: &[Sample], workload: Workload, driver: Driver) -> Option<Figures> {
    let of = |driver: Driver| {
        samples
            .iter()
            .filter(move |s| s.workload == workload && s.driver == driver)
    };
    let ratios = of(driver).filter_map(|own| {
        let stock = of(Driver::Stock).find(|s| s.round == own.round)?;
        Some(own.rate() / stock.rate())
    });
    let median = |count: fn(&Sample) -> u64| {
        Spread::of(of(driver).map(|s| s.per_io(count(s)))).map(|s| s.median)
    };
    Some(Figures {
        workload,
        driver,
        rate: Spread::of(of(driver).map(Sample::rate))?,
        ratio: Spread::of(ratios)?,
        packets: median(|s| s.packets)?,
        bytes: median(|s| s.bytes)?,
        primary_switches: median(|s| s.primary_switches)?,
        secondary_switches: median(|s| s.secondary_switches)?,
    })
}

#[cfg(test)]
pub(crate) fn sample(driver: Driver, round: u32, ios: u64) -> Sample {
    Sample {
        driver,
        workload: Workload::Random1,
        round,
        ios,
        seconds: 2.0,
        packets: ios * 3,
        bytes: ios * 5000,
        primary_switches: ios * 4,
        secondary_switches: ios / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 9.0]).unwrap();
        assert_eq!(
            (spread.median, spread.least, spread.greatest),
            (3.0, 1.0, 9.0)
        );
        assert_eq!(Spread::of([3.0, 1.0, 9.0, 4.0]).unwrap().median, 3.5);
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_within_a_round() {
        // The host was three times as fast in the second round.
        let samples = [
            sample(Driver::Ours, 0, 200),
            sample(Driver::Stock, 0, 100),
            sample(Driver::Stock, 1, 300),
            sample(Driver::Ours, 1, 600),
        ];
        let all = summarise(&samples);
        assert_eq!(all.len(), 2);
        let ours = all[0];
        assert_eq!(ours.driver, Driver::Ours);
        assert_eq!((ours.ratio.least, ours.ratio.greatest), (2.0, 2.0));
        assert_eq!((ours.rate.least, ours.rate.greatest), (100.0, 300.0));
        assert_eq!((ours.packets, ours.secondary_switches), (3.0, 0.5));
        assert_eq!(all[1].ratio.median, 1.0);
    }
}
