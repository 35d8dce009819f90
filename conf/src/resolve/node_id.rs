// SPDX-License-Identifier: GPL-2.0-or-later
//! Node ids that the text leaves out.
//!
//! Two hosts without node ids get 0 and 1 so that both of them, and the
//! reference implementation, come to the same numbers.

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::model::{Host, Resource};

/// The start value of the checksum that puts two hosts in order.
const SEED: u32 = 0x1a65_6f21;

/// Fills in node ids, or reports that they are missing.
pub(super) fn complete(resource: &mut Resource, diagnostics: &mut Diagnostics) {
    let implied = matches!(resource.connections.as_slice(), [only] if only.derived)
        && resource.meshes.is_empty();
    let none_given = resource.hosts.iter().all(|host| host.node_id.is_none());
    if let [left, right] = resource.hosts.as_mut_slice() {
        if implied && none_given && left.address.is_some() && right.address.is_some() {
            match left_is_first(left, right) {
                Some(first) => {
                    left.node_id = Some(u32::from(!first));
                    right.node_id = Some(u32::from(first));
                }
                None => diagnostics.push(Diagnostic {
                    severity: Severity::NoNodeIds,
                    ..Diagnostic::error(
                        right.span,
                        "both hosts have the same address, so no node ids can be derived from them",
                    )
                    .see(left.span, "the other host")
                    .help("correct the address, or give each host a `node-id`")
                }),
            }
            return;
        }
    }
    for host in &resource.hosts {
        if host.node_id.is_none() {
            diagnostics.push(
                Diagnostic::error(
                    host.span,
                    format!(
                        "resource {}, `{}`: `node-id` is missing",
                        resource.name,
                        host.title()
                    ),
                )
                .help("add `node-id N;`, another number from 0 to 31 for each host"),
            );
        }
    }
}

/// Whether the left host gets node id 0; `None` if nothing tells them apart.
fn left_is_first(left: &Host, right: &Host) -> Option<bool> {
    let address = |host: &Host| host.address.as_ref().map(|a| hash(&a.host));
    let outside = |host: &Host| {
        let proxy = host.proxy.as_ref()?;
        proxy.outside.as_ref().map(|a| hash(&a.host))
    };
    let (mut a, mut b) = (address(left)?, address(right)?);
    if a == b {
        a = outside(left)?;
        b = outside(right)?;
    }
    (a != b).then_some(a > b)
}

/// CRC-32C without the usual inversions, compared as a signed number.
fn hash(text: &str) -> i32 {
    let crc = drbd_core::meta::crc32c::crc32c(SEED, text.as_bytes());
    i32::from_ne_bytes(crc.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn orders_addresses_as_the_reference_was_seen_to() {
        // (gets 0, gets 1), from recorded dry runs.
        for (first, second) in [
            ("10.1.1.31", "10.1.1.32"),
            ("192.168.42.2", "192.168.42.1"),
            ("172.16.0.2", "172.16.0.1"),
            ("10.2.0.2", "10.2.0.1"),
            ("fd00:0:0:1::a", "fd00:0:0:1::b"),
            ("10.9.0.2", "10.9.0.1"),
            ("10.7.0.1", "10.7.0.2"),
            ("203.0.113.1", "198.51.100.1"),
        ] {
            assert!(hash(first) > hash(second), "{first} {second}");
        }
    }
}
