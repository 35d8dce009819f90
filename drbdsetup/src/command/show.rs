// SPDX-License-Identifier: GPL-2.0-or-later
//! `show`.

use std::io::Write;

use drbd_netlink::{Client, Snapshot};

use super::{print, style, Asked};
use crate::render::{show_json, show_text};
use crate::{exit, Failure};

pub(super) fn show(
    client: &mut Client,
    asked: &Asked<'_>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let snapshot = Snapshot::read_about(client, asked.filter())?;
    let resources = asked.resources(&snapshot)?;
    if asked.switch("json") {
        let json =
            show_json(&snapshot, &resources).map_err(|error| Failure::System(error.to_string()))?;
        print(out, &format!("{json}\n"))?;
        return Ok(exit::OK);
    }
    if resources.is_empty() {
        print(out, "# No currently configured DRBD found.\n")?;
        return Ok(exit::OK);
    }
    let all = asked.switch("show-defaults");
    let text: String = resources
        .into_iter()
        .map(|resource| show_text(&snapshot, resource, all, style()))
        .collect();
    print(out, &text)?;
    Ok(exit::OK)
}
