//! Keyed 64-bit hashes of ids and texts.
//!
//! Guarantees: the same key gives the same hash for ever (SipHash-1-3), never 0, which means *missing* in
//! a row. An outsider who does not know the key cannot make two ids meet on purpose.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The key of one state's hashes.
#[derive(Clone, Copy)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// From 16 secret bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        HashKey(bytes)
    }

    /// The hash of a text.
    pub fn text(&self, text: &str) -> u64 {
        self.bytes(text.as_bytes())
    }

    /// The hash of some bytes.
    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(bytes);
        hasher.finish().max(1)
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}
