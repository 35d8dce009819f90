// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of the two command lines is spoken.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use drbd_netlink::{driver_version, Api};

use super::{CommandSpec, COMMANDS, COMMANDS_84};

/// Generation of the driver that is configured, and with it of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 8.4: volumes go by their minor, connections by their addresses.
    V84,
    /// 9: connections go by the peer's node id.
    V9,
}

impl Generation {
    /// That of the driver in place; called as `drbdsetup-84`, always 8.4 (control-plane.md section 7).
    pub fn of_call(program: Option<&OsStr>) -> Self {
        let named_84 = program
            .and_then(|program| Path::new(program).file_name())
            .is_some_and(|name| name.to_string_lossy().ends_with("-84"));
        if named_84 || driver_version().is_some_and(|version| version.major < 9) {
            Self::V84
        } else {
            Self::V9
        }
    }

    /// Every command.
    pub fn commands(self) -> &'static [CommandSpec] {
        match self {
            Self::V84 => COMMANDS_84,
            Self::V9 => COMMANDS,
        }
    }

    /// The interface that a driver of this generation has.
    pub fn api(self) -> Api {
        match self {
            Self::V84 => Api::V1,
            Self::V9 => Api::V2,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V84 => "8.4",
            Self::V9 => "9",
        })
    }
}
