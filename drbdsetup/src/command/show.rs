// SPDX-License-Identifier: GPL-2.0-or-later
//! `show`.

use std::io::Write;

use drbd_core::genl::Command;
use drbd_netlink::{Api, Client, Resource};

use super::{print, style, Asked};
use crate::render::{show_84, show_json, show_text};
use crate::{exit, Failure};

pub(super) fn show(
    client: &mut Client,
    asked: &Asked<'_>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let snapshot = asked.snapshot(client)?;
    let resources = asked.resources(&snapshot)?;
    if client.family().api == Api::V1 {
        return show_old(client, &resources, asked.switch("show-defaults"), out);
    }
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
    let style = style(client);
    let text: String = resources
        .into_iter()
        .map(|resource| show_text(&snapshot, resource, all, style))
        .collect();
    print(out, &text)?;
    Ok(exit::OK)
}

/// For a driver of generation 8.4; without any resource it prints nothing, as the tool of that generation does.
fn show_old(
    client: &mut Client,
    resources: &[&Resource],
    all: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let connections = client.dump_all(Command::GetConnections)?;
    let devices = client.dump_all(Command::GetDevices)?;
    let mut text = String::new();
    for resource in resources {
        text.push_str(&show_84(resource, &connections, &devices, all)?);
    }
    print(out, &text)?;
    Ok(exit::OK)
}
