// SPDX-License-Identifier: GPL-2.0-or-later
//! Layout and codecs on arbitrary input: nothing overlaps, nothing is lost, nothing panics.

use drbd_core::meta::al::{Kind, RingScan, Transaction, TransactionWriter, Verdict};
use drbd_core::meta::{
    attach_check, device_sectors_for, AlGeometry, Block, Candidate, Format, Layout, MdError,
    MdFlags, PeerFlags, PeerSlot, Placement, Superblock, MAX_SECTORS,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn geometry() -> impl Strategy<Value = AlGeometry> {
    (1u32..20, 8u32..2000).prop_map(|(stripes, size)| AlGeometry::new(stripes, size).unwrap())
}

fn placement() -> impl Strategy<Value = Placement> {
    prop_oneof![
        Just(Placement::Internal),
        Just(Placement::FlexExternal),
        (0u16..=255).prop_map(Placement::Index),
    ]
}

fn superblock() -> impl Strategy<Value = Superblock> {
    let layout = Layout::new(Placement::Internal, 1 << 21, 0, AlGeometry::DEFAULT, 1).unwrap();
    let numbers = vec(any::<u64>(), 40);
    (
        any::<bool>(),
        numbers,
        any::<u32>(),
        vec(any::<u32>(), 32),
        1u32..32,
        -1i32..32,
        geometry(),
        any::<bool>(),
    )
        .prop_map(
            move |(v09, numbers, flags, peer_flags, max_peers, node_id, al, unclean)| {
                let format = if v09 { Format::V09 } else { Format::V08 };
                let mut made = Superblock::create(format, &layout);
                made.effective_sectors = numbers[0];
                made.current_uuid = numbers[1];
                made.device_uuid = numbers[2];
                made.history_uuids[..2].copy_from_slice(&numbers[3..5]);
                made.al = al;
                made.peer_max_bio_bytes = peer_flags[0];
                made.peers[0].bitmap_uuid = numbers[5];
                if v09 {
                    made.members = numbers[6];
                    made.max_peers = max_peers;
                    made.node_id = node_id;
                    made.flags = MdFlags::from_bits(flags);
                    made.history_uuids.copy_from_slice(&numbers[8..40]);
                    for (place, peer) in made.peers.iter_mut().enumerate() {
                        *peer = PeerSlot {
                            bitmap_uuid: numbers[place],
                            bitmap_dagtag: numbers[place].rotate_left(7),
                            flags: PeerFlags::from_bits(peer_flags[place]),
                            bitmap_index: if place < max_peers as usize {
                                place as i32
                            } else {
                                -1
                            },
                        };
                    }
                } else {
                    made.unclean_magic = unclean;
                    made.flags = MdFlags::from_bits(flags & !0x2c);
                    let known = PeerFlags::CONNECTED
                        .with(PeerFlags::OUTDATED)
                        .with(PeerFlags::FULL_SYNC);
                    made.peers[0].flags = PeerFlags::from_bits(flags & known.bits());
                }
                made
            },
        )
}

proptest! {
    #[test]
    fn areas_lie_on_the_device_and_do_not_overlap(
        placement in placement(), device in 0u64..1 << 42, shift in 0u32..42, al in geometry(), max_peers in 0u32..34
    ) {
        let device = device >> shift;
        let Ok(layout) = Layout::new(placement, device, u64::MAX, al, max_peers) else { return Ok(()) };
        let superblock = layout.superblock_sector..layout.superblock_sector + 8;
        let log = layout.al_start_sector()..layout.al_start_sector() + al.sectors();
        let bitmap = layout.bitmap_start_sector()..layout.bitmap_start_sector() + layout.bitmap_sectors();
        let mut areas = vec![superblock, log, bitmap];
        if placement.is_internal() {
            areas.push(0..layout.usable_sectors);
        }
        areas.sort_by_key(|area| area.start);
        for pair in areas.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start, "{areas:?}");
        }
        prop_assert!(areas.last().unwrap().end <= device);
        prop_assert!(areas.iter().all(|area| area.start % 8 == 0 && area.start < area.end));
        prop_assert!(layout.usable_sectors.div_ceil(8) <= layout.bitmap_bits_max());
        prop_assert!(layout.usable_sectors <= MAX_SECTORS);
        let mut blocks: Vec<u64> = (0..al.blocks()).map(|number| layout.al_sector(number)).collect();
        blocks.sort_unstable();
        blocks.dedup();
        prop_assert_eq!(blocks.len() as u64 * 8, al.sectors());
        prop_assert!(blocks.iter().all(|block| (layout.al_start_sector()..layout.al_start_sector() + al.sectors()).contains(block)));
    }

    #[test]
    fn the_smallest_device_for_a_capacity_is_the_smallest(
        capacity in 1u64..1 << 40, shift in 0u32..40, al in geometry(), max_peers in 1u32..32
    ) {
        let capacity = (capacity >> shift).max(1);
        let device = device_sectors_for(capacity, al, max_peers).unwrap();
        let usable = |device| Layout::new(Placement::Internal, device, 0, al, max_peers).map(|layout| layout.usable_sectors);
        prop_assert!(usable(device).unwrap() >= capacity);
        prop_assert!(usable(device - 8).map_or(true, |usable| usable < capacity));
    }

    #[test]
    fn superblocks_survive_the_disk(superblock in superblock()) {
        let mut block = [0xff; 4096];
        superblock.encode(&mut block);
        prop_assert_eq!(Superblock::decode(&block).unwrap(), superblock);
    }

    #[test]
    fn no_superblock_is_bad_enough_to_panic(bytes in vec(any::<u8>(), 512), magic in 0x8374_0269u32..0x8374_026f) {
        let mut block = [0u8; 4096];
        block[..512].copy_from_slice(&bytes);
        block[60..64].copy_from_slice(&magic.to_be_bytes());
        block[88..96].copy_from_slice(&[0, 0, 0, 3, 0, 0, 0, 8]);
        block[96..104].copy_from_slice(&[0, 0, 0, 3, 0, 0, 0, 8]);
        if let Ok(superblock) = Superblock::decode(&block) {
            for placement in [Placement::Internal, Placement::FlexExternal, Placement::Index(3)] {
                let candidate = Candidate {
                    placement,
                    same_device: placement.is_internal(),
                    md_device_sectors: 1 << 22,
                    data_device_sectors: 1 << 22,
                    requested_sectors: None,
                };
                if let Ok(layout) = attach_check(&superblock, &candidate) {
                    prop_assert!(layout.usable_sectors <= 1 << 22);
                }
            }
            let mut again = [0; 4096];
            superblock.encode(&mut again);
            prop_assert_eq!(Superblock::decode(&again).unwrap(), superblock);
        }
    }

    #[test]
    fn transactions_survive_the_disk_and_no_flipped_bit_does(
        number in any::<u32>(), updates in vec((0u16..65534, any::<u32>()), 0..=64),
        start in 0u16..1000, context in vec(any::<u32>(), 0..919), flip in 0usize..4096 * 8
    ) {
        let mut block: Block = [0; 4096];
        let slots = start + context.len() as u16;
        let mut writer = TransactionWriter::new(&mut block, number, slots, start);
        for (slot, extent) in &updates {
            prop_assert!(writer.update(*slot, *extent));
        }
        writer.context(context.iter().copied());
        writer.finish();
        let read = Transaction::decode(&block).unwrap();
        prop_assert_eq!((read.number(), read.kind(), read.slots()), (number, Kind::Update, slots));
        prop_assert_eq!(read.updates().collect::<Vec<_>>(), updates);
        let repeated: Vec<(u16, u32)> = (start..).zip(context).collect();
        prop_assert_eq!(read.context().collect::<Vec<_>>(), repeated);
        block[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(Transaction::decode(&block).is_err());
    }
}

fn internal(device_sectors: u64) -> (Superblock, Candidate) {
    let layout = Layout::new(
        Placement::Internal,
        device_sectors,
        0,
        AlGeometry::DEFAULT,
        1,
    )
    .unwrap();
    let candidate = Candidate {
        placement: Placement::Internal,
        same_device: true,
        md_device_sectors: device_sectors,
        data_device_sectors: device_sectors,
        requested_sectors: None,
    };
    (Superblock::create(Format::V08, &layout), candidate)
}

/// One refusal for each rule, with the code an administrator's tool gets.
#[test]
fn every_rule_of_attach_has_its_refusal() {
    let (good, candidate) = internal(131_072);
    assert!(attach_check(&good, &candidate).is_ok());
    let refused = |change: &dyn Fn(&mut Superblock, &mut Candidate)| {
        let (mut superblock, mut candidate) = (good, candidate);
        change(&mut superblock, &mut candidate);
        let error = attach_check(&superblock, &candidate).unwrap_err();
        (error.code(), error)
    };
    assert_eq!(
        refused(&|s, _| s.unclean_magic = true),
        (165, MdError::Unclean)
    );
    assert_eq!(
        refused(&|s, _| s.flags = MdFlags::NONE),
        (165, MdError::Unclean)
    );
    assert_eq!(
        refused(&|s, _| s.bytes_per_bit = 8192),
        (119, MdError::BytesPerBit { found: 8192 })
    );
    assert_eq!(refused(&|s, _| s.al_offset = -72).0, 119);
    assert_eq!(refused(&|s, _| s.al_offset = 8).0, 119);
    assert_eq!(
        refused(&|s, _| s.al = AlGeometry::new(1, 16).unwrap()).0,
        119
    );
    assert_eq!(
        refused(&|s, _| s.bm_offset = -68),
        (
            119,
            MdError::BitmapOffset {
                found: -68,
                expected: -72
            }
        )
    );
    assert_eq!(refused(&|s, _| s.bm_offset = -56).0, 119);
    assert_eq!(
        refused(&|s, _| s.md_size_sectors = 88),
        (
            119,
            MdError::MdSize {
                found: 88,
                expected: 80
            }
        )
    );
    assert!(matches!(
        refused(&|s, _| s.effective_sectors = 1 << 30),
        (119, MdError::BitmapTooSmall { .. })
    ));
    assert!(matches!(
        refused(&|s, _| s.effective_sectors = u64::MAX),
        (119, MdError::BitmapTooSmall { .. })
    ));
    assert_eq!(
        refused(&|_, c| c.same_device = false),
        (116, MdError::IndexInvalid { index: -1 })
    );
    assert_eq!(
        refused(&|_, c| c.requested_sectors = Some(130_993)),
        (
            111,
            MdError::DiskTooSmall {
                needed: 130_993,
                available: 130_992
            }
        )
    );
    let consistent = |s: &mut Superblock, agreed: u64| {
        s.effective_sectors = agreed;
        s.flags = s.flags.with(MdFlags::CONSISTENT);
    };
    let shrinks = (
        170,
        MdError::Shrinks {
            agreed: 130_993,
            available: 130_992,
        },
    );
    assert_eq!(refused(&|s, _| consistent(s, 130_993)), shrinks);
    let (mut smaller, mut wanted) = (good, candidate);
    consistent(&mut smaller, 130_993);
    wanted.requested_sectors = Some(130_000);
    assert!(
        attach_check(&smaller, &wanted).is_ok(),
        "the size option may shrink it"
    );
    consistent(&mut smaller, 130_992);
    assert!(attach_check(&smaller, &candidate).is_ok());
}

#[test]
fn a_small_metadata_device_is_refused_with_112() {
    let (superblock, candidate) = internal(2040);
    assert_eq!(
        attach_check(&superblock, &candidate).unwrap_err().code(),
        112
    );
    let layout = Layout::new(Placement::Index(0), 262_144, 1000, AlGeometry::DEFAULT, 1).unwrap();
    let superblock = Superblock::create(Format::V08, &layout);
    let candidate = Candidate {
        placement: Placement::Index(0),
        same_device: false,
        md_device_sectors: 262_144,
        data_device_sectors: 1000,
        requested_sectors: None,
    };
    assert!(attach_check(&superblock, &candidate).is_ok());
    let small = Candidate {
        md_device_sectors: 262_143,
        ..candidate
    };
    assert_eq!(attach_check(&superblock, &small).unwrap_err().code(), 112);
    let moved = Superblock {
        bm_offset: 80,
        ..superblock
    };
    assert_eq!(attach_check(&moved, &candidate).unwrap_err().code(), 119);
}

#[test]
fn other_blocks_are_refused_by_name() {
    let mut block: Block = [0; 4096];
    assert_eq!(
        Superblock::decode(&block),
        Err(MdError::NoMagic { found: 0 })
    );
    block[28..32].copy_from_slice(&0x8374_026au32.to_be_bytes());
    assert_eq!(Superblock::decode(&block), Err(MdError::OldFormat));
    let layout = Layout::new(Placement::Internal, 131_072, 0, AlGeometry::DEFAULT, 2).unwrap();
    let good = Superblock::create(Format::V09, &layout);
    let refused = |change: &dyn Fn(&mut Superblock)| {
        let mut superblock = good;
        change(&mut superblock);
        let mut block = [0; 4096];
        superblock.encode(&mut block);
        Superblock::decode(&block).unwrap_err()
    };
    assert_eq!(
        refused(&|s| s.max_peers = 0),
        MdError::MaxPeers { found: 0 }
    );
    assert_eq!(
        refused(&|s| s.max_peers = 32),
        MdError::MaxPeers { found: 32 }
    );
    assert_eq!(refused(&|s| s.node_id = 32), MdError::NodeId { found: 32 });
    assert_eq!(refused(&|s| s.node_id = -2), MdError::NodeId { found: -2 });
    assert_eq!(
        refused(&|s| s.peers[3].bitmap_index = 2),
        MdError::BitmapIndex { peer: 3, found: 2 }
    );
    assert_eq!(
        refused(&|s| s.peers[3].bitmap_index = -2),
        MdError::BitmapIndex { peer: 3, found: -2 }
    );
    let twice = refused(&|s| {
        s.peers[3].bitmap_index = 1;
        s.peers[5].bitmap_index = 1;
    });
    assert_eq!(twice, MdError::BitmapIndex { peer: 5, found: 1 });
}

#[test]
fn bitmap_slots_are_given_out_once() {
    let layout = Layout::new(Placement::Internal, 131_072, 0, AlGeometry::DEFAULT, 2).unwrap();
    let mut v09 = Superblock::create(Format::V09, &layout);
    assert_eq!(v09.claim_bitmap_slot(7), Ok(0));
    assert_eq!(v09.claim_bitmap_slot(3), Ok(1));
    assert_eq!(v09.claim_bitmap_slot(7), Ok(0));
    assert_eq!(
        v09.claim_bitmap_slot(4),
        Err(MdError::NoBitmapSlot { max_peers: 2 })
    );
    assert!(v09.claim_bitmap_slot(32).is_err());
    let layout = Layout::new(Placement::Internal, 131_072, 0, AlGeometry::DEFAULT, 1).unwrap();
    let mut v08 = Superblock::create(Format::V08, &layout);
    assert_eq!(v08.claim_bitmap_slot(7), Ok(0));
}

/// A leftover of the round before, where a record should be: it must not undo newer ones.
#[test]
fn a_hole_in_the_ring_does_not_bring_back_old_slots() {
    let geometry = AlGeometry::DEFAULT;
    let mut ring = vec![[0u8; 4096]; 8];
    for number in 0u32..10 {
        if number == 8 {
            continue;
        }
        let writer = TransactionWriter::new(&mut ring[number as usize % 8], number, 1, 0);
        let mut writer = writer;
        writer.update(0, number);
        writer.finish();
    }
    let mut scan = RingScan::new(geometry);
    for (index, block) in (0..).zip(&ring) {
        scan.observe(index, &Transaction::decode(block));
    }
    assert_eq!(
        scan.finish(),
        Ok(Verdict::InUse {
            newest: 9,
            damaged: 0
        })
    );
    let applied = |(index, number): &(u32, u32)| {
        Transaction::decode(&ring[*index as usize])
            .is_ok_and(|transaction| transaction.number() == *number)
    };
    let order: Vec<u32> = scan
        .order()
        .filter(applied)
        .map(|(_, number)| number)
        .collect();
    assert_eq!(order, [2, 3, 4, 5, 6, 7, 9]);
}
