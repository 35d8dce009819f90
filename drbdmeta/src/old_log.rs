// SPDX-License-Identifier: GPL-2.0-or-later
//! The activity log of DRBD 8.3 and older, which may lie under a v08 superblock (metadata.md 4.3).

use drbd_core::meta::al::NO_EXTENT;

/// Bytes of a record.
const RECORD_BYTES: usize = 512;
/// Records there is room for.
const RECORDS: usize = 64;
/// Magic of a record.
const MAGIC: u32 = 0x8374_0267;
/// Slots a record names: the first is the change, the others are repeated.
const ENTRIES: usize = 62;

struct Record {
    number: u32,
    entries: [(u32, u32); ENTRIES],
}

/// The extents that were in use; `area` is the 32 KiB of the log.
///
/// A log of zeros was never used. `al_nr_extents` tells how many records the ring has.
pub(crate) fn active_extents(area: &[u8], al_nr_extents: u32) -> Result<Vec<u32>, String> {
    if area.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    let used = (1 + (al_nr_extents as usize).div_ceil(ENTRIES - 1)).min(RECORDS);
    let mut records: Vec<Record> = area
        .chunks_exact(RECORD_BYTES)
        .take(used)
        .filter_map(decode)
        .collect();
    let Some(first) = records.first().map(|record| record.number) else {
        return Err(format!("none of {used} records is valid"));
    };
    // Numbers wrap: what counts is the distance.
    let newest = records.iter().fold(first, |newest, record| {
        if record.number.wrapping_sub(newest) < 1 << 31 {
            record.number
        } else {
            newest
        }
    });
    records.sort_by_key(|record| std::cmp::Reverse(newest.wrapping_sub(record.number)));
    let mut slots = vec![NO_EXTENT; al_nr_extents as usize];
    for record in records {
        let (change, repeated) = record.entries.split_at(1);
        for (slot, extent) in repeated.iter().chain(change) {
            if let Some(place) = usize::try_from(*slot)
                .ok()
                .and_then(|slot| slots.get_mut(slot))
            {
                *place = *extent;
            }
        }
    }
    slots.retain(|extent| *extent != NO_EXTENT);
    slots.sort_unstable();
    slots.dedup();
    Ok(slots)
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let word = |offset: usize| {
        bytes
            .get(offset..)?
            .first_chunk::<4>()
            .map(|word| u32::from_be_bytes(*word))
    };
    let mut entries = [(0, 0); ENTRIES];
    let mut sum = 0;
    for (index, entry) in entries.iter_mut().enumerate() {
        *entry = (word(8 + index * 8)?, word(12 + index * 8)?);
        sum ^= entry.1;
    }
    (word(0)? == MAGIC && word(504)? == sum).then_some(Record {
        number: word(4)?,
        entries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32, change: (u32, u32), repeated: &[(u32, u32)]) -> Vec<u8> {
        let mut entries = vec![change];
        entries.extend_from_slice(repeated);
        entries.resize(ENTRIES, (u32::MAX, NO_EXTENT));
        let mut words = vec![MAGIC, number];
        words.extend(entries.iter().flat_map(|(slot, extent)| [*slot, *extent]));
        words.push(entries.iter().fold(0, |sum, (_, extent)| sum ^ extent));
        words.push(0);
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn log(records: &[Vec<u8>]) -> Vec<u8> {
        let mut area = records.concat();
        area.resize(32 << 10, 0);
        area
    }

    #[test]
    fn a_log_of_zeros_was_never_used() {
        assert_eq!(active_extents(&log(&[]), 127), Ok(vec![]));
    }

    #[test]
    fn the_newest_change_of_a_slot_counts() {
        // Three records, the oldest in the middle of the ring, numbers wrapping.
        let records = [
            record(0, (2, 70), &[(0, 5), (1, 6)]),
            record(u32::MAX - 1, (0, 4), &[(0, 3)]),
            record(u32::MAX, (0, 5), &[(1, 6)]),
        ];
        assert_eq!(active_extents(&log(&records), 127), Ok(vec![5, 6, 70]));
    }

    #[test]
    fn a_damaged_record_is_left_out_and_all_damaged_is_an_error() {
        let good = record(7, (0, 9), &[]);
        let mut bad = record(8, (0, 10), &[]);
        bad[20] ^= 1;
        assert_eq!(active_extents(&log(&[good, bad.clone()]), 127), Ok(vec![9]));
        assert!(active_extents(&log(&[bad]), 127).is_err());
    }
}
