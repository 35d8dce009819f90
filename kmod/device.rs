// SPDX-License-Identifier: GPL-2.0-or-later
//! A minor: the block device of a volume, hosting the engine's [`Volume`].
//!
//! Everything that happens to it enters through one of the methods here, which lock the volume,
//! hand the input to the engine, and carry its effects out after unlocking. I/O completion enters
//! in hard interrupt context; it only ends requests, the rest is left to the worker.

use crate::{
    attached::Attached,
    crypto::Digest,
    device_io::{app_io, status_of},
    mem::{Fifo, KMem},
    os::{
        bio::{Bio, BioData},
        disk::{BlockDriver, Disk, FrozenFilesystem},
        limits::Limits,
        lock::{new_mutex, new_spinlock_irq, Arc, Atomic, Mutex, SpinLockIrq},
        mem::Buf,
        pages::{PagePool, Payload},
        random,
        timer::now_ms,
        wait::{Event, WaitQueue},
    },
    queues::{Queues, Via},
    threads::Threads,
    work::{Works, BATCH},
};
use core::ops::{Deref, DerefMut};
use drbd_core::{
    config::{DeviceOptions, DiskOptions},
    engine::{
        link::Link,
        op::{Kind, Op, OpId},
        ranges::{Bucket, BUCKETS},
        volume::{Admission, Todo, Volume},
    },
    genl::v1::DiskExtras,
    state::State,
};
use kernel::prelude::*;

/// Operations of the application at a time; further bios wait in [`Inner::pending`].
pub(crate) const APP_OPS: u32 = 1024;
/// Operations of the peer at first; the receiver adds more.
const PEER_OPS: u32 = 1024;
/// Bios that wait for admission before their submitters do.
const PENDING_BIOS: usize = 1024;

/// What belongs to an operation.
#[derive(Default)]
pub(crate) struct Slot {
    /// The application's request.
    pub(crate) bio: Option<Bio>,
    /// Data of the peer, or for it.
    pub(crate) payload: Option<Payload>,
    /// The peer's digest of the block, in online verify and in a checksum-based resync.
    pub(crate) digest: Option<KBox<Digest>>,
}

impl Slot {
    /// Whether nothing belongs to it. Context: any.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bio.is_none() && self.payload.is_none() && self.digest.is_none()
    }
}

/// What the volume's lock protects.
pub(crate) struct Inner {
    /// The engine.
    pub(crate) volume: Volume<KMem>,
    /// What belongs to the operations, by index.
    pub(crate) slots: Buf<Slot>,
    /// Bios that the engine did not admit yet.
    pub(crate) pending: Fifo<Bio>,
    /// The disk.
    pub(crate) attached: Option<Arc<Attached>>,
    /// The same, while it is given the application's own pages: without disk-timeout.
    pub(crate) direct: Option<Arc<Attached>>,
    /// disk-timeout: where pages come from for what goes to the disk, so that the application's do
    /// not.
    pub(crate) bounce: Option<PagePool>,
    /// What waits for such pages.
    pub(crate) starved: Option<Fifo<(BioData, OpId)>>,
    /// A disk that was given up and has not answered everything.
    pub(crate) leaving: Option<Arc<Attached>>,
    /// What the worker has to do.
    worker_todo: Todo,
    /// Something may run: see `Volume::run_ready`.
    ready: bool,
}

/// The volume and its way to the peer: an input uses both at once.
pub(crate) struct Locked {
    pub(crate) inner: Inner,
    /// The queues of the connection.
    pub(crate) queues: Option<Arc<Queues>>,
}

impl Deref for Locked {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

/// Who has to be woken after unlocking.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wakeups {
    worker: bool,
    metadata: bool,
    waiters: bool,
    effects: bool,
}

impl Wakeups {
    /// Leaves the effects to the worker.
    #[inline]
    pub(crate) fn to_worker(self) -> Self {
        Wakeups {
            worker: self.worker || self.effects,
            ..self
        }
    }
}

/// A minor.
#[pin_data]
pub(crate) struct Device {
    /// Minor number.
    pub(crate) minor: u32,
    /// Number of the volume in its resource.
    pub(crate) number: u16,
    #[pin]
    pub(crate) inner: SpinLockIrq<Locked>,
    /// The block device, once it is published.
    #[pin]
    pub(crate) disk: Mutex<Option<Disk>>,
    /// Openers, and of them those that write.
    pub(crate) openers: Atomic<i32>,
    pub(crate) writers: Atomic<i32>,
    /// Set while the resource goes down: nobody opens it any more.
    pub(crate) going_down: Atomic<bool>,
    /// The worker has something to do.
    #[pin]
    pub(crate) worker_event: Event,
    /// The metadata thread has something to do.
    #[pin]
    pub(crate) metadata_event: Event,
    /// It has to be looked whether the disk answers.
    #[pin]
    pub(crate) watch_event: Event,
    /// Something waits in [`Inner::starved`].
    pub(crate) starves: Atomic<bool>,
    /// Whoever waits for a condition of the volume.
    #[pin]
    pub(crate) changed: WaitQueue,
    /// Payload buffers of the peer's operations.
    pub(crate) pool: PagePool,
    /// Options of the attached disk.
    #[pin]
    pub(crate) disk_options: Mutex<Option<DiskOptions>>,
    /// The file system that suspend-io made to rest.
    #[pin]
    pub(crate) frozen_filesystem: Mutex<Option<FrozenFilesystem>>,
    #[pin]
    pub(crate) device_options: Mutex<DeviceOptions>,
    /// What the 8.4 tools count to the disk, kept for the connection (API version 1).
    #[pin]
    pub(crate) extras: Mutex<DiskExtras>,
    /// The state word that listeners of API version 1 were told last.
    pub(crate) told_state: Atomic<u32>,
    #[pin]
    pub(crate) threads: Mutex<Option<Threads>>,
}

impl Device {
    /// A minor without disk and connection, not yet published. Context: task.
    // Out of line: the engine is made on the stack, which publishing the disk needs for itself.
    #[inline(never)]
    pub(crate) fn new(minor: u32, number: u16, options: DeviceOptions) -> Result<Arc<Self>> {
        let total = APP_OPS.saturating_add(PEER_OPS);
        let ops = Buf::filled(total as usize, Op::FREE)?;
        let buckets = Buf::filled(BUCKETS, Bucket::EMPTY)?;
        let slots = Buf::from_fn(total as usize, |_| Slot::default())?;
        let pending = Fifo::new(PENDING_BIOS)?;
        let pool = PagePool::new(256)?;
        let volume = Volume::new(number, ops, buckets, APP_OPS);
        let device = Arc::pin_init(
            pin_init!(Device {
                minor,
                number,
                inner <- new_spinlock_irq!(
                    Locked {
                        inner: Inner {
                            volume,
                            slots,
                            pending,
                            attached: None,
                            direct: None,
                            bounce: None,
                            starved: None,
                            leaving: None,
                            worker_todo: Todo::NONE,
                            ready: false,
                        },
                        queues: None,
                    },
                    "drbd_volume"
                ),
                disk <- new_mutex!(None, "drbd_disk"),
                openers: Atomic::new(0),
                writers: Atomic::new(0),
                going_down: Atomic::new(false),
                worker_event <- Event::new(),
                metadata_event <- Event::new(),
                watch_event <- Event::new(),
                starves: Atomic::new(false),
                changed <- WaitQueue::new(),
                pool,
                disk_options <- new_mutex!(None, "drbd_disk_opts"),
                frozen_filesystem <- new_mutex!(None, "drbd_frozen_fs"),
                device_options <- new_mutex!(options, "drbd_dev_opts"),
                extras <- new_mutex!(DiskExtras::default(), "drbd_extras"),
                told_state: Atomic::new(State::UNCONFIGURED.to_word()),
                threads <- new_mutex!(None, "drbd_threads"),
            }),
            GFP_KERNEL,
        )?;
        let mut inner = device.inner.lock();
        inner.volume.add_entropy(random::u64());
        inner.volume.enable_helpers(true);
        drop(inner);
        Ok(device)
    }

    /// Publishes the block device `/dev/drbdN`. Context: task.
    pub(crate) fn publish(self: &Arc<Self>) -> Result {
        let driver: Arc<dyn BlockDriver> = self.clone();
        let disk = Disk::create(self.minor, driver, &Limits::diskless())?;
        *self.disk.lock() = Some(disk);
        Ok(())
    }

    /// Hands an input to the engine and carries out what follows. Context: task, no lock held.
    #[inline]
    pub(crate) fn with<R>(&self, input: impl FnOnce(&mut Inner, &mut dyn Link, u64) -> R) -> R {
        self.with_at(now_ms(), input)
    }

    /// The same for who knows the time. Context: task, no lock held.
    #[inline]
    pub(crate) fn with_at<R>(
        &self,
        now: u64,
        input: impl FnOnce(&mut Inner, &mut dyn Link, u64) -> R,
    ) -> R {
        let mut works = Works::new();
        let (result, wakeups) = {
            let mut locked = self.inner.lock();
            let Locked { inner, queues } = &mut *locked;
            let result = input(inner, &mut Via(queues.as_deref()), now);
            if inner.volume.has_effects() {
                inner.collect(&mut works, true);
            }
            (result, inner.wakeups())
        };
        self.wake(wakeups);
        if !works.is_empty() {
            self.perform_all(works);
        }
        if wakeups.effects {
            self.carry_out();
        }
        result
    }

    /// Gives the volume its way to the peer, in one step with what `input` makes of that. Context:
    /// task, no lock held.
    pub(crate) fn join(&self, queues: Arc<Queues>, input: impl FnOnce(&mut Inner)) {
        {
            let mut locked = self.inner.lock();
            locked.queues = Some(queues);
            input(&mut locked.inner);
        }
        self.carry_out();
    }

    /// Looks at the engine without changing it. Context: any.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Volume<KMem>) -> R) -> R {
        look(&self.inner.lock().volume)
    }

    /// The state. Context: any.
    pub(crate) fn state(&self) -> State {
        self.peek(Volume::state)
    }

    #[inline(always)]
    pub(crate) fn wake(&self, wakeups: Wakeups) {
        if wakeups.metadata || wakeups.worker {
            self.wake_threads(wakeups);
        }
        if wakeups.waiters {
            self.changed.wake_all();
        }
    }

    #[inline(never)]
    fn wake_threads(&self, wakeups: Wakeups) {
        if wakeups.metadata {
            self.metadata_event.signal();
        }
        if wakeups.worker {
            self.worker_event.signal();
        }
    }

    /// Carries out effects until there are none. Context: task, no lock held.
    // Out of line: what an input leaves behind was mostly done with it.
    #[inline(never)]
    pub(crate) fn carry_out(&self) {
        loop {
            let mut works = Works::new();
            let wakeups = {
                let mut locked = self.inner.lock();
                let Locked { inner, queues } = &mut *locked;
                if core::mem::take(&mut inner.ready) {
                    let mut link = Via(queues.as_deref());
                    inner.volume.tend_disk(&mut link, now_ms());
                    inner.volume.run_ready(&mut link, now_ms());
                }
                inner.collect(&mut works, true);
                inner.wakeups()
            };
            self.wake(wakeups);
            self.perform_all(works);
            if !wakeups.effects {
                return;
            }
        }
    }

    /// There is none to read the block of `op` into. Context: task.
    pub(crate) fn no_memory_for(&self, op: OpId) {
        let wakeups = {
            let mut locked = self.inner.lock();
            let Locked { inner, queues } = &mut *locked;
            inner
                .volume
                .checksum_unread(op, &mut Via(queues.as_deref()));
            inner.wakeups()
        };
        // What follows is not carried out here: this is a part of carrying out.
        self.wake(wakeups.to_worker());
    }

    /// The disk finished an operation. Context: any.
    pub(crate) fn local_done(&self, op: OpId, ok: bool, payload: Option<Payload>) {
        let mut works = Works::new();
        let (leftover, wakeups) = {
            let mut locked = self.inner.lock();
            let Locked { inner, queues } = &mut *locked;
            let at = inner.volume.op(op);
            // A write of the peer is told first: most of what comes here on a Secondary.
            let reads = at.kind != Kind::PeerWrite && at.reads() && at.kind != Kind::AppRead;
            let mut leftover = payload;
            if reads {
                inner.keep_payload(op, leftover.take());
            }
            inner
                .volume
                .local_done(op, ok, &mut Via(queues.as_deref()));
            if reads && inner.volume.op(op).kind == Kind::Free {
                leftover = inner.take_payload(op);
            }
            if inner.volume.has_effects() {
                inner.collect(&mut works, false);
            }
            let wakeups = inner.wakeups();
            // What is left needs task context.
            (leftover, wakeups.to_worker())
        };
        drop(leftover);
        self.wake(wakeups);
        if !works.is_empty() {
            works.end_all();
        }
    }

    /// Has the worker tell user space about this device. Context: any.
    pub(crate) fn tell(&self) {
        let todo = &mut self.inner.lock().worker_todo;
        *todo = todo.with(Todo::NOTIFY);
        self.worker_event.signal();
    }

    /// What the worker has to do. Context: any.
    pub(crate) fn take_worker_todo(&self) -> Todo {
        core::mem::take(&mut self.inner.lock().worker_todo)
    }

    /// Offers bios that wait to the engine. Context: task.
    pub(crate) fn admit_pending(&self) {
        loop {
            let (more, refused) = self.with(|inner, link, now| {
                for _ in 0..BATCH {
                    let Some(io) = inner.pending.front().map(app_io) else {
                        return (false, None);
                    };
                    match inner.volume.submit(io, link, now) {
                        Admission::Accepted(op) => {
                            if let Some(bio) = inner.pending.pop() {
                                inner.keep_bio(op, bio);
                            }
                        }
                        Admission::Later => return (false, None),
                        Admission::Refused(result) => {
                            let bio = inner.pending.pop();
                            return (true, bio.map(|bio| (bio, result)));
                        }
                    }
                }
                (true, None)
            });
            if let Some((bio, result)) = refused {
                bio.complete(status_of(result));
            }
            if !more {
                break;
            }
        }
        self.changed.wake_all();
    }

    /// Whether bios of the application wait or are under way. Context: any.
    pub(crate) fn has_app_io(&self) -> bool {
        let inner = self.inner.lock();
        !inner.pending.is_empty() || inner.volume.upper_pending() > 0
    }

    /// Makes room for more operations of the peer. Context: task.
    pub(crate) fn grow_ops(&self) -> Result {
        let old = self.peek(|volume| volume.ops_capacity());
        let total = (old as usize).saturating_mul(2);
        if total > 65_536 {
            return Err(ENOMEM);
        }
        let ops = Buf::filled(total, Op::FREE)?;
        let mut slots = Buf::from_fn(total, |_| Slot::default())?;
        let queues = self.inner.lock().queues.clone();
        if let Some(queues) = queues {
            queues.grow(total.saturating_mul(2))?;
        }
        let old = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            for (new, old) in slots.iter_mut().zip(inner.slots.iter_mut()) {
                core::mem::swap(new, old);
            }
            core::mem::swap(&mut inner.slots, &mut slots);
            inner.volume.grow_ops(ops)
        };
        drop((old, slots));
        Ok(())
    }

    /// An operation is not sent any more; the payload of a reply goes with it. Context: task.
    pub(crate) fn cancel_send(&self, op: OpId, reply: bool) {
        let payload = self.with(|inner, link, _| {
            let slot = inner.slots.get_mut(op as usize).filter(|_| reply);
            let payload = slot.and_then(|slot| slot.payload.take());
            inner.volume.send_canceled(op, link);
            payload
        });
        drop(payload);
    }
}

impl Inner {
    /// Who has to be woken, and for what. Mostly nobody, or who waits for a condition.
    #[inline]
    pub(crate) fn wakeups(&mut self) -> Wakeups {
        let todo = self.volume.take_todo();
        if self.ready || !todo.without(Todo::WAKE).is_empty() {
            return self.wakeups_for(todo);
        }
        Wakeups {
            waiters: !todo.is_empty(),
            effects: self.volume.has_effects(),
            ..Wakeups::default()
        }
    }

    #[inline(never)]
    fn wakeups_for(&mut self, mut todo: Todo) -> Wakeups {
        if self.pending.is_empty() {
            // Nobody to admit: no reason to wake the worker for every request that ends.
            todo = todo.without(Todo::ADMIT);
        }
        self.ready |= todo.has(Todo::READY);
        let worker = todo.without(Todo::METADATA).without(Todo::WAKE);
        self.worker_todo = self.worker_todo.with(worker);
        Wakeups {
            worker: !worker.is_empty(),
            metadata: todo.has(Todo::METADATA),
            waiters: todo.has(Todo::WAKE),
            effects: self.volume.has_effects() || self.ready,
        }
    }

    /// Sets the disk, or takes it back.
    pub(crate) fn set_attached(&mut self, disk: Option<Arc<Attached>>) -> Option<Arc<Attached>> {
        let before = core::mem::replace(&mut self.attached, disk);
        self.choose_way();
        before
    }

    /// Sets where pages for the disk come from (disk-timeout), or that it is given the
    /// application's.
    pub(crate) fn set_bounce(&mut self, pool: Option<PagePool>) -> Option<PagePool> {
        let before = core::mem::replace(&mut self.bounce, pool);
        self.choose_way();
        before
    }

    fn choose_way(&mut self) {
        // `attached`, or whoever took it, has a reference too: this never drops the last.
        self.direct = match &self.bounce {
            Some(_) => None,
            None => self.attached.clone(),
        };
    }

    /// Whether something belongs to `op`.
    #[inline]
    pub(crate) fn has_slot(&self, op: OpId) -> bool {
        let slot = self.slots.get(op as usize);
        slot.is_some_and(|slot| !slot.is_empty())
    }

    /// Takes what belongs to `op`.
    pub(crate) fn take_slot(&mut self, op: OpId) -> Slot {
        self.slots
            .get_mut(op as usize)
            .map(core::mem::take)
            .unwrap_or_default()
    }

    /// Puts the bio of an operation into the table.
    #[inline]
    pub(crate) fn keep_bio(&mut self, op: OpId, bio: Bio) {
        if let Some(slot) = self.slots.get_mut(op as usize) {
            slot.bio = Some(bio);
        }
    }

    /// Takes a payload back out of the table.
    pub(crate) fn take_payload(&mut self, op: OpId) -> Option<Payload> {
        self.slots
            .get_mut(op as usize)
            .and_then(|slot| slot.payload.take())
    }

    /// Puts the payload of a peer's operation into the table.
    pub(crate) fn keep_payload(&mut self, op: OpId, payload: Option<Payload>) {
        if let Some(slot) = self.slots.get_mut(op as usize) {
            slot.payload = payload;
        }
    }
}
