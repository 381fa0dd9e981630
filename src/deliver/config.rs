//! What the channels are told by the configuration.
//!
//! Guarantees: plain data; secrets are already read (from files) and hide themselves. Checked by
//! [`super::Channels::build`], which names every problem and touches no network.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::secret::Secret;

/// Every channel that is configured. Routes of the policy name them: `email`, `sms`, and the names of
/// `webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelsConfig {
    /// Mail.
    pub email: Option<EmailConfig>,
    /// Text messages through an HTTPS gateway.
    pub sms: Option<SmsConfig>,
    /// Signed JSON for the security team, by channel name.
    pub webhooks: BTreeMap<String, WebhookConfig>,
}

impl ChannelsConfig {
    /// Every name that a route may use, with whether that channel carries notices to users. The others carry
    /// alerts to teams.
    pub fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        let email = self.email.iter().map(|_| ("email", true));
        let sms = self.sms.iter().map(|_| ("sms", true));
        email.chain(sms).chain(self.webhooks.keys().map(|name| (name.as_str(), false)))
    }
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmailSecurity {
    /// STARTTLS, required: without it nothing is sent.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None: accepted for a server on loopback only.
    Plaintext,
}

/// The mail channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailConfig {
    /// Name of the server; its certificate must hold it.
    pub host: String,
    /// Port: 587 for STARTTLS.
    pub port: u16,
    /// Protection.
    pub security: EmailSecurity,
    /// A PEM file of the only authorities trusted for this server; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// The name we say in EHLO; `None`: the domain of `from`.
    pub hello_name: Option<String>,
    /// User and password for AUTH PLAIN or LOGIN.
    pub credentials: Option<(String, Secret)>,
    /// Sender, such as `Wallet <security@wallet.example>`.
    pub from: String,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// Connections open at once.
    pub connections_max: usize,
    /// Time for one mail, connection included, ms.
    pub timeout_ms: u64,
}

impl EmailConfig {
    /// The defaults, for a server and a sender.
    pub fn new(host: impl Into<String>, port: u16, from: impl Into<String>) -> Self {
        EmailConfig {
            host: host.into(),
            port,
            security: EmailSecurity::default(),
            ca_file: None,
            hello_name: None,
            credentials: None,
            from: from.into(),
            reply_to: None,
            connections_max: 4,
            timeout_ms: 30_000,
        }
    }
}

/// An HTTPS endpoint and how it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// `https://…`; `http://` on loopback only. A secret: whoever knows it may post, in many products.
    pub url: Secret,
    /// The key of the configuration that gave it: `url` or `url_file`.
    pub url_key: &'static str,
    /// One key, or two while they rotate: each `whsec_` and base64 of 24 to 64 bytes. The first is the new one.
    pub secrets: Vec<Secret>,
    /// A value for the `authorization` header, where the receiver wants one.
    pub authorization: Option<Secret>,
    /// A PEM file of the only authorities trusted for this endpoint; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Networks beyond the public internet that may be connected to.
    pub allowed_networks: Vec<IpNet>,
    /// Requests at once.
    pub requests_max: usize,
    /// Time for one request, ms.
    pub timeout_ms: u64,
}

impl WebhookConfig {
    /// The defaults, for an address and a key.
    pub fn new(url: impl Into<String>, secret: Secret) -> Self {
        WebhookConfig {
            url: Secret::new(url),
            url_key: "url",
            secrets: vec![secret],
            authorization: None,
            ca_file: None,
            allowed_networks: Vec::new(),
            requests_max: 8,
            timeout_ms: 15_000,
        }
    }
}

/// The SMS channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsConfig {
    /// The gateway.
    pub endpoint: WebhookConfig,
    /// A file with the template of the request's JSON; `None`: the generic one.
    pub body_template: Option<PathBuf>,
    /// What the gateway calls us, given to the template as `sender`.
    pub sender: Option<String>,
    /// The beginnings of the numbers that may be written to, such as `+86`. At least one.
    pub allowed_prefixes: Vec<String>,
}

impl SmsConfig {
    /// The defaults, for a gateway and the countries it may reach.
    pub fn new(endpoint: WebhookConfig, allowed_prefixes: &[&str]) -> Self {
        SmsConfig {
            endpoint,
            body_template: None,
            sender: None,
            allowed_prefixes: allowed_prefixes.iter().map(|p| (*p).to_owned()).collect(),
        }
    }
}

/// What notices are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticesConfig {
    /// A folder of `<notice>/<locale>.{subject.txt,body.txt,body.html,sms.txt}`; a file there stands in
    /// place of the compiled-in one of the same name.
    pub directory: Option<PathBuf>,
    /// The language where the user's own has no text.
    pub default_locale: String,
    /// What users call the wallet; `None`: "your wallet".
    pub wallet_name: Option<String>,
}

impl Default for NoticesConfig {
    fn default() -> Self {
        NoticesConfig { directory: None, default_locale: "en".to_owned(), wallet_name: None }
    }
}
