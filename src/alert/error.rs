//! Why the desk does not work: a closed list. Decides nothing.

/// Why the desk does not work.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Another instance has it.
    #[error("the desk {path} is in use by {}", named(holders, "another instance"))]
    InUse {
        /// The file.
        path: String,
        /// Who has it, as far as the system tells.
        holders: Vec<String>,
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
    /// Another program, such as a shell on the file or a backup, did not give up its lock in time.
    #[error(
        "the desk {path} is locked by {}: waited {waited_ms} ms; end that program, or start again once it is done",
        named(holders, "another program")
    )]
    Locked {
        /// The file.
        path: String,
        /// Who holds it, as far as the system tells.
        holders: Vec<String>,
        /// How long it was waited for, ms.
        waited_ms: u64,
    },
    /// SQLite cannot use the file: it is no desk, or it is damaged.
    #[error("failed to open the desk {path}: {source}")]
    Unusable {
        /// The file.
        path: String,
        /// SQLite's word.
        source: rusqlite::Error,
    },
    /// Reading or writing failed.
    #[error("failed to read or write the desk {path}: {source}")]
    Failed {
        /// The file.
        path: String,
        /// SQLite's word.
        source: rusqlite::Error,
    },
    /// What is to be kept cannot be written as JSON: a bug.
    #[error("failed to write a document for the desk: {0}")]
    Document(#[from] serde_json::Error),
    /// SQLite's word inside of the desk, which names its file before it tells anybody.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

fn named(holders: &[String], otherwise: &str) -> String {
    if holders.is_empty() { otherwise.to_owned() } else { holders.join(", ") }
}

impl DeskError {
    /// Whether another program or instance has what we need: later it may have given it up.
    pub fn is_in_use(&self) -> bool {
        matches!(self, DeskError::InUse { .. } | DeskError::Locked { .. })
    }
}
