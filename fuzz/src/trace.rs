// SPDX-License-Identifier: GPL-2.0-or-later
//! What a target saw while it worked on an input.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Facts about one run, each reduced to a number.
#[derive(Debug, Default)]
pub struct Trace {
    seen: Vec<u64>,
}

/// More facts of one input say nothing new.
const FACTS_MAX: usize = 256;

impl Trace {
    /// Notes a fact. Keep it coarse: an input is kept for each that is new.
    pub fn note(&mut self, fact: impl Hash) {
        if self.seen.len() < FACTS_MAX {
            let mut hasher = DefaultHasher::new();
            fact.hash(&mut hasher);
            self.seen.push(hasher.finish());
        }
    }

    /// Notes a message without what it quotes and counts, which is different each time.
    pub fn note_message(&mut self, message: &str) {
        let mut quoted = false;
        let fixed: String = message
            .chars()
            .filter(|c| {
                let mark = matches!(c, '`' | '"');
                quoted ^= mark;
                !mark && !quoted && (c.is_alphabetic() || *c == ' ')
            })
            .collect();
        self.note(fixed);
    }

    /// The facts, in their order.
    pub fn facts(&self) -> &[u64] {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_whatever_it_quotes() {
        let mut trace = Trace::default();
        trace.note_message("got `a`, expected `;`");
        trace.note_message("got `b c`, expected `;`");
        trace.note_message("port 7 is out of range");
        let [first, second, third] = *trace.facts() else {
            panic!("three messages")
        };
        assert!(first == second && second != third);
    }
}
