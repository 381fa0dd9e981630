//! Readers that may ask questions at once.
//!
//! Guarantees: with OAUTHBEARER the first token is given before a reader is handed out. The library asks for
//! tokens on the queue that is polled, and a question polls nothing: without this it would wait in vain.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::config::{KafkaConfig, Sasl};
use super::context::Context;
use super::error::Error;

/// How long one look at the queue takes.
const LOOK: Duration = Duration::from_millis(20);

/// A reader for the client that does `client`.
pub fn reader(
    client: &'static str,
    options: &ClientConfig,
    config: &KafkaConfig,
) -> Result<BaseConsumer<Context>, Error> {
    let reader: BaseConsumer<Context> =
        BaseConsumer::from_config_and_context(options, Context::new(client, config)).map_err(Error::Options)?;
    if let Some(Sasl::Token { file }) = &config.sasl {
        std::fs::read(file).map_err(|source| Error::Token { file: file.display().to_string(), source })?;
        let deadline = Instant::now() + Duration::from_millis(config.request_timeout_ms);
        // A token that the broker refuses is told by the first question.
        while !reader.context().has_given_token() && Instant::now() < deadline {
            // Nothing is assigned: what comes are errors of the connection, which the context has told.
            drop(reader.poll(LOOK));
        }
    }
    Ok(reader)
}
