//! What a checkpoint says of itself: how far the stream was taken, with which rules, lists and databases.
//!
//! Guarantees: it stands, the same, at the head of the redo file and in the store. Is written and read elsewhere.

use serde::{Deserialize, Serialize};

/// The format of the store and of redo files. Another one is refused, never read and never reset.
pub const FORMAT: u32 = 1;

/// A state that is whole: everything up to here, nothing after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// 1 for the first of a store, then one more each.
    pub number: u64,
    /// How far it reaches.
    pub progress: Progress,
}

/// How far the stream was taken when a checkpoint was begun, and with what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the last batch in it, as the batch log counts.
    pub batch: u64,
    /// The moment of that batch, ms since 1970.
    pub moment_ms: i64,
    /// For each partition the offset that comes next.
    pub offsets: Vec<NextOffset>,
    /// Digest of the rules in force.
    pub rules: String,
    /// Digest of the lists in force.
    pub lists: String,
    /// Digest of the geo databases in force.
    pub geo: String,
    /// The epoch of the detector.
    pub epoch: u64,
}

/// Where a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextOffset {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The first offset that is not in the checkpoint.
    pub offset: i64,
}

/// What a store holds: written together with the values it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The format it was written in.
    pub format: u32,
    /// The id of the key that its entities are hashed with.
    pub hash_key: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

#[derive(Serialize, Deserialize)]
struct Body {
    hash_key: String,
    checkpoint: Checkpoint,
}

impl Mark {
    /// Of this version's format.
    pub fn new(hash_key: &str, checkpoint: Checkpoint) -> Self {
        Mark { format: FORMAT, hash_key: hash_key.to_owned(), checkpoint }
    }

    /// As bytes: the format, then JSON, so that `state show` and people can read it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = Body { hash_key: self.hash_key.clone(), checkpoint: self.checkpoint.clone() };
        let mut bytes = self.format.to_le_bytes().to_vec();
        // Numbers and texts only: it cannot fail, and bytes without a body are refused where they are read.
        bytes.extend(serde_json::to_vec(&body).unwrap_or_default());
        bytes
    }

    /// Reads it back.
    pub(super) fn decode(bytes: &[u8]) -> Result<Mark, NoMark> {
        let (format, json) = bytes.split_first_chunk().ok_or(NoMark::Unreadable)?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(NoMark::OtherFormat(format));
        }
        let Body { hash_key, checkpoint } = serde_json::from_slice(json).map_err(|_| NoMark::Unreadable)?;
        Ok(Mark { format, hash_key, checkpoint })
    }
}

/// Why bytes are no mark of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMark {
    /// Another version wrote it.
    OtherFormat(u32),
    /// It is none.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_another_format_is_named() {
        let offsets = vec![NextOffset { topic: "wallet.logins".into(), partition: 3, offset: 42 }];
        let progress = Progress { batch: 7, moment_ms: -1, offsets, epoch: 2, ..Progress::default() };
        let mark = Mark::new("b3-1", Checkpoint { number: 9, progress });
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Ok(mark));
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(Mark::decode(&newer), Err(NoMark::OtherFormat(2)));
        for cut in 0..bytes.len() {
            assert_eq!(Mark::decode(&bytes[..cut]), Err(NoMark::Unreadable), "{cut}");
        }
    }
}
