//! Geo: the small world's databases, the lookup over them, damage of every kind, the commands.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod commands;
mod damage;
mod lookup;
mod world;
mod writer;
