//! What the client library tells us: its log lines, its errors, and its wish for a fresh token.
//!
//! Guarantees: at most one line a second from all clients together, with the number of those left out; a line never
//! holds a secret (the library prints none at these levels). Does not decide what an error means.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::NoCustomPartitioner;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::config::{KafkaConfig, Sasl};
use crate::clock;
use crate::event::Millis;

/// At most one line in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// A token without an expiry of its own is read again after this time, ms.
const TOKEN_LIFETIME_MS: i64 = 5 * 60_000;

/// Lets one through in a second and counts the rest. One trouble shows in many places, so all of them share the second:
/// what is left out is counted by each.
#[derive(Debug, Default)]
pub struct OneASecond {
    left_out: AtomicU64,
    /// Of its own in place of the one that all share.
    gate: Option<Gate>,
}

/// When the last line passed.
#[derive(Debug, Default)]
struct Gate(Mutex<Option<Instant>>);

/// The one that all share.
static GATE: Gate = Gate(Mutex::new(None));

impl Gate {
    fn pass(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_open = last.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if is_open {
            *last = Some(Instant::now());
        }
        is_open
    }
}

impl OneASecond {
    /// How many were left out since the last one, if this one may go.
    pub fn pass(&self) -> Option<u64> {
        if self.gate.as_ref().unwrap_or(&GATE).pass() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }

    #[cfg(test)]
    fn alone() -> Self {
        OneASecond { gate: Some(Gate::default()), ..OneASecond::default() }
    }
}

/// The context of readers and admins.
#[derive(Debug)]
pub struct Context {
    client: &'static str,
    token_file: Option<PathBuf>,
    has_given_token: AtomicBool,
    lines: OneASecond,
}

impl Context {
    /// For the client that does `client`.
    pub fn new(client: &'static str, config: &KafkaConfig) -> Self {
        let token_file = match &config.sasl {
            Some(Sasl::Token { file }) => Some(file.clone()),
            _ => None,
        };
        Context { client, token_file, has_given_token: AtomicBool::new(false), lines: OneASecond::default() }
    }

    /// Whether the library has been given a token.
    pub fn has_given_token(&self) -> bool {
        self.has_given_token.load(Ordering::Acquire)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        let client = self.client;
        // What the library calls an error is mostly a connection it makes again.
        if (level as i32) <= (RDKafkaLogLevel::Notice as i32)
            && let Some(left_out) = self.lines.pass()
        {
            tracing::warn!(client, facility = fac, left_out, "kafka client: {line}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way too, and is no trouble: whoever reads asked for it.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let client = self.client;
        if let Some(left_out) = self.lines.pass() {
            tracing::warn!(client, left_out, %error, "kafka client: {reason}");
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let file = self.token_file.as_ref().ok_or("no token file is configured")?;
        let token = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        self.has_given_token.store(true, Ordering::Release);
        Ok(oauth_token(token.trim(), clock::now().0))
    }
}

/// A token with the expiry and the subject it names itself, where it is a JWT.
fn oauth_token(token: &str, now_ms: i64) -> OAuthToken {
    let claims = token
        .split('.')
        .nth(1)
        .and_then(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let claim = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
    let expires_ms = claim("exp").and_then(serde_json::Value::as_i64).map(|s| s.saturating_mul(1000));
    OAuthToken {
        token: token.to_owned(),
        principal_name: claim("sub").and_then(|sub| sub.as_str()).unwrap_or("").to_owned(),
        lifetime_ms: expires_ms.unwrap_or(now_ms + TOKEN_LIFETIME_MS),
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let client = self.client;
        if let Err(error) = result
            && let Some(left_out) = self.lines.pass()
        {
            tracing::warn!(client, left_out, %error, "offsets were not committed; the next commit carries them");
        }
    }
}

/// What a record is sent with and told of by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The number of its batch.
    pub number: usize,
    /// The timestamp of the record it is about, where that is measured.
    pub cause: Option<Millis>,
}

/// Whom the producer tells what became of a record: the ticket it was sent with.
pub trait Deliveries: Send + Sync + 'static {
    /// A record of this ticket is in Kafka, or why it is not.
    fn delivered(&self, ticket: &Ticket, topic: &str, result: Result<(), rdkafka::types::RDKafkaErrorCode>);
}

/// The context of the producer.
#[derive(Debug)]
pub struct ProducerContext<D> {
    context: Context,
    /// Who is told.
    pub deliveries: D,
}

impl<D> ProducerContext<D> {
    /// Tells `deliveries`.
    pub fn new(config: &KafkaConfig, deliveries: D) -> Self {
        ProducerContext { context: Context::new("producer", config), deliveries }
    }
}

impl<D: Deliveries> ClientContext for ProducerContext<D> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        self.context.log(level, fac, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.context.generate_oauth_token(config)
    }
}

impl<D: Deliveries> rdkafka::producer::ProducerContext<NoCustomPartitioner> for ProducerContext<D> {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, ticket: Box<Ticket>) {
        use rdkafka::Message as _;
        use rdkafka::types::RDKafkaErrorCode as Code;
        match result {
            Ok(message) => self.deliveries.delivered(&ticket, message.topic(), Ok(())),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                self.deliveries.delivered(&ticket, message.topic(), Err(code));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_itself_when_it_expires_and_who_it_is_for() {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"sub":"svc","exp":1700000000}"#);
        let token = oauth_token(&format!("h.{claims}.s"), 5);
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("svc", 1_700_000_000_000));
        assert_eq!(oauth_token("opaque", 5).lifetime_ms, 5 + TOKEN_LIFETIME_MS);
    }

    #[test]
    fn the_end_of_a_partition_takes_no_line_and_an_error_does() {
        let mut context = Context::new("reader", &KafkaConfig::new(Vec::new()));
        context.lines = OneASecond::alone();
        context.error(KafkaError::Global(RDKafkaErrorCode::PartitionEOF), "Fetch at offset 7");
        assert_eq!(context.lines.pass(), Some(0), "neither a line nor one left out");
        context.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "2/2 brokers are down");
        assert_eq!((context.lines.pass(), context.lines.left_out.load(Ordering::Relaxed)), (None, 2));
    }

    #[test]
    fn one_line_passes_and_the_rest_is_counted() {
        let lines = OneASecond::alone();
        assert_eq!(lines.pass(), Some(0));
        assert_eq!((lines.pass(), lines.pass()), (None, None));
        assert_eq!(lines.left_out.load(Ordering::Relaxed), 2);
    }
}
