// SPDX-License-Identifier: GPL-2.0-or-later
//! What travels between two nodes: the packets of protocol versions 86 to 101, byte exact.
//!
//! Everything here turns bytes into checked values and back, and decides nothing. Bulk payload (block data, digests,
//! bitmap words, authentication bytes) never enters: a decoded packet says how many payload bytes follow it.
//!
//! Receiving one packet:
//!
//! 1. read [`Dialect::header_len`] bytes, [`Header::decode`];
//! 2. [`dispatch`] checks command, stage and length and gives a [`Frame`];
//! 3. read [`Frame::fixed_len`] bytes (at most [`MAX_FIXED`]), [`Packet::decode`];
//! 4. [`Frame::payload_len`] payload bytes follow on the socket.
//!
//! [`block_frame`] is the short way for the packets of every write.
//!
//! Sending one packet: [`Packet::encode_frame`] writes header and fixed part, the payload follows.
//! Each refusal is a [`WireError`], whose [`WireError::reaction`] says what it means for the connection.

pub mod alg_name;
pub mod bitmap;
pub mod block;
pub mod block_frame;
pub mod command;
mod cursor;
pub mod dialect;
pub mod error;
mod flags;
pub mod frame;
pub mod handshake;
pub mod header;
pub mod packet;
pub mod sizes;
pub mod state_packets;
pub mod sync_param;
mod uuids;
pub mod vli;

pub use alg_name::AlgName;
pub use bitmap::{BitSink, BitSource, BitmapReceiver, BitmapSender, Chunk, Progress};
pub use block::{
    Barrier, BarrierAck, BlockAck, BlockData, BlockDesc, BlockId, BlockRequest, DelayProbe,
    DpFlags, Trim,
};
pub use command::{Command, Level, Socket, Stage};
pub use dialect::{Dialect, Features};
pub use error::{Reaction, WireError};
pub use frame::{dispatch, Frame, MAX_FIXED, MAX_FRAME};
pub use handshake::{ConnFlags, ConnectionFeatures, Protocol, ReplicationProtocol};
pub use header::{Header, HeaderKind};
pub use packet::Packet;
pub use sizes::{DdsFlags, QueueLimits, Sizes};
pub use state_packets::StateReply;
pub use sync_param::SyncParam;
