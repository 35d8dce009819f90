// SPDX-License-Identifier: GPL-2.0-or-later
//! The door of what decides, as the loop around it needs it; tests put something smaller behind it.

use crate::core::effect::Effect;
use crate::core::input::Input;
use crate::core::status::Status;
use crate::core::Core;

/// What decides.
pub trait Engine: Send + 'static {
    /// Takes what happened and says what to do.
    fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>);
    /// When it wants to be told the time.
    fn wake_at_ms(&self) -> u64;
    /// What it tells about itself.
    fn status(&self) -> Status;
}

impl Engine for Core {
    fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) {
        Core::step(self, now_ms, input, out);
    }

    fn wake_at_ms(&self) -> u64 {
        Core::wake_at_ms(self)
    }

    fn status(&self) -> Status {
        Core::status(self)
    }
}
