// SPDX-License-Identifier: GPL-2.0-or-later
//! The host's part that needs no network: effects, the disk, metadata, the worker.

use super::{
    disk::Payload,
    heap::Rng,
    node::{AppReq, Completion, Io, LocalIo, MdWrite, Node, Queues, Vol},
};
use drbd_core::{
    engine::{
        op::{flag, Action, Kind},
        volume::{
            Admission, AppIo, ConnectionRequest, Effect, End, Finding, IoResult, MdIo, MdResult,
            Todo,
        },
    },
    state::Role,
};

impl Node {
    /// The application submits a request.
    pub(crate) fn submit(&mut self, v: usize, req: AppReq, now: u64) {
        self.vols[v].pending.push_back(req);
        if self.vols[v].pending.len() == 1 {
            self.admit(v, now);
        }
    }

    pub(crate) fn admit(&mut self, v: usize, now: u64) {
        let vol = &mut self.vols[v];
        while let Some(req) = vol.pending.front().copied() {
            let io = AppIo {
                write: req.write,
                action: req.action,
                sector: req.sector,
                len_sectors: req.len as u32,
                bio: req.bio,
            };
            match vol.volume.submit(io, &mut self.queues, now) {
                Admission::Accepted(op) => {
                    assert!(vol.slots[op as usize].app.is_none(), "slot {op} in use");
                    vol.slots[op as usize].app = Some(req);
                    vol.pending.pop_front();
                }
                Admission::Later => break,
                Admission::Refused(result) => {
                    vol.pending.pop_front();
                    self.completions.push(Completion {
                        req,
                        result,
                        read: None,
                    });
                }
            }
        }
        vol.after();
    }

    /// What waited runs, and some effects are carried out.
    pub(crate) fn carry_out(&mut self, v: usize, now: u64, rng: &mut Rng) {
        let vol = &mut self.vols[v];
        if core::mem::take(&mut vol.ready) {
            vol.volume.tend_disk(&mut self.queues, now);
            vol.volume.run_ready(&mut self.queues, now);
        }
        vol.effects = false;
        let some = 1 + rng.below(8);
        for _ in 0..some {
            let Some(effect) = self.vols[v].volume.next_effect(true) else {
                break;
            };
            self.perform(v, effect, now);
        }
        self.vols[v].after();
    }

    pub(crate) fn perform(&mut self, v: usize, effect: Effect, _now: u64) {
        let vol = &mut self.vols[v];
        match effect {
            Effect::Complete { op, result } => {
                let slot = core::mem::take(&mut vol.slots[op as usize]);
                let req = slot.app.expect("a completed operation has its request");
                assert!(
                    slot.payload.is_some() || req.write || result != IoResult::Done,
                    "a read without data: {req:?}"
                );
                self.completions.push(Completion {
                    req,
                    result,
                    read: slot.payload,
                });
            }
            Effect::Release { op } => {
                let slot = core::mem::take(&mut vol.slots[op as usize]);
                assert!(
                    slot.app.is_none(),
                    "an application's operation was released"
                );
            }
            Effect::SubmitApp { op } => {
                let req = vol.slots[op as usize].app.expect("a submitted operation");
                let what = match (req.write, req.action) {
                    (false, _) => Io::Read(req.sector, req.len),
                    (true, Action::Flush) => Io::Flush,
                    (true, Action::Data) => {
                        Io::Write(Payload::all(req.sector, req.len, req.tag), req.bio)
                    }
                    (true, _) => Io::Discard(req.sector, req.len),
                };
                self.start(v, op, true, what);
            }
            Effect::SubmitRead {
                op,
                sector,
                len_sectors,
            } => self.start(v, op, false, Io::Read(sector, u64::from(len_sectors))),
            Effect::SubmitWrite {
                op,
                action,
                sector,
                len_sectors,
                bio,
            } => {
                let payload = vol.slots[op as usize].payload.take();
                let len = u64::from(len_sectors);
                let what = match action {
                    Action::Data => {
                        let payload = payload.expect("a write of the peer has a payload");
                        assert_eq!((payload.sector, payload.len), (sector, len));
                        Io::Write(payload, bio)
                    }
                    Action::Flush => Io::Flush,
                    Action::Discard | Action::ZeroesUnmap | Action::ZeroesKeep => {
                        Io::Discard(sector, len)
                    }
                };
                self.start(v, op, false, what);
            }
        }
    }

    fn start(&mut self, v: usize, op: u32, app: bool, what: Io) {
        let vol = &mut self.vols[v];
        let late = vol.volume.late_io() > 0 || vol.md_late.is_some();
        assert!(
            !late,
            "a disk is used while the one before it may still write"
        );
        let (sector, len) = what.range();
        let writes = |io: &Io| matches!(io, Io::Write(..) | Io::Discard(..));
        let resync_read = |op: u32| vol.volume.op(op).kind == Kind::RsRead;
        for other in &vol.inflight {
            let (at, other_len) = other.what.range();
            let overlap = at < sector + len && sector < at + other_len;
            let both_write = writes(&what) && writes(&other.what);
            let beside_resync =
                writes(&what) && resync_read(other.op) || writes(&other.what) && resync_read(op);
            assert!(
                !overlap || !(both_write || beside_resync),
                "node {}: overlapping operations on the disk: {:?} and {:?}",
                self.index,
                vol.volume.op(op),
                vol.volume.op(other.op),
            );
        }
        vol.inflight.push(LocalIo { op, app, what });
    }

    /// The disk finishes something.
    pub(crate) fn io_done(&mut self, v: usize, rng: &mut Rng) {
        let vol = &mut self.vols[v];
        let pick = rng.below(vol.inflight.len() as u64) as usize;
        let io = vol.inflight.swap_remove(pick);
        let late = vol.volume.op(io.op).any(flag::LATE);
        let mut ok = (vol.attached || late) && !vol.disk.failing;
        match &io.what {
            Io::Read(..) if late => {}
            Io::Read(sector, len) if ok => {
                let payload = vol.disk.read(*sector, *len);
                vol.slots[io.op as usize].payload = Some(payload);
            }
            Io::Write(payload, bio) if ok => {
                if bio.preflush {
                    vol.disk.flush();
                }
                vol.disk.write(payload);
                if bio.fua {
                    vol.disk.persist(payload.sector, payload.len);
                }
            }
            Io::Discard(..) if vol.disk.no_discard => ok = false,
            Io::Discard(sector, len) if ok => vol.disk.write(&Payload::zeroes(*sector, *len)),
            Io::Flush if ok => vol.disk.flush(),
            Io::Write(payload, _) => vol.disk.write_torn(payload, rng),
            Io::Read(..) | Io::Discard(..) | Io::Flush => {}
        }
        let _ = io.app;
        vol.volume.local_done(io.op, ok, &mut self.queues);
        // In interrupt context only completions are taken.
        if rng.one_in(2) {
            if let Some(effect) = vol.volume.next_effect(false) {
                self.perform(v, effect, 0);
            }
        }
        self.vols[v].after();
    }

    /// The metadata thread asks for the next block.
    pub(crate) fn md_poll(&mut self, v: usize, now: u64) {
        let vol = &mut self.vols[v];
        let mut block = Box::new([0; 4096]);
        match vol.volume.md_poll(&mut block, &mut self.queues, now) {
            None => vol.md_due = false,
            Some(MdIo::Again) => {}
            Some(MdIo::Write { sector, durable }) => {
                assert!(vol.attached);
                vol.md_since_ms = now;
                vol.md_write = Some(MdWrite {
                    sector,
                    durable,
                    block,
                });
            }
        }
        vol.after();
    }

    pub(crate) fn md_done(&mut self, v: usize, now: u64) {
        let vol = &mut self.vols[v];
        let Some(write) = vol.md_write.take() else {
            return;
        };
        let result = if vol.disk.md_failing || !vol.attached {
            MdResult::Failed
        } else {
            vol.disk.md_write(write.sector, &write.block, write.durable);
            MdResult::Written
        };
        vol.volume.md_done(result, &mut self.queues, now);
        vol.md_due = true;
        vol.after();
    }

    /// The worker.
    pub(crate) fn work(&mut self, v: usize, now: u64) {
        let vol = &mut self.vols[v];
        let todo = core::mem::take(&mut vol.todo);
        if todo.has(Todo::ROLE) {
            vol.read_only = vol.volume.state().role != Role::Primary;
        }
        if todo.has(Todo::DISK_GONE) {
            if let Some(disk) = vol.volume.take_disk() {
                let late = |io: &LocalIo| vol.volume.op(io.op).any(flag::LATE);
                assert!(vol.inflight.iter().all(late), "the disk is in use");
                vol.attached = false;
                drop(disk);
            }
        }
        if todo.has(Todo::CONNECTION) {
            if let Some(ConnectionRequest::End(conn)) = vol.volume.take_connection_request() {
                let why = "a volume cannot go on with this peer";
                self.end_with(End { conn, why });
            }
        }
        let vol = &mut self.vols[v];
        if todo.has(Todo::HELPER) && vol.helper.is_none() {
            vol.helper = vol.volume.next_helper();
        }
        if todo.has(Todo::COMPARE) {
            vol.compare(&mut self.queues, now);
        }
        if todo.has(Todo::FINDING) {
            while let Some(finding) = vol.volume.take_finding() {
                if let Finding::OutOfSync(range) = finding {
                    self.findings.push((v, range));
                }
            }
        }
        let vol = &mut self.vols[v];
        let due = vol.tick_ms.is_some_and(|at| at <= now);
        if todo.has(Todo::RESYNC) || due {
            vol.tick_ms = vol.volume.resync_work(&mut self.queues, now);
        }
        vol.after();
        if todo.has(Todo::ADMIT) {
            self.admit(v, now);
        }
    }
}

impl Vol {
    /// Compares what was read with the digests of the peer.
    fn compare(&mut self, queues: &mut Queues, now: u64) {
        while let Some((op, readable)) = self.volume.next_compare() {
            assert!(
                readable,
                "a block that could not be read has nothing to compare"
            );
            let slot = &mut self.slots[op as usize];
            let own = slot.payload.as_ref().map(Payload::digest);
            let equal = if self.volume.tests_for_zeroes(op) {
                slot.payload
                    .as_ref()
                    .is_some_and(|block| block.tags.is_empty())
            } else {
                own.is_some() && own == slot.digest.take()
            };
            let at = self.volume.op(op);
            if !equal && at.kind == Kind::OvOwn {
                self.unequal.push((at.sector, u64::from(at.len_sectors)));
            }
            self.volume.compared(op, equal, queues, now);
        }
    }
}
