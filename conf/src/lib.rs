// SPDX-License-Identifier: GPL-2.0-or-later
//! The drbd.conf language.
//!
//! A configuration goes through four steps, one folder each:
//!
//! 1. [`lexer`] and `parse/`: text to the tree of [`model`], with a [`Span`] on
//!    everything an administrator may have to find again;
//! 2. `resolve/`: hosts, volumes, connections and node ids become complete, and
//!    contradictions become [`Diagnostic`]s;
//! 3. `resolve/expand`: options are inherited from the general to the specific;
//! 4. `print/`: the tree as text (`dump`) or XML (`dump-xml`).
//!
//! Nothing here touches the kernel or runs a program. [`load`] reads a file and
//! what it includes, [`load_text`] starts from a text in memory; [`resolve`]
//! applies the result to one node. [`load_as`] and [`load_text_as`] read for a driver
//! of the 8.4 generation, too ([`Dialect`]). [`Running`] is the counterpart: what the
//! kernel has, as `drbdsetup show` prints it.

pub mod diagnostic;
mod dialect;
pub mod hostname;
pub mod lexer;
pub mod model;
mod parse;
pub mod print;
pub mod resolve;

pub mod running;
pub mod schema;
pub mod source;
mod suggest;
pub mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use dialect::Dialect;
pub use model::Config;
pub use parse::{load, load_as, load_text, load_text_as, LoadError};
pub use resolve::{resolve, LocalHost, Resolved};

pub use running::Running;
pub use source::{SourceMap, Span};
