//! Child processes that cannot outlive the test, free ports, and waiting without sleeping blindly.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. A shell holds it: when our end of its standard input closes, for whatever reason, the
/// shell ends the server.
pub struct Server {
    shell: Child,
    what: String,
}

impl Server {
    /// Starts `command` (a shell line) with its output in `log`; `stop` is the line that ends it, where
    /// `$server` is its process id. The folder goes with it.
    pub fn start(what: &str, command: &str, stop: &str, folder: &Path, log: &Path) -> Server {
        let guard = format!(
            "run() {{ ({command}) >>'{log}' 2>&1 & server=$!; }}; run; \
             while read -r word; do case $word in \
             kill) kill -KILL $server; wait $server; echo killed;; \
             start) run; echo started;; \
             esac; done; {stop}; wait $server; rm -rf '{folder}'",
            log = log.display(),
            folder = folder.display()
        );
        let shell = Command::new("sh")
            .args(["-c", &guard])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{what} cannot be started: {e}"));
        Server { shell, what: what.to_owned() }
    }

    /// Ends the server as a crash would (SIGKILL), and comes back when it is gone.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// Starts the server again that was killed, with the command it was started with.
    pub fn start_again(&mut self) {
        self.order("start");
    }

    fn order(&mut self, word: &str) {
        let stdin = self.shell.stdin.as_mut().expect("it is not stopped");
        writeln!(stdin, "{word}").expect("the shell listens");
        let stdout = self.shell.stdout.as_mut().expect("it answers");
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).expect("the shell answers");
            answer.extend(byte);
        }
    }

    /// Ends the server and waits for it.
    pub fn stop(&mut self) {
        drop(self.shell.stdin.take());
        wait_until(&format!("{} has stopped", self.what), Duration::from_secs(30), || {
            self.shell.try_wait().ok().flatten()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if std::thread::panicking() {
            return;
        }
        self.stop();
    }
}

/// Asks `condition` again and again until it answers, or panics at the deadline.
#[expect(clippy::disallowed_methods, reason = "the one place that waits between two looks at a condition")]
pub fn wait_until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port of the loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Whether a program is on the path.
pub fn has_program(name: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {name}")]).output().is_ok_and(|o| o.status.success())
}

/// The last lines of a log, for a panic's message.
pub fn tail(log: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(log) {
        let _ = file.read_to_string(&mut text);
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
