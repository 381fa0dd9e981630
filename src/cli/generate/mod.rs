//! `walletwatch generate`: makes events: the seeded generator, to a file or to Kafka.
//!
//! Guarantees: same arguments, same bytes; a record that Kafka does not acknowledge fails the command.
//! Does not decide what is made: the generator in `sim` does.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::output::{self, is_dash};
use super::{Exit, fail};
use crate::clock;
use crate::event::Millis;
use crate::sim::{Generator, Plan, Profile, START, SimError, Topic};

mod kafka;
mod pace;
mod progress;

use kafka::to_kafka;
use pace::Pace;
use progress::Progress;

/// Bytes written at once.
const FILE_BUFFER_BYTES: usize = 1 << 20;

/// Makes events of an invented wallet, with planted attacks and look-alikes: same seed, same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch generate --events 100000 --seed 7 --out events.ndjson --truth truth.ndjson
  walletwatch generate --events 1000000 --profile w3 --brokers localhost:9092
  walletwatch generate --events 1000000 --start now-21d --speed 20000 --brokers localhost:9092

The last one is live traffic: three weeks in which people learn to know the wallet, in a minute
and a half, then each record at the moment it is stamped with, until Ctrl-C.

The first three weeks are a thin history: they hold a fifth of the records, so that rules know
the people they are about, and everything else falls into the busy days after them. The step
from one to the other is the generator's; no wallet grows so. Take no baseline of the whole
wallet's traffic, and no figure of a usual day, from it.

The times begin at --start and not at now, so give Kafka topics that keep records so old,
or a --start so many days ago as the stream is long (it is told on stderr).")]
pub struct Args {
    /// Records to write: exactly so many, the repeated and damaged ones among them.
    #[arg(long, value_name = "N")]
    events: u64,
    /// Everything follows from this number.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Ordinary accounts [default: one for five events, 200 to 1 million].
    #[arg(long, value_name = "N")]
    accounts: Option<u64>,
    /// Kind of wallet.
    #[arg(long, value_enum, default_value = "wallet")]
    profile: ProfileName,
    /// The first moment: RFC 3339, now, or such as now-21d (s, m, h, d) [default: 2026-01-05T00:00:00Z].
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<Millis>,
    /// Events per second of event time [default: by the accounts, about 1 to 4].
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<u64>,
    /// The domain of the users' mail addresses.
    #[arg(long, default_value = "wallet.example", value_name = "DOMAIN")]
    mail_domain: String,
    /// One takeover more, the first of all attacks, over so soon after the watched days begin: 30m to 24h, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = span)]
    first_attack_within: Option<i64>,
    /// Where to write one event a line; `-` is stdout [default: -, or nothing with --brokers].
    #[arg(long, value_name = "FILE|-")]
    out: Option<PathBuf>,
    /// Kafka to write to: record timestamps are the events' times and their delays.
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Topic names for logins, accounts and money.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "LOGINS,ACCOUNTS,MONEY")]
    topics: Vec<String>,
    /// Writes all records of one topic before the next one's: names of --topics in the order wanted.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "TOPIC,…", requires = "brokers")]
    topic_order: Vec<String>,
    /// Writes N seconds of event time in a second, and nothing before its time comes; without it as fast as it can.
    /// The wallet's first three weeks are quiet history: with --start now they last three weeks.
    #[arg(long, value_name = "N", value_parser = speed, conflicts_with = "topic_order")]
    speed: Option<f64>,
    /// Where to write what was planted and the totals, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Says nothing while it works.
    #[arg(long)]
    no_progress: bool,
}

/// The names of the profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ProfileName {
    /// People with homes, devices and habits.
    Wallet,
    /// The bare workload of three velocity rules.
    W3,
    /// The same, a fifth of all events on one account.
    HotKey,
    /// The same, each event from a new address.
    KeyAttack,
    /// The wallet, with half an hour in which nobody can log in.
    Outage,
}

pub(super) fn time(text: &str) -> Result<Millis, String> {
    if let Some(before) = text.strip_prefix("now") {
        let before_ms = if before.is_empty() { Some(0) } else { before.strip_prefix('-').and_then(ago) };
        let before_ms = before_ms.ok_or_else(|| "now, or so long before it: now-90m, now-2h, now-21d".to_owned())?;
        return Ok(clock::now().plus(-before_ms));
    }
    let time: jiff::Timestamp = text.parse().map_err(|e| format!("a time such as 2026-01-05T00:00:00Z: {e}"))?;
    Ok(Millis(time.as_millisecond()))
}

/// Seconds, minutes, hours or days, in ms.
fn ago(text: &str) -> Option<i64> {
    let unit_ms = |unit| match unit {
        's' => Some(1000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        _ => None,
    };
    let unit_ms: i64 = text.chars().last().and_then(unit_ms)?;
    let number: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    i64::from(number).checked_mul(unit_ms)
}

/// Event time for each second of real time.
fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "a number, such as 1 or 20000".to_owned())?;
    if (0.001..=1e9).contains(&speed) { Ok(speed) } else { Err("0.001 to 1000000000".to_owned()) }
}

/// Minutes or hours, in ms.
fn span(text: &str) -> Result<i64, String> {
    let number = |digits: &str| digits.parse::<u32>().ok().map(i64::from);
    let hours = text.strip_suffix('h').and_then(number).map(|hours| hours * 3_600_000);
    let minutes = text.strip_suffix('m').and_then(number).map(|minutes| minutes * 60_000);
    hours.or(minutes).ok_or_else(|| "minutes or hours, such as 45m or 2h".to_owned())
}

/// Events per second, kept in thousandths.
fn rate(text: &str) -> Result<u64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number of events per second, such as 2.5".to_owned())?;
    if (0.001..=1e6).contains(&rate) { Ok((rate * 1000.0) as u64) } else { Err("0.001 to 1000000".to_owned()) }
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let plan = plan(&args);
    let topics = topic_names(&args)?;
    let order = topic_order(&args, &topics)?;
    // Before an output is opened, which empties it.
    let mut trial = generator(&plan)?;
    let outputs: Vec<&Path> = [&args.out, &args.truth].into_iter().flatten().map(PathBuf::as_path).collect();
    output::refuse_overwriting(&[], &outputs)?;
    let pace = Pace::new(args.speed, plan.start)?;
    let mut progress = Progress::new(args.events, args.no_progress, args.speed.is_some());
    let first = trial.next_record().map_err(sim_failure)?.map_or(plan.start, |record| record.stamp);
    if let Some(forecast) = pace.forecast(first, trial.watched_from()) {
        progress.foretell(&forecast);
    }
    let generator = match (&args.brokers, &args.out) {
        (Some(_), Some(_)) => return Err(fail(Exit::Usage, "--out and --brokers: give one of them")),
        (Some(brokers), None) => to_kafka(&plan, brokers, &topics, &order, &pace, &mut progress)?,
        (None, out) => to_file(&plan, out.as_deref().unwrap_or(Path::new("-")), &pace, &mut progress)?,
    };
    if pace.is_stopped() {
        // What was planted and not written would be no truth.
        progress.stopped();
        return Ok(Exit::Done);
    }
    if let Some(path) = &args.truth {
        write_truth(&generator, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    progress.done(&generator);
    Ok(Exit::Done)
}

fn plan(args: &Args) -> Plan {
    Plan {
        events: args.events,
        seed: args.seed,
        accounts: args.accounts,
        profile: match args.profile {
            ProfileName::Wallet => Profile::Wallet,
            ProfileName::W3 => Profile::W3,
            ProfileName::HotKey => Profile::HotKey,
            ProfileName::KeyAttack => Profile::KeyAttack,
            ProfileName::Outage => Profile::Outage,
        },
        start: args.start.unwrap_or(START),
        rate_milli: args.rate,
        learning_records_max: None,
        mail_domain: args.mail_domain.clone(),
        first_attack_within_ms: args.first_attack_within,
        scenes_per_kind: None,
    }
}

fn generator(plan: &Plan) -> anyhow::Result<Generator> {
    Generator::new(plan).map_err(sim_failure)
}

fn sim_failure(error: SimError) -> anyhow::Error {
    let exit = if matches!(error, SimError::Range { .. }) { Exit::Usage } else { Exit::Bug };
    fail(exit, error.to_string())
}

/// The three names, in the order of [`Topic::ALL`].
fn topic_names(args: &Args) -> anyhow::Result<[String; 3]> {
    match args.topics.as_slice() {
        [] => Ok(Topic::ALL.map(|t| t.name().to_owned())),
        [a, b, c] => Ok([a.clone(), b.clone(), c.clone()]),
        _ => Err(fail(Exit::Usage, "--topics wants three names: for logins, accounts and money")),
    }
}

/// The topics of each pass: all at once, or one after the other.
fn topic_order(args: &Args, names: &[String; 3]) -> anyhow::Result<Vec<Vec<Topic>>> {
    if args.topic_order.is_empty() {
        return Ok(vec![Topic::ALL.to_vec()]);
    }
    let find = |name: &String| {
        let at = names.iter().position(|n| n == name);
        let topic = at.and_then(|at| Topic::ALL.get(at).copied());
        topic.ok_or_else(|| fail(Exit::Usage, format!("--topic-order: {name} is none of {}", names.join(", "))))
    };
    let mut order: Vec<Topic> = args.topic_order.iter().map(find).collect::<Result<_, _>>()?;
    order.dedup();
    let named: std::collections::BTreeSet<Topic> = order.iter().copied().collect();
    if named.len() != Topic::ALL.len() || order.len() != named.len() {
        return Err(fail(Exit::Usage, format!("--topic-order wants each of {} once", names.join(", "))));
    }
    Ok(order.into_iter().map(|topic| vec![topic]).collect())
}

fn to_file(plan: &Plan, path: &Path, pace: &Pace, progress: &mut Progress) -> anyhow::Result<Generator> {
    let sink: Box<dyn Write> = match path {
        p if is_dash(p) => Box::new(std::io::stdout().lock()),
        p => Box::new(File::create(p).with_context(|| format!("cannot write {}", p.display()))?),
    };
    let mut out = BufWriter::with_capacity(FILE_BUFFER_BYTES, sink);
    let mut generator = generator(plan)?;
    while let Some(record) = generator.next_record().map_err(sim_failure)? {
        if pace.is_early(record.stamp) {
            out.flush().context("cannot write events")?;
            pace.wait(record.stamp);
        }
        if pace.is_stopped() {
            break;
        }
        out.write_all(record.value).and_then(|()| out.write_all(b"\n")).context("cannot write events")?;
        progress.count(1);
    }
    out.flush().context("cannot write events")?;
    Ok(generator)
}

fn write_truth(generator: &Generator, path: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for line in generator.truth() {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    serde_json::to_writer(&mut out, generator.totals())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
