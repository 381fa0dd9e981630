//! The integration tests: one binary that mirrors the stages. `kit` is the harness.

mod config;
mod generate;
mod geo;
mod kafka;
mod kit;
mod kit_works;
mod layers;
mod rules;
mod run;
