//! Lines of the log, on stderr or in a file.
//!
//! Guarantees: JSON is one object a line; people on a terminal get a readable form; in neither can what is logged
//! begin a line of its own or command a terminal: control characters are escaped. Set once for the process; a second
//! time is ignored.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
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
    let file = std::sync::Arc::new(file);
    // Only a test process sets it twice.
    let _ = tracing_subscriber::registry()
        .with(targets(filter))
        .with(lines(false, false, move || std::sync::Arc::clone(&file)))
        .try_init();
}

/// Begins to write lines. `filter` is one that was checked; an unreadable one means `info`.
pub fn start(form: Form, filter: &str) {
    let is_pretty = match form {
        Form::Auto => std::io::stderr().is_terminal(),
        Form::Json => false,
        Form::Pretty => true,
    };
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    // Only a test process sets it twice.
    let _ = tracing_subscriber::registry().with(targets(filter)).with(lines(is_pretty, colors, io::stderr)).try_init();
}

/// How lines are written.
fn lines<S, W>(
    is_pretty: bool,
    colors: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    W: io::Write + 'static,
{
    let clean = move || Clean { to: writer(), is_pretty };
    let lines = tracing_subscriber::fmt::layer().with_writer(clean).with_target(true);
    if is_pretty {
        Box::new(lines.with_ansi(colors))
    } else {
        Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(false))
    }
}

fn targets(filter: &str) -> Targets {
    filter.parse::<Targets>().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO))
}

/// Escapes what the formatters leave as it is: in JSON the controls beyond ASCII, which terminals obey too; for
/// people those below the blank, where a line break within an event is followed by an indent. Gets an event at once.
struct Clean<W> {
    to: W,
    is_pretty: bool,
}

impl<W: io::Write> io::Write for Clean<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let mut clean = String::with_capacity(text.len());
        for c in line.chars() {
            match c {
                '\n' if self.is_pretty => clean.push_str("\n    "),
                // Colours; those of what is logged were escaped by the formatter.
                '\t' | '\u{1b}' if self.is_pretty => clean.push(c),
                c if c.is_control() => {
                    // Writing to a text cannot fail.
                    let _ = write!(clean, "\\u{:04x}", u32::from(c));
                }
                c => clean.push(c),
            }
        }
        clean.push_str(end);
        self.to.write_all(clean.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic before").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a log says of something that tries to forge lines and to command a terminal.
    fn logged(is_pretty: bool) -> String {
        let written = Kept::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(lines(is_pretty, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let hostile = "a\u{1b}[2Jb\u{7}c\u{9b}31m\0d\r\n{\"level\":\"INFO\",\"message\":\"forged\"}";
            tracing::warn!(field = hostile, debugged = ?hostile, "message {hostile}");
            tracing::info!(diagnostics = %"one\n  two", "the next");
        });
        let bytes = written.0.lock().expect("no panic before").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn json_is_one_object_a_line_whatever_is_said() {
        let text = logged(false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(lines[0]["field"].as_str().is_some_and(|field| field.contains("\u{1b}[2J")), "{text}");
        assert_eq!(lines[1]["diagnostics"], "one\n  two");
    }

    #[test]
    fn the_form_for_people_sends_a_terminal_no_commands() {
        let text = logged(true);
        let is_harmless = |c: char| c == '\n' || !c.is_control();
        assert!(text.chars().all(is_harmless), "{text:?}");
        assert!(text.lines().all(|line| line.starts_with("20") || line.starts_with("    ")), "{text}");
        assert!(text.contains("\n      two"), "{text}");
    }
}
