// SPDX-License-Identifier: GPL-2.0-or-later
//! The backing device: claim, synchronous and asynchronous I/O, errors, draining.

use super::check;
use crate::os::{
    backing::{with_plug, Backing, IoDone, WriteFlags},
    lock::{new_spinlock_irq, Arc, SpinLockIrq},
    pages::{PagePool, Payload},
    status::Status,
    wait::{Event, Wake},
};
use kernel::prelude::*;

#[pin_data]
struct Ends {
    #[pin]
    last: SpinLockIrq<Option<(u64, Status, Option<Payload>)>>,
    #[pin]
    event: Event,
}

impl IoDone for Ends {
    fn io_done(&self, token: u64, status: Status, pages: Option<Payload>) {
        *self.last.lock() = Some((token, status, pages));
        self.event.signal();
    }
}

/// Drops the last handle of the device inside its own completion.
#[pin_data]
struct Suicide {
    #[pin]
    dev: SpinLockIrq<Option<Backing>>,
    #[pin]
    event: Event,
}

impl IoDone for Suicide {
    fn io_done(&self, _: u64, _: Status, pages: Option<Payload>) {
        let dev = self.dev.lock().take();
        drop((dev, pages));
        self.event.signal();
    }
}

impl Ends {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Ends { last <- new_spinlock_irq!(None), event <- Event::new() }),
            GFP_KERNEL,
        )
    }

    fn wait(&self, token: u64) -> Result<(Status, Option<Payload>)> {
        check(
            self.event.wait(None, Some(10_000)) == Wake::Signaled,
            "I/O ends",
        )?;
        let end = self.last.lock().take();
        let (t, status, pages) = end.ok_or(EIO)?;
        check(t == token, "its token comes back")?;
        Ok((status, pages))
    }
}

pub(super) fn run(path: &CStr) -> Result {
    let ends = Ends::new()?;
    check(
        Backing::open(c"/dev/nonesuch", ends.clone(), false).err() == Some(ENOENT),
        "no device",
    )?;
    check(
        Backing::open(c"/dev/null", ends.clone(), false).err() == Some(ENOTBLK),
        "no disk",
    )?;
    let dev = Backing::open(path, ends.clone(), false)?;
    check(
        Backing::open(path, ends.clone(), false).err() == Some(EBUSY),
        "exclusive claim",
    )?;
    check(
        Backing::open(path, ends.clone(), true).err() == Some(EBUSY),
        "not even shared",
    )?;
    let mut name = [0; 32];
    let (major, minor) = dev.dev();
    pr_info!(
        "selftest: {:?} {}:{} {:?}\n",
        dev.name(&mut name),
        major,
        minor,
        dev.facts()
    );
    let sectors = dev.sectors();
    check(sectors >= 65536, "device is large enough")?;

    let mut out = KVec::from_elem(0x5au8, 4096, GFP_KERNEL)?;
    dev.write_sync(sectors - 8, &out, WriteFlags::DURABLE)?;
    out.as_mut_slice().fill(0);
    dev.read_sync(sectors - 8, &mut out)?;
    check(
        out.iter().all(|b| *b == 0x5a),
        "metadata block written and read",
    )?;
    dev.zeroout_sync(sectors - 8, 8, false)?;
    dev.flush_sync()?;
    dev.read_sync(sectors - 8, &mut out)?;
    check(out.iter().all(|b| *b == 0), "zeroed")?;
    check(
        dev.read_sync(sectors, &mut out).is_err(),
        "reading beyond the end fails",
    )?;

    let pool = PagePool::new(0)?;
    for len in [512, 4096, 12288, 1 << 20] {
        let mut payload = pool.alloc(len)?;
        let mut n = 0u32;
        for chunk in payload.chunks_mut() {
            for byte in chunk {
                n = n.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                *byte = (n >> 16) as u8;
            }
        }
        let crc = payload.crc32c();
        dev.submit_write(
            2048,
            payload,
            WriteFlags {
                sync: true,
                ..WriteFlags::NONE
            },
            1,
        );
        let (status, pages) = ends.wait(1)?;
        check(
            status.is_ok() && pages.is_some_and(|p| p.len() == len),
            "payload written",
        )?;
        dev.submit_read(2048, pool.alloc(len)?, 2);
        let (status, pages) = ends.wait(2)?;
        let same = pages.is_some_and(|p| p.crc32c() == crc);
        check(status.is_ok() && same, "payload read back")?;
    }
    dev.submit_flush(3);
    check(ends.wait(3)?.0.is_ok(), "flush")?;
    dev.submit_discard(4096, 2048, 4);
    let status = ends.wait(4)?.0;
    pr_info!("selftest: discard {:?}, errno {}\n", status, status.errno());
    dev.submit_write_zeroes(2048, 2048, true, 5);
    let status = ends.wait(5)?.0;
    pr_info!("selftest: write-zeroes {:?}\n", status);
    if status.is_ok() {
        dev.submit_read(2048, pool.alloc(1 << 20)?, 6);
        check(
            ends.wait(6)?.1.is_some_and(|p| p.is_zero()),
            "write-zeroes zeroed",
        )?;
    }
    dev.submit_read(sectors, pool.alloc(4096)?, 7);
    let (status, pages) = ends.wait(7)?;
    check(
        !status.is_ok() && pages.is_some(),
        "an error brings the payload back",
    )?;
    drop(pages);
    check(
        Status::from_errno(status.errno()) == status,
        "status and errno",
    )?;

    // Many at once, dropped while under way: dropping waits.
    with_plug(|| -> Result {
        for i in 0..64u64 {
            dev.submit_read(i << 8, pool.alloc(131_072)?, 100 + i);
        }
        Ok(())
    })?;
    dev.drain();
    check(dev.in_flight() == 0, "drained")?;
    for i in 0..16u64 {
        dev.submit_read(i << 8, pool.alloc(131_072)?, 100 + i);
    }
    // Dropped with I/O under way: given back after the last one.
    drop(dev);
    let dev = reopen(path, ends.clone())?;
    drop(ends.last.lock().take());
    check(pool.in_use_pages() == 0, "all payloads came back")?;
    drop(dev);

    let last = Arc::pin_init(
        pin_init!(Suicide { dev <- new_spinlock_irq!(None), event <- Event::new() }),
        GFP_KERNEL,
    )?;
    let dev = Backing::open(path, last.clone(), false)?;
    *last.dev.lock() = Some(dev.clone());
    dev.submit_read(0, pool.alloc(4096)?, 0);
    drop(dev);
    check(
        last.event.wait(None, Some(10_000)) == Wake::Signaled,
        "a completion may drop its device",
    )?;
    drop(reopen(path, ends.clone())?);

    let shared = Backing::open(path, ends.clone(), true)?;
    let again = Backing::open(path, ends.clone(), true)?;
    check(shared.same_device(&again), "shared claim")?;
    check(
        Backing::open(path, ends.clone(), false).is_err(),
        "a shared claim excludes others",
    )?;
    // Dropped under a spinlock: closed by a work item.
    let parked = Arc::pin_init(new_spinlock_irq!(Some(again)), GFP_KERNEL)?;
    *parked.lock() = None;
    drop(shared);
    reopen(path, ends).map(drop)
}

/// Opens the device once an earlier claim is given back.
fn reopen(path: &CStr, ends: Arc<Ends>) -> Result<Backing> {
    for _ in 0..100 {
        if let Ok(dev) = Backing::open(path, ends.clone(), false) {
            check(true, "the claim is given back")?;
            return Ok(dev);
        }
        crate::os::timer::sleep_ms(10);
    }
    check(false, "the claim is given back")?;
    Err(EBUSY)
}
