// SPDX-License-Identifier: GPL-2.0-or-later
//! How large things are that a kernel moves by value: its stacks have 16 KiB.

use crate::heap::Heap;
use drbd_core::engine::{
    op::Op,
    volume::{Disk, PeerWrite, Snapshot, Volume},
};

#[test]
fn nothing_large_is_moved_often() {
    assert!(size_of::<Op>() <= 128, "{}", size_of::<Op>());
    assert!(size_of::<PeerWrite>() <= 64);
    assert!(size_of::<Snapshot>() <= 512, "{}", size_of::<Snapshot>());
    // Moved once, by whoever attaches.
    assert!(
        size_of::<Disk<Heap>>() <= 1024,
        "{}",
        size_of::<Disk<Heap>>()
    );
    // Moved once, by whoever makes a minor.
    assert!(
        size_of::<Volume<Heap>>() <= 3072,
        "{}",
        size_of::<Volume<Heap>>()
    );
}
