// SPDX-License-Identifier: GPL-2.0-or-later
//! The host's part in the beginning and the end of a connection.

use super::{
    heap::Rng,
    node::{Node, Phase, Sending},
};
use drbd_core::{engine::send_queue::SendItem, state::Conn};

impl Node {
    /// One step of ending a connection; false if it has to wait.
    pub(crate) fn end_step(&mut self, now: u64, rng: &mut Rng) -> bool {
        let conn = self.end.map_or(Conn::NetworkFailure, |end| end.conn);
        match self.phase {
            Phase::Joined(_) => {
                for vol in &mut self.vols {
                    vol.volume.disconnecting(conn, &mut self.queues, now);
                    vol.after();
                }
                self.phase = Phase::Ending;
                true
            }
            Phase::Ending => {
                self.queues.send.close();
                self.queues.replies.close();
                self.barrier = None;
                self.early = None;
                // A send that failed half way is told as well.
                if let Some(Sending::Op(v, op)) = self.sending.take() {
                    let vol = &mut self.vols[v];
                    if rng.one_in(2) {
                        vol.volume.handed_over(op, &mut self.queues);
                    } else {
                        vol.volume.send_canceled(op, &mut self.queues);
                    }
                    vol.after();
                }
                for vol in &mut self.vols {
                    vol.volume.disconnecting(conn, &mut self.queues, now);
                    vol.after();
                }
                self.phase = Phase::Draining;
                true
            }
            Phase::Draining => {
                let mut moved = false;
                while let Some(item) = self.queues.send.pop_raw() {
                    if let SendItem::Write { volume, op, .. }
                    | SendItem::Read { volume, op }
                    | SendItem::OutOfSync { volume, op }
                    | SendItem::RsRequest { volume, op }
                    | SendItem::Reply { volume, op } = item
                    {
                        let vol = &mut self.vols[usize::from(volume)];
                        vol.volume.send_canceled(op, &mut self.queues);
                        vol.after();
                        moved = true;
                    }
                }
                if self.vols.iter().any(|vol| vol.volume.peer_ops_in_flight()) {
                    return moved;
                }
                for vol in &mut self.vols {
                    vol.volume.disconnected(&mut self.queues, now);
                    vol.after();
                }
                self.after_loss(now);
                self.phase = Phase::Settling;
                true
            }
            Phase::Settling => {
                if !self.vols.iter().all(|vol| vol.volume.ready_to_connect()) {
                    return false;
                }
                let last = conn == Conn::Disconnecting || !self.wanted;
                self.wanted &= !last;
                self.last_end = self.end.take();
                let states = if last {
                    [Conn::Disconnecting, Conn::StandAlone]
                } else {
                    [Conn::Unconnected, Conn::WfConnection]
                };
                for vol in &mut self.vols {
                    for conn in states {
                        vol.volume.set_conn(conn, &mut self.queues, now);
                    }
                    vol.after();
                }
                self.discard_my_data = false;
                self.phase = if last {
                    Phase::StandAlone
                } else {
                    Phase::WfConnection
                };
                true
            }
            Phase::StandAlone | Phase::WfConnection => false,
        }
    }

    /// The administrator's `connect`.
    pub(crate) fn connect(&mut self, discard_my_data: bool, now: u64) {
        assert_eq!(self.phase, Phase::StandAlone);
        self.wanted = true;
        self.end = None;
        self.discard_my_data = discard_my_data;
        for vol in &mut self.vols {
            vol.volume
                .set_conn(Conn::Unconnected, &mut self.queues, now);
            vol.volume
                .set_conn(Conn::WfConnection, &mut self.queues, now);
            vol.after();
        }
        self.phase = Phase::WfConnection;
    }
}
