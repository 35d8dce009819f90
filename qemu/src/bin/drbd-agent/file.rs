// SPDX-License-Identifier: GPL-2.0-or-later
//! Files in and out of the guest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::Receiver;

use drbd_qemu::proto::PAYLOAD_MAX;

/// Writes what arrives on `input` to `path`; `taken` is told of every chunk.
///
/// Regular files are replaced in one step; a device node is written through.
pub(crate) fn put(
    path: &str,
    mode: u32,
    input: &Receiver<Vec<u8>>,
    taken: impl Fn(usize),
) -> io::Result<()> {
    let target = Path::new(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let special = fs::metadata(target).is_ok_and(|metadata| !metadata.is_file());
    let draft = if special {
        target.to_owned()
    } else {
        target.with_extension("drbd-agent-new")
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(!special)
        .truncate(!special)
        .mode(0o600)
        .open(&draft)?;
    while let Ok(data) = input.recv() {
        file.write_all(&data)?;
        taken(data.len());
    }
    if special {
        return file.sync_all();
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    drop(file);
    fs::rename(&draft, target)
}

/// Hands the content of `path` to `send`, piece by piece.
pub(crate) fn get(path: &str, mut send: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0u8; PAYLOAD_MAX];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => send(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
