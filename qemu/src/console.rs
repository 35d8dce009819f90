// SPDX-License-Identifier: GPL-2.0-or-later
//! What a guest's kernel says on its serial port, kept from the first power-on
//! to the last power cut.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{tail, Error, Result};

/// Lines of console shown with errors.
pub(crate) const TAIL_LINES: usize = 25;

/// A node's console: all it has said.
pub(crate) struct Console {
    log: Mutex<Log>,
    grown: Condvar,
}

struct Log {
    text: String,
    file: File,
}

impl Console {
    /// An empty console that keeps a copy in `path`.
    pub(crate) fn new(path: &Path) -> Result<Console> {
        let file = File::create(path).map_err(Error::file(path))?;
        let log = Mutex::new(Log {
            text: String::new(),
            file,
        });
        Ok(Console {
            log,
            grown: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line of the harness's own.
    pub(crate) fn note(&self, line: &str) {
        let mut log = self.lock();
        if !log.text.is_empty() && !log.text.ends_with('\n') {
            log.add("\n");
        }
        log.add(&format!("---- {line} ----\n"));
        self.grown.notify_all();
    }

    /// Follows the serial port of a machine just started until it ends.
    pub(crate) fn follow(self: &Arc<Self>, stream: UnixStream) -> std::io::Result<()> {
        let console = Arc::clone(self);
        thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || console.read(stream))?;
        Ok(())
    }

    fn read(&self, mut stream: UnixStream) {
        let mut buffer = vec![0u8; 16 * 1024];
        while let Ok(length) = stream.read(&mut buffer) {
            if length == 0 {
                break;
            }
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            self.lock().add(&text.replace('\r', ""));
            self.grown.notify_all();
        }
    }

    /// Everything said so far.
    pub(crate) fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Bytes said so far.
    pub(crate) fn length(&self) -> usize {
        self.lock().text.len()
    }

    /// The last lines, for error messages.
    pub(crate) fn tail(&self) -> String {
        tail(&self.lock().text, TAIL_LINES)
    }

    /// Waits until `needle` stands somewhere after the first `from` bytes.
    pub(crate) fn wait_for(&self, needle: &str, from: usize, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut log = self.lock();
        loop {
            if log
                .text
                .get(from..)
                .is_some_and(|text| text.contains(needle))
            {
                return true;
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return false;
            };
            log = match self.grown.wait_timeout(log, left) {
                Ok((log, _)) => log,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Log {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        // The copy in memory is the one that counts.
        let _ = self.file.write_all(text.as_bytes());
    }
}
