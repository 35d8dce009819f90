// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether two sets of options mean the same.

use drbd_conf::running::Pair;
use drbd_conf::schema::{self, Scope};
use drbd_conf::value;

use crate::driver;

/// Whether the wanted options (`--name=value`) mean something else than the
/// running ones. What is missing on either side counts as the default; what the
/// table does not know is left alone.
pub(super) fn differ(scopes: &[Scope], wanted: &[String], running: &[Pair]) -> bool {
    let wanted: Vec<(&str, &str)> = wanted.iter().filter_map(|option| split(option)).collect();
    // Our module shows as set what it cannot do in the usual way.
    let own_module = driver::version().is_some_and(driver::Version::is_own);
    let differs = |name: &str| {
        let ours = wanted.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        let theirs = running
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str());
        let Some(spec) = schema::find_in(driver::dialect(), scopes, name) else {
            return false;
        };
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                let (a, b) = (
                    value::check(&spec, Some(ours)),
                    value::check(&spec, Some(theirs)),
                );
                match (a, b) {
                    (Ok(a), Ok(b)) => a != b,
                    _ => ours != theirs,
                }
            }
            (Some(ours), None) => !value::is_default(&spec, ours),
            (None, Some(theirs)) => {
                let module_default = own_module && value::is_module_default(&spec, theirs);
                !module_default && !value::is_default(&spec, theirs)
            }
            (None, None) => false,
        }
    };
    wanted.iter().any(|(name, _)| differs(name)) || running.iter().any(|(name, _)| differs(name))
}

/// `--name=value` in its two parts; a bare `--name` means yes.
fn split(option: &str) -> Option<(&str, &str)> {
    let option = option.strip_prefix("--")?;
    Some(option.split_once('=').unwrap_or((option, "yes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(wanted: &[&str], running: &[(&str, &str)]) -> bool {
        let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
        let running: Vec<Pair> = running
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        differ(&[Scope::Net], &wanted, &running)
    }

    #[test]
    fn meaning_counts_not_spelling() {
        assert!(!net(&["--sndbuf-size=10M"], &[("sndbuf-size", "10240k")]));
        assert!(net(&["--sndbuf-size=10M"], &[("sndbuf-size", "10241k")]));
        assert!(!net(&["--protocol=C", "--use-rle=yes"], &[]));
        assert!(!net(&[], &[("timeout", "60")]));
        assert!(net(&[], &[("timeout", "61")]));
        assert!(net(&["--cram-hmac-alg=sha1"], &[]));
        assert!(!net(&["--what-is-this=1"], &[("another", "2")]));
    }
}
