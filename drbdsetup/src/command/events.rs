// SPDX-License-Identifier: GPL-2.0-or-later
//! `events2`.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use drbd_core::genl::Command;
use drbd_netlink::{Client, Error, Event, EventStream};
use jiff::{tz::TimeZone, Timestamp};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

use super::{style, Asked};
use crate::render::{EventOptions, EventPrinter};
use crate::{exit, Failure};

/// Exit code when the module is unloaded while its events are shown.
const MODULE_UNLOADED: u8 = 21;

struct Output<'a> {
    out: &'a mut dyn Write,
    timestamps: bool,
}

impl Output<'_> {
    /// Prints the lines of one group, all with one time. False: nobody reads any more.
    fn lines(&mut self, lines: &[String]) -> Result<bool, Failure> {
        let stamp = if self.timestamps {
            timestamp()
        } else {
            String::new()
        };
        let text: String = lines
            .iter()
            .map(|line| format!("{stamp}{line}\n"))
            .collect();
        match self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
        {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::System(format!("writing the output: {error}"))),
        }
    }
}

/// `2026-11-23T05:49:51.676537+00:00 `, local time.
fn timestamp() -> String {
    let now = Timestamp::now().to_zoned(TimeZone::system());
    format!("{} ", now.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z"))
}

pub(super) fn events(
    client: &mut Client,
    asked: &Asked<'_>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let (now, polling) = (asked.switch("now"), asked.switch("poll"));
    let options = EventOptions {
        resource: asked.filter().map(str::to_owned),
        statistics: asked.switch("statistics"),
        full: asked.switch("full"),
        style: style(client),
    };
    let mut output = Output {
        out,
        timestamps: asked.switch("timestamps"),
    };
    // Join before the state is read: nothing that happens in between may be missed.
    let receive_buffer = asked.matches.get_one::<u32>("rcvbuf").copied();
    let mut stream = if now {
        None
    } else {
        Some(EventStream::open(client.family(), receive_buffer)?)
    };
    let mut printer = EventPrinter::new(options.clone());
    if !show_state(client, &mut printer, &mut output)? {
        return Ok(exit::OK);
    }
    let Some(stream) = &mut stream else {
        return if polling {
            poll_now(client, &options, &mut output)
        } else {
            Ok(exit::OK)
        };
    };
    follow(client, stream, &mut printer, &mut output, polling)
}

/// Prints the current state as `exists` lines.
fn show_state(
    client: &mut Client,
    printer: &mut EventPrinter,
    output: &mut Output<'_>,
) -> Result<bool, Failure> {
    for event in current(client)? {
        let lines = printer.feed(event);
        if !lines.is_empty() && !output.lines(&lines)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn current(client: &mut Client) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    for message in client.dump_all(Command::GetInitialState)? {
        events.extend(Event::decode(&message, 0)?);
    }
    Ok(events)
}

/// `--now --poll`: the state again for every `n`.
fn poll_now(
    client: &mut Client,
    options: &EventOptions,
    output: &mut Output<'_>,
) -> Result<u8, Failure> {
    for byte in io::stdin().lock().bytes() {
        match byte {
            Ok(b'n') => {
                if !show_state(client, &mut EventPrinter::new(options.clone()), output)? {
                    break;
                }
            }
            Ok(b'\n') => {}
            _ => break,
        }
    }
    Ok(exit::OK)
}

fn follow(
    client: &mut Client,
    stream: &mut EventStream,
    printer: &mut EventPrinter,
    output: &mut Output<'_>,
    polling: bool,
) -> Result<u8, Failure> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    loop {
        match stream.next(Duration::ZERO) {
            Ok(Some(event)) => {
                let lines = printer.feed(event);
                if !lines.is_empty() && !output.lines(&lines)? {
                    return Ok(exit::OK);
                }
                continue;
            }
            Ok(None) => {}
            // Notifications are gone for good: tell what is different from what was printed last.
            Err(Error::Overrun) => {
                let lines = printer.refresh(current(client)?);
                if !output.lines(&lines)? {
                    return Ok(exit::OK);
                }
                continue;
            }
            Err(Error::ModuleUnloaded) => {
                eprintln!("drbdsetup: the drbd module was unloaded\n  there are no more events\n  try: modprobe drbd");
                return Ok(MODULE_UNLOADED);
            }
            Err(error) => return Err(error.into()),
        }
        let mut fds = vec![
            PollFd::new(stream.as_fd(), PollFlags::POLLIN),
            // Only to notice that the reader is gone.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        if polling {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Failure::System(format!("waiting for events: {errno}"))),
        }
        let ready = |index: usize| {
            fds.get(index)
                .and_then(PollFd::revents)
                .is_some_and(|events| !events.is_empty())
        };
        if ready(1) {
            return Ok(exit::OK);
        }
        if ready(2) {
            let mut byte = [0];
            match io::stdin().lock().read(&mut byte) {
                Ok(1) if byte == *b"n" => {
                    let lines = printer.refresh(current(client)?);
                    if !lines.is_empty() && !output.lines(&lines)? {
                        return Ok(exit::OK);
                    }
                }
                Ok(1) if byte == *b"\n" => {}
                _ => return Ok(exit::OK),
            }
        }
    }
}
