// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands of the family and what they need.

macro_rules! commands {
    ($(#[doc = $about:literal] $variant:ident = $number:literal $kind:ident;)+) => {
        /// A command of API version 2.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Command { $(#[doc = $about] $variant),+ }

        impl Command {
            /// Every command, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Number on the wire.
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number),+ }
            }

            /// The command with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// What it does, or what it tells.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about),+ }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),+ }
            }
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Do,
    Dump,
    Event,
}

commands! {
    /// Create a volume.
    NewMinor = 5 Do;
    /// Delete a volume.
    DelMinor = 6 Do;
    /// Create a resource.
    NewResource = 7 Do;
    /// Delete a resource.
    DelResource = 8 Do;
    /// Change resource options.
    ResourceOpts = 9 Do;
    /// Start to connect.
    Connect = 10 Do;
    /// Stop to connect.
    Disconnect = 11 Do;
    /// Attach a disk.
    Attach = 12 Do;
    /// Use a changed size of the backing device.
    Resize = 13 Do;
    /// Become Primary.
    Primary = 14 Do;
    /// Become Secondary.
    Secondary = 15 Do;
    /// Make a new current UUID.
    NewCUuid = 16 Do;
    /// Start an online verify.
    StartOv = 17 Do;
    /// Detach the disk.
    Detach = 18 Do;
    /// Take a peer's data.
    Invalidate = 19 Do;
    /// Give a peer our data.
    InvalPeer = 20 Do;
    /// Pause a resync.
    PauseSync = 21 Do;
    /// Resume a resync.
    ResumeSync = 22 Do;
    /// Suspend I/O.
    SuspendIo = 23 Do;
    /// Resume I/O.
    ResumeIo = 24 Do;
    /// Mark the disk as outdated.
    Outdate = 25 Do;
    /// Ask which time limit a wait should use.
    GetTimeoutType = 26 Do;
    /// Take everything of a resource down.
    Down = 27 Do;
    /// Change disk options.
    ChgDiskOpts = 28 Do;
    /// Change net options.
    ChgNetOpts = 29 Do;
    /// List resources.
    GetResources = 30 Dump;
    /// List devices.
    GetDevices = 31 Dump;
    /// List connections.
    GetConnections = 32 Dump;
    /// List peer devices.
    GetPeerDevices = 33 Dump;
    /// A resource changed.
    ResourceState = 34 Event;
    /// A device changed.
    DeviceState = 35 Event;
    /// A connection changed.
    ConnectionState = 36 Event;
    /// A peer device changed.
    PeerDeviceState = 37 Event;
    /// List everything as notifications.
    GetInitialState = 38 Dump;
    /// A helper program was called or ended.
    Helper = 40 Event;
    /// End of GET_INITIAL_STATE.
    InitialStateDone = 41 Event;
    /// Forget a peer's metadata slot.
    ForgetPeer = 42 Do;
    /// Change peer device options.
    ChgPeerDeviceOpts = 43 Do;
    /// Create a connection.
    NewPeer = 44 Do;
    /// Create a path.
    NewPath = 45 Do;
    /// Delete a connection.
    DelPeer = 46 Do;
    /// Delete a path.
    DelPath = 47 Do;
    /// A path changed.
    PathState = 48 Event;
    /// Rename a resource.
    RenameResource = 49 Do;
    /// List paths.
    GetPaths = 50 Dump;
}

impl Command {
    /// True for requests that are answered by a list.
    pub fn is_dump(self) -> bool {
        self.kind() == Kind::Dump
    }

    /// True for what only the kernel sends.
    pub fn is_event(self) -> bool {
        self.kind() == Kind::Event
    }

    /// True when the caller needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
    pub fn needs_privilege(self) -> bool {
        self.kind() == Kind::Do
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_gaps_are_gaps() {
        for command in Command::ALL {
            assert_eq!(Command::from_number(command.number()), Some(*command));
        }
        for gap in [0, 1, 2, 3, 4, 39, 51, 255] {
            assert_eq!(Command::from_number(gap), None);
        }
    }
}
