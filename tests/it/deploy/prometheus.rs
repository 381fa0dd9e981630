//! The alert rules: of nothing that is not there, by promtool's own cases, and in a real Prometheus that scrapes the
//! real service.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use super::{dashboard, expression, path, said, text, tool, yaml};
use crate::kit::kafka::broker;
use crate::kit::process::{Server, free_port, tail, wait_until};
use crate::kit::running::Running;

const ALERTS: &str = "deploy/prometheus/alerts.yml";
/// Records that are written at once while the lag is wanted.
const BURST_RECORDS: usize = 2000;

/// The alert rules.
fn alerts() -> Vec<Value> {
    let file = yaml(ALERTS);
    let groups = file["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// The names behind `$labels.` in a template.
fn shown(template: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    template.split("$labels.").skip(1).map(name).collect()
}

#[test]
fn every_metric_and_label_of_the_alerts_exists() {
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        let annotations = alert["annotations"].as_object().expect("annotations");
        let shown: Vec<String> = annotations.values().flat_map(|text| shown(text.as_str().expect("a text"))).collect();
        expression::exists(name, alert["expr"].as_str().expect("an expression"), &shown);
    }
    // Those that stand in texts: templates that ask, cases, pages.
    for file in [ALERTS, "deploy/prometheus/alerts.test.yml", "deploy/README.md"] {
        let text = text(file);
        for word in
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("walletwatch_"))
        {
            assert!(expression::labels(word).is_some(), "{file}: there is no metric {word}");
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do_and_has_a_case() {
    let cases = text("deploy/prometheus/alerts.test.yml");
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name").to_owned();
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("critical" | "warning")), "{name}");
        for (key, length) in [("summary", 20), ("description", 60), ("runbook", 60)] {
            let text = alert["annotations"][key].as_str().unwrap_or_default();
            assert!(text.len() >= length, "{name}: {key} says little: {text:?}");
        }
        assert!(!alert["annotations"]["runbook"].as_str().is_some_and(|text| text.contains("$value")), "{name}");
        assert!(
            cases.contains(&format!("alertname=\"{name}\"")) || cases.contains(&format!("alertname: {name}\n")),
            "{name}: no case"
        );
        assert!(names.insert(name.clone()), "{name}: twice");
    }
    assert!(names.len() <= 24, "few, or nobody reads them: {}", names.len());
}

#[test]
fn promtool_takes_the_rules_and_their_cases() {
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let output = tool("prometheus", Command::new("promtool").args(args).current_dir(path("deploy/prometheus")));
        assert!(output.status.success(), "promtool {}: {}", args.join(" "), said(&output));
    }
    let config = ["check", "config", "--syntax-only"];
    let output = tool("prometheus", Command::new("promtool").args(config).arg(path("deploy/compose/prometheus.yml")));
    assert!(output.status.success(), "{}", said(&output));
}

/// A service on topics of its own, that is not ready as soon as one record waits.
struct Wallet {
    folder: tempfile::TempDir,
    logins: String,
}

impl Wallet {
    fn new() -> Self {
        let topics = ["logins", "accounts", "money"].map(|topic| broker().topic(&format!("scraped.{topic}"), 1));
        let folder = tempfile::tempdir().expect("a folder");
        let first = &topics[0];
        let config = format!(
            "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = {topics:?}\ngroup = {first:?}\nstart = \"earliest\"\n\
             alerts_topic = \"{first}.alerts\"\ncontacts_topic = \"{first}.contacts\"\n\
             dead_letter_topic = \"{first}.dead\"\n[state]\ndirectory = \"state\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\nready_lag_records_max = 1\n",
            broker().bootstrap
        );
        std::fs::write(folder.path().join("walletwatch.toml"), config).expect("written");
        Wallet { folder, logins: topics[0].clone() }
    }

    /// Writes successful logins until `enough` has an answer, faster than anybody could decide them.
    fn flood<T>(&self, limit: Duration, mut enough: impl FnMut() -> Option<T>) -> T {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
        let deadline = Instant::now() + limit;
        let mut written = 0;
        let answer = loop {
            if let Some(answer) = enough() {
                break answer;
            }
            assert!(Instant::now() < deadline, "{written} records were written, and it was not enough in {limit:?}");
            for _ in 0..BURST_RECORDS {
                let (account, time) = (written % 1000, 1_767_268_800_000_i64 + written);
                let value = format!(
                    r#"{{"id":"l-{written}","type":"login","time":{time},"account":"acc-{account}","result":"success"}}"#
                );
                while producer.send(BaseRecord::to(&self.logins).key("a").payload(&value)).is_err() {
                    producer.poll(Duration::from_millis(5));
                }
                written += 1;
            }
        };
        producer.flush(Duration::from_secs(60)).expect("written");
        answer
    }
}

/// A real Prometheus with our rules, the compose file's configuration and a short breath.
struct Prometheus {
    _server: Server,
    _folder: tempfile::TempDir,
    address: String,
}

impl Prometheus {
    fn start(target: &str) -> Prometheus {
        let folder = tempfile::Builder::new().prefix("walletwatch-prometheus-").tempdir().expect("a folder");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("written");
        write("alerts.yml", at_once(&text(ALERTS)));
        let config = text("deploy/compose/prometheus.yml").replace("5s", "1s").replace("walletwatch:9464", target);
        assert!(config.contains(target) && config.contains("scrape_interval: 1s"), "{config}");
        write("prometheus.yml", config);
        let address = format!("127.0.0.1:{}", free_port());
        let command = format!(
            "exec prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address={address} \
             --log.level=warn"
        );
        let log = folder.path().join("prometheus.log");
        let server = Server::start("prometheus", &command, "kill -TERM $server", folder.path(), &log);
        let started = Prometheus { _server: server, _folder: folder, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        wait_until("prometheus answers", Duration::from_secs(60), || {
            assert!(Instant::now() < deadline, "prometheus does not start (package `prometheus`): {}", tail(&log));
            started.get("/-/ready")
        });
        started
    }

    /// The body of an answer with 200.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.split(' ').nth(1).filter(|status| *status == "200").map(|_| body.to_owned())
    }

    fn api(&self, path: &str) -> Value {
        let body = self.get(path).unwrap_or_else(|| panic!("no answer to {path}"));
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        assert_eq!(answer["status"], "success", "{body}");
        answer["data"].clone()
    }

    /// The alerts that fire, by name.
    fn firing(&self) -> Vec<Value> {
        let alerts = self.api("/api/v1/alerts")["alerts"].as_array().expect("alerts").clone();
        alerts.into_iter().filter(|alert| alert["state"] == "firing").collect()
    }
}

/// Rules that wait for nothing.
fn at_once(rules: &str) -> String {
    let line = |line: &str| if line.trim_start().starts_with("for: ") { "        for: 0s" } else { line }.to_owned();
    rules.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn names(alerts: &[Value]) -> Vec<&str> {
    alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().expect("a name")).collect()
}

#[test]
fn a_real_prometheus_scrapes_the_service_and_fires_when_the_lag_grows() {
    let wallet = Wallet::new();
    let service = Running::start(wallet.folder.path(), &[]);
    service.is_ready();
    is_clean(&service.get("/metrics").expect("a scrape").1);
    let prometheus = Prometheus::start(&service.address());
    wait_until("the service is scraped", Duration::from_secs(30), || {
        let up = prometheus.api("/api/v1/query?query=walletwatch_ready");
        (up["result"][0]["value"][1] == "1").then_some(())
    });
    rules_are_evaluated(&prometheus);
    let of_lag = |firing: &[Value]| {
        firing.iter().find(|alert| alert["labels"]["alertname"] == "WalletwatchLagOverLimit").cloned()
    };
    assert!(of_lag(&prometheus.firing()).is_none(), "nothing was written yet");
    compiled_in_lists_have_an_age_and_no_limit(&service);

    let (alert, firing) = wallet.flood(Duration::from_secs(120), || {
        let firing = prometheus.firing();
        of_lag(&firing).map(|alert| (alert, firing))
    });
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["labels"]["instance"], service.address());
    let description = alert["annotations"]["description"].as_str().expect("a description");
    assert!(description.contains("records are written and not decided"), "{description}");
    assert!(!description.contains("{{") && !description.contains("error"), "{description}");
    assert!(!names(&firing).contains(&"WalletwatchNotReady"), "one cause, one alert: {firing:#?}");

    the_dashboard_shows_something(&prometheus);
    wait_until("the lag is worked off, and so is the alert", Duration::from_secs(120), || {
        of_lag(&prometheus.firing()).is_none().then_some(())
    });
    service.terminate();
    wait_until("a stopped service is told of", Duration::from_secs(30), || {
        names(&prometheus.firing()).contains(&"WalletwatchDown").then_some(())
    });
}

/// However old the program grows: its own lists are told of once, and then nobody is woken for them.
fn compiled_in_lists_have_an_age_and_no_limit(service: &Running) {
    let scrape = service.scrape().expect("a scrape");
    assert!(scrape.contains_key(r#"walletwatch_list_age_seconds{list="tor_exits"}"#), "{scrape:#?}");
    assert!(!scrape.keys().any(|series| series.starts_with("walletwatch_list_age_limit_seconds")), "{scrape:#?}");
    let told = |line: &&Value| line["lists"].as_str().is_some_and(|lists| lists.split(',').any(|l| l == "tor_exits"));
    assert_eq!(service.log().iter().filter(told).count(), 1);
}

/// Prometheus answers to every panel, and what a wallet without attacks has is there to be seen.
fn the_dashboard_shows_something(prometheus: &Prometheus) {
    let mut empty = BTreeSet::new();
    for (whose, expr) in dashboard::asked() {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = prometheus.api(&format!("/api/v1/query?query={encoded}"));
        if answer["result"].as_array().expect("a result").is_empty() {
            empty.insert(whose);
        }
    }
    // No alerts, notices, dead letters, lists or geo files here; rates need two scrapes.
    for shown in
        ["Ready", "Lag", "Lag by topic", "Signs of life", "Rules in force", "Rule set", "Memory", "Events", "starts"]
    {
        assert!(!empty.contains(shown), "nothing to see in {shown}; empty: {empty:?}");
    }
}

/// Every rule of ours is there, and none has failed.
fn rules_are_evaluated(prometheus: &Prometheus) {
    let expected = alerts().len();
    let rules = wait_until("every rule was evaluated", Duration::from_secs(30), || {
        let groups = prometheus.api("/api/v1/rules")["groups"].as_array().expect("groups").clone();
        let rules: Vec<Value> = groups.iter().flat_map(|g| g["rules"].as_array().expect("rules").clone()).collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert_eq!(rules.len(), expected);
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
}

/// What promtool says of the metrics' names and types: nothing.
fn is_clean(metrics: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("promtool: {e}; install the package `prometheus`"));
    child.stdin.take().expect("its input").write_all(metrics.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn the_rules_of_the_test_differ_by_their_patience_alone() {
    let (shipped, hasty) = (text(ALERTS), at_once(&text(ALERTS)));
    let differing = shipped.lines().zip(hasty.lines()).filter(|(a, b)| a != b);
    assert!(differing.map(|(line, _)| line.trim()).all(|line| line.starts_with("for: ")));
}
