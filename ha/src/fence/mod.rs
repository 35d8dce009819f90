// SPDX-License-Identifier: GPL-2.0-or-later
//! Switching nodes off through fence agents, of which any can be used: `key=value` lines on standard input, an exit code
//! back (failover.md section 2.4). A node counts as fenced only when every device of a level says so.

mod history;

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, FenceAction, FenceDevice};
use crate::exec::process::{End, Ended, Program};

pub use history::{Entry, History};

/// Where agents are.
const AGENTS: &str = "/usr/sbin";
/// Between two attempts with one device.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a plug may take to report what it was told.
const VERIFY_FOR: Duration = Duration::from_secs(10);
const VERIFY_PAUSE: Duration = Duration::from_millis(500);

/// What an agent is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Switch off.
    Off,
    /// Switch on.
    On,
    /// Off and on.
    Reboot,
    /// Is the plug on?
    Status,
    /// Does the device answer?
    Monitor,
}

impl Ask {
    fn word(self) -> &'static str {
        match self {
            Ask::Off => "off",
            Ask::On => "on",
            Ask::Reboot => "reboot",
            Ask::Status => "status",
            Ask::Monitor => "monitor",
        }
    }
}

/// What a plug is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plug {
    /// On.
    On,
    /// Off.
    Off,
}

/// A device, with what an agent has to be told.
#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    agent: PathBuf,
    parameters: Vec<(String, String)>,
    password_file: Option<PathBuf>,
    limit: Duration,
    verify: bool,
    attempts: u32,
}

impl Device {
    /// As it is configured.
    #[must_use]
    pub fn new(device: &FenceDevice) -> Self {
        let agent = PathBuf::from(device.agent.as_ref());
        let mut parameters: Vec<(String, String)> = device
            .params
            .iter()
            .map(|(key, value)| (key.clone(), value.text()))
            .collect();
        let at = parameters
            .iter()
            .position(|(key, _)| key == "password_file");
        let password_file = at.map(|at| PathBuf::from(parameters.remove(at).1));
        Device {
            name: device.name.as_ref().clone(),
            agent: if agent.is_absolute() {
                agent
            } else {
                PathBuf::from(AGENTS).join(agent)
            },
            parameters,
            password_file,
            limit: Duration::from_secs(device.timeout),
            verify: device.verify,
            attempts: u32::from(device.retries) + 1,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lines that an agent reads. `port` and `option` are what agents called `plug` and `action` once.
    fn lines(&self, ask: Ask, plug: &str, node: &str) -> Result<Vec<u8>, String> {
        let mut text = format!("action={}\n", ask.word());
        if ask != Ask::Monitor {
            text.push_str(&format!("plug={plug}\nport={plug}\nnodename={node}\n"));
        }
        for (key, value) in &self.parameters {
            text.push_str(&format!("{key}={value}\n"));
        }
        if let Some(file) = &self.password_file {
            let password = std::fs::read_to_string(file);
            let password = password.map_err(|error| {
                format!("cannot read the password in {}: {error}", file.display())
            })?;
            let password = password.lines().next().unwrap_or_default();
            text.push_str(&format!("password={password}\n"));
        }
        Ok(text.into_bytes())
    }

    /// Calls the agent once.
    ///
    /// # Errors
    ///
    /// When its password can't be read.
    pub async fn call(&self, ask: Ask, plug: &str, node: &str) -> Result<Ended, String> {
        let mut program = Program::new(&self.agent, &[]);
        program.input = self.lines(ask, plug, node)?;
        Ok(program.run(self.limit).await)
    }

    /// Whether a plug is on.
    ///
    /// # Errors
    ///
    /// When the device does not say.
    pub async fn status(&self, plug: &str, node: &str) -> Result<Plug, String> {
        let ended = self.call(Ask::Status, plug, node).await?;
        match ended.end {
            End::Exited(0) => Ok(Plug::On),
            End::Exited(2) => Ok(Plug::Off),
            End::Exited(_) | End::Killed(_) | End::TimedOut | End::NotStarted(_) => {
                Err(format!("{}: status: {}", self.name, ended.story()))
            }
        }
    }

    async fn once(&self, ask: Ask, plug: &str, node: &str) -> Result<(), String> {
        let ended = self.call(ask, plug, node).await?;
        if ended.code() != Some(0) {
            return Err(format!("{}: {}: {}", self.name, ask.word(), ended.story()));
        }
        if ask == Ask::Off && self.verify {
            return self.verified_off(plug, node).await;
        }
        Ok(())
    }

    async fn verified_off(&self, plug: &str, node: &str) -> Result<(), String> {
        let end = tokio::time::Instant::now() + VERIFY_FOR;
        loop {
            let said = match self.status(plug, node).await {
                Ok(Plug::Off) => return Ok(()),
                Ok(Plug::On) => format!(
                    "{}: said that it switched {node} off, and that it is on",
                    self.name
                ),
                Err(why) => why,
            };
            if tokio::time::Instant::now() >= end {
                return Err(said);
            }
            tokio::time::sleep(VERIFY_PAUSE).await;
        }
    }

    /// Calls the agent until it succeeds, as often as is configured.
    ///
    /// # Errors
    ///
    /// What the last attempt said.
    pub async fn switch(&self, ask: Ask, plug: &str, node: &str) -> Result<(), String> {
        let mut last = String::new();
        for attempt in 0..self.attempts {
            if attempt > 0 {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            match self.once(ask, plug, node).await {
                Ok(()) => return Ok(()),
                Err(why) => last = why,
            }
        }
        Err(last)
    }
}

/// Devices that fence a node together, and the node's plug on each.
type Level = Vec<(Device, String)>;

/// What fences nodes.
#[derive(Debug, Clone)]
pub struct Fencer {
    ask: Ask,
    /// By node: its levels, in the order in which they are tried.
    levels: Vec<(String, Vec<Level>)>,
}

impl Fencer {
    /// As it is configured.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let plug = |node: &str, device: &FenceDevice| {
            let plug = device.targets.get(node).cloned().unwrap_or_default();
            (Device::new(device), plug)
        };
        let levels = config.nodes().map(|node| {
            let name = node.name.as_ref();
            let levels = config.fence_levels(name).into_iter();
            let levels =
                levels.map(|level| level.into_iter().map(|device| plug(name, device)).collect());
            (name.clone(), levels.collect())
        });
        Fencer {
            ask: match config.file.fencing().action {
                FenceAction::Off => Ask::Off,
                FenceAction::Reboot => Ask::Reboot,
            },
            levels: levels.collect(),
        }
    }

    fn level(&self, node: &str, level: u8) -> Option<&Level> {
        let (_, levels) = self.levels.iter().find(|(name, _)| name == node)?;
        levels.get(usize::from(level))
    }

    /// Names of the devices of a level.
    #[must_use]
    pub fn devices(&self, node: &str, level: u8) -> Vec<String> {
        let level = self.level(node, level).into_iter().flatten();
        level.map(|(device, _)| device.name.clone()).collect()
    }

    /// Fences a node with one level: all its devices have to succeed. A machine with two power supplies is off when both
    /// are, so nothing is switched on again before all were off: a reboot with several devices is off with all, then on.
    ///
    /// # Errors
    ///
    /// What the first device that failed said; a node without that level can't be fenced.
    pub async fn fence(&self, node: &str, level: u8) -> Result<(), String> {
        let Some(devices) = self.level(node, level).filter(|level| !level.is_empty()) else {
            return Err(format!(
                "there is no fence device of level {} for {node}",
                level + 1
            ));
        };
        if let (Ask::Reboot, [(device, plug)]) = (self.ask, devices.as_slice()) {
            return device.switch(Ask::Reboot, plug, node).await;
        }
        for (device, plug) in devices {
            device.switch(Ask::Off, plug, node).await?;
        }
        if self.ask == Ask::Reboot {
            for (device, plug) in devices {
                if let Err(why) = device.switch(Ask::On, plug, node).await {
                    // It was off: that is what counts.
                    tracing::warn!(NODE = node, "fenced, and not switched on again: {why}");
                }
            }
        }
        Ok(())
    }

    /// Switches a node on again.
    ///
    /// # Errors
    ///
    /// What the first device that failed said.
    pub async fn unfence(&self, node: &str) -> Result<(), String> {
        let Some(devices) = self.level(node, 0) else {
            return Err(format!("there is no fence device for {node}"));
        };
        for (device, plug) in devices {
            device.switch(Ask::On, plug, node).await?;
        }
        Ok(())
    }

    /// Asks every device whether it answers; name, and what it said if it does not.
    pub async fn monitor(&self) -> Vec<(String, Result<(), String>)> {
        let mut said: Vec<(String, Result<(), String>)> = Vec::new();
        let mut all: Vec<&(Device, String)> = Vec::new();
        for (_, levels) in &self.levels {
            all.extend(levels.iter().flatten());
        }
        for (device, plug) in all {
            if said.iter().any(|(name, _)| *name == device.name) {
                continue;
            }
            let result = match device.call(Ask::Monitor, plug, "").await {
                // Of a device with one plug, 2 says that this is off.
                Ok(ended) if matches!(ended.code(), Some(0 | 2)) => Ok(()),
                Ok(ended) => Err(ended.story()),
                Err(why) => Err(why),
            };
            said.push((device.name.clone(), result));
        }
        said
    }
}

#[cfg(test)]
mod tests;
