// SPDX-License-Identifier: GPL-2.0-or-later
//! The conversation between the harness and the agent in the guest.
//!
//! One virtio-serial port carries everything, so each message is a frame with
//! a job number: several commands run at once and none of them can starve the
//! others. Frames begin with a magic word because either side may start
//! reading in the middle of a stream the other one's predecessor left behind.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// Changes whenever a frame or a request changes its meaning; the harness
/// refuses an agent that announces another number.
pub const VERSION: u32 = 2;

/// Name of the virtio-serial port, as found in `/sys/class/virtio-ports/*/name`.
pub const PORT_NAME: &str = "drbd.agent";

/// Largest payload of one frame, in bytes.
///
/// A frame must fit into one buffer of the guest's driver (32 KiB): then a
/// reset cannot leave half a frame in the stream, whose missing rest would
/// swallow the next greeting.
pub const PAYLOAD_MAX: usize = 16 * 1024;

/// Bytes of input the harness may send to one job before the agent has
/// acknowledged them: what a job that does not read its input can cost the
/// guest in memory.
pub const WINDOW_BYTES: u64 = 256 * 1024;

const MAGIC: [u8; 4] = *b"DrVm";
const HEADER_BYTES: usize = 16;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the guest: a [`Request`] as JSON; opens the job.
    Request,
    /// To the guest: input of the job (standard input, file content).
    Input,
    /// To the guest: no more input.
    InputEnd,
    /// To the guest: signal number, one byte, for the job's process group.
    Signal,
    /// From the guest: [`Ready`] as JSON; job number 0.
    Ready,
    /// From the guest: standard output or file content.
    Output,
    /// From the guest: standard error.
    ErrorOutput,
    /// From the guest: four bytes, big endian: bytes of input consumed.
    Ack,
    /// From the guest: [`Exit`] as JSON; closes the job.
    Exit,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Request,
        Kind::Input,
        Kind::InputEnd,
        Kind::Signal,
        Kind::Ready,
        Kind::Output,
        Kind::ErrorOutput,
        Kind::Ack,
        Kind::Exit,
    ];

    fn code(self) -> u8 {
        match self {
            Kind::Request => 1,
            Kind::Input => 2,
            Kind::InputEnd => 3,
            Kind::Signal => 4,
            Kind::Ready => 16,
            Kind::Output => 17,
            Kind::ErrorOutput => 18,
            Kind::Ack => 19,
            Kind::Exit => 20,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// The job it belongs to.
    pub job: u32,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// What the agent is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Run a program.
    Exec {
        /// Program and arguments; the program is looked up in PATH.
        argv: Vec<String>,
        /// Additions to the environment.
        env: BTreeMap<String, String>,
        /// Working directory; `/` if none.
        cwd: Option<String>,
        /// Whether [`Kind::Input`] frames follow; otherwise standard input is
        /// `/dev/null`.
        input: bool,
    },
    /// Write a file from the input that follows; directories are created, the
    /// file replaces an existing one in one step.
    Put {
        /// Absolute path in the guest.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// Send a file as output.
    Get {
        /// Absolute path in the guest.
        path: String,
    },
}

/// How a job ended.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct Exit {
    /// Exit status, if the program ended by itself (0 for a file copied).
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why the agent could not do it at all.
    pub error: Option<String>,
}

/// The agent's greeting, sent each time it starts.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct Ready {
    /// [`VERSION`] of the agent.
    pub version: u32,
    /// `uname -r`.
    pub kernel: String,
    /// Milliseconds since the guest's boot.
    pub uptime_ms: u64,
}

/// Writes one frame.
///
/// # Errors
///
/// Whatever the writer reports, and `InvalidInput` for a payload over
/// [`PAYLOAD_MAX`].
pub fn write_frame(
    writer: &mut impl Write,
    kind: Kind,
    job: u32,
    payload: &[u8],
) -> io::Result<()> {
    if payload.len() > PAYLOAD_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "frame too long",
        ));
    }
    let length = payload.len() as u32;
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&[kind.code(), 0, 0, 0]);
    frame.extend_from_slice(&job.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    writer.write_all(&frame)?;
    writer.flush()
}

/// Reads the next frame, skipping whatever is no frame.
///
/// # Errors
///
/// Whatever the reader reports; `UnexpectedEof` at the end of the stream.
pub fn read_frame(reader: &mut impl Read) -> io::Result<Frame> {
    let mut header = [0u8; HEADER_BYTES];
    reader.read_exact(&mut header)?;
    loop {
        if let Some((kind, job, length)) = parse_header(&header) {
            let mut payload = vec![0u8; length];
            reader.read_exact(&mut payload)?;
            return Ok(Frame { kind, job, payload });
        }
        // Slide by one byte until a header stands at the front again.
        header.copy_within(1.., 0);
        reader.read_exact(&mut header[HEADER_BYTES - 1..])?;
    }
}

fn parse_header(header: &[u8; HEADER_BYTES]) -> Option<(Kind, u32, usize)> {
    let [m0, m1, m2, m3, code, 0, 0, 0, j0, j1, j2, j3, l0, l1, l2, l3] = *header else {
        return None;
    };
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if [m0, m1, m2, m3] != MAGIC || length > PAYLOAD_MAX {
        return None;
    }
    Some((
        Kind::from_code(code)?,
        u32::from_be_bytes([j0, j1, j2, j3]),
        length,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went() {
        let mut stream = Vec::new();
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            write_frame(&mut stream, kind, i as u32, &vec![i as u8; i * 1000]).unwrap();
        }
        let mut reader = stream.as_slice();
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            let frame = read_frame(&mut reader).unwrap();
            assert_eq!((frame.kind, frame.job), (kind, i as u32));
            assert_eq!(frame.payload, vec![i as u8; i * 1000]);
        }
        assert_eq!(
            read_frame(&mut reader).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn rubbish_before_a_frame_is_skipped() {
        let mut stream = b"half a frame of an earlier life DrVmDrVm".to_vec();
        write_frame(&mut stream, Kind::Exit, 7, b"{}").unwrap();
        let frame = read_frame(&mut stream.as_slice()).unwrap();
        assert_eq!(
            (frame.kind, frame.job, frame.payload.as_slice()),
            (Kind::Exit, 7, &b"{}"[..])
        );
    }

    #[test]
    fn an_overlong_payload_is_refused() {
        let error =
            write_frame(&mut Vec::new(), Kind::Input, 1, &vec![0; PAYLOAD_MAX + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
