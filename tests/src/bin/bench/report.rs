// SPDX-License-Identifier: GPL-2.0-or-later
//! The figures as a table, which is Markdown as well, and as JSON.

use std::process::Command;

use anyhow::Result;
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, ContentArrangement, Table};
use serde_json::json;

use crate::cost::{Comparison, Cost};
use crate::driver::Driver;
use crate::figures::{Figures, Sample, Spread};

/// What the numbers are.
pub(crate) const LEGEND: &str = "medians over the rounds (least..greatest).\n\
    Ratio: ours over stock within a round. Packets, bytes (Ethernet headers included, both ways) and context \
    switches\nare per I/O; for sequential writes and the resync, per MiB. The primary's switches include fio's.";

const HEADER: [&str; 8] = [
    "protocol C",
    "driver",
    "rate",
    "ours/stock",
    "packets",
    "bytes on the wire",
    "switches, primary",
    "switches, secondary",
];

/// One line for each driver and workload.
pub(crate) fn table(figures: &[Figures]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(HEADER);
    for line in figures {
        let ours = line.driver == Driver::Ours;
        let ratio = if ours {
            spread(&line.ratio, 2)
        } else {
            String::new()
        };
        table.add_row([
            line.workload.title().to_owned(),
            line.driver.to_string(),
            format!("{} {}", spread(&line.rate, 0), line.workload.unit()),
            ratio,
            number(line.packets),
            format!("{:.0}", line.bytes),
            number(line.primary_switches),
            number(line.secondary_switches),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn spread(spread: &Spread, digits: usize) -> String {
    format!(
        "{:.digits$} ({:.digits$}..{:.digits$})",
        spread.median, spread.least, spread.greatest
    )
}

fn number(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// All samples, and what they amount to.
///
/// # Errors
///
/// If a figure is no number.
pub(crate) fn json(
    samples: &[Sample],
    figures: &[Figures],
    costs: &[Cost],
    cells: &[Comparison],
) -> Result<String> {
    let instructions = json!({ "cells": cells, "samples": costs });
    let all = json!({
        "date": today(), "figures": figures, "samples": samples, "instructions": instructions,
    });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

/// The host's load over five minutes, if more ran there than the two guests.
pub(crate) fn busy_host() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    five_minutes(&text).filter(|load| *load > 3.0)
}

/// The second number of `/proc/loadavg`.
fn five_minutes(text: &str) -> Option<f64> {
    text.split_whitespace().nth(1)?.parse().ok()
}

/// The date, in UTC.
pub(crate) fn today() -> String {
    let said = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{compare, costs};
    use crate::figures::{sample, summarise};

    fn samples() -> [Sample; 2] {
        [sample(Driver::Ours, 0, 300), sample(Driver::Stock, 0, 200)]
    }

    #[test]
    fn the_table_is_markdown() {
        let text = table(&summarise(&samples())).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].starts_with("|--"), "{text}");
        assert!(lines[2].contains("150 (150..150) IOPS"), "{text}");
        assert!(lines[2].contains("1.50 (1.50..1.50)"), "{text}");
        assert!(!lines[3].contains("1.00"), "{text}");
    }

    #[test]
    fn the_load_is_that_of_five_minutes() {
        assert_eq!(five_minutes("0.10 9.99 4.00 2/99 1\n"), Some(9.99));
        assert_eq!(five_minutes("0.10"), None);
    }

    #[test]
    fn json_has_every_sample() {
        let samples = samples();
        let text = json(&samples, &summarise(&samples), &costs(), &compare(&costs())).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["samples"].as_array().unwrap().len(), 2);
        assert_eq!(value["samples"][0]["driver"], "ours");
        assert_eq!(value["figures"][0]["workload"], "random1");
        assert_eq!(value["figures"][0]["ratio"]["median"], 1.5);
        let counted = &value["instructions"];
        assert_eq!(counted["cells"][0]["ours"], 200.0);
        assert_eq!(counted["samples"][0]["protocol"], "C");
        assert_eq!(counted["samples"][0]["kernel"], 800.0);
    }
}
