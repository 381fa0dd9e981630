//! The integration tests: one binary that mirrors the stages. `kit` is the harness.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so; clippy knows tests only inside #[test]"
)]

mod backtest;
mod check;
mod config;
mod dead;
mod deliver;
mod demo;
mod demo_terminal;
mod deploy;
mod desk;
mod differential;
mod faults;
mod generate;
mod generate_pace;
mod generate_people;
mod generate_replay;
mod generate_truth;
mod geo;
mod kafka;
mod kit;
mod kit_works;
mod last_good;
mod layers;
mod mapping;
mod mapping_run;
mod mutate;
mod one_detector;
mod oracle;
mod pack;
mod readme;
mod rehearsal;
mod reload;
mod replay;
mod rules;
mod rules_examples;
mod rules_hostile;
mod rules_pack;
mod rules_page;
mod rules_schema;
mod rules_tools;
mod run;
mod spine;
mod state;
mod status;
mod store;
mod swap;
mod telemetry;
