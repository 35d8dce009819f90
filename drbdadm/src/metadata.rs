// SPDX-License-Identifier: GPL-2.0-or-later
//! Which metadata format a volume has, or gets.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use drbd_conf::model::{MetaIndex, Volume};
use drbd_core::meta::{Format, Layout, Placement, Superblock};

use crate::driver;

/// Word for drbdmeta's command line.
pub(crate) fn word(format: Format) -> &'static str {
    match format {
        Format::V08 => "v08",
        Format::V09 => "v09",
    }
}

/// The device that holds the metadata.
pub(crate) fn device(volume: &Volume) -> String {
    match &volume.meta_disk {
        Some(meta) if !meta.is_internal() => meta.device.clone(),
        _ => volume.disk.clone().unwrap_or_default(),
    }
}

/// The place on it, as drbdmeta names it.
pub(crate) fn place(volume: &Volume) -> String {
    match volume.meta_disk.as_ref().map(|meta| meta.index) {
        Some(MetaIndex::Flexible) => "flex-external".into(),
        Some(MetaIndex::FlexInternal) => "flex-internal".into(),
        Some(MetaIndex::Slot(slot)) => slot.to_string(),
        Some(MetaIndex::Internal) | None => "internal".into(),
    }
}

/// The place on it, as `drbdsetup attach` names it.
pub(crate) fn attach_place(volume: &Volume) -> String {
    match volume.meta_disk.as_ref().map(|meta| meta.index) {
        Some(MetaIndex::Flexible) => "flexible".into(),
        Some(MetaIndex::Slot(slot)) => slot.to_string(),
        Some(MetaIndex::Internal | MetaIndex::FlexInternal) | None => "internal".into(),
    }
}

/// The format on the disk. v09 if it cannot be read or holds neither: what
/// then goes wrong is said by the program that needs it. A driver of generation
/// 8.4 can attach v08 only.
pub(crate) fn on_disk(volume: &Volume) -> Format {
    if driver::dialect().is_84() {
        return Format::V08;
    }
    read_format(volume).unwrap_or(Format::V09)
}

fn read_format(volume: &Volume) -> Option<Format> {
    match probe(volume) {
        Probe::Found(format) => Some(format),
        Probe::None | Probe::Unreadable => None,
    }
}

/// What is found where the metadata of a volume should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Metadata.
    Found(Format),
    /// Something else.
    None,
    /// The device cannot be read.
    Unreadable,
}

/// Looks at the superblock's place.
pub(crate) fn probe(volume: &Volume) -> Probe {
    let Some(block) = read_superblock(volume) else {
        return Probe::Unreadable;
    };
    match Superblock::decode(&block) {
        Ok(superblock) => Probe::Found(superblock.format),
        Err(_) => Probe::None,
    }
}

fn read_superblock(volume: &Volume) -> Option<[u8; 4096]> {
    let placement = match volume.meta_disk.as_ref().map(|meta| meta.index) {
        Some(MetaIndex::Flexible) => Placement::FlexExternal,
        Some(MetaIndex::Slot(slot)) => Placement::Index(u16::try_from(slot).ok()?),
        Some(MetaIndex::Internal | MetaIndex::FlexInternal) | None => Placement::Internal,
    };
    let mut file = File::open(device(volume)).ok()?;
    let sectors = file.seek(SeekFrom::End(0)).ok()? / 512;
    let sector = Layout::superblock_sector_of(placement, sectors).ok()?;
    file.seek(SeekFrom::Start(sector.checked_mul(512)?)).ok()?;
    let mut block = [0; 4096];
    file.read_exact(&mut block).ok()?;
    Some(block)
}

/// The format create-md writes: v08 for a driver of the 8.4 generation, so that
/// it can attach; v09 for ours, or if there is none.
pub(crate) fn for_new(asked: Option<&str>) -> Format {
    match asked {
        Some("v08") => Format::V08,
        Some("v09") => Format::V09,
        _ if driver::dialect().is_84() => Format::V08,
        _ => Format::V09,
    }
}
