//! Recorded events through several rule sets at once: one reader, one thread for each rule set.
//!
//! Guarantees: what is told does not depend on the number of threads; every queue is bounded; each record is read
//! once, whatever it comes from. Does not compare: whoever asks is told what each rule set says of the same records.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::progress::Progress;
use crate::cli::output::{self, has_color};
use crate::cli::{Exit, fail, replay};
use crate::clock;
use crate::detect::Input;
use crate::event::{Limits, Millis};
use crate::geo::Databases;
use crate::ingest::Batch;
use crate::ingest::file::Lines;
use crate::ingest::source::{Fill, Source};
use crate::report;
use crate::tuning::labels::{self, LABELS_BYTES_MAX, Labels};
use crate::tuning::trial::{Said, Trial};

/// Batches that may wait for a rule set, and answers that may wait for the comparison.
const QUEUE_BATCHES: usize = 8;

/// What a command is told of the recorded events.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recorded events, one JSON object a line; `-` is stdin.
    #[arg(long, value_name = "FILE|-")]
    pub events: PathBuf,
    /// What is known of them, one JSON object a line: {"event":"…","label":"fraud|legit"},
    /// {"account":"…","from":"TIME","to":"TIME","label":"…"}, or the truth that `generate --truth` writes.
    /// A label of one event is found by an alert about that event; one of a time, by any alert in it.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// An MMDB file that tells what the events' own `geo` lacks; may stand several times.
    #[arg(long = "geo", value_name = "FILE")]
    pub geo: Vec<PathBuf>,
    /// The moment after which a time is in the future (RFC 3339); by default the start of the command.
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    pub now: Option<Millis>,
    /// Rule sets that run at once [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Tells no progress.
    #[arg(long)]
    pub no_progress: bool,
}

impl Args {
    /// Every file that is read.
    pub fn inputs(&self) -> Vec<&Path> {
        let files = [Some(&self.events), self.labels.as_ref()].into_iter().flatten();
        files.chain(&self.geo).map(PathBuf::as_path).collect()
    }

    /// The labels.
    pub fn read_labels(&self) -> anyhow::Result<Option<Arc<Labels>>> {
        let Some(path) = &self.labels else { return Ok(None) };
        let shown = path.display();
        let failed = |error: std::io::Error| fail(Exit::NoInput, format!("failed to read the labels {shown}: {error}"));
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > LABELS_BYTES_MAX {
            return Err(fail(Exit::Data, format!("{shown} has {bytes} bytes; at most {LABELS_BYTES_MAX} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => fail(Exit::Data, format!("the labels {shown} are not UTF-8")),
            _ => failed(error),
        })?;
        let labels = labels::read(&shown.to_string(), &text).map_err(|problems| {
            let text = report::render(&problems, has_color(&std::io::stderr()));
            fail(Exit::Data, format!("the labels have problems\n\n{text}"))
        })?;
        Ok(Some(Arc::new(labels)))
    }

    /// What is read with the events.
    pub fn open(&self) -> anyhow::Result<Recorded<'_>> {
        let geo = replay::geo(&self.geo)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Recorded {
            events: &self.events,
            geo: (!geo.is_empty()).then_some(geo),
            moment: self.now.unwrap_or_else(clock::now),
            threads: self.threads.map_or(cores, usize::from),
            is_quiet: self.no_progress,
        })
    }
}

/// Recorded events and what is known beside them.
#[derive(Debug)]
pub struct Recorded<'a> {
    events: &'a Path,
    geo: Option<Databases>,
    moment: Millis,
    /// Rule sets that may run at once.
    pub threads: usize,
    is_quiet: bool,
}

/// What `each` gets: what every rule set says of the same records, in the order of the rule sets.
type Each<'e> = dyn FnMut(&[Vec<Said>]) -> anyhow::Result<()> + 'e;

impl Recorded<'_> {
    /// Whether it can be read only once.
    pub fn is_once(&self) -> bool {
        output::is_dash(self.events)
    }

    /// Sends every record through each of the trials. `what` stands before the progress.
    pub fn run(&self, what: &str, trials: Vec<Trial>, each: &mut Each<'_>) -> anyhow::Result<Vec<Trial>> {
        let (reader, total_bytes) = replay::open(self.events)?;
        let lines = Lines::new(reader, Limits::default().value_bytes_max);
        let mut told = Told { progress: Progress::new(what, self.is_quiet), total_bytes, read: Arc::default() };
        let trials = if self.threads > 1 && trials.len() > 1 {
            self.together(lines, trials, &mut told, each)?
        } else {
            self.in_turn(lines, trials, &mut told, each)?
        };
        told.progress.done(told.read.records.load(Ordering::Relaxed));
        Ok(trials)
    }

    fn in_turn(
        &self,
        mut lines: Lines<Box<dyn BufRead + Send>>,
        mut trials: Vec<Trial>,
        told: &mut Told,
        each: &mut Each<'_>,
    ) -> anyhow::Result<Vec<Trial>> {
        let mut batch = Batch::default();
        loop {
            let fill = self.fill(&mut lines, &mut batch, &told.read)?;
            let said: Vec<Vec<Said>> = trials.iter_mut().map(|trial| self.take(trial, &batch)).collect();
            each(&said)?;
            told.tell();
            if fill == Fill::End {
                return Ok(trials);
            }
        }
    }

    fn together(
        &self,
        mut lines: Lines<Box<dyn BufRead + Send>>,
        trials: Vec<Trial>,
        told: &mut Told,
        each: &mut Each<'_>,
    ) -> anyhow::Result<Vec<Trial>> {
        let counted = Arc::clone(&told.read);
        std::thread::scope(|scope| {
            let mut to: Vec<SyncSender<Arc<Batch>>> = Vec::new();
            let mut from: Vec<Receiver<Vec<Said>>> = Vec::new();
            let mut workers = Vec::new();
            for mut trial in trials {
                let (batches, taken) = sync_channel::<Arc<Batch>>(QUEUE_BATCHES);
                let (says, said) = sync_channel(QUEUE_BATCHES);
                workers.push(scope.spawn(move || {
                    // It ends when there are no more batches, or nobody wants to know.
                    let _ = taken.iter().try_for_each(|batch| says.send(self.take(&mut trial, &batch)));
                    trial
                }));
                to.push(batches);
                from.push(said);
            }
            let reader = scope.spawn(move || -> anyhow::Result<()> {
                loop {
                    let mut batch = Batch::default();
                    let fill = self.fill(&mut lines, &mut batch, &counted)?;
                    let batch = Arc::new(batch);
                    let is_wanted = to.iter().all(|to| to.send(Arc::clone(&batch)).is_ok());
                    if fill == Fill::End || !is_wanted {
                        return Ok(());
                    }
                }
            });
            loop {
                let said: Option<Vec<Vec<Said>>> = from.iter().map(|from| from.recv().ok()).collect();
                let Some(said) = said else { break };
                each(&said)?;
                told.tell();
            }
            drop(from);
            let bug = |_| fail(Exit::Bug, "a thread of the engine has panicked");
            reader.join().map_err(bug)??;
            workers.into_iter().map(|worker| worker.join().map_err(bug)).collect()
        })
    }

    fn take(&self, trial: &mut Trial, batch: &Batch) -> Vec<Said> {
        let inputs = batch.records().map(|record| Input { lane: record.lane, value: record.value });
        trial.take(inputs, self.moment, self.geo.as_ref())
    }

    fn fill(&self, lines: &mut Lines<Box<dyn BufRead + Send>>, batch: &mut Batch, read: &Read) -> anyhow::Result<Fill> {
        batch.clear(self.moment);
        let fill = lines
            .fill(batch)
            .map_err(|error| fail(Exit::Io, format!("failed to read {}: {error}", self.events.display())))?;
        let bytes = batch.records().map(|record| record.value.map_or(0, |value| value.len() as u64 + 1)).sum();
        read.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        read.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(fill)
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Read {
    records: AtomicU64,
    bytes: AtomicU64,
}

struct Told {
    progress: Progress,
    total_bytes: Option<u64>,
    read: Arc<Read>,
}

impl Told {
    fn tell(&mut self) {
        let (records, bytes) = (self.read.records.load(Ordering::Relaxed), self.read.bytes.load(Ordering::Relaxed));
        self.progress.tell(records, bytes, self.total_bytes);
    }
}
