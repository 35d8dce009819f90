// SPDX-License-Identifier: GPL-2.0-or-later
//! The rows: commands in an order in which each finds what it needs.

use super::{Driver, Tools};

/// A command.
pub(super) struct Row {
    /// What the table calls it.
    pub(super) name: &'static str,
    /// The command line.
    pub(super) command: &'static str,
    /// A condition that holds soon after it; looked at with our tools.
    pub(super) effect: &'static str,
    /// What is done before it with our tools, on the peer and here.
    pub(super) on_peer: &'static str,
    pub(super) before: &'static str,
    /// Where it cannot work.
    pub(super) lacking: &'static [Lack],
}

/// Tools that refuse a command.
pub(super) struct Lack {
    tools: Tools,
    /// With which drivers.
    drivers: &'static [Driver],
    /// Exit status.
    pub(super) status: i32,
    /// Why, for the table.
    pub(super) reason: &'static str,
}

impl Lack {
    pub(super) fn is_for(&self, tools: Tools, driver: Driver) -> bool {
        self.tools == tools && self.drivers.contains(&driver)
    }
}

const fn row(name: &'static str, command: &'static str, effect: &'static str) -> Row {
    Row {
        name,
        command,
        effect,
        on_peer: "",
        before: "",
        lacking: &[],
    }
}

const NO_JSON: &[Lack] = &[Lack {
    tools: Tools::Debian,
    drivers: &[Driver::OursAsOld, Driver::InTree],
    status: 1,
    reason: "no JSON in 8.4",
}];

/// Debian's drbdadm takes auto-promote for on when a file does not speak of it, and finds it off each time.
const AUTO_PROMOTE: &[Lack] = &[Lack {
    tools: Tools::Debian,
    drivers: &[Driver::Ours],
    status: 1,
    reason: "sets the resource options again: auto-promote is off in our module",
}];

/// What Debian's drbdadm 9.22 does not get right itself.
const OUTDATE: &[Lack] = &[Lack {
    tools: Tools::Debian,
    drivers: &[Driver::Ours],
    status: 20,
    reason: "drbdadm 9.22 names resource and minor to a command that takes a minor",
}];

const HEALTHY: &str = "drbdsetup status r0 --verbose | tr -s ' \\n' ' ' | grep -q ' disk:UpToDate.*connection:Connected.*replication:Established peer-disk:UpToDate'";
const STAND_ALONE: &str = "! drbdsetup status r0 --verbose | grep -q 'connection:Connect'";

/// Every command of the table.
pub(super) const ROWS: &[Row] = &[
    row("create-md", "drbdadm -- --force create-md r0", ""),
    row("dump-md", "drbdadm dump-md r0 | grep -q '^version \"v0'", ""),
    row("up", "drbdadm up r0", "drbdsetup status r0 --verbose | grep -q connection:Connected"),
    row("wait-connect", "drbdadm wait-connect r0", ""),
    row("primary --force", "drbdadm primary --force r0", "drbdsetup status r0 | grep -q role:Primary"),
    row("role", "drbdadm role r0 | grep -q '^Primary'", HEALTHY),
    row("cstate", "drbdadm cstate r0 | grep -qx Connected", ""),
    row("dstate", "drbdadm dstate r0 | grep -qx UpToDate/UpToDate", ""),
    row("status", "drbdadm status r0 | grep -q role:Primary", ""),
    Row {
        lacking: NO_JSON,
        ..row("drbdsetup status --json", "drbdsetup status --json r0 | grep -q '\"role\": \"Primary\"'", "")
    },
    row("events2 --now", "drbdsetup events2 --now r0 | grep -q '^exists device name:r0 volume:0 minor:0 '", ""),
    row("show", "drbdsetup show r0 | grep -q 'verify-alg.*crc32c'", ""),
    row("get-gi", "drbdadm get-gi r0 | grep -qE '^[0-9A-F]{16}:'", ""),
    row("show-gi", "drbdadm show-gi r0 | grep -q 'Bitmap.s base data generation UUID'", ""),
    row("dump", "drbdadm dump r0 | grep -q 'resource r0'", ""),
    Row {
        lacking: AUTO_PROMOTE,
        ..row(
            "adjust, nothing to do",
            "plan=$(drbdadm -d adjust r0); echo \"$plan\"; test -z \"$plan\" && drbdadm adjust r0",
            HEALTHY,
        )
    },
    row("disk-options", "drbdadm disk-options --al-extents=1001 r0", "drbdsetup show r0 | grep -q 'al-extents.*1001'"),
    row("net-options", "drbdadm net-options --ping-timeout=17 r0", "drbdsetup show r0 | grep -q 'ping-timeout.*17'"),
    row("resource-options", "drbdadm resource-options --on-no-data-accessible=suspend-io r0",
        "drbdsetup show r0 | grep -q 'on-no-data-accessible.*suspend-io'"),
    row("adjust, back to the file", "drbdadm adjust r0", "! drbdsetup show r0 | grep -qE '1001|17;|suspend-io'"),
    row("pause-sync", "drbdadm pause-sync r0", "drbdsetup status r0 | grep -q resync-suspended:user"),
    row("resume-sync", "drbdadm resume-sync r0", "! drbdsetup status r0 | grep -q resync-suspended:user"),
    row("suspend-io", "drbdadm suspend-io r0", "drbdsetup status r0 | grep -q suspended:user"),
    row("resume-io", "drbdadm resume-io r0", "! drbdsetup status r0 | grep -q suspended:user"),
    row("verify", "drbdadm verify r0", HEALTHY),
    row("invalidate-remote", "drbdadm invalidate-remote r0", HEALTHY),
    row("resize", "drbdadm resize r0", "test $(blockdev --getsize64 /dev/drbd0) -gt 30000000"),
    Row {
        before: "i=0; until drbdsetup status r0 --verbose | grep -q replication:Established; do sleep 0.2; i=$((i+1)); test $i -lt 300; done",
        ..row("secondary", "drbdadm secondary r0", "drbdsetup status r0 | grep -q '^r0 role:Secondary'")
    },
    row("primary", "drbdadm primary r0 && drbdadm secondary r0", ""),
    row("detach", "drbdadm detach r0", "drbdsetup status r0 | grep -q ' disk:Diskless'"),
    row("attach", "drbdadm attach r0", HEALTHY),
    row("invalidate", "drbdadm invalidate r0", HEALTHY),
    row("disconnect", "drbdadm disconnect r0", STAND_ALONE),
    Row {
        lacking: OUTDATE,
        ..row(
            "outdate",
            "drbdadm outdate r0",
            "drbdsetup status r0 | grep -q ' disk:Outdated'",
        )
    },
    Row {
        on_peer: "drbdadm connect r0 2>/dev/null; true",
        ..row("connect", "drbdadm connect r0", HEALTHY)
    },
    row("down", "drbdadm down r0", "! drbdsetup status | grep -q ^r0"),
    row("apply-al", "drbdadm apply-al r0", ""),
];
