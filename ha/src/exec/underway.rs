// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs under way that change something, noted where a later life of the daemon finds them. A daemon that dies leaves its
//! programs behind: one that starts a service would do so after the next life has looked, and found it stopped. So each program
//! has a slot, and a new life ends what is left before it looks at anything.
//!
//! The daemon notes `N.want` before it starts a program; the program's shell makes `N`, exclusively, with the number of its
//! process group, before it becomes the program. A new life that makes `N` first keeps it from ever beginning.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use tokio::sync::OnceCell;

use super::process::{End, Ended, Program};

/// Names the slot in the environment of a program, and so of all that it starts.
pub(super) const VARIABLE: &str = "DRBD_HA_ACTION";

const WANT: &str = "want";
/// Between two looks at what does not want to end.
const PAUSE: Duration = Duration::from_millis(20);
/// Between the making of a slot and its number.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// Between two complaints.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The slots of a node.
#[derive(Debug, Clone, Default)]
pub struct Underway {
    directory: Option<PathBuf>,
    next: Arc<AtomicU64>,
    cleared: Arc<OnceCell<()>>,
}

/// One of them; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
}

impl Slot {
    /// The file that the program makes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        name(&self.path)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        free(&self.path);
    }
}

fn name(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
}

fn free(slot: &Path) {
    // The wish last: without it nobody looks at the rest.
    for file in [slot.to_owned(), slot.with_extension(WANT)] {
        if let Err(error) = std::fs::remove_file(&file) {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("cannot remove {}: {error}", file.display());
            }
        }
    }
}

impl Underway {
    /// Slots in that directory, which has to vanish with a boot.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Underway {
            directory: Some(directory),
            ..Underway::default()
        }
    }

    /// Notes a program that is about to be started; `None` where nothing is noted.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(super) fn begin(&self) -> io::Result<Option<Arc<Slot>>> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        std::fs::create_dir_all(directory)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(number.to_string());
        File::create(path.with_extension(WANT))?;
        Ok(Some(Arc::new(Slot { path })))
    }

    /// Runs a program that changes something, noted. One that can't be noted is run nevertheless when it only stops something.
    pub(super) async fn run(&self, program: Program, starts: bool, limit: Duration) -> Ended {
        match self.begin() {
            Ok(slot) => Program { slot, ..program }.run(limit).await,
            Err(error) if !starts => {
                tracing::warn!("it can't be noted that a program runs: {error}");
                program.run(limit).await
            }
            Err(error) => Ended {
                end: End::NotStarted(format!("it can't be noted that it runs: {error}")),
                output: String::new(),
                complaints: String::new(),
                took: Duration::ZERO,
            },
        }
    }

    /// Ends what an earlier life left, once; nothing may be looked at or begun before. Waits for programs that sleep in the
    /// kernel as long as they do: nobody knows what they will have done.
    pub(super) async fn clear(&self) {
        let Some(directory) = &self.directory else {
            return;
        };
        self.cleared
            .get_or_init(|| async {
                for slot in left(directory) {
                    end(&slot).await;
                    free(&slot);
                }
            })
            .await;
    }
}

/// Slots that somebody wanted.
fn left(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let wanted = paths.filter(|path| path.extension().is_some_and(|end| end == WANT));
    wanted.map(|path| path.with_extension("")).collect()
}

/// Returns when the program of a slot has ended, or can't begin any more.
async fn end(slot: &Path) {
    match OpenOptions::new().write(true).create_new(true).open(slot) {
        Ok(_) => return,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            tracing::error!("cannot make {}: {error}", slot.display());
            return;
        }
    }
    let Some(group) = group_of(slot).await else {
        return;
    };
    let mark = format!("{VARIABLE}={}", name(slot));
    let begun = Instant::now();
    let mut complained = Duration::ZERO;
    loop {
        let members = members(group, &mark);
        if members.is_empty() {
            return;
        }
        let passed = begun.elapsed();
        if passed < PAUSE {
            tracing::warn!("a program that an earlier drbd-had left is ended: {members:?}");
        } else if passed - complained > COMPLAIN_EVERY {
            complained = passed;
            tracing::error!("processes {members:?} do not end: nothing is done before");
        }
        for member in members {
            // It may just have ended.
            let _ = kill(Pid::from_raw(member), Signal::SIGKILL);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The process group in a slot; `None` when whoever made it died before it wrote.
async fn group_of(slot: &Path) -> Option<i32> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(slot).unwrap_or_default();
        if let Some(line) = text.strip_suffix('\n') {
            return line.parse().ok();
        }
        if begun.elapsed() > WRITE_LIMIT {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Processes of a group that were started for a slot. The number of a group may be somebody else's by now.
fn members(group: i32, mark: &str) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let ours = |number: &i32| {
        let place = Path::new("/proc").join(number.to_string());
        is_in(&place, group) && is_marked(&place, mark)
    };
    numbers.filter(ours).collect()
}

/// In that group, and not only waiting to be buried.
fn is_in(place: &Path, group: i32) -> bool {
    let stat = std::fs::read_to_string(place.join("stat")).unwrap_or_default();
    // The name before may contain anything.
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut words = rest.split(' ');
    let dead = matches!(words.next(), Some("Z" | "X"));
    !dead && words.nth(1) == Some(group.to_string().as_str())
}

fn is_marked(place: &Path, mark: &str) -> bool {
    let environment = std::fs::read(place.join("environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str, slot: Option<Arc<Slot>>) -> Program {
        Program {
            slot,
            ..Program::new("/bin/sh", &["-c", script])
        }
    }

    #[tokio::test]
    async fn a_program_that_ended_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let underway = Underway::at(directory.path().join("actions"));
        let slot = underway.begin().unwrap();
        let ended = shell("echo $DRBD_HA_ACTION; exit 3", slot).run(LONG).await;
        assert_eq!(ended.end, End::Exited(3));
        assert_eq!(ended.output, "0\n");
        assert!(left(&directory.path().join("actions")).is_empty());
        let ended = Program {
            slot: underway.begin().unwrap(),
            ..Program::new("/nonexistent", &[])
        };
        let ended = ended.run(LONG).await;
        assert!(matches!(ended.end, End::NotStarted(_)), "{ended:?}");
    }

    #[tokio::test]
    async fn what_an_earlier_life_left_is_ended_before_anything_else() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("actions");
        let underway = Underway::at(place.clone());
        let file = directory.path().join("done");
        // The program, and one that it started; a service that went its own way is left alone.
        let script = format!(
            "sleep 1000 & echo . >>{0}; wait; echo done >>{0}",
            file.display()
        );
        let program = shell(&script, underway.begin().unwrap());
        let task = tokio::spawn(program.run(LONG));
        while !file.exists() {
            tokio::time::sleep(PAUSE).await;
        }
        let group = group_of(&place.join("0")).await.unwrap();
        let mark = format!("{VARIABLE}=0");
        assert_eq!(members(group, &mark).len(), 2);
        assert!(members(group, "DRBD_HA_ACTION=1").is_empty());
        // Whoever runs it is not asked.
        Underway::at(place.clone()).clear().await;
        assert!(members(group, &mark).is_empty());
        assert!(left(&place).is_empty());
        assert_eq!(std::fs::read_to_string(file).unwrap(), ".\n");
        assert_eq!(task.await.unwrap().end, End::Killed(9));
    }

    #[tokio::test]
    async fn what_has_not_begun_never_begins() {
        let directory = tempfile::tempdir().unwrap();
        let underway = Underway::at(directory.path().to_owned());
        let file = directory.path().join("done");
        let slot = underway.begin().unwrap();
        end(slot.as_ref().unwrap().path()).await;
        let ended = shell(&format!("echo >{}", file.display()), slot)
            .run(LONG)
            .await;
        assert_eq!(ended.end, End::Exited(125));
        assert!(!file.exists());
    }
}
