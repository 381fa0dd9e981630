//! `walletwatch demo` on a terminal of 80 by 24: the picture, its keys, and what stays when it is gone.
//!
//! `script` of util-linux makes the terminal, and `vt100` reads what is drawn on it.

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::kit::process::wait_until;

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).unwrap();
/// Lines that have left the screen and are kept.
const HISTORY: usize = 500;

/// The demo on a terminal.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    parser: Arc<Mutex<vt100::Parser>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    fn open(out: &Path) -> Terminal {
        let binary = env!("CARGO_BIN_EXE_walletwatch");
        let demo = format!("'{binary}' demo --events 10000 --seed 7 --out '{}'", out.display());
        let line = format!("stty rows {ROWS} cols {COLUMNS}; exec {demo}");
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script, of the package bsdutils");
        let keys = script.stdin.take().expect("its input");
        let mut drawn = script.stdout.take().expect("its output");
        let parser = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, HISTORY)));
        let shown = Arc::clone(&parser);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Some(length) = drawn.read(&mut bytes).ok().filter(|length| *length > 0) {
                shown.lock().expect("a screen").process(&bytes[..length]);
            }
        });
        Terminal { script, keys, parser, reader }
    }

    fn screen(&self) -> String {
        self.parser.lock().expect("a screen").screen().contents()
    }

    /// Waits until all of these stand on the screen; gives it.
    fn shows(&self, what: &str, parts: &[&str]) -> String {
        wait_until(what, Duration::from_secs(60), || {
            let screen = self.screen();
            parts.iter().all(|part| screen.contains(part)).then_some(screen)
        })
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).and_then(|()| self.keys.flush()).expect("a terminal");
    }

    /// Waits for its end: how it ended, and what stands on the terminal then, from the first line on.
    fn end(mut self) -> (ExitStatus, String) {
        let status = wait_until("it ends", Duration::from_secs(120), || self.script.try_wait().expect("a child"));
        self.reader.join().expect("all is read");
        let mut parser = self.parser.lock().expect("a screen");
        let screen = parser.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "the terminal is as it was");
        let last = screen.contents();
        parser.screen_mut().set_scrollback(usize::MAX);
        let mut pages = Vec::new();
        for back in (1..=parser.screen().scrollback()).rev() {
            parser.screen_mut().set_scrollback(back);
            pages.extend(parser.screen().rows(0, COLUMNS.get()).next());
        }
        (status, pages.join("\n") + "\n" + &last)
    }
}

#[test]
fn the_picture_tells_the_first_attack_and_the_table_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let terminal = Terminal::open(&folder.path().join("out"));
    let screen = terminal.shows(
        "the first attack and the board are shown",
        &[
            "The first attack: takeover",
            "the owner has",
            "SMS to +",
            "Attacks: ",
            " of the day",
            "latency",
            "q ends it",
        ],
    );
    assert!(screen.lines().count() <= usize::from(ROWS.get()), "{screen}");
    let (status, stays) = terminal.end();
    assert_eq!(status.code(), Some(0), "{stays}");
    for part in ["THE FIRST ATTACK", "all attacks", "no user was told of one", "summary.json"] {
        assert!(stays.contains(part), "no `{part}` in what stays:\n{stays}");
    }
    assert!(!stays.contains("q ends it"), "the picture is gone:\n{stays}");
}

#[test]
fn q_and_ctrl_c_end_it_and_it_says_that_it_has_shown_nothing() {
    for key in ["q", "\x03"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut terminal = Terminal::open(&folder.path().join("out"));
        terminal.shows("the board is shown", &["Attacks: ", "q ends it"]);
        terminal.press(key);
        let (status, stays) = terminal.end();
        assert_eq!(status.code(), Some(1), "{key:?}: {stays}");
        assert!(stays.contains("stopped before its end, so it has shown nothing"), "{key:?}: {stays}");
    }
}
