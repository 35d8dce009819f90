// SPDX-License-Identifier: GPL-2.0-or-later
//! The options that handlers have in configurations.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::Parser;

/// They mean what they mean in the handler that people know; times are seconds.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "crm-fence-peer",
    about = "fence-peer and unfence-peer handler for Pacemaker",
    args_override_self = true
)]
pub(crate) struct Options {
    /// Facility of the system's log.
    #[arg(long = "logfacility", default_value = "local5")]
    pub(crate) facility: String,
    /// Name of the DRBD resource; that of the environment otherwise.
    #[arg(short, long)]
    pub(crate) resource: Option<String>,
    /// Id of the clone in the cluster's configuration; looked up otherwise.
    #[arg(short = 'i', long = "master-id", alias = "promotable-id")]
    pub(crate) clone: Option<String>,
    /// Role that the constraint forbids; as the cluster names it otherwise.
    #[arg(short = 'l', long)]
    pub(crate) role: Option<String>,
    /// Attribute of nodes that the constraint tells them by.
    #[arg(short = 'a', long = "fencing-attribute", default_value = "#uname")]
    pub(crate) attribute: String,
    /// What the ids of constraints begin with.
    #[arg(
        short = 'p',
        long = "id-prefix",
        default_value = "drbd-fence-by-handler"
    )]
    pub(crate) prefix: String,
    /// How long to wait until it is known what became of the peer.
    #[arg(short, long, default_value_t = 90)]
    timeout: u64,
    /// How long to wait for a designated coordinator.
    #[arg(short, long = "dc-timeout", default_value_t = 20)]
    dc_timeout: u64,
    /// How long to wait for the connection to come back while the peer is alive.
    #[arg(long = "net-hickup", alias = "network-hickup", default_value_t = 0)]
    hiccup: u64,
    /// How long to wait for another handler of the resource.
    #[arg(long = "flock-timeout", default_value_t = 120)]
    flock_timeout: u64,
    /// Fail when the other handler does not end.
    #[arg(long = "flock-required")]
    pub(crate) flock_required: bool,
    /// Directory of the lock.
    #[arg(long = "lock-dir", default_value = "/run/lock/drbd")]
    pub(crate) lock_dir: PathBuf,
    /// The lock, or NONE.
    #[arg(long = "lock-file")]
    pub(crate) lock_file: Option<PathBuf>,
    /// Leave a constraint alone that forbids this node.
    #[arg(long = "unfence-only-if-owner-match")]
    pub(crate) only_if_owner: bool,
    /// A Primary that cannot fence its peer has itself shot.
    #[arg(long = "suicide-on-failure-if-primary")]
    pub(crate) suicide: bool,
    /// Take an unreachable peer for outdated; at a terminal only.
    #[arg(long = "unreachable-peer-is-outdated")]
    pub(crate) outdated: bool,
    /// Take a node for alive that the cluster has never seen.
    #[arg(long = "CTS-mode")]
    pub(crate) cts: bool,
    /// Say less.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Options {
    /// Reads them. Words that nobody knows are left out, and returned: a handler that refuses to run leaves the
    /// resource frozen.
    ///
    /// # Errors
    ///
    /// When an option has no value, or one that is none.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<(Self, Vec<String>), String> {
        let mut words: Vec<String> = words.collect();
        let mut ignored = Vec::new();
        loop {
            let program = std::iter::once("crm-fence-peer".to_owned());
            let error = match Options::try_parse_from(program.chain(words.iter().cloned())) {
                Ok(options) => return Ok((options, ignored)),
                Err(error) => error,
            };
            let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
                (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) => word.clone(),
                _ => return Err(error.to_string().trim_end().replace('\n', " ")),
            };
            let is_it = |word: &String| {
                *word == unknown
                    || word
                        .strip_prefix(&unknown)
                        .is_some_and(|rest| rest.starts_with('='))
            };
            let Some(at) = words.iter().position(is_it) else {
                return Err(format!("cannot make sense of {unknown}"));
            };
            ignored.push(words.remove(at));
        }
    }

    /// How long to wait until it is known what became of the peer.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// How long to wait for a designated coordinator.
    pub(crate) fn dc_timeout(&self) -> Duration {
        Duration::from_secs(self.dc_timeout)
    }

    /// How long to wait for the connection to come back.
    pub(crate) fn hiccup(&self) -> Duration {
        Duration::from_secs(self.hiccup)
    }

    /// How long to wait for another handler.
    pub(crate) fn flock_timeout(&self) -> Duration {
        Duration::from_secs(self.flock_timeout)
    }

    /// What ids of constraints for `resource` begin with. Several resources may share a clone.
    pub(crate) fn prefix_for(&self, resource: &str) -> String {
        if self.prefix.ends_with(&format!("-{resource}")) {
            self.prefix.clone()
        } else {
            format!("{}-{resource}", self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Options, Vec<String>), String> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_ways_of_writing_them() {
        let (options, ignored) =
            read("--timeout=30 --dc-timeout 40 -i ms -p fence-r0 --network-hickup 3").unwrap();
        assert_eq!(options.timeout(), Duration::from_secs(30));
        assert_eq!(options.dc_timeout(), Duration::from_secs(40));
        assert_eq!(options.hiccup(), Duration::from_secs(3));
        assert_eq!(options.clone.as_deref(), Some("ms"));
        assert_eq!(options.prefix_for("r0"), "fence-r0");
        assert_eq!(options.prefix_for("r1"), "fence-r0-r1");
        assert!(ignored.is_empty());
    }

    #[test]
    fn the_last_one_counts() {
        // The agent's arguments come behind those of drbd.conf.
        let (options, _) = read("--flock-timeout 5 --quiet --flock-timeout 0 --quiet").unwrap();
        assert_eq!(options.flock_timeout(), Duration::ZERO);
        assert!(options.quiet);
    }

    #[test]
    fn what_nobody_knows_is_left_out() {
        let (options, ignored) = read("--dance --timeout 7 --colour=blue stray --quiet").unwrap();
        assert_eq!(options.timeout(), Duration::from_secs(7));
        assert!(options.quiet);
        assert_eq!(ignored, ["--dance", "--colour=blue", "stray"]);
    }

    #[test]
    fn a_value_that_is_none_is_an_error() {
        for line in ["--timeout soon", "--timeout"] {
            let error = read(line).unwrap_err();
            assert!(error.contains("--timeout"), "{error}");
        }
    }
}
