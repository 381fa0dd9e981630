//! The other end of the socket: a command that asks a running service.
//!
//! Guarantees: says apart that nobody is there, that the request was refused, and that the service does not answer;
//! waits a bounded time for a bounded answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{ANSWER_BYTES_MAX, ANSWER_TIME_MAX, reachable};

/// How much longer than a handler's time an answer is waited for.
const SLACK: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No service runs on this state folder.
    #[error("no service is running there")]
    NobodyThere,
    /// It answered that it does not.
    #[error("{message}")]
    Refused {
        /// `unknown`, `bad`, `busy` or `failed`.
        word: String,
        /// Why, for people.
        message: String,
    },
    /// Another user's service.
    #[error("only the user the service runs as may ask it: {0}")]
    NotAllowed(#[source] std::io::Error),
    /// It does not answer, or not as it should.
    #[error("the running service does not answer: {0}")]
    NoAnswer(String),
}

/// Asks the service that listens at `socket`.
pub fn ask(socket: &Path, request: &Value) -> Result<Value, AskError> {
    use std::io::ErrorKind as K;
    let connect = || {
        let (address, _folder) = reachable(socket)?;
        UnixStream::connect(address)
    };
    let stream = connect().map_err(|error| match error.kind() {
        K::NotFound | K::ConnectionRefused => AskError::NobodyThere,
        K::PermissionDenied => AskError::NotAllowed(error),
        _ => AskError::NoAnswer(error.to_string()),
    })?;
    let no_answer = |error: std::io::Error| AskError::NoAnswer(error.to_string());
    stream.set_read_timeout(Some(ANSWER_TIME_MAX + SLACK)).map_err(no_answer)?;
    stream.set_write_timeout(Some(SLACK)).map_err(no_answer)?;
    // Where it has no room it says so before it is asked.
    let asked = (&stream).write_all(format!("{request}\n").as_bytes());
    let mut line = Vec::new();
    let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    let read = BufReader::new(&stream).take(limit).read_until(b'\n', &mut line);
    if line.last() != Some(&b'\n') {
        asked.and(read.map(|_| ())).map_err(no_answer)?;
        return Err(AskError::NoAnswer("it ended the connection".to_owned()));
    }
    let mut answer: Value = serde_json::from_slice(&line).map_err(|error| AskError::NoAnswer(error.to_string()))?;
    if let Some(word) = answer["error"].as_str() {
        let message = answer["message"].as_str().unwrap_or(word).to_owned();
        return Err(AskError::Refused { word: word.to_owned(), message });
    }
    Ok(answer["ok"].take())
}
