//! What a running service answers to whoever may read its state folder: one JSON object a line in, one out.
//!
//! Guarantees: requests and answers have limits of size and time; a request that no handler takes, or that is no JSON,
//! gets an answer too. A command is a handler in the [`Router`]; the socket is `serve.rs`, the other end `ask.rs`.
//!
//! ```text
//! {"command":"status"}            →  {"ok":{"version":"0.1.0", …}}
//! {"command":"erase","account":…} →  {"error":"failed","message":"…"}
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::Role;

mod ask;
mod entity;
mod serve;
mod status;

pub use ask::{AskError, ask};
pub use entity::{Asker, Questions, questions, show, whose};
pub use serve::Server;
pub use status::{Sight, status};

/// The longest request, bytes, with the end of its line.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The longest answer, bytes, with the end of its line.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a handler may take.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The socket's name in the state folder. Each half has its own: both may run as processes of their own.
pub fn socket(role: Role) -> &'static str {
    match role {
        Role::Both | Role::Detect => "control.sock",
        Role::Notify => "control-notify.sock",
    }
}

/// What the system takes as the address of a socket, bytes; a longer path is reached through its opened folder.
const ADDRESS_BYTES_MAX: usize = 100;

/// A path by which a socket can be reached, however long its own is, while the file that goes with it is open.
fn reachable(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if path.as_os_str().len() > ADDRESS_BYTES_MAX => (folder, name),
        _ => return Ok((path.to_owned(), None)),
    };
    let folder = File::open(folder)?;
    Ok((Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name), Some(folder)))
}

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such command here.
    #[error("there is no command `{0}` here: the service has another version, or runs the other half")]
    Unknown(String),
    /// The request is not one.
    #[error("{0}")]
    Bad(String),
    /// It took too long, or too many ask at once.
    #[error("{0}")]
    Busy(String),
    /// It was tried.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    fn word(&self) -> &'static str {
        match self {
            Refusal::Unknown(_) => "unknown",
            Refusal::Bad(_) => "bad",
            Refusal::Busy(_) => "busy",
            Refusal::Failed(_) => "failed",
        }
    }

    fn answer(&self) -> Value {
        json!({"error": self.word(), "message": self.to_string()})
    }
}

/// Does what a request asks for. It may wait, at most [`ANSWER_TIME_MAX`].
type Handler = Box<dyn Fn(&Value) -> Result<Value, Refusal> + Send + Sync>;

/// The commands.
#[derive(Default)]
pub struct Router(BTreeMap<&'static str, Handler>);

impl Router {
    /// Adds a command. Its handler gets the whole request.
    pub fn on(
        &mut self,
        command: &'static str,
        handler: impl Fn(&Value) -> Result<Value, Refusal> + Send + Sync + 'static,
    ) {
        self.0.insert(command, Box::new(handler));
    }

    /// The answer to a line.
    fn answer(&self, line: &[u8]) -> Value {
        let answer = || {
            let request: Value =
                serde_json::from_slice(line).map_err(|error| Refusal::Bad(format!("that is no JSON: {error}")))?;
            let command = request["command"].as_str().ok_or_else(|| Refusal::Bad("`command` is missing".to_owned()))?;
            let handler = self.0.get(command).ok_or_else(|| Refusal::Unknown(command.to_owned()))?;
            handler(&request)
        };
        answer().map_or_else(|refusal| refusal.answer(), |done| json!({"ok": done}))
    }
}

/// An answer as a line. One that is too long is a refusal.
fn line(answer: &Value) -> Vec<u8> {
    let line = format!("{answer}\n");
    match line.len() <= ANSWER_BYTES_MAX {
        true => line.into_bytes(),
        false => {
            let refusal =
                Refusal::Failed(format!("the answer would be longer than {ANSWER_BYTES_MAX} bytes: ask for less"));
            format!("{}\n", refusal.answer()).into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_an_answer() {
        let mut router = Router::default();
        router.on("echo", |request| Ok(request["text"].clone()));
        router.on("fail", |_| Err(Refusal::Failed("the disk is full".to_owned())));
        let answers = [r#"{"command":"echo","text":"x"}"#, r#"{"command":"fail"}"#, r#"{"command":"no"}"#, "{}", "no"];
        let told: Vec<String> = answers.iter().map(|line| router.answer(line.as_bytes()).to_string()).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn an_answer_that_is_too_long_is_a_refusal() {
        let long = line(&json!({"ok": "x".repeat(ANSWER_BYTES_MAX)}));
        assert!(long.len() < 200 && long.ends_with(b"\n"), "{} bytes", long.len());
    }
}
