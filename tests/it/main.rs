//! The integration tests: one binary that mirrors the stages. `kit` is the harness.

mod generate;
mod geo;
mod kit;
mod kit_works;
mod layers;
mod rules;
