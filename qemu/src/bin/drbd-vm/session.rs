// SPDX-License-Identifier: GPL-2.0-or-later
//! Shells of a running pair, over a Unix socket.
//!
//! A client sends one line of JSON, then keys; it gets what the shell says,
//! and at the end, after a zero byte, the exit status as text. (Terminals
//! never send a zero byte; a command's output with one is cut short there.)

use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use drbd_qemu::{Node, Running};
use serde::{Deserialize, Serialize};

/// What a client wants.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wish {
    /// Name or number of the node.
    pub(crate) node: String,
    /// Script to run instead of an interactive shell.
    pub(crate) script: Option<String>,
    /// Rows of the terminal.
    pub(crate) rows: u16,
    /// Columns of the terminal.
    pub(crate) columns: u16,
}

/// A key's way through a busy guest.
const KEY_LIMIT: Duration = Duration::from_secs(10);

/// The socket of the pair called `name`, in a directory of this user alone.
pub(crate) fn socket(name: &str) -> Result<PathBuf> {
    let user = nix::unistd::getuid();
    let dir = std::env::temp_dir().join(format!("drbd-vm.{user}"));
    let _ = DirBuilder::new().mode(0o700).create(&dir);
    let found = fs::symlink_metadata(&dir).with_context(|| dir.display().to_string())?;
    if !found.is_dir() || found.uid() != user.as_raw() || found.mode() & 0o077 != 0 {
        bail!(
            "{}: not a directory of this user alone; remove it",
            dir.display()
        );
    }
    Ok(dir.join(format!("{name}.sock")))
}

/// Serves shells in `nodes` until the process ends.
pub(crate) fn serve(listener: UnixListener, nodes: Vec<Node>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let nodes = nodes.clone();
            thread::spawn(move || {
                if let Err(error) = one(&stream, &nodes) {
                    let _ = write!(&stream, "drbd-vm: {error:#}\r\n\0125");
                }
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
}

fn one(stream: &UnixStream, nodes: &[Node]) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let wish: Wish = serde_json::from_str(&line).context("request not understood")?;
    let node = find(nodes, &wish.node)?;
    let running = Arc::new(match &wish.script {
        Some(script) => node.spawn_with_input(&["bash", "-c", script])?,
        None => interactive(node, wish.rows, wish.columns)?,
    });

    let keyboard = Arc::clone(&running);
    let input = stream.try_clone()?;
    let rest = reader.buffer().to_vec();
    thread::spawn(move || {
        let mut buffer = vec![0u8; 4096];
        let mut source = rest.as_slice().chain(&input);
        while let Ok(length) = source.read(&mut buffer) {
            let keys = buffer.get(..length).unwrap_or_default();
            if length == 0 || keyboard.write(keys, KEY_LIMIT).is_err() {
                break;
            }
        }
        let _ = keyboard.end_input();
    });

    let mut out = stream;
    loop {
        let over = running.is_over();
        let (output, error_output) = running.take();
        let sent = out
            .write_all(&output)
            .and_then(|()| out.write_all(&error_output));
        if sent.is_err() {
            let _ = running.signal(nix::sys::signal::Signal::SIGHUP);
            return Ok(());
        }
        if over {
            break;
        }
        running.wait_more(Duration::from_secs(1));
    }
    let status = running.status(Duration::from_secs(1))?;
    write!(out, "\0{status}")?;
    Ok(())
}

/// The node called `word`, by name or number.
pub(crate) fn find<'a>(nodes: &'a [Node], word: &str) -> Result<&'a Node> {
    let numbered = || nodes.get(word.parse::<usize>().ok()?);
    let names = || nodes.iter().map(Node::name).collect::<Vec<_>>().join(", ");
    nodes
        .iter()
        .find(|node| node.name() == word)
        .or_else(numbered)
        .with_context(|| format!("no node {word}; there are {}", names()))
}

/// A shell on a terminal of its own.
pub(crate) fn interactive(node: &Node, rows: u16, columns: u16) -> Result<Running> {
    let shell = format!("stty rows {rows} cols {columns}; cd; exec bash -l");
    Ok(node.spawn_with_input(&["script", "-qefc", &shell, "/dev/null"])?)
}
