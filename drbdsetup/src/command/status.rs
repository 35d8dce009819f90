// SPDX-License-Identifier: GPL-2.0-or-later
//! `status`.

use std::io::{self, IsTerminal, Write};

use drbd_netlink::Client;

use super::{print, style, Asked};
use crate::render::{status_json, status_text, StatusOptions, Style};
use crate::{exit, Failure};

pub(super) fn status(
    client: &mut Client,
    asked: &Asked<'_>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let snapshot = asked.snapshot(client)?;
    let resources = asked.resources(&snapshot)?;
    if asked.switch("json") {
        let json = status_json(&snapshot, &resources, Style::from_environment())
            .map_err(|error| Failure::System(error.to_string()))?;
        print(out, &format!("{json}\n"))?;
        return Ok(exit::OK);
    }
    if resources.is_empty() {
        print(out, "# No currently configured DRBD found.\n")?;
        return Ok(exit::OK);
    }
    let options = StatusOptions {
        verbose: asked.switch("verbose"),
        statistics: asked.switch("statistics"),
        terminal: io::stdout().is_terminal(),
        style: style(client),
    };
    let text: String = resources
        .into_iter()
        .map(|resource| status_text(&snapshot, resource, options))
        .collect();
    print(out, &text)?;
    Ok(exit::OK)
}
