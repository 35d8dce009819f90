// SPDX-License-Identifier: GPL-2.0-or-later
//! I/O on a [`Backing`] device that somebody waits for, but not for ever.
//!
//! Whoever gives up leaves the I/O to itself: the payload stays with it until the device answers,
//! and the device stays open and claimed.

use super::{
    backing::{Backing, Inner, WriteFlags},
    inflight::InFlight,
    io::IoContext,
    lock::{new_spinlock_irq, Arc, SpinLockIrq},
    noio,
    pages::{Payload, MAX_PAYLOAD},
    status::Status,
    wait::{WaitQueue, Wake},
};
use crate::sys as c;
use kernel::prelude::*;

/// How often it is asked whether to go on waiting.
const SLICE_MS: u32 = 50;

/// Where an I/O and who waits for it meet.
#[pin_data]
struct Awaited {
    #[pin]
    ended: SpinLockIrq<Option<(Status, Option<Payload>)>>,
    #[pin]
    queue: WaitQueue,
}

/// What a thread needs to wait for one I/O at a time, made once, since memory may be short when it
/// is wanted.
pub(crate) struct Waiter {
    awaited: Option<Arc<Awaited>>,
}

impl Waiter {
    /// A waiter. Context: task. Errors: `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let mut waiter = Waiter { awaited: None };
        let _ = waiter.take()?;
        Ok(waiter)
    }

    /// The meeting place: the one from before, or another if that was left to an I/O.
    fn take(&mut self) -> Result<Arc<Awaited>> {
        if let Some(awaited) = &self.awaited {
            return Ok(awaited.clone());
        }
        let awaited = Arc::pin_init(
            pin_init!(Awaited {
                ended <- new_spinlock_irq!(None, "drbd_awaited"),
                queue <- WaitQueue::new(),
            }),
            GFP_KERNEL,
        )?;
        self.awaited = Some(awaited.clone());
        Ok(awaited)
    }
}

impl Backing {
    /// Submits `raw` and waits for its end until `give_up`, asked now and then, says true. Gives
    /// the payload back. Errors: `ECANCELED` if it was given up; what the device says.
    ///
    /// # Safety
    ///
    /// `raw` came from this device's bio_set and is complete but for its context.
    unsafe fn wait_for(
        &self,
        raw: *mut c::bio,
        payload: Option<Payload>,
        (waiter, awaited): (&mut Waiter, Arc<Awaited>),
        give_up: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Payload>> {
        *awaited.ended.lock() = None;
        self.inner.in_flight.enter();
        let inner: &Inner = &self.inner;
        let token = Arc::into_raw(awaited.clone()) as usize as u64;
        // SAFETY: The pad in front of the bio has room for the context and is not initialised.
        unsafe {
            raw.cast::<IoContext>().sub(1).write(IoContext {
                inner,
                token,
                upper: core::ptr::null_mut(),
                payload,
            });
            (*raw).bi_end_io = Some(end_awaited);
            c::submit_bio_noacct(raw);
        }
        loop {
            let ended = || awaited.ended.lock().is_some();
            let wake = awaited.queue.wait_until(None, Some(SLICE_MS), ended);
            if wake == Wake::Signaled {
                break;
            }
            if give_up() && !ended() {
                waiter.awaited = None;
                return Err(ECANCELED);
            }
        }
        match awaited.ended.lock().take() {
            Some((status, payload)) if status.is_ok() => Ok(payload),
            Some((status, _)) => Err(Error::from_errno(status.errno())),
            None => Err(EIO),
        }
    }

    fn transfer_within(
        &self,
        opf: u32,
        sector: u64,
        payload: Payload,
        waiter: &mut Waiter,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Result<Payload> {
        let awaited = waiter.take()?;
        let raw = self.bare_bio(opf | c::REQ_SYNC, sector);
        // SAFETY: The table and the pages stay with the I/O until it has ended; a bio of this
        // device, complete.
        let payload = unsafe {
            c::kg_bio_set_bvecs(raw, payload.table(), payload.len() as u32);
            self.wait_for(raw, Some(payload), (waiter, awaited), give_up)
        };
        payload?.ok_or(EIO)
    }

    /// Reads `buf`, a multiple of the logical block, and waits until `give_up` says true. Context:
    /// task. Errors: `ECANCELED`, `EIO`, ...
    pub(crate) fn read_within(
        &self,
        sector: u64,
        buf: &mut [u8],
        waiter: &mut Waiter,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Result {
        noio::scope(|| {
            let mut sector = sector;
            for part in buf.chunks_mut(MAX_PAYLOAD) {
                let payload = self.inner.scratch.alloc(part.len())?;
                let payload =
                    self.transfer_within(c::REQ_OP_READ, sector, payload, waiter, give_up)?;
                payload.copy_out(0, part)?;
                sector = sector.saturating_add(part.len() as u64 >> 9);
            }
            Ok(())
        })
    }

    /// Writes `buf`, a multiple of the logical block, and waits until `give_up` says true. Context:
    /// task. Errors: `ECANCELED`, `EIO`, ...
    pub(crate) fn write_within(
        &self,
        sector: u64,
        buf: &[u8],
        flags: WriteFlags,
        waiter: &mut Waiter,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Result {
        noio::scope(|| {
            let mut sector = sector;
            for part in buf.chunks(MAX_PAYLOAD) {
                let mut payload = self.inner.scratch.alloc(part.len())?;
                payload.copy_in(0, part)?;
                let _ = self.transfer_within(flags.opf(), sector, payload, waiter, give_up)?;
                sector = sector.saturating_add(part.len() as u64 >> 9);
            }
            Ok(())
        })
    }

    /// Flushes the device's cache and waits until `give_up` says true. Context: task. Errors:
    /// `ECANCELED`, `EOPNOTSUPP`, `EIO`, ...
    pub(crate) fn flush_within(
        &self,
        waiter: &mut Waiter,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Result {
        noio::scope(|| {
            let awaited = waiter.take()?;
            let raw = self.bare_bio(c::REQ_OP_WRITE | c::REQ_PREFLUSH | c::REQ_SYNC, 0);
            // SAFETY: An empty flush needs nothing more.
            unsafe { self.wait_for(raw, None, (waiter, awaited), give_up) }.map(drop)
        })
    }

    /// Waits until nothing is under way, but not longer than `ms`; whether that came to be.
    /// Context: task.
    pub(crate) fn drain_within(&self, ms: u32) -> bool {
        let in_flight: &InFlight = &self.inner.in_flight;
        in_flight.wait_idle_within(ms)
    }
}

/// # Safety
///
/// Called by the block layer at the end of a bio that `Backing::wait_for` submitted.
unsafe extern "C" fn end_awaited(raw: *mut c::bio) {
    // SAFETY: `wait_for` wrote the context, this is its only reader, and the count on the meeting
    // place that it left there is ours. `inner` lives: it waits for `in_flight`, which this I/O
    // gives back last.
    unsafe {
        let context = raw.cast::<IoContext>().sub(1).read();
        let status = Status::from_raw((*raw).bi_status);
        c::bio_put(raw);
        let awaited = Arc::from_raw(context.token as usize as *const Awaited);
        *awaited.ended.lock() = Some((status, context.payload));
        awaited.queue.wake_all();
        drop(awaited);
        (*context.inner).in_flight.leave();
    }
}
