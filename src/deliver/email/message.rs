//! The mail itself: RFC 5322 bytes, the same for the same notice.
//!
//! Guarantees: headers go through typed builders only; id, date and boundary come from the notice, so a retry
//! has equal bytes; both parts are UTF-8 in ASCII encodings, which every server carries. Does not send.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};

use crate::deliver::channel::Texts;
use crate::event::Millis;

/// Tells autoresponders that a machine wrote this (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Who writes.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
}

/// The whole mail.
pub(super) fn mail(
    sender: &Sender,
    to: Mailbox,
    texts: &Texts,
    notice: &str,
    created: Millis,
) -> Result<Vec<u8>, lettre::error::Error> {
    let seconds = u64::try_from(created.0.div_euclid(1000)).unwrap_or_default();
    let mut builder = Message::builder()
        .from(sender.from.clone())
        .to(to)
        .subject(texts.subject.as_str())
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(format!("<{notice}@{}>", sender.from.email.domain())))
        .header(AutoSubmitted);
    if let Some(reply_to) = &sender.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    let parts = MultiPart::alternative()
        .boundary(format!("={notice}"))
        .singlepart(part(ContentType::TEXT_PLAIN, &texts.text))
        .singlepart(part(ContentType::TEXT_HTML, &texts.html));
    Ok(builder.multipart(parts)?.formatted())
}

fn part(kind: ContentType, text: &str) -> SinglePart {
    let lines = text.replace("\r\n", "\n").replace('\n', "\r\n");
    // Base64 rather than quoted-printable: Chinese text is half as long in it.
    let body =
        Body::new_with_encoding(lines.clone(), ContentTransferEncoding::Base64).unwrap_or_else(|_| Body::new(lines));
    SinglePart::builder().header(kind).body(body)
}
