// SPDX-License-Identifier: GPL-2.0-or-later
//! Blocks of which a digest came from the peer and the contents from the own disk, for the host to
//! compare: online verify, and the source's side of a checksum-based resync.

use super::{Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, OpId},
    },
    wire::alg_name::AlgName,
};

/// What becomes of a digest that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestFate {
    /// It belongs to this operation: put it and a payload into the host's table, then call
    /// [`Volume::verify_read`].
    Take(OpId),
    /// It can be dropped; the answer, if any, is on its way.
    Drop,
    /// Nobody asked for it: end the connection.
    Unexpected,
}

impl<M: Mem> Volume<M> {
    /// The own half was read, or could not be. Any context.
    pub(super) fn queue_compare(&mut self, op: OpId) {
        self.ops.push_back(&mut self.compare, op);
        self.todo(Todo::COMPARE);
    }

    /// The next block whose halves the host is to compare, and whether it could be read.
    pub fn next_compare(&mut self) -> Option<(OpId, bool)> {
        let op = self.ops.pop_front(&mut self.compare)?;
        Some((op, self.ops.at(op).any(flag::LOCAL_OK)))
    }

    /// The host compared the halves of `op`. If they differ, and [`Volume::sends_block`] said so
    /// before, the block has to be in the host's table again. Task context.
    pub fn compared(&mut self, op: OpId, equal: bool, link: &mut dyn Link, now_ms: u64) {
        match self.ops.at(op).kind {
            Kind::RsRead if self.tests_for_zeroes(op) => self.zeroes_tested(op, equal, link),
            Kind::RsRead => self.checksum_compared(op, equal, link),
            _ => self.verify_compared(op, equal, link, now_ms),
        }
    }

    /// Whether the block of `op` goes to the peer when it differs.
    pub fn sends_block(&self, op: OpId) -> bool {
        self.ops.at(op).kind == Kind::RsRead
    }

    /// The digest that `op` is compared by.
    pub fn digest_alg(&self, op: OpId) -> AlgName {
        match self.ops.at(op).kind {
            Kind::RsRead | Kind::RsTarget => self.peer.options.csums_alg,
            _ => self.peer.options.verify_alg,
        }
    }

    /// The digest of online verify.
    pub fn verify_alg(&self) -> AlgName {
        self.peer.options.verify_alg
    }

    /// The digest of a checksum-based resync.
    pub fn csums_alg(&self) -> AlgName {
        self.peer.options.csums_alg
    }
}
