// SPDX-License-Identifier: GPL-2.0-or-later
//! What a node shall be made of.

use crate::initrd::GuestFile;

/// Bytes in a MiB.
pub const MIB: u64 = 1024 * 1024;

/// Whose DRBD a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Our module and our tools, before the distribution's; any kernel warning
    /// is a failure.
    Ours,
    /// The distribution's module and tools, untouched; warnings it is known
    /// for are let pass.
    Stock,
    /// The bare image: like [`Kind::Stock`], but nothing is let pass.
    Bare,
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Kind, String> {
        match word {
            "ours" => Ok(Kind::Ours),
            "stock" => Ok(Kind::Stock),
            "bare" => Ok(Kind::Bare),
            _ => Err(format!(
                "`{word}` is no kind of node; it is ours, stock or bare"
            )),
        }
    }
}

/// What becomes of writes that were not flushed when the power is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// They are on the disk.
    #[default]
    Kept,
    /// They are lost: the disk has a volatile write cache, held by the harness.
    Volatile,
}

/// A data disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Size in bytes, a multiple of 512.
    pub size_bytes: u64,
    /// Its write cache.
    pub cache: Cache,
    /// Logical and physical block size in bytes, 512 or 4096.
    pub block_size: u32,
}

impl Disk {
    /// An empty disk of `size_bytes` that loses nothing.
    #[must_use]
    pub fn new(size_bytes: u64) -> Disk {
        Disk {
            size_bytes,
            cache: Cache::Kept,
            block_size: 512,
        }
    }

    /// The same disk with a volatile write cache.
    #[must_use]
    pub fn volatile(mut self) -> Disk {
        self.cache = Cache::Volatile;
        self
    }

    /// The same disk with blocks of 4096 bytes.
    #[must_use]
    pub fn with_4k_blocks(mut self) -> Disk {
        self.block_size = 4096;
        self
    }
}

/// A node to be added to a [`crate::Lab`].
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Host name; letters, digits and hyphens.
    pub name: String,
    /// Whose DRBD it has.
    pub kind: Kind,
    /// Memory in MiB.
    pub mem_mb: u32,
    /// Virtual processors.
    pub cpus: u32,
    /// Data disks: `/dev/vdb`, `/dev/vdc`, ... in the guest.
    pub disks: Vec<Disk>,
    /// Network cards: `eth0`, ... each in a network of its own number.
    pub nics: u8,
    /// Files laid over the root file system at every boot.
    pub files: Vec<GuestFile>,
    /// Kernel arguments beside the harness's own.
    pub kernel_args: Vec<String>,
    /// QEMU arguments beside the harness's own (`-device`, `i6300esb`).
    pub qemu_args: Vec<String>,
    /// Whether QEMU counts what the kernel executes, see [`crate::Node::executed`]. Such a node is never run on the
    /// host's own processor, and somewhat slower than others.
    pub counted: bool,
}

impl NodeSpec {
    /// A node of the given kind: 384 MiB, two processors, one network card, no
    /// data disk.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> NodeSpec {
        NodeSpec {
            name: name.into(),
            kind,
            mem_mb: 384,
            cpus: 2,
            disks: Vec::new(),
            nics: 1,
            files: Vec::new(),
            kernel_args: Vec::new(),
            qemu_args: Vec::new(),
            counted: false,
        }
    }

    /// A node with our module and tools.
    #[must_use]
    pub fn ours(name: impl Into<String>) -> NodeSpec {
        NodeSpec::new(name, Kind::Ours)
    }

    /// A node with the distribution's module and tools.
    #[must_use]
    pub fn stock(name: impl Into<String>) -> NodeSpec {
        NodeSpec::new(name, Kind::Stock)
    }

    /// A node that is to have no DRBD.
    #[must_use]
    pub fn bare(name: impl Into<String>) -> NodeSpec {
        NodeSpec::new(name, Kind::Bare)
    }

    /// Adds an empty data disk of `mib` MiB.
    #[must_use]
    pub fn disk_mib(self, mib: u64) -> NodeSpec {
        self.disk(Disk::new(mib * MIB))
    }

    /// Adds a data disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> NodeSpec {
        self.disks.push(disk);
        self
    }

    /// Sets the memory in MiB.
    #[must_use]
    pub fn mem_mb(mut self, mem_mb: u32) -> NodeSpec {
        self.mem_mb = mem_mb;
        self
    }

    /// Sets the number of virtual processors.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> NodeSpec {
        self.cpus = cpus;
        self
    }

    /// Sets the number of network cards.
    #[must_use]
    pub fn nics(mut self, nics: u8) -> NodeSpec {
        self.nics = nics;
        self
    }

    /// Adds a file to the root file system.
    #[must_use]
    pub fn file(mut self, file: GuestFile) -> NodeSpec {
        self.files.push(file);
        self
    }

    /// Adds a kernel argument.
    #[must_use]
    pub fn kernel_arg(mut self, argument: impl Into<String>) -> NodeSpec {
        self.kernel_args.push(argument.into());
        self
    }

    /// Has QEMU count what the kernel executes.
    #[must_use]
    pub fn counted(mut self) -> NodeSpec {
        self.counted = true;
        self
    }
}
