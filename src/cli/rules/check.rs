//! `rules check`: is the rule set right?
//!
//! Guarantees: every problem that loading it tells, of all files at once, and what of its notices is wrong. Does not run
//! the inline tests: `rules test` does, and `walletwatch check`, a start and a reload do both.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::set::{Beside, Set};
use super::{KEY, read};
use crate::cli::output::print_problems;
use crate::cli::{Exit, Format};
use crate::deliver::notice_files::{NoticeFiles, unknown_notices};
use crate::deliver::{NoticesConfig, Templates};
use crate::report::{Level, Problem};
use crate::ruleset::{self, HashKey, Mentions, Rule, State, codes, revisions};

/// Is the rule set right? Tells every problem at once, with its place and its fix.
///
/// Does not run the inline tests: `rules test` does; `walletwatch check` does both.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  walletwatch rules check --rules rules --strict\n  walletwatch rules check --rules rules --base ../main/rules"
)]
pub struct Args {
    #[command(flatten)]
    set: Set,
    /// Your own notices, which are checked too; without it DIR/notices, where that is there.
    #[arg(long, value_name = "DIR")]
    notices: Option<PathBuf>,
    /// The rules as they were, such as those of the main branch: a rule that means something else since then needs a
    /// higher `revision`.
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// For people, or one JSON object for each problem.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Warnings are errors.
    #[arg(long)]
    strict: bool,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let (loaded, mentions) = args.set.load_partly()?;
    let notices = notices(args, &mentions);
    let (mut problems, summary) = match loaded {
        Ok(loaded) => {
            let ruleset = &loaded.ruleset;
            let (rules, features) = (ruleset.rules.len(), ruleset.features.len());
            let summary = format!("{rules} rules{} and {features} features", in_states(&ruleset.rules));
            let summary = format!("{summary}: {}{}", args.set.rules.display(), not_run(args, &ruleset.rules));
            (loaded.ruleset.warnings, Some(summary))
        }
        Err(problems) => (problems, None),
    };
    problems.extend(notices);
    if let (Some(base), Some(_)) = (&args.base, &summary) {
        problems.extend(not_raised(args, base)?);
    }
    let problems = if args.strict { as_errors(problems) } else { problems };
    print_problems(&problems, args.format)?;
    let is_wrong = problems.iter().any(|problem| problem.level == Level::Error);
    if let (Some(summary), Format::Human, false) = (summary, args.format, is_wrong) {
        writeln!(std::io::stdout(), "{summary}")?;
    }
    Ok(if is_wrong { Exit::No } else { Exit::Done })
}

/// What was not done, and the command that does it.
fn not_run(args: &Args, rules: &[Rule]) -> String {
    let tests = match rules.iter().map(|rule| rule.tests.len()).sum::<usize>() {
        0 => return String::new(),
        1 => "1 test was not run".to_owned(),
        tests => format!("{tests} tests were not run"),
    };
    let directory = args.set.rules.display();
    let pack = match args.set.pack {
        Some(Beside::Builtin) => " --pack builtin",
        Some(Beside::None) => " --pack none",
        None => "",
    };
    format!("\n{tests}: walletwatch rules test --rules {directory}{pack}")
}

/// How many rules are in each state, such as ` (9 live, 46 draft)`: a draft tells nobody anything.
fn in_states(rules: &[Rule]) -> String {
    let states = [(State::Live, "live"), (State::Shadow, "shadow"), (State::Draft, "draft"), (State::Off, "off")];
    let count = |state: State| rules.iter().filter(|rule| rule.state == state).count();
    let counted = states.iter().map(|(state, word)| (count(*state), word)).filter(|(count, _)| *count > 0);
    let words: Vec<String> = counted.map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// The rules that mean something else than in the base, under the same revision. The pack stands beside both or none.
fn not_raised(args: &Args, base: &Path) -> anyhow::Result<Vec<Problem>> {
    let sources = read(base)?;
    let sources = if args.set.has_pack() { sources.with_builtin() } else { sources };
    if ruleset::load(&sources, HashKey::new(KEY), None).is_err() {
        let message = format!("the base in {} does not load: nothing can be compared with it", base.display());
        let help = format!("`walletwatch rules check --rules {}` says why", base.display());
        return Ok(vec![Problem::nowhere(codes::FILE, message).help(help)]);
    }
    Ok(revisions::not_raised(&revisions::meanings(&sources), &revisions::meanings(&args.set.sources()?)))
}

/// What is wrong with the notices at hand, and with those that rules name.
fn notices(args: &Args, mentions: &Mentions) -> Vec<Problem> {
    let beside = args.set.rules.join("notices");
    let directory = args.notices.clone().or_else(|| beside.is_dir().then_some(beside));
    let config = NoticesConfig { directory, ..NoticesConfig::default() };
    let files = NoticeFiles::read(&config);
    let named = files.names().map(|known| unknown_notices(&mentions.notices, &known)).unwrap_or_default();
    named.into_iter().chain(Templates::check(files)).collect()
}

fn as_errors(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.iter_mut().for_each(|problem| problem.level = Level::Error);
    problems
}
