// SPDX-License-Identifier: GPL-2.0-or-later
//! In which version of drbd an option came (drbdadm.md section 6).
//!
//! What is not listed was there before 8.4.

/// Name of an option, where it came first: a driver's version, or that of the
/// tools where only theirs is known.
const SINCE: &[(&str, &str)] = &[
    ("al-updates", "DRBD 8.4"),
    ("allow-remote-read", "DRBD 9.0.19"),
    ("auto-promote", "DRBD 9.0.0"),
    ("auto-promote-timeout", "DRBD 9"),
    ("bitmap", "DRBD 9"),
    ("block-size", "drbd-utils 9.24"),
    ("csums-after-crash-only", "DRBD 8.4.5"),
    ("disable-write-same", "DRBD 8.4.7"),
    ("discard-granularity", "drbd-utils 9.34"),
    ("discard-zeroes-if-aligned", "DRBD 8.4.7"),
    ("diskless", "DRBD 9"),
    ("drbd8-api-compatibility", "drbd-utils 9.33"),
    ("load-balance-paths", "drbd-utils 9.26"),
    ("max-bio-size", "DRBD 9"),
    ("max-io-depth", "DRBD 9"),
    ("on-no-quorum", "DRBD 9.0.8"),
    ("on-suspended-primary-outdated", "DRBD 9.1.7"),
    ("peer-ack-delay", "DRBD 9.0.0"),
    ("peer-ack-window", "DRBD 9.0.0"),
    ("peer-tiebreaker", "drbd-utils 9.34"),
    ("quorum", "DRBD 9.0.7"),
    ("quorum-minimum-redundancy", "DRBD 9.0.10"),
    ("rdma-ctrl-rcvbuf-size", "drbd-utils 9.26"),
    ("rdma-ctrl-sndbuf-size", "drbd-utils 9.26"),
    ("read-balancing", "DRBD 8.4.1"),
    ("resync-without-replication", "DRBD 9.3"),
    ("rs-discard-granularity", "DRBD 8.4.7"),
    ("socket-check-timeout", "DRBD 8.4.5"),
    ("tls", "DRBD 9"),
    ("tls-certificate", "DRBD 9"),
    ("tls-keyring", "DRBD 9"),
    ("tls-privkey", "DRBD 9"),
    ("transport", "DRBD 9"),
    ("twopc-retry-timeout", "DRBD 9"),
    ("twopc-timeout", "DRBD 9"),
    ("disconnected", "DRBD 9"),
    ("quorum-lost", "DRBD 9"),
];

/// Where an option came first, if that was 8.4 or later: `DRBD 9.0.7`.
#[must_use]
pub fn since(name: &str) -> Option<&'static str> {
    SINCE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, version)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{find, options, Scope};
    use crate::Dialect;

    const ALL: &[Scope] = &[
        Scope::Resource,
        Scope::Disk,
        Scope::PeerDevice,
        Scope::Device,
        Scope::Net,
        Scope::Handlers,
    ];

    #[test]
    fn every_name_is_an_option() {
        for (name, _) in SINCE {
            assert!(find(ALL, name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_8_4_lacks_says_when_it_came() {
        for spec in ALL.iter().flat_map(|scope| options(*scope)) {
            let nine = since(spec.name)
                .is_some_and(|v| v.starts_with("DRBD 9") || v.starts_with("drbd-utils"));
            let lacking = !spec.is_in(Dialect::V84) && !spec.name.starts_with('_');
            assert_eq!(nine, lacking, "{}", spec.name);
        }
    }
}
