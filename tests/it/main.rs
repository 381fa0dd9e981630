//! The integration tests: one binary that mirrors the stages. `kit` is the harness.

mod deliver;
mod desk;
mod geo;
mod kit;
mod kit_works;
mod layers;
