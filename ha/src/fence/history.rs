// SPDX-License-Identifier: GPL-2.0-or-later
//! Who was fenced, when, how and by whom: one JSON document a line, kept over restarts.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Lines that are kept.
const ENTRIES_MAX: usize = 500;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970.
    pub when: u64,
    /// Whom.
    pub target: String,
    /// With which devices; empty for what an operator confirmed.
    pub devices: Vec<String>,
    /// It worked.
    pub ok: bool,
    /// What the device said.
    pub detail: String,
    /// The node that did it.
    pub by: String,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// The attempts of this node.
#[derive(Debug)]
pub struct History {
    file: PathBuf,
    entries: Vec<Entry>,
}

impl History {
    /// Reads what is there; lines that can't be read are left out.
    #[must_use]
    pub fn open(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let entries = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut entries: Vec<Entry> = entries.collect();
        let surplus = entries.len().saturating_sub(ENTRIES_MAX);
        entries.drain(..surplus);
        History {
            file: file.to_owned(),
            entries,
        }
    }

    /// The attempts, the oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Remembers one more.
    ///
    /// # Errors
    ///
    /// When it can't be written; it is remembered until the end of this process all the same.
    pub fn add(&mut self, entry: Entry) -> std::io::Result<()> {
        self.entries.push(entry);
        if self.entries.len() > ENTRIES_MAX {
            let surplus = self.entries.len() - ENTRIES_MAX;
            self.entries.drain(..surplus);
            return self.rewrite();
        }
        let Some(last) = self.entries.last() else {
            return Ok(());
        };
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(&self.file)?;
        let mut line = serde_json::to_vec(last)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_all()
    }

    fn rewrite(&self) -> std::io::Result<()> {
        let mut text = Vec::new();
        for entry in &self.entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        crate::state::replace(&self.file, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kept_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("fencing.jsonl");
        let mut history = History::open(&file);
        for number in 0..ENTRIES_MAX + 20 {
            let entry = Entry {
                when: u64::try_from(number).unwrap(),
                target: "n2".to_owned(),
                devices: vec!["pdu".to_owned()],
                ok: true,
                detail: String::new(),
                by: "n1".to_owned(),
                took_ms: 5,
            };
            history.add(entry).unwrap();
        }
        // A crash in the middle of a line costs that line.
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"when\":");
        std::fs::write(&file, text).unwrap();
        let read = History::open(&file);
        assert_eq!(read.entries().len(), ENTRIES_MAX);
        assert_eq!(read.entries(), history.entries());
        assert_eq!(read.entries().first().unwrap().when, 20);
    }
}
