// SPDX-License-Identifier: GPL-2.0-or-later
//! A program in place of `/sbin/drbdadm` that writes down how the driver calls it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::side::Side;
use crate::wait;

const SCRIPT: &str = r#"#!/bin/sh
{
    echo "call $*"
    env | grep -v '^\(PWD\|SHLVL\|_\|OLDPWD\)=' | sort
    echo end
} >>/run/helper.log
[ -e "/run/helper.$1" ] && exec /bin/sh "/run/helper.$1"
exit 0
"#;

/// One call: the arguments in one line, and the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The arguments.
    pub words: String,
    /// `NAME=value`, sorted.
    pub environment: Vec<String>,
}

impl Call {
    /// Value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Makes the driver of `side` call the recorder from here on.
///
/// # Errors
///
/// If the node is gone.
pub fn install(side: &Side) -> Result<()> {
    side.node.put("/run/helper", SCRIPT.as_bytes())?;
    side.sh("chmod +x /run/helper; : >/run/helper.log
         echo -n /run/helper >/sys/module/drbd/parameters/usermode_helper")
        .map(drop)
}

/// What the recorder does, and with which status it ends, when it is called for `event`.
///
/// # Errors
///
/// If the node is gone.
pub fn answer(side: &Side, event: &str, script: &str) -> Result<()> {
    let path = format!("/run/helper.{event}");
    Ok(side.node.put(&path, script.as_bytes())?)
}

/// The calls so far.
///
/// # Errors
///
/// If the node is gone.
pub fn calls(side: &Side) -> Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open = Call::default();
    for line in side.sh("cat /run/helper.log")?.lines() {
        if let Some(words) = line.strip_prefix("call ") {
            open = Call {
                words: words.to_owned(),
                environment: Vec::new(),
            };
        } else if line == "end" {
            calls.push(std::mem::take(&mut open));
        } else {
            open.environment.push(line.to_owned());
        }
    }
    Ok(calls)
}

/// Waits until the recorder was called with `words`, and tells the last such call.
///
/// # Errors
///
/// After 40 s.
pub fn wait_for(side: &Side, words: &str) -> Result<Call> {
    let limit = Duration::from_secs(40);
    let found = wait::until(
        &format!("the call of helper {words}"),
        limit,
        || calls(side),
        |calls| calls.iter().any(|call| call.words == words),
    )
    .with_context(|| format!("{}: {}", side.name(), side.node.console_tail()))?;
    found
        .into_iter()
        .rev()
        .find(|call| call.words == words)
        .context("the call is gone")
}
