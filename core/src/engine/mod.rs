// SPDX-License-Identifier: GPL-2.0-or-later
//! The replication engine: what a node does, and when.
//!
//! Objects with one door each (design section 1): a [`volume::Volume`] decides about one block
//! device and its copy at the peer, a [`send_queue::SendQueue`] and a
//! [`reply_queue::ReplyQueue`] order what leaves on the two sockets of a connection. An input is
//! a method that names one thing that happened; effects are polled afterwards and carried out by
//! the host without the object's lock. Payload never enters: operations have indexes, and the
//! host keeps what belongs to them in a table beside.
//!
//! Lock order of a host: volume, then the queues of a connection (leaves).

pub mod agreement;
pub mod authentication;
pub mod dependency;
pub mod fencing;
pub mod link;
pub mod mem;
pub mod op;
pub mod promotion;
pub mod ranges;
pub mod rendezvous;
pub mod reply_queue;
pub mod send_queue;
pub mod volume;
