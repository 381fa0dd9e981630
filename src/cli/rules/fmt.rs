//! `rules fmt`: rule files in canonical layout.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::cli::output::{is_dash, print_problems};
use crate::cli::{Exit, Format, fail};
use crate::report::{self, Problem, SourceFile};
use crate::ruleset::format;

/// Puts rule files into canonical layout: two spaces a level, a rule's keys by their role, flow collections spaced.
/// Comments and the text of expressions stay; what a file says does not change. A file that cannot be read is not
/// touched; what has to stay in another layout is named on stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules fmt
  walletwatch rules fmt --check --rules /etc/walletwatch/rules
  walletwatch rules fmt -")]
pub struct Args {
    /// Changes nothing; names the files that are laid out in another way, and ends with 1 where there is one or where
    /// something would have to stay in another layout.
    #[arg(long)]
    check: bool,
    /// The rules directory, where no file is named.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Only these files; `-` reads stdin and writes stdout. A text that cannot be read comes out as it went in, with
    /// exit code 1 and what is wrong with it on stderr: what an editor's filter needs.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let files = if args.files.is_empty() { rule_files(&args.rules)? } else { args.files.clone() };
    let mut problems = Vec::new();
    let mut differs = false;
    for path in &files {
        let is_stdin = is_dash(path);
        let file = Arc::new(SourceFile { path: path.to_string_lossy().into_owned(), text: read(path)? });
        let Some(text) = format::format(&file, &mut problems) else {
            if is_stdin && !args.check {
                // An editor puts what comes out in the place of what went in, whatever the exit code.
                std::io::stdout().write_all(file.text.as_bytes())?;
            }
            continue;
        };
        let is_other = text != file.text;
        differs |= is_other;
        match (args.check, is_stdin) {
            (true, _) if is_other => writeln!(std::io::stdout(), "{}", file.path)?,
            (false, true) => std::io::stdout().write_all(text.as_bytes())?,
            (false, false) if is_other => write(path, &text)?,
            _ => {}
        }
    }
    let (wrong, left): (Vec<Problem>, Vec<Problem>) =
        problems.into_iter().partition(|problem| problem.level == report::Level::Error);
    // Stdout may be the text of a file.
    if files.iter().any(|path| is_dash(path)) {
        write!(std::io::stderr(), "{}", report::render(&wrong, false))?;
    } else {
        print_problems(&wrong, Format::Human)?;
    }
    write!(std::io::stderr(), "{}", report::render(&left, false))?;
    Ok(if !wrong.is_empty() || (args.check && (differs || !left.is_empty())) { Exit::No } else { Exit::Done })
}

/// The YAML files directly in a rules directory, policy and overlay too.
fn rule_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| fail(Exit::NoInput, format!("failed to read {}: {error}", directory.display())))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let read = match is_dash(path) {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(path),
    };
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => fail(Exit::Data, format!("{} is not UTF-8", path.display())),
        _ => fail(Exit::NoInput, format!("failed to read {}: {error}", path.display())),
    })
}

/// Writes a file beside the old one and puts it in its place: a service that reads it sees one of the two.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let real = std::fs::canonicalize(path)?;
    let beside = real.with_extension("yaml.new");
    let put = || -> std::io::Result<()> {
        std::fs::write(&beside, text)?;
        std::fs::set_permissions(&beside, std::fs::metadata(&real)?.permissions())?;
        std::fs::rename(&beside, &real)
    };
    put().with_context(|| format!("failed to write {}", path.display()))
}
