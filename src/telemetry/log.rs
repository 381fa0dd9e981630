//! Lines of the log, on stderr or in a file.
//!
//! Guarantees: JSON is one object a line with control characters escaped; people on a terminal get a readable
//! form. Set once for the process; a second time is ignored.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Readable on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Begins to write lines of JSON into a file: for a command that needs the terminal for something else.
pub fn start_in(file: std::fs::File, filter: &str) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::sync::Arc::new(file)).with_target(true);
    let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
    // Only a test process sets it twice.
    let _ = tracing_subscriber::registry().with(targets(filter)).with(lines).try_init();
}

/// Begins to write lines. `filter` is one that was checked; an unreadable one means `info`.
pub fn start(form: Form, filter: &str) {
    let is_pretty = match form {
        Form::Auto => std::io::stderr().is_terminal(),
        Form::Json => false,
        Form::Pretty => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    let registry = tracing_subscriber::registry().with(targets(filter));
    // Only a test process sets it twice.
    let _ = if is_pretty {
        let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        registry.with(lines.with_ansi(colors)).try_init()
    } else {
        registry.with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false)).try_init()
    };
}

fn targets(filter: &str) -> Targets {
    filter.parse::<Targets>().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO))
}
