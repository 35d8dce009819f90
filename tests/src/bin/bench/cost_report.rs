// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions as tables: the drivers beside each other, and the functions
//! they go to.

use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, ContentArrangement, Table};

use crate::cost::{Cell, Comparison, Cost};
use crate::driver::Driver;

/// Ours may need this much of what the stock driver needs.
const TARGET: f64 = 1.02;

/// What the numbers are.
pub(crate) const LEGEND: &str = "Instructions per 4 KiB random write: in the text of the modules (stock: drbd and \
    lru_cache), and in the whole\nkernel, the application's system calls included. Where writes come one at a time, \
    the latter is mostly idling.";

fn empty(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

fn align(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// One line for each cell.
pub(crate) fn table(cells: &[Comparison]) -> Table {
    let mut table = empty(&[
        "instructions per write",
        "node",
        "module, ours",
        "module, stock",
        "ours/stock",
        "kernel, ours",
        "kernel, stock",
        "ours/stock",
    ]);
    for line in cells {
        table.add_row([
            format!("protocol {}, depth {}", line.cell.protocol, line.cell.depth),
            format!("{:?}", line.cell.side).to_lowercase(),
            format!("{:.0}", line.ours),
            format!("{:.0}", line.stock),
            format!("{:.3}", line.ours / line.stock),
            format!("{:.0}", line.ours_kernel),
            format!("{:.0}", line.stock_kernel),
            format!("{:.3}", line.ours_kernel / line.stock_kernel),
        ]);
    }
    align(&mut table, 2);
    table
}

/// How far the target is reached, in a sentence.
pub(crate) fn verdict(cells: &[Comparison]) -> String {
    let above = cells
        .iter()
        .filter(|line| line.ours > TARGET * line.stock)
        .count();
    format!(
        "Module text: {above} of {} cells are more than {:.0} % above the stock driver.",
        cells.len(),
        (TARGET - 1.0) * 100.0
    )
}

/// The functions of `driver` that most instructions are executed in, `count`
/// of its modules and as many of the rest of the kernel.
pub(crate) fn profile(costs: &[Cost], driver: Driver, cell: Cell, count: usize) -> Option<Table> {
    let of = costs
        .iter()
        .find(|cost| cost.driver == driver && cost.cell == cell)?;
    let title = format!(
        "{driver}, {:?}, protocol {}, depth {}",
        cell.side, cell.protocol, cell.depth
    );
    let mut table = empty(&["instructions", "share", "module", &title]);
    for own in [true, false] {
        let mut functions: Vec<_> = of
            .functions
            .iter()
            .filter(|(symbol, _)| driver.modules().contains(&symbol.module.as_str()) == own)
            .collect();
        functions.sort_by(|a, b| b.1.total_cmp(a.1));
        let whole = if own {
            of.module
        } else {
            of.kernel - of.module
        };
        table.add_row([
            format!("{whole:.0}"),
            "100.0 %".to_owned(),
            String::new(),
            (if own {
                "ALL OF THE MODULES"
            } else {
                "THE REST OF THE KERNEL"
            })
            .to_owned(),
        ]);
        for (symbol, instructions) in functions.into_iter().take(count) {
            table.add_row([
                format!("{instructions:.1}"),
                format!("{:.1} %", instructions / whole * 100.0),
                symbol.module.clone(),
                symbol.name.clone(),
            ]);
        }
    }
    for column in table.column_iter_mut().take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{compare, costs};

    #[test]
    fn the_table_tells_which_cells_miss_the_target() {
        let cells = compare(&costs());
        let text = table(&cells).to_string();
        assert!(text.lines().nth(2).unwrap().contains("0.500"), "{text}");
        assert!(verdict(&cells).contains("1 of 2 cells"));
    }

    #[test]
    fn the_hottest_function_comes_first() {
        let costs = costs();
        let text = profile(&costs, Driver::Stock, costs[1].cell, 1)
            .unwrap()
            .to_string();
        assert!(text.contains("write") && !text.contains("| get"), "{text}");
        assert!(text.contains("schedule"), "{text}");
    }
}
