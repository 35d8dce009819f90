// SPDX-License-Identifier: GPL-2.0-or-later
//! What the calls of one process share.

use drbd_core::genl::{Command, RetCode};
use drbd_netlink::{load_module, Client, Device, Error};

use crate::cli::{self, Generation};
use crate::Failure;

/// The socket to the kernel and the definition of the command line, kept from one call to the next: each takes longer to
/// make than a call takes.
#[derive(Default)]
pub struct Session {
    client: Option<Client>,
    program: Option<(Generation, clap::Command)>,
}

impl Session {
    /// The client of the call before if it still reaches the module, else a new one; loads the module if need be.
    pub(crate) fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = self.kept() {
            return Ok(client);
        }
        match Client::open() {
            Err(Error::NoFamily) => {
                load_module().map_err(|error| Failure::NoModule(error.to_string()))?;
                Ok(Client::open()?)
            }
            result => Ok(result?),
        }
    }

    /// The definition of a generation's command line.
    pub(crate) fn program(&mut self, generation: Generation) -> &mut clap::Command {
        // The module may have been replaced by one of the other generation.
        self.program.take_if(|(made, _)| *made != generation);
        let made = || (generation, cli::program_of(generation));
        &mut self.program.get_or_insert_with(made).1
    }

    fn kept(&mut self) -> Option<Client> {
        let mut client = self.client.take()?;
        client.is_current().then_some(client)
    }

    /// Keeps a client for the next call. One that failed is not worth it: an answer may still be on its way.
    pub(crate) fn keep(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// State of a minor's own disk, as `dstate` prints it; `None` if the kernel does not have the minor or cannot
    /// be asked. Loads no module: without one nothing is attached.
    pub fn disk_state(&mut self, minor: u32) -> Option<&'static str> {
        let mut client = self.kept().or_else(|| Client::open().ok())?;
        let devices = client.dump_all(Command::GetDevices).ok()?;
        self.keep(client);
        devices
            .iter()
            .filter(|message| message.header.code() == RetCode::NO_ERROR)
            .filter_map(|message| Device::decode(message).ok())
            .find(|device| device.minor == minor)
            .map(|device| device.info.disk_state.name())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use drbd_netlink::recording::{Recording, ReplayKernel};

    use super::*;

    #[test]
    fn a_client_is_kept_from_call_to_call() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/drbd9/nl");
        let mut family = Recording::read(&folder.join("00-family-and-empty-dump.txt"));
        family.messages.truncate(2);
        let dumps = Recording::read(&folder.join("39-dumps.txt"));
        let kernel = ReplayKernel::new(&[family, dumps]);
        let mut session = Session::default();
        session.keep(Client::over(Box::new(kernel)).unwrap());
        // There is no other kernel to ask here.
        assert_eq!(session.disk_state(0), Some("UpToDate"));
        assert_eq!(session.disk_state(7), None);
        assert_eq!(session.disk_state(0), Some("UpToDate"));
        assert!(session.client().is_ok());
    }
}
