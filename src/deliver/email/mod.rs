//! Mail by SMTP: text and HTML, STARTTLS and authentication.
//!
//! Guarantees: one recipient a mail; nothing from an event reaches a header but through a typed builder; the
//! password goes to a protected connection only. Does not choose words: the templates do.

mod connection;
mod message;

use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::channel::{Channel, Sending, Texts};
use super::config::{EmailConfig, EmailSecurity};
use super::retry::Outcome;
use super::tls;
use crate::alert::{Message, Order, Undeliverable};
use crate::event::Millis;
use crate::report::Problem;
use connection::{Connections, Server};
use message::Sender;

/// Bytes of a mail address (RFC 5321: 254).
const ADDRESS_BYTES_MAX: usize = 254;

/// The mail channel.
pub struct Email {
    sender: Sender,
    connections: Arc<Connections>,
    connections_max: usize,
}

impl Email {
    /// Checks the configuration; all problems at once.
    pub fn build(config: &EmailConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let from = mailbox("from", &config.from).map_err(|p| problems.push(*p));
        let reply_to = config.reply_to.as_deref().map(|text| mailbox("reply_to", text)).transpose();
        let reply_to = reply_to.map_err(|p| problems.push(*p));
        let tls = tls_parameters(config).map_err(|p| problems.push(*p));
        if config.security == EmailSecurity::Plaintext && !is_loopback(&config.host) {
            let message = format!("mail to `{}` would go unprotected", config.host);
            let help = "`security = \"none\"` is for a server on this machine only: write \"starttls\" or \"tls\"";
            problems.push(Problem::nowhere("N051", message).about("email.security").help(help));
        }
        if config.timeout_ms == 0 {
            problems.push(Problem::nowhere("N052", "the time-out for mail is 0 ms").about("email.timeout_ms"));
        }
        let (Ok(from), Ok(reply_to), Ok(tls)) = (from, reply_to, tls) else { return Err(problems) };
        if !problems.is_empty() {
            return Err(problems);
        }
        let hello_name = config.hello_name.clone().unwrap_or_else(|| from.email.domain().to_owned());
        let server = Server {
            host: config.host.clone(),
            port: config.port,
            security: config.security,
            tls,
            hello_name: ClientId::Domain(hello_name),
            credentials: config
                .credentials
                .as_ref()
                .map(|(user, password)| Credentials::new(user.clone(), password.reveal().to_owned())),
            timeout: Duration::from_millis(config.timeout_ms),
        };
        Ok(Email {
            sender: Sender { from, reply_to },
            connections: Arc::new(Connections::new(server, config.connections_max)),
            connections_max: config.connections_max.max(1),
        })
    }

    fn envelope(&self, recipient: &str) -> Option<Envelope> {
        Envelope::new(Some(self.sender.from.email.clone()), vec![address(recipient)?]).ok()
    }
}

impl Channel for Email {
    fn sends_max(&self) -> usize {
        self.connections_max
    }

    fn is_for_users(&self) -> bool {
        true
    }

    fn compose(&self, order: &Order<'_>, texts: Option<&Texts>) -> Result<Message, Undeliverable> {
        let texts = texts.ok_or(Undeliverable::NoTemplate)?;
        let contact = order.contact.ok_or(Undeliverable::NoContact)?;
        let text = contact.email.as_deref().ok_or(Undeliverable::NoAddress)?;
        let to = address(text.trim()).ok_or(Undeliverable::AddressRefused)?;
        let recipient = to.to_string();
        let body = message::mail(&self.sender, Mailbox::new(None, to), texts, order.notice, order.created)
            .map_err(|_| Undeliverable::AddressRefused)?;
        Ok(Message { recipient, body })
    }

    fn send(self: Arc<Self>, _: String, message: Message, _: Millis) -> Sending {
        Box::pin(async move {
            let Some(envelope) = self.envelope(&message.recipient) else {
                return Outcome::Permanent { reason: "bad_address" };
            };
            Arc::clone(&self.connections).send(envelope, message.body).await
        })
    }
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email").finish_non_exhaustive()
    }
}

fn mailbox(key: &str, text: &str) -> Result<Mailbox, Box<Problem>> {
    // A newline in a display name makes lettre panic.
    let parsed = if text.chars().any(char::is_control) { None } else { text.parse::<Mailbox>().ok() };
    parsed.ok_or_else(|| {
        let message = format!("`email.{key}` is not a mail address: \"{}\"", text.escape_debug());
        let problem = Problem::nowhere("N050", message);
        Box::new(problem.about(format!("email.{key}")).help("write \"Name <name@example.org>\""))
    })
}

fn address(text: &str) -> Option<Address> {
    let plain = text.len() <= ADDRESS_BYTES_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if plain { text.parse().ok() } else { None }
}

fn tls_parameters(config: &EmailConfig) -> Result<TlsParameters, Box<Problem>> {
    tls::install_provider();
    let wrong = |why: String| {
        let key = if config.ca_file.is_some() { "email.ca_file" } else { "email.host" };
        Box::new(Problem::nowhere("N053", format!("TLS to the mail server: {why}")).about(key))
    };
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let pem = tls::read_pem(file).map_err(|why| wrong(why.to_string()))?;
        let authority = Certificate::from_pem(&pem).map_err(|why| wrong(why.to_string()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authority);
    }
    builder.build().map_err(|why| wrong(why.to_string()))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}
