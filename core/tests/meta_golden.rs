// SPDX-License-Identifier: GPL-2.0-or-later
//! Every superblock, activity log and bitmap of the golden files, read and written back.

#[path = "golden/metadata/reader.rs"]
mod golden;

use drbd_core::meta::al::{encode_initialized, Kind, RingScan, SlotTable, Transaction, Verdict};
use drbd_core::meta::{
    attach_check, to_v08, to_v09, AlGeometry, Block, Candidate, Format, Layout, MdError, MdFlags,
    PeerFlags, Placement, Superblock, AL_EXTENTS_MAX,
};
use golden::{superblocks_of, Dump, Golden};

/// File, format, placement, striping, bitmap slots, usable sectors (0: not known).
type Created = (&'static str, Format, Placement, (u32, u32), u32, u64);

const CREATED: [Created; 15] = [
    (
        "v08-flex-external-1MiB",
        Format::V08,
        Placement::FlexExternal,
        (1, 8),
        1,
        64_749_568,
    ),
    (
        "v08-flex-external-34MiB",
        Format::V08,
        Placement::FlexExternal,
        (1, 256),
        1,
        2_214_330_368,
    ),
    (
        "v08-index0",
        Format::V08,
        Placement::Index(0),
        (1, 8),
        1,
        8_587_575_296,
    ),
    (
        "v08-index1",
        Format::V08,
        Placement::Index(1),
        (1, 8),
        1,
        8_587_575_296,
    ),
    (
        "v08-internal-1GiB",
        Format::V08,
        Placement::Internal,
        (1, 8),
        1,
        2_097_016,
    ),
    (
        "v08-internal-1MiB",
        Format::V08,
        Placement::Internal,
        (1, 8),
        1,
        1968,
    ),
    (
        "v08-internal-1TiB",
        Format::V08,
        Placement::Internal,
        (1, 8),
        1,
        2_147_418_040,
    ),
    (
        "v08-internal-64MiB",
        Format::V08,
        Placement::Internal,
        (1, 8),
        1,
        130_992,
    ),
    (
        "v08-internal-stripes7x64k",
        Format::V08,
        Placement::Internal,
        (7, 16),
        1,
        523_368,
    ),
    (
        "v08-internal-unaligned",
        Format::V08,
        Placement::Internal,
        (1, 8),
        1,
        133_040,
    ),
    (
        "v09-flex-external-34MiB-3peers",
        Format::V09,
        Placement::FlexExternal,
        (1, 8),
        3,
        0,
    ),
    (
        "v09-internal-1GiB-3peers",
        Format::V09,
        Placement::Internal,
        (1, 8),
        3,
        0,
    ),
    (
        "v09-internal-1TiB-7peers",
        Format::V09,
        Placement::Internal,
        (1, 8),
        7,
        0,
    ),
    (
        "v09-internal-64MiB-1peer",
        Format::V09,
        Placement::Internal,
        (1, 8),
        1,
        130_992,
    ),
    (
        "v09-internal-64MiB-31peers",
        Format::V09,
        Placement::Internal,
        (1, 8),
        31,
        0,
    ),
];

fn block(dump: &Dump) -> Block {
    dump.bytes.as_slice().try_into().unwrap()
}

fn encoded(superblock: &Superblock) -> Block {
    let mut block = [0x5a; 4096];
    superblock.encode(&mut block);
    block
}

/// Compares blocks without printing 4096 numbers when they differ.
fn same(found: &Block, expected: &Block, what: &str) {
    let differs = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    assert_eq!(differs, None, "{what}: first differing offset");
}

#[test]
fn every_created_superblock_is_where_and_what_the_reference_made_it() {
    for (name, format, placement, (stripes, size), max_peers, usable) in CREATED {
        let golden = Golden::read(name);
        let al = AlGeometry::new(stripes, size).unwrap();
        let layout =
            Layout::new(placement, golden.device_sectors(), u64::MAX, al, max_peers).unwrap();
        let on_disk = golden.dump("superblock");
        assert_eq!(layout.superblock_sector * 512, on_disk.offset, "{name}");
        assert_eq!(
            layout.al_start_sector() * 512,
            golden.comment("al_offset"),
            "{name}"
        );
        assert_eq!(
            layout.bitmap_start_sector() * 512,
            golden.comment("bm_offset"),
            "{name}"
        );
        assert_eq!(
            u64::from(layout.md_size_sectors),
            golden.comment("md_size_sect"),
            "{name}"
        );
        if usable != 0 {
            assert_eq!(layout.usable_sectors, usable, "{name}");
        }

        let mut created = Superblock::create(format, &layout);
        if name == "v08-internal-1TiB" {
            created.peer_max_bio_bytes = 1 << 20;
        }
        if name == "v08-internal-1GiB" {
            created.current_uuid = 0x1122_3344_5566_7788;
            created.peers[0].bitmap_uuid = 0x99aa_bbcc_ddee_ff00;
            created.history_uuids[0] = 0x0123_4567_89ab_cdef;
            created.history_uuids[1] = 0xfedc_ba98_7654_3210;
            created.device_uuid = 0x5566_7788_99aa_bbcc;
            created.flags = MdFlags::CONSISTENT
                .with(MdFlags::WAS_UP_TO_DATE)
                .with(MdFlags::AL_CLEAN);
            created.peers[0].flags = PeerFlags::CONNECTED;
        }
        same(&encoded(&created), &block(on_disk), name);
        let decoded = Superblock::decode(&block(on_disk)).unwrap();
        assert_eq!(decoded, created, "{name}");
        assert!(!decoded.needs_apply_al(), "{name}");

        let mut first = [0; 4096];
        encode_initialized(&mut first);
        same(&first, &block(golden.dump("first AL block")), name);

        let candidate = Candidate {
            placement,
            same_device: placement.is_internal(),
            md_device_sectors: golden.device_sectors(),
            data_device_sectors: u64::MAX,
            requested_sectors: None,
        };
        assert_eq!(attach_check(&decoded, &candidate), Ok(layout), "{name}");
        for small in [1024, 64, 0] {
            let candidate = Candidate {
                md_device_sectors: small,
                ..candidate
            };
            assert!(
                attach_check(&decoded, &candidate).is_err(),
                "{name} on {small} sectors"
            );
        }
    }
}

#[test]
fn every_step_of_a_life_is_read_and_written_back() {
    let golden = Golden::read("v08-superblock-lifecycle");
    let mut steps = 0;
    for (step, head, fields) in superblocks_of(&golden) {
        let mut block = [0u8; 4096];
        block[..head.len()].copy_from_slice(&head);
        let read = Superblock::decode(&block).unwrap();
        same(&encoded(&read), &block, &step);
        assert_eq!(read.effective_sectors.to_string(), fields["la"], "{step}");
        assert_eq!(
            format!("{:016X}", read.current_uuid),
            fields["current"],
            "{step}"
        );
        assert_eq!(
            format!("{:016X}", read.peers[0].bitmap_uuid),
            fields["bitmap"],
            "{step}"
        );
        assert_eq!(
            format!("{:016X}", read.history_uuids[0]),
            fields["h1"],
            "{step}"
        );
        assert_eq!(
            format!("{:016X}", read.history_uuids[1]),
            fields["h2"],
            "{step}"
        );
        assert_eq!(read.unclean_magic, fields["magic"] == "8374026c", "{step}");
        assert_eq!(
            read.needs_apply_al(),
            fields["magic"] == "8374026c",
            "{step}"
        );
        let word = u32::from_str_radix(fields["flags"].trim_start_matches("0x"), 16).unwrap();
        assert_eq!(
            read.flags.contains(MdFlags::CONSISTENT),
            word & 1 != 0,
            "{step}"
        );
        assert_eq!(
            read.flags.contains(MdFlags::PRIMARY_IND),
            word & 2 != 0,
            "{step}"
        );
        assert_eq!(
            read.peers[0].flags.contains(PeerFlags::CONNECTED),
            word & 4 != 0,
            "{step}"
        );
        assert_eq!(
            read.peers[0].flags.contains(PeerFlags::OUTDATED),
            word & 0x20 != 0,
            "{step}"
        );
        assert_eq!(
            read.al_nr_extents.to_string(),
            fields["al_nr_extents"],
            "{step}"
        );
        assert_eq!(
            read.peer_max_bio_bytes.to_string(),
            fields["la_peer_max_bio_size"],
            "{step}"
        );
        steps += 1;
    }
    assert!(steps >= 20, "{steps} steps found");
}

#[test]
fn both_conversions_write_what_the_reference_writes() {
    let golden = Golden::read("convert-v08-v09-v08");
    let [before, as_v09, after] = golden.dumps.as_slice() else {
        panic!("three superblocks expected")
    };
    let layout = Layout::new(Placement::Internal, 131_072, 0, AlGeometry::DEFAULT, 1).unwrap();
    let old = Superblock::decode(&block(before)).unwrap();
    assert!(old.peers[0]
        .flags
        .contains(PeerFlags::FULL_SYNC.with(PeerFlags::OUTDATED)));
    let converted = to_v09(&old, &layout).unwrap();
    same(&encoded(&converted), &block(as_v09), "");
    let back = to_v08(&Superblock::decode(&block(as_v09)).unwrap(), &layout).unwrap();
    same(&encoded(&back), &block(after), "");

    let wide = Layout::new(Placement::Internal, 131_072, 0, AlGeometry::DEFAULT, 2).unwrap();
    assert_eq!(to_v09(&old, &wide), Err(MdError::MaxPeers { found: 2 }));
    let two = Superblock::create(Format::V09, &wide);
    assert_eq!(to_v08(&two, &layout), Err(MdError::MaxPeers { found: 2 }));
}

#[test]
fn logs_of_crashed_nodes_name_the_extents_the_reference_found() {
    for name in ["v08-al-crashed-internal", "v08-al-crashed-flexext"] {
        let golden = Golden::read(name);
        let log = golden.dump("activity log as found after the crash");
        let blocks: Vec<Block> = log
            .bytes
            .chunks(4096)
            .map(|c| c.try_into().unwrap())
            .collect();
        assert_eq!(blocks.len(), 8);
        let geometry = AlGeometry::DEFAULT;
        let mut scan = RingScan::new(geometry);
        for (index, block) in (0..).zip(&blocks) {
            let decoded = Transaction::decode(block);
            let transaction = decoded.unwrap();
            assert_eq!(transaction.kind(), Kind::Update);
            assert_eq!(transaction.slots(), 67);
            let line = golden.decoded_block(index);
            assert!(
                line.contains(&format!(
                    " tr {} crc {:08x} ",
                    transaction.number(),
                    transaction.crc()
                )),
                "{line}"
            );
            let updates: Vec<(u16, u32)> = transaction.updates().collect();
            assert!(line.contains(&format!("{updates:?}")), "{line} {updates:?}");
            scan.observe(index, &decoded);
        }
        assert!(matches!(
            scan.finish(),
            Ok(Verdict::InUse { damaged: 0, .. })
        ));
        let mut slots = SlotTable::new(vec![0; AL_EXTENTS_MAX as usize]);
        let mut applied = 0;
        for (index, number) in scan.order() {
            let transaction = Transaction::decode(&blocks[index as usize]).unwrap();
            assert!(slots.apply_numbered(&transaction, number));
            applied += 1;
        }
        assert_eq!(applied, 8);
        let mut extents: Vec<u32> = slots.extents().collect();
        extents.sort_unstable();
        assert_eq!(extents, golden.active_set(), "{name}");

        let superblock = Superblock::decode(&block(golden.dump("superblock as found"))).unwrap();
        assert!(superblock.needs_apply_al());
        assert_eq!(superblock.al_nr_extents, 67);
        let mut applied = superblock;
        applied.unclean_magic = false;
        applied.flags = applied.flags.with(MdFlags::AL_CLEAN);
        same(
            &encoded(&applied),
            &block(golden.dump("superblock after apply-al")),
            "",
        );
    }
}
