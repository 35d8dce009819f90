// SPDX-License-Identifier: GPL-2.0-or-later
//! What each command does, what it refuses, and that a refusal writes nothing.

mod image;

use std::os::unix::fs::OpenOptionsExt as _;

use drbd_core::meta::al::TransactionWriter;
use drbd_core::meta::{AlGeometry, Format, Layout, MdFlags, PeerFlags, Placement, Superblock};
use image::Image;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;

const MIB: u64 = 1 << 20;

/// A digest of the whole image, to see whether anything was written.
fn contents(image: &Image) -> Vec<u8> {
    std::fs::read(image.path()).unwrap()
}

fn layout(image: &Image, placement: Placement, max_peers: u32) -> Layout {
    let sectors = image.file().metadata().unwrap().len() / 512;
    Layout::new(placement, sectors, u64::MAX, AlGeometry::DEFAULT, max_peers).unwrap()
}

fn superblock(image: &Image, layout: &Layout) -> Superblock {
    let bytes = image.read(layout.superblock_sector * 512, 4096);
    Superblock::decode(bytes.as_slice().try_into().unwrap()).unwrap()
}

fn put_superblock(image: &Image, layout: &Layout, superblock: &Superblock) {
    let mut block = [0; 4096];
    superblock.encode(&mut block);
    image.write(layout.superblock_sector * 512, &block);
}

/// Leaves a Primary of `sectors` behind that crashed while it wrote to the extents.
fn crash(image: &Image, layout: &Layout, format: Format, sectors: u64, extents: &[u32]) {
    let mut superblock = Superblock::create(format, layout);
    superblock.effective_sectors = sectors;
    superblock.flags = MdFlags::CONSISTENT.with(MdFlags::PRIMARY_IND);
    superblock.unclean_magic = format == Format::V08;
    put_superblock(image, layout, &superblock);
    for number in 0..layout.al.blocks() {
        let mut block = [0; 4096];
        let mut writer = TransactionWriter::new(&mut block, number, 67, 0);
        for (slot, extent) in (0..).zip(extents) {
            writer.update(slot, *extent);
        }
        writer.finish();
        image.write(layout.al_sector(number) * 512, &block);
    }
}

fn bits_set(image: &Image, layout: &Layout) -> u32 {
    let bytes = image.read(
        layout.bitmap_start_sector() * 512,
        (layout.bitmap_sectors() * 512).min(MIB) as usize,
    );
    bytes.iter().map(|byte| byte.count_ones()).sum()
}

#[test]
fn wrong_usage_prints_the_usage_and_ends_with_20() {
    let image = Image::new(MIB);
    for args in [
        "",
        "internal",
        "internal paint",
        "internal dump-md --no-such-option",
        "256 dump-md",
    ] {
        let run = image.run("0", "v08", args).code(20);
        assert!(run.stdout.contains("Usage: drbdmeta"), "{args}: {run:?}");
    }
    image.run("0", "v07", "internal dump-md").code(20);
    image
        .run("zero", "v08", "internal dump-md")
        .refused(20, "'zero' is no DRBD device");
    image
        .run("0", "v08", "internal dump-md")
        .refused(20, "cannot open");
    let help = image.run("0", "v08", "internal --help");
    assert!(help.code == 0 && help.stdout.contains("apply-al"));
}

#[test]
fn devices_that_are_too_small_are_refused_unchanged() {
    let tiny = Image::new(64 << 10);
    tiny.force("v08", "internal create-md")
        .refused(10, "too small");
    let image = Image::new(MIB);
    // The reference creates index 0 on a 1 MiB device.
    image
        .force("v08", "0 create-md")
        .refused(1, "no metadata fits");
    image
        .force("v08", "internal create-md --al-stripe-size-kB 2048")
        .refused(1, "no metadata fits");
    image
        .force("v08", "internal create-md --al-stripe-size-kB 4")
        .refused(20, "cannot make such an activity log");
    image
        .force(
            "v08",
            "internal create-md --al-stripes 2 --al-stripe-size-kB 32768",
        )
        .refused(20, "activity log");
    image
        .force("v09", "internal create-md")
        .refused(20, "not complete");
    image
        .force("v08", "internal create-md 2")
        .refused(20, "not complete");
    image
        .force("v08", "internal create-md --peer-max-bio-size 2M")
        .refused(20, "--peer-max-bio-size");
    assert!(contents(&image).iter().all(|byte| *byte == 0));
    image
        .force("v08", "internal dump-md")
        .refused(1, "no valid v08 metadata found");
}

/// Size of the file system or swap area, and whether it must be refused.
#[test]
fn data_in_the_way_is_never_overwritten() {
    let ext = |blocks: u32| -> Vec<(u64, Vec<u8>)> {
        vec![
            (0x438, vec![0x53, 0xef]),
            (0x404, blocks.to_le_bytes().to_vec()),
            (0x418, vec![2, 0, 0, 0]),
        ]
    };
    let swap = vec![(4086, b"SWAPSPACE2".to_vec())];
    let lvm = vec![(0x218, b"LVM2 001".to_vec())];
    let xfs = vec![(0, b"XFSB\0\0\x10\0\0\0\0\0\0\0\x40\0".to_vec())];
    // 64 MiB: 16374 blocks are left for data.
    let cases = [
        ("ext too long", ext(16_375), "internal", true, true),
        ("ext that fits", ext(16_374), "internal", false, false),
        ("xfs too long", xfs, "internal", true, true),
        ("swap", swap.clone(), "internal", true, false),
        ("lvm", lvm, "internal", true, false),
        (
            "ext on a metadata device",
            ext(100),
            "flex-external",
            true,
            false,
        ),
        ("swap on a metadata device", swap, "0", true, false),
        (
            "something",
            vec![(60_000, vec![1])],
            "internal",
            false,
            false,
        ),
    ];
    for (name, parts, index, refused, refused_anyway) in cases {
        let image = Image::new(if index == "0" { 128 * MIB } else { 64 * MIB });
        for (offset, bytes) in &parts {
            image.write(*offset, bytes);
        }
        let before = contents(&image);
        let run = image.force("v08", &format!("{index} create-md"));
        if refused {
            run.refused(40, "found");
            assert!(contents(&image) == before, "{name}: something was written");
        } else {
            assert!(run.code(0).stderr.contains("Continue?"), "{name}");
        }
        let image = Image::new(if index == "0" { 128 * MIB } else { 64 * MIB });
        for (offset, bytes) in &parts {
            image.write(*offset, bytes);
        }
        let run = image.force("v08", &format!("{index} create-md --ignore-sanity-checks"));
        if refused_anyway {
            run.refused(40, "found");
            assert!(contents(&image) == before, "{name}: something was written");
        } else {
            run.code(0);
        }
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let image = Image::new(MIB);
    image.force("v08", "internal create-md --dry-run").code(0);
    assert!(contents(&image).iter().all(|byte| *byte == 0));
    assert!(!image.dir().join("lib").exists());
}

#[test]
fn old_bits_are_cleared_unless_skipped() {
    for (how, left) in [
        ("automatic", 0),
        ("zeroout", 0),
        ("pwrite", 0),
        ("skip", 32_768),
    ] {
        let image = Image::new(64 * MIB);
        let layout = layout(&image, Placement::Internal, 1);
        image.write(layout.bitmap_start_sector() * 512, &[0xff; 4096]);
        image
            .force(
                "v08",
                &format!("internal create-md --initialize-bitmap {how}"),
            )
            .code(0);
        assert_eq!(bits_set(&image, &layout), left, "{how}");
        assert!(image
            .read(layout.bitmap_start_sector() * 512 - 4096, 4096)
            .iter()
            .all(|byte| *byte == 0));
    }
}

#[test]
fn wiped_metadata_is_gone_and_the_rest_stays() {
    let image = Image::new(64 * MIB);
    let run = image.force("v08", "internal wipe-md").code(0);
    assert!(run.stderr.contains("no drbd meta data"));
    image.force("v08", "internal create-md").code(0);
    let lkbd = image.dir().join("lib/drbd-minor-0.lkbd");
    let known = std::fs::read_to_string(&lkbd).unwrap();
    assert_eq!(known, format!("67108864\t{}\n", image.path().display()));
    image
        .force("v08", "internal write-dev-uuid 5566778899AABBCC")
        .code(0);
    assert!(std::fs::read_to_string(&lkbd)
        .unwrap()
        .ends_with("\nuuid:\t5566778899AABBCC\n"));
    let before = contents(&image);
    image.force("v08", "internal wipe-md").code(0);
    assert!(!lkbd.exists());
    let after = contents(&image);
    let changed = before
        .iter()
        .zip(&after)
        .position(|(before, after)| before != after);
    assert!(changed.unwrap() >= 67_104_768);
    assert!(after[67_104_768..].iter().all(|byte| *byte == 0));
    image
        .force("v08", "internal dump-md")
        .refused(1, "no valid v08");
}

#[test]
fn the_other_format_is_named() {
    let image = Image::new(64 * MIB);
    image.force("v09", "internal create-md 3").code(0);
    let run = image
        .force("v08", "internal dump-md")
        .refused(1, "no valid v08 metadata found");
    assert!(run.stderr.contains("there is v09 metadata"));
    // Three slots cannot become v08: the bitmap would be misread. Replaced, not converted.
    let run = image.force("v08", "internal create-md").code(0);
    assert!(run.stderr.contains("cannot be converted"), "{run:?}");
    let layout = layout(&image, Placement::Internal, 1);
    assert_eq!(
        superblock(&image, &layout),
        Superblock::create(Format::V08, &layout)
    );
}

/// Stock tools 9.33 and later drop an extent whose bits end exactly at the bitmap's end.
#[test]
fn the_last_extent_is_marked() {
    let image = Image::new(MIB);
    let layout = layout(&image, Placement::FlexExternal, 1);
    crash(&image, &layout, Format::V08, 262_144, &[31, 32]);
    let run = image.force("v08", "flex-external apply-al -v").code(0);
    assert!(
        run.stderr
            .contains("extent 32 of the activity log lies beyond"),
        "{run:?}"
    );
    // The same versions report 0 KB.
    assert!(run.stderr.contains("Marked additional 4096 KB"), "{run:?}");
    assert_eq!(bits_set(&image, &layout), 1024);
    let dump = image.force("v08", "flex-external dump-md").code(0).stdout;
    assert!(
        dump.contains("    16 times 0xFFFFFFFFFFFFFFFF;\n}\n# bits-set 1024;"),
        "{dump}"
    );
}

/// The reference marks nothing, and warns, before the first attach.
#[test]
fn a_log_without_an_agreed_size_is_applied() {
    let image = Image::new(64 * MIB);
    let layout = layout(&image, Placement::Internal, 1);
    crash(&image, &layout, Format::V08, 0, &[0, 15]);
    image.force("v08", "internal apply-al").code(0);
    // Extent 15 is cut off by the metadata: 16374 blocks are left for data.
    assert_eq!(bits_set(&image, &layout), 1024 + 16_374 - 15 * 1024);
}

#[test]
fn every_slot_is_marked() {
    let image = Image::new(64 * MIB);
    let layout = layout(&image, Placement::Internal, 3);
    crash(
        &image,
        &layout,
        Format::V09,
        layout.usable_sectors,
        &[0, 15, 16],
    );
    image.force("v09", "internal apply-al").code(0);
    let tail = layout.usable_sectors.div_ceil(8) - 15 * 1024;
    assert_eq!(u64::from(bits_set(&image, &layout)), 3 * (1024 + tail));
    let dump = image.force("v09", "internal dump-md").code(0).stdout;
    assert!(
        dump.contains(&format!("# bits-set {};", 3 * (1024 + tail))),
        "{dump}"
    );
    for slot in 0..3 {
        assert!(
            dump.contains(&format!(
                "bitmap[{slot}] {{\n   # at 0kB\n    16 times 0xFFFFFFFFFFFFFFFF;\n"
            )),
            "{dump}"
        );
    }
    assert!(superblock(&image, &layout)
        .flags
        .contains(MdFlags::AL_CLEAN.with(MdFlags::PRIMARY_IND)));

    // And such a dump can be restored.
    let before = contents(&image);
    image.force("v09", "internal create-md 3").code(0);
    assert_eq!(bits_set(&image, &layout), 0);
    image
        .run_with("0", "v09", "internal restore-md --force", &dump)
        .code(0);
    let restored = superblock(&image, &layout);
    assert_eq!(restored.effective_sectors, layout.usable_sectors);
    let bitmap =
        layout.bitmap_start_sector() as usize * 512..layout.al_start_sector() as usize * 512;
    assert!(contents(&image)[bitmap.clone()] == before[bitmap]);
}

#[test]
fn a_log_that_cannot_be_read_is_an_error_only_after_a_crash() {
    for (fill, keep, code) in [(0xff, 0, 1), (0xff, 3, 2)] {
        let image = Image::new(64 * MIB);
        let layout = layout(&image, Placement::Internal, 1);
        crash(&image, &layout, Format::V08, 130_992, &[0]);
        let mut block = [0; 4096];
        drbd_core::meta::al::encode_initialized(&mut block);
        for number in 0..8 {
            let bytes = if number < keep { block } else { [fill; 4096] };
            image.write(layout.al_sector(number) * 512, &bytes);
        }
        let before = contents(&image);
        image
            .force("v08", "internal apply-al")
            .refused(code, "the activity log of");
        assert!(contents(&image) == before, "something was written");

        let mut demoted = superblock(&image, &layout);
        demoted.flags = MdFlags::CONSISTENT;
        put_superblock(&image, &layout, &demoted);
        image.force("v08", "internal apply-al").code(0);
        assert_eq!(bits_set(&image, &layout), 0);
        assert!(!superblock(&image, &layout).needs_apply_al());
    }
}

#[test]
fn identifiers_are_read_changed_and_explained() {
    let image = Image::new(64 * MIB);
    image.force("v08", "internal create-md").code(0);
    let line = |image: &Image| image.force("v08", "internal get-gi").code(0).stdout;
    let zero = "0000000000000000";
    assert_eq!(
        line(&image),
        format!("0000000000000004:{zero}:{zero}:{zero}:0:0:0:0:0:0:0\n")
    );
    image
        .force("v08", "internal set-gi :A5::B6:1:1:::::1")
        .code(0);
    assert_eq!(
        line(&image),
        format!("0000000000000004:00000000000000A5:{zero}:00000000000000B6:1:1:0:0:0:0:1\n")
    );
    for wrong in ["x", ":::::2", "11112222333344445", ":::::::::::::"] {
        image
            .force("v08", &format!("internal set-gi {wrong}"))
            .refused(20, "no generation identifiers");
    }
    let shown = image.force("v08", "internal show-gi").code(0).stdout;
    assert!(shown.contains(line(&image).trim_end()), "{shown}");
    assert!(
        shown.contains(
            "flags: Secondary, StandAlone, Consistent, crashed primary\nmeta-data: clean\n"
        ),
        "{shown}"
    );
    assert!(
        shown.ends_with("last agreed size: 0 (not attached yet)\n"),
        "{shown}"
    );

    image.force("v09", "internal create-md 3").code(0);
    image
        .force("v09", "internal get-gi")
        .refused(20, "which peer?");
    image
        .force("v09", "internal set-gi --node-id=3 C4:D2::::1:::::::::1")
        .code(0);
    let run = image.force("v09", "internal get-gi --node-id=3").code(0);
    assert_eq!(
        run.stdout,
        format!("00000000000000C4:00000000000000D2:{zero}:{zero}:0:1:0:0:1:0:0:0:0:0:1:0\n")
    );
    let run = image.force("v09", "internal get-gi --node-id=2").code(0);
    assert_eq!(
        run.stdout,
        format!("00000000000000C4:{zero}:{zero}:{zero}:0:1:0:0:1:0:0:0:0:0:0:0\n")
    );
    let shown = image
        .force("v09", "internal show-gi --node-id=3")
        .code(0)
        .stdout;
    assert!(shown.contains("At least once we saw this node"), "{shown}");
    image
        .force("v09", "internal forget-peer")
        .refused(20, "cannot forget");
    image
        .force("v09", "internal forget-peer --node-id=2")
        .refused(1, "no peer with node id 2");
    image
        .force("v09", "internal forget-peer --node-id=3")
        .code(0);
    let layout = layout(&image, Placement::Internal, 3);
    assert_eq!(
        superblock(&image, &layout).peers,
        Superblock::create(Format::V09, &layout).peers
    );
}

#[test]
fn a_superblock_is_printed_as_json_bytes_and_hex() {
    let image = Image::new(64 << 20);
    let none = image.force("v09", "internal dump-superblock").code(3);
    let value: serde_json::Value = serde_json::from_str(&none.stdout).unwrap();
    assert_eq!(value["valid"], false);
    assert!(value["problem"].is_string(), "{value}");

    image.force("v09", "internal create-md 3").code(0);
    image
        .force("v09", "internal set-gi --node-id=1 C4:D2::::1:::::::::1")
        .code(0);
    let json = image
        .force("v09", "internal dump-superblock")
        .code(0)
        .stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let superblock = &value["superblock"];
    assert_eq!(value["valid"], true);
    assert_eq!(superblock["version"], "v09");
    assert_eq!(superblock["max-peers"], 3);
    assert_eq!(superblock["current-uuid"], "00000000000000C4");
    assert_eq!(superblock["peers"][0]["node-id"], 1);
    assert_eq!(superblock["peers"][0]["bitmap-uuid"], "00000000000000D2");

    let at = value["sector"].as_u64().unwrap() * 512;
    let raw = image
        .force("v09", "internal dump-superblock --output-format=hex")
        .code(0)
        .stdout;
    let first: Vec<String> = image
        .read(at, 16)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let line = raw.lines().next().unwrap().replace("  ", " ");
    assert!(
        line.starts_with(&format!("00000000 {}", first.join(" "))),
        "{line}"
    );
    assert_eq!(raw.lines().last(), Some("00001000"));

    image.force("v08", "internal create-md").code(0);
    let json = image
        .force("v08", "internal dump-superblock")
        .code(0)
        .stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["superblock"]["version"], "v08");
    assert_eq!(value["superblock"]["node-id"], serde_json::Value::Null);
}

#[test]
fn disk_states_follow_the_flags() {
    let image = Image::new(64 * MIB);
    image.force("v08", "internal create-md").code(0);
    let state = |image: &Image| image.force("v08", "internal dstate").code(0).stdout;
    assert_eq!(state(&image), "Inconsistent\n");
    image
        .force("v08", "internal outdate")
        .refused(5, "cannot be outdated");
    image
        .force("v08", "internal set-gi ::::1:1:0:0:0:1")
        .code(0);
    assert_eq!(state(&image), "UpToDate\n");
    image.force("v08", "internal set-gi :::::::::0").code(0);
    assert_eq!(state(&image), "Consistent\n");
    image.force("v08", "internal outdate").code(0);
    assert_eq!(state(&image), "Outdated\n");
    image.force("v08", "internal invalidate").code(0);
    assert_eq!(state(&image), "Inconsistent\n");
    let layout = layout(&image, Placement::Internal, 1);
    assert!(superblock(&image, &layout).peers[0]
        .flags
        .contains(PeerFlags::FULL_SYNC));
}

/// Stock tools up to 9.34 align the ends of the bitmaps, and leave all but the superblock behind.
#[test]
fn a_grown_device_keeps_its_bits_where_they_belong() {
    for grown in [
        1024 * MIB,
        64 * MIB + 4096,
        64 * MIB + 8192,
        65 * MIB + 1536,
    ] {
        let image = Image::new(64 * MIB);
        image.force("v08", "internal create-md").code(0);
        let old = layout(&image, Placement::Internal, 1);
        crash(&image, &old, Format::V08, 130_992, &[3]);
        let log = image.read(old.al_start_sector() * 512, 32 << 10);
        let bits: Vec<u8> = (0..4096u32).map(|at| (at * 7 % 251) as u8).collect();
        image.write(old.bitmap_start_sector() * 512, &bits);
        image.resize(grown);
        image.force("v08", "internal check-resize").code(0);

        let new = layout(&image, Placement::Internal, 1);
        let start = new.bitmap_start_sector() * 512;
        assert!(image.read(start, 4096) == bits, "{grown}");
        let rest = (new.bitmap_sectors() * 512 - 4096) as usize;
        assert!(
            image.read(start + 4096, rest).iter().all(|byte| *byte == 0),
            "{grown}"
        );
        assert!(
            image.read(new.al_start_sector() * 512, 32 << 10) == log,
            "{grown}"
        );
        let moved = superblock(&image, &new);
        assert_eq!(
            (moved.bm_offset, moved.effective_sectors),
            (new.bm_offset, 130_992)
        );
        assert!(moved.needs_apply_al());
        let before = old.bitmap_start_sector() * 512;
        let stale = image.read(before, (start.min(64 * MIB) - before) as usize);
        assert!(
            stale.iter().all(|byte| *byte == 0),
            "{grown}: the old place is not erased"
        );
        image.force("v08", "internal check-resize").code(0);
        assert!(superblock(&image, &new) == moved);
    }
}

#[test]
fn what_is_not_ours_is_not_moved() {
    let image = Image::new(64 * MIB);
    image
        .force("v08", "internal check-resize")
        .refused(1, "no metadata found");
    image.force("v08", "internal create-md").code(0);
    image.force("v08", "internal write-dev-uuid 1").code(0);
    image
        .run("-", "v08", "internal write-dev-uuid 2 --force")
        .code(0);
    image.resize(100 * MIB);
    let before = contents(&image);
    image
        .run("0", "v08", "internal check-resize")
        .refused(20, "cannot open");
    // --force accepts another UUID, and a regular file needs --force: only the file is told apart here.
    let lkbd = image.dir().join("lib/drbd-minor-0.lkbd");
    assert!(std::fs::read_to_string(&lkbd)
        .unwrap()
        .contains("uuid:\t0000000000000001"));
    std::fs::write(&lkbd, "99614720\tdisk\n").unwrap();
    image
        .force("v08", "internal check-resize")
        .refused(1, "no metadata found");
    assert!(contents(&image) == before);
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_named() {
    let image = Image::new(MIB);
    let lock = std::fs::OpenOptions::new();
    let file = { lock }
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(image.dir().join("drbd-147-0"))
        .unwrap();
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_SETLK(&whole)).unwrap();
    let run = image
        .force("v08", "internal create-md")
        .refused(20, "cannot lock minor 0");
    assert!(
        run.stderr
            .contains(&format!("process {} holds", std::process::id())),
        "{run:?}"
    );
    // '-' takes no lock, and another minor has its own.
    image.run("-", "v08", "internal create-md --force").code(0);
    image.run("1", "v08", "internal create-md --force").code(0);
}

#[test]
fn a_malformed_dump_is_pointed_at() {
    let image = Image::new(64 * MIB);
    image.force("v08", "internal create-md").code(0);
    let good = image.force("v08", "internal dump-md").code(0).stdout;
    let before = contents(&image);
    let cases = [
        (
            good.replace("v08\"", "v10\""),
            "expected \"v08\" or \"v09\", found \"v10\"",
        ),
        (
            good.replace("flags 0x", "flags "),
            "expected 0x and 8 hexadecimal digits",
        ),
        (
            good.replace("la-size-sect 0", "la-size-sect -1"),
            "expected a number 0..2199023255552, found -1",
        ),
        (
            good.replace("bm-byte-per-bit 4096", "bm-byte-per-bit 8192"),
            "expected a number 4096..4096, found 8192",
        ),
        (
            good.replace("al-stripes 1;", "al-stripes 0;"),
            "expected a number 1..",
        ),
        (
            good.replace("bm {", "bm { 5;"),
            "expected 'times', found ';'",
        ),
        (
            good.replace("bm {", "bm { 9999999 times 0x0000000000000000;"),
            "the dump does not fit",
        ),
        (
            good.replace("la-size-sect 0", "la-size-sect 130993"),
            "the dump does not fit",
        ),
        (format!("{good} more"), "expected the end, found 'more'"),
        (
            String::new(),
            "standard input:1:1: expected 'version', found the end",
        ),
    ];
    for (text, message) in cases {
        let code = if message.starts_with("the dump") {
            1
        } else {
            10
        };
        image
            .run_with("0", "v08", "internal restore-md --force", &text)
            .refused(code, message);
        image
            .run_with("0", "v08", "internal verify-dump --force", &text)
            .refused(code, message);
    }
    assert!(contents(&image) == before);
    image
        .run_with("0", "v09", "internal restore-md --force", &good)
        .refused(10, "is a dump of v08 metadata");
    image
        .force("v08", "internal restore-md /no/such/file")
        .refused(20, "cannot read /no/such/file");
}
