// SPDX-License-Identifier: GPL-2.0-or-later
//! A configuration as text again.
//!
//! The shapes are an interface: scripts and management software read them, and
//! recorded samples hold the bytes (drbdadm.md section 11).

mod dump;
mod xml;

pub use dump::{dump_all, dump_resource, dump_resources, DumpError};
pub use xml::{dump_xml, dump_xml_of};
