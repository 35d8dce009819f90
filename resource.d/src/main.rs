// SPDX-License-Identifier: GPL-2.0-or-later
//! `ocf:linbit:drbd`: the agent through which Pacemaker runs a DRBD resource (drbdadm-ocf section 14).
//!
//! One look at the driver decides an action; what has to change is left to `drbdadm`. Works with drivers and tools of
//! generations 8.4 and 9. Under the name of a handler it is that handler, see [`fence`].

use std::io::Write as _;
use std::process::ExitCode;

mod agent;
mod code;
mod environment;
mod fence;
mod metadata;
mod parameters;
mod score;
mod status;
mod tools;
mod validate;

use agent::{Action, Agent};
use code::{Code, Failure, Outcome};
use environment::Environment;
use parameters::Parameters;

const USAGE: &str =
    "usage: drbd start|stop|monitor|promote|demote|notify|reload|reload-agent|validate-all|meta-data|usage";

fn act(action: Action, env: &Environment) -> Outcome {
    let (parameters, warning) = Parameters::read(env)?;
    if let Some(warning) = warning {
        tools::log(&warning);
    }
    if let Err(failure) = validate::check(action, env, &parameters) {
        // What the configuration does not know any more has to stop all the same.
        if action == Action::Stop && tools::down_without_configuration(&parameters.resource) {
            return Ok(Code::Success);
        }
        return Err(failure);
    }
    if parameters.unfence {
        std::env::set_var("OCF_RESKEY_unfence_extra_args", &parameters.unfence_args);
    }
    let agent = Agent {
        env,
        parameters: &parameters,
        world: &tools::Node::new(&parameters),
        node: &tools::own_name(),
    };
    agent.act(action)
}

fn run(word: Option<&str>, env: &Environment) -> Outcome {
    match word {
        Some("meta-data") => {
            let document =
                metadata::document().and_then(|document| std::io::stdout().write_all(&document));
            document.map_err(|error| Failure::new(Code::Generic, error.to_string()))?;
            Ok(Code::Success)
        }
        Some("usage" | "help") => {
            println!("{USAGE}");
            Ok(Code::Success)
        }
        Some(word) => match Action::of(word) {
            Some(action) => act(action, env),
            None => Err(Failure::new(
                Code::Unimplemented,
                format!("there is no action '{word}'; {USAGE}"),
            )),
        },
        None => Err(Failure::new(Code::Unimplemented, USAGE)),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let program = args.first().map(String::as_str).unwrap_or_default();
    if let Some(task) = fence::Task::of_program(program) {
        return ExitCode::from(fence::run(task, args.get(1..).unwrap_or_default()));
    }
    let env = Environment::of_process();
    let word = args.get(1);
    match run(word.map(String::as_str), &env) {
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => {
            let prefix = env
                .get("OCF_EXIT_REASON_PREFIX")
                .unwrap_or("ocf-exit-reason:");
            eprintln!("{prefix}{failure}");
            ExitCode::from(failure.code as u8)
        }
    }
}
