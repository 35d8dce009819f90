// SPDX-License-Identifier: GPL-2.0-or-later
//! The table as a document.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{bail, Context, Result};

use super::rows::ROWS;

const HEAD: &str = "\
# Tools and drivers

Which commands work with which tools and which driver. `command_table` (tests/tests/scenarios) gives every command to a
node with the tools and the driver of the column, whose peer runs ours, looks at what the command did, and fails if this
table is not what it saw. `DRBD_WRITE_DOCS=1 cargo xtask test --only command_table` writes it.

";

/// Cells by column.
pub(super) struct Table {
    titles: Vec<&'static str>,
    columns: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(titles: [&'static str; N]) -> Table {
        Table {
            titles: titles.to_vec(),
            columns: Vec::new(),
        }
    }

    /// Adds the cells of the next column.
    pub(super) fn add(&mut self, cells: Vec<String>) {
        self.columns.push(cells);
    }

    fn text(&self) -> String {
        let mut text = String::from(HEAD);
        let _ = writeln!(text, "| command | {} |", self.titles.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(self.titles.len()));
        for (number, row) in ROWS.iter().enumerate() {
            let cells: Vec<&str> = self
                .columns
                .iter()
                .map(|cells| cells.get(number).map_or("", String::as_str))
                .collect();
            let _ = writeln!(text, "| {} | {} |", row.name, cells.join(" | "));
        }
        text
    }

    /// Compares with the document, or writes it if asked to.
    ///
    /// # Errors
    ///
    /// If they differ.
    pub(super) fn compare(&self, document: &Path) -> Result<()> {
        let text = self.text();
        if std::env::var_os("DRBD_WRITE_DOCS").is_some() {
            return std::fs::write(document, text)
                .with_context(|| format!("cannot write {}", document.display()));
        }
        let there = std::fs::read_to_string(document).unwrap_or_default();
        if there != text {
            bail!(
                "{} is not what was seen:\n{text}\n  write it:  DRBD_WRITE_DOCS=1 cargo xtask test --only command_table",
                document.display()
            );
        }
        Ok(())
    }
}
