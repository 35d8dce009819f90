// SPDX-License-Identifier: GPL-2.0-or-later
//! What user space and the host do with metadata: create-md, apply-al, reading it for an attach.

use super::{
    disk::FakeDisk,
    heap::{filled, Heap},
};
use drbd_core::{
    activity_log::Slot,
    bitmap::{bits_of_sectors, pages_needed, Bitmap, PageState, WORDS_PER_PAGE},
    engine::volume::{Attach, AttachBuffers, Disk, DiskOptions, Offer, Volume},
    meta::{
        al::{encode_initialized, RingScan, SlotTable, Transaction, Verdict},
        attach_check, layout_of, AlGeometry, Candidate, Format, Layout, MdFlags, Placement,
        Superblock, AL_EXTENTS_MAX,
    },
};

/// How a disk is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MdSetup {
    pub(crate) format: Format,
    pub(crate) max_peers: u32,
    pub(crate) al_slots: usize,
    pub(crate) node_id: u32,
}

fn layout(disk: &FakeDisk, max_peers: u32) -> Layout {
    Layout::new(
        Placement::Internal,
        disk.sectors,
        0,
        AlGeometry::DEFAULT,
        max_peers,
    )
    .unwrap()
}

/// create-md. With `uuid` the disk is declared UpToDate with this data generation.
pub(crate) fn create(disk: &mut FakeDisk, setup: &MdSetup, uuid: Option<u64>) {
    let layout = layout(disk, setup.max_peers);
    let mut sb = Superblock::create(setup.format, &layout);
    if let Some(uuid) = uuid {
        sb.current_uuid = uuid;
        sb.effective_sectors = layout.usable_sectors;
        sb.flags = sb
            .flags
            .with(MdFlags::CONSISTENT)
            .with(MdFlags::WAS_UP_TO_DATE);
    }
    write_empty_log(disk, &layout);
    write_superblock(disk, &sb, &layout);
}

fn write_empty_log(disk: &mut FakeDisk, layout: &Layout) {
    let mut block = [0; 4096];
    encode_initialized(&mut block);
    for index in 0..layout.al.blocks() {
        disk.md_write(layout.al_sector(index), &block, true);
    }
}

fn write_superblock(disk: &mut FakeDisk, sb: &Superblock, layout: &Layout) {
    let mut block = [0; 4096];
    sb.encode(&mut block);
    disk.md_write(layout.superblock_sector, &block, true);
}

/// Where the superblock is, or was, or will be.
pub(crate) fn superblock_sectors(disk: &FakeDisk) -> Vec<u64> {
    let all = disk.had_sectors.iter().chain([&disk.sectors]);
    all.map(|sectors| Layout::superblock_sector_of(Placement::Internal, *sectors).unwrap())
        .collect()
}

/// The superblock, and how large the device was when it was written.
fn find_superblock(disk: &FakeDisk) -> (u64, Superblock) {
    let sizes = [&disk.sectors]
        .into_iter()
        .chain(disk.had_sectors.iter().rev());
    sizes
        .filter_map(|sectors| {
            let at = Layout::superblock_sector_of(Placement::Internal, *sectors).unwrap();
            let sb = Superblock::decode(&disk.md_read(at)).ok()?;
            // Not one that is left over from a smaller device.
            layout_of(&sb, Placement::Internal, *sectors, *sectors).ok()?;
            Some((*sectors, sb))
        })
        .next()
        .expect("a superblock")
}

pub(crate) fn superblock(disk: &FakeDisk) -> Superblock {
    find_superblock(disk).1
}

/// check-resize: metadata that is not at the end of its device is moved there.
fn check_resize(disk: &mut FakeDisk) {
    let (sectors, mut sb) = find_superblock(disk);
    if sectors == disk.sectors {
        return;
    }
    let old = layout_of(&sb, Placement::Internal, sectors, sectors).unwrap();
    let new = layout(disk, sb.max_peers);
    let log: Vec<_> = (0..old.al.blocks())
        .map(|index| disk.md_read(old.al_sector(index)))
        .collect();
    let bits = bits_of_sectors(sb.effective_sectors);
    let pages = pages_needed(bits, sb.max_peers).unwrap() as u32;
    let bitmap: Vec<_> = (0..pages)
        .map(|page| disk.md_read(old.bitmap_page_sector(page)))
        .collect();
    for (index, block) in (0..).zip(&log) {
        disk.md_write(new.al_sector(index), block, false);
    }
    for (page, block) in (0..).zip(&bitmap) {
        disk.md_write(new.bitmap_page_sector(page), block, false);
    }
    disk.flush();
    (sb.al_offset, sb.bm_offset) = (new.al_offset, new.bm_offset);
    sb.md_size_sectors = new.md_size_sectors;
    write_superblock(disk, &sb, &new);
}

/// Room for a device that grew, if it did.
pub(crate) fn offer(disk: &FakeDisk, volume: &Volume<Heap>) -> Option<Offer<Heap>> {
    let old = volume.disk()?.layout();
    let layout = old.on_devices(disk.sectors, disk.sectors).unwrap();
    if layout == *old {
        return None;
    }
    let pages = pages_needed(bits_of_sectors(layout.usable_sectors), layout.max_peers).unwrap();
    Some(Offer {
        layout,
        bitmap_words: filled(0u64, pages * WORDS_PER_PAGE),
        bitmap_pages: filled(PageState::CLEAN, pages),
    })
}

fn apply_al(disk: &mut FakeDisk) {
    let mut sb = superblock(disk);
    if !sb.needs_apply_al() {
        return;
    }
    let layout = layout_of(&sb, Placement::Internal, disk.sectors, disk.sectors).unwrap();
    let logged = !sb.flags.contains(MdFlags::AL_DISABLED);
    if sb.flags.contains(MdFlags::PRIMARY_IND) && logged {
        mark_active(disk, &sb, &layout);
    }
    disk.flush();
    write_empty_log(disk, &layout);
    sb.unclean_magic = false;
    sb.flags = sb.flags.with(MdFlags::AL_CLEAN);
    write_superblock(disk, &sb, &layout);
}

/// What a crash left can be attached: the superblock is one, and of the log at most the last
/// record is damaged.
pub(crate) fn check_attachable(disk: &FakeDisk) {
    let (sectors, sb) = find_superblock(disk);
    let layout = layout_of(&sb, Placement::Internal, sectors, sectors).unwrap();
    if sb.flags.contains(MdFlags::AL_DISABLED) {
        return;
    }
    let _ = scan_log(disk, &layout);
}

/// The records of the log, unless it is unused.
fn scan_log(disk: &FakeDisk, layout: &Layout) -> Option<RingScan> {
    let mut scan = RingScan::new(layout.al);
    for index in 0..layout.al.blocks() {
        let block = disk.md_read(layout.al_sector(index));
        scan.observe(index, &Transaction::decode(&block));
    }
    match scan.finish().expect("a log that can be read") {
        Verdict::Unused => return None,
        Verdict::InUse { damaged, .. } => assert!(damaged <= 1, "{damaged} damaged blocks"),
    }
    Some(scan)
}

fn mark_active(disk: &mut FakeDisk, sb: &Superblock, layout: &Layout) {
    let Some(scan) = scan_log(disk, layout) else {
        return;
    };
    let mut slots = SlotTable::new(vec![0; AL_EXTENTS_MAX as usize]);
    for (index, number) in scan.order() {
        let block = disk.md_read(layout.al_sector(index));
        if let Ok(transaction) = Transaction::decode(&block) {
            slots.apply_numbered(&transaction, number);
        }
    }
    let bits = bits_of_sectors(sb.effective_sectors);
    let pages = pages_needed(bits, sb.max_peers).unwrap();
    let words = filled(0u64, pages * WORDS_PER_PAGE);
    let mut bitmap =
        Bitmap::new(words, filled(PageState::CLEAN, pages), bits, sb.max_peers).unwrap();
    for page in 0..bitmap.n_pages() {
        bitmap.load_page(page, &disk.md_read(layout.bitmap_page_sector(page)));
    }
    for extent in slots.extents() {
        let start = u64::from(extent) * 1024;
        for slot in 0..sb.max_peers {
            bitmap.set_range(slot, start..(start + 1024).min(bits));
        }
    }
    let mut block = [0; 4096];
    for page in 0..bitmap.n_pages() {
        if bitmap.begin_write(page, &mut block) {
            disk.md_write(layout.bitmap_page_sector(page), &block, false);
            bitmap.write_done(page, true);
        }
    }
}

/// apply-al, and everything up to the disk that the engine takes.
pub(crate) fn open(disk: &mut FakeDisk, setup: &MdSetup, options: DiskOptions) -> Disk<Heap> {
    check_resize(disk);
    apply_al(disk);
    let mut sb = superblock(disk);
    let candidate = Candidate {
        placement: Placement::Internal,
        same_device: true,
        md_device_sectors: disk.sectors,
        data_device_sectors: disk.sectors,
        requested_sectors: None,
    };
    let layout = attach_check(&sb, &candidate).unwrap();
    if sb.format == Format::V09 && sb.node_id == -1 {
        sb.node_id = setup.node_id as i32;
    }
    let pages = pages_needed(bits_of_sectors(layout.usable_sectors), sb.max_peers).unwrap();
    let buffers = AttachBuffers {
        bitmap_words: filled(0u64, pages * WORDS_PER_PAGE),
        bitmap_pages: filled(PageState::CLEAN, pages),
        al_slots: filled(Slot::EMPTY, setup.al_slots),
        al_index: filled(0u32, setup.al_slots.next_power_of_two()),
        superblock: filled(sb, 1),
    };
    let attach = Attach {
        layout,
        options,
        peer_node_id: 1 - setup.node_id,
        logical_block_bytes: 512,
        physical_block_bytes: 512,
        io_min_bytes: 512,
        io_opt_bytes: 0,
        can_discard: true,
        max_bio_bytes: 1 << 20,
    };
    let mut opened = Disk::new(buffers, attach).unwrap();
    for page in 0..opened.bitmap_pages() {
        let sector = opened.layout().bitmap_page_sector(page);
        opened.load_bitmap_page(page, &disk.md_read(sector));
    }
    opened
}
