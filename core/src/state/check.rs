// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a change of state may happen, and what it becomes.
//!
//! [`apply`] is the one door for every change: it completes the wish, judges it and hands back both ends of the change
//! for the engine to take over and to act upon. Facts (a lost connection, a failed disk) are `Hard` and almost
//! never refused, wishes are `Soft`. replication-semantics.md section 11.2.

use super::context::Context;
use super::model::{Disk, State};
use super::rules::{HARD_RULES, SOFT_RULES, STATE_RULES};
use super::sanitize::{sanitize, Warnings};
use super::ss::Ss;

/// Why a change happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has happened: judged by [`HARD_RULES`] only.
    Hard,
    /// It is wished for: all rules apply.
    Soft,
}

/// A change that may take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// State before.
    pub old: State,
    /// State after; equal to `old` when everything was already as wished.
    pub new: State,
    /// What to log.
    pub warnings: Warnings,
}

impl Change {
    /// `Success`, or `NothingToDo` when both ends are equal.
    pub fn result(&self) -> Ss {
        if self.old == self.new {
            Ss::NothingToDo
        } else {
            Ss::Success
        }
    }
}

/// Judges the wish to go from `old` to `wanted` (before sanitizing).
///
/// A soft change may lead from one broken state into another as long as it breaks the same rule: a state that came
/// about by facts must not lock its owner in.
///
/// # Errors
///
/// The code of the rule that forbids it.
pub fn apply(old: State, wanted: State, kind: Kind, context: &Context) -> Result<Change, Ss> {
    let sanitized = sanitize(old, wanted, context);
    let change = Change {
        old,
        new: sanitized.state,
        warnings: sanitized.warnings,
    };
    if change.result() == Ss::NothingToDo {
        return Ok(change);
    }
    is_valid_transition(old, change.new)?;
    match kind {
        Kind::Hard => Ok(change),
        Kind::Soft => {
            is_valid_wish(old, wanted)?;
            let context = context_now(old, context);
            let before = is_valid_state(old, &context);
            match is_valid_state(change.new, &context) {
                Err(code) if before != Err(code) => Err(code),
                Ok(()) | Err(_) => {
                    is_valid_soft_transition(old, change.new, &context).map(|()| change)
                }
            }
        }
    }
}

/// Judges a wish as it was asked for. While connected an Outdated disk is an UpToDate one: a worse disk that is asked to be
/// Outdated would become good by that. (In the stock driver it does.)
///
/// # Errors
///
/// The code that says so.
pub(super) fn is_valid_wish(old: State, wanted: State) -> Result<(), Ss> {
    let worse = old.disk < Disk::Outdated && old.disk != Disk::Attaching;
    if wanted.disk == Disk::Outdated && worse {
        return Err(Ss::LowerThanOutdated);
    }
    Ok(())
}

/// As [`apply`] for a soft change, without forgiving what was wrong before: the judgement before the peer is asked.
///
/// # Errors
///
/// The code of the rule that forbids it.
pub(super) fn check_strictly(old: State, new: State, context: &Context) -> Result<(), Ss> {
    let context = context_now(old, context);
    is_valid_state(new, &context)?;
    is_valid_soft_transition(old, new, &context)
}

/// Judges a state by itself. `context.fencing` is taken as the policy that counts.
///
/// # Errors
///
/// The code of the first rule in [`STATE_RULES`] that is broken.
pub fn is_valid_state(state: State, context: &Context) -> Result<(), Ss> {
    match STATE_RULES
        .iter()
        .find(|rule| (rule.broken)(&state, context))
    {
        Some(rule) => Err(rule.code),
        None => Ok(()),
    }
}

/// Judges a wish.
///
/// # Errors
///
/// The code of the last rule in [`SOFT_RULES`] that is broken.
pub fn is_valid_soft_transition(old: State, new: State, context: &Context) -> Result<(), Ss> {
    match SOFT_RULES
        .iter()
        .rev()
        .find(|rule| (rule.broken)(&old, &new, context))
    {
        Some(rule) => Err(rule.code),
        None => Ok(()),
    }
}

/// Judges any change, facts included.
///
/// # Errors
///
/// The code of the first rule in [`HARD_RULES`] that is broken.
pub fn is_valid_transition(old: State, new: State) -> Result<(), Ss> {
    match HARD_RULES
        .iter()
        .find(|rule| (rule.broken)(&old, &new, &Context::DEFAULT))
    {
        Some(rule) => Err(rule.code),
        None => Ok(()),
    }
}

/// The context with the fencing policy that counts while the disk is as it is in `old`.
fn context_now(old: State, context: &Context) -> Context {
    Context {
        fencing: context.fencing_with(old.disk),
        ..*context
    }
}
