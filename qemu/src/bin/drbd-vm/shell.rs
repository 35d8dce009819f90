// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbd-vm shell`: the other end of a pair's shells.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};

use crate::session::{socket, Wish};
use crate::terminal::{self, Raw, ESCAPE};

/// Ctrl-] leaves an interactive shell.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name of the pair.
    #[arg(long, default_value = "pair")]
    name: String,
    /// Name or number of the node.
    node: String,
    /// Script to run instead of an interactive shell; its status is ours.
    #[arg(last = true)]
    script: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = socket(&arguments.name)?;
    let stream = UnixStream::connect(&path).with_context(|| {
        format!(
            "no pair called {} runs ({}); start one: drbd-vm pair",
            arguments.name,
            path.display()
        )
    })?;
    let (rows, columns) = terminal::size();
    let script = arguments.script.clone();
    let interactive = script.is_none();
    let wish = Wish {
        node: arguments.node.clone(),
        script,
        rows,
        columns,
    };
    let mut line = serde_json::to_vec(&wish)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;

    let raw = if interactive { Raw::enter() } else { None };
    let keyboard = stream.try_clone()?;
    thread::spawn(move || keys(&keyboard, interactive));
    let status = screen(&stream);
    drop(raw);
    if interactive {
        println!();
    }
    Ok(ExitCode::from(status.unwrap_or(125)))
}

fn keys(stream: &UnixStream, interactive: bool) {
    let mut buffer = [0u8; 4096];
    while let Ok(length) = io::stdin().read(&mut buffer) {
        let keys = buffer.get(..length).unwrap_or_default();
        if interactive && keys.contains(&ESCAPE) {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        if length == 0 {
            break;
        }
        if (&*stream).write_all(keys).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// Shows what comes; the exit status behind the zero byte, if it came.
fn screen(mut stream: &UnixStream) -> Option<u8> {
    let mut buffer = [0u8; 16 * 1024];
    let mut status: Option<Vec<u8>> = None;
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let mut text = buffer.get(..length).unwrap_or_default();
        if let Some(digits) = status.as_mut() {
            digits.extend_from_slice(text);
            continue;
        }
        if let Some(at) = text.iter().position(|byte| *byte == 0) {
            status = Some(text.get(at + 1..).unwrap_or_default().to_vec());
            text = text.get(..at).unwrap_or_default();
        }
        let mut out = io::stdout().lock();
        out.write_all(text).and_then(|()| out.flush()).ok()?;
    }
    String::from_utf8(status?).ok()?.parse().ok()
}
