// SPDX-License-Identifier: GPL-2.0-or-later
//! Disks served by the harness, for what a file cannot do: lose its write
//! cache with the power, and err.

mod cache;
mod nbd;

pub use cache::Loss;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::socket::{wait_readable, Door};
use cache::Store;
use nbd::{Kind, Request, EINVAL, EIO};

/// A killed QEMU's last requests are done within this.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Requests a disk was asked since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Reads.
    pub reads: u64,
    /// Writes, discards and write-zeroes.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Requests that were answered with an error.
    pub errors: u64,
}

struct State {
    store: Store,
    loss: Loss,
    fail_reads: bool,
    fail_writes: bool,
    requests: Requests,
    stream: Option<Arc<UnixStream>>,
    closed: bool,
}

/// A disk with a volatile write cache; see [`crate::Node::served_disk`].
#[derive(Clone)]
pub struct ServedDisk {
    shared: Arc<(Mutex<State>, Condvar)>,
    block_size: u32,
}

impl ServedDisk {
    /// Serves the file `medium` of `size` bytes on the socket `path`.
    pub(crate) fn serve(medium: File, size: u64, block_size: u32, path: &Path) -> Result<Self> {
        let door = Door::open(path)?;
        let state = State {
            store: Store::new(medium, size),
            loss: Loss::default(),
            fail_reads: false,
            fail_writes: false,
            requests: Requests::default(),
            stream: None,
            closed: false,
        };
        let disk = ServedDisk {
            shared: Arc::new((Mutex::new(state), Condvar::new())),
            block_size,
        };
        let server = disk.clone();
        thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || server.listen(&door))
            .map_err(Error::file(path))?;
        Ok(disk)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next power cut shall leave of the cache.
    pub fn set_loss(&self, loss: Loss) {
        self.lock().loss = loss;
    }

    /// Makes all reads, or all writes and flushes, fail with an I/O error.
    pub fn set_errors(&self, reads: bool, writes: bool) {
        let mut state = self.lock();
        state.fail_reads = reads;
        state.fail_writes = writes;
    }

    /// What the disk was asked so far.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.lock().requests
    }

    /// Bytes in the cache that a power cut could lose now.
    #[must_use]
    pub fn dirty_bytes(&self) -> u64 {
        self.lock().store.dirty_sectors() as u64 * 512
    }

    /// The power is gone: waits for the end of the connection, whose last
    /// requests may still be on the way, and loses the cache.
    pub(crate) fn lose_power(&self) -> io::Result<()> {
        let end = Instant::now() + DRAIN_LIMIT;
        let mut state = self.lock();
        while state.stream.is_some() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "QEMU is still connected",
                ));
            }
            state = match self.shared.1.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let loss = state.loss;
        state.store.lose(loss)
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some(stream) = &state.stream {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn listen(&self, door: &Door) {
        while !self.lock().closed {
            match wait_readable(door.listener(), Duration::from_millis(200)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return,
            }
            let Ok((stream, _)) = door.listener().accept() else {
                continue;
            };
            let stream = Arc::new(stream);
            self.lock().stream = Some(Arc::clone(&stream));
            // However it ends, the next power-on calls anew.
            let _ = self.talk(&stream);
            self.lock().stream = None;
            self.shared.1.notify_all();
        }
    }

    fn talk(&self, stream: &UnixStream) -> io::Result<()> {
        let size = self.lock().store.size();
        let mut both = stream;
        if !nbd::negotiate(&mut both, size, self.block_size)? {
            return Ok(());
        }
        let mut reader = BufReader::with_capacity(256 * 1024, stream);
        let mut data = Vec::new();
        loop {
            let request = nbd::read_request(&mut reader)?;
            data.clear();
            match request.kind {
                Kind::Disconnect => return Ok(()),
                Kind::Read | Kind::Write => data.resize(request.length as usize, 0),
                Kind::Flush | Kind::Trim | Kind::WriteZeroes | Kind::Unknown => {}
            }
            if request.kind == Kind::Write {
                reader.read_exact(&mut data)?;
            }
            let error = self.carry_out(&request, &mut data);
            let read = request.kind == Kind::Read && error == 0;
            nbd::answer(
                &mut both,
                request.cookie,
                error,
                if read { &data } else { &[] },
            )?;
        }
    }

    /// Does what is asked; the NBD error, 0 for none.
    fn carry_out(&self, request: &Request, data: &mut [u8]) -> u32 {
        let mut state = self.lock();
        let error = state.carry_out(request, data);
        if error != 0 {
            state.requests.errors += 1;
        }
        error
    }
}

impl State {
    fn carry_out(&mut self, request: &Request, data: &mut [u8]) -> u32 {
        let length = u64::from(request.length);
        if request.kind != Kind::Flush && !self.store.has(request.offset, length) {
            return EINVAL;
        }
        let (fails, count) = match request.kind {
            Kind::Read => (self.fail_reads, &mut self.requests.reads),
            Kind::Flush => (self.fail_writes, &mut self.requests.flushes),
            _ => (self.fail_writes, &mut self.requests.writes),
        };
        *count += 1;
        if fails {
            return EIO;
        }
        let result = match request.kind {
            Kind::Read => self.store.read(request.offset, data),
            Kind::Write => self.store.write(request.offset, data, request.through),
            Kind::Flush => self.store.flush(),
            Kind::Trim | Kind::WriteZeroes => self.zero(request.offset, length, request.through),
            Kind::Disconnect | Kind::Unknown => return EINVAL,
        };
        if result.is_ok() {
            0
        } else {
            EIO
        }
    }

    fn zero(&mut self, offset: u64, length: u64, through: bool) -> io::Result<()> {
        let zeroes = vec![0; 1024 * 1024];
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let piece = (end - at).min(zeroes.len() as u64);
            self.store.write(
                at,
                zeroes.get(..piece as usize).unwrap_or_default(),
                through,
            )?;
            at += piece;
        }
        Ok(())
    }
}
