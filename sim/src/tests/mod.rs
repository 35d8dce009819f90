// SPDX-License-Identifier: GPL-2.0-or-later
//! Stories told by hand, and short random ones whose seeds keep their meaning.
//!
//! A failing seed is replayed with `ENGINE_SEED=n`, and told step by step with `ENGINE_TRACE=1`.

mod crashes;
mod disks;
mod hang;
mod random;
mod refused;
mod resyncs;
mod roles;
mod sizes;
mod told;
mod world;
mod writes;
