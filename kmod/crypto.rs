// SPDX-License-Identifier: GPL-2.0-or-later
//! The digests of a connection: for authentication and over replicated data.
//!
//! Whoever works with a digest has an instance of its own. Another one of each is kept with the
//! configuration, made when the administrator named the algorithm: it says at once that there is
//! none, and it keeps the algorithm's module loaded, so that a thread that writes depend on never
//! waits for user space to load it.

use crate::{
    admin::{refuse, Failure},
    os::{
        bio::BioData,
        hash::Hash,
        noio,
        pages::{PagePool, Payload},
    },
};
use drbd_core::{
    config::NetOptions, engine::authentication::DIGEST_BYTES_MAX, genl::RetCode, wire::AlgName,
};
use kernel::{prelude::*, str::CString};

/// A digest; what is behind its bytes is zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    len: usize,
    bytes: [u8; DIGEST_BYTES_MAX],
}

impl Digest {
    /// `len` zeroes.
    pub(crate) fn zeroes(len: usize) -> Self {
        Digest {
            len: len.min(DIGEST_BYTES_MAX),
            bytes: [0; DIGEST_BYTES_MAX],
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Its bytes, to be received.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or(&mut [])
    }
}

/// The digest of what `add` gives the hash. Context: task.
fn digest_with(hash: &mut Hash, add: impl FnOnce(&mut Hash) -> Result) -> Result<Digest> {
    let mut digest = Digest::zeroes(hash.size());
    hash.begin()?;
    add(hash)?;
    let _ = hash.finish(digest.bytes_mut())?;
    Ok(digest)
}

/// Keeps the algorithms of a configuration loaded.
#[derive(Default)]
pub(crate) struct Algorithms {
    _authentication: Option<Hash>,
    _integrity: Option<Hash>,
    _verify: Option<Hash>,
    _csums: Option<Hash>,
}

impl Algorithms {
    /// Looks for the algorithms of `net`. Errors: `ERR_AUTH_ALG`, `ERR_INTEGRITY_ALG`,
    /// `ERR_VERIFY_ALG`, `ERR_CSUMS_ALG`. Context: a process of user space.
    pub(crate) fn of(net: &NetOptions) -> Result<Self, Failure> {
        let authentication = if net.cram_hmac_alg.is_empty() {
            None
        } else {
            Some(authenticator(net).map_err(|_| {
                refuse(
                    RetCode::ERR_AUTH_ALG,
                    "cram-hmac-alg: the kernel has no keyed hash of this name",
                )
            })?)
        };
        let integrity = keyless(
            net.integrity_alg.as_str(),
            refuse(
                RetCode::ERR_INTEGRITY_ALG,
                "data-integrity-alg: the kernel has no hash of this name",
            ),
        )?;
        let verify = keyless(
            net.verify_alg.as_str(),
            refuse(
                RetCode::ERR_VERIFY_ALG,
                "verify-alg: the kernel has no digest of this name; crc32c and sha256 are usual",
            ),
        )?;
        let csums = keyless(
            net.csums_alg.as_str(),
            refuse(
                RetCode::ERR_CSUMS_ALG,
                "csums-alg: the kernel has no digest of this name; sha1 and sha256 are usual",
            ),
        )?;
        if net.csums_alg.as_str().starts_with("crc") {
            // What is followed by its own CRC has a CRC that does not depend on it.
            pr_warn!(
                "csums-alg {}: a changed block with such a checksum in it, as file systems write them, can pass for equal \
                 and is then not copied; sha1 and sha256 tell it apart\n",
                net.csums_alg.as_str()
            );
        }
        Ok(Algorithms {
            _authentication: authentication,
            _integrity: integrity,
            _verify: verify,
            _csums: csums,
        })
    }
}

/// The hash of an option; none for an empty one. Errors: `missing`.
#[inline(never)]
fn keyless(option: &str, missing: Failure) -> Result<Option<Hash>, Failure> {
    let name = AlgName::new(option.as_bytes()).ok_or(missing)?;
    if name.is_empty() {
        return Ok(None);
    }
    hash(name.as_str()).map(Some).map_err(|_| missing)
}

/// A hash of at most [`DIGEST_BYTES_MAX`] bytes. Errors: also for one that needs a key.
#[inline(never)]
fn hash(name: &str) -> Result<Hash> {
    let name = CString::try_from_fmt(fmt!("{}", name))?;
    let mut hash = Hash::new(&name)?;
    let _ = digest_with(&mut hash, |_| Ok(()))?;
    Ok(hash)
}

/// `hmac(<cram-hmac-alg>)` with the secret as its key. Context: task.
#[inline(never)]
pub(crate) fn authenticator(net: &NetOptions) -> Result<Hash> {
    let name = CString::try_from_fmt(fmt!("hmac({})", net.cram_hmac_alg.as_str()))?;
    let mut hash = Hash::new(&name)?;
    if hash.size() > DIGEST_BYTES_MAX {
        return Err(EINVAL);
    }
    hash.set_key(net.shared_secret.as_str().as_bytes())?;
    Ok(hash)
}

/// The digest of one message. Context: task.
pub(crate) fn digest_of(hash: &mut Hash, message: &[u8]) -> Result<Digest> {
    digest_with(hash, |hash| hash.update(message))
}

/// The digest over the data of one direction of a connection: data-integrity-alg of the sender.
#[derive(Default)]
pub(crate) struct Integrity {
    name: Option<AlgName>,
    hash: Option<Hash>,
}

impl Integrity {
    /// Goes by `name` from now on; no digests when it is empty. Errors: the kernel does not have
    /// it. Context: task.
    pub(crate) fn set(&mut self, name: &AlgName) -> Result {
        if self.name.as_ref() == Some(name) {
            return Ok(());
        }
        self.hash = if name.is_empty() {
            None
        } else {
            Some(noio::scope(|| hash(name.as_str()))?)
        };
        self.name = Some(*name);
        Ok(())
    }

    /// Whether there are digests.
    pub(crate) fn is_on(&self) -> bool {
        self.hash.is_some()
    }

    /// Bytes of a digest, 0 for none.
    pub(crate) fn len(&self) -> u32 {
        self.hash
            .as_ref()
            .and_then(|hash| u32::try_from(hash.size()).ok())
            .unwrap_or(0)
    }

    fn digest(&mut self, add: impl FnOnce(&mut Hash) -> Result) -> Result<Digest> {
        match self.hash.as_mut() {
            Some(hash) => digest_with(hash, add),
            None => Ok(Digest::zeroes(0)),
        }
    }

    /// Digest of a payload, `None` for an empty one.
    pub(crate) fn of_payload(&mut self, payload: Option<&Payload>) -> Result<Digest> {
        self.digest(|hash| payload.map_or(Ok(()), |payload| payload.digest(hash)))
    }

    /// Digest of the pages of a read from above.
    pub(crate) fn of_bio(&mut self, data: &BioData) -> Result<Digest> {
        self.digest(|hash| data.digest(hash))
    }
}

/// Computes digests of blocks; one for each thread that does.
#[derive(Default)]
pub(crate) struct Digester(Option<(AlgName, Hash)>);

impl Digester {
    fn hash(&mut self, name: AlgName) -> Result<&mut Hash> {
        let known = self.0.as_ref().is_some_and(|(old, _)| *old == name);
        if !known {
            self.0 = None;
            self.0 = Some((name, noio::scope(|| hash(name.as_str()))?));
        }
        self.0.as_mut().map(|(_, hash)| hash).ok_or(ENOENT)
    }

    /// Length of the digests of `name`, bytes. Context: task.
    pub(crate) fn size(&mut self, name: AlgName) -> Result<usize> {
        Ok(self.hash(name)?.size())
    }

    /// Digest of `data`; zeroes without any. Context: task.
    pub(crate) fn digest(&mut self, name: AlgName, data: Option<&Payload>) -> Result<Digest> {
        let hash = self.hash(name)?;
        match data {
            Some(data) => digest_with(hash, |hash| data.digest(hash)),
            None => Ok(Digest::zeroes(hash.size())),
        }
    }
}

/// Copies of application writes: their pages may change while they are sent, and the digest has
/// to be that of the bytes which the peer gets.
#[derive(Default)]
pub(crate) struct Copies {
    // Its own reserve: what waits in a queue behind the sender must not keep it from going on.
    pool: Option<PagePool>,
}

impl Copies {
    /// A copy of `data`. Context: task.
    pub(crate) fn of(&mut self, data: &BioData) -> Result<Payload> {
        let pool = match &self.pool {
            Some(pool) => pool.clone(),
            None => {
                let pool = noio::scope(|| PagePool::new(0))?;
                self.pool.insert(pool).clone()
            }
        };
        let mut payload = pool.alloc(data.len())?;
        data.copy_to_payload(&mut payload)?;
        Ok(payload)
    }
}
