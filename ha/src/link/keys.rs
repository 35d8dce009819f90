// SPDX-License-Identifier: GPL-2.0-or-later
//! The cluster's secret: one file, and a second one while keys change (failover.md section 6.1).

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of a key file.
const BYTES_MIN: u64 = 32;
const BYTES_MAX: u64 = 64;

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read.
    #[error("cannot read the key {path}: {error}\n  make one and copy it to all nodes:  drbd-hactl keygen {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Others can read it.
    #[error("the key {path} has mode {mode:04o}: others can read it\n  type:  chmod 0600 {path}")]
    TooOpen {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("the key {path} belongs to user {owner}: who owns it can change it\n  type:  chown root {path}")]
    Foreign {
        /// The file.
        path: String,
        /// User id of its owner.
        owner: u32,
    },
    /// It is too short or too long.
    #[error("the key {path} has {bytes} bytes, not {BYTES_MIN} to {BYTES_MAX}\n  make another:  drbd-hactl keygen {path}")]
    WrongSize {
        /// The file.
        path: String,
        /// Bytes in it.
        bytes: u64,
    },
    /// The two keys can't be told apart.
    #[error(
        "the next key can't be told from the current one\n  make another:  drbd-hactl keygen FILE"
    )]
    SameId,
}

/// A key and its short name on the wire.
#[derive(Clone)]
pub struct Key {
    secret: Zeroizing<Vec<u8>>,
    id: u8,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {{ id: {} }}", self.id)
    }
}

impl Key {
    /// Of these bytes.
    #[must_use]
    pub fn new(secret: Vec<u8>) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"drbd-ha key id");
        digest.update(&secret);
        let id = digest.finalize().first().copied().unwrap_or_default();
        Key {
            secret: Zeroizing::new(secret),
            id,
        }
    }

    /// Reads a file that only its owner can read.
    ///
    /// # Errors
    ///
    /// When it can't be read, others can, or it has not 32 to 64 bytes.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let name = path.display().to_string();
        let unreadable = |error| KeyError::Unreadable {
            path: path.display().to_string(),
            error,
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        // Of the open file, so that it is the one that is read.
        let facts = file.metadata().map_err(unreadable)?;
        let mode = facts.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen { path: name, mode });
        }
        let owner = facts.uid();
        if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
            return Err(KeyError::Foreign { path: name, owner });
        }
        let bytes = facts.len();
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes) {
            return Err(KeyError::WrongSize { path: name, bytes });
        }
        let mut secret = Vec::with_capacity(64);
        file.read_to_end(&mut secret).map_err(unreadable)?;
        Ok(Key::new(secret))
    }

    /// Its short name on the wire; says nothing about the key.
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    /// Fills `out` with what only holders of the key can know of these.
    pub(super) fn derive(&self, salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
        let hkdf = Hkdf::<Sha256>::new(Some(salt), &self.secret);
        // Fails for outputs of more than 8 KiB only; ours have 32 bytes.
        if hkdf.expand_multi_info(info, out).is_err() {
            out.fill(0);
        }
    }

    fn mac(&self, cluster: &str, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut key = Zeroizing::new([0_u8; 32]);
        self.derive(b"hello", &[cluster.as_bytes()], &mut *key);
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).ok()?;
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    }

    /// Authenticates a greeting.
    pub(super) fn sign(&self, cluster: &str, text: &[u8]) -> [u8; 32] {
        self.mac(cluster, &[text])
            .map(|mac| mac.finalize().into_bytes().into())
            .unwrap_or_default()
    }

    /// Whether a greeting is authentic.
    pub(super) fn verify(&self, cluster: &str, text: &[u8], tag: &[u8]) -> bool {
        self.mac(cluster, &[text])
            .is_some_and(|mac| mac.verify_slice(tag).is_ok())
    }
}

/// The keys that a node holds.
#[derive(Debug, Clone)]
pub struct Keys {
    current: Key,
    next: Option<Key>,
}

impl Keys {
    /// The current key, and the one that comes next if keys are being changed.
    ///
    /// # Errors
    ///
    /// When their short names are the same.
    pub fn new(current: Key, next: Option<Key>) -> Result<Self, KeyError> {
        if next.as_ref().is_some_and(|next| next.id == current.id) {
            return Err(KeyError::SameId);
        }
        Ok(Keys { current, next })
    }

    /// Reads both files.
    ///
    /// # Errors
    ///
    /// Those of [`Key::read`] and [`Keys::new`].
    pub fn read(current: &Path, next: Option<&Path>) -> Result<Self, KeyError> {
        let next = next.map(Key::read).transpose()?;
        Keys::new(Key::read(current)?, next)
    }

    pub(super) fn current(&self) -> &Key {
        &self.current
    }

    pub(super) fn next(&self) -> Option<&Key> {
        self.next.as_ref()
    }

    pub(super) fn by_id(&self, id: u8) -> Option<&Key> {
        if self.current.id == id {
            return Some(&self.current);
        }
        self.next.as_ref().filter(|next| next.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(bytes: usize, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, vec![7; bytes]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_key_is_secret_and_long_enough() {
        let read = |bytes, mode| {
            let (_directory, path) = file(bytes, mode);
            Key::read(&path).map_err(|error| error.to_string())
        };
        assert!(read(32, 0o600).is_ok());
        assert!(read(64, 0o400).is_ok());
        assert!(read(32, 0o640).unwrap_err().contains("chmod 0600"));
        assert!(read(32, 0o604).unwrap_err().contains("mode 0604"));
        assert!(read(31, 0o600).unwrap_err().contains("has 31 bytes"));
        assert!(read(65, 0o600).unwrap_err().contains("has 65 bytes"));
        let missing = Key::read(Path::new("/nonexistent/key")).unwrap_err();
        assert!(missing.to_string().contains("drbd-hactl keygen"));
    }

    #[test]
    fn nothing_shows_it() {
        assert!(!format!("{:?}", Key::new(vec![231; 32])).contains("231"));
    }

    #[test]
    fn two_keys_can_be_told_apart() {
        let key = |byte| Key::new(vec![byte; 32]);
        assert!(Keys::new(key(1), Some(key(1))).is_err());
        let keys = Keys::new(key(1), Some(key(2))).unwrap();
        assert_eq!(keys.by_id(key(2).id()).unwrap().id(), key(2).id());
    }

    #[test]
    fn a_greeting_is_bound_to_key_and_cluster() {
        let key = Key::new(vec![1; 32]);
        let tag = key.sign("lab", b"text");
        assert!(key.verify("lab", b"text", &tag));
        assert!(!key.verify("other", b"text", &tag));
        assert!(!key.verify("lab", b"texT", &tag));
        assert!(!Key::new(vec![2; 32]).verify("lab", b"text", &tag));
        assert!(!key.verify("lab", b"text", &tag[..31]));
    }
}
