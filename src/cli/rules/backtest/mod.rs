//! `rules backtest`: what would change if other rules were live?
//!
//! Guarantees: both rule sets see the same records in the production engine; what is told does not depend on the
//! number of threads. Changes nothing and sends nothing.

mod human;
mod notices;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use self::notices::Desk;
use super::KEY;
use super::recording;
use super::set::{Beside, required, sources};
use crate::cli::{Exit, Format, fail, output};
use crate::deliver::notice_files::NoticeFiles;
use crate::deliver::{NoticesConfig, Templates};
use crate::report;
use crate::ruleset::{HashKey, Policy, Ruleset};
use crate::tuning::backtest::{Backtest, Comparison, Difference, Ran};
use crate::tuning::notices::SegmentPrice;
use crate::tuning::report as html;
use crate::tuning::trial::Trial;

/// What would change? Runs two rule sets over recorded events, side by side.
///
/// Tells the alerts and accounts gained and lost, the notices and SMS that would be sent, and, where there are
/// labels, precision and recall. What nobody labelled counts neither for nor against a rule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules backtest --old builtin --new rules --events events.ndjson --report report.html
  walletwatch rules backtest --old builtin --new rules --events events.ndjson --labels truth.ndjson
  walletwatch rules backtest --old before --new rules --events - --sms-cost 0.05CNY --format json")]
pub struct Args {
    /// The rules as they are: a directory, or `builtin` for the shipped pack.
    #[arg(long, value_name = "DIR")]
    old: PathBuf,
    /// The rules as they would be: a directory, or `builtin`.
    #[arg(long, visible_alias = "rules", value_name = "DIR", default_value = "rules")]
    new: PathBuf,
    /// Whether the shipped pack stands beside a directory; without this as `run` would have it here.
    #[arg(long, value_enum, value_name = "PACK")]
    pack: Option<Beside>,
    #[command(flatten)]
    recorded: recording::Args,
    /// What an SMS segment costs, such as "0.05 CNY".
    #[arg(long, value_name = "AMOUNT", value_parser = SegmentPrice::parse)]
    sms_cost: Option<SegmentPrice>,
    /// Draws the samples: another number draws others.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where a report for the browser goes: one file, nothing is loaded from anywhere.
    #[arg(long, value_name = "FILE|-")]
    report: Option<PathBuf>,
    /// Where every alert that differs goes, one JSON object a line.
    #[arg(long, value_name = "FILE|-")]
    differences: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let outputs: Vec<&Path> = [&args.report, &args.differences].into_iter().flatten().map(PathBuf::as_path).collect();
    output::refuse_overwriting(&args.recorded.inputs(), &outputs)?;
    let sides = [Side::load(&args.old, args.pack)?, Side::load(&args.new, args.pack)?];
    let labels = args.recorded.read_labels()?;
    let recorded = args.recorded.open()?;
    let mut differences = args.differences.as_deref().map(create).transpose()?;
    let report = args.report.as_deref().map(create).transpose()?;

    let trials = sides.iter().map(|side| {
        let (rules, bands) = (Arc::clone(&side.rules), side.policy.bands);
        Trial::new(rules, bands, HashKey::new(KEY), labels.clone())
    });
    let trials: Vec<Trial> = trials.collect();
    let desk = |side: &Side| -> anyhow::Result<Desk> {
        Ok(Desk::new(side.policy.clone(), side.templates()?, args.sms_cost, args.seed))
    };
    let [old_side, new_side] = &sides;
    let (mut old_desk, mut new_desk) = (desk(old_side)?, desk(new_side)?);
    let mut comparison = Comparison::new(labels, args.seed);
    let trials = recorded.run("backtest", trials, &mut |said| {
        let [old, new] = said else { return Ok(()) };
        old_desk.take(old);
        new_desk.take(new);
        let mut each = Differences { out: differences.as_mut(), written: Ok(()) };
        comparison.take(old, new, &mut |difference| each.line(&difference));
        each.written.context("failed to write the differences")
    })?;
    let mut each = Differences { out: differences.as_mut(), written: Ok(()) };
    comparison.end(&mut |difference| each.line(&difference));
    each.written.context("failed to write the differences")?;
    if let Some(out) = &mut differences {
        out.flush().context("failed to write the differences")?;
    }

    let mut ended = trials.into_iter().map(Trial::finish);
    let (Some((_, old_counters)), Some((recording, new_counters))) = (ended.next(), ended.next()) else {
        return Err(fail(Exit::Bug, "a rule set is lost"));
    };
    let old_notices = old_desk.finish();
    let new_notices = new_desk.finish();
    let old = Ran { source: old_side.shown(), rules: &old_side.rules, counters: &old_counters, notices: old_notices };
    let new = Ran { source: new_side.shown(), rules: &new_side.rules, counters: &new_counters, notices: new_notices };
    let found = comparison.finish(&recording, old, new);
    if let Some(mut out) = report {
        let page = html::backtest(&found).context("failed to write the report")?;
        out.write_all(page.as_bytes()).and_then(|()| out.flush()).context("failed to write the report")?;
    }
    if ![&args.report, &args.differences].into_iter().flatten().any(|path| output::is_dash(path)) {
        print(&found, args.format)?;
    }
    Ok(Exit::Done)
}

fn print(found: &Backtest, format: Format) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Human => out.write_all(human::text(found).as_bytes())?,
        Format::Json => {
            serde_json::to_writer(&mut out, found)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Where the differences go, if anywhere, and how that went.
struct Differences<'o> {
    out: Option<&'o mut Box<dyn Write>>,
    written: std::io::Result<()>,
}

impl Differences<'_> {
    fn line(&mut self, difference: &Difference) {
        if let (Some(out), true) = (&mut self.out, self.written.is_ok()) {
            let object = serde_json::to_writer(&mut **out, difference).map_err(std::io::Error::from);
            self.written = object.and_then(|()| out.write_all(b"\n"));
        }
    }
}

/// A file to write to, or stdout.
pub(super) fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if output::is_dash(path) {
        return Ok(Box::new(BufWriter::new(std::io::stdout())));
    }
    let file =
        File::create(path).map_err(|error| fail(Exit::Io, format!("failed to create {}: {error}", path.display())))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// One of the two rule sets.
struct Side {
    source: PathBuf,
    rules: Arc<Ruleset>,
    policy: Policy,
}

impl Side {
    fn load(source: &Path, pack: Option<Beside>) -> anyhow::Result<Self> {
        let loaded = required(&sources(source, pack)?, &format!(" in {}", source.display()))?;
        Ok(Side { source: source.to_owned(), rules: Arc::new(loaded.ruleset), policy: loaded.policy })
    }

    /// The words of notices: the rules' own where they bring some.
    fn templates(&self) -> anyhow::Result<Templates> {
        let beside = self.source.join("notices");
        let directory = beside.is_dir().then_some(beside);
        let config = NoticesConfig { directory, ..NoticesConfig::default() };
        Templates::of(NoticeFiles::read(&config), &config).map_err(|problems| {
            let text = report::render(&problems, std::io::stderr().is_terminal());
            fail(Exit::Config, format!("the notices beside {} have problems\n\n{text}", self.source.display()))
        })
    }

    fn shown(&self) -> String {
        self.source.display().to_string()
    }
}
