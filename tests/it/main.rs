//! The integration tests: one binary that mirrors the stages. `kit` is the harness.

mod config;
mod deliver;
mod desk;
mod generate;
mod generate_truth;
mod geo;
mod kafka;
mod kit;
mod kit_works;
mod layers;
mod oracle;
mod replay;
mod rules;
mod run;
mod spine;
