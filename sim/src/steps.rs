// SPDX-License-Identifier: GPL-2.0-or-later
//! What can happen next, and how it happens.

use super::{
    net::{Pipe, Wire},
    node::{Node, Phase},
    world::World,
};
use drbd_core::{
    engine::volume::{End, Todo},
    state::Conn,
    wire::{dialect::Dialect, handshake::ConnectionFeatures},
};

/// What can happen next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    CarryOut(usize, usize),
    IoDone(usize, usize),
    MdPoll(usize, usize),
    MdDone(usize, usize),
    /// It is looked whether the disk answers.
    Watch(usize, usize),
    /// A write of metadata ends that was given up.
    MdLate(usize, usize),
    Work(usize, usize),
    SendData(usize),
    SendMeta(usize),
    RecvData(usize),
    RecvMeta(usize),
    Barrier(usize),
    Join(usize),
    End(usize),
    NoticeEnd(usize),
    Admin(usize),
    Forgive(usize),
    Helper(usize, usize),
    Handler(usize),
}

impl World {
    pub(crate) fn enabled(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(24);
        for (n, node) in self.nodes.iter().enumerate() {
            if !node.up || self.frozen[n] {
                continue;
            }
            for (v, vol) in node.vols.iter().enumerate() {
                if vol.effects || vol.ready {
                    steps.push(Step::CarryOut(n, v));
                }
                if vol.watch_at().is_some_and(|at| at <= self.now) {
                    steps.push(Step::Watch(n, v));
                }
                if vol.md_late.is_some() && !vol.disk.hanging {
                    steps.push(Step::MdLate(n, v));
                }
                if !vol.inflight.is_empty() && !self.hold_io[n] && !vol.disk.hanging {
                    steps.push(Step::IoDone(n, v));
                }
                if vol.md_write.is_some() {
                    if !self.hold_md[n] && !vol.disk.hanging {
                        steps.push(Step::MdDone(n, v));
                    }
                } else if vol.md_due && !self.hold_md[n] {
                    steps.push(Step::MdPoll(n, v));
                }
                let due = vol.tick_ms.is_some_and(|at| at <= self.now);
                if vol.todo != Todo::NONE || due {
                    steps.push(Step::Work(n, v));
                }
                if vol.helper.is_some() {
                    steps.push(Step::Helper(n, v));
                }
            }
            if node.handler.as_ref().is_some_and(|at| at.result.is_none()) {
                steps.push(Step::Handler(n));
            }
            if node.admin.is_some() {
                steps.push(Step::Admin(n));
            }
            self.network_steps(n, node, &mut steps);
        }
        steps
    }

    fn network_steps(&self, n: usize, node: &Node, steps: &mut Vec<Step>) {
        match node.phase {
            Phase::StandAlone => {}
            Phase::WfConnection if node.end.is_some() => steps.push(Step::End(n)),
            Phase::WfConnection => {
                let other = &self.nodes[1 - n];
                let waiting = match &self.wire {
                    // The other end is there already.
                    Some(wire) => {
                        let fresh = !wire.to[0].eof && !wire.to[1].eof;
                        !wire.joined[n] && wire.joined[1 - n] && fresh
                    }
                    None => other.up && other.phase == Phase::WfConnection && other.end.is_none(),
                };
                if waiting && self.link_up {
                    steps.push(Step::Join(n));
                }
            }
            Phase::Joined(number) => {
                let wire = self.wire.as_ref().filter(|wire| wire.number == number);
                let Some(wire) = wire.filter(|_| node.end.is_none()) else {
                    steps.push(Step::NoticeEnd(n));
                    return;
                };
                if node.can_send_data(&wire.to[1 - n]) {
                    steps.push(Step::SendData(n));
                }
                if !node.queues.replies.is_empty() {
                    steps.push(Step::SendMeta(n));
                }
                if node.queues.send.may_forgive() && node.forgive_ms <= self.now {
                    steps.push(Step::Forgive(n));
                }
                if node.barrier_ready() {
                    steps.push(Step::Barrier(n));
                }
                if self.stalled[n] || self.slow > 0 && (self.steps + self.now) % self.slow != 0 {
                    return;
                }
                let more = !wire.to[n].data.is_empty() || node.early.is_some();
                if more && !node.receiver_blocked() {
                    steps.push(Step::RecvData(n));
                }
                if !wire.to[n].meta.is_empty() {
                    steps.push(Step::RecvMeta(n));
                }
                if wire.to[n].eof {
                    steps.push(Step::NoticeEnd(n));
                }
            }
            Phase::Ending | Phase::Draining | Phase::Settling => steps.push(Step::End(n)),
        }
    }

    pub(crate) fn perform(&mut self, step: Step) -> bool {
        let now = self.now;
        match step {
            Step::CarryOut(n, v) => self.nodes[n].carry_out(v, now, &mut self.rng),
            Step::IoDone(n, v) => self.nodes[n].io_done(v, &mut self.rng),
            Step::MdPoll(n, v) => self.nodes[n].md_poll(v, now),
            Step::MdDone(n, v) => self.nodes[n].md_done(v, now),
            Step::Watch(n, v) => self.nodes[n].watch(v, now),
            Step::MdLate(n, v) => self.nodes[n].md_late(v),
            Step::Work(n, v) => self.nodes[n].work(v, now),
            Step::SendData(n) => {
                if let Some(wire) = &mut self.wire {
                    self.nodes[n].send_data(&mut wire.to[1 - n], now);
                }
            }
            Step::SendMeta(n) => {
                if let Some(wire) = &mut self.wire {
                    self.nodes[n].send_meta(&mut wire.to[1 - n]);
                }
            }
            Step::RecvData(n) => self.receive(n, false),
            Step::RecvMeta(n) => self.receive(n, true),
            Step::Barrier(n) => self.nodes[n].pass_barrier(now),
            Step::Forgive(n) => self.nodes[n].forgive(now),
            Step::Join(n) => self.join(n),
            Step::Helper(n, v) => return self.helper_ends(n, v),
            Step::Handler(n) => return self.handler_step(n),
            Step::NoticeEnd(n) => self.notice_end(n),
            Step::End(n) if self.nodes[n].phase == Phase::WfConnection => {
                self.hang_up(n);
                let node = &mut self.nodes[n];
                node.end = None;
                node.phase = Phase::StandAlone;
                for vol in &mut node.vols {
                    for conn in [Conn::Disconnecting, Conn::StandAlone] {
                        vol.volume.set_conn(conn, &mut node.queues, now);
                    }
                    vol.after();
                }
            }
            Step::End(n) => return self.nodes[n].end_step(now, &mut self.rng),
            Step::Admin(n) => {
                let before = self.nodes[n].queues.send_event;
                let moved = self.nodes[n].admin_step(now);
                return moved || self.nodes[n].queues.send_event != before;
            }
        }
        true
    }

    fn receive(&mut self, n: usize, meta: bool) {
        let Some(wire) = &mut self.wire else {
            return;
        };
        let pipe = &mut wire.to[n];
        let queue = if meta { &mut pipe.meta } else { &mut pipe.data };
        let early = self.nodes[n].early.take_if(|_| !meta);
        let Some(frame) = early.map(|(.., frame)| frame).or_else(|| queue.pop_front()) else {
            return;
        };
        let result = if meta {
            self.nodes[n].receive_meta(frame, self.now)
        } else {
            self.nodes[n].receive_data(frame, self.now)
        };
        if let Err(end) = result {
            if self.trace {
                eprintln!("{n} ends: {end:?}");
            }
            // Both are this engine, and the network damages nothing.
            let ending = self.nodes[n].state().conn < Conn::WfReportParams;
            assert!(
                ending || end.conn != Conn::ProtocolError,
                "node {n} does not understand its peer: {end:?}: {}",
                self.describe()
            );
            self.nodes[n].end_with(end);
        }
    }

    fn join(&mut self, n: usize) {
        if self.wire.is_none() {
            self.wires += 1;
            self.wire = Some(Wire {
                number: self.wires,
                to: [Pipe::default(), Pipe::default()],
                joined: [false; 2],
                resolver: self.rng.below(2) as usize,
            });
        }
        let Some(wire) = &mut self.wire else { return };
        wire.joined[n] = true;
        let (number, resolver) = (wire.number, wire.resolver == n);
        let features = ConnectionFeatures::own(self.features);
        let protocol = self.protocol;
        let node = &mut self.nodes[n];
        node.protocol = protocol.unwrap_or(node.protocol);
        node.dialect = Dialect::negotiate(&features, &features).unwrap();
        node.join(number, resolver, self.now, &mut self.rng);
    }

    /// Node `n` sees that its connection is over, or ends it.
    fn notice_end(&mut self, n: usize) {
        // What the administrator resumed was resumed until the peer is there again, not until it tries.
        let was_whole = |vol: &super::node::Vol| vol.volume.state().conn >= Conn::Connected;
        if self.nodes[n].vols.iter().any(was_whole) {
            self.nodes[n].resumed = false;
        }
        if self.nodes[n].end.is_none() {
            let conn = Conn::NetworkFailure;
            let why = "the sockets broke";
            self.nodes[n].end = Some(End { conn, why });
        }
        self.leave_wire(n);
        let now = self.now;
        let _ = self.nodes[n].end_step(now, &mut self.rng);
    }

    pub(crate) fn leave_wire(&mut self, n: usize) {
        if let Some(wire) = &mut self.wire {
            wire.joined[n] = false;
            // A reset may eat what is on the way.
            let other = &mut wire.to[1 - n];
            other.eof = true;
            for _ in 0..other.data.len() {
                if self.rng.one_in(4) {
                    let keep = self.rng.below(other.data.len() as u64 + 1) as usize;
                    other.data.truncate(keep);
                    break;
                }
            }
            wire.to[n].data.clear();
            wire.to[n].meta.clear();
            if !wire.joined[0] && !wire.joined[1] {
                self.wire = None;
            }
        }
    }
}
