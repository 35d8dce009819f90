// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbdsetup events2`: one line per object and change.
//!
//! The printer keeps what it has printed and prints only what differs. A group of notifications is applied as a
//! whole before anything of it is printed, because `may_promote` and `promotion_score` are about all objects of
//! a resource together (drbd9-api.md section 7).

mod lines;
mod model;
mod promotion;

use drbd_core::genl::state::NotificationKind;
use drbd_netlink::{Event, EventObject};

use lines::Lines;
use model::Model;

use super::Style;

/// What `events2` shows.
#[derive(Clone, Debug, Default)]
pub struct EventOptions {
    /// Only this resource.
    pub resource: Option<String>,
    /// Figures.
    pub statistics: bool,
    /// Whole objects on every change.
    pub full: bool,
    /// Release.
    pub style: Style,
}

/// Turns notifications into lines.
pub struct EventPrinter {
    options: EventOptions,
    model: Model,
    group: Vec<Event>,
    next_sequence: Option<u32>,
}

impl EventPrinter {
    /// Knows nothing yet: feed the initial state first.
    pub fn new(options: EventOptions) -> Self {
        Self {
            options,
            model: Model::default(),
            group: Vec::new(),
            next_sequence: None,
        }
    }

    /// Takes a notification; returns the lines to print, without timestamps.
    pub fn feed(&mut self, event: Event) -> Vec<String> {
        let mut lines = Vec::new();
        if event.kind != NotificationKind::Exists {
            if let Some(expected) = self.next_sequence {
                let skipped = event.sequence.wrapping_sub(expected);
                if skipped != 0 {
                    lines.push(format!("- skipped {skipped}"));
                }
            }
            self.next_sequence = Some(event.sequence.wrapping_add(1));
        }
        if matches!(event.object, EventObject::InitialStateDone) {
            lines.push("exists -".into());
            return lines;
        }
        if !self.wanted(&event) {
            return lines;
        }
        let last = !event.continues;
        self.group.push(event);
        if last {
            let group = std::mem::take(&mut self.group);
            lines.extend(self.print_group(group));
        }
        lines
    }

    /// Takes the current state once more, after notifications were lost or on request: only differences are printed.
    pub fn refresh(&mut self, current: Vec<Event>) -> Vec<String> {
        self.group.clear();
        self.next_sequence = None;
        let current: Vec<_> = current
            .into_iter()
            .filter(|event| self.wanted(event))
            .collect();
        let gone = self.model.gone(&current);
        let mut lines = Vec::new();
        for mut events in by_resource(current) {
            for event in &mut events {
                event.kind = if self.model.knows(&event.object) {
                    NotificationKind::Change
                } else {
                    NotificationKind::Create
                };
            }
            lines.extend(self.print_changed(events));
        }
        for event in gone {
            lines.extend(self.print_group(vec![event]));
        }
        lines
    }

    fn wanted(&self, event: &Event) -> bool {
        let Some(wanted) = &self.options.resource else {
            return true;
        };
        match &event.object {
            EventObject::Resource { name, .. } => name == wanted,
            EventObject::Device { resource, .. }
            | EventObject::Connection { resource, .. }
            | EventObject::PeerDevice { resource, .. }
            | EventObject::Path { resource, .. }
            | EventObject::Helper { resource, .. } => resource == wanted,
            EventObject::InitialStateDone => true,
        }
    }

    fn print_group(&mut self, group: Vec<Event>) -> Vec<String> {
        let old = self.model.clone();
        for event in &group {
            self.model.apply(event);
        }
        Lines {
            old: &old,
            new: &self.model,
            options: &self.options,
            only_changed: false,
        }
        .of(&group)
    }

    fn print_changed(&mut self, group: Vec<Event>) -> Vec<String> {
        let old = self.model.clone();
        for event in &group {
            self.model.apply(event);
        }
        Lines {
            old: &old,
            new: &self.model,
            options: &self.options,
            only_changed: true,
        }
        .of(&group)
    }
}

/// Splits an initial state into its resources.
fn by_resource(events: Vec<Event>) -> Vec<Vec<Event>> {
    let mut groups: Vec<Vec<Event>> = Vec::new();
    for event in events {
        if matches!(event.object, EventObject::InitialStateDone) {
            continue;
        }
        match groups.last_mut() {
            Some(group) if !matches!(event.object, EventObject::Resource { .. }) => {
                group.push(event)
            }
            _ => groups.push(vec![event]),
        }
    }
    groups
}
