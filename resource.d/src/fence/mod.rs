// SPDX-License-Identifier: GPL-2.0-or-later
//! The handlers `fence-peer` and `unfence-peer` for resources that Pacemaker runs (drbdadm-ocf section 13).
//!
//! When replication to a peer is lost, `fence-peer` forbids the cluster to promote nodes whose data fall behind: a
//! location constraint with -INFINITY for the promoted role everywhere but where the data are good. Its exit code tells
//! the driver what became of the peer. `unfence-peer` takes the constraint away when all data are good again.
//!
//! The same program as the agent, under the names that configurations use: `crm-fence-peer.9.sh`, `crm-fence-peer.sh`
//! and the same with `unfence`. It never changes anything at the driver, which waits for it: it asks for the state at
//! most, with a limit.

mod cib;
mod constraint;
mod decision;
mod lock;
mod log;
mod node;
mod options;
mod peers;

use std::io::IsTerminal;
use std::path::Path;

use decision::Handler;
use log::Log;
use options::Options;
use peers::Peers;

/// Exit codes of a `fence-peer` handler, as the driver takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing was done, or nobody knows: the peer may do harm.
    Failed = 1,
    /// The peer is there, and its data do not count any more.
    Outdated = 4,
    /// The peer is not there, and taken for dead.
    Unreachable = 5,
    /// The peer was shot, or left the cluster in good order.
    Fenced = 7,
}

/// What the handler is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// fence-peer.
    Fence,
    /// unfence-peer.
    Unfence,
}

impl Task {
    /// By the name that the program was started with; `None` if that is not a handler's.
    pub(crate) fn of_program(program: &str) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        if name.contains("unfence-peer") {
            Some(Task::Unfence)
        } else if name.contains("fence-peer") {
            Some(Task::Fence)
        } else {
            None
        }
    }
}

/// Runs the handler; its exit code.
pub(crate) fn run(task: Task, args: &[String]) -> u8 {
    let more = std::env::var("OCF_RESKEY_unfence_extra_args").unwrap_or_default();
    let words = args
        .iter()
        .cloned()
        .chain(more.split_whitespace().map(str::to_owned));
    let (mut options, ignored) = match Options::read(words) {
        Ok(read) => read,
        Err(reason) => {
            Log::default().warning(&reason);
            return Answer::Failed as u8;
        }
    };
    let log = Log::of_facility(&options.facility);
    // Nothing that a configuration may say: somebody has to look.
    options.outdated &= std::io::stdin().is_terminal();
    for word in ignored {
        log.warning(&format!("ignoring unknown option {word}"));
    }
    match handle(task, &options, &log) {
        Ok(code) => code,
        Err(reason) => {
            log.warning(&reason);
            Answer::Failed as u8
        }
    }
}

fn handle(task: Task, options: &Options, log: &Log) -> Result<u8, String> {
    let own = crate::tools::own_name();
    let peers = Peers::of_environment(&own, |name| std::env::var(name).ok())?;
    let resource = options.resource.clone().or_else(|| peers.resource.clone());
    let resource =
        resource.ok_or("DRBD_RESOURCE is not set: drbdadm does, when it calls the handler")?;
    if !options.quiet {
        log.info(&format!("{task:?} {resource}: {peers}"));
    }
    // Two handlers for one resource would undo each other's work.
    let _lock = match lock::take(options, &resource) {
        Ok(lock) => Some(lock),
        Err(reason) if options.flock_required => return Err(reason),
        Err(reason) => {
            log.warning(&reason);
            None
        }
    };
    let world = node::Node::new(options, &resource, &peers, log);
    let handler = Handler {
        options,
        resource: &resource,
        own: &own,
        peers: &peers,
        world: &world,
    };
    Ok(match task {
        Task::Fence => {
            let answer = handler.fence();
            log.info(&format!(
                "fence-peer {resource}: {answer:?} ({})",
                answer as u8
            ));
            answer as u8
        }
        Task::Unfence => u8::from(!handler.unfence()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_task() {
        let task = Task::of_program;
        assert_eq!(task("/usr/lib/drbd/crm-fence-peer.9.sh"), Some(Task::Fence));
        assert_eq!(task("/usr/lib/drbd/crm-fence-peer.sh"), Some(Task::Fence));
        assert_eq!(task("crm-unfence-peer.9.sh"), Some(Task::Unfence));
        assert_eq!(task("drbd-crm-unfence-peer"), Some(Task::Unfence));
        assert_eq!(task("/usr/lib/ocf/resource.d/linbit/drbd"), None);
    }
}
