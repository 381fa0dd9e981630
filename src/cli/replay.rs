//! `walletwatch replay`: recorded events through the production engine, to files of alerts and findings.
//!
//! Guarantees: the same file, rules, geo files and `--now` give the same bytes; needs no config, no secret and
//! no broker: a config at hand says only whether the pack stands beside the rules it names. Judges exceptions by event time and lists not by their age.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::output::is_dash;
use super::rules::set::{Beside, sources};
use super::{Exit, fail, output};
use crate::clock;
use crate::detect::document::{AlertDocument, ContactDocument, Document};
use crate::detect::{Counters, Engine, FindingRecord, ForeignInput, Input, Options, Sink};
use crate::event::mapping::{Mapping, Origin};
use crate::event::{Closed, Event, EventType, Millis, RejectReason, Rejection};
use crate::geo::{Databases, OpenError};
use crate::ingest::file::Lines;
use crate::ingest::source::{Fill, Source};
use crate::ingest::{Batch, Position, Record};
use crate::report::{self, Problem};
use crate::ruleset::{Band, HashKey, Loaded, Ruleset, Sources, load};

/// How much of the file is read at once, bytes.
const READ_BYTES: usize = 1 << 20;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Sends recorded events through the production engine.
///
/// Each output is one JSON object a line; `-` is stdout. Without --rules the shipped pack decides.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch replay events.ndjson --alerts alerts.ndjson --summary -
  walletwatch replay events.ndjson --rules rules --geo GeoLite2-City.mmdb --findings findings.ndjson
  walletwatch replay events.ndjson --rules rules --pack builtin --alerts -
  walletwatch replay keycloak.ndjson --mapping keycloak --alerts - --rejected rejected.ndjson")]
pub struct Args {
    /// Events, one JSON object a line; `-` is stdin.
    #[arg(value_name = "FILE")]
    events: PathBuf,
    /// The rules directory, or `builtin`; the shipped pack without it.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Whether the shipped pack stands beside the directory. Without this: as the configuration says where `run` would
    /// find it, if it names this directory; else none.
    #[arg(long, value_enum, value_name = "PACK", requires = "rules")]
    pack: Option<Beside>,
    /// An MMDB file that tells what the events' own `geo` lacks; may stand several times.
    #[arg(long = "geo", value_name = "FILE")]
    geo: Vec<PathBuf>,
    /// The mapping that says what the records' fields are, a file or the name of a shipped one; without it they are
    /// our own events.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Where alerts go.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// Where findings go, those of shadow rules too.
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// Where refused lines go, with their reasons.
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    /// Where the counts go.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// The moment after which a time is in the future (RFC 3339); by default the start of the command.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Millis>,
    /// Tells no progress.
    #[arg(long)]
    no_progress: bool,
}

pub(super) fn time(text: &str) -> Result<Millis, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| "a time such as 2026-03-01T10:27:00Z is expected".to_owned())?;
    Ok(Millis(time.as_millisecond()))
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let named: Vec<&Path> = outputs(&args).map(PathBuf::as_path).collect();
    output::refuse_overwriting(&inputs(&args), &named)?;
    let key = fresh_key();
    let loaded = rules(args.rules.as_deref(), args.pack, key)?;
    let mapping = args.mapping.as_deref().map(super::mapping::one).transpose()?;
    let geo = geo(&args.geo)?;
    let (events, total_bytes) = open(&args.events)?;
    let rules = Arc::new(loaded.ruleset);
    let options = Options { findings: args.findings.is_some(), ..Options::default() };
    let limit = options.limits.value_bytes_max;
    let mut replay = Replay {
        engine: Engine::new(Arc::clone(&rules), loaded.policy.bands, options, key),
        geo: (!geo.is_empty()).then_some(geo),
        mapping,
        outputs: Outputs {
            alerts: Output::open(args.alerts.as_deref())?,
            findings: Output::open(args.findings.as_deref())?,
            rejected: Output::open(args.rejected.as_deref())?,
            lines: Vec::new(),
            failed: None,
        },
        progress: Progress::new(total_bytes, args.no_progress),
        moment: args.now.unwrap_or_else(clock::now),
    };
    replay.work(Lines::new(events, limit), &args.events)?;
    let summary = Summary::new(&rules, replay.engine.counters());
    replay.outputs.finish()?;
    if let Some(mut out) = Output::open(args.summary.as_deref())? {
        out.line(&summary).and_then(|()| out.flush()).context("failed to write the summary")?;
    } else if !writes_to_stdout(&args) {
        io::stdout().lock().write_all(summary.human().as_bytes())?;
    }
    Ok(Exit::Done)
}

/// A key of its own for each run: nothing that is written depends on it.
fn fresh_key() -> HashKey {
    let mut bytes = [0; 16];
    for half in bytes.chunks_mut(8) {
        let random = std::hash::RandomState::new().build_hasher().finish();
        half.copy_from_slice(&random.to_be_bytes());
    }
    HashKey::new(bytes)
}

fn outputs(args: &Args) -> impl Iterator<Item = &PathBuf> {
    [&args.alerts, &args.findings, &args.rejected, &args.summary].into_iter().flatten()
}

/// Everything that is read; nothing of a folder of rules is known by name here.
fn inputs(args: &Args) -> Vec<&Path> {
    let files = [Some(&args.events), args.mapping.as_ref()].into_iter().flatten();
    files.chain(&args.geo).map(PathBuf::as_path).collect()
}

fn writes_to_stdout(args: &Args) -> bool {
    outputs(args).any(|path| is_dash(path))
}

fn rules(directory: Option<&Path>, pack: Option<Beside>, key: HashKey) -> anyhow::Result<Loaded> {
    let sources = match directory {
        None => Sources::builtin(),
        Some(path) => sources(path, pack)?,
    };
    load(&sources, key, None).map_err(|problems| {
        let text = report::render(&problems, io::stderr().is_terminal());
        fail(Exit::Config, format!("the rules have problems\n\n{text}"))
    })
}

pub(super) fn geo(paths: &[PathBuf]) -> anyhow::Result<Databases> {
    Databases::open(paths).map_err(|errors| {
        let missing = errors.iter().any(|error| matches!(error, OpenError::Missing { .. }));
        let problems: Vec<Problem> = errors.iter().map(OpenError::problem).collect();
        let text = report::render(&problems, io::stderr().is_terminal());
        fail(if missing { Exit::NoInput } else { Exit::Data }, format!("geo files cannot be used\n\n{text}"))
    })
}

/// A file of events, or stdin; and its size, bytes, where it has one.
pub(super) fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if is_dash(path) {
        return Ok((Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())), None));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (about, file) =
        opened.map_err(|error| fail(Exit::NoInput, format!("failed to open {}: {error}", path.display())))?;
    if about.is_dir() {
        return Err(fail(Exit::NoInput, format!("{} is a directory, a file of events is expected", path.display())));
    }
    Ok((Box::new(BufReader::with_capacity(READ_BYTES, file)), Some(about.len())))
}

struct Replay {
    engine: Engine,
    geo: Option<Databases>,
    mapping: Option<Mapping>,
    outputs: Outputs,
    progress: Progress,
    moment: Millis,
}

impl Replay {
    fn work(&mut self, mut lines: Lines<Box<dyn BufRead + Send>>, path: &Path) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        loop {
            batch.clear(self.moment);
            let fill = lines
                .fill(&mut batch)
                .map_err(|error| fail(Exit::Io, format!("failed to read {}: {error}", path.display())))?;
            self.outputs.lines.clear();
            self.outputs.lines.extend(batch.records().map(|record| record.position.offset));
            match &self.mapping {
                None => {
                    let inputs = batch.records().map(|record| Input { lane: record.lane, value: record.value });
                    self.engine.take(inputs, self.moment, self.geo.as_ref(), &mut self.outputs);
                }
                Some(mapping) => {
                    let inputs = batch.records().map(|record| foreign(record, mapping));
                    self.engine.take(inputs, self.moment, self.geo.as_ref(), &mut self.outputs);
                }
            }
            self.outputs.check()?;
            let bytes = batch.records().map(|record| record.value.map_or(0, |v| v.len() as u64 + 1)).sum();
            self.progress.tell(bytes, self.engine.counters());
            if fill == Fill::End {
                return Ok(());
            }
        }
    }
}

/// A line that holds another system's record. Nobody stamped it.
fn foreign<'r>(record: Record<'r>, mapping: &'r Mapping) -> ForeignInput<'r> {
    let Position { partition, offset, .. } = record.position;
    ForeignInput {
        input: Input { lane: record.lane, value: record.value },
        mapping: Some(mapping),
        origin: Origin { topic: mapping.name(), partition, offset, stamp: None, key: None },
    }
}

/// One output, a JSON object a line.
struct Output(Box<dyn Write>);

impl Output {
    fn open(path: Option<&Path>) -> anyhow::Result<Option<Output>> {
        let Some(path) = path else { return Ok(None) };
        if is_dash(path) {
            return Ok(Some(Output(Box::new(BufWriter::new(io::stdout())))));
        }
        let file = File::create(path)
            .map_err(|error| fail(Exit::Io, format!("failed to create {}: {error}", path.display())))?;
        Ok(Some(Output(Box::new(BufWriter::new(file)))))
    }

    fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, object)?;
        self.0.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Outputs {
    alerts: Option<Output>,
    findings: Option<Output>,
    rejected: Option<Output>,
    /// The number of the line of each input of the batch.
    lines: Vec<i64>,
    failed: Option<io::Error>,
}

impl Outputs {
    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    fn check(&mut self) -> anyhow::Result<()> {
        match self.failed.take() {
            Some(error) => Err(anyhow::Error::new(error).context("failed to write what was found")),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        for output in [&mut self.alerts, &mut self.findings, &mut self.rejected].into_iter().flatten() {
            output.flush().context("failed to write what was found")?;
        }
        Ok(())
    }
}

/// A line of `--rejected`.
#[derive(Serialize)]
struct Refused<'r> {
    line: i64,
    reason: &'r str,
    field: Option<&'static str>,
    detail: &'r str,
}

impl Sink for Outputs {
    fn rejected(&mut self, input: usize, rejection: &Rejection) {
        let line = self.lines.get(input).copied().unwrap_or_default();
        let Rejection { reason, field, detail } = rejection;
        let refused = Refused { line, reason: reason.word(), field: *field, detail };
        let written = self.rejected.as_mut().map_or(Ok(()), |out| out.line(&refused));
        self.keep(written);
    }

    fn duplicate(&mut self, _: usize) {}

    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}

    fn contact(&mut self, _: usize, _: ContactDocument) {}

    fn finding(&mut self, _: usize, record: FindingRecord) {
        let written = self.findings.as_mut().map_or(Ok(()), |out| out.line(&record));
        self.keep(written);
    }

    fn alert(&mut self, _: usize, document: AlertDocument) {
        let document = Document::Alert(Box::new(document));
        let written = self.alerts.as_mut().map_or(Ok(()), |out| out.line(&document));
        self.keep(written);
    }
}

/// What `--summary` writes.
#[derive(Debug, Serialize)]
struct Summary<'r> {
    records: u64,
    accepted: u64,
    duplicates: u64,
    late: u64,
    rejected: u64,
    ignored: u64,
    unknown_fields: u64,
    findings: u64,
    alerts: u64,
    contacts: u64,
    accepted_by_type: BTreeMap<&'static str, u64>,
    rejected_by_reason: BTreeMap<&'static str, u64>,
    ignored_by_reason: &'r BTreeMap<String, u64>,
    findings_by_rule: BTreeMap<&'r str, ByOutcome>,
    alerts_by_band: BTreeMap<&'static str, u64>,
    rules: &'r str,
}

#[derive(Debug, Serialize)]
struct ByOutcome {
    fired: u64,
    repeated: u64,
    excepted: u64,
}

impl<'r> Summary<'r> {
    fn new(rules: &'r Ruleset, counters: &'r Counters) -> Self {
        let counted = |words: &'static [&'static str], counts: &[u64]| {
            words.iter().copied().zip(counts.iter().copied()).filter(|(_, n)| *n > 0).collect::<BTreeMap<_, _>>()
        };
        let by_rule = rules.rules.iter().zip(&counters.findings).filter(|(_, counts)| counts.iter().any(|n| *n > 0));
        let bands = [Band::Info, Band::Low, Band::Medium, Band::High, Band::Critical];
        let words = ["info", "low", "medium", "high", "critical"];
        let by_band = words.into_iter().zip(bands.map(|band| counters.alerts_of(band))).filter(|(_, n)| *n > 0);
        let (accepted, rejected) = (counters.accepted_total(), counters.rejected_total());
        Summary {
            records: accepted + counters.duplicates + rejected + counters.ignored_total(),
            accepted,
            duplicates: counters.duplicates,
            late: counters.late,
            rejected,
            ignored: counters.ignored_total(),
            unknown_fields: counters.unknown_fields,
            findings: counters.findings.iter().map(|[fired, ..]| fired).sum(),
            alerts: counters.alerts.iter().sum(),
            contacts: counters.contacts,
            accepted_by_type: counted(EventType::WORDS, &counters.accepted),
            rejected_by_reason: counted(RejectReason::WORDS, &counters.rejected),
            ignored_by_reason: &counters.ignored,
            findings_by_rule: by_rule
                .map(|(rule, [fired, repeated, excepted])| {
                    let counts = ByOutcome { fired: *fired, repeated: *repeated, excepted: *excepted };
                    (rule.id.as_str(), counts)
                })
                .collect(),
            alerts_by_band: by_band.collect(),
            rules: &rules.digest,
        }
    }

    fn human(&self) -> String {
        let mut text = format!(
            "{} records: {} accepted ({} late), {} duplicates, {} refused\n{} findings, {} alerts\n",
            self.records, self.accepted, self.late, self.duplicates, self.rejected, self.findings, self.alerts
        );
        for (rule, counts) in &self.findings_by_rule {
            let ByOutcome { fired, repeated, excepted } = counts;
            text.push_str(&format!("  {rule}: {fired} fired, {repeated} repeated, {excepted} excepted\n"));
        }
        for (reason, n) in &self.rejected_by_reason {
            text.push_str(&format!("  refused, {reason}: {n}\n"));
        }
        for (reason, n) in self.ignored_by_reason {
            text.push_str(&format!("  ignored, {reason}: {n}\n"));
        }
        text
    }
}

/// Talk on stderr while it runs.
struct Progress {
    began: Instant,
    told: Instant,
    bytes: u64,
    total_bytes: Option<u64>,
    is_quiet: bool,
}

impl Progress {
    fn new(total_bytes: Option<u64>, is_quiet: bool) -> Self {
        let now = Instant::now();
        Progress { began: now, told: now, bytes: 0, total_bytes, is_quiet }
    }

    fn tell(&mut self, bytes: u64, counters: &Counters) {
        self.bytes += bytes;
        if self.is_quiet || self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.told = Instant::now();
        let events = counters.accepted_total();
        let per_second = events as f64 / self.began.elapsed().as_secs_f64();
        let part = match self.total_bytes {
            Some(total) if total > 0 => format!(" ({} %)", self.bytes.min(total) * 100 / total),
            _ => String::new(),
        };
        let alerts: u64 = counters.alerts.iter().sum();
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(io::stderr(), "replay: {events} events{part}, {per_second:.0} a second, {alerts} alerts");
    }
}
