// SPDX-License-Identifier: GPL-2.0-or-later
//! The program behind `cargo xtask docs`.

use std::path::Path;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for (name, text) in drbd_docs::all()? {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("docs/{name}");
    }
    Ok(())
}
