// SPDX-License-Identifier: GPL-2.0-or-later
//! The side of a port that sends to its guest.
//!
//! Frames go out at once while the guest reads them and nothing is in the way;
//! otherwise they wait in a queue for a thread that sends them when they are
//! due. The queue is bounded: a guest that reads nothing (a frozen one) must
//! not hold up the others, so what is too much for it is lost, as in any
//! switch.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{send, MsgFlags};

/// Bytes that wait for one guest at most.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
struct Queue {
    stream: Option<Arc<UnixStream>>,
    /// Counts connections: what was meant for an earlier one is dropped.
    life: u64,
    waiting: VecDeque<(Instant, Vec<u8>)>,
    waiting_bytes: usize,
    /// The sender is writing something it took off the queue.
    sending: bool,
    closed: bool,
}

/// Sends to one guest.
#[derive(Clone)]
pub(crate) struct Outlet {
    shared: Arc<(Mutex<Queue>, Condvar)>,
}

impl Outlet {
    /// An outlet nobody is connected to.
    pub(crate) fn new() -> std::io::Result<Outlet> {
        let outlet = Outlet {
            shared: Arc::new((Mutex::default(), Condvar::new())),
        };
        let sender = outlet.clone();
        thread::Builder::new()
            .name("outlet".to_owned())
            .spawn(move || sender.run())?;
        Ok(outlet)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects a guest, or nobody; what waited is dropped.
    pub(crate) fn connect(&self, stream: Option<Arc<UnixStream>>) {
        let mut queue = self.lock();
        queue.stream = stream;
        queue.life += 1;
        queue.waiting.clear();
        queue.waiting_bytes = 0;
        self.shared.1.notify_all();
    }

    /// Ends the sender.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.shared.1.notify_all();
    }

    /// Sends whole packets at `due`, or at once if `None`; false if they were
    /// dropped.
    pub(crate) fn send(&self, packets: &[u8], due: Option<Instant>) -> bool {
        let mut queue = self.lock();
        let Some(stream) = queue.stream.clone() else {
            return false;
        };
        let mut done = 0;
        if due.is_none() && queue.waiting.is_empty() && !queue.sending {
            done = send_now(&stream, packets);
            if done == packets.len() {
                return true;
            }
        }
        let rest = packets.get(done..).unwrap_or_default();
        // The end of a packet that has begun must follow in any case.
        if done == 0 && queue.waiting_bytes + rest.len() > QUEUE_BYTES_MAX {
            return false;
        }
        queue.waiting_bytes += rest.len();
        queue
            .waiting
            .push_back((due.unwrap_or_else(Instant::now), rest.to_vec()));
        self.shared.1.notify_all();
        true
    }

    fn run(&self) {
        let mut queue = self.lock();
        while !queue.closed {
            let pause = match queue.waiting.front() {
                Some((due, _)) => due.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if !pause.is_zero() {
                queue = match self.shared.1.wait_timeout(queue, pause) {
                    Ok((queue, _)) => queue,
                    Err(poisoned) => poisoned.into_inner().0,
                };
                continue;
            }
            let Some((_, bytes)) = queue.waiting.pop_front() else {
                continue;
            };
            queue.waiting_bytes -= bytes.len();
            let (stream, life) = (queue.stream.clone(), queue.life);
            queue.sending = true;
            drop(queue);
            // A stuck guest holds up this thread alone; its end wakes it.
            let sent = stream.map_or(Ok(()), |stream| (&*stream).write_all(&bytes));
            queue = self.lock();
            queue.sending = false;
            if sent.is_err() && queue.life == life {
                queue.stream = None;
            }
        }
    }
}

/// Writes what the socket takes without waiting.
fn send_now(stream: &UnixStream, bytes: &[u8]) -> usize {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    send(stream.as_raw_fd(), bytes, flags).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn order_is_kept_when_the_guest_reads_late() {
        let outlet = Outlet::new().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        outlet.connect(Some(Arc::new(ours)));
        let mut expected = Vec::new();
        for i in 0..2000u32 {
            let packet = [i.to_be_bytes(); 250].concat();
            assert!(outlet.send(&packet, None));
            expected.extend_from_slice(&packet);
        }
        let mut got = vec![0; expected.len()];
        theirs
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        theirs.read_exact(&mut got).unwrap();
        assert!(got == expected);
        outlet.close();
    }

    #[test]
    fn a_guest_that_never_reads_costs_a_bounded_queue() {
        let outlet = Outlet::new().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        outlet.connect(Some(Arc::new(ours)));
        let packet = vec![0u8; 1500];
        let begin = Instant::now();
        let taken = (0..20_000).filter(|_| outlet.send(&packet, None)).count();
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "nobody waits for it"
        );
        assert!(taken < 5_000_000 / 1500, "{taken}");
        drop(theirs);
        outlet.close();
    }

    #[test]
    fn with_nobody_connected_all_is_dropped() {
        let outlet = Outlet::new().unwrap();
        assert!(!outlet.send(&[0; 10], None));
        outlet.close();
    }
}
