// SPDX-License-Identifier: GPL-2.0-or-later
//! Where Debian packages come from: the mirror of this machine's own apt, unless `DEBIAN_MIRROR` names another.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::enter;
use crate::problem::Problem;
use crate::process::captured;

/// Settings of this machine's apt that the roots' apt needs as well: proxies, retries, what to make of dates.
const ACQUIRE_PREFIXES: [&str; 5] = [
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::ForceIPv",
];

/// A package mirror and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// URI of the archive, without a slash at its end.
    pub uri: String,
    /// Lines for `mmdebstrap --aptopt`.
    pub apt_options: Vec<String>,
}

impl Mirror {
    /// The mirror that this machine's apt uses.
    ///
    /// # Errors
    ///
    /// When this is no Debian machine and `DEBIAN_MIRROR` is not set.
    pub fn of_this_machine() -> Result<Self> {
        let uri = match std::env::var("DEBIAN_MIRROR") {
            Ok(uri) if !uri.is_empty() => uri,
            _ => from_apt()?,
        };
        let dump = captured(Command::new("apt-config").arg("dump")).unwrap_or_default();
        Ok(Self {
            uri: uri.trim_end_matches('/').to_owned(),
            apt_options: acquire_options(&dump),
        })
    }
}

fn from_apt() -> Result<String> {
    let mut uri = first_archive();
    if uri.is_none() && enter::is_root() {
        // Containers come without package lists, and without lists apt does not know who is Debian.
        captured(Command::new("apt-get").arg("update"))?;
        uri = first_archive();
    }
    let Some(uri) = uri else {
        return Err(Problem::new(
            "cannot find a Debian mirror",
            "apt-get indextargets lists no Debian archive on this machine",
            "sudo apt-get update    or:  export DEBIAN_MIRROR=<URI of a Debian archive>",
        )
        .into());
    };
    match uri.strip_prefix("mirror+file:") {
        Some(list) => first_of_list(list.trim_end_matches('/')),
        None => Ok(uri),
    }
}

/// The first Debian archive among apt's sources.
fn first_archive() -> Option<String> {
    let listed = captured(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
        "Label: Debian",
    ]));
    // A machine without apt has no sources either.
    let listed = listed.unwrap_or_default();
    let uri = listed.lines().map(str::trim).find(|line| !line.is_empty());
    uri.map(str::to_owned)
}

/// Cloud images name their mirrors in a file of apt's `mirror` method; the first line is as good as any.
fn first_of_list(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|uri| uri.starts_with("http"))
        .map(str::to_owned)
        .with_context(|| format!("{path} names no mirror"))
}

fn acquire_options(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| {
            ACQUIRE_PREFIXES
                .iter()
                .any(|prefix| line.starts_with(prefix))
        })
        .filter(|line| !line.ends_with(" \"\";"))
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_proxies_and_drops_the_rest() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:3142\";\n\
                    Acquire::https::Proxy \"\";\nAcquire::Check-Date \"false\";\nAcquire::Languages \"none\";\n";
        assert_eq!(
            acquire_options(dump),
            [
                "Acquire::http::Proxy \"http://p:3142\"",
                "Acquire::Check-Date \"false\""
            ]
        );
    }

    #[test]
    fn reads_the_first_mirror_of_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("debian.list");
        fs::write(
            &list,
            "# mirrors\nhttp://a.example/debian priority:1\nhttp://b.example/debian\n",
        )
        .unwrap();
        assert_eq!(
            first_of_list(list.to_str().unwrap()).unwrap(),
            "http://a.example/debian"
        );
        fs::write(&list, "# nothing\n").unwrap();
        assert!(first_of_list(list.to_str().unwrap()).is_err());
    }
}
