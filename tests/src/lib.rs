// SPDX-License-Identifier: GPL-2.0-or-later
//! Two machines and one disk: what every scenario, the demonstration and the
//! measurements need.
//!
//! A [`Cluster`] is a pair of booted nodes with a resource configured on both;
//! a [`Side`] is one of them and answers with a [`View`], whatever driver it
//! runs. A [`Writer`] records in a file system what it was told is durable,
//! [`disks`] compares the backing disks from outside. Every wait has a limit
//! and an error that says what was waited for and what was seen.

pub mod cib;
pub mod cluster;
pub mod config;
pub mod dice;
pub mod disks;
pub mod draw;
pub mod flags;
pub mod golden;
pub mod had;
pub mod heartbeats;
pub mod iscsi;
pub mod load;
pub mod mapper;
pub mod mishap;
pub mod nodes;
pub mod pacemaker;
pub mod recorder;
pub mod replay;
pub mod scenario;
pub mod services;
pub mod side;
pub mod view;
pub mod wait;
pub mod writer;

pub use cib::Cib;
pub use cluster::{Cluster, Pairing, Setup};
pub use config::{Config, MetaDisk};
pub use draw::Draw;
pub use had::Had;
pub use heartbeats::Heartbeats;
pub use load::Load;
pub use mishap::{Mishap, Mishaps};
pub use nodes::Nodes;
pub use pacemaker::Pacemaker;
pub use scenario::scenario;
pub use side::Side;
pub use view::View;
pub use writer::Writer;
