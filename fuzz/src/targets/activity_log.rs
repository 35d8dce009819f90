// SPDX-License-Identifier: GPL-2.0-or-later
//! The activity log: blocks of a ring, scanned and replayed; a valid block is written again with the same content.
//!
//! An input is the striping and the blocks. Most changes get their checksum put right, or none would be looked into.

use drbd_core::meta::al::{
    encode_initialized, Kind, RingScan, SlotTable, Transaction, TransactionWriter, Verdict,
};
use drbd_core::meta::crc32c::crc32c;
use drbd_core::meta::{AlGeometry, Block, AL_EXTENTS_MAX, BLOCK_BYTES};
use fastrand::Rng;

use super::{number_at, Target};
use crate::mutate::mutate;
use crate::seeds::{self, Golden};
use crate::Trace;

/// Stripes and blocks of a stripe.
const HEAD: usize = 2;
/// Where a block's checksum is.
const CHECKSUM: std::ops::Range<usize> = 8..12;
const BYTES_MAX: usize = HEAD + 12 * BLOCK_BYTES;

pub(super) const TARGET: Target = Target {
    name: "activity-log",
    about: "activity logs, scanned and replayed",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 4 << 20,
    seeds,
    words: || vec![vec![0xff; 4], vec![0xff, 0xff]],
    change,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for path in seeds::files("core/tests/golden/metadata", ".txt") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut input = vec![1, 8];
        for dump in Golden::read(&name).dumps {
            if dump.bytes.starts_with(&[0x69, 0xcb, 0x65, 0xa2]) {
                input.extend(dump.bytes);
            }
        }
        input.truncate(BYTES_MAX);
        all.push(input);
    }
    let mut fresh = vec![1, 8];
    let mut block = [0; BLOCK_BYTES];
    encode_initialized(&mut block);
    for _ in 0..8 {
        fresh.extend(block);
    }
    all.push(fresh);
    all
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], words: &[Vec<u8>]) {
    mutate(rng, input, others, words, BYTES_MAX);
    if rng.u32(0..8) == 0 {
        return;
    }
    for block in input
        .get_mut(HEAD..)
        .unwrap_or(&mut [])
        .chunks_exact_mut(BLOCK_BYTES)
    {
        block[CHECKSUM].fill(0);
        let sum = crc32c(0, block).to_be_bytes();
        block[CHECKSUM].copy_from_slice(&sum);
    }
}

fn run(input: &[u8], trace: &mut Trace) {
    let [stripes, size, ..] = number_at(input, 0).to_le_bytes();
    let Ok(geometry) = AlGeometry::new(u32::from(stripes), u32::from(size)) else {
        return;
    };
    let blocks: Vec<Block> = input
        .get(HEAD..)
        .unwrap_or(&[])
        .chunks_exact(BLOCK_BYTES)
        .filter_map(|block| block.try_into().ok())
        .collect();
    let Some(some_block) = blocks.len().checked_sub(1) else {
        return;
    };
    // A ring that is longer than the input repeats it.
    let block_at = |index: u32| {
        let index = usize::try_from(index).unwrap_or(0);
        &blocks[index % (some_block + 1)]
    };
    let mut scan = RingScan::new(geometry);
    for index in 0..geometry.blocks().min(64) {
        let block = Transaction::decode(block_at(index));
        if let Err(damage) = &block {
            trace.note(std::mem::discriminant(damage));
        }
        scan.observe(index, &block);
        if let Ok(transaction) = block {
            trace.note((
                transaction.kind() == Kind::Update,
                transaction.updates().count(),
            ));
            write_again(&transaction);
        }
    }
    let verdict = scan.finish();
    trace.note(match &verdict {
        Ok(Verdict::Unused) => 0,
        Ok(Verdict::InUse { .. }) => 1,
        Err(error) => 2 + error.blocks_are_there(),
    });
    if matches!(verdict, Ok(Verdict::InUse { .. })) {
        replay(&scan, block_at, trace);
    }
}

/// Tells both errors apart without naming their numbers.
trait Damage {
    fn blocks_are_there(&self) -> i32;
}

impl Damage for drbd_core::meta::al::AlError {
    fn blocks_are_there(&self) -> i32 {
        i32::from(*self != Self::NoData)
    }
}

fn replay<'b>(scan: &RingScan, block_at: impl Fn(u32) -> &'b Block, trace: &mut Trace) {
    let mut storage = vec![0_u32; usize::try_from(AL_EXTENTS_MAX).unwrap_or(0)];
    let mut slots = SlotTable::new(storage.as_mut_slice());
    let mut applied = 0;
    for (index, number) in scan.order().take(64) {
        if let Ok(transaction) = Transaction::decode(block_at(index)) {
            applied += u32::from(slots.apply_numbered(&transaction, number));
        }
    }
    let extents = slots.extents().count();
    trace.note((applied.min(16), extents.min(4)));
}

/// A valid transaction, written by us, says the same.
fn write_again(transaction: &Transaction<'_>) {
    if transaction.kind() != Kind::Update {
        return;
    }
    let mut block = [0xa5; BLOCK_BYTES];
    let mut writer = TransactionWriter::new(
        &mut block,
        transaction.number(),
        transaction.slots(),
        transaction.context_start(),
    );
    for (slot, extent) in transaction.updates() {
        assert!(writer.update(slot, extent), "no room for what was read");
    }
    writer.context(transaction.context().map(|(_, extent)| extent));
    writer.finish();
    let again = Transaction::decode(&block);
    let again = again.unwrap_or_else(|damage| panic!("what was written is {damage:?}"));
    assert_eq!(again.number(), transaction.number());
    assert!(again.updates().eq(transaction.updates()));
    assert!(again.context().eq(transaction.context()));
}
