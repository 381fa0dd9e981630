//! The command `state.show`: what is known of one entity, answered by the engine between two batches.
//!
//! Guarantees: a question costs the engine one look-up; questions wait in a bounded queue, and who asks waits a bounded
//! time. An entity is named by whoever asks and hashed here: nothing of it is logged.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::Refusal;
use crate::app::shown::{self, Source};
use crate::detect::{Engine, EntityShown, Whose};
use crate::features::named;
use crate::ruleset::HashKey;

/// Questions that wait for the engine, at most.
const QUESTIONS_MAX: usize = 16;
/// How long one waits for its answer: a batch, or what is reloaded, may be under way.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(8);

/// One question.
struct Question {
    whose: Whose,
    answer: SyncSender<Option<EntityShown>>,
}

/// The engine's end.
pub struct Questions(Receiver<Question>);

/// The end of whoever asks.
#[derive(Clone)]
pub struct Asker(SyncSender<Question>);

/// The queue between them.
pub fn questions() -> (Asker, Questions) {
    let (asker, questions) = sync_channel(QUESTIONS_MAX);
    (Asker(asker), Questions(questions))
}

impl Questions {
    /// Answers what was asked until now: at most as many as the queue holds.
    pub fn answer(&self, engine: &Engine) {
        for Question { whose, answer } in self.0.try_iter().take(QUESTIONS_MAX) {
            // Whoever no longer waits has no use for it.
            let _ = answer.try_send(engine.show(whose));
        }
    }
}

/// The entity of a text, and of a second one.
pub fn whose(name: &str, with: Option<&str>, key: HashKey) -> Result<Whose, crate::features::NameError> {
    let with = with.map(|text| named(text, key)).transpose()?;
    Ok(Whose { one: named(name, key)?, with })
}

/// The handler. `key`: that of the ids' hashes.
pub fn show(asker: Asker, key: HashKey) -> impl Fn(&Value) -> Result<Value, Refusal> + Send + Sync {
    move |request| {
        let name = request["entity"].as_str().ok_or_else(|| Refusal::Bad("`entity` is missing".to_owned()))?;
        let whose = whose(name, request["with"].as_str(), key).map_err(|error| Refusal::Bad(error.to_string()))?;
        let (answer, answered) = sync_channel(1);
        asker.0.try_send(Question { whose, answer }).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy(format!("{QUESTIONS_MAX} others wait for an answer: try again")),
            TrySendError::Disconnected(_) => Refusal::Busy("the service is stopping".to_owned()),
        })?;
        let shown = answered
            .recv_timeout(ANSWER_WAIT_MAX)
            .map_err(|_| Refusal::Busy("the engine did not get to it in time: try again".to_owned()))?;
        let document = shown::as_json(name, Source::Running, shown.as_ref());
        Ok(json!({"human": shown::human(name, Source::Running, shown.as_ref()), "json": document}))
    }
}
