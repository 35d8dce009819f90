// SPDX-License-Identifier: GPL-2.0-or-later
//! From the words on the command line to resources, peers and volumes.

use drbd_conf::model::{Connection, Host, Resource, Volume};
use drbd_conf::Resolved;

use crate::cli::Request;
use crate::command::Works;
use crate::failure::{Failure, USAGE};

/// One selected thing.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) resource: &'a Resource,
    /// This node's host section.
    pub(crate) host: &'a Host,
    /// Its index.
    pub(crate) local: usize,
    /// A volume, if one was named.
    pub(crate) volume: Option<&'a Volume>,
    /// A connection, if a peer was named.
    pub(crate) connection: Option<&'a Connection>,
    /// Whether it came from `all`.
    pub(crate) from_all: bool,
}

impl<'a> Selection<'a> {
    fn whole(resource: &'a Resource, from_all: bool) -> Option<Selection<'a>> {
        Some(Selection {
            resource,
            host: resource.local_host()?,
            local: resource.local?,
            volume: None,
            connection: None,
            from_all,
        })
    }

    /// The volumes meant: the one named, or all.
    pub(crate) fn volumes(&self) -> Vec<&'a Volume> {
        match self.volume {
            Some(volume) => vec![volume],
            None => self.host.volumes.iter().collect(),
        }
    }

    /// The connections of this node meant, each with the peer's host section.
    pub(crate) fn connections(&self) -> Vec<(&'a Connection, &'a Host)> {
        self.resource
            .connections
            .iter()
            .filter(|connection| {
                self.connection
                    .is_none_or(|named| std::ptr::eq(named, *connection))
            })
            .filter_map(|connection| {
                let peer = connection.peer_of(self.local)?;
                Some((connection, self.resource.hosts.get(peer)?))
            })
            .collect()
    }
}

/// Everything selected, or why it is not.
pub(crate) fn select<'a>(
    resolved: &'a Resolved,
    request: &Request,
) -> Result<Vec<Selection<'a>>, Failure> {
    if resolved.full.is_empty() {
        return Err(Failure::ready(USAGE, "no resources defined!\n"));
    }
    let mut words = request.selectors.clone();
    if words.is_empty() {
        if !request.command.defaults_to_all() {
            return Err(Failure::new(
                USAGE,
                format!("`{}` needs a resource", request.command.name),
                &[&format!(
                    "name one, or all of them:   drbdadm {} all",
                    request.command.name
                )],
            ));
        }
        words.push("all".into());
    }
    let mut selected = Vec::new();
    for word in &words {
        if word == "all" {
            selected.extend(all(resolved, request)?);
        } else {
            selected.push(one(resolved, word)?);
        }
    }
    for selection in &selected {
        fits(request, selection)?;
    }
    Ok(selected)
}

fn all<'a>(resolved: &'a Resolved, request: &Request) -> Result<Vec<Selection<'a>>, Failure> {
    let selected: Vec<Selection<'a>> = resolved
        .full
        .iter()
        .filter(|resource| resource.is_stacked() == request.stacked)
        .filter_map(|resource| Selection::whole(resource, true))
        .collect();
    if selected.is_empty() {
        let kind = if request.stacked { "stacked" } else { "normal" };
        return Err(Failure::ready(
            USAGE,
            format!(
                "WARN: no {kind} resources defined for this host ({})!?\n\
                 Misspelled name of the local machine with the 'on' keyword ?\n{}",
                resolved.nodename,
                hosts_known(resolved)
            ),
        ));
    }
    Ok(selected)
}

fn hosts_known(resolved: &Resolved) -> String {
    let mut names: Vec<String> = resolved
        .full
        .iter()
        .flat_map(|resource| resource.hosts.iter().map(Host::joined_name))
        .collect();
    names.sort();
    names.dedup();
    format!("  the configuration knows the hosts {}\n", names.join(", "))
}

/// `RES`, `RES/VOLUME`, `RES:PEER`, `RES:PEER/VOLUME` or `minor-N`.
fn one<'a>(resolved: &'a Resolved, word: &str) -> Result<Selection<'a>, Failure> {
    let unknown = |reason: String| {
        let names: Vec<&str> = resolved
            .full
            .iter()
            .filter(|resource| resource.is_local())
            .map(|resource| resource.name.as_str())
            .collect();
        Failure::ready(
            USAGE,
            format!(
                "'{word}' not defined in your config (for this host).\n  {reason}\n  resources here: {}\n",
                names.join(", ")
            ),
        )
    };
    if let Some(minor) = word.strip_prefix("minor-") {
        return by_minor(resolved, minor)
            .ok_or_else(|| unknown(format!("no volume has minor {minor}")));
    }
    // The whole word is tried as a name first: names may hold anything.
    let (name, peer, number) = if resolved.resource(word).is_some() {
        (word, None, None)
    } else {
        let (rest, number) = match word.rsplit_once('/') {
            Some((rest, number)) => (rest, Some(number)),
            None => (word, None),
        };
        match rest.split_once(':') {
            Some((name, peer)) => (name, Some(peer), number),
            None => (rest, None, number),
        }
    };
    let resource = resolved
        .resource(name)
        .ok_or_else(|| unknown(format!("there is no resource `{name}`")))?;
    let mut selection = Selection::whole(resource, false).ok_or_else(|| {
        let hosts: Vec<String> = resource.hosts.iter().map(Host::joined_name).collect();
        unknown(format!(
            "resource {name} is for the hosts {}, this is {}",
            hosts.join(", "),
            resolved.nodename
        ))
    })?;
    if let Some(number) = number {
        let volume = number
            .parse::<u32>()
            .ok()
            .and_then(|number| selection.host.volume(number))
            .ok_or_else(|| unknown(format!("resource {name} has no volume `{number}`")))?;
        selection.volume = Some(volume);
    }
    if let Some(peer) = peer {
        let found = selection
            .connections()
            .into_iter()
            .find(|(connection, host)| {
                connection.name.as_deref() == Some(peer)
                    || host.joined_name() == peer
                    || host
                        .names
                        .iter()
                        .any(|known| drbd_conf::hostname::same_host(known, peer))
            });
        let (connection, _) =
            found.ok_or_else(|| unknown(format!("resource {name} has no peer `{peer}`")))?;
        selection.connection = Some(connection);
    }
    Ok(selection)
}

fn by_minor<'a>(resolved: &'a Resolved, minor: &str) -> Option<Selection<'a>> {
    let minor = minor.parse::<u32>().ok()?;
    resolved.full.iter().find_map(|resource| {
        let mut selection = Selection::whole(resource, false)?;
        let volume = selection
            .host
            .volumes
            .iter()
            .find(|volume| volume.minor == Some(minor))?;
        selection.volume = Some(volume);
        Some(selection)
    })
}

/// Whether a command can work on what was selected.
fn fits(request: &Request, selection: &Selection<'_>) -> Result<(), Failure> {
    let name = request.command.name;
    let works = request.command.works_in(crate::driver::dialect());
    let whole = matches!(
        works,
        Works::OnResource | Works::OnConnection | Works::OnPath | Works::OnConfiguration
    );
    if let (true, Some(volume)) = (whole, selection.volume) {
        if !volume.implicit {
            return Err(Failure::ready(
                USAGE,
                format!(
                    "{name} operates on whole resources, but you specified a specific volume!\n  \
                     type:   drbdadm {name} {}\n",
                    selection.resource.name
                ),
            ));
        }
    }
    if works == Works::OnOneVolume
        && selection.volume.is_none()
        && (!selection.from_all || name == "sh-udev")
        && !selection.host.volumes.iter().all(|volume| volume.implicit)
    {
        return Err(Failure::ready(
            USAGE,
            format!(
                "{name} requires a specific volume id, but none is specified.\n\
                 Try '{name} minor-<minor_number>' or '{name} {}/<vnr>'\n",
                selection.resource.name
            ),
        ));
    }
    Ok(())
}
