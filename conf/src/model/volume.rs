// SPDX-License-Identifier: GPL-2.0-or-later
//! Volumes.

use super::DiskOptions;
use crate::source::Span;

/// Where the metadata is on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaIndex {
    /// At the end of the data device.
    Internal,
    /// The whole metadata device.
    Flexible,
    /// Slot `n`, 128 MiB each, of a shared metadata device.
    Slot(u32),
    /// `flexible-meta-disk internal`: at the end of the data device.
    FlexInternal,
}

/// `meta-disk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaDisk {
    /// The device, or `internal`.
    pub device: String,
    /// Where on it.
    pub index: MetaIndex,
}

impl MetaDisk {
    /// `meta-disk internal`.
    #[must_use]
    pub fn internal() -> MetaDisk {
        MetaDisk {
            device: "internal".into(),
            index: MetaIndex::Internal,
        }
    }

    /// Whether the metadata shares the data device.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(self.index, MetaIndex::Internal | MetaIndex::FlexInternal)
    }
}

/// A volume of a resource or of a host.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its number.
    pub number: u32,
    /// Made by statements outside a `volume { }`: always number 0.
    pub implicit: bool,
    /// The statement, or the first one of an implicit volume.
    pub span: Span,
    /// `/dev/drbd...`, if given or resolved.
    pub device: Option<String>,
    /// Minor number, given or taken from the device name.
    pub minor: Option<u32>,
    /// Where `device` or the minor was given.
    pub device_span: Span,
    /// Backing device; `none` for a diskless volume.
    pub disk: Option<String>,
    /// Where `disk` was given.
    pub disk_span: Span,
    /// `meta-disk`.
    pub meta_disk: Option<MetaDisk>,
    /// Where `meta-disk` was given.
    pub meta_disk_span: Span,
    /// `tiebreaker no`: a diskless host that does not decide a tie.
    pub tiebreaker: Option<bool>,
    /// `disk { }`.
    pub options: DiskOptions,
    /// Whether the volume came from the resource. Resolved.
    pub derived: bool,
}

impl Volume {
    /// A volume about which nothing but its number is known.
    #[must_use]
    pub fn new(number: u32, implicit: bool, span: Span) -> Volume {
        Volume {
            number,
            implicit,
            span,
            device: None,
            minor: None,
            device_span: span,
            disk: None,
            disk_span: span,
            meta_disk: None,
            meta_disk_span: span,
            tiebreaker: None,
            options: DiskOptions::default(),
            derived: false,
        }
    }

    /// Whether this host has no backing device for the volume.
    #[must_use]
    pub fn is_diskless(&self) -> bool {
        self.disk.as_deref().is_none_or(|disk| disk == "none")
    }

    /// `/dev/drbdN` or the name given.
    #[must_use]
    pub fn device_path(&self) -> String {
        match &self.device {
            Some(device) => device.clone(),
            None => format!("/dev/drbd{}", self.minor.unwrap_or(0)),
        }
    }
}
