// SPDX-License-Identifier: GPL-2.0-or-later
//! From decoded objects to what is printed. The shapes are those of drbdsetup 9 (drbd9-cli.md): others parse them.

mod details;
mod events;
mod generations;
mod generations_84;
mod show_84;
mod show_json;
mod show_text;
mod status_json;
mod status_text;
mod words;

pub use details::SyncDetails;
pub use events::{EventOptions, EventPrinter};
pub use generations::{explain_generations, generations};
pub use generations_84::{explain_generations_84, generations_84};
pub use show_84::show_84;
pub use show_json::show_json;
pub use show_text::show_text;
pub use status_json::status_json;
pub use status_text::{status_text, StatusOptions};
pub use words::{blocked, option_name, resync_suspended, suspended, yes_no};

/// Which release's output is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// The tools of generation 8.4, for a driver of that generation: without what only generation 9 has.
    Utils84,
    /// drbd-utils 9.22: without `open`, `tls`, `paths` and the newer options.
    Utils922,
    /// drbd-utils 9.34.
    #[default]
    Utils934,
}

impl Style {
    /// `DRBDSETUP_OUTPUT=9.22` asks for the older form: for programs that were written for it.
    pub fn from_environment() -> Self {
        match std::env::var("DRBDSETUP_OUTPUT").as_deref() {
            Ok("9.22") => Self::Utils922,
            _ => Self::Utils934,
        }
    }

    fn is_84(self) -> bool {
        self == Self::Utils84
    }

    fn is_new(self) -> bool {
        self == Self::Utils934
    }
}
