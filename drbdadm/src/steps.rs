// SPDX-License-Identifier: GPL-2.0-or-later
//! The calls that commands are made of, each built in one place.

use drbd_conf::hostname::same_host;
use drbd_conf::model::{Connection, Host, Opt, Path, Resource, Volume};
use drbd_conf::Resolved;
use drbd_core::meta::Format;

use crate::call::{Call, Limit};
use crate::driver;
use crate::metadata;
use crate::select::Selection;

/// What all builders need to know.
pub(crate) struct Steps<'a> {
    pub(crate) resolved: &'a Resolved,
    /// Options from the command line.
    pub(crate) backend: &'a [String],
}

impl Steps<'_> {
    /// Configured options as arguments. Those on the command line replace them
    /// and stand behind, so they are left out here.
    pub(crate) fn options(&self, list: &[Opt]) -> Vec<String> {
        list.iter()
            .filter(|opt| !self.overridden(&opt.name))
            .filter_map(|opt| Some(format!("--{}={}", opt.name, self.value(opt)?)))
            .collect()
    }

    fn overridden(&self, name: &str) -> bool {
        self.backend.iter().any(|option| {
            let name_given = option.strip_prefix("--").unwrap_or("");
            name_given.split('=').next() == Some(name)
        })
    }

    /// A value as drbdsetup takes it; `None` if the option must be left out.
    fn value(&self, opt: &Opt) -> Option<String> {
        if opt.name == "resync-after" && opt.value != "-1" {
            // A volume that is not there has been reported already.
            return self.resolved.minor_of(&opt.value).map(|m| m.to_string());
        }
        if let Some(name) = opt.value.strip_prefix("discard-node-") {
            let own = same_host(name, &self.resolved.nodename);
            return Some(
                if own {
                    "discard-local"
                } else {
                    "discard-remote"
                }
                .to_owned(),
            );
        }
        Some(opt.value.clone())
    }

    pub(crate) fn new_resource(&self, resource: &Resource, host: &Host) -> Call {
        Call::setup(
            &resource.name,
            Limit::Short,
            ["new-resource", &resource.name],
        )
        .with((!driver::dialect().is_84()).then(|| id(host)))
        .with(self.options(&resource.sections.options))
    }

    pub(crate) fn new_minor(&self, resource: &Resource, volume: &Volume) -> Call {
        let diskless = volume.is_diskless().then(|| "--diskless".to_owned());
        Call::setup(
            &resource.name,
            Limit::Short,
            [
                "new-minor",
                &resource.name,
                &minor(volume),
                &volume.number.to_string(),
            ],
        )
        .with(diskless)
        .with(self.options(&volume.options.device))
    }

    /// Name of the peer and the options of the connection.
    pub(crate) fn net_options(&self, connection: &Connection, peer: &Host) -> Vec<String> {
        let mut list = vec![format!("--_name={}", peer.joined_name())];
        list.extend(self.options(&connection.net));
        list
    }

    pub(crate) fn new_peer(
        &self,
        resource: &Resource,
        connection: &Connection,
        peer: &Host,
    ) -> Call {
        Call::setup(
            &resource.name,
            Limit::Short,
            ["new-peer", &resource.name, &id(peer)],
        )
        .with(self.net_options(connection, peer))
    }

    /// `new-path` or `del-path` for every path of a connection.
    pub(crate) fn paths(
        &self,
        command: &str,
        resource: &Resource,
        local: usize,
        connection: &Connection,
        peer: &Host,
    ) -> Vec<Call> {
        connection
            .paths
            .iter()
            .filter_map(|path| path_addresses(path, local))
            .map(|(ours, theirs)| path_call(command, &resource.name, peer, &ours, &theirs))
            .collect()
    }

    /// Options of a volume towards a peer, those that follow from the peer's
    /// having no disk included.
    pub(crate) fn peer_device_options(
        &self,
        connection: &Connection,
        peer: &Host,
        number: u32,
    ) -> Vec<String> {
        let mut list = connection
            .peer_devices
            .iter()
            .find(|device| device.number == number)
            .map(|device| self.options(&device.options))
            .unwrap_or_default();
        if let Some(volume) = peer.volume(number) {
            if volume.is_diskless() {
                list.retain(|option| !option.starts_with("--bitmap="));
                list.push("--bitmap=no".into());
            }
            if volume.tiebreaker == Some(false) {
                list.push("--peer-tiebreaker=no".into());
            }
        }
        list
    }

    /// `drbdsetup COMMAND RES PEER VOLUME`
    pub(crate) fn peer_device(
        command: &str,
        resource: &Resource,
        peer: &Host,
        number: u32,
    ) -> Call {
        Call::setup(
            &resource.name,
            Limit::Short,
            [command, &resource.name, &id(peer), &number.to_string()],
        )
    }

    /// Options of a backing disk that can be changed while it is attached.
    pub(crate) fn disk_options(&self, volume: &Volume) -> Vec<String> {
        let list: Vec<Opt> = volume
            .options
            .disk
            .iter()
            .filter(|opt| opt.name != "size")
            .cloned()
            .collect();
        self.options(&list)
    }

    /// What must happen to a disk before the kernel gets it, and the attach.
    pub(crate) fn attach(&self, resource: &Resource, volume: &Volume) -> Vec<Call> {
        let format = metadata::on_disk(volume);
        let mut calls = Vec::new();
        if format == Format::V09 {
            // Slots of peers that never were; a tool that cannot do it is no
            // reason to leave a good disk alone.
            calls.push(meta(resource, volume, format, &["repair-md"]).optional());
        }
        calls.push(meta(resource, volume, format, &["apply-al"]));
        calls.push(
            Call::setup(
                &resource.name,
                Limit::Medium,
                [
                    "attach",
                    &minor(volume),
                    volume.disk.as_deref().unwrap_or(""),
                    &metadata::device(volume),
                    &metadata::attach_place(volume),
                ],
            )
            .with(self.options(&volume.options.disk)),
        );
        calls
    }

    pub(crate) fn connect(&self, resource: &Resource, peer: &Host) -> Call {
        Call::setup(
            &resource.name,
            Limit::Short,
            ["connect", &resource.name, &id(peer)],
        )
    }

    /// Both addresses of the connection of a driver of generation 8.4.
    pub(crate) fn addresses_84(selection: &Selection<'_>) -> Option<(String, String)> {
        let (connection, _) = selection.connections().into_iter().next()?;
        path_addresses(connection.paths.first()?, selection.local)
    }

    /// `drbdsetup-84 connect RES OURS THEIRS`
    pub(crate) fn connect_84(&self, selection: &Selection<'_>) -> Option<Call> {
        let resource = selection.resource;
        let (ours, theirs) = Steps::addresses_84(selection)?;
        let call = Call::setup(
            &resource.name,
            Limit::Short,
            ["connect", &resource.name, &ours, &theirs],
        );
        Some(call.with(self.options(&resource.sections.net)))
    }

    /// `create-md` with room for the peers that have a disk for the volume.
    pub(crate) fn create_md(&self, selection: &Selection<'_>, volume: &Volume) -> Call {
        let value = |name: &str| {
            let prefix = format!("--{name}=");
            self.backend
                .iter()
                .rev()
                .find_map(|option| option.strip_prefix(&prefix))
        };
        let format = metadata::for_new(value("format"));
        let peers = selection
            .connections()
            .iter()
            .filter(|(_, peer)| {
                peer.volume(volume.number)
                    .is_some_and(|theirs| !theirs.is_diskless())
            })
            .count()
            .max(1);
        let peers = value("max-peers").map_or_else(|| peers.to_string(), str::to_owned);
        let mut call = meta(selection.resource, volume, format, &["create-md"]);
        if format == Format::V09 {
            call.args.push(peers);
        }
        // It may ask a question.
        call.limit = Limit::None;
        call.with(meta_options(self.backend).filter(|option| {
            !option.starts_with("--format=") && !option.starts_with("--max-peers=")
        }))
    }
}

/// Options for drbdmeta, whose flags take no value.
pub(crate) fn meta_options(backend: &[String]) -> impl Iterator<Item = String> + '_ {
    backend
        .iter()
        .filter(|option| !option.ends_with("=no"))
        .map(|option| option.strip_suffix("=yes").unwrap_or(option).to_owned())
}

/// `drbdmeta MINOR FORMAT DEVICE PLACE ARGS...`
pub(crate) fn meta(resource: &Resource, volume: &Volume, format: Format, args: &[&str]) -> Call {
    let (minor, device, place) = (
        minor(volume),
        metadata::device(volume),
        metadata::place(volume),
    );
    let head = [
        minor.as_str(),
        metadata::word(format),
        device.as_str(),
        place.as_str(),
    ];
    Call::meta(
        &resource.name,
        Limit::Long,
        head.into_iter().chain(args.iter().copied()),
    )
}

/// `drbdmeta` with the format the disk has.
pub(crate) fn meta_found(resource: &Resource, volume: &Volume, args: &[&str]) -> Call {
    meta(resource, volume, metadata::on_disk(volume), args)
}

pub(crate) fn path_call(
    command: &str,
    resource: &str,
    peer: &Host,
    ours: &str,
    theirs: &str,
) -> Call {
    Call::setup(
        resource,
        Limit::Short,
        [command, resource, &id(peer), ours, theirs],
    )
}

/// Local and remote address of a path. Behind a proxy the remote one is the
/// inside of our own proxy.
pub(crate) fn path_addresses(path: &Path, local: usize) -> Option<(String, String)> {
    let (ours, theirs) = path.seen_from(local)?;
    let local_address = ours.address.as_ref()?;
    let remote = match ours.proxy.as_ref().and_then(|proxy| proxy.inside.as_ref()) {
        Some(inside) => inside,
        None => theirs.address.as_ref()?,
    };
    Some((local_address.to_string(), remote.to_string()))
}

/// Node id as text; resolving has made sure there is one.
pub(crate) fn id(host: &Host) -> String {
    host.node_id.unwrap_or(0).to_string()
}

/// Minor as text; resolving has made sure there is one.
pub(crate) fn minor(volume: &Volume) -> String {
    volume.minor.unwrap_or(0).to_string()
}
