//! Which rules a command reads: a directory, and whether the shipped pack stands beside it.
//!
//! Guarantees: without `--pack` a directory is read as `run` would read it here: as the configuration at hand says
//! of this directory, and by itself where none names it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::{KEY, read};
use crate::cli::output::print_problems;
use crate::cli::{Exit, Format, check, fail};
use crate::clock;
use crate::config::{Config, Pack};
use crate::event::Millis;
use crate::report::{self, Problem};
use crate::ruleset::{self, HashKey, Loaded, Mentions, Sources};

/// `--rules` and `--pack`.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// The rules directory.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// Whether the shipped pack stands beside it. Without this: as the configuration says where `run` would find it,
    /// if it names this directory; else none.
    #[arg(long, value_enum, value_name = "PACK")]
    pub pack: Option<Beside>,
}

/// The words of `--pack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Beside {
    /// The pack compiled in.
    Builtin,
    /// None.
    None,
}

impl Set {
    /// The texts of the set.
    pub fn sources(&self) -> anyhow::Result<Sources> {
        let own = read(&self.rules)?;
        Ok(if self.has_pack() { own.with_builtin() } else { own })
    }

    /// Loads it as of today.
    pub fn load_partly(&self) -> anyhow::Result<(Result<Loaded, Vec<Problem>>, Mentions)> {
        Ok(ruleset::load_partly(&self.sources()?, HashKey::new(KEY), Some(clock::now())))
    }

    /// The same; where it does not load, its problems are printed.
    pub fn load(&self, format: Format) -> anyhow::Result<Option<Loaded>> {
        loaded(&self.sources()?, Some(clock::now()), format)
    }

    /// Whether the pack stands beside the directory.
    pub fn has_pack(&self) -> bool {
        match self.pack {
            Some(pack) => pack == Beside::Builtin,
            None => configured(&self.rules) == Some(Pack::Builtin),
        }
    }
}

/// The texts of a directory as [`Set::sources`] reads them, or of the shipped pack where that is what the path says.
pub fn sources(rules: &Path, pack: Option<Beside>) -> anyhow::Result<Sources> {
    directory_or_builtin(rules, |rules| Set { rules: rules.to_owned(), pack }.sources())
}

/// Loads a set; where it does not load, its problems are printed. `today`: as in [`ruleset::load`].
pub fn loaded(sources: &Sources, today: Option<Millis>, format: Format) -> anyhow::Result<Option<Loaded>> {
    match ruleset::load(sources, HashKey::new(KEY), today) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(problems) => {
            print_problems(&problems, format)?;
            Ok(None)
        }
    }
}

/// The texts of a directory, or of the shipped pack where that is what the path says.
pub fn directory_or_builtin(
    path: &Path,
    read: impl FnOnce(&Path) -> anyhow::Result<Sources>,
) -> anyhow::Result<Sources> {
    if path.as_os_str() == "builtin" { Ok(Sources::builtin()) } else { read(path) }
}

/// A set that a command cannot go on without; its problems are the command's failure.
pub fn required(sources: &Sources, of: &str) -> anyhow::Result<Loaded> {
    ruleset::load(sources, HashKey::new(KEY), None).map_err(|problems| {
        let text = report::render(&problems, std::io::stderr().is_terminal());
        fail(Exit::Config, format!("the rules{of} have problems\n\n{text}"))
    })
}

/// What the configuration at hand says stands beside this directory; `None` where it does not name it.
fn configured(directory: &Path) -> Option<Pack> {
    let source = check::find(None, Exit::No).ok()?;
    let (config, _) = Config::load_partly(source.file.as_deref(), &source.environment);
    let rules = config?.rules;
    let same = rules.directory?.canonicalize().ok()? == directory.canonicalize().ok()?;
    same.then_some(rules.pack)
}
