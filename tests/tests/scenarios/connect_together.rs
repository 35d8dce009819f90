// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes that are told to connect at the same moment do so at once, time
//! after time: crossed connections are resolved, not repeated.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup, Side};

const ROUNDS: u32 = 10;

/// Half of connect-int, after which a lost attempt would be repeated.
const LIMIT: Duration = Duration::from_secs(5);

#[test]
#[ignore = "full: every other scenario connects"]
fn connect_together() {
    scenario("connect_together", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_without_sync())?;
    let mut longest = Duration::ZERO;
    for round in 1..=ROUNDS {
        for side in cluster.sides() {
            side.drbdadm("disconnect")?;
        }
        for side in cluster.sides() {
            side.wait_connection("StandAlone")?;
        }
        let begin = Instant::now();
        std::thread::scope(|scope| -> Result<()> {
            let other = scope.spawn(|| connected(beta));
            connected(alpha)?;
            other.join().ok().context("the other thread")?
        })?;
        let took = begin.elapsed();
        longest = longest.max(took);
        ensure!(took < LIMIT, "round {round} took {took:.1?}");
    }
    println!("  {ROUNDS} times connected, the longest took {longest:.1?}");
    cluster.finish()
}

fn connected(side: &Side) -> Result<()> {
    side.drbdadm("connect")?;
    side.wait_healthy().map(drop)
}
