// SPDX-License-Identifier: GPL-2.0-or-later
//! Our drbdmeta and the distribution's 9.22 read, write and convert each other's metadata and text.

use anyhow::{ensure, Result};
use drbd_tests::{scenario, Cluster, Setup, Side};

/// What both have in common: a file is as good as a device, nobody is asked, the text is without comments.
const FUNCTIONS: &str = r#"
set -eu
cd /root
theirs=/usr/lib/drbd-lab/stock/drbdmeta
ours=/usr/sbin/drbdmeta
fresh() { rm -f "$1"; truncate -s 64M "$1"; }
text() { "$1" --force - "$2" "$3" "$4" dump-md 2>/dev/null | grep -v '^#'; }
"#;

#[test]
fn drbdmeta_of_debian() {
    scenario("drbdmeta_of_debian", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let side = &cluster.alpha;
    for place in ["internal", "flex-external"] {
        for format in ["v08", "v09"] {
            for maker in ["ours", "theirs"] {
                texts_agree(side, format, place, maker)?;
            }
        }
        for (from, to) in [("v08", "v09"), ("v09", "v08")] {
            conversions_agree(side, from, to, place)?;
        }
    }
    Ok(cluster.lab.check_consoles()?)
}

/// Metadata that one of them made gives the same text with both, and each restores the other's.
fn texts_agree(side: &Side, format: &str, place: &str, maker: &str) -> Result<()> {
    let peers = if format == "v09" { "3" } else { "" };
    // 9.22 prints no flags of v08: what it prints cannot be compared, and only ours restores them.
    let without_flags = if format == "v08" {
        "| grep -v flags"
    } else {
        ""
    };
    let told = side.sh(&format!(
        "{FUNCTIONS}
        fresh md; ${maker} --force - {format} md {place} create-md {peers} >/dev/null 2>&1
        text $ours {format} md {place} >text-of-ours
        text $theirs {format} md {place} >text-of-theirs
        cat text-of-ours {without_flags} >1; cat text-of-theirs {without_flags} >2; diff 1 2
        test $(wc -l <1) -gt 10
        for restorer in $ours $theirs; do
            fresh again
            $restorer --force - {format} again {place} restore-md text-of-ours </dev/null >/dev/null 2>&1
            text $theirs {format} again {place} >1
            diff text-of-theirs 1
        done
        echo the same"
    ))?;
    ensure!(
        told.trim() == "the same",
        "{format} {place} {maker}: {told}"
    );
    Ok(())
}

/// Both convert a superblock with data generations to the same one.
fn conversions_agree(side: &Side, from: &str, to: &str, place: &str) -> Result<()> {
    let peers = |format| if format == "v09" { "1" } else { "" };
    let peer = if from == "v09" { "--node-id 0" } else { "" };
    let generations = "1111111111111110:2222222222222222:3333333333333330:4444444444444440";
    let told = side.sh(&format!(
        "{FUNCTIONS}
        fresh md; $theirs --force - {from} md {place} create-md {} >/dev/null 2>&1
        $theirs --force - {from} md {place} {peer} set-gi {generations}:1:1 >/dev/null 2>&1
        cp md md2
        $theirs --force - {to} md {place} create-md {peers} >/dev/null 2>&1
        $ours --force - {to} md2 {place} create-md {peers} >/dev/null 2>&1
        text $theirs {to} md {place} >1; text $theirs {to} md2 {place} >2
        diff 1 2; grep -q 1111111111111110 1
        echo the same",
        peers(from),
        peers = peers(to)
    ))?;
    ensure!(told.trim() == "the same", "{from} to {to} {place}: {told}");
    Ok(())
}
