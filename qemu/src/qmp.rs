// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's monitor.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qapi::qmp;

use crate::error::{Error, Result};

/// QEMU answers monitor commands at once unless its host is stuck.
const LIMIT: Duration = Duration::from_secs(20);

type Stream = qapi::Stream<BufReader<UnixStream>, UnixStream>;

/// One machine's monitor.
pub(crate) struct Monitor {
    node: String,
    qmp: qapi::Qmp<Stream>,
}

impl Monitor {
    /// Greets QEMU at the other end of `stream`.
    pub(crate) fn new(node: &str, stream: UnixStream) -> Result<Monitor> {
        let failed = |why: String| Error::Monitor {
            node: node.to_owned(),
            what: "greeting".to_owned(),
            why,
        };
        stream
            .set_read_timeout(Some(LIMIT))
            .map_err(|error| failed(error.to_string()))?;
        stream
            .set_write_timeout(Some(LIMIT))
            .map_err(|error| failed(error.to_string()))?;
        let reader = stream
            .try_clone()
            .map_err(|error| failed(error.to_string()))?;
        let mut qmp = qapi::Qmp::new(qapi::Stream::new(BufReader::new(reader), stream));
        qmp.handshake().map_err(|error| failed(error.to_string()))?;
        Ok(Monitor {
            node: node.to_owned(),
            qmp,
        })
    }

    /// Carries out one command.
    pub(crate) fn execute<C: qapi::Command>(&mut self, command: &C) -> Result<C::Ok> {
        self.qmp.execute(command).map_err(|error| Error::Monitor {
            node: self.node.clone(),
            what: C::NAME.to_owned(),
            why: error.to_string(),
        })
    }

    /// Stops or starts the virtual processors.
    pub(crate) fn set_running(&mut self, running: bool) -> Result<()> {
        if running {
            self.execute(&qmp::cont {}).map(drop)
        } else {
            self.execute(&qmp::stop {}).map(drop)
        }
    }

    /// Raises or drops the carrier of a network card.
    pub(crate) fn set_link(&mut self, device: &str, up: bool) -> Result<()> {
        self.execute(&qmp::set_link {
            name: device.to_owned(),
            up,
        })
        .map(drop)
    }
}
