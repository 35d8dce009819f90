// SPDX-License-Identifier: GPL-2.0-or-later
//! The versions and stages that packets are tried in.

use drbd_core::wire::{Dialect, Features, Stage};

pub(crate) const STAGES: [Stage; 6] = [
    Stage::First,
    Stage::Features,
    Stage::AuthChallenge,
    Stage::AuthResponse,
    Stage::Data,
    Stage::Meta,
];

pub(crate) fn dialect(version: u8) -> Dialect {
    Dialect::new(version, Features::ALL).unwrap()
}
