//! SMS through an HTTPS gateway: a template shapes the request, so that any gateway fits.
//!
//! Guarantees: numbers in allowed countries only; at most two segments; the request parses as JSON whatever the
//! texts hold; it is signed. Nothing is cut off: a text that does not fit is not sent.

mod number;
mod segments;

use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

pub use segments::{Encoding, SEGMENTS_MAX, segments};

use super::channel::{Channel, Sending, Texts};
use super::config::SmsConfig;
use super::template::unknown_names;
use super::template_check::{fails, unknown_facts};
use super::webhook::Endpoint;
use crate::alert::{Message, Order, Undeliverable};
use crate::event::Millis;
use crate::report::{Problem, SourceFile};

const GENERIC: &str = include_str!("generic.json");
const TEMPLATE: &str = "body";
/// What a body template is given.
const VALUES: [&str; 7] = ["id", "to", "text", "sender", "locale", "encoding", "segments"];
/// Steps a body template may take.
const FUEL_MAX: u64 = 10_000;

/// The SMS channel.
pub struct Sms {
    endpoint: Endpoint,
    body: Environment<'static>,
    sender: Option<String>,
    allowed_prefixes: Vec<String>,
}

impl Sms {
    /// Checks the configuration; all problems at once.
    pub fn build(config: &SmsConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let endpoint = Endpoint::build("sms", &config.endpoint).map_err(|found| problems.extend(found));
        let body = body_template(config).map_err(|found| problems.extend(found));
        if config.allowed_prefixes.is_empty() {
            let problem = Problem::nowhere("N041", "no country is allowed for SMS").about("sms.allowed_prefixes");
            problems.push(problem.help("name the beginnings of numbers, such as `+86`"));
        }
        for (number, prefix) in config.allowed_prefixes.iter().enumerate().filter(|(_, p)| !number::is_prefix(p)) {
            let message = format!("`{prefix}` is not the beginning of an international number");
            let problem = Problem::nowhere("N042", message).about(format!("sms.allowed_prefixes[{number}]"));
            problems.push(problem.help("write a plus and the country code, such as `+86`"));
        }
        match (endpoint, body) {
            (Ok(endpoint), Ok(body)) if problems.is_empty() => Ok(Sms {
                endpoint,
                body,
                sender: config.sender.clone(),
                allowed_prefixes: config.allowed_prefixes.clone(),
            }),
            _ => Err(problems),
        }
    }

    fn recipient(&self, order: &Order<'_>) -> Result<String, Undeliverable> {
        let number = recipient(order)?;
        let allowed = self.allowed_prefixes.iter().any(|prefix| number.starts_with(prefix));
        if allowed { Ok(number) } else { Err(Undeliverable::AddressRefused) }
    }
}

impl Channel for Sms {
    fn sends_max(&self) -> usize {
        self.endpoint.requests_max()
    }

    fn is_for_users(&self) -> bool {
        true
    }

    fn compose(&self, order: &Order<'_>, texts: Option<&Texts>) -> Result<Message, Undeliverable> {
        let texts = texts.ok_or(Undeliverable::NoTemplate)?;
        let to = self.recipient(order)?;
        if segments(&texts.sms).1 > SEGMENTS_MAX {
            return Err(Undeliverable::UnsafeText);
        }
        let sender = self.sender.as_deref();
        let body = request(&self.body, order.notice, &to, &texts.sms, sender, &texts.locale)
            .map_err(|_| Undeliverable::NoTemplate)?;
        Ok(Message { recipient: to, body: body.into_bytes() })
    }

    fn send(self: Arc<Self>, notice: String, message: Message, now: Millis) -> Sending {
        Box::pin(async move { self.endpoint.post(&notice, message.body, now).await })
    }
}

impl std::fmt::Debug for Sms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sms").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The number an SMS goes to, in whatever country; an error where none may be sent yet.
pub(super) fn recipient(order: &Order<'_>) -> Result<String, Undeliverable> {
    let held_until = order.alert.no_sms_until.as_deref().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    if held_until.is_some_and(|until| until.as_millisecond() > order.created.0) {
        return Err(Undeliverable::SmsHeld);
    }
    let contact = order.contact.ok_or(Undeliverable::NoContact)?;
    let phone = contact.phone.as_deref().ok_or(Undeliverable::NoAddress)?;
    number::e164(phone).ok_or(Undeliverable::AddressRefused)
}

/// Reads the template and tries it on texts that need escaping. All problems at once.
fn body_template(config: &SmsConfig) -> Result<Environment<'static>, Vec<Problem>> {
    let (path, text) = match &config.body_template {
        None => ("the generic SMS template".to_owned(), GENERIC.to_owned()),
        Some(path) => {
            let shown = path.to_string_lossy().replace('\\', "/");
            let text = std::fs::read_to_string(path).map_err(|why| {
                let problem = Problem::nowhere("N043", format!("failed to read the SMS template {shown}: {why}"));
                vec![problem.about("sms.body_template_file")]
            })?;
            (shown, text)
        }
    };
    let file = Arc::new(SourceFile { path, text });
    let wrong = |why: Error| vec![fails("N044", &file, &why)];
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL_MAX));
    environment.add_filter("tojson", to_json);
    // Errors are told by their range while the template is tried.
    environment.set_debug(true);
    environment.add_template_owned(TEMPLATE, file.text.clone()).map_err(wrong)?;
    let known = VALUES.map(str::to_owned);
    let unknown = unknown_names(&environment, TEMPLATE, &known);
    if !unknown.is_empty() {
        return Err(unknown.iter().flat_map(|name| unknown_facts("N044", &file, name, &known)).collect());
    }
    for text in ["Plain.", "Quotes \" and \\ and\nlines </script> 中文 😀"] {
        request(&environment, "nt_1", "+8613800138000", text, None, "zh-CN").map_err(wrong)?;
    }
    environment.set_debug(false);
    Ok(environment)
}

/// The body of a request, known to be JSON.
fn request(
    environment: &Environment<'_>,
    id: &str,
    to: &str,
    text: &str,
    sender: Option<&str>,
    locale: &str,
) -> Result<String, Error> {
    let (encoding, segments) = segments(text);
    let values = context! { id, to, text, sender, locale, encoding => encoding.word(), segments };
    let body = environment.get_template(TEMPLATE)?.render(values)?;
    let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&body);
    parsed.map_err(|e| {
        Error::new(
            ErrorKind::BadSerialization,
            format!("its result is not JSON ({e}): write texts as `{{{{ text|tojson }}}}`"),
        )
    })?;
    Ok(body.trim().to_owned())
}

fn to_json(value: &Value) -> Result<Value, Error> {
    let text = serde_json::to_string(value).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    Ok(Value::from_safe_string(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::config::WebhookConfig;
    use crate::secret::Secret;

    fn config() -> SmsConfig {
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        SmsConfig::new(WebhookConfig::new("https://sms.example/send", key), &["+86"])
    }

    #[test]
    fn the_request_is_json_whatever_the_text_holds() {
        let template = body_template(&config()).expect("the generic template");
        let text = "\"},{\"to\":\"+1\" {{ id }} {% raw %} \u{202e}\r\n\0 中 😀";
        let body = request(&template, "nt_1", "+8613800138000", text, Some("WALLET"), "zh-CN").expect("a body");
        let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(value["text"], text);
        assert_eq!(value["to"], "+8613800138000");
        assert_eq!(value["encoding"], "ucs2");
    }

    #[test]
    fn every_mistake_of_the_configuration_is_told_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let template = folder.path().join("body.json");
        std::fs::write(&template, "{\"to\": {{ to }}}").expect("written");
        let mut bad = config();
        bad.body_template = Some(template.clone());
        bad.allowed_prefixes = vec!["86".to_owned()];
        bad.endpoint.url = Secret::new("http://sms.example/");
        bad.endpoint.secrets.clear();
        let told: Vec<String> = Sms::build(&bad).expect_err("problems").iter().map(ToString::to_string).collect();
        let told = told.join("\n").replace(&template.display().to_string(), "body.json");
        insta::assert_snapshot!(told);
    }
}
