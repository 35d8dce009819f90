// SPDX-License-Identifier: GPL-2.0-or-later
//! The package of the fail-over daemon: not everybody who replicates wants one, and nobody two.

use anyhow::Result;

use super::content::{self, File, Package};
use crate::workspace;

/// Name of the package.
const NAME: &str = "drbd-rs-ha";

/// Files of `packaging/` and where they go.
pub(super) const PACKAGING: [(&str, &str, u32); 2] = [
    (
        "systemd/drbd-had.service",
        "usr/lib/systemd/system/drbd-had.service",
        0o644,
    ),
    (
        "prometheus/drbd-had.rules.yml",
        "usr/share/drbd-rs-ha/prometheus/drbd-had.rules.yml",
        0o644,
    ),
];

/// Programs of `target/dist` and where they go.
const PROGRAMS: [(&str, &str); 2] = [
    ("drbd-had", "usr/sbin/drbd-had"),
    ("drbd-hactl", "usr/sbin/drbd-hactl"),
];

/// True when the manual page or completion called `file` is of a program of this package.
pub(super) fn is_of(file: &str) -> bool {
    ["drbd-had", "drbd-hactl"].iter().any(|program| {
        file.strip_prefix(program)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    })
}

/// The package, of what is in `target/dist`.
///
/// # Errors
///
/// When something was not built.
pub(super) fn package(date: u64) -> Result<Package> {
    let mut made = content::package(NAME.to_owned(), "amd64", date);
    let (programs, libraries) = content::programs(&PROGRAMS)?;
    made.fields.extend([
        (
            "Depends",
            format!("drbd-rs-utils (= {}), {libraries}", made.version),
        ),
        // The unit conflicts with Pacemaker's; the packages don't: who changes over has both for a while, and the agents
        // of fencing are the same.
        ("Recommends", "resource-agents, fence-agents".to_owned()),
    ]);
    made.about = (
        "replicated block devices: fail-over without a cluster manager",
        "The daemon drbd-had moves groups of services between two to sixteen nodes that\n\
         replicate their data with DRBD: heartbeats, quorum, fencing with the agents of\n\
         Pacemaker. drbd-hactl asks and directs it. It is not started by itself: it needs\n\
         a configuration, of which /usr/share/doc/drbd-rs-ha/examples has six.",
    );
    made.files = content::from_packaging(&PACKAGING);
    made.files.extend(content::documents(NAME));
    made.files.extend(programs);
    made.files.extend(content::pages(is_of)?);
    made.files.extend(manual()?);
    made.scripts = vec![
        content::script("postinst", "ha.postinst", &[])?,
        content::script("prerm", "ha.prerm", &[])?,
        content::script("postrm", "ha.postrm", &[])?,
    ];
    Ok(made)
}

/// `docs/ha`: what to read, and configurations to begin with.
fn manual() -> Result<Vec<File>> {
    let files = content::listed(&workspace::root().join("docs/ha"))?;
    let place = |from: std::path::PathBuf| {
        let name = content::file_name(&from);
        let below = if name.ends_with(".toml") {
            "examples/"
        } else {
            ""
        };
        File {
            to: format!("usr/share/doc/{NAME}/{below}{name}"),
            from,
            mode: 0o644,
        }
    };
    Ok(files.into_iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_daemon_are_not_those_of_the_tools() {
        for yes in [
            "drbd-had",
            "drbd-had.8",
            "drbd-hactl-check.8",
            "drbd-hactl.fish",
        ] {
            assert!(is_of(yes), "{yes}");
        }
        for no in ["drbdadm.8", "drbd.conf.5", "drbd-haddock.8", "drbd-hactls"] {
            assert!(!is_of(no), "{no}");
        }
    }

    #[test]
    fn every_example_is_in_it_and_the_page_beside_them() {
        let to: Vec<String> = manual().unwrap().into_iter().map(|file| file.to).collect();
        let examples = to.iter().filter(|to| to.contains("/examples/"));
        assert_eq!(examples.count(), 6, "{to:?}");
        assert!(to.contains(&"usr/share/doc/drbd-rs-ha/README.md".to_owned()));
    }
}
