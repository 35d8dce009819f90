// SPDX-License-Identifier: GPL-2.0-or-later
//! One process that feeds one target, so that whatever happens to it is told apart from what the parent does.
//!
//! Before an input is tried it is in the file `running`: also a process that is killed leaves it behind.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use peak_alloc::PeakAlloc;

use crate::shrink::shrink;
use crate::{Target, Trace, MEMORY_MAX_BYTES, TIME_MAX};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Inputs that others are made of; more only make the choice worse.
const PARENTS_MAX: usize = 4096;

/// How often the watch looks.
const WATCH: Duration = Duration::from_millis(50);

/// Exit code of a worker that found a fault and told what it is.
pub const FAULT: u8 = 10;

/// How long a worker goes on.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// For this time; what is found is kept for the next run.
    Time(Duration),
    /// For so many inputs, from the seeds alone: the same ones each time.
    Runs(u64),
}

/// What a worker is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is fed.
    pub target: Target,
    /// Where chance starts.
    pub seed: u64,
    /// How long.
    pub budget: Budget,
    /// Where `running` and the kept parents are.
    pub directory: PathBuf,
}

/// What a worker that found nothing has done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Inputs that were tried.
    pub runs: u64,
    /// Inputs that showed something new.
    pub parents: usize,
}

/// What a target broke: a panic's message, or a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

/// The input that is being tried, for those who look from outside.
struct Watched {
    running: File,
    since: Arc<Mutex<Option<Instant>>>,
}

impl Watched {
    fn start(directory: &Path) -> Result<Self> {
        let path = running(directory);
        let running = File::create(&path);
        let running = running.with_context(|| format!("cannot write {}", path.display()))?;
        let since = Arc::new(Mutex::new(None));
        let watched = Arc::clone(&since);
        std::thread::spawn(move || watch(&watched));
        Ok(Self { running, since })
    }

    fn begin(&self, input: &[u8]) -> std::io::Result<()> {
        let mut record = u64::try_from(input.len())
            .unwrap_or(0)
            .to_le_bytes()
            .to_vec();
        record.extend_from_slice(input);
        self.running.write_all_at(&record, 0)?;
        *lock(&self.since) = Some(Instant::now());
        Ok(())
    }

    fn end(&self) {
        *lock(&self.since) = None;
    }
}

fn lock(since: &Mutex<Option<Instant>>) -> std::sync::MutexGuard<'_, Option<Instant>> {
    since.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process when an input takes too long or too much.
fn watch(since: &Mutex<Option<Instant>>) {
    loop {
        std::thread::sleep(WATCH);
        let started = *lock(since);
        let fault = if started.is_some_and(|started| started.elapsed() > TIME_MAX) {
            format!("no end after {} s", TIME_MAX.as_secs())
        } else if ALLOCATOR.current_usage() > MEMORY_MAX_BYTES {
            format!("more than {} MiB of memory", MEMORY_MAX_BYTES >> 20)
        } else {
            continue;
        };
        println!("{fault}");
        std::process::exit(i32::from(FAULT));
    }
}

/// The file that holds the input that is being tried.
fn running(directory: &Path) -> PathBuf {
    directory.join("running")
}

/// The input that a worker of this directory tried last.
///
/// # Errors
///
/// When there was none, or it cannot be read.
pub fn last_input(directory: &Path) -> Result<Vec<u8>> {
    let path = running(directory);
    let record = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (len, bytes) = record
        .split_first_chunk::<8>()
        .context("the worker tried nothing")?;
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    Ok(bytes.get(..len).unwrap_or(bytes).to_vec())
}

/// Tries one input.
///
/// # Errors
///
/// The rule that was broken. An input without end is not an error here: the watch ends the process.
pub fn try_one(target: &Target, input: &[u8]) -> std::result::Result<Trace, Fault> {
    let mut trace = Trace::default();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input, &mut trace)));
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    if result.is_err() {
        return Err(Fault(lock_message().clone()));
    }
    if taken > target.memory_max_bytes {
        let (taken, most) = (taken >> 10, target.memory_max_bytes >> 10);
        return Err(Fault(format!(
            "{taken} KiB of memory, {most} KiB are the limit"
        )));
    }
    Ok(trace)
}

static MESSAGE: Mutex<String> = Mutex::new(String::new());

fn lock_message() -> std::sync::MutexGuard<'static, String> {
    MESSAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a panic's message and place instead of printing them.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|info| {
        *lock_message() = info.to_string();
    }));
}

/// The place in a panic's message: while an input is made shorter it has to stay the same.
fn place(fault: &Fault) -> &str {
    fault.0.lines().next().unwrap_or("")
}

/// Feeds a target until the budget is used up.
///
/// # Errors
///
/// When the directory cannot be written. A fault of the target is the inner error; its input, made short, is in `running`.
pub fn work(job: &Job) -> Result<std::result::Result<Done, Fault>> {
    std::fs::create_dir_all(&job.directory)
        .with_context(|| format!("cannot make {}", job.directory.display()))?;
    let watched = Watched::start(&job.directory)?;
    let mut feeder = Feeder {
        job,
        rng: Rng::with_seed(job.seed),
        facts: HashSet::new(),
        parents: Vec::new(),
        words: (job.target.words)(),
    };
    let mut runs = 0;
    let started = Instant::now();
    for input in feeder.first_inputs() {
        runs += 1;
        if let Err(fault) = feeder.feed(&watched, input, true)? {
            return Ok(Err(fault));
        }
    }
    loop {
        let goes_on = match job.budget {
            Budget::Time(time) => started.elapsed() < time,
            Budget::Runs(most) => runs < most,
        };
        if !goes_on {
            return Ok(Ok(Done {
                runs,
                parents: feeder.parents.len(),
            }));
        }
        runs += 1;
        let input = feeder.next_input();
        if let Err(fault) = feeder.feed(&watched, input, false)? {
            return Ok(Err(fault));
        }
    }
}

struct Feeder<'j> {
    job: &'j Job,
    rng: Rng,
    facts: HashSet<u64>,
    parents: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Feeder<'_> {
    fn kept(&self) -> PathBuf {
        self.job.directory.join("kept")
    }

    fn first_inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs = (self.job.target.seeds)();
        if let (Budget::Time(_), Ok(entries)) = (self.job.budget, std::fs::read_dir(self.kept())) {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            inputs.extend(paths.iter().filter_map(|path| std::fs::read(path).ok()));
        }
        inputs
    }

    fn next_input(&mut self) -> Vec<u8> {
        let mut input = match self.parents.len() {
            0 => Vec::new(),
            count => self.parents[self.rng.usize(0..count)].clone(),
        };
        (self.job.target.change)(&mut self.rng, &mut input, &self.parents, &self.words);
        input.truncate(self.job.target.bytes_max);
        input
    }

    /// Tries an input and keeps it if it showed something new.
    fn feed(
        &mut self,
        watched: &Watched,
        input: Vec<u8>,
        is_given: bool,
    ) -> Result<std::result::Result<(), Fault>> {
        let target = &self.job.target;
        watched.begin(&input).context("cannot write the input")?;
        let result = try_one(target, &input);
        watched.end();
        let trace = match result {
            Ok(trace) => trace,
            Err(fault) => {
                let short = shrink(&input, |shorter| {
                    // A shorter one may have no end: it must be known, too.
                    watched.begin(shorter).is_ok()
                        && try_one(target, shorter)
                            .is_err_and(|other| place(&other) == place(&fault))
                });
                watched.begin(&short).context("cannot write the input")?;
                watched.end();
                let fault = try_one(target, &short).err().unwrap_or(fault);
                return Ok(Err(fault));
            }
        };
        let known = self.facts.len();
        self.facts.extend(trace.facts());
        if self.facts.len() > known && self.parents.len() < PARENTS_MAX {
            if !is_given && matches!(self.job.budget, Budget::Time(_)) {
                let kept = self.kept();
                std::fs::create_dir_all(&kept).context("cannot keep an input")?;
                std::fs::write(kept.join(name_of(&input)), &input)
                    .context("cannot keep an input")?;
            }
            self.parents.push(input);
        }
        Ok(Ok(()))
    }
}

/// File name of an input.
pub fn name_of(input: &[u8]) -> String {
    let mut trace = Trace::default();
    trace.note(input);
    format!("{:016x}", trace.facts().first().copied().unwrap_or(0))
}
