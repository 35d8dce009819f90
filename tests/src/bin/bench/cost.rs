// SPDX-License-Identifier: GPL-2.0-or-later
//! What a write costs: instructions that the nodes execute for it.
//!
//! Unlike times, they hardly depend on what else the host does. The nodes are
//! counted by QEMU, see [`drbd_qemu::Executed`]; a measurement is the
//! difference between a long and a short run of fio, so what starting it
//! costs, and what a node does anyway, is not part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_qemu::{Executed, Node};
use serde::Serialize;

use crate::driver::{Driver, Protocol, RESOURCE};
use crate::figures::Spread;
use crate::pair::Pair;
use crate::symbols::{Symbol, Symbols};
use crate::workload::{self, Fio};

/// Writes at once.
pub(crate) const DEPTHS: [u32; 2] = [1, 32];

/// What is still on its way when fio has ended.
const SETTLE: Duration = Duration::from_millis(500);

/// A run with emulated processors that are counted.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// Which of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// It writes.
    Primary,
    /// It gets what is written.
    Secondary,
}

impl Side {
    /// Both, in the order of [`Pair::nodes`].
    pub(crate) const BOTH: [Side; 2] = [Side::Primary, Side::Secondary];
}

/// What is compared between the drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Cell {
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// 4 KiB random writes at once.
    pub(crate) depth: u32,
    /// The node.
    pub(crate) side: Side,
}

/// Instructions of one driver per write, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// Who did it.
    pub(crate) driver: Driver,
    /// What was done.
    #[serde(flatten)]
    pub(crate) cell: Cell,
    /// Round, from 0.
    pub(crate) round: u32,
    /// In the driver's modules.
    pub(crate) module: f64,
    /// In the kernel, the modules included.
    pub(crate) kernel: f64,
    /// By function.
    #[serde(skip)]
    pub(crate) functions: BTreeMap<Symbol, f64>,
}

impl Cost {
    /// From the instructions in each function, for `writes` writes.
    fn new(
        driver: Driver,
        cell: Cell,
        round: u32,
        counts: &BTreeMap<Symbol, i64>,
        writes: u64,
    ) -> Cost {
        let functions: BTreeMap<Symbol, f64> = counts
            .iter()
            .map(|(symbol, count)| (symbol.clone(), *count as f64 / writes as f64))
            .collect();
        let own = |symbol: &Symbol| driver.modules().contains(&symbol.module.as_str());
        let sum = |wanted: &dyn Fn(&Symbol) -> bool| {
            let all = functions.iter().filter(|(symbol, _)| wanted(symbol));
            all.map(|(_, count)| count).sum()
        };
        Cost {
            driver,
            cell,
            round,
            module: sum(&own),
            kernel: sum(&|_| true),
            functions,
        }
    }
}

/// Medians of one cell's costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// What was done.
    #[serde(flatten)]
    pub(crate) cell: Cell,
    /// In our module.
    pub(crate) ours: f64,
    /// In the stock driver's modules.
    pub(crate) stock: f64,
    /// In the kernel with our module.
    pub(crate) ours_kernel: f64,
    /// In the kernel with the stock driver.
    pub(crate) stock_kernel: f64,
}

/// Ours beside the stock driver's, for every cell that both were measured in.
pub(crate) fn compare(costs: &[Cost]) -> Vec<Comparison> {
    let mut cells: Vec<Cell> = costs.iter().map(|cost| cost.cell).collect();
    cells.sort();
    cells.dedup();
    let one = |cell: Cell| {
        let median = |driver: Driver, value: fn(&Cost) -> f64| {
            let own = costs
                .iter()
                .filter(|cost| cost.cell == cell && cost.driver == driver);
            Spread::of(own.map(value)).map(|spread| spread.median)
        };
        Some(Comparison {
            cell,
            ours: median(Driver::Ours, |cost| cost.module)?,
            stock: median(Driver::Stock, |cost| cost.module)?,
            ours_kernel: median(Driver::Ours, |cost| cost.kernel)?,
            stock_kernel: median(Driver::Stock, |cost| cost.kernel)?,
        })
    };
    cells.into_iter().filter_map(one).collect()
}

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Protocols, one after the other.
    pub(crate) protocols: Vec<Protocol>,
    /// Writes at depth 1 and at the other, between a short and a long run.
    pub(crate) writes: [u64; 2],
    /// Whether every function of the kernel is told apart.
    pub(crate) whole_kernel: bool,
}

/// Lets the loaded driver write with each protocol at each depth.
///
/// # Errors
///
/// If the driver refuses, or a run fails.
pub(crate) fn measure(pair: &Pair, driver: Driver, round: u32, plan: &Plan) -> Result<Vec<Cost>> {
    let tools = driver.tools();
    pair.primary
        .sh(&format!("{tools} $adm -- --force primary {RESOURCE}"))?;
    pair.wait(driver, driver.is_healthy())?;
    let of = |node: &Node| Symbols::of(node, plan.whole_kernel);
    let symbols = [of(&pair.primary)?, of(&pair.secondary)?];
    let mut costs = Vec::new();
    for protocol in &plan.protocols {
        pair.use_protocol(driver, *protocol)
            .with_context(|| format!("protocol {protocol}"))?;
        workload::warm_up(pair)?;
        for (depth, writes) in DEPTHS.into_iter().zip(plan.writes) {
            let short = run(pair, depth, writes / 8)?;
            let long = run(pair, depth, writes / 8 + writes)?;
            let both = symbols.iter().zip(short.iter().zip(&long));
            for (side, (symbols, (short, long))) in Side::BOTH.into_iter().zip(both) {
                let counts = difference(symbols, short, long);
                let cell = Cell {
                    protocol: *protocol,
                    depth,
                    side,
                };
                let cost = Cost::new(driver, cell, round, &counts, writes);
                ensure!(
                    cost.module > 0.0,
                    "nothing was counted in the modules of {driver} on the {side:?}"
                );
                costs.push(cost);
            }
        }
    }
    Ok(costs)
}

/// What a long run executed in each function beyond a short one.
fn difference(symbols: &Symbols, short: &Executed, long: &Executed) -> BTreeMap<Symbol, i64> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut all: BTreeMap<Symbol, i64> = symbols
        .attribute(long)
        .into_iter()
        .map(|(symbol, n)| (symbol, count(n)))
        .collect();
    for (symbol, n) in symbols.attribute(short) {
        *all.entry(symbol).or_default() -= count(n);
    }
    all
}

/// Writes `writes` blocks; what the nodes executed meanwhile.
fn run(pair: &Pair, depth: u32, writes: u64) -> Result<[Executed; 2]> {
    let reading =
        || -> Result<[Executed; 2]> { Ok([pair.primary.executed()?, pair.secondary.executed()?]) };
    let [primary, secondary] = reading()?;
    let said = pair.primary.sh_within(
        &format!(
            "cd /tmp; fio --name=w --filename=/dev/drbd0 --ioengine=libaio --direct=1 \
             --rw=randwrite --bs=4k --iodepth={depth} --number_ios={writes} \
             --output-format=json --output=w.json && cat w.json"
        ),
        RUN_LIMIT,
    )?;
    std::thread::sleep(SETTLE);
    let [primary_later, secondary_later] = reading()?;
    let done = Fio::parse(&said)?.total_ios;
    ensure!(
        done == writes,
        "fio wrote {done} blocks instead of {writes}"
    );
    Ok([
        primary_later.since(&primary),
        secondary_later.since(&secondary),
    ])
}

#[cfg(test)]
pub(crate) fn costs() -> Vec<Cost> {
    let cell = |side| Cell {
        protocol: Protocol::C,
        depth: 32,
        side,
    };
    let symbol = |module: &str, name: &str| Symbol {
        module: module.to_owned(),
        name: name.to_owned(),
    };
    let counts = |own: i64| {
        BTreeMap::from([
            (symbol("drbd", "write"), own),
            (symbol("lru_cache", "get"), 1000),
            (symbol("", "schedule"), 5000),
        ])
    };
    let cost = |driver, side, own| Cost::new(driver, cell(side), 0, &counts(own), 10);
    vec![
        cost(Driver::Ours, Side::Primary, 2000),
        cost(Driver::Stock, Side::Primary, 3000),
        cost(Driver::Ours, Side::Secondary, 5000),
        cost(Driver::Stock, Side::Secondary, 3000),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_drivers_other_module_counts() {
        let all = compare(&costs());
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].ours, all[0].stock), (200.0, 400.0));
        assert_eq!((all[0].ours_kernel, all[0].stock_kernel), (800.0, 900.0));
        assert_eq!(all[1].cell.side, Side::Secondary);
    }

    #[test]
    fn a_cell_of_one_driver_only_is_left_out() {
        assert!(compare(&costs()[..1]).is_empty());
    }
}
