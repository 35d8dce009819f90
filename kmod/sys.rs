// SPDX-License-Identifier: GPL-2.0-or-later
//! Raw C names: the kernel crate's bindings plus our own bindgen run over `shim.h`.
//!
//! Only `kmod/os/*` may use this module.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    unused_imports,
    unsafe_op_in_unsafe_fn,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

pub use kernel::bindings::*;
use kernel::ffi;

include!("bindings.rs");

pub const REQ_OP_READ: u32 = req_op_REQ_OP_READ;
pub const REQ_OP_WRITE: u32 = req_op_REQ_OP_WRITE;
pub const REQ_OP_DISCARD: u32 = req_op_REQ_OP_DISCARD;
pub const REQ_OP_WRITE_ZEROES: u32 = req_op_REQ_OP_WRITE_ZEROES;
