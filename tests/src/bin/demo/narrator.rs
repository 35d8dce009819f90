// SPDX-License-Identifier: GPL-2.0-or-later
//! What the reader sees: chapters, commands, a bar, and the table at the end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use comfy_table::{presets, CellAlignment, Table};
use drbd_tests::{Side, View};
use indicatif::{ProgressBar, ProgressStyle};

/// Between two looks at a resync.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells the story and keeps its times.
pub(crate) struct Narrator {
    started: Instant,
    timings: Vec<(String, Duration, String)>,
}

impl Narrator {
    pub(crate) fn new() -> Narrator {
        Narrator {
            started: Instant::now(),
            timings: Vec::new(),
        }
    }

    /// A headline.
    pub(crate) fn chapter(&self, text: &str) {
        println!("\n[{:6.1} s] {text}", self.started.elapsed().as_secs_f64());
    }

    /// Something noticed.
    pub(crate) fn note(&self, text: &str) {
        println!("           {text}");
    }

    /// Runs a command on a node, showing it and what it says.
    pub(crate) fn run(&self, side: &Side, command: &str) -> Result<String> {
        println!("           {}# {command}", side.name());
        let said = side.sh(command)?;
        for line in said.lines() {
            println!(
                "           {:width$}  {line}",
                "",
                width = side.name().len()
            );
        }
        Ok(said)
    }

    /// Does something that belongs into the table.
    pub(crate) fn timed<T>(
        &mut self,
        what: &str,
        act: impl FnOnce(&Narrator) -> Result<(T, String)>,
    ) -> Result<T> {
        let started = Instant::now();
        let (value, remark) = act(self)?;
        self.record(what, started.elapsed(), &remark);
        Ok(value)
    }

    /// Adds a line to the table.
    pub(crate) fn record(&mut self, what: &str, took: Duration, remark: &str) {
        self.timings
            .push((what.to_owned(), took, remark.to_owned()));
    }

    /// Shows a bar until the source's disks are equal; returns the last view.
    pub(crate) fn follow_sync(&self, source: &Side, limit: Duration) -> Result<View> {
        let total_kib = source.view()?.out_of_sync_kib.max(1);
        let bar = ProgressBar::new(total_kib * 1024).with_style(ProgressStyle::with_template(
            "           [{bar:40}] {percent:>3} %  {bytes_per_sec}  {eta} left",
        )?);
        let is_terminal = std::io::stderr().is_terminal();
        let end = Instant::now() + limit;
        let mut told_percent = 0;
        loop {
            let view = source.view()?;
            let done_kib = total_kib.saturating_sub(view.out_of_sync_kib);
            bar.set_position(done_kib * 1024);
            // A log file gets a line for every tenth instead.
            let percent = done_kib * 100 / total_kib;
            if !is_terminal && percent >= told_percent + 10 {
                told_percent = percent / 10 * 10;
                self.note(&format!("{percent:3} %  {done_kib} of {total_kib} KiB"));
            }
            if view.is_healthy() {
                bar.finish();
                return Ok(view);
            }
            anyhow::ensure!(
                Instant::now() < end,
                "the resync did not end within {limit:?}; last seen: {view:?}"
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// The table.
    pub(crate) fn print_timings(&self) {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["step", "seconds", ""]);
        for (what, took, remark) in &self.timings {
            table.add_row([
                what.clone(),
                format!("{:.1}", took.as_secs_f64()),
                remark.clone(),
            ]);
        }
        let total = self.started.elapsed().as_secs_f64();
        table.add_row(["all", &format!("{total:.1}"), ""]);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("\n{table}");
    }
}
