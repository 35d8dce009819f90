// SPDX-License-Identifier: GPL-2.0-or-later
//! Superblocks of both formats: read, judged against devices, written back, converted.
//!
//! An input is the block, the sizes of both devices in sectors, and the arrangement.

use drbd_core::meta::{
    attach_check, layout_of, to_v08, to_v09, Block, Candidate, Format, Layout, MdError, Placement,
    Superblock, BLOCK_BYTES,
};
use fastrand::Rng;

use super::{number_at, Target};
use crate::mutate::mutate;
use crate::seeds::{self, superblocks_of, Golden};
use crate::Trace;

const BYTES_MAX: usize = BLOCK_BYTES + 20;

pub(super) const TARGET: Target = Target {
    name: "superblock",
    about: "superblocks of v08 and v09",
    bytes_max: BYTES_MAX,
    memory_max_bytes: 1 << 20,
    seeds,
    words: || vec![vec![0x83, 0x74, 0x02, 0x6b], vec![0x83, 0x74, 0x02, 0x6d]],
    change,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for path in seeds::files("core/tests/golden/metadata", ".txt") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let golden = Golden::read(&name);
        for dump in &golden.dumps {
            if dump.bytes.len() != BLOCK_BYTES {
                continue;
            }
            let mut input = dump.bytes.clone();
            let sectors = dump.offset / 512 + 8;
            input.extend(sectors.to_le_bytes());
            input.extend(sectors.to_le_bytes());
            let index = if name.contains("internal") { -1 } else { -2 };
            input.extend(i32::to_le_bytes(index));
            all.push(input);
        }
    }
    for (_, mut head, _) in superblocks_of(&Golden::read("v08-superblock-lifecycle")) {
        head.resize(BLOCK_BYTES, 0);
        all.push(head);
    }
    all
}

/// Most of a block is unused: changes go to the fields, the first peers and the sizes, and keep everything in its place.
fn change(rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], words: &[Vec<u8>]) {
    if input.len() < BYTES_MAX || rng.u32(0..8) == 0 {
        return mutate(rng, input, others, words, BYTES_MAX);
    }
    for fields in [0..112, 112..240, BLOCK_BYTES..BYTES_MAX] {
        if rng.bool() {
            let place = &mut input[fields];
            let mut changed = place.to_vec();
            mutate(rng, &mut changed, &[], words, place.len());
            changed.resize(place.len(), 0);
            place.copy_from_slice(&changed);
        }
    }
}

fn run(input: &[u8], trace: &mut Trace) {
    let mut block: Block = [0; BLOCK_BYTES];
    for (to, from) in block.iter_mut().zip(input) {
        *to = *from;
    }
    let superblock = match Superblock::decode(&block) {
        Ok(superblock) => superblock,
        Err(error) => return refused(error, trace),
    };
    trace.note((superblock.format == Format::V09, "decoded"));
    let mut written = [0x5a; BLOCK_BYTES];
    superblock.encode(&mut written);
    assert_eq!(Superblock::decode(&written), Ok(superblock));

    let (md, data) = (
        number_at(input, BLOCK_BYTES),
        number_at(input, BLOCK_BYTES + 8),
    );
    let [a, b, c, d, ..] = number_at(input, BLOCK_BYTES + 16).to_le_bytes();
    let index = i64::from(i32::from_le_bytes([a, b, c, d]));
    let chosen = Placement::from_index(index);
    for placement in [Ok(Placement::Internal), Ok(Placement::FlexExternal), chosen] {
        match placement {
            Ok(placement) => judge(&superblock, placement, md, data, trace),
            Err(error) => refused(error, trace),
        }
    }
    let mut changed = superblock;
    for peer in [0, 1, 31, 32, u32::MAX] {
        let _ = changed.claim_bitmap_slot(peer);
    }
    changed.set_v08_flags(changed.v08_flags());
}

fn refused(error: MdError, trace: &mut Trace) {
    trace.note((error.code(), std::mem::discriminant(&error)));
    assert!(!error.to_string().is_empty());
}

fn judge(superblock: &Superblock, placement: Placement, md: u64, data: u64, trace: &mut Trace) {
    for requested_sectors in [None, Some(data)] {
        let candidate = Candidate {
            placement,
            same_device: placement.is_internal(),
            md_device_sectors: md,
            data_device_sectors: data,
            requested_sectors,
        };
        match attach_check(superblock, &candidate) {
            Ok(layout) => {
                trace.note("attached");
                attached(superblock, &layout, md);
            }
            Err(error) => refused(error, trace),
        }
    }
    if let Ok(layout) = layout_of(superblock, placement, md, data) {
        convert(superblock, &layout);
    }
}

/// Everything the layout names lies on the metadata device, and nothing over another.
fn attached(superblock: &Superblock, layout: &Layout, md: u64) {
    assert!(layout.superblock_sector + 8 <= md);
    let log = layout.al_start_sector()..layout.al_start_sector() + layout.al.sectors();
    assert!(log.end <= md, "the log ends at {} of {md}", log.end);
    let bitmap = layout.bitmap_start_sector();
    let bitmap = bitmap..bitmap + layout.bitmap_sectors();
    assert!(
        bitmap.end <= md,
        "the bitmap ends at {} of {md}",
        bitmap.end
    );
    assert!(log.end <= bitmap.start || bitmap.end <= log.start);
    assert!(layout.al_sector(u32::MAX) < log.end);
    if layout.placement.is_internal() {
        assert!(layout.usable_sectors <= bitmap.start.min(log.start));
    }
    assert!(superblock.effective_sectors.div_ceil(8) <= layout.bitmap_bits_max());
}

/// Conversions keep the data generation, and what they write is read again.
fn convert(superblock: &Superblock, layout: &Layout) {
    for converted in [to_v08(superblock, layout), to_v09(superblock, layout)] {
        let Ok(converted) = converted else {
            continue;
        };
        assert_eq!(converted.current_uuid, superblock.current_uuid);
        let mut block = [0; BLOCK_BYTES];
        converted.encode(&mut block);
        assert_eq!(Superblock::decode(&block), Ok(converted));
    }
}
