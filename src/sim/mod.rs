//! The seeded generator: people, attackers and the truth about both.
//!
//! A stream is made of ordinary traffic, drawn record by record, and of planted scenes, kept in memory and
//! merged in by their stamp. A *stamp* is when a record reaches Kafka: its event's time and a delay.
//! Guarantees: same plan, same bytes, on every platform; exactly as many records as asked for, in the order of
//! their stamps; memory does not grow with the records. No clock, file or socket: `cli::generate` has those.

mod attacks;
mod crowd;
mod draft;
mod episodes;
mod lookalikes;
mod malformed;
mod names;
mod people;
mod places;
mod plan;
mod planner;
mod random;
mod record;
mod rhythm;
mod script;
mod stream;
mod timeline;
mod traffic;
mod truth;
mod velocity;
mod world;
mod zipf;

pub use plan::{Plan, Profile, START};
pub use record::{Record, Topic};
pub use stream::Generator;
pub use truth::{Line, Totals};

/// Why a stream cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The world's file, compiled in, is not what it should be.
    #[error("world.csv, line {line}: not a range of the world")]
    World {
        /// The line, from 1.
        line: usize,
    },
    /// Nothing in the world fits.
    #[error("the world has no range of addresses of the kind that a scene asks for")]
    Empty,
    /// A number is out of range.
    #[error("{what} must be {low} to {high}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its least value.
        low: u64,
        /// Its greatest value.
        high: u64,
    },
}
