// SPDX-License-Identifier: GPL-2.0-or-later
//! Hashes and keyed hashes of the kernel's crypto API, by name.

use crate::sys as c;
use core::ptr::NonNull;
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
};

struct Tfm(NonNull<c::crypto_shash>);

impl Drop for Tfm {
    fn drop(&mut self) {
        // SAFETY: Allocated in `Hash::new`, dropped once.
        unsafe { c::kg_shash_free(self.0.as_ptr()) };
    }
}

/// A hash computation that can be repeated. Create and drop in task context; [`Self::begin`],
/// [`Self::update`] and [`Self::finish`] do not sleep.
pub(crate) struct Hash {
    tfm: Tfm,
    // `struct shash_desc` and the algorithm's state behind it; u64 for alignment.
    desc: KVec<u64>,
    size: usize,
    // `update` and `finish` need a description that `begin` has filled.
    begun: bool,
}

// SAFETY: A transform may be used from any thread, by one at a time (`&mut self`).
unsafe impl Send for Hash {}

impl Hash {
    /// Finds `name`, e.g. `crc32c`, `sha256`, `hmac(sha1)`; may load a module. Errors: `ENOENT`.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        // SAFETY: C string.
        let tfm = from_err_ptr(unsafe { c::crypto_alloc_shash(name.as_char_ptr(), 0, 0) })?;
        let tfm = Tfm(NonNull::new(tfm).ok_or(ENOMEM)?);
        // SAFETY: Live transform.
        let (desc_size, size) = unsafe {
            (
                c::kg_shash_descsize(tfm.0.as_ptr()),
                c::kg_shash_digestsize(tfm.0.as_ptr()),
            )
        };
        let desc = KVec::from_elem(0u64, (desc_size as usize).div_ceil(8), GFP_KERNEL)?;
        Ok(Hash {
            tfm,
            desc,
            size: size as usize,
            begun: false,
        })
    }

    fn desc(&mut self) -> *mut c_void {
        self.desc.as_mut_ptr().cast()
    }

    /// Digest length in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Sets the key of an `hmac(..)`. Context: task.
    pub(crate) fn set_key(&mut self, key: &[u8]) -> Result {
        let len = u32::try_from(key.len()).map_err(|_| EINVAL)?;
        // SAFETY: Live transform, readable key.
        to_result(unsafe { c::crypto_shash_setkey(self.tfm.0.as_ptr(), key.as_ptr(), len) })
    }

    /// Starts a new digest.
    pub(crate) fn begin(&mut self) -> Result {
        let tfm = self.tfm.0.as_ptr();
        let desc = self.desc();
        // SAFETY: `desc` has the size that the transform asked for.
        to_result(unsafe { c::kg_shash_init(tfm, desc) })?;
        self.begun = true;
        Ok(())
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result {
        let len = u32::try_from(bytes.len()).map_err(|_| EINVAL)?;
        if !self.begun {
            return Err(EINVAL);
        }
        let desc = self.desc();
        // SAFETY: `desc` was initialised by `begin`; readable bytes.
        to_result(unsafe { c::kg_shash_update(desc, bytes.as_ptr(), len) })
    }

    /// Writes the digest to the start of `out`. Errors: `EINVAL` when `out` is too short.
    pub(crate) fn finish(&mut self, out: &mut [u8]) -> Result<usize> {
        let size = self.size;
        let out = out.get_mut(..size).ok_or(EINVAL)?;
        if !self.begun {
            return Err(EINVAL);
        }
        self.begun = false;
        let desc = self.desc();
        // SAFETY: As in `update`; `out` has room for a digest.
        to_result(unsafe { c::kg_shash_final(desc, out.as_mut_ptr()) })?;
        Ok(size)
    }
}
