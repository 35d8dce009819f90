// SPDX-License-Identifier: GPL-2.0-or-later
//! Outputs against recordings of drbd-utils 9.22 and 9.34 with DRBD 9.3.3.
//!
//! Where the messages behind an output were recorded too, the output is made of them. For other states the
//! objects of one recording are set to what the recorded output says.

mod events;
mod recorded;
mod show;
mod status;
