//! Why the desk does not work: a closed list. Decides nothing.

/// Why the desk does not work.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Another instance has it.
    #[error("the desk {path} is in use by another instance")]
    InUse {
        /// The file.
        path: String,
    },
    /// A newer version wrote it.
    #[error("the desk is of version {found}, this program knows up to {known}: it is left as it is")]
    Newer {
        /// What the file says.
        found: u32,
        /// What we know.
        known: u32,
    },
    /// More cases than numbers.
    #[error("the desk has given out all case numbers")]
    CasesUsedUp,
    /// The file cannot be opened.
    #[error("failed to open the desk {path}: {source}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite cannot use the file: it is no desk, it is damaged, or somebody else has locked it.
    #[error("failed to open the desk {path}: {source}")]
    Unusable {
        /// The file.
        path: String,
        /// SQLite's word.
        source: rusqlite::Error,
    },
    /// Reading or writing failed.
    #[error("failed to read or write the desk: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
