// SPDX-License-Identifier: GPL-2.0-or-later
//! Helper programs of user space: `drbdadm EVENT RESOURCE` (control-plane section 10, with the
//! arguments and the environment of DRBD 9: drbd9-api section 8).
//!
//! A program takes as long as it takes, and calls `drbdsetup`. So each runs on a thread of its own,
//! which holds no lock; the engine is told how it ended.

mod environment;

use crate::{
    netlink::facts,
    connection::Connection,
    device::Device,
    os::{
        kthread::KThread,
        lock::{new_mutex, Arc, Atomic, Full, Mutex, Relaxed},
        params, umh,
        wait::WaitQueue,
    },
    resource::Resource,
};
use drbd_core::genl::state::NotificationKind;
use environment::Environment;
use kernel::{prelude::*, str::CString};

/// How long a program waits for the metadata to be on stable storage.
const METADATA_PATIENCE_MS: u32 = 5000;
/// How long `down` waits for programs.
const PROGRAM_PATIENCE_MS: u32 = 10_000;

/// The threads that run programs.
#[pin_data]
pub(crate) struct Helpers {
    #[pin]
    threads: Mutex<KVec<KThread>>,
}

impl Helpers {
    /// No thread yet. Context: task.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Helpers { threads <- new_mutex!(KVec::new(), "drbd_helpers") }),
            GFP_KERNEL,
        )
    }

    /// Runs `job` for a resource on a thread. Context: task, not one of these threads.
    pub(crate) fn spawn(
        &self,
        programs: &Arc<Programs>,
        name: &CStr,
        job: impl FnOnce() + Send + 'static,
    ) -> Result {
        let programs = programs.clone();
        let _ = programs.running.fetch_add(1, Full);
        let result = self.spawn_thread(name, {
            let programs = programs.clone();
            move || {
                job();
                programs.end();
            }
        });
        if result.is_err() {
            programs.end();
        }
        result
    }

    fn spawn_thread(&self, name: &CStr, job: impl FnOnce() + Send + 'static) -> Result {
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.finished());
        threads.reserve(1, GFP_KERNEL)?;
        let thread = KThread::spawn(name, move |_| job())?;
        threads.push(thread, GFP_KERNEL)?;
        Ok(())
    }

    /// Waits for all programs. Context: the module's exit, with no resource left.
    fn join(&self) {
        let threads = core::mem::take(&mut *self.threads.lock());
        drop(threads);
    }
}

/// Counts the programs of a resource that run.
#[pin_data]
pub(crate) struct Programs {
    running: Atomic<u32>,
    #[pin]
    ended: WaitQueue,
}

impl Programs {
    /// None. Context: task.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Programs { running: Atomic::new(0), ended <- WaitQueue::new() }),
            GFP_KERNEL,
        )
    }

    fn end(&self) {
        let _ = self.running.fetch_sub(1, Full);
        self.ended.wake_all();
    }

    /// Waits a while for the programs of a resource that is gone: they keep the module loaded. Not
    /// for ever, since the caller may be one of them. Context: a process of user space, without
    /// locks.
    pub(crate) fn wait(&self) {
        let none = || self.running.load(Relaxed) == 0;
        let _ = self.ended.wait_killable(Some(PROGRAM_PATIENCE_MS), none);
    }
}

/// Waits for the threads when the module goes.
pub(crate) struct Owner(pub(crate) Arc<Helpers>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.join();
    }
}

/// Starts the next helper of a volume, if there is one to start. Context: the volume's worker.
pub(crate) fn start_next(resource: &Arc<Resource>, device: &Arc<Device>) {
    while let Some(helper) = device.with(|inner, _, _| inner.volume.next_helper()) {
        let (owner, minor) = (resource.clone(), device.clone());
        let job = move || {
            let version = minor.peek(|volume| volume.md_version());
            let _ = minor.changed.wait_until(None, Some(METADATA_PATIENCE_MS), || {
                minor.peek(|volume| volume.md_is_durable(version))
            });
            let connection = owner.first_connection();
            let code = run(&owner, Some(&minor), connection.as_deref(), helper.name());
            minor.with(|inner, link, now| inner.volume.helper_done(code, link, now));
        };
        let spawned = CString::try_from_fmt(fmt!("drbd_h_{}", device.minor))
            .and_then(|name| resource.helpers.spawn(&resource.programs, &name, job));
        match spawned {
            Ok(()) => return,
            Err(error) => {
                pr_err!(
                    "{}: cannot run helper {}: {:?}\n",
                    resource.name(),
                    helper.name(),
                    error
                );
                device.with(|inner, link, now| inner.volume.helper_done(0, link, now));
            }
        }
    }
}

/// Runs a helper and waits for it; its exit code, 0 if it could not be run. Context: task, no lock
/// held that a command needs.
pub(crate) fn run(
    resource: &Resource,
    device: Option<&Device>,
    connection: Option<&Connection>,
    event: &'static str,
) -> u8 {
    if params::helper_disabled() {
        return 0;
    }
    let tell = |kind, status| {
        resource
            .notifier
            .helper(resource, device, connection, (event, status), kind);
    };
    tell(NotificationKind::Call, 0);
    let ended = execute(resource, device, connection, event);
    let status = match ended {
        Ok(code) => u32::from(code).wrapping_shl(8),
        Err(error) => u32::from_ne_bytes(error.to_errno().to_ne_bytes()),
    };
    tell(NotificationKind::Response, status);
    match ended {
        Ok(0) => {
            pr_info!("{}: helper {} ended with 0\n", resource.name(), event);
            0
        }
        Ok(code) => {
            pr_warn!("{}: helper {} ended with {}\n", resource.name(), event, code);
            code
        }
        Err(error) => {
            pr_warn!(
                "{}: helper {} could not be run ({:?}): see the module parameter usermode_helper\n",
                resource.name(),
                event,
                error
            );
            0
        }
    }
}

fn execute(
    resource: &Resource,
    device: Option<&Device>,
    connection: Option<&Connection>,
    event: &'static str,
) -> Result<u8> {
    let environment = Environment::of(resource, device, connection, event)?;
    let env = environment.borrowed()?;
    let event = CString::try_from_fmt(fmt!("{}", event))?;
    let mut path = [0; params::HELPER_MAX];
    let path = params::usermode_helper(&mut path);
    // 8.4 names the minor (control-plane section 10).
    let minor = match device.filter(|_| facts::is_v1()) {
        Some(device) => Some(CString::try_from_fmt(fmt!("minor-{}", device.minor))?),
        None => None,
    };
    let object: &CStr = minor.as_deref().unwrap_or(&resource.name);
    umh::run(path, &[&event, object], &env)
}
