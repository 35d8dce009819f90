// SPDX-License-Identifier: GPL-2.0-or-later
//! `/dev/drbd0` over the device under test: reads and writes go down, and every write also travels
//! through a TCP connection to a thread of ours that compares its checksum. A request ends when
//! both ways have.

use super::{check, net};
use crate::os::{
    addr::SockAddr,
    backing::{Backing, IoDone},
    bio::{Bio, BioData, Op},
    disk::{BlockDriver, Disk},
    kthread::{Ctl, KThread},
    limits::Limits,
    lock::{new_mutex, new_spinlock_irq, Arc, Atomic, Mutex, Relaxed, SpinLockIrq},
    pages::{PagePool, Payload},
    recv::RecvWait,
    socket::{PageMode, SendFlags, SockOpts, Socket},
    status::Status,
    wait::Event,
};
use kernel::prelude::*;

const SLOTS: usize = 256;

struct Slot {
    bio: Bio,
    legs: u32,
    status: Status,
}

#[pin_data]
struct Volume {
    #[pin]
    backing: Mutex<Option<Backing>>,
    #[pin]
    slots: SpinLockIrq<KVec<Option<Slot>>>,
    #[pin]
    to_send: SpinLockIrq<KVec<(usize, BioData)>>,
    #[pin]
    room: Event,
    #[pin]
    work: Event,
    openers: Atomic<i32>,
    mirrored: Atomic<u64>,
}

impl Volume {
    fn leg_done(&self, index: usize, status: Status) {
        let ended = {
            let mut slots = self.slots.lock();
            let Some(place) = slots.get_mut(index) else {
                return;
            };
            let Some(slot) = place.as_mut() else { return };
            if !status.is_ok() {
                slot.status = status;
            }
            slot.legs = slot.legs.saturating_sub(1);
            if slot.legs == 0 {
                place.take()
            } else {
                None
            }
        };
        if let Some(slot) = ended {
            self.room.signal();
            slot.bio.complete(slot.status);
        }
    }
}

impl IoDone for Volume {
    fn io_done(&self, token: u64, status: Status, _: Option<Payload>) {
        self.leg_done(token as usize, status);
    }
}

impl BlockDriver for Volume {
    fn submit(&self, bio: Bio) {
        let Some(backing) = self.backing.lock().clone() else {
            return;
        };
        if bio.op() == Op::Other {
            return bio.complete(Status::NOTSUPP);
        }
        let mirrored = bio.op() == Op::Write;
        let down = bio.data();
        let across = mirrored.then(|| bio.data());
        let mut bio = Some(bio);
        let index = loop {
            {
                let mut slots = self.slots.lock();
                let free = slots
                    .iter_mut()
                    .enumerate()
                    .find(|(_, slot)| slot.is_none());
                if let Some((index, place)) = free {
                    let Some(bio) = bio.take() else { return };
                    let legs = if mirrored { 2 } else { 1 };
                    *place = Some(Slot {
                        bio,
                        legs,
                        status: Status::OK,
                    });
                    break index;
                }
            }
            let _ = self.room.wait(None, Some(100));
        };
        if let Some(data) = across {
            // As many places as slots: there is always room.
            let queued = self
                .to_send
                .lock()
                .push_within_capacity((index, data))
                .is_ok();
            if !queued {
                self.leg_done(index, Status::RESOURCE);
            }
            self.work.signal();
        }
        backing.submit_clone(down, index as u64);
    }

    fn open(&self, _write: bool) -> Result {
        let _ = self.openers.fetch_add(1, Relaxed);
        Ok(())
    }

    fn release(&self) {
        let _ = self.openers.fetch_sub(1, Relaxed);
    }
}

/// Sends queued writes: 16 bytes of header (index, length, ...) and the payload.
fn send_loop(volume: &Volume, socket: &Socket, ctl: &Ctl) -> Result {
    let mut bounce = false;
    loop {
        let next = volume.to_send.lock().pop();
        let Some((index, data)) = next else {
            if ctl.should_stop() {
                return Ok(());
            }
            let _ = volume.work.wait(Some(ctl), None);
            continue;
        };
        let mut header = [0u8; 16];
        let words = Iterator::chain(
            (index as u64).to_le_bytes().into_iter(),
            (data.len() as u64).to_le_bytes(),
        );
        for (to, from) in header.iter_mut().zip(words) {
            *to = from;
        }
        let mut sent = 0;
        socket.send_all(&header, &mut sent, SendFlags::MORE)?;
        bounce = !bounce;
        let mode = if bounce {
            PageMode::Copy
        } else {
            PageMode::Splice
        };
        let mut from = 0;
        while from < data.len() {
            from = from.saturating_add(socket.send_bio(&data, from, mode, SendFlags::NONE)?);
        }
    }
}

/// Receives what the sender sent, compares it with the pages of the bio in its slot, and ends that
/// leg. Returns when the connection ends.
fn recv_loop(volume: &Volume, socket: &Socket, pool: &PagePool) -> Result {
    loop {
        let mut header = [0u8; 16];
        let mut got = 0;
        if socket
            .recv_exact(&mut header, &mut got, RecvWait::Forever)
            .is_err()
        {
            return Ok(());
        }
        let (index, len) = header.split_first_chunk::<8>().ok_or(EIO)?;
        let index = u64::from_le_bytes(*index) as usize;
        let len = u64::from_le_bytes(*len.first_chunk::<8>().ok_or(EIO)?) as usize;
        let mut payload = pool.alloc(len)?;
        let mut got = 0;
        let wait = RecvWait::Ms(10_000);
        socket
            .recv_payload(&mut payload, &mut got, wait)
            .map_err(|_| EIO)?;
        let data = volume
            .slots
            .lock()
            .get(index)
            .and_then(Option::as_ref)
            .map(|slot| slot.bio.data());
        let data = data.ok_or(EIO)?;
        let mut copy = pool.alloc(len)?;
        data.copy_to_payload(&mut copy)?;
        if copy.crc32c() != payload.crc32c() {
            pr_err!("selftest: FAILED: mirrored payload differs\n");
        }
        drop(data);
        let _ = volume.mirrored.fetch_add(len as u64, Relaxed);
        volume.leg_done(index, Status::OK);
    }
}

/// The running mirror. Dropping it removes the disk, then the threads, then the claim.
pub(super) struct Mirror {
    disk: Option<Disk>,
    sender: Option<KThread>,
    receiver: Option<KThread>,
    ends: (Arc<Socket>, Arc<Socket>),
    volume: Arc<Volume>,
}

impl Mirror {
    pub(super) fn start(path: &CStr) -> Result<Self> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(None, GFP_KERNEL)?;
        }
        let to_send = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        let volume = Arc::pin_init(
            pin_init!(Volume {
                backing <- new_mutex!(None),
                slots <- new_spinlock_irq!(slots),
                to_send <- new_spinlock_irq!(to_send),
                room <- Event::new(),
                work <- Event::new(),
                openers: Atomic::new(0),
                mirrored: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;
        let backing = Backing::open(path, volume.clone(), false)?;
        *volume.backing.lock() = Some(backing.clone());
        let addr = SockAddr::V4 {
            ip: [127, 0, 0, 1],
            port: 17_790,
        };
        let (a, b) = net::pair(addr, &SockOpts::default())?;
        let ends = (Arc::new(a, GFP_KERNEL)?, Arc::new(b, GFP_KERNEL)?);
        let (v, socket) = (volume.clone(), ends.0.clone());
        let sender = KThread::spawn(c"drbd_st_sender", move |ctl| {
            let _ = check(send_loop(&v, &socket, ctl).is_ok(), "mirror sender ended");
        })?;
        let (v, socket, pool) = (volume.clone(), ends.1.clone(), PagePool::new(300)?);
        let receiver = KThread::spawn(c"drbd_st_recver", move |_| {
            let _ = check(
                recv_loop(&v, &socket, &pool).is_ok(),
                "mirror receiver ended",
            );
        })?;

        // From here on dropping it undoes everything in order.
        let mut mirror = Mirror {
            disk: None,
            sender: Some(sender),
            receiver: Some(receiver),
            ends,
            volume: volume.clone(),
        };
        let disk = Disk::create(0, volume, &Limits::diskless())?;
        let disk = mirror.disk.insert(disk);
        let facts = backing.facts();
        let limits = Limits {
            logical_block: facts.logical_block,
            physical_block: facts.physical_block,
            discard_max_sectors: facts.discard_max_sectors.min(2048),
            discard_granularity: facts.discard_granularity,
            write_zeroes_max_sectors: facts.write_zeroes_max_sectors.min(2048),
            ..Limits::diskless()
        };
        disk.set_limits(&limits, Some(&backing))?;
        disk.link(&backing)?;
        check(disk.set_capacity(backing.sectors() - 8), "size changes")?;
        check(
            !disk.set_capacity(backing.sectors() - 8),
            "the same size is no change",
        )?;
        disk.set_read_only(false);
        Ok(mirror)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // Waits for every request, so for both legs of each.
        drop(self.disk.take());
        drop(self.sender.take());
        self.ends.0.shutdown();
        self.ends.1.shutdown();
        drop(self.receiver.take());
        // Breaks the circle volume -> backing -> volume.
        drop(self.volume.backing.lock().take());
        let mirrored = self.volume.mirrored.load(Relaxed);
        let openers = self.volume.openers.load(Relaxed);
        pr_info!(
            "selftest: mirrored {} bytes, {} openers left\n",
            mirrored,
            openers
        );
    }
}
