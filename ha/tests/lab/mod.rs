// SPDX-License-Identifier: GPL-2.0-or-later
//! Two daemons on the loopback device: real heartbeats, sockets and state, with agents, DRBD's tools and a power switch
//! played by scripts. Each node has a directory; what its services do is in `log`, what is active in files beside it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drbd_ha::daemon::protocol::{Answer, Report, Request};

/// Enough for the busiest machine.
const PATIENCE: Duration = Duration::from_secs(90);

const DUMMY: &str = r#"#!/bin/sh
node=$(cd "$(dirname "$0")/../../.." && pwd)
[ "$1" = monitor ] || echo "$OCF_RESOURCE_INSTANCE $1" >>"$node/log"
file="$node/active-$OCF_RESOURCE_INSTANCE"
case $1 in
start)
	[ -e "$node/refuse-start" ] && exit 1
	[ -e "$node/slow-start" ] && { sleep "$(cat "$node/slow-start")"; echo "$OCF_RESOURCE_INSTANCE started" >>"$node/log"; }
	: >"$file";;
stop) [ -e "$node/refuse-stop" ] && exit 1; rm -f "$file";;
monitor) [ -e "$file" ] || exit 7;;
*) exit 3;;
esac
"#;

/// The two role files are the wire between the nodes.
const DRBDADM: &str = r#"#!/bin/sh
node=$(cd "$(dirname "$0")/.." && pwd)
case $1 in
adjust) [ -e "$node/role" ] || echo Secondary >"$node/role";;
primary)
	grep -q Primary "$node/../$(cat "$node/peer")/role" 2>/dev/null && { echo "two primaries" >&2; exit 11; }
	echo "drbd promote" >>"$node/log"; echo Primary >"$node/role";;
secondary)
	ls "$node" | grep -q ^active- && { echo "in use" >&2; exit 11; }
	echo "drbd demote" >>"$node/log"; echo Secondary >"$node/role";;
get-gi) echo 00000000000000A1:0000000000000000:0:0:1:1:0:1:0:0:0;;
esac
"#;

const DRBDSETUP: &str = r#"#!/bin/sh
node=$(cd "$(dirname "$0")/.." && pwd)
[ "$1" = status ] || exit 1
[ -e "$node/role" ] || { echo "[]"; exit 0; }
peer=$(cat "$node/../$(cat "$node/peer")/role" 2>/dev/null)
state=Connected; disk=UpToDate
[ -n "$peer" ] || { state=Connecting; peer=Unknown; disk=DUnknown; }
echo '[{"name":"r0","role":"'$(cat "$node/role")'","devices":[{"disk-state":"UpToDate"}],"connections":[{"connection-state":"'$state'","peer-role":"'$peer'","peer_devices":[{"peer-disk-state":"'$disk'","out-of-sync":0}]}]}]'
"#;

/// Power off: the daemon is dead, and so is everything that ran.
const FENCE: &str = r#"#!/bin/sh
while IFS='=' read -r key value; do case $key in action|plug) eval "$key=\$value";; esac; done
node="$(dirname "$0")/$plug"
case $action in
off)
	echo "fenced" >>"$node/log"
	[ -e "$node/pid" ] && kill -9 "$(cat "$node/pid")" 2>/dev/null
	rm -f "$node"/active-* "$node/role"
	: >"$node/off";;
status) [ -e "$node/off" ] && exit 2;;
esac
exit 0
"#;

fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A port of that address that nobody uses.
fn free(host: u8) -> String {
    let socket = UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
    socket.local_addr().unwrap().to_string()
}

/// A cluster of two.
pub(crate) struct Lab {
    directory: tempfile::TempDir,
    pub(crate) nodes: [Node; 2],
}

/// One of its nodes.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) directory: PathBuf,
    pub(crate) links: [String; 2],
    config: PathBuf,
    child: Option<Child>,
}

impl Lab {
    /// Nothing runs yet.
    pub(crate) fn new() -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path();
        let config = top.join("ha.toml");
        let node = |name: &'static str, peer: &str, host: u8| {
            let place = top.join(name);
            script(&place.join("ocf/resource.d/test/Dummy"), DUMMY);
            script(&place.join("drbd/drbdadm"), DRBDADM);
            script(&place.join("drbd/drbdsetup"), DRBDSETUP);
            std::fs::write(place.join("peer"), peer).unwrap();
            Node {
                name,
                directory: place,
                links: [free(host), free(host)],
                config: config.clone(),
                child: None,
            }
        };
        let nodes = [node("n1", "n2", 1), node("n2", "n1", 2)];
        script(&top.join("fence_lab"), FENCE);
        let key = top.join("key");
        std::fs::write(&key, [7; 48]).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let lab = Lab { directory, nodes };
        std::fs::write(&config, lab.config("key")).unwrap();
        lab
    }

    /// The configuration with another key.
    pub(crate) fn config(&self, key: &str) -> String {
        let top = self.directory.path().display();
        let node = |node: &Node, id: u8| {
            let [one, two] = &node.links;
            format!(
                "[[node]]\nname = \"{}\"\nid = {id}\nlinks = [\"{one}\", \"{two}\"]\n",
                node.name
            )
        };
        format!(
            r#"
[cluster]
name = "lab"
keyfile = "{top}/{key}"
allow_unsafe = true
[timing]
keepalive = 250
warntime = 1500
deadtime = 5000
initdead = 10000
[watchdog]
device = "none"
[metrics]
listen = "none"
{}{}
[[fence_device]]
name = "switch"
agent = "{top}/fence_lab"
targets = {{ n1 = "n1", n2 = "n2" }}
timeout = 20
[fencing]
delay_priority = 1000
delay_random = 500
[[group]]
name = "db"
nodes = ["n1", "n2"]
priority = 10
[[group.resource]]
drbd = "r0"
monitor = 1
[[group.resource]]
ocf = "test:Dummy"
monitor = 1
"#,
            node(&self.nodes[0], 1),
            node(&self.nodes[1], 2)
        )
    }

    /// Writes another file of the cluster.
    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Starts both, and waits until the group runs on `n1` and nowhere else.
    pub(crate) fn start(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
        self.runs_on(0);
    }

    /// Waits until the group is active on that node only, and checks that it never is on both.
    pub(crate) fn runs_on(&self, at: usize) {
        wait(
            &format!("the group runs on {}", self.nodes[at].name),
            || {
                let active = self.nodes.each_ref().map(Node::is_active);
                assert!(
                    !(active[0] && active[1]),
                    "active on both nodes\n{}",
                    self.logs()
                );
                let there = self.nodes[at].is_active() && !self.nodes[1 - at].is_active();
                let primary = self.nodes[at].read("role").trim() == "Primary";
                if there && primary {
                    Ok(())
                } else {
                    Err(self.logs())
                }
            },
        );
    }

    /// Whether the power switch was used.
    pub(crate) fn fenced(&self) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|node| node.read("log").contains("fenced"))
    }

    /// What happened, for people.
    pub(crate) fn logs(&self) -> String {
        let logs = self.nodes.each_ref().map(|node| {
            let err = node.read("stderr");
            let tail: Vec<&str> = err.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            format!(
                "--- {}\n{}\n{}\n",
                node.name,
                node.read("log"),
                tail.join("\n")
            )
        });
        logs.concat()
    }
}

/// Waits until something is so.
pub(crate) fn wait(what: &str, mut is: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    loop {
        match is() {
            Ok(()) => return,
            Err(why) if begun.elapsed() > PATIENCE => panic!("not in time: {what}\n{why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl Node {
    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }

    pub(crate) fn set(&self, file: &str, text: &str) {
        std::fs::write(self.directory.join(file), text).unwrap();
    }

    pub(crate) fn use_config(&mut self, file: &str) {
        self.config = self.directory.join("..").join(file);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.directory.join("active-db.ocf-Dummy").exists()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("sock")
    }

    pub(crate) fn start(&mut self) {
        let _ = std::fs::remove_file(self.directory.join("off"));
        let mut log = std::fs::File::options();
        let log = log.create(true).append(true);
        let log = log.open(self.directory.join("stderr"));
        let child = Command::new(env!("CARGO_BIN_EXE_drbd-had"))
            .arg("--config")
            .arg(&self.config)
            .args([
                "--node",
                self.name,
                "--no-cgroups",
                "--on-self-fence",
                "exit",
            ])
            .arg("--socket")
            .arg(self.socket())
            .arg("--state-dir")
            .arg(self.directory.join("lib"))
            .arg("--run-dir")
            .arg(self.directory.join("run"))
            .arg("--ocf-root")
            .arg(self.directory.join("ocf"))
            .arg("--drbd-tools")
            .arg(self.directory.join("drbd"))
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        self.set("pid", &child.id().to_string());
        self.child = Some(child);
    }

    /// SIGKILL, as a crash.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its number may soon be somebody else's.
            let _ = std::fs::remove_file(self.directory.join("pid"));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; waits for the end.
    pub(crate) fn terminate(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().unwrap().code().unwrap_or(-1)
    }

    /// The power is gone: the daemon, and everything that ran.
    pub(crate) fn cut_power(&mut self) {
        self.kill();
        for entry in std::fs::read_dir(&self.directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("active-") || name == "role" {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    pub(crate) fn ask(&self, request: &Request) -> Option<Answer> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        stream.write_all(&line).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    pub(crate) fn report(&self) -> Option<Report> {
        match self.ask(&Request::Status)? {
            Answer::Status(report) => Some(*report),
            _ => None,
        }
    }

    /// Runs drbd-hactl; exit code, and what it said.
    pub(crate) fn hactl(&self, words: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_drbd-hactl"))
            .arg("--socket")
            .arg(self.socket())
            .args(words)
            .env("DRBD_RESOURCE", "r0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), said + &complained)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
