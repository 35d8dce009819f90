// SPDX-License-Identifier: GPL-2.0-or-later
//! Virtual machines for tests and demonstrations.
//!
//! A [`Lab`] holds [`Node`]s: QEMU guests that boot a stock distribution kernel
//! from one shared read-only image, with our module and tools laid over it
//! ([`Kind::Ours`]), or as the distribution made them ([`Kind::Stock`]). Their
//! network cards meet in a [`switch::Switch`] that can break every cable in
//! every way; their disks outlive power cuts; their consoles are searched for
//! kernel errors at the end. Nothing waits without a limit, and an error tells
//! what was waited for, with the end of the console.
//!
//! ```no_run
//! use std::time::Duration;
//! use drbd_qemu::{Lab, NodeSpec};
//!
//! # fn main() -> drbd_qemu::Result<()> {
//! let mut lab = Lab::new("example")?;
//! let a = lab.add(NodeSpec::ours("a").disk_mib(1024))?;
//! let b = lab.add(NodeSpec::stock("b").disk_mib(1024))?;
//! lab.boot(Duration::from_secs(60))?;
//! a.sh("modprobe drbd && cat /proc/drbd")?;
//! b.port(0)?.cut(true);
//! a.power_cut()?;
//! a.start_again(Duration::from_secs(60))?;
//! lab.check_consoles()
//! # }
//! ```

mod accel;
mod agent;
mod command;
mod console;
mod counting;
pub mod disk;
mod dist;
mod error;
mod image;
mod initrd;
mod lab;
mod machine;
mod node;
mod place;
mod power;
mod process;
pub mod proto;
mod qmp;
pub mod scan;
mod socket;
mod spec;
pub mod switch;

pub use accel::Accel;
pub use command::{Output, Running};
pub use counting::{can_count, Block, Executed};
pub use dist::dist_dir;
pub use error::{Context, Error, Result};
pub use image::{cache_dir, patient, Image};
pub use initrd::{Content, GuestFile};
pub use lab::Lab;
pub use node::{Node, SH_LIMIT};
pub use power::{PowerSwitch, Switched, Verb};
pub use spec::{Cache, Disk, Kind, NodeSpec, MIB};
