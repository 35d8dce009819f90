// SPDX-License-Identifier: GPL-2.0-or-later
//! Attaching a disk to a minor, and detaching it (drbd9-api section 5, ATTACH and DETACH).

use crate::{
    admin::{kernel_error, refuse, state_code, Failure, Outcome, OK},
    change::request_state,
    dependency,
    attached::Attached,
    device::Device,
    mem::KMem,
    os::{
        backing::{Backing, IoDone},
        limits::{Facts, Limits},
        lock::Arc,
        mem::Buf,
        patience::Waiter,
    },
    resource::{Registry, Resource},
    watch,
};
use drbd_core::{
    activity_log::Slot,
    bitmap::{bits_of_sectors, pages_needed, PageState, WORDS_PER_PAGE},
    config::DiskOptions,
    engine::volume::{Attach, AttachBuffers, AttachError, Disk, DiskOptions as EngineOptions},
    genl::RetCode,
    meta::{attach_check, Candidate, Format, Layout, MdError, Placement, Superblock},
    state::{Disk as DiskState, Request, Ss},
};
use kernel::{prelude::*, str::CString};

/// Largest request that one transaction of the activity log can hold (32 extents of 4 MiB).
const DISCARD_SECTORS_MAX: u32 = 32 * 8192 - 8192;

/// rs-discard-granularity as the disk can do it: whole granules, and what requests grow to, powers
/// of two. 0 for never.
fn thin_bytes(wanted: u32, granularity: u32) -> u32 {
    if wanted == 0 || granularity == 0 {
        return 0;
    }
    let bytes = wanted.max(granularity).max(4096).checked_next_power_of_two();
    bytes.filter(|bytes| *bytes <= 1 << 20).unwrap_or(0)
}

/// The options of a disk as the engine wants them; it discards `discards_bytes` at a time, or not at
/// all. Context: any.
pub(crate) fn engine_options(options: &DiskOptions, discards_bytes: u32) -> EngineOptions {
    let discards_bytes = match options.discard_zeroes_if_aligned {
        true => discards_bytes,
        false => 0,
    };
    EngineOptions {
        on_io_error: options.on_io_error,
        al_updates: options.al_updates,
        md_flushes: options.md_flushes,
        disk_flushes: options.disk_flushes,
        disk_drain: options.disk_drain,
        size_sectors: options.disk_size,
        read_balancing: options.read_balancing,
        rs_discard_sectors: thin_bytes(options.rs_discard_granularity, discards_bytes) / 512,
        disk_timeout_ms: options.disk_timeout.saturating_mul(100),
    }
}

fn md_failure(error: MdError) -> Failure {
    let text = match error.code() {
        165 => "the activity log is not applied: run drbdmeta apply-al first",
        119 => "no metadata of a known format on the device: run drbdadm create-md",
        116 => "metadata index and metadata device contradict each other",
        _ => "",
    };
    refuse(RetCode(i32::try_from(error.code()).unwrap_or(119)), text)
}

fn open(
    path: &str,
    device: &Arc<Device>,
    shared: bool,
    codes: (RetCode, RetCode),
) -> Result<Backing, Failure> {
    let name = CString::try_from_fmt(fmt!("{}", path)).map_err(kernel_error)?;
    let done: Arc<dyn IoDone> = device.clone();
    Backing::open(&name, done, shared).map_err(|error| {
        pr_err!("drbd{}: cannot open {}: {:?}\n", device.minor, path, error);
        refuse(if error == EBUSY { codes.1 } else { codes.0 }, "")
    })
}

/// How long an attach waits for the disk before it. Longer than writes take that will end at all.
const CLOSES_MS: u32 = 10_000;

/// attach. Returns when the disk is in use, or refused. Context: a process of user space.
pub(crate) fn attach(
    registry: &Arc<Registry>,
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    options: &DiskOptions,
) -> Outcome {
    let _admin = resource.admin.lock();
    dependency::check(registry, device.minor, options.resync_after)?;
    let busy = |error| match error {
        AttachError::Attached => refuse(RetCode::ERR_DISK_CONFIGURED, ""),
        AttachError::OtherData => refuse(RetCode::ERR_DATA_NOT_CURRENT, ""),
        AttachError::WouldShrink => refuse(RetCode::ERR_IMPLICIT_SHRINK, ""),
        AttachError::Unanswered => refuse(RetCode::ERR_OPEN_DISK, watch::UNANSWERED),
        AttachError::State(code) => refuse(state_code(code), ""),
    };
    watch::check_answered(device, RetCode::ERR_OPEN_DISK)?;
    // A disk that was detached goes when what was being written to it has ended.
    let closed = || !device.peek(|volume| volume.disk_closes());
    let _ = device.changed.wait_killable(Some(CLOSES_MS), closed);
    device
        .with(|inner, link, now| inner.volume.begin_attach(link, now))
        .map_err(busy)?;
    let result = open_and_read(resource, device, options);
    let (attached, disk) = match result {
        Ok(parts) => parts,
        Err(failure) => {
            device.with(|inner, link, now| inner.volume.abort_attach(link, now));
            return Err(failure);
        }
    };
    take_over(device, options, attached, disk).map_err(busy)?;
    dependency::evaluate(registry);
    let _ = device.changed.wait_killable(None, || {
        !matches!(
            device.state().disk,
            DiskState::Attaching | DiskState::Negotiating
        )
    });
    match device.state().disk {
        DiskState::Diskless => Err(refuse(RetCode::ERR_DATA_NOT_CURRENT, "")),
        DiskState::Failed => Err(refuse(RetCode::ERR_IO_MD_DISK, "")),
        _ => {
            // A crash right after the command must find metadata that says "in use".
            let version = device.peek(|volume| volume.md_version());
            let _ = device
                .changed
                .wait_killable(None, || device.peek(|volume| volume.md_is_durable(version)));
            OK
        }
    }
}

/// A disk on the heap: it takes more than a kilobyte, and a command has sixteen for its stack.
type BoxedDisk = KBox<Option<Disk<KMem>>>;

#[inline(never)]
fn open_and_read(
    resource: &Arc<Resource>,
    device: &Arc<Device>,
    options: &DiskOptions,
) -> Result<(Arc<Attached>, BoxedDisk), Failure> {
    let placement = Placement::from_index(i64::from(options.meta_dev_idx)).map_err(md_failure)?;
    let same_path = options.backing_dev.as_str() == options.meta_dev.as_str();
    if same_path != placement.is_internal() {
        return Err(refuse(RetCode::ERR_MD_IDX_INVALID, ""));
    }
    watch::prepare(resource, device, options.disk_timeout)?;
    let codes = (RetCode::ERR_OPEN_DISK, RetCode::ERR_BDCLAIM_DISK);
    let data = open(options.backing_dev.as_str(), device, false, codes)?;
    let meta = if same_path {
        data.clone()
    } else {
        let codes = (RetCode::ERR_OPEN_MD_DISK, RetCode::ERR_BDCLAIM_MD_DISK);
        let shared = matches!(placement, Placement::Index(_));
        open(options.meta_dev.as_str(), device, shared, codes)?
    };
    let mut waiter = Waiter::new().map_err(kernel_error)?;
    let mut reader = Reader {
        meta: &meta,
        disk_timeout: options.disk_timeout,
        waiter: &mut waiter,
    };
    let superblock = read_superblock(&mut reader, placement)?;
    let candidate = Candidate {
        placement,
        same_device: same_path,
        md_device_sectors: meta.sectors(),
        data_device_sectors: data.sectors(),
        requested_sectors: (options.disk_size != 0).then_some(options.disk_size),
    };
    let layout = attach_check(first(&superblock)?, &candidate).map_err(md_failure)?;
    let peer = resource
        .first_connection()
        .map(|connection| connection.peer_node_id);
    check_node_ids(resource, first(&superblock)?)?;
    let path = CString::try_from_fmt(fmt!("{}", options.backing_dev.as_str()));
    let path = path.map_err(kernel_error)?;
    let disk = build_disk(
        &data.facts(),
        &mut reader,
        superblock,
        layout,
        options,
        peer,
        resource.node_id(),
    )?;
    let attached = Attached::new(data, meta, path).map_err(kernel_error)?;
    Ok((attached, disk))
}

fn first(superblock: &Buf<Superblock>) -> Result<&Superblock, Failure> {
    superblock.first().ok_or(refuse(RetCode::ERR_NOMEM, ""))
}

/// Reads metadata, block by block.
struct Reader<'a> {
    meta: &'a Backing,
    disk_timeout: u32,
    waiter: &'a mut Waiter,
}

impl Reader<'_> {
    fn read(&mut self, sector: u64, block: &mut [u8], what: &'static str) -> Result<(), Failure> {
        watch::read(self.meta, sector, block, self.disk_timeout, self.waiter).map_err(|error| {
            let text = if error == ECANCELED {
                "the disk did not answer within disk-timeout"
            } else {
                what
            };
            refuse(RetCode::ERR_IO_MD_DISK, text)
        })
    }
}

fn read_superblock(
    reader: &mut Reader<'_>,
    placement: Placement,
) -> Result<Buf<Superblock>, Failure> {
    let sectors = reader.meta.sectors();
    let sector = Layout::superblock_sector_of(placement, sectors).map_err(md_failure)?;
    let mut block = KBox::new([0u8; 4096], GFP_KERNEL).map_err(kernel_error)?;
    reader.read(sector, &mut *block, "")?;
    let mut superblock = Buf::filled(1, Superblock::EMPTY).map_err(kernel_error)?;
    let decoded = Superblock::decode(&block).map_err(md_failure)?;
    if let Some(place) = superblock.first_mut() {
        *place = decoded;
    }
    Ok(superblock)
}

fn check_node_ids(resource: &Resource, superblock: &Superblock) -> Result<(), Failure> {
    let own = i32::try_from(resource.node_id()).unwrap_or(-1);
    if superblock.format == Format::V09 && superblock.node_id != -1 && superblock.node_id != own {
        return Err(refuse(
            RetCode::ERR_INVALID_REQUEST,
            "the node id in the metadata differs from the resource's",
        ));
    }
    Ok(())
}

/// Makes the engine's disk: buffers of the right sizes, and the bitmap read into them.
#[inline(never)]
fn build_disk(
    facts: &Facts,
    reader: &mut Reader<'_>,
    mut superblock: Buf<Superblock>,
    layout: Layout,
    options: &DiskOptions,
    peer: Option<u32>,
    node_id: u32,
) -> Result<BoxedDisk, Failure> {
    let (max_peers, slots_max) = match superblock.first_mut() {
        Some(sb) => {
            if sb.format == Format::V09 && sb.node_id == -1 {
                sb.node_id = i32::try_from(node_id).unwrap_or(-1);
            }
            sb.al_nr_extents = options.al_extents;
            (sb.max_peers, layout.al.slots_max())
        }
        None => return Err(refuse(RetCode::ERR_NOMEM, "")),
    };
    let too_large = refuse(RetCode::ERR_NOMEM_BITMAP, "the bitmap is too large");
    let pages =
        pages_needed(bits_of_sectors(layout.usable_sectors), max_peers).map_err(|_| too_large)?;
    let extents = options.al_extents.min(slots_max) as usize;
    let buffers = AttachBuffers {
        superblock,
        bitmap_words: Buf::filled(pages.saturating_mul(WORDS_PER_PAGE), 0u64)
            .map_err(|_| too_large)?,
        bitmap_pages: Buf::filled(pages, PageState::CLEAN).map_err(|_| too_large)?,
        al_slots: Buf::filled(extents, Slot::EMPTY).map_err(kernel_error)?,
        al_index: Buf::filled(extents.next_power_of_two(), 0u32).map_err(kernel_error)?,
    };
    let attach = Attach {
        layout,
        options: engine_options(options, facts.discard_granularity),
        peer_node_id: peer.unwrap_or(if node_id == 0 { 1 } else { 0 }),
        logical_block_bytes: facts.logical_block,
        physical_block_bytes: facts.physical_block,
        io_min_bytes: facts.io_min,
        io_opt_bytes: facts.io_opt,
        can_discard: facts.discard_max_sectors > 0,
        max_bio_bytes: facts.max_bytes,
    };
    let mut boxed = boxed(buffers, attach)?;
    if let Some(disk) = boxed.as_mut() {
        load_bitmap(reader, disk)?;
    }
    Ok(boxed)
}

#[inline(never)]
fn boxed(buffers: AttachBuffers<KMem>, attach: Attach) -> Result<BoxedDisk, Failure> {
    let disk = Disk::new(buffers, attach).map_err(|text| refuse(RetCode::ERR_MD_INVALID, text))?;
    KBox::new(Some(disk), GFP_KERNEL).map_err(kernel_error)
}

fn load_bitmap(reader: &mut Reader<'_>, disk: &mut Disk<KMem>) -> Result<(), Failure> {
    let mut block = KBox::new([0u8; 4096], GFP_KERNEL).map_err(kernel_error)?;
    for page in 0..disk.bitmap_pages() {
        let sector = disk.layout().bitmap_page_sector(page);
        reader.read(sector, &mut *block, "reading the bitmap failed")?;
        disk.load_bitmap_page(page, &block);
    }
    Ok(())
}

/// The disk becomes part of the volume.
#[inline(never)]
fn take_over(
    device: &Arc<Device>,
    options: &DiskOptions,
    attached: Arc<Attached>,
    mut disk: BoxedDisk,
) -> Result<(), AttachError> {
    if let Some(disk) = disk.as_mut() {
        let size = device.peek(|volume| volume.size_with(disk));
        let _ = disk.resize(size);
    }
    attached.follow(options);
    set_limits(device, &attached);
    if let Some(block_device) = &*device.disk.lock() {
        if let Err(error) = block_device.link(&attached.data) {
            pr_warn!("drbd{}: no holder link: {:?}\n", device.minor, error);
        }
    }
    *device.disk_options.lock() = Some(*options);
    let refused = device.with(|inner, link, now| {
        inner.set_attached(Some(attached.clone()));
        let refused = inner.volume.attach(&mut disk, link, now).err();
        if refused.is_some() {
            let _ = inner.set_attached(None);
        }
        refused
    });
    drop(disk);
    device.watch_event.signal();
    match refused {
        None => Ok(()),
        Some(error) => {
            *device.disk_options.lock() = None;
            if let Some(block_device) = &*device.disk.lock() {
                block_device.unlink();
            }
            Err(error)
        }
    }
}

/// Gives the block device the limits that go with its disk and the options of that. Context: a process of user space.
pub(crate) fn set_limits(device: &Device, attached: &Attached) {
    if let Some(block_device) = &*device.disk.lock() {
        let limits = limits_with(device, attached);
        if let Err(error) = block_device.set_limits(&limits, Some(&attached.data)) {
            pr_warn!(
                "drbd{}: taking over queue limits failed: {:?}\n",
                device.minor,
                error
            );
        }
    }
}

/// The limits of the block device on top of a disk.
fn limits_with(device: &Device, attached: &Attached) -> Limits {
    let facts = attached.data.facts();
    let discards = device.peek(|volume| volume.peer_may_discard());
    let or_zero = |sectors: u32| {
        if discards {
            sectors.min(DISCARD_SECTORS_MAX)
        } else {
            0
        }
    };
    Limits {
        max_bytes: 1 << 20,
        logical_block: facts.logical_block,
        physical_block: facts.physical_block,
        io_min: facts.io_min,
        io_opt: facts.io_opt,
        discard_max_sectors: or_zero(attached.discard_max_sectors()),
        discard_granularity: facts.discard_granularity,
        write_zeroes_max_sectors: or_zero(facts.write_zeroes_max_sectors),
        write_cache: facts.write_cache,
        fua: facts.fua,
    }
}

/// detach. Context: a process of user space.
pub(crate) fn detach(resource: &Arc<Resource>, device: &Arc<Device>, force: bool) -> Outcome {
    let _admin = resource.admin.lock();
    if device.state().disk == DiskState::Diskless {
        return Ok(state_code(Ss::NothingToDo));
    }
    if force {
        device.with(|inner, link, now| inner.volume.fail_disk(link, now));
        return Ok(state_code(Ss::Success));
    }
    detach_quietly(device)
}

/// A graceful detach; waits until the disk is closed.
pub(crate) fn detach_quietly(device: &Arc<Device>) -> Outcome {
    if device.state().disk == DiskState::Diskless {
        return Ok(state_code(Ss::NothingToDo));
    }
    device.with(|inner, _, _| inner.volume.freeze(true));
    let _ = device
        .changed
        .wait_killable(None, || device.peek(|volume| volume.on_disk() == 0));
    let result = request_state(device, Request::NONE.disk(DiskState::Failed));
    device.with(|inner, _, _| inner.volume.freeze(false));
    let code = result?;
    if !code.is_success() {
        return Err(refuse(state_code(code), ""));
    }
    let _ = device.changed.wait_killable(None, || {
        let inner = device.inner.lock();
        inner.volume.state().disk == DiskState::Diskless && inner.attached.is_none()
    });
    Ok(state_code(Ss::Success))
}
