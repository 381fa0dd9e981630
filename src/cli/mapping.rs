//! `walletwatch mapping …`: is a mapping right, do its tests pass, what becomes of my records?

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use serde_json::value::RawValue;

use super::output::{is_dash, print_problems};
use super::{Exit, Format, fail};
use crate::clock;
use crate::event::mapping::{self, Failure, Mapped, Mapping, Origin, Test};
use crate::event::{Limits, Rejection, encode};
use crate::report::{self, Level, Problem, did_you_mean};

/// Checks and tries mappings: what the fields of your own records are.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch mapping show keycloak > logins.yaml
  walletwatch mapping test logins.yaml
  walletwatch mapping try logins.yaml records.ndjson")]
pub enum Command {
    /// Is the mapping right? Tells every problem of every file at once, with its place and its fix.
    #[command(after_help = "Example:\n  walletwatch mapping check mappings/logins.yaml")]
    Check(FilesArgs),
    /// Do the tests in the mapping files pass? Runs them through the decoder of the service.
    #[command(after_help = "Example:\n  walletwatch mapping test mappings/logins.yaml")]
    Test(FilesArgs),
    /// What becomes of these records? One JSON object a line for each: an event, or why there is none.
    #[command(after_help = "Example:\n  walletwatch mapping try keycloak keycloak-events.ndjson")]
    Try(TryArgs),
    /// The text of a shipped mapping, to begin one's own with.
    #[command(after_help = "Example:\n  walletwatch mapping show keycloak > mappings/keycloak.yaml")]
    Show(ShowArgs),
}

/// Which files, and how to print.
#[derive(Debug, clap::Args)]
pub struct FilesArgs {
    /// Mapping files, or names of shipped ones.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// For people, or one JSON object for each problem or test.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which mapping, and which records.
#[derive(Debug, clap::Args)]
pub struct TryArgs {
    /// A mapping file, or the name of a shipped one.
    #[arg(value_name = "MAPPING")]
    mapping: PathBuf,
    /// Records, one JSON object after the other; `-` is stdin.
    #[arg(value_name = "RECORDS")]
    records: PathBuf,
}

/// Which shipped mapping.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// auth0, cloudevents, ecs, keycloak, ocsf or okta.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(args) => check(&args),
        Command::Test(args) => test(&args),
        Command::Try(args) => attempt(&args),
        Command::Show(args) => show(&args),
    }
}

fn check(args: &FilesArgs) -> anyhow::Result<Exit> {
    let mut problems = Vec::new();
    let mut fine = Vec::new();
    for path in &args.files {
        match load(path)? {
            Ok(mapping) => {
                let warnings = mapping::untested(&mapping);
                let (entries, tests) = (mapping.entries(), mapping.tests().len());
                let (entries, tests) = (counted(entries, "entry", "entries"), counted(tests, "test", "tests"));
                fine.push(format!("{}: {entries}, {tests}", path.display()));
                problems.extend(warnings);
            }
            Err(found) => problems.extend(found),
        }
    }
    print_problems(&problems, args.format)?;
    if args.format == Format::Human {
        let mut out = std::io::stdout().lock();
        fine.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(if problems.iter().any(|problem| problem.level == Level::Error) { Exit::No } else { Exit::Done })
}

fn test(args: &FilesArgs) -> anyhow::Result<Exit> {
    let (mut problems, mut passed, mut failed) = (Vec::new(), 0usize, 0usize);
    let mut mappings = Vec::new();
    for path in &args.files {
        match load(path)? {
            Ok(mapping) => mappings.push(mapping),
            Err(found) => problems.extend(found),
        }
    }
    print_problems(&problems, args.format)?;
    let mut out = std::io::stdout().lock();
    for mapping in &mappings {
        for (test, failures) in mapping.tests().iter().zip(mapping::run_tests(mapping)) {
            if failures.is_empty() {
                passed += 1
            } else {
                failed += 1
            }
            match args.format {
                Format::Json => writeln!(out, "{}", json_line(mapping, test, &failures))?,
                Format::Human => write_failures(&mut out, mapping, test, &failures)?,
            }
        }
    }
    if args.format == Format::Human {
        writeln!(out, "{}: {passed} passed, {failed} failed", counted(passed + failed, "test", "tests"))?;
    }
    Ok(if failed == 0 && problems.is_empty() { Exit::Done } else { Exit::No })
}

fn write_failures(
    out: &mut impl std::io::Write,
    mapping: &Mapping,
    test: &Test,
    failures: &[Failure],
) -> std::io::Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "failed: {}: {}", mapping.name(), test.name)?;
    for Failure { what, expected, happened, at } in failures {
        let (line, column) = report::place(mapping.file(), at.start);
        writeln!(out, "  at {}:{line}:{column}: {what}: expected {expected}, got {happened}", mapping.file().path)?;
    }
    writeln!(out)
}

fn json_line(mapping: &Mapping, test: &Test, failures: &[Failure]) -> serde_json::Value {
    let place = |at: usize| report::place(mapping.file(), at);
    let told = |failure: &Failure| {
        let (line, column) = place(failure.at.start);
        let Failure { what, expected, happened, .. } = failure;
        json!({"what": what, "expected": expected, "happened": happened, "line": line, "column": column})
    };
    let (line, column) = place(test.at.start);
    json!({
        "mapping": mapping.name(), "test": test.name, "outcome": if failures.is_empty() { "passed" } else { "failed" },
        "file": mapping.file().path, "line": line, "column": column,
        "failures": failures.iter().map(told).collect::<Vec<_>>(),
    })
}

fn attempt(args: &TryArgs) -> anyhow::Result<Exit> {
    let mapping = one(&args.mapping)?;
    let mut text = String::new();
    let read = if is_dash(&args.records) {
        std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(&args.records).map(|read| text = read)
    };
    read.map_err(|error| fail(Exit::NoInput, format!("failed to read {}: {error}", args.records.display())))?;
    let now = clock::now();
    let mut out = std::io::stdout().lock();
    for (record, offset) in serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>().zip(1..) {
        let record = record.map_err(|error| fail(Exit::Data, format!("record {offset} is no JSON: {error}")))?.get();
        let origin = Origin { topic: mapping.name(), partition: 0, offset, stamp: None, key: None };
        let mapped = mapping.decode(Some(record.as_bytes()), &origin, now, &Limits::default());
        writeln!(out, "{}", outcome(mapped)?)?;
    }
    Ok(Exit::Done)
}

/// An event as it is in our own format, or why there is none.
fn outcome(mapped: Result<Mapped<'_>, Rejection>) -> anyhow::Result<String> {
    Ok(match mapped {
        Ok(Mapped::Event(decoded)) => {
            let mut json = Vec::new();
            encode(&decoded.event, &mut json)?;
            String::from_utf8(json)?
        }
        Ok(Mapped::Ignored(reason)) => json!({"ignored": reason}).to_string(),
        Err(Rejection { reason, field, detail }) => {
            json!({"rejected": reason, "field": field, "detail": detail}).to_string()
        }
    })
}

fn show(args: &ShowArgs) -> anyhow::Result<Exit> {
    let builtin = mapping::builtin();
    let Some(found) = builtin.iter().find(|builtin| builtin.name == args.name) else {
        let names: Vec<&str> = builtin.iter().map(|builtin| builtin.name).collect();
        let near = did_you_mean(&args.name, names.iter().copied());
        let help =
            near.map_or_else(|| format!("there are: {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
        return Err(fail(Exit::Usage, format!("no mapping `{}` ships with walletwatch; {help}", args.name)));
    };
    std::io::stdout().lock().write_all(found.text.as_bytes())?;
    Ok(Exit::Done)
}

/// Loads a file, or the shipped mapping of that name where there is no such file.
fn load(path: &Path) -> anyhow::Result<Result<Mapping, Vec<Problem>>> {
    let shown = path.to_string_lossy();
    let builtin = mapping::builtin().iter().find(|builtin| builtin.name == shown);
    match (std::fs::read(path), builtin) {
        (Ok(bytes), _) => Ok(mapping::load_bytes(&shown, &bytes)),
        (Err(_), Some(builtin)) => Ok(builtin.load()),
        (Err(error), None) => {
            let near = did_you_mean(&shown, mapping::builtin().iter().map(|builtin| builtin.name));
            let help = near.map(|near| format!("; did you mean `{near}`, which ships?")).unwrap_or_default();
            Err(fail(Exit::NoInput, format!("failed to read the mapping {shown}: {error}{help}")))
        }
    }
}

/// A number with its noun.
fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Loads a mapping that is to be used.
pub(super) fn one(path: &Path) -> anyhow::Result<Mapping> {
    load(path)?.map_err(|problems| {
        let text = report::render(&problems, false);
        fail(Exit::Config, format!("the mapping has problems\n\n{text}"))
    })
}
