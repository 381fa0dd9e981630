//! The service as a process that goes on, its log read as it comes, and its HTTP endpoints asked plainly.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::process::wait_until;

/// A running service. Dropping it kills it.
pub struct Running {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Running {
    /// Starts `walletwatch run` in a folder with a configuration that says `[http] listen`.
    pub fn start(folder: &std::path::Path, args: &[&str]) -> Running {
        Running::spawn(Running::command(folder, args))
    }

    /// The same of another build, or with more in its environment.
    pub fn start_of(command: Command, folder: &std::path::Path, args: &[&str]) -> Running {
        Running::spawn(in_folder(command, folder, args))
    }

    /// The command of [`Running::start`], for whoever changes what it runs in.
    pub fn command(folder: &std::path::Path, args: &[&str]) -> Command {
        in_folder(Command::new(env!("CARGO_BIN_EXE_walletwatch")), folder, args)
    }

    /// Starts it.
    pub fn spawn(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().expect("its log"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().expect("no panic before").push(line);
            }
        });
        Running { child, log }
    }

    /// Every line of its log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("no panic before").clone()
    }

    /// Where it serves metrics and health: its log tells.
    pub fn address(&self) -> String {
        wait_until("it says where it listens", Duration::from_secs(30), || {
            self.log().iter().find_map(|line| line["address"].as_str().map(str::to_owned))
        })
    }

    /// Status and body of a path; `None` while nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(&self.address(), path)
    }

    /// The scrape: each series with its value.
    pub fn scrape(&self) -> Option<BTreeMap<String, f64>> {
        scrape(&self.address())
    }

    /// How many records it has taken since its start.
    pub fn taken(&self) -> Option<u64> {
        let series = self.scrape()?;
        let sum = |name: &str| -> f64 { series.iter().filter(|(s, _)| s.starts_with(name)).map(|(_, n)| n).sum() };
        Some((sum("walletwatch_events_total{") + sum("walletwatch_events_rejected_total{")) as u64)
    }

    /// The status of `/readyz`, and the details of the checks that fail, by name.
    pub fn failing(&self) -> Option<(u16, BTreeMap<String, String>)> {
        let (status, text) = self.get("/readyz")?;
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(report["ready"].as_bool(), Some(status == 200), "{text}");
        let checks = report["checks"].as_array().expect("checks").iter();
        let failed = checks.filter(|check| check["state"] == "failed");
        let named = |check: &Value| {
            let text = |key: &str| check[key].as_str().expect("text").to_owned();
            (text("name"), text("detail"))
        };
        Some((status, failed.map(named).collect()))
    }

    /// Waits until `/readyz` says 200.
    pub fn is_ready(&self) {
        let mut last = None;
        wait_until("it is ready", Duration::from_secs(60), || {
            last = self.failing();
            last.as_ref().is_some_and(|(status, _)| *status == 200).then_some(())
        });
    }

    /// Waits until `/readyz` says 503 by a check whose detail holds `why`; at most `limit`.
    pub fn fails(&self, check: &str, why: &str, limit: Duration) {
        wait_until(&format!("/readyz fails by `{check}`: {why}"), limit, || {
            let (status, failed) = self.failing()?;
            (status == 503 && failed.get(check)?.contains(why)).then_some(())
        });
    }

    /// Sends a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let (flag, id) = (format!("-{name}"), self.child.id().to_string());
        let status = Command::new("kill").args([flag, id]).status().expect("kill");
        assert!(status.success());
    }

    /// A check of `/readyz`: its state and detail.
    pub fn check(&self, name: &str) -> Option<(String, String)> {
        let (_, text) = self.get("/readyz")?;
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let check = report["checks"].as_array()?.iter().find(|check| check["name"] == name)?;
        Some((check["state"].as_str()?.to_owned(), check["detail"].as_str()?.to_owned()))
    }

    /// The signal that ended it, once it has ended; `None` while it runs.
    pub fn ended_by(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.child.try_wait().expect("a child")?;
        Some(status.signal().unwrap_or_else(|| panic!("it ended by itself: {status}")))
    }

    /// Waits until it has ended by itself; `None` where a signal ended it.
    pub fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        wait_until("it has ended", limit, || self.child.try_wait().expect("a child")).code()
    }

    /// SIGTERM; it must be out within ten seconds, with 0.
    pub fn terminate(mut self) -> Vec<Value> {
        self.signal("TERM");
        let status = wait_until("it is out", Duration::from_secs(10), || self.child.try_wait().expect("a child"));
        assert_eq!(status.code(), Some(0), "{:#?}", self.log());
        self.log()
    }
}

fn in_folder(mut command: Command, folder: &std::path::Path, args: &[&str]) -> Command {
    command.arg("run").args(["--config", "walletwatch.toml"]).args(args).current_dir(folder);
    command
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what the service said")]
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the service's log: {:#?}", self.log());
        }
    }
}

/// The scrape of whoever listens there: each series with its value.
pub fn scrape(address: &str) -> Option<BTreeMap<String, f64>> {
    let (status, text) = get(address, "/metrics")?;
    assert_eq!(status, 200, "{text}");
    let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        (series.to_owned(), value.parse().expect("a number"))
    });
    Some(series.collect())
}

/// One plain request.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    Some((status, body.to_owned()))
}
