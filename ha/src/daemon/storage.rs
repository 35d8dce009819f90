// SPDX-License-Identifier: GPL-2.0-or-later
//! Writing to disk on a thread of its own: a disk may take seconds, and heartbeats may not.

use std::sync::mpsc;
use std::thread;

use crate::core::memory::{BootMemory, Memory};
use crate::state::{State, StateError};

/// What to keep.
#[derive(Debug, Clone)]
pub(super) enum Keep {
    /// Over reboots.
    Lasting(Memory),
    /// Until the next boot.
    Boot(BootMemory),
}

/// The thread.
#[derive(Debug)]
pub(super) struct Storage {
    jobs: mpsc::Sender<Keep>,
}

impl Storage {
    /// Starts it; `done` is called after each job, in their order.
    pub(super) fn start(
        state: State,
        done: impl Fn(Result<(), StateError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || {
                for job in receiver {
                    done(match &job {
                        Keep::Lasting(memory) => state.persist(memory),
                        Keep::Boot(memory) => state.persist_boot(memory),
                    });
                }
            })?;
        Ok(Storage { jobs })
    }

    /// Gives it a job.
    pub(super) fn keep(&self, job: Keep) {
        // It ends with this process only.
        let _ = self.jobs.send(job);
    }
}
