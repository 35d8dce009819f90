// SPDX-License-Identifier: GPL-2.0-or-later
//! Carrying the commands out.

mod down;
mod events;
mod minor;
mod query;
mod request;
mod show;
mod status;
mod wait;

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::ArgMatches;
use drbd_netlink::{Api, Client, Error, Resource, Snapshot};

use crate::cli::{parse_minor, Action, CommandSpec, Generation, Place};
use crate::render::Style;
use crate::session::Session;
use crate::{exit, Failure};

/// Runs the command that was typed.
pub(crate) fn run(
    matches: &ArgMatches,
    generation: Generation,
    session: &mut Session,
) -> Result<u8, Failure> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("no command".into()));
    };
    let Some(spec) = generation.commands().iter().find(|spec| spec.name == name) else {
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
    if client.family().api != generation.api() {
        return Err(Failure::OtherGeneration(generation));
    }
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
        Action::Minor(query) => minor::query(client, asked, query, out),
        Action::WaitMinor(wait) => wait::wait_minor(client, asked, wait),
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

    /// What a showing command shows of. In 8.4 a minor may stand for its resource, so all have to be looked at.
    fn snapshot(&self, client: &mut Client) -> Result<Snapshot, Error> {
        match client.family().api {
            Api::V1 => Snapshot::read(client),
            Api::V2 => Snapshot::read_about(client, self.filter()),
        }
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
        match snapshot.resource(name).or_else(|| by_minor(snapshot, name)) {
            Some(resource) => Ok(vec![resource]),
            None => Err(Failure::NoSuch {
                object: name.to_owned(),
                what: "No such resource",
                hint: "drbdsetup status   (lists the resources the kernel knows)".into(),
            }),
        }
    }
}

/// The resource of a minor: the tools of generation 8.4 take one in place of a name.
fn by_minor<'s>(snapshot: &'s Snapshot, text: &str) -> Option<&'s Resource> {
    let minor = parse_minor(text).ok()?;
    let device = snapshot
        .devices
        .iter()
        .find(|device| device.minor == minor)?;
    snapshot.resource(&device.resource)
}

/// The form of what is printed for people and scripts.
fn style(client: &Client) -> Style {
    match client.family().api {
        Api::V1 => Style::Utils84,
        Api::V2 => Style::from_environment(),
    }
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
#[cfg(test)]
mod tests_84;
