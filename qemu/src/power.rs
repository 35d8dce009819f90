// SPDX-License-Identifier: GPL-2.0-or-later
//! A power switch that the guests of a lab can use on each other, as nodes of a cluster fence each other.
//!
//! Each guest has a virtio-serial port to it, which no fault of a network touches, and the fence agent `fence_lab` that
//! speaks to it: one question a line, `ID VERB [NODE]`, answered by `ID ok [WORDS]` or `ID error REASON`. What is
//! switched off is off as after [`Node::power_cut`]. The test can make it refuse.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::initrd::{Content, GuestFile};
use crate::machine::comma_safe;
use crate::node::Node;
use crate::socket::{wait_readable, Door};
use crate::spec::NodeSpec;

/// Name of the virtio-serial port.
const PORT_NAME: &str = "drbd-lab-power";

/// Where fence agents are looked for.
const AGENT_PATH: &str = "/usr/sbin/fence_lab";

const AGENT: &str = include_str!("../guest/fence_lab.sh");

/// How often the thread that waits for machines looks whether it is to end.
const PAUSE: Duration = Duration::from_millis(200);

/// What the switch was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To switch a machine off.
    Off,
    /// To switch a machine on.
    On,
    /// Off and on.
    Reboot,
}

/// A machine that was to be switched.
#[derive(Clone, Debug)]
pub struct Switched {
    /// When.
    pub at: Instant,
    /// What.
    pub verb: Verb,
    /// Name of the machine.
    pub target: String,
    /// Whether it was done.
    pub done: bool,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    refuses: bool,
    history: Vec<Switched>,
    closed: bool,
}

/// The switch. Copies are the same switch.
#[derive(Clone)]
pub struct PowerSwitch {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl PowerSwitch {
    /// A switch without machines, which listens at `path`.
    pub(crate) fn new(path: &Path) -> Result<PowerSwitch> {
        let door = Door::open(path)?;
        let switch = PowerSwitch {
            path: path.to_owned(),
            state: Arc::default(),
        };
        let listener = switch.clone();
        thread::Builder::new()
            .name("power".to_owned())
            .spawn(move || listener.listen(&door))
            .map_err(Error::file(path))?;
        Ok(switch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a machine that is to be added its line and its agent.
    pub(crate) fn wire(&self, spec: &mut NodeSpec) {
        let path = comma_safe(&self.path);
        let words = [
            "-chardev".to_owned(),
            format!("socket,id=power,path={path}"),
            "-device".to_owned(),
            format!("virtserialport,chardev=power,name={PORT_NAME}"),
        ];
        spec.qemu_args.extend(words);
        spec.files.push(GuestFile {
            path: AGENT_PATH.to_owned(),
            content: Content::Bytes(AGENT.as_bytes().to_vec()),
            mode: Some(0o755),
        });
    }

    /// Connects a machine's power to the switch.
    pub(crate) fn connect(&self, node: &Node) {
        self.lock().nodes.push(node.clone());
    }

    /// Lets go of the machines.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.nodes.clear();
    }

    /// Makes it refuse to switch anything, or work again.
    pub fn refuse(&self, refuses: bool) {
        self.lock().refuses = refuses;
    }

    /// What it was asked to switch so far.
    #[must_use]
    pub fn history(&self) -> Vec<Switched> {
        self.lock().history.clone()
    }

    fn listen(&self, door: &Door) {
        while !self.lock().closed {
            if !matches!(wait_readable(door.listener(), PAUSE), Ok(true)) {
                continue;
            }
            let Ok((stream, _)) = door.listener().accept() else {
                continue;
            };
            let switch = self.clone();
            // Without the thread the guest gets no answer, which its agent tells.
            let _ = thread::Builder::new()
                .name("power".to_owned())
                .spawn(move || switch.serve(&stream));
        }
    }

    /// Answers one machine until it is off.
    fn serve(&self, stream: &UnixStream) {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let Some((id, question)) = line.split_once(' ') else {
                continue;
            };
            let answer = match self.answer(question) {
                Ok(words) => format!("{id} ok {words}"),
                Err(reason) => format!("{id} error {}", reason.replace('\n', " ")),
            };
            let answer = format!("{}\n", answer.trim_end());
            let mut stream = stream;
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, question: &str) -> std::result::Result<String, String> {
        let (verb, target) = question.split_once(' ').unwrap_or((question, ""));
        let verb = match verb {
            "monitor" => return Ok(String::new()),
            "list" => {
                let names: Vec<String> = self
                    .lock()
                    .nodes
                    .iter()
                    .map(|n| n.name().to_owned())
                    .collect();
                return Ok(names.join(" "));
            }
            "status" => {
                let word = |on: bool| if on { "on" } else { "off" };
                return Ok(word(self.node(target)?.is_running()).to_owned());
            }
            "off" => Verb::Off,
            "on" => Verb::On,
            "reboot" => Verb::Reboot,
            other => return Err(format!("there is no verb {other}")),
        };
        let result = self.switch(verb, target);
        self.lock().history.push(Switched {
            at: Instant::now(),
            verb,
            target: target.to_owned(),
            done: result.is_ok(),
        });
        result.map(|()| String::new())
    }

    fn node(&self, name: &str) -> std::result::Result<Node, String> {
        let state = self.lock();
        let found = state.nodes.iter().find(|node| node.name() == name);
        found
            .cloned()
            .ok_or_else(|| format!("there is no machine {name}"))
    }

    fn switch(&self, verb: Verb, target: &str) -> std::result::Result<(), String> {
        let node = self.node(target)?;
        if self.lock().refuses {
            return Err("the switch is broken".to_owned());
        }
        let off = || match node.power_cut() {
            Err(error) if node.is_running() => Err(error.to_string()),
            // It was off before.
            Ok(()) | Err(_) => Ok(()),
        };
        let on = || match node.start() {
            Err(error) if !node.is_running() => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        };
        match verb {
            Verb::Off => off(),
            Verb::On => on(),
            Verb::Reboot => off().and_then(|()| on()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(stream: &UnixStream, line: &str) -> String {
        let mut out = stream;
        out.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    #[test]
    fn answers_carry_the_number_of_their_question() {
        let path = std::env::temp_dir().join(format!("drbd-power-{}", std::process::id()));
        let switch = PowerSwitch::new(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        assert_eq!(ask(&stream, "7 monitor\n"), "7 ok");
        assert_eq!(ask(&stream, "8.1 list\n"), "8.1 ok");
        assert_eq!(
            ask(&stream, "9 off nobody\n"),
            "9 error there is no machine nobody"
        );
        assert_eq!(
            ask(&stream, "10 dance\n"),
            "10 error there is no verb dance"
        );
        let history = switch.history();
        assert_eq!(history.len(), 1);
        assert!(history[0].verb == Verb::Off && !history[0].done);
        switch.close();
    }
}
