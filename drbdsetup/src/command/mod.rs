// SPDX-License-Identifier: GPL-2.0-or-later
//! Carrying the commands out.

mod down;
mod events;
mod query;
mod request;
mod show;
mod status;
mod wait;

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::ArgMatches;
use drbd_netlink::{Client, Resource, Snapshot};

use crate::cli::{parse_minor, Action, CommandSpec, Place, COMMANDS};
use crate::render::Style;
use crate::session::Session;
use crate::{exit, Failure};

/// Runs the command that was typed.
pub(crate) fn run(matches: &ArgMatches, session: &mut Session) -> Result<u8, Failure> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("no command".into()));
    };
    let Some(spec) = COMMANDS.iter().find(|spec| spec.name == name) else {
        return Err(Failure::Usage(format!("unknown command '{name}'")));
    };
    let asked = Asked { spec, matches };
    let mut client = match session.client() {
        Ok(client) => client,
        // Without the module there is nothing to take down.
        Err(Failure::NoModule(_))
            if matches!(name, "down" | "secondary" | "disconnect" | "detach") =>
        {
            return Ok(exit::OK);
        }
        Err(failure) => return Err(failure),
    };
    let done = execute(&mut client, &asked, &mut io::stdout().lock());
    if !matches!(done, Err(Failure::Kernel(_))) {
        session.keep(client);
    }
    done
}

fn execute(client: &mut Client, asked: &Asked<'_>, out: &mut dyn Write) -> Result<u8, Failure> {
    match asked.spec.action {
        Action::Request(command) => request::request(client, asked, command),
        Action::NewMinor => request::new_minor(client, asked),
        Action::Down => down::down(client, asked),
        Action::Status => status::status(client, asked, out),
        Action::Events => events::events(client, asked, out),
        Action::Show => show::show(client, asked, out),
        Action::Query(query) => query::query(client, asked, query, out),
        Action::Wait(wait) => wait::wait(client, asked, wait),
    }
}

/// A command with its arguments.
struct Asked<'a> {
    spec: &'static CommandSpec,
    matches: &'a ArgMatches,
}

impl Asked<'_> {
    fn has(&self, place: Place) -> bool {
        self.spec.places.contains(&place)
    }

    fn text(&self, place: Place) -> &str {
        self.matches
            .get_one::<String>(place.id())
            .map_or("", String::as_str)
    }

    fn number(&self, place: Place) -> u32 {
        self.matches
            .get_one::<u32>(place.id())
            .copied()
            .unwrap_or(0)
    }

    fn minor(&self) -> Result<u32, Failure> {
        parse_minor(self.text(Place::Minor)).map_err(Failure::Usage)
    }

    fn address(&self, place: Place) -> Option<SocketAddr> {
        self.matches.get_one::<SocketAddr>(place.id()).copied()
    }

    /// The resource a showing command is limited to.
    fn filter(&self) -> Option<&str> {
        Some(self.text(Place::ResourceOrAll)).filter(|name| !name.is_empty() && *name != "all")
    }

    fn switch(&self, name: &str) -> bool {
        self.matches.get_flag(name)
    }

    /// The object as it was typed, for messages.
    fn object(&self) -> &str {
        match self.spec.places.first() {
            Some(
                place @ (Place::Resource
                | Place::ResourceOrAll
                | Place::ResourceOrAllRequired
                | Place::Minor),
            ) => self.text(*place),
            _ => self.spec.name,
        }
    }

    /// The resources a showing command is about, in the order they are shown.
    fn resources<'s>(&self, snapshot: &'s Snapshot) -> Result<Vec<&'s Resource>, Failure> {
        let Some(name) = self.filter() else {
            return Ok(snapshot.resources.iter().collect());
        };
        match snapshot.resource(name) {
            Some(resource) => Ok(vec![resource]),
            None => Err(Failure::NoSuch {
                object: name.to_owned(),
                what: "No such resource",
                hint: "drbdsetup status   (lists the resources the kernel knows)".into(),
            }),
        }
    }
}

fn style() -> Style {
    Style::from_environment()
}

/// Writes output; a reader that went away ends the command quietly.
fn print(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::System(format!("writing the output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
