// SPDX-License-Identifier: GPL-2.0-or-later
//! The part of the configuration for services that both nodes have at the same time: two Primaries, the lock manager (DLM) and
//! GFS2, which needs it.
//!
//! A file system that two machines mount has to know when one of them is dead. DLM waits for the fencing of a node that it lost
//! before it gives that node's locks away, and GFS2 then replays the dead node's journal.

use std::fmt::Write as _;

use super::{actions_every, filesystem, pairs, primitive, service, GROUP};
use crate::config::DEVICE;

/// Id of the clone of the lock manager.
const LOCKS: &str = "c_dlm";

/// Id of the clone of the services.
pub(super) const SERVICES: &str = "c_services";

/// Type of the file system.
const KIND: &str = "gfs2";

/// Name of the cluster in `corosync.conf`, which GFS2 has in its superblock.
pub const CLUSTER: &str = "lab";

/// Constraints beside those of the resource.
pub(super) const LOCKS_FIRST: &str = r#"<rsc_colocation id="services-with-locks" rsc="c_services" with-rsc="c_dlm" score="INFINITY"/>
<rsc_order id="locks-before-services" first="c_dlm" then="c_services"/>
"#;

/// Where [`fence_agent`] lies.
pub const FENCE_AGENT: &str = "/usr/local/sbin/dlm_fence";

/// What a node needs before the lock manager starts. udev, which guests do not have, makes these links; they may be there
/// before what they point to is.
pub const PREPARE: &str = "mkdir -p /dev/misc
for name in dlm-control dlm-monitor dlm_plock; do ln -sf ../$name /dev/misc/$name; done";

/// `/etc/dlm/dlm.conf`.
///
/// The default, `dlm_stonith`, is to ask Pacemaker; in Debian 13 it looks for `libstonithd.so.26` of Pacemaker 2, which is not
/// there: every fencing would be taken for failed, and the file system would stand still for ever.
#[must_use]
pub fn dlm_conf() -> String {
    format!("fence_all {FENCE_AGENT}\n")
}

/// What asks Pacemaker in its place: whether the node was fenced since it failed, and to fence it if not.
#[must_use]
pub fn fence_agent(nodes: &[&str]) -> String {
    let mut names = String::new();
    for (name, id) in nodes.iter().zip(1..) {
        let _ = writeln!(names, "{id}) name={name} ;;");
    }
    format!(
        r#"#!/bin/bash
node= fail_time=0 name=
while IFS='=' read -r key value; do
    case $key in node|fail_time) printf -v "$key" %s "$value" ;; esac
done
case $node in
{names}esac
[ -n "$name" ] || {{ echo "dlm_fence: there is no node $node" >&2; exit 1; }}
since=0
[ "$fail_time" -gt 0 ] && since=$(($(date +%s) - fail_time))
exec stonith_admin --fence "$name" --tag dlm --timeout 60 --tolerance "${{since}}s" >>/run/dlm_fence.log 2>&1
"#
    )
}

/// The command that makes the file system, with a journal for each node.
#[must_use]
pub fn mkfs() -> String {
    format!("mkfs.gfs2 -O -q -p lock_dlm -t {CLUSTER}:data -j 2 -J 8 {DEVICE}")
}

/// The clones of the lock manager and of the services.
pub(super) fn services() -> String {
    let controld = primitive(
        "p_dlm",
        ["ocf", "pacemaker", "controld"],
        &[],
        &actions_every(60),
    );
    let meta = |id: &str| {
        let meta = [("interleave", "true"), ("clone-max", "2")];
        pairs("meta_attributes", &format!("{id}-m"), &meta)
    };
    format!(
        r#"<clone id="{LOCKS}">{}{controld}</clone><clone id="{SERVICES}">{}<group id="{GROUP}">{}{}</group></clone>"#,
        meta(LOCKS),
        meta(SERVICES),
        filesystem(KIND),
        service(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constraints_name_the_clones() {
        for id in [LOCKS, SERVICES] {
            assert!(LOCKS_FIRST.contains(&format!("\"{id}\"")), "{id}");
            assert!(services().contains(&format!("<clone id=\"{id}\">")), "{id}");
        }
    }

    #[test]
    fn nodes_are_numbered_as_in_corosync_conf() {
        let agent = fence_agent(&["alpha", "beta"]);
        assert!(
            agent.contains("1) name=alpha ;;\n2) name=beta ;;"),
            "{agent}"
        );
    }
}
