// SPDX-License-Identifier: GPL-2.0-or-later
//! What a wrong peer on the port gets: its connection ends, the device stays
//! usable, and the real peer finds its way.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_qemu::switch::{Direction, Faults};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

/// Connects to the port and says all kinds of nonsense, with and without a
/// proper beginning. `hold` keeps the connection open without a word.
const NONSENSE: &str = r#"
import os, socket, struct, sys, time
peer = (sys.argv[1], 7789)
first = struct.pack('>IHH', 0x83740267, 0xfff2, 0)
features = struct.pack('>IHH', 0x83740267, 0xfffe, 72) + struct.pack('>IIII', 86, 0xf, 101, 0) + bytes(56)
h100 = lambda cmd, length, volume=0: struct.pack('>IHHII', 0x8620ec20, volume, cmd, length, 0)
says = [
    os.urandom(4096),                                  # garbage
    b'GET / HTTP/1.0\r\n\r\n',                         # somebody else's protocol
    first[:5],                                         # half a header
    struct.pack('>IHH', 0x83740267, 0x0000, 24),       # wrong first packet
    first + os.urandom(512),                           # garbage where the features should be
    first + struct.pack('>IHH', 0x83740267, 0xfffe, 0xffff),
    first + features[:40],                             # stops in mid-packet
    first + features + os.urandom(64),
    first + features + h100(0x0000, 0xffffffff),       # over-long
    first + features + h100(0x1234, 0),                # unknown
    first + features + h100(0x000b, 3) + b'abc',       # too short
    first + features + h100(0x000d, 56, 7) + bytes(56),
]
for round in range(2):
    for words in says:
        for attempt in range(40):
            try:
                s = socket.create_connection(peer, 2)
                break
            except OSError:
                time.sleep(0.1)
        else:
            print('nobody listens'); sys.exit(1)
        try:
            s.sendall(words)
            s.settimeout(0.3)
            s.recv(4096)
        except OSError:
            pass
        s.close()
held = []
for n in range(20):
    try:
        held.append(socket.create_connection(peer, 1))
    except OSError:
        break
time.sleep(1)
print('said everything')
"#;

#[test]
fn bad_peer() {
    scenario("bad_peer", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.create_md()?;
    beta.create_md()?;
    alpha.drbdadm("up")?;
    alpha.primary_force()?;
    alpha.mkfs_and_mount()?;
    let available = || -> Result<u64> {
        let text = alpha.sh(
            "sync; echo 3 > /proc/sys/vm/drop_caches; awk '/MemAvailable/{print $2}' /proc/meminfo",
        )?;
        Ok(text.trim().parse()?)
    };
    let before_kib = available()?;
    beta.node.put("/nonsense.py", NONSENSE.as_bytes())?;
    let target = alpha.node.ip(0);
    step("nonsense while nobody is connected", || {
        beta.sh(&format!("python3 /nonsense.py {target}"))
    })?;
    alpha.sh("echo fine > /mnt/fine && sync && cat /mnt/fine")?;
    ensure!(alpha.view()?.disk == "UpToDate", "{:?}", alpha.view()?);
    let lost_kib = before_kib.saturating_sub(available()?);
    ensure!(lost_kib < 16 * 1024, "{lost_kib} KiB of memory are gone");

    beta.drbdadm("up")?;
    step("the real peer connects", || {
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;

    // Bytes change on the way, and the checksums of TCP do not show it.
    let port = alpha.node.port(0)?;
    step(
        "corrupted bytes on an established connection",
        || -> Result<()> {
            let faults = Faults {
                corrupt_hidden_ppm: 20_000,
                ..Faults::default()
            };
            port.set(Direction::ToGuest, faults);
            // Reads and acknowledgements go that way; a wrong byte of data cannot be seen
            // without data-integrity-alg, a wrong header can.
            let _ = alpha.node.run(
            "for i in $(seq 60); do dd if=/dev/zero of=/mnt/x bs=4k count=4 conv=fsync 2>/dev/null; done",
            Duration::from_secs(120),
        )?;
            port.set(Direction::ToGuest, Faults::default());
            Ok(())
        },
    )?;
    step("and it comes back", || -> Result<()> {
        for side in cluster.sides() {
            if side.view()?.connection == "StandAlone" {
                side.drbdadm("connect")?;
            }
        }
        alpha.wait_healthy().context("after corruption")?;
        beta.wait_healthy().map(drop)
    })?;
    alpha.sh("echo still > /mnt/still && sync")?;
    alpha.umount()?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
