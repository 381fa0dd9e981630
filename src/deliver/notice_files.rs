//! The files that notices are made from: the compiled-in ones and, in front of them, those of a folder.
//!
//! Guarantees: compiled-in texts are always there; whatever in the folder would do nothing is told with its path;
//! the names of the notices are known even where their texts are wrong. Does not judge texts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::config::NoticesConfig;
use crate::report::{Problem, SourceFile, did_you_mean};
use crate::ruleset::Mention;

/// Bytes of a template file.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// How a folder of notices is laid out.
const LAYOUT: &str = "a text is called <notice>/<locale>.{subject.txt,body.txt,body.html,sms.txt}, what the HTML texts \
                      have in common base.html";

/// What the HTML texts have in common: they extend it by this name. A folder may bring its own.
pub(super) const BASE: &str = "base.html";

/// The files of one notice in one language.
pub(super) const PARTS: [&str; 4] = ["subject.txt", "body.txt", "body.html", "sms.txt"];

/// One place for what ships: `(notice, locale, its four files)`.
macro_rules! shipped {
    ($(($notice:literal, $locale:literal)),+ $(,)?) => {
        &[$(($notice, $locale, [
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".subject.txt")),
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".body.txt")),
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".body.html")),
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".sms.txt")),
        ])),+]
    };
}

type Shipped = &'static [(&'static str, &'static str, [&'static str; 4])];

const SHIPPED: Shipped = shipped![
    ("unusual-login", "en"),
    ("unusual-login", "zh-CN"),
    ("unusual-payment", "en"),
    ("unusual-payment", "zh-CN"),
];

/// The files by name, `<notice>/<locale>.<part>`, and what is wrong with their being there.
#[derive(Debug)]
pub struct NoticeFiles {
    pub(super) files: BTreeMap<String, Arc<SourceFile>>,
    /// Languages by notice.
    pub(super) notices: BTreeMap<String, BTreeSet<String>>,
    pub(super) problems: Vec<Problem>,
    /// Files that are there under this name, or nearly, but cannot be used: they are not missing.
    unusable: BTreeSet<String>,
    /// Some folder could not be read: there may be notices that nobody has seen.
    is_partial: bool,
}

impl NoticeFiles {
    /// Reads the compiled-in files and those of the configured folder.
    pub fn read(config: &NoticesConfig) -> Self {
        let mut found = NoticeFiles {
            files: BTreeMap::new(),
            notices: BTreeMap::new(),
            problems: Vec::new(),
            unusable: BTreeSet::new(),
            is_partial: false,
        };
        for (notice, locale, texts) in SHIPPED {
            for (part, text) in PARTS.iter().zip(texts) {
                let path = format!("{notice}/{locale}.{part}");
                found.files.insert(path.clone(), Arc::new(SourceFile { path, text: (*text).to_owned() }));
            }
        }
        let base = include_str!("../../rules/notices/base.html").to_owned();
        found.files.insert(BASE.to_owned(), Arc::new(SourceFile { path: BASE.to_owned(), text: base }));
        if let Some(directory) = &config.directory {
            found.read_folder(directory);
        }
        found.find_notices(config);
        found
    }

    /// The notices by name: what rules may name. `None` where some could not be seen.
    pub fn names(&self) -> Option<Vec<&str>> {
        (!self.is_partial).then(|| self.notices.keys().map(String::as_str).collect())
    }

    /// Groups the files by notice and language, and tells what is missing of them.
    fn find_notices(&mut self, config: &NoticesConfig) {
        for name in self.files.keys() {
            if let Some((notice, file)) = name.split_once('/')
                && let Some((locale, _)) = file.split_once('.')
            {
                self.notices.entry(notice.to_owned()).or_default().insert(locale.to_owned());
            }
        }
        let folder = config.directory.as_deref().unwrap_or(Path::new(""));
        for (notice, locales) in &self.notices {
            for locale in locales {
                let names = PARTS.iter().map(|part| format!("{notice}/{locale}.{part}"));
                for name in names.filter(|n| !self.files.contains_key(n) && !self.unusable.contains(n)) {
                    let message = format!("there is no {}", folder.join(name).display());
                    let problem = Problem::nowhere("N001", message);
                    self.problems.push(problem.help("each language of a notice has all four texts"));
                }
            }
        }
    }

    /// Reads `<notice>/<locale>.<part>` and `base.html` below a folder; other texts are problems, for they would do nothing.
    fn read_folder(&mut self, directory: &Path) {
        let Some(folders) = self.entries(directory) else {
            self.is_partial = true;
            return;
        };
        for folder in folders {
            if folder.is_dir() {
                for path in self.entries(&folder).unwrap_or_default() {
                    self.read_file(&path);
                }
            } else if folder.file_name().is_some_and(|name| name == BASE) {
                self.keep(BASE.to_owned(), &folder);
            } else if folder.extension().is_some_and(|extension| extension == "html" || extension == "txt") {
                let message = format!("{} is not in the folder of a notice", folder.display());
                self.problems.push(Problem::nowhere("N013", message).help(LAYOUT));
            }
        }
    }

    fn read_file(&mut self, path: &Path) {
        let shown = path.to_string_lossy().replace('\\', "/");
        let notice = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let (locale, part) = part_of(path);
        let name = format!("{notice}/{locale}.{part}");
        if !PARTS.contains(&part) {
            let near = did_you_mean(part, PARTS);
            self.unusable.extend(near.map(|near| format!("{notice}/{locale}.{near}")));
            let help = near.map_or_else(|| LAYOUT.to_owned(), |near| format!("write `{locale}.{near}`"));
            self.problems.push(Problem::nowhere("N013", format!("{shown} is no text of a notice")).help(help));
            return;
        }
        self.keep(name, path);
    }

    fn keep(&mut self, name: String, path: &Path) {
        let shown = path.to_string_lossy().replace('\\', "/");
        match text_of(path) {
            Ok(text) => {
                self.files.insert(name, Arc::new(SourceFile { path: shown, text }));
            }
            Err(why) => {
                self.unusable.insert(name);
                self.problems.push(why.problem(shown));
            }
        }
    }

    /// What lies in a folder, sorted, without hidden files.
    fn entries(&mut self, folder: &Path) -> Option<Vec<std::path::PathBuf>> {
        let read = || -> std::io::Result<Vec<std::path::PathBuf>> {
            let mut found: Vec<_> =
                std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
            found.retain(|p| !p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')));
            found.sort();
            Ok(found)
        };
        match read() {
            Ok(found) => Some(found),
            Err(error) => {
                let message = format!("failed to read the notices in {}: {error}", folder.display());
                self.problems.push(Problem::nowhere("N012", message).about("alerts.notices_directory").help(LAYOUT));
                None
            }
        }
    }
}

/// A notice that a rule names needs its texts.
pub fn unknown_notices(named: &[Mention], known: &[&str]) -> Vec<Problem> {
    let unknown = named.iter().filter(|mention| !known.contains(&mention.word.as_str()));
    let told = |mention: &Mention| {
        let (file, span) = &mention.at;
        let problem = Problem::error("N023", file, span.clone(), format!("no notice `{}` has texts", mention.word));
        match did_you_mean(&mention.word, known.iter().copied()) {
            Some(near) => problem.fix(span.clone(), near),
            None => problem.help(format!("there are: {}", known.join(", "))),
        }
    };
    unknown.map(told).collect()
}

/// Why a file cannot be used.
enum Unreadable {
    TooLarge,
    /// Its bytes, and where they stop being UTF-8.
    NotUtf8(Vec<u8>, usize),
    Io(std::io::Error),
}

impl Unreadable {
    fn problem(self, path: String) -> Problem {
        match self {
            Unreadable::TooLarge => {
                Problem::nowhere("N012", format!("{path} is larger than {FILE_BYTES_MAX} bytes")).help("say less")
            }
            Unreadable::NotUtf8(bytes, at) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let file = Arc::new(SourceFile { path, text });
                Problem::error("N012", &file, at..at + 1, "the file is not UTF-8 here").help("save it as UTF-8")
            }
            Unreadable::Io(error) => Problem::nowhere("N012", format!("failed to read {path}: {error}"))
                .help("let the user that walletwatch runs as read it"),
        }
    }
}

fn text_of(path: &Path) -> Result<String, Unreadable> {
    if std::fs::metadata(path).map_err(Unreadable::Io)?.len() > FILE_BYTES_MAX {
        return Err(Unreadable::TooLarge);
    }
    let bytes = std::fs::read(path).map_err(Unreadable::Io)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Unreadable::NotUtf8(error.into_bytes(), at)
    })
}

/// `zh-CN` and `body.txt` of `zh-CN.body.txt`.
fn part_of(path: &Path) -> (&str, &str) {
    path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('.')).unwrap_or_default()
}
