// SPDX-License-Identifier: GPL-2.0-or-later
//! The device that holds the metadata: opened exclusively, read and written directly.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use drbd_core::meta::{Block, Placement};
use nix::fcntl::{fallocate, FallocateFlags, OFlag};

use crate::aligned::Aligned;
use crate::cli::{InitializeBitmap, Options};
use crate::failure::{Failure, EXIT_IO, EXIT_REFUSED};

/// Smallest device that can hold metadata.
const BYTES_MIN: u64 = 68 << 10;
/// Bytes read or written at a time.
pub(crate) const CHUNK: usize = 1 << 20;

/// The opened device.
#[derive(Debug)]
pub(crate) struct MdFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Bytes that may be written; nothing before the layout is known.
    area: Range<u64>,
    dry_run: bool,
    is_block_device: bool,
    /// Somebody else has it open; what is read may be about to change.
    pub(crate) shared: bool,
}

impl MdFile {
    /// Opens a block device, or with --force a regular file.
    ///
    /// A device with internal or flexible external metadata is opened exclusively; if it is in
    /// use, only commands that write nothing go on.
    pub(crate) fn open(
        path: &Path,
        placement: Placement,
        writes: bool,
        options: &Options,
    ) -> Result<MdFile, Failure> {
        let what = || format!("cannot open {}", path.display());
        let kind = std::fs::metadata(path)
            .map_err(|error| {
                Failure::new(EXIT_REFUSED, what(), error, "check the path of the device")
            })?
            .file_type();
        let acceptable = kind.is_block_device() || (options.force && kind.is_file());
        if !acceptable {
            let why = if kind.is_file() {
                "it is a regular file"
            } else {
                "it is not a block device"
            };
            return Err(Failure::new(
                EXIT_REFUSED,
                what(),
                why,
                "name a block device, or use --force for a regular file",
            ));
        }
        let exclusive = kind.is_block_device() && !matches!(placement, Placement::Index(_));
        let (file, shared) = match open(path, exclusive) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && !writes => {
                let file = open(path, false);
                (
                    file.map_err(|error| {
                        Failure::new(EXIT_REFUSED, what(), error, "run it as root")
                    })?,
                    true,
                )
            }
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                return Err(Failure::new(
                    EXIT_REFUSED,
                    what(),
                    "the device is in use: attached, mounted, or part of something else",
                    "detach it first: drbdadm down, umount, or lsblk to see who has it",
                ))
            }
            Err(error) => return Err(Failure::new(EXIT_REFUSED, what(), error, "run it as root")),
        };
        let mut file = file;
        let bytes = file.seek(SeekFrom::End(0)).map_err(|error| {
            Failure::new(
                EXIT_IO,
                format!("cannot tell the size of {}", path.display()),
                error,
                "check the device",
            )
        })?;
        if bytes < BYTES_MIN {
            return Err(Failure::new(
                EXIT_IO,
                format!("{} is too small for metadata", path.display()),
                format!("it has {bytes} bytes, at least {BYTES_MIN} are needed"),
                "use a larger device",
            ));
        }
        Ok(MdFile {
            file,
            path: path.to_path_buf(),
            bytes,
            area: 0..0,
            dry_run: options.dry_run,
            is_block_device: kind.is_block_device(),
            shared,
        })
    }

    /// Path as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Size in sectors.
    pub(crate) fn sectors(&self) -> u64 {
        self.bytes / 512
    }

    /// Sets the bytes that may be written: a guard against arithmetic gone wrong.
    pub(crate) fn allow(&mut self, area: Range<u64>) {
        self.area = area;
    }

    /// Reads a range; offset and length are multiples of 512.
    pub(crate) fn read(&self, offset: u64, bytes: usize) -> Result<Aligned, Failure> {
        let mut buffer = Aligned::new(bytes);
        self.file
            .read_exact_at(buffer.bytes_mut(), offset)
            .map_err(|error| self.failed("read", offset, &error))?;
        Ok(buffer)
    }

    /// Reads one block.
    pub(crate) fn read_block(&self, offset: u64) -> Result<Block, Failure> {
        let buffer = self.read(offset, 4096)?;
        let mut block = [0; 4096];
        block.copy_from_slice(buffer.bytes());
        Ok(block)
    }

    /// Writes a range inside the allowed area.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.check_area(offset, bytes.len() as u64)?;
        if self.dry_run {
            return Ok(());
        }
        let mut buffer = Aligned::new(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        self.file
            .write_all_at(buffer.bytes(), offset)
            .map_err(|error| self.failed("write", offset, &error))
    }

    /// Zeroes a range inside the allowed area.
    pub(crate) fn zero(&self, range: Range<u64>, how: InitializeBitmap) -> Result<(), Failure> {
        self.check_area(range.start, range.end.saturating_sub(range.start))?;
        if self.dry_run || range.is_empty() || how == InitializeBitmap::Skip {
            return Ok(());
        }
        if how != InitializeBitmap::Pwrite {
            match self.zero_by_device(&range) {
                Ok(()) => return Ok(()),
                Err(error) if how == InitializeBitmap::Zeroout => {
                    return Err(self.failed("zero", range.start, &error));
                }
                // Not every device can.
                Err(_) => {}
            }
        }
        let zeros = Aligned::new(CHUNK);
        let mut at = range.start;
        while at < range.end {
            let bytes = (range.end - at).min(CHUNK as u64);
            let chunk = &zeros.bytes()[..bytes as usize];
            self.file
                .write_all_at(chunk, at)
                .map_err(|error| self.failed("write", at, &error))?;
            at += bytes;
        }
        Ok(())
    }

    /// Makes everything written so far durable.
    pub(crate) fn flush(&self) -> Result<(), Failure> {
        if self.dry_run {
            return Ok(());
        }
        self.file
            .sync_all()
            .map_err(|error| self.failed("flush", 0, &error))
    }

    fn zero_by_device(&self, range: &Range<u64>) -> io::Result<()> {
        let mut modes = [
            FallocateFlags::FALLOC_FL_ZERO_RANGE,
            FallocateFlags::FALLOC_FL_PUNCH_HOLE,
        ];
        if !self.is_block_device {
            // A hole keeps an image file small.
            modes.reverse();
        }
        let (offset, length) = (range.start as i64, (range.end - range.start) as i64);
        let mut last = io::Error::from(ErrorKind::Unsupported);
        for mode in modes {
            match fallocate(
                &self.file,
                mode | FallocateFlags::FALLOC_FL_KEEP_SIZE,
                offset,
                length,
            ) {
                Ok(()) => return Ok(()),
                Err(errno) => last = errno.into(),
            }
        }
        Err(last)
    }

    fn check_area(&self, offset: u64, bytes: u64) -> Result<(), Failure> {
        if offset >= self.area.start && offset.saturating_add(bytes) <= self.area.end {
            return Ok(());
        }
        Err(Failure::new(
            EXIT_IO,
            format!(
                "refused to write {bytes} bytes at {offset} of {}",
                self.path.display()
            ),
            format!(
                "the metadata area is {}..{}",
                self.area.start, self.area.end
            ),
            "this is a defect of drbdmeta: please report it",
        ))
    }

    fn failed(&self, verb: &str, offset: u64, error: &io::Error) -> Failure {
        Failure::new(
            EXIT_IO,
            format!("cannot {verb} {} at byte {offset}", self.path.display()),
            error,
            "check the device (dmesg, smartctl)",
        )
    }
}

/// Opens for direct I/O where that is possible.
fn open(path: &Path, exclusive: bool) -> io::Result<File> {
    let exclusive = if exclusive {
        OFlag::O_EXCL
    } else {
        OFlag::empty()
    };
    let open = |extra: OFlag| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags((exclusive | extra).bits())
            .open(path)
    };
    match open(OFlag::O_DIRECT) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => open(OFlag::empty()),
        result => result,
    }
}
