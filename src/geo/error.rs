//! Why a geo database is not used: each reason with its stable code and what to do.
//!
//! Guarantees: the message names the file and what was found in it; the code and the help never depend on the
//! system's language. Does not decide what follows from it.

use std::path::{Path, PathBuf};

use super::schema::Schema;
use crate::report::Problem;

/// The largest file that is read, bytes: the largest commercial one has about 500 MB.
pub const FILE_BYTES_MAX: u64 = 2 << 30;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is at the path.
    #[error("{}: no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}: failed to read the file: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than [`FILE_BYTES_MAX`].
    #[error("{}: the file has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no MMDB metadata.
    #[error("{}: not a MaxMind DB file: {looks}", path.display())]
    NotMmdb {
        /// The file.
        path: PathBuf,
        /// What it is instead, as far as one can see.
        looks: &'static str,
    },
    /// The file is an MMDB file with an error in it.
    #[error("{}: the file is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        detail: String,
    },
    /// The file is sound, and its records are of no schema that is read.
    #[error("{}: unknown schema: the database calls itself \"{database_type}\", its records have the fields: {found}", path.display())]
    UnknownSchema {
        /// The file.
        path: PathBuf,
        /// The type its metadata names.
        database_type: String,
        /// The fields found.
        found: String,
    },
}

impl OpenError {
    /// The error for bytes without MMDB metadata.
    pub(super) fn not_mmdb(path: &Path, bytes: &[u8]) -> OpenError {
        OpenError::NotMmdb { path: path.to_owned(), looks: looks_like(bytes) }
    }

    /// The file in question.
    pub fn path(&self) -> &Path {
        match self {
            OpenError::Missing { path }
            | OpenError::Unreadable { path, .. }
            | OpenError::TooLarge { path }
            | OpenError::NotMmdb { path, .. }
            | OpenError::Damaged { path, .. }
            | OpenError::UnknownSchema { path, .. } => path,
        }
    }

    /// The stable code: `G001` missing, `G002` unreadable, `G003` another kind of file, `G004` damaged, `G005`
    /// unknown schema.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Missing { .. } => "G001",
            OpenError::Unreadable { .. } | OpenError::TooLarge { .. } => "G002",
            OpenError::NotMmdb { .. } => "G003",
            OpenError::Damaged { .. } => "G004",
            OpenError::UnknownSchema { .. } => "G005",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            OpenError::Missing { .. } => "give the path of an .mmdb file; the README says where to get one".to_owned(),
            OpenError::Unreadable { .. } => "let the user that walletwatch runs as read it".to_owned(),
            OpenError::TooLarge { .. } => "no geo database has this size; give the .mmdb file itself".to_owned(),
            OpenError::NotMmdb { .. } => "give the .mmdb file; the README says where to get one".to_owned(),
            OpenError::Damaged { .. } => "fetch the file again and compare its checksum".to_owned(),
            OpenError::UnknownSchema { .. } => format!("accepted are {}", Schema::ACCEPTED),
        }
    }

    /// As a problem of a file, for commands that tell every problem at once.
    pub fn problem(&self) -> Problem {
        Problem::nowhere(self.code(), self.to_string()).help(self.help())
    }
}

/// What bytes without MMDB metadata most likely are.
fn looks_like(bytes: &[u8]) -> &'static str {
    /// Bytes that are looked at: enough to tell text from data.
    const HEAD_BYTES: usize = 512;
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    match head {
        [] => "the file is empty",
        [0x1f, 0x8b, ..] => "it is packed with gzip: unpack it first",
        [b'P', b'K', ..] => "it is a ZIP archive: unpack it first",
        _ if head.iter().all(|b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..)) => {
            "it is text: of GeoLite2 and others take the MMDB edition, not the CSV one"
        }
        _ => "it has no metadata at its end: cut short, or another kind of file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_named() {
        assert_eq!(looks_like(b""), "the file is empty");
        assert_eq!(looks_like(b"\x1f\x8b\x08"), "it is packed with gzip: unpack it first");
        assert!(looks_like(b"start_ip,end_ip,country\n").contains("text"));
        assert!(looks_like(&[0, 1, 2, 3]).contains("cut short"));
    }
}
