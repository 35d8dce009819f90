// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbd-vm pair`: two nodes for an administrator.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use drbd_qemu::{GuestFile, Kind, Lab, Node, NodeSpec, Running};

use crate::session;
use crate::terminal::{self, Raw, ESCAPE};

/// Boots two nodes with a resource r0 configured but not created, and opens a
/// shell in each. Ends with Ctrl-] q.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The second node has the distribution's driver.
    #[arg(long)]
    stock_peer: bool,
    /// Size in MiB of each node's /dev/vdb.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    disk: u64,
    /// Memory of each node in MiB.
    #[arg(long, default_value_t = 384, value_name = "MIB")]
    mem: u32,
    /// Name, for `drbd-vm shell --name`, when there is to be more than one pair.
    #[arg(long, default_value = "pair")]
    name: String,
}

const RESOURCE: &str = "# Written by drbd-vm.
resource r0 {
	device /dev/drbd0;
	disk /dev/vdb;
	meta-disk internal;
	on n0 { address 10.77.0.1:7789; }
	on n1 { address 10.77.0.2:7789; }
}
";

const GREETING: &str = "\
A resource r0 on /dev/vdb is configured on both. To bring it up, on both nodes:
    drbdadm create-md r0 && modprobe drbd && drbdadm up r0
on one node, to make its data the good ones:
    drbdadm primary --force r0 && mkfs.ext4 /dev/drbd0 && mount /dev/drbd0 /mnt
";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = session::socket(&arguments.name)?;
    if UnixStream::connect(&path).is_ok() {
        bail!(
            "a pair called {} is running; choose another --name",
            arguments.name
        );
    }
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;

    let begin = Instant::now();
    println!("Booting n0 and n1 ...");
    let mut lab = Lab::new(&arguments.name)?;
    let second = if arguments.stock_peer {
        Kind::Stock
    } else {
        Kind::Ours
    };
    for (name, kind) in [("n0", Kind::Ours), ("n1", second)] {
        let spec = NodeSpec::new(name, kind)
            .disk_mib(arguments.disk)
            .mem_mb(arguments.mem)
            .file(GuestFile::text(RESOURCE, "/etc/drbd.d/r0.res"));
        lab.add(spec)?;
    }
    lab.boot(Duration::from_secs(120))?;
    let accel = format!("{:?}", lab.accel()).to_uppercase();
    println!(
        "Ready after {:.1?} ({accel}).\n\n{GREETING}",
        begin.elapsed()
    );
    session::serve(listener, lab.nodes().to_vec());

    if terminal::is_interactive() {
        println!("Ctrl-] 0 and Ctrl-] 1 switch between the nodes, Ctrl-] q ends both.");
        println!("More shells, from another terminal:  drbd-vm shell n0 | n1\n");
        multiplex(lab.nodes())?;
    } else {
        println!("Shells:  drbd-vm shell n0 | n1   The end of the input, or Ctrl-C, ends both.");
        io::copy(&mut io::stdin(), &mut io::sink())?;
    }
    let _ = std::fs::remove_file(&path);
    match lab.check_consoles() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("drbd-vm: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A shell per node on one terminal; the one in front has the keyboard.
struct Front {
    shells: Mutex<Vec<Arc<Running>>>,
    number: AtomicUsize,
}

fn multiplex(nodes: &[Node]) -> Result<()> {
    let (rows, columns) = terminal::size();
    let open = |node: &Node| session::interactive(node, rows, columns).map(Arc::new);
    let shells = nodes.iter().map(open).collect::<Result<Vec<_>>>()?;
    let front = Arc::new(Front {
        shells: Mutex::new(shells),
        number: AtomicUsize::new(0),
    });
    let raw = Raw::enter();
    for (number, node) in nodes.iter().enumerate() {
        let (front, node) = (Arc::clone(&front), node.clone());
        thread::spawn(move || show(&front, number, &node, rows, columns));
    }
    keys(&front, nodes.len());
    drop(raw);
    println!();
    Ok(())
}

impl Front {
    fn shell(&self, number: usize) -> Option<Arc<Running>> {
        self.shells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(number)
            .cloned()
    }
}

/// Shows what the node's shell says while it is in front; keeps what it says
/// meanwhile in the harness's buffer. A shell that ends is replaced.
fn show(front: &Front, number: usize, node: &Node, rows: u16, columns: u16) {
    loop {
        let Some(shell) = front.shell(number) else {
            return;
        };
        if front.number.load(Ordering::Acquire) != number {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        let over = shell.is_over();
        let (output, error_output) = shell.take();
        let mut out = io::stdout().lock();
        let _ = out
            .write_all(&output)
            .and_then(|()| out.write_all(&error_output));
        let _ = out.flush();
        drop(out);
        if !over {
            shell.wait_more(Duration::from_millis(200));
            continue;
        }
        if !node.is_running() {
            print!("\r\n[{} is off; Ctrl-] q ends]\r\n", node.name());
            let _ = io::stdout().flush();
            return;
        }
        match session::interactive(node, rows, columns) {
            Ok(fresh) => {
                let mut shells = front.shells.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = shells.get_mut(number) {
                    *place = Arc::new(fresh);
                }
            }
            Err(_) => thread::sleep(Duration::from_secs(1)),
        }
    }
}

/// Passes keys on to the shell in front until Ctrl-] q.
fn keys(front: &Front, count: usize) {
    let mut escaped = false;
    let mut buffer = [0u8; 1024];
    while let Ok(length @ 1..) = io::stdin().read(&mut buffer) {
        let mut plain = Vec::new();
        for key in buffer.get(..length).unwrap_or_default().iter().copied() {
            match (escaped, key) {
                (false, ESCAPE) => escaped = true,
                (false, key) => plain.push(key),
                (true, b'q') => return,
                (true, digit @ b'0'..=b'9') if usize::from(digit - b'0') < count => {
                    front
                        .number
                        .store(usize::from(digit - b'0'), Ordering::Release);
                    print!("\r\n[n{}]\r\n", digit - b'0');
                    let _ = io::stdout().flush();
                    escaped = false;
                    // A new prompt shows where one is.
                    plain.push(b'\r');
                }
                (true, _) => escaped = false,
            }
        }
        let number = front.number.load(Ordering::Acquire);
        if let Some(shell) = front.shell(number).filter(|_| !plain.is_empty()) {
            let _ = shell.write(&plain, Duration::from_secs(10));
        }
    }
}
