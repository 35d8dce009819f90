// SPDX-License-Identifier: GPL-2.0-or-later
//! A volume's part in fencing: what the answer of the handler does to it.

use super::{Begin, Todo, Volume};
use crate::{
    engine::{link::Link, mem::Mem},
    state::{Conn, Disk as DiskState, Fencing, Request, Ss},
};

impl<M: Mem> Volume<M> {
    /// Counts connections: what a handler found out about the peer before one began counts no more.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// The handler that was started when [`Volume::links`] was `links` asks for this. Task context.
    /// Errors: why it does not count.
    pub fn fence_answer(
        &mut self,
        links: u32,
        request: Request,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Ss> {
        if self.links != links || self.peer.linked || self.state.conn >= Conn::WfReportParams {
            return Err(Ss::ConcurrentStateChange);
        }
        match self.request(request, link, now_ms) {
            Begin::Done(code) if code.is_success() => Ok(()),
            Begin::Done(code) => Err(code),
            Begin::Busy | Begin::Asked => Err(Ss::ConcurrentStateChange),
        }
    }

    /// No volume of the resource is good enough to fence anybody: I/O does not wait for it.
    pub fn fencing_is_impossible(&mut self, link: &mut dyn Link, now_ms: u64) {
        if self.state.conn >= Conn::WfReportParams || !self.state.susp_fen {
            return;
        }
        self.hard(link, now_ms, |state| state.susp_fen = false);
        self.clean_log_soon(link);
    }

    /// The peer agreed to give up its data before the connection ended. Task context.
    pub fn peer_outdated_itself(&mut self, link: &mut dyn Link, now_ms: u64) {
        if !self.peer.linked && self.state.conn < Conn::WfReportParams {
            self.hard(link, now_ms, |state| state.pdsk = DiskState::Outdated);
        }
    }

    /// A resync from here ended well: the peer may not need to be fenced any more.
    pub(super) fn note_source_finished(&mut self) {
        if self.context.fencing != Fencing::DontCare {
            self.todo(Todo::UNFENCE);
        }
    }
}
