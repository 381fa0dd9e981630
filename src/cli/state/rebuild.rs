//! `walletwatch state rebuild`: the state made anew from Kafka.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::app::history::rebuild::{self, Read, Rebuilt};
use crate::app::history::{Aside, Heard};
use crate::app::{BadRules, KeyFrom};
use crate::cli::history::{counts, counts_json, stopped_by_signals};
use crate::cli::rules::progress::Progress;
use crate::cli::run::exit;
use crate::cli::{Exit, Format, check, fail, generate};
use crate::event::Millis;

/// Makes the state anew from what Kafka still has, mute: no alert, contact, dead letter or notice comes of it.
///
/// Reads every topic from the records written at TIME on, up to the group's offsets: what was told before is not told
/// again, and the next `walletwatch run` goes on from there and tells all that comes after. The longest window of the
/// rules says how far back TIME should be. The state before is set aside and kept.
///
/// Ends with 75 when it is cut off, or a service runs on the state: what is unfinished is never started on, and the next
/// rebuild begins anew; with 77 when a detector works on the group elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch state rebuild --from 2026-11-01T00:00:00Z
  walletwatch state rebuild --from now-7d --config /etc/walletwatch/walletwatch.toml")]
pub struct Rebuild {
    /// The first moment of the history that is read, by the time the records were written: a time, or now-90m, now-2h,
    /// now-7d.
    #[arg(long, value_name = "TIME", value_parser = written)]
    from: From,
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Tells no progress.
    #[arg(long)]
    no_progress: bool,
}

/// A moment, and as it was written.
#[derive(Debug, Clone)]
struct From {
    time: Millis,
    text: String,
}

fn written(text: &str) -> Result<From, String> {
    Ok(From { time: generate::time(text)?, text: text.to_owned() })
}

/// Runs it.
pub fn run(args: Rebuild) -> anyhow::Result<Exit> {
    let source = check::find(args.config, Exit::Config)?;
    let prepared = check::prepare(&source, BadRules::FallBack, KeyFrom::Anew);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(problems) => {
            check::show(&problems)?;
            return Err(fail(Exit::Config, format!("{}: nothing was done", source.name())));
        }
    };
    let shutdown = stopped_by_signals()?;
    let mut progress = Progress::new("rebuild", args.no_progress);
    let mut done = 0;
    let mut tell = |records: u64, of: u64| {
        done = records;
        progress.tell(records, records, Some(of));
    };
    let from = (args.from.time, args.from.text.as_str());
    let rebuilt = rebuild::rebuild(&prepared, from, &shutdown, &mut tell);
    let rebuilt = rebuilt.map_err(|error| fail(exit(&error), error.to_string()))?;
    progress.done(done);
    let text = match args.format {
        Format::Human => human(&rebuilt),
        Format::Json => format!("{}\n", as_json(&rebuilt)),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

fn human(rebuilt: &Rebuilt) -> String {
    let Rebuilt { made, read, aside, again, heard } = rebuilt;
    let mut text = format!("the state is made anew, in checkpoint {}\n\n", made.checkpoint);
    text.push_str(&counts(made));
    let _ = writeln!(text, "\n{:<40} {:>14} {:>14}", "read", "from", "goes on at");
    for Read { partition, from, to } in read {
        let name = format!("{}/{}", partition.topic, partition.partition);
        let _ = writeln!(text, "  {name:<38} {from:>14} {to:>14}");
    }
    text.push('\n');
    if *again {
        text.push_str("a rebuild before this one was cut off: what it had made is gone\n");
    }
    if let Some(Aside { path, bytes }) = aside {
        let (path, size) = (path.display(), super::bytes(*bytes));
        let _ = writeln!(text, "the state before stands in {path} ({size}); when it is not needed: rm -r {path}");
    }
    text.push_str(match heard {
        Heard::Then => {
            "nobody was told anything. `walletwatch run` goes on at these offsets and tells what comes after\n"
        }
        Heard::Never => {
            "nobody was told anything, and the group has no offsets yet: `walletwatch run` begins here, and tells what \
             comes after\n"
        }
    });
    text
}

fn as_json(rebuilt: &Rebuilt) -> Value {
    let Rebuilt { made, read, aside, again, heard } = rebuilt;
    let one = |Read { partition, from, to }: &Read| json!({"topic": partition.topic, "partition": partition.partition, "from": from, "goes_on_at": to});
    let aside = aside.as_ref().map(|Aside { path, bytes }| json!({"path": path, "bytes": bytes}));
    json!({
        "checkpoint": made.checkpoint,
        "counts": counts_json(made),
        "read": read.iter().map(one).collect::<Vec<_>>(),
        "set_aside": aside,
        "again": again,
        "group_had_offsets": *heard == Heard::Then,
    })
}
