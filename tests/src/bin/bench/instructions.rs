// SPDX-License-Identifier: GPL-2.0-or-later
//! The second part of the measurements: a pair of nodes whose instructions are
//! counted, on which the drivers take turns too.

use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::cost::{self, Cell, Comparison, Cost, Plan, Side, DEPTHS};
use crate::cost_report;
use crate::driver::Driver;
use crate::pair::Pair;

/// Boots the pair and lets each driver take `rounds` turns.
///
/// # Errors
///
/// If this host's QEMU cannot count, or a driver refuses or fails.
pub(crate) fn measure(patience: Duration, rounds: u32, plan: &Plan) -> Result<Vec<Cost>> {
    let (pair, started) = Pair::boot(patience, true)?;
    println!(
        "two counted nodes are up after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let mut costs = Vec::new();
    let measured = turns(&pair, rounds, plan, &mut costs);
    // A kernel's report explains a failure, not the other way round.
    if let Err(reports) = pair.lab.check_consoles() {
        eprintln!("{reports}");
        measured?;
        bail!("a kernel reported an error: the figures are worth nothing");
    }
    measured.with_context(|| format!("consoles: {}", pair.lab.log_dir().display()))?;
    Ok(costs)
}

fn turns(pair: &Pair, rounds: u32, plan: &Plan, costs: &mut Vec<Cost>) -> Result<()> {
    for round in 0..rounds {
        for driver in [Driver::Ours, Driver::Stock] {
            let started = std::time::Instant::now();
            pair.up(driver)?;
            costs.extend(
                cost::measure(pair, driver, round, plan)
                    .with_context(|| format!("instructions of {driver}"))?,
            );
            pair.down(driver)?;
            println!(
                "instructions, round {} {driver} ({:.0} s)",
                round + 1,
                started.elapsed().as_secs_f64()
            );
        }
    }
    Ok(())
}

/// Prints the tables; `hottest` functions of each driver and cell if wanted.
pub(crate) fn print(costs: &[Cost], plan: &Plan, hottest: Option<usize>) -> Vec<Comparison> {
    let cells = cost::compare(costs);
    for cell in hottest.iter().flat_map(|_| profiled(plan)) {
        for driver in [Driver::Ours, Driver::Stock] {
            if let Some(table) =
                cost_report::profile(costs, driver, cell, hottest.unwrap_or_default())
            {
                println!("\n{table}");
            }
        }
    }
    println!("\n{}", cost_report::table(&cells));
    println!("{}", cost_report::LEGEND);
    println!("{}", cost_report::verdict(&cells));
    cells
}

/// Every cell that is measured.
fn profiled(plan: &Plan) -> Vec<Cell> {
    let mut all = Vec::new();
    for protocol in &plan.protocols {
        for depth in DEPTHS {
            all.extend(Side::BOTH.map(|side| Cell {
                protocol: *protocol,
                depth,
                side,
            }));
        }
    }
    all
}
