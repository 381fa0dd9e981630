//! Secrets, from files only.
//!
//! Guarantees: a name without a folder is looked for in the service manager's credentials directory first; one
//! trailing line break is not part of a secret; no problem repeats a secret.

use std::path::{Path, PathBuf};

use super::table::{Located, Section};
use crate::secret::Secret;

/// A secret is at most this long, bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where we look.
const FILE_HELP: &str = "a path starts at the folder of this file, and the user that walletwatch runs as must read it";
const SECRET_HELP: &str = "a path starts at the folder of this file; a name without a folder is looked for in \
     $CREDENTIALS_DIRECTORY first";

/// Where files named in the configuration are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folders {
    /// The folder of the configuration file: other paths start there.
    pub config: PathBuf,
    /// `$CREDENTIALS_DIRECTORY`, as systemd sets it.
    pub credentials: Option<PathBuf>,
}

impl Folders {
    /// A path as the file means it.
    pub fn path(&self, written: &str) -> PathBuf {
        self.config.join(written)
    }

    /// Where a secret is.
    fn secret(&self, written: &str) -> PathBuf {
        let is_bare = Path::new(written).components().count() == 1;
        let credential = self.credentials.as_ref().filter(|_| is_bare).map(|folder| folder.join(written));
        credential.filter(|path| path.is_file()).unwrap_or_else(|| self.path(written))
    }
}

/// Reads the secret whose file a key names.
pub fn read(section: &Section<'_, '_>, key: &'static str, folders: &Folders) -> Option<Secret> {
    let file = section.text(key)?;
    of(section, key, &file, folders)
}

/// Reads the secret in a file that was named.
pub fn of(section: &Section<'_, '_>, key: &str, file: &Located<String>, folders: &Folders) -> Option<Secret> {
    let path = folders.secret(&file.value);
    let refuse = |why: String| {
        let message = format!("`{}` cannot be read: {}: {why}", section.path(key), path.display());
        section.refuse_with_help("C006", &file.at, message, SECRET_HELP);
        None
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.len() > SECRET_BYTES_MAX => return refuse(format!("larger than {SECRET_BYTES_MAX} bytes")),
        Ok(found) if !found.is_file() => return refuse("not a file".to_owned()),
        _ => {}
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let secret = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
            if secret.is_empty() { refuse("it is empty".to_owned()) } else { Some(Secret::new(secret)) }
        }
        Err(error) => refuse(error.to_string()),
    }
}

/// A file that must be there and readable; its content is somebody else's matter.
pub fn readable(section: &Section<'_, '_>, key: &'static str, folders: &Folders) -> Option<PathBuf> {
    let file = section.text(key)?;
    let path = folders.path(&file.value);
    match std::fs::File::open(&path).and_then(|f| f.metadata()) {
        Ok(found) if found.is_file() => Some(path),
        found => {
            let why = found.map_or_else(|error| error.to_string(), |_| "not a file".to_owned());
            let message = format!("`{}` cannot be read: {}: {why}", section.path(key), path.display());
            section.refuse_with_help("C006", &file.at, message, FILE_HELP);
            None
        }
    }
}
