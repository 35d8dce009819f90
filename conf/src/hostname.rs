// SPDX-License-Identifier: GPL-2.0-or-later
//! When two host names mean the same machine.

/// Whether a name in the configuration means the node `nodename`.
///
/// Letters compare without case. If either side has no domain, only the parts
/// before the first dot count (drbdadm.md section 5, "Local host").
#[must_use]
pub fn same_host(configured: &str, nodename: &str) -> bool {
    match (configured.split_once('.'), nodename.split_once('.')) {
        (Some(_), Some(_)) => configured.eq_ignore_ascii_case(nodename),
        (left, right) => {
            let left = left.map_or(configured, |(host, _)| host);
            let right = right.map_or(nodename, |(host, _)| host);
            left.eq_ignore_ascii_case(right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_count_only_when_both_have_one() {
        assert!(same_host("Alpha.example.com", "alpha"));
        assert!(same_host("alpha", "ALPHA.example.com"));
        assert!(same_host("alpha.a.b", "Alpha.A.B"));
        assert!(!same_host("alpha.a", "alpha.b"));
        assert!(!same_host("alpha", "bravo"));
    }
}
