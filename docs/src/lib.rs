// SPDX-License-Identifier: GPL-2.0-or-later
//! Documents made from the tables that the code reads: `cargo xtask docs` writes them, a test tells when they are old.

pub mod netlink;
mod spec;

/// A document: its place below `docs/`, and its text.
pub type Document = (&'static str, String);

/// Every document.
///
/// # Errors
///
/// When a table has something that the format has no words for.
pub fn all() -> anyhow::Result<Vec<Document>> {
    Ok(vec![("netlink/drbd.yaml", netlink::text()?)])
}
