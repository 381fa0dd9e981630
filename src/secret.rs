//! A secret: a text that never shows itself.
//!
//! Guarantees: neither `Debug` nor `Display` nor serialisation gives it away; only [`Secret::reveal`] does,
//! and that word is what to search for. Does not read secrets: `config` does, from files only.

/// A password, key or token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself: only for handing it to the peer it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
