//! `walletwatch generate`: makes events: the seeded generator, to a file or to Kafka.
//!
//! Guarantees: same arguments, same bytes; a record that Kafka does not acknowledge fails the command.
//! Does not decide what is made: the generator in `sim` does.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::{Exit, fail};
use crate::event::Millis;
use crate::sim::{Generator, Plan, Profile, Record, START, SimError, Topic};

/// How often progress is told, where nobody watches.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// … and on a terminal.
const PROGRESS_EVERY_TERMINAL: Duration = Duration::from_millis(200);
/// The clock is looked at once for so many records.
const PROGRESS_RECORDS: u64 = 4096;
/// How long Kafka may take to acknowledge what is left at the end.
const FLUSH_MAX: Duration = Duration::from_secs(120);
/// How long one record may wait to be acknowledged, ms.
const DELIVERY_MS_MAX: &str = "60000";
/// Bytes written at once.
const FILE_BUFFER_BYTES: usize = 1 << 20;

/// Makes events of an invented wallet, with planted attacks and look-alikes: same seed, same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch generate --events 100000 --seed 7 --out events.ndjson --truth truth.ndjson
  walletwatch generate --events 1000000 --profile w3 --brokers localhost:9092

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
    /// The first moment, RFC 3339 [default: 2026-01-05T00:00:00Z].
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<Millis>,
    /// Events per second of event time [default: by the accounts, about 1 to 4].
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<u64>,
    /// The domain of the users' mail addresses.
    #[arg(long, default_value = "wallet.example", value_name = "DOMAIN")]
    mail_domain: String,
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

fn time(text: &str) -> Result<Millis, String> {
    let time: jiff::Timestamp = text.parse().map_err(|e| format!("a time such as 2026-01-05T00:00:00Z: {e}"))?;
    Ok(Millis(time.as_millisecond()))
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
    let mut progress = Progress::new(&args);
    let generator = match (&args.brokers, &args.out) {
        (Some(_), Some(_)) => return Err(fail(Exit::Usage, "--out and --brokers: give one of them")),
        (Some(brokers), None) => to_kafka(&plan, brokers, &topics, &order, &mut progress)?,
        (None, out) => to_file(&plan, out.as_deref().unwrap_or(Path::new("-")), &mut progress)?,
    };
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
        mail_domain: args.mail_domain.clone(),
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

fn to_file(plan: &Plan, path: &Path, progress: &mut Progress) -> anyhow::Result<Generator> {
    let sink: Box<dyn Write> = match path {
        p if p == Path::new("-") => Box::new(std::io::stdout().lock()),
        p => Box::new(File::create(p).with_context(|| format!("cannot write {}", p.display()))?),
    };
    let mut out = BufWriter::with_capacity(FILE_BUFFER_BYTES, sink);
    let mut generator = generator(plan)?;
    while let Some(record) = generator.next_record().map_err(sim_failure)? {
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

// === Kafka

/// Counts what came of each record; the first failure is kept in words.
#[derive(Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    first_failure: std::sync::Mutex<Option<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut first) = self.first_failure.lock() {
                    first.get_or_insert_with(|| error.to_string());
                }
            }
        }
    }
}

/// The context is shared: librdkafka's thread counts, this one reads.
#[derive(Clone)]
struct Shared(Arc<Deliveries>);

impl ClientContext for Shared {}

impl ProducerContext for Shared {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: ()) {
        self.0.delivery(result, opaque);
    }
}

fn to_kafka(
    plan: &Plan,
    brokers: &str,
    topics: &[String; 3],
    order: &[Vec<Topic>],
    progress: &mut Progress,
) -> anyhow::Result<Generator> {
    let deliveries = Arc::new(Deliveries::default());
    let producer: ThreadedProducer<Shared> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", "walletwatch-generate")
        .set("enable.idempotence", "true")
        .set("compression.type", "zstd")
        .set("linger.ms", "5")
        .set("message.timeout.ms", DELIVERY_MS_MAX)
        .set("queue.buffering.max.messages", "200000")
        .create_with_context(Shared(Arc::clone(&deliveries)))
        .map_err(|e| fail(Exit::Usage, format!("--brokers {brokers}: {e}")))?;
    producer
        .client()
        .fetch_metadata(None, Duration::from_secs(15))
        .map_err(|e| fail(Exit::Unavailable, format!("no Kafka answers at {brokers}: {e}")))?;
    let mut sent = 0;
    let mut last = generator(plan)?;
    for (pass, wanted) in order.iter().enumerate() {
        if pass > 0 {
            last = generator(plan)?;
        }
        while let Some(record) = last.next_record().map_err(sim_failure)? {
            if wanted.contains(&record.topic) {
                send(&producer, &deliveries, topics, &record)?;
                sent += 1;
                progress.count(1);
            }
        }
        // A topic is whole before the next one begins.
        producer.flush(FLUSH_MAX).map_err(|e| fail(Exit::Unavailable, format!("Kafka at {brokers}: {e}")))?;
        check(&deliveries, brokers)?;
    }
    let acknowledged = deliveries.acknowledged.load(Ordering::Relaxed);
    if acknowledged != sent {
        let message = format!("Kafka at {brokers} acknowledged {acknowledged} of {sent} records");
        return Err(fail(Exit::Unavailable, message));
    }
    Ok(last)
}

fn send(
    producer: &ThreadedProducer<Shared>,
    deliveries: &Deliveries,
    topics: &[String; 3],
    record: &Record<'_>,
) -> anyhow::Result<()> {
    let topic = Topic::ALL.iter().position(|t| *t == record.topic).and_then(|at| topics.get(at));
    let topic = topic.map_or(record.topic.name(), String::as_str);
    let mut message = BaseRecord::<[u8], [u8]>::to(topic).payload(record.value).timestamp(record.stamp.0);
    if !record.key.is_empty() {
        message = message.key(record.key);
    }
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            // The queue is full: wait until something of it is acknowledged.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                check(deliveries, topic)?;
                // A flush that times out says only that there is still work.
                let _ = producer.flush(Duration::from_millis(100));
                message = back;
            }
            Err((error, _)) => return Err(fail(Exit::Unavailable, format!("cannot write to {topic}: {error}"))),
        }
    }
}

fn check(deliveries: &Deliveries, at: &str) -> anyhow::Result<()> {
    let failed = deliveries.failed.load(Ordering::Relaxed);
    if failed == 0 {
        return Ok(());
    }
    let first = deliveries.first_failure.lock().ok().and_then(|f| f.clone()).unwrap_or_default();
    Err(fail(Exit::Unavailable, format!("Kafka ({at}) refused {failed} records; the first: {first}")))
}

// === progress

/// Tells on stderr how far it is.
struct Progress {
    is_quiet: bool,
    is_terminal: bool,
    began: Instant,
    told: Instant,
    of: u64,
    done: u64,
}

impl Progress {
    fn new(args: &Args) -> Self {
        let now = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        Progress { is_quiet: args.no_progress, is_terminal, began: now, told: now, of: args.events, done: 0 }
    }

    fn count(&mut self, records: u64) {
        self.done += records;
        if self.is_quiet || self.done % PROGRESS_RECORDS != 0 {
            return;
        }
        let every = if self.is_terminal { PROGRESS_EVERY_TERMINAL } else { PROGRESS_EVERY };
        if self.told.elapsed() >= every {
            self.told = Instant::now();
            self.tell(if self.is_terminal { "\r" } else { "" }, if self.is_terminal { "" } else { "\n" });
        }
    }

    fn done(&mut self, generator: &Generator) {
        if self.is_quiet {
            return;
        }
        self.tell(if self.is_terminal { "\r" } else { "" }, "\n");
        let totals = generator.totals();
        let attacks = generator.truth().filter(|line| !line.expect.is_empty()).count();
        let lookalikes = generator.truth().count() - attacks;
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(
            std::io::stderr(),
            "{} attacks, {} look-alikes, {} repeated, {} late, {} malformed",
            attacks,
            lookalikes,
            totals.duplicates,
            totals.late,
            totals.malformed.values().sum::<u64>(),
        );
    }

    fn tell(&self, before: &str, after: &str) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let per_second = self.done as f64 / seconds;
        // Nobody is left to tell when stderr is gone.
        let _ = write!(
            std::io::stderr(),
            "{before}generate: {} of {} events, {per_second:.0} a second{after}",
            self.done,
            self.of
        );
    }
}
