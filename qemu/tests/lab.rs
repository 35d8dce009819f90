// SPDX-License-Identifier: GPL-2.0-or-later
//! The harness with real guests. They need the image of `cargo xtask setup`
//! and some time, so they run on demand:
//! `cargo test -p drbd-qemu --test lab -- --ignored --test-threads=1`.

use std::time::{Duration, Instant};

use drbd_qemu::disk::Loss;
use drbd_qemu::switch::{Direction, Faults};
use drbd_qemu::{Disk, Error, GuestFile, Lab, NodeSpec, MIB};

const BOOT: Duration = Duration::from_secs(90);
const SHORT: Duration = Duration::from_secs(20);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
#[ignore = "boots virtual machines"]
fn commands_files_and_time_limits() {
    let mut lab = Lab::new("commands").unwrap();
    let greeting = GuestFile::text("good day\n", "/etc/greeting");
    let node = lab
        .add(NodeSpec::bare("solo").nics(2).disk_mib(8).file(greeting))
        .unwrap();
    assert!(
        matches!(node.sh("true"), Err(Error::Gone { .. })),
        "it is off"
    );
    lab.boot(BOOT).unwrap();

    assert_eq!(
        node.sh("hostname; cat /etc/greeting; nproc").unwrap(),
        "solo\ngood day\n2\n"
    );
    assert_eq!(
        node.sh("ip -4 -br a | awk '{print $3}'").unwrap(),
        "127.0.0.1/8\n10.77.0.1/24\n10.77.1.1/24\n"
    );
    let output = node.run("echo out; echo err >&2; exit 7", SHORT).unwrap();
    assert_eq!(
        (
            output.status,
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (7, "out\n", "err\n")
    );
    assert_eq!(node.run("kill -9 $$", SHORT).unwrap().status, 137);
    let error = node.sh("echo so far; false").unwrap_err().to_string();
    assert!(
        error.contains("solo") && error.contains("exit status 1") && error.contains("so far"),
        "{error}"
    );

    // A command that does not end is killed with all it started, and the
    // error shows what it said.
    let begin = Instant::now();
    let error = node
        .run("echo begun; sleep 77 & sleep 77", seconds(2))
        .unwrap_err();
    assert!(begin.elapsed() < seconds(15));
    assert!(
        matches!(error, Error::Timeout { .. }) && error.to_string().contains("begun"),
        "{error}"
    );
    assert_eq!(node.run("pgrep -x sleep", SHORT).unwrap().stdout, "");

    // Several at once; one that is stuck holds up nobody.
    let stuck = node.spawn("read -t 60 < <(sleep 60)").unwrap();
    let talker = node
        .spawn("for i in 1 2 3; do echo line $i; sleep 0.3; done; sleep 30")
        .unwrap();
    talker.wait_for("line 3", SHORT).unwrap();
    assert_eq!(node.sh("echo quick").unwrap(), "quick\n");
    assert!(!stuck.is_over() && !talker.is_over());
    assert!(talker.wait_for("line 4", seconds(1)).is_err());
    talker.kill().unwrap();
    assert_eq!(talker.wait(SHORT).unwrap().status, 137);
    stuck.kill().unwrap();

    // Files, larger than any buffer on the way, and input.
    let data: Vec<u8> = (0..3_000_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    node.put("/tmp/deep/er/data", &data).unwrap();
    assert!(node.get("/tmp/deep/er/data").unwrap() == data);
    node.put("/dev/vdb", &data).unwrap();
    assert!(node
        .sh("cmp -n 3000000 /dev/vdb /tmp/deep/er/data")
        .unwrap()
        .is_empty());
    assert!(node
        .get("/no/such")
        .unwrap_err()
        .to_string()
        .contains("/no/such"));
    let cat = node.spawn_with_input(&["cat"]).unwrap();
    cat.write(&data[..1_000_000], SHORT).unwrap();
    cat.end_input().unwrap();
    assert_eq!(
        cat.wait(SHORT).unwrap().stdout.len(),
        String::from_utf8_lossy(&data[..1_000_000]).len()
    );
    assert_eq!(
        node.sh("head -c 5000000 /dev/zero | tr '\\0' x")
            .unwrap()
            .len(),
        5_000_000
    );
    lab.check_consoles().unwrap();
}

#[test]
#[ignore = "boots virtual machines"]
fn power_cuts_resets_and_consoles() {
    let mut lab = Lab::new("power").unwrap();
    let spec = NodeSpec::bare("cutme")
        .disk_mib(16)
        .disk(Disk::new(16 * MIB).with_4k_blocks());
    let node = lab.add(spec).unwrap();
    assert!(lab.add(NodeSpec::bare("cutme")).is_err() && lab.add(NodeSpec::bare("a b")).is_err());
    lab.boot(BOOT).unwrap();
    assert_eq!(
        node.sh("blockdev --getss /dev/vdb /dev/vdc").unwrap(),
        "512\n4096\n"
    );
    node.sh("echo memory > /tmp/x; echo disk | dd of=/dev/vdb conv=fsync,notrunc")
        .unwrap();

    let forever = node.spawn("sleep 1000").unwrap();
    node.power_cut().unwrap();
    let error = forever.wait(SHORT).unwrap_err().to_string();
    assert!(error.contains("power was cut"), "{error}");
    assert!(!node.is_running() && node.sh("true").is_err() && node.power_cut().is_err());
    let content = std::fs::read(node.disk_file(0).unwrap()).unwrap();
    assert_eq!(&content[..5], b"disk\n");
    node.start_again(BOOT).unwrap();
    assert_eq!(
        node.sh("head -c 5 /dev/vdb; ls /tmp/x 2>&1 | grep -c 'No such'")
            .unwrap(),
        "disk\n1\n"
    );

    node.sh("echo memory > /tmp/x").unwrap();
    node.reset().unwrap();
    node.wait_ready(BOOT).unwrap();
    assert!(!node.run("test -e /tmp/x", SHORT).unwrap().success());
    lab.check_consoles().unwrap();

    // What the kernel reports is found, unless it is tolerated.
    let from = node.console_position();
    node.sh("echo '<4>WARNING: lab: a test' > /dev/kmsg")
        .unwrap();
    node.wait_console("lab: a test", from, SHORT).unwrap();
    let error = lab.check_consoles().unwrap_err().to_string();
    assert!(
        error.contains("cutme") && error.contains("lab: a test"),
        "{error}"
    );
    node.tolerate("this test's own", &["lab: a test"]);
    lab.check_consoles().unwrap();

    // A panic is noticed, and told with the console's end.
    let shot = node.spawn("echo c > /proc/sysrq-trigger").unwrap();
    node.wait_off(BOOT).unwrap();
    let error = shot.wait(SHORT).unwrap_err().to_string();
    assert!(error.contains("Kernel panic"), "{error}");
    assert!(lab
        .check_consoles()
        .unwrap_err()
        .to_string()
        .contains("sysrq"));
    node.start_again(BOOT).unwrap();
}

#[test]
#[ignore = "boots virtual machines"]
fn networks_with_faults() {
    let mut lab = Lab::new("network").unwrap();
    let a = lab.add(NodeSpec::bare("alpha")).unwrap();
    let b = lab.add(NodeSpec::bare("beta")).unwrap();
    let begin = Instant::now();
    lab.boot(BOOT).unwrap();
    println!("two nodes ready after {:?}", begin.elapsed());
    let reaches = |from: &drbd_qemu::Node, to: &str| {
        from.run(&format!("ping -c 1 -W 1 {to}"), SHORT)
            .unwrap()
            .success()
    };
    assert!(reaches(&a, "beta") && reaches(&b, "alpha"));

    a.port(0).unwrap().set(Direction::ToGuest, Faults::CUT);
    assert!(!reaches(&a, "beta"));
    a.port(0).unwrap().cut(false);
    assert!(reaches(&a, "beta"));

    let delay = Duration::from_millis(300);
    b.port(0).unwrap().set(
        Direction::FromGuest,
        Faults {
            delay,
            ..Faults::default()
        },
    );
    let time = a
        .sh("ping -c 1 -W 5 beta | sed -n 's/.*time=\\([0-9]*\\).*/\\1/p'")
        .unwrap();
    assert!(
        (300..2000).contains(&time.trim().parse::<u64>().unwrap()),
        "{time}"
    );
    lab.network(0).unwrap().heal();

    a.set_link(0, false).unwrap();
    a.sh("for i in $(seq 100); do grep -qx 0 /sys/class/net/eth0/carrier && exit; sleep 0.1; done; exit 1").unwrap();
    a.set_link(0, true).unwrap();
    a.sh("for i in $(seq 100); do grep -qx 1 /sys/class/net/eth0/carrier && exit; sleep 0.1; done; exit 1").unwrap();
    assert!(reaches(&a, "beta"));

    b.freeze().unwrap();
    assert!(!reaches(&a, "beta"));
    assert!(b.run("true", seconds(2)).is_err());
    b.thaw().unwrap();
    assert!(reaches(&a, "beta"));

    let before = a.port(0).unwrap().counters(Direction::FromGuest);
    b.sh("nc -l -p 5000 > /tmp/got & echo $! > /tmp/pid")
        .unwrap();
    a.sh("for i in $(seq 50); do head -c 2000000 /dev/zero | nc -N beta 5000 && exit; sleep 0.1; done; exit 1").unwrap();
    b.sh("for i in $(seq 100); do test $(stat -c %s /tmp/got) = 2000000 && exit; sleep 0.1; done; exit 1").unwrap();
    let after = a.port(0).unwrap().counters(Direction::FromGuest);
    assert!(
        (2_000_000..2_400_000).contains(&(after.bytes - before.bytes)),
        "{before:?} {after:?}"
    );

    // The far end comes back from a power cut on the same cable.
    b.power_cut().unwrap();
    assert!(!reaches(&a, "beta"));
    b.start_again(BOOT).unwrap();
    assert!(reaches(&a, "beta"));
    lab.check_consoles().unwrap();
}

#[test]
#[ignore = "boots virtual machines"]
fn a_volatile_cache_and_a_direct_cable() {
    let mut lab = Lab::exclusive("volatile", seconds(600)).unwrap();
    lab.join_directly(0).unwrap();
    let a = lab
        .add(NodeSpec::bare("alpha").disk(Disk::new(64 * MIB).volatile()))
        .unwrap();
    let b = lab.add(NodeSpec::bare("beta")).unwrap();
    lab.boot(BOOT).unwrap();
    a.sh("ping -c 2 -W 2 beta").unwrap();
    assert!(a.port(0).is_err() && b.served_disk(0).is_err());

    let disk = a.served_disk(0).unwrap();
    a.sh("echo flushed | dd of=/dev/vdb oflag=direct conv=sync,fsync,notrunc 2>&1")
        .unwrap();
    let flushed = disk.requests();
    assert!(flushed.writes > 0 && flushed.flushes > 0, "{flushed:?}");
    a.sh("echo lost | dd of=/dev/vdb oflag=direct conv=sync,notrunc seek=1 2>&1")
        .unwrap();
    assert_eq!(disk.dirty_bytes(), 512);
    assert_eq!(
        a.sh("dd if=/dev/vdb iflag=direct skip=1 count=1 | head -c 4")
            .unwrap(),
        "lost"
    );
    a.power_cut().unwrap();
    b.power_cut().unwrap();
    lab.boot(BOOT).unwrap();
    assert_eq!(
        a.sh("dd if=/dev/vdb count=1 | head -c 7").unwrap(),
        "flushed"
    );
    assert_eq!(
        a.sh("dd if=/dev/vdb skip=1 count=1 | tr -d '\\0'").unwrap(),
        ""
    );

    disk.set_loss(Loss::None);
    a.sh("echo kept | dd of=/dev/vdb oflag=direct conv=sync,notrunc seek=1 2>&1")
        .unwrap();
    disk.set_errors(true, true);
    assert!(!a
        .run("dd if=/dev/vdb of=/dev/null iflag=direct count=1", SHORT)
        .unwrap()
        .success());
    disk.set_errors(false, false);
    assert_eq!(
        a.sh("dd if=/dev/vdb iflag=direct skip=1 count=1 | head -c 4")
            .unwrap(),
        "kept"
    );
    lab.check_consoles().unwrap();
}

#[test]
#[ignore = "boots virtual machines"]
fn a_lab_leaves_nothing_behind() {
    let mut lab = Lab::new("tidy").unwrap();
    let node = lab.add(NodeSpec::bare("gone").disk_mib(8)).unwrap();
    lab.boot(BOOT).unwrap();
    let disk = node.disk_file(0).unwrap().to_owned();
    let console = lab.log_dir().join("gone.console");
    let processes = || {
        let mut count = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            count += usize::from(line.contains(&*disk.to_string_lossy()));
        }
        count
    };
    assert!(processes() == 1 && disk.exists());
    drop(lab);
    assert!(processes() == 0 && !disk.exists() && !disk.parent().unwrap().exists());
    assert!(std::fs::read_to_string(console)
        .unwrap()
        .contains("power cut"));
}
