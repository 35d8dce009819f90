// SPDX-License-Identifier: GPL-2.0-or-later
//! The cable breaks under load, whole and one way, and heals: the writer goes
//! on each time, the nodes find each other again, and the disks are equal at
//! the end.

use std::time::Duration;

use anyhow::Result;
use drbd_qemu::switch::{Direction, Faults};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Load, Setup, Writer};

#[test]
#[ignore = "full: reconnect_resyncs_only_changed_blocks breaks connections too"]
fn link_down_under_load() {
    let setup = Setup::default().net("ping-int 2").net("timeout 30");
    scenario("link_down_under_load", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.mkfs_and_mount()?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    let load = Load::start(alpha, 16, 8)?;
    writer.wait_more(20, Duration::from_secs(60))?;

    let port = beta.node.port(0)?;
    let breaks = [
        ("cut", Faults::CUT, Faults::CUT),
        ("cut towards beta", Faults::default(), Faults::CUT),
        ("cut from beta", Faults::CUT, Faults::default()),
    ];
    for (what, from_beta, to_beta) in breaks {
        port.set(Direction::FromGuest, from_beta);
        port.set(Direction::ToGuest, to_beta);
        step(what, || {
            alpha.wait("the loss of beta", Duration::from_secs(40), |view| {
                view.connection != "Connected"
            })?;
            writer.wait_more(20, Duration::from_secs(60))
        })?;
        port.cut(false);
        step("healed", || {
            beta.wait_healthy()?;
            alpha.wait_healthy()?;
            writer.wait_more(20, Duration::from_secs(60))
        })?;
    }
    // A cable that loses, damages and delays is TCP's business, not ours.
    let bad = Faults {
        delay: Duration::from_millis(5),
        drop_ppm: 5_000,
        corrupt_ppm: 2_000,
        ..Faults::default()
    };
    port.set_both(bad);
    step("a bad cable", || {
        writer.wait_more(40, Duration::from_secs(90))
    })?;
    port.cut(false);
    step("healed", || {
        beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;

    load.stop()?;
    let acknowledged = writer.stop()?;
    cluster.hand_over(acknowledged)?;
    cluster.finish()
}
