//! `rules new`: a commented skeleton of a rule, with tests.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context;

use super::KEY;
use super::set::Set;
use crate::cli::output::print_problems;
use crate::cli::{Exit, Format, fail};
use crate::event::{Closed, EventType};
use crate::report::Level;
use crate::ruleset::{self, HashKey, Sources};

/// Length of a rule's id that leaves room for the names made of it, bytes.
const ID_BYTES_MAX: usize = 50;

/// Writes a new rule as a draft, with comments and with tests that pass, and a runbook to fill in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules new many-withdrawals --on withdrawal
  walletwatch rules new reset-then-payment --sequence --file chains.yaml")]
pub struct Args {
    /// The rule's id: small letters, digits and `-`.
    #[arg(value_name = "ID")]
    id: String,
    /// The event type it looks at.
    #[arg(long, value_name = "TYPE", default_value = "login")]
    on: String,
    /// A chain of events rather than a condition of one.
    #[arg(long, conflicts_with = "on")]
    sequence: bool,
    #[command(flatten)]
    set: Set,
    /// The file to make there; ID.yaml by default.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(kind) = EventType::parse(&args.on) else {
        let near = crate::report::did_you_mean(&args.on, EventType::WORDS.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(fail(Exit::Usage, format!("there is no event type `{}`{near}", args.on)));
    };
    if !is_id(&args.id) {
        let wanted = format!("small letters, digits and `-`, a letter first, at most {ID_BYTES_MAX}");
        return Err(fail(Exit::Usage, format!("`{}` cannot be the id of a rule: {wanted}", args.id)));
    }
    let sources = args.set.sources()?;
    if ruleset::declares_rule(&sources, &args.id) {
        return Err(fail(
            Exit::Usage,
            format!("there is a rule `{}` already in {}", args.id, args.set.rules.display()),
        ));
    }
    let name = args.file.clone().unwrap_or_else(|| format!("{}.yaml", args.id));
    if name.contains(['/', '\\']) || name.starts_with('.') || !name.ends_with(".yaml") {
        let message = format!("`{name}` is no name of a rule file: `NAME.yaml`, directly in the rules directory");
        return Err(fail(Exit::Usage, message));
    }
    let path = args.set.rules.join(&name);
    if path.exists() {
        let message = format!("{} is there already: name another with --file", path.display());
        return Err(fail(Exit::Usage, message));
    }
    let text = if args.sequence { sequence(&args.id) } else { condition(&args.id, kind) };
    if let Err(told) = check(sources, &args.id, &name, &text) {
        print_problems(&told, Format::Human)?;
        return Ok(Exit::No);
    }
    let runbook = args.set.rules.join(format!("runbooks/{}.md", args.id));
    write(&path, &text)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}: a draft, which runs in its tests only", path.display())?;
    if !runbook.exists() {
        write(&runbook, &runbook_text(&args.id))?;
        writeln!(out, "{}: to fill in", runbook.display())?;
    }
    let rules = args.set.rules.display();
    writeln!(out, "Next: walletwatch rules test --rules {rules} --rule {}", args.id)?;
    Ok(Exit::Done)
}

/// What is wrong with the set once the rule is in it.
fn check(mut sources: Sources, id: &str, name: &str, text: &str) -> Result<(), Vec<crate::report::Problem>> {
    sources.add(name, text.as_bytes(), None);
    sources.add_present(format!("runbooks/{id}.md"));
    let problems = match ruleset::load(&sources, HashKey::new(KEY), None) {
        Ok(_) => return Ok(()),
        Err(problems) => problems,
    };
    Err(problems.into_iter().filter(|problem| problem.level == Level::Error).collect())
}

fn is_id(id: &str) -> bool {
    let starts = id.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    starts && fits && id.len() <= ID_BYTES_MAX
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let put = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::File::create_new(path)?;
        file.write_all(text.as_bytes())
    };
    put().with_context(|| format!("failed to write {}", path.display()))
}

/// The fields that an event of a type must have, beside id, time and account, as a test writes them.
fn required(kind: EventType) -> &'static str {
    match kind {
        EventType::Login | EventType::Mfa => ", result: failure",
        EventType::PasswordReset => ", stage: requested",
        EventType::MfaChanged => ", change: disabled",
        EventType::Lock => ", change: locked",
        EventType::ContactChanged => ", field: email",
        EventType::PayeeAdded => ", payee: p1",
        EventType::LimitChanged
        | EventType::Transfer
        | EventType::Payment
        | EventType::Withdrawal
        | EventType::TopUp => ", amount: 100 CNY",
        EventType::Report => ", about: case-1, answer: not_me",
        EventType::ServiceStatus => ", state: degraded",
        _ => "",
    }
}

/// What every new rule says of itself first.
const ABOUT: &str = "    title: Say in one line what was seen
    description: >
      Say why it is worth somebody's time, and who else does the same for good reasons.
    state: draft                 # draft: its tests only; shadow: evaluated, reaches nobody; live; off
    owner: your-team             # who answers for it
    severity: low                # shown, decides nothing: low, medium, high or critical
    score: 20                    # 0 to 100; the policy's bands decide who hears of it
    audience: [security]         # user, security, operations
";

/// A rule that counts events of one type.
fn condition(id: &str, kind: EventType) -> String {
    let word = kind.word();
    let name = format!("{}_1h", id.replace('-', "_"));
    let fields = required(kind);
    let (by, account) = match kind {
        EventType::ServiceStatus => ("all", ""),
        _ => ("account", ", account: a1"),
    };
    let filter = match kind {
        EventType::Login | EventType::Mfa => ", where: result == \"failure\"",
        _ => "",
    };
    let here = match kind {
        EventType::Login | EventType::Mfa => "result == \"failure\" and ",
        _ => "",
    };
    let mut text = head(id);
    let _ = write!(
        text,
        "features:
  # What is kept for each {by}, over a window that ends with the event at hand.
  {name}: {{count: {word}{filter}, by: {by}, over: 1h}}
rules:
  - id: {id}
{ABOUT}    on: {word}
    params:
      limit: {{value: 5, min: 2, max: 100}}
    when: |
      {here}{name} >= limit      # and what else must hold of the event
    dedup: {{by: {by}, for: 1h}}   # quiet about the same {by} for so long
    explain: \"{{{name}}} {word} events in one hour\"
    runbook: runbooks/{id}.md
    tests:
      - name: as many as the limit fire, once
        given: {{type: {word}{account}{fields}}}
        events:
          - {{repeat: \"{{limit}}\", every: 60s, expect: fire-last}}
          - {{after: 1s, expect: quiet}}
      - name: a few are nothing
        given: {{type: {word}{account}{fields}}}
        events: [{{repeat: 4, every: 60s, expect: quiet}}]
      - name: quiet for an hour, and no longer
        given: {{type: {word}{account}{fields}}}
        events:
          - {{repeat: 5, every: 1s, expect: fire-last}}
          - {{after: 57m, repeat: 5, every: 1s, expect: quiet}}
          - {{after: 4m, expect: fire}}
"
    );
    text
}

/// A rule that waits for a chain of events.
fn sequence(id: &str) -> String {
    let mut text = head(id);
    let _ = write!(
        text,
        "rules:
  - id: {id}
{ABOUT}    sequence:
      by: account
      within: 1h                 # first step to last step, in the time of the events
      steps:                     # in this order; other events may lie between
        - {{on: password_reset, as: reset, where: stage == \"completed\"}}
        - {{on: transfer, as: transfer, where: status == \"completed\"}}
      without:                   # one of these in between cancels the chain
        - {{on: password_reset, where: via == \"call_center\"}}
      # absent:                  # must not follow the last step; `within` is how long is waited for it
      #   - {{on: report, within: 30m}}
    dedup: {{by: account, for: 1h}}
    explain: \"reset by {{reset.via}}, then {{amount}}\"
    runbook: runbooks/{id}.md
    tests:
      - name: the chain inside an hour
        given: {{account: a1, status: completed}}
        events:
          - {{type: password_reset, stage: completed, via: sms}}
          - {{after: 10m, type: transfer, amount: 100 CNY, expect: fire}}
      - name: just inside an hour
        given: {{account: a1, status: completed}}
        events:
          - {{type: password_reset, stage: completed, via: sms}}
          - {{after: 58m, type: transfer, amount: 100 CNY, expect: fire}}
      # With `absent` the finding waits: it counts for the last step, `expect: fire` stands there, and an event more
      # than `within` and a minute later must follow in the test, such as {{after: 32m, type: login, result: failure}}.
      - name: quiet for an hour after it fired, and no longer
        given: {{account: a1, status: completed}}
        events:
          - {{type: password_reset, stage: completed, via: sms}}
          - {{after: 1m, type: transfer, amount: 100 CNY, expect: fire}}
          - {{after: 50m, type: password_reset, stage: completed, via: sms}}
          - {{after: 8m, type: transfer, amount: 100 CNY, expect: quiet}}
          - {{after: 4m, type: transfer, amount: 100 CNY, expect: fire}}
      - name: too late
        given: {{account: a1, status: completed}}
        events:
          - {{type: password_reset, stage: completed, via: sms}}
          - {{after: 61m, type: transfer, amount: 100 CNY, expect: quiet}}
      - name: support checked the person
        given: {{account: a1, status: completed}}
        events:
          - {{type: password_reset, stage: completed, via: sms}}
          - {{after: 1m, type: password_reset, stage: completed, via: call_center}}
          - {{after: 10m, type: transfer, amount: 100 CNY, expect: quiet}}
"
    );
    text
}

fn head(id: &str) -> String {
    format!(
        "# What this file watches for.
# walletwatch rules check        is it right?
# walletwatch rules test         do its tests pass?
# walletwatch rules mutate --rule {id}
#                                would they notice a wrong threshold?
version: 1
"
    )
}

fn runbook_text(id: &str) -> String {
    format!(
        "# {id}

## What it means

What the rule saw, in words of somebody who has never read it.

## Look into it

1. What to open first, and what an honest event looks like there.

## Do

1. What to do where it is an attack.

## What else looks like it

- Who does the same for good reasons.
"
    )
}
