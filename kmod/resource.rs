// SPDX-License-Identifier: GPL-2.0-or-later
//! Resources: what is configured and promoted together, and the list of them.

use crate::{
    connection::Connection,
    device::Device,
    helper::{Helpers, Programs},
    notify::Notifier,
    os::{
        cpus::Crew,
        lock::{new_mutex, Arc, Atomic, Full, Mutex, Relaxed},
        module::ModuleRef,
    },
};
use drbd_core::{
    config::ResourceOptions,
    state::{summary::higher_role, Role},
};
use kernel::{prelude::*, str::CString};

/// Count of changes to lists of volumes.
static LISTS_VERSION: Atomic<u32> = Atomic::new(0);

/// A resource.
///
/// Its lists are changed with `admin` held, which serialises commands; they may be read without.
#[pin_data]
pub(crate) struct Resource {
    /// Its name: printable, no `/`.
    pub(crate) name: CString,
    /// Serialises administrative commands. Not held while a helper program runs.
    #[pin]
    pub(crate) admin: Mutex<()>,
    #[pin]
    pub(crate) options: Mutex<ResourceOptions>,
    #[pin]
    devices: Mutex<KVec<Arc<Device>>>,
    #[pin]
    connections: Mutex<KVec<Arc<Connection>>>,
    /// Role of a resource without volumes.
    bare_primary: Atomic<bool>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) helpers: Arc<Helpers>,
    /// Its threads, and the CPUs that they run on.
    pub(crate) crew: Arc<Crew>,
    /// Its programs that run.
    pub(crate) programs: Arc<Programs>,
    _module: ModuleRef,
}

impl Resource {
    /// A resource without anything in it. Context: task.
    pub(crate) fn new(
        name: &str,
        options: ResourceOptions,
        registry: &Registry,
    ) -> Result<Arc<Self>> {
        let name = CString::try_from_fmt(fmt!("{}", name))?;
        let programs = Programs::new()?;
        let crew = Crew::new()?;
        let module = ModuleRef::get().ok_or(ENODEV)?;
        Arc::pin_init(
            pin_init!(Resource {
                name,
                admin <- new_mutex!((), "drbd_admin"),
                options <- new_mutex!(options, "drbd_res_opts"),
                devices <- new_mutex!(KVec::new(), "drbd_devices"),
                connections <- new_mutex!(KVec::new(), "drbd_connections"),
                bare_primary: Atomic::new(false),
                notifier: registry.notifier.clone(),
                helpers: registry.helpers.clone(),
                crew,
                programs,
                _module: module,
            }),
            GFP_KERNEL,
        )
    }

    /// Name as text.
    pub(crate) fn name(&self) -> &str {
        self.name.to_str().unwrap_or("?")
    }

    /// Node id of this node.
    pub(crate) fn node_id(&self) -> u32 {
        self.options.lock().node_id
    }

    /// Changes whenever a list of volumes does, of any resource. Context: any.
    #[inline]
    pub(crate) fn lists_version() -> u32 {
        LISTS_VERSION.load(Relaxed)
    }

    /// A copy of the list of volumes, by number. Context: task.
    pub(crate) fn devices(&self) -> Result<KVec<Arc<Device>>> {
        copy_of(&self.devices.lock())
    }

    /// A copy of the list of connections. Context: task.
    pub(crate) fn connections(&self) -> Result<KVec<Arc<Connection>>> {
        copy_of(&self.connections.lock())
    }

    /// The volume `number`. Context: task.
    pub(crate) fn device(&self, number: u16) -> Option<Arc<Device>> {
        let devices = self.devices.lock();
        devices
            .iter()
            .find(|device| device.number == number)
            .cloned()
    }

    /// The connection to `peer_node_id`. Context: task.
    pub(crate) fn connection(&self, peer_node_id: u32) -> Option<Arc<Connection>> {
        let connections = self.connections.lock();
        connections
            .iter()
            .find(|c| c.peer_node_id == peer_node_id)
            .cloned()
    }

    /// The only connection that protocol 101 has. Context: task.
    pub(crate) fn first_connection(&self) -> Option<Arc<Connection>> {
        self.connections.lock().first().cloned()
    }

    /// Adds a volume, keeping the order of numbers. Context: task.
    pub(crate) fn add_device(&self, device: Arc<Device>) -> Result {
        let mut devices = self.devices.lock();
        let at = devices
            .iter()
            .position(|other| other.number > device.number);
        devices.push(device, GFP_KERNEL)?;
        if let Some(at) = at {
            if let Some(tail) = devices.get_mut(at..) {
                tail.rotate_right(1);
            }
        }
        let _ = LISTS_VERSION.fetch_add(1, Full);
        Ok(())
    }

    /// Takes a volume off the list. Context: task.
    pub(crate) fn remove_device(&self, number: u16) {
        let mut devices = self.devices.lock();
        devices.retain(|device| device.number != number);
        let _ = LISTS_VERSION.fetch_add(1, Full);
    }

    /// Adds a connection. Context: task.
    pub(crate) fn add_connection(&self, connection: Arc<Connection>) -> Result {
        Ok(self.connections.lock().push(connection, GFP_KERNEL)?)
    }

    /// Takes a connection off the list. Context: task.
    pub(crate) fn remove_connection(&self, peer_node_id: u32) {
        let mut connections = self.connections.lock();
        connections.retain(|connection| connection.peer_node_id != peer_node_id);
    }

    /// Role of this node. Context: task.
    pub(crate) fn role(&self) -> Role {
        let devices = self.devices.lock();
        if devices.is_empty() {
            return if self.bare_primary.load(Relaxed) {
                Role::Primary
            } else {
                Role::Secondary
            };
        }
        devices.iter().fold(Role::Secondary, |role, device| {
            higher_role(role, device.state().role)
        })
    }

    /// Sets the role of a resource without volumes. Context: any.
    pub(crate) fn set_bare_role(&self, role: Role) {
        self.bare_primary.store(role == Role::Primary, Relaxed);
    }
}

fn copy_of<T: Clone>(list: &KVec<T>) -> Result<KVec<T>> {
    let mut copy = KVec::with_capacity(list.len(), GFP_KERNEL)?;
    for item in list.iter() {
        copy.push(item.clone(), GFP_KERNEL)?;
    }
    Ok(copy)
}

/// All resources.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    resources: Mutex<KVec<Arc<Resource>>>,
    /// Held while an object with a name of its own (resource, minor, address) is checked and
    /// added, or a resource is removed: two commands may not both find a name free.
    #[pin]
    pub(crate) changes: Mutex<()>,
    /// Held while it is decided whose resync has to wait: what was looked at must not be older
    /// than what another thread decided by.
    #[pin]
    pub(crate) dependencies: Mutex<()>,
    pub(crate) notifier: Arc<Notifier>,
    helpers: Arc<Helpers>,
}

impl Registry {
    /// An empty list. Context: task.
    pub(crate) fn new(notifier: Arc<Notifier>, helpers: Arc<Helpers>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Registry {
                resources <- new_mutex!(KVec::new(), "drbd_resources"),
                changes <- new_mutex!((), "drbd_changes"),
                dependencies <- new_mutex!((), "drbd_dependencies"),
                notifier,
                helpers,
            }),
            GFP_KERNEL,
        )
    }

    /// A copy of the list, in order of creation. Context: task.
    pub(crate) fn resources(&self) -> Result<KVec<Arc<Resource>>> {
        copy_of(&self.resources.lock())
    }

    /// The resource called `name`. Context: task.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Resource>> {
        let resources = self.resources.lock();
        resources
            .iter()
            .find(|resource| resource.name() == name)
            .cloned()
    }

    /// The resource and volume of `minor`. Context: task.
    pub(crate) fn find_minor(&self, minor: u32) -> Option<(Arc<Resource>, Arc<Device>)> {
        let resources = self.resources.lock();
        for resource in resources.iter() {
            let devices = resource.devices.lock();
            if let Some(device) = devices.iter().find(|device| device.minor == minor) {
                return Some((resource.clone(), device.clone()));
            }
        }
        None
    }

    /// Whether `resource` is still on the list: a command may have waited for one that removed
    /// it. Context: task.
    pub(crate) fn has(&self, resource: &Arc<Resource>) -> bool {
        self.find(resource.name())
            .is_some_and(|found| Arc::ptr_eq(&found, resource))
    }

    /// Adds a resource. Context: task.
    pub(crate) fn add(&self, resource: Arc<Resource>) -> Result {
        Ok(self.resources.lock().push(resource, GFP_KERNEL)?)
    }

    /// Takes a resource off the list. Context: task.
    pub(crate) fn remove(&self, name: &str) {
        self.resources
            .lock()
            .retain(|resource| resource.name() != name);
    }
}

/// Keeps a resource while its name is used in messages.
pub(crate) struct Label(Option<Arc<Resource>>);

impl Label {
    /// Of a connection or a volume whose resource may be gone.
    pub(crate) fn new(resource: Option<Arc<Resource>>) -> Self {
        Label(resource)
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_ref().map_or("?", |resource| resource.name())
    }
}
