//! The sections `[alerts]`, `[email]`, `[sms]` and `[webhook.NAME]`.
//!
//! Guarantees: what a configured channel needs and nobody can guess is told, all of it; a channel that is not
//! in the file is not configured, one that is there is, however broken: what is missing of it was told and reads
//! as empty. The channels themselves check what they are given.

use std::path::PathBuf;

use super::secrets::{self, Folders};
use super::table::Section;
use crate::alert::DeskConfig;
use crate::deliver::config::{ChannelsConfig, EmailConfig, EmailSecurity, NoticesConfig, SmsConfig, WebhookConfig};
use crate::secret::Secret;

const HOUR_MS: i64 = 3_600_000;

/// Reads `[alerts]`.
pub fn alerts(section: Section<'_, '_>, desk: PathBuf, folders: &Folders) -> (DeskConfig, NoticesConfig) {
    let mut desk = DeskConfig::at(desk);
    let mut notices = NoticesConfig::default();
    if let Some(path) = section.text("desk_file") {
        desk.path = folders.path(&path.value);
    }
    if let Some(n) = section.number("contact_wait_ms", 0..=600_000) {
        desk.contact_wait_ms = n;
    }
    let hours = [
        ("user_notice_ttl_hours", &mut desk.user_notice_ttl_ms),
        ("team_notice_ttl_hours", &mut desk.team_notice_ttl_ms),
        ("case_quiet_hours", &mut desk.case_quiet_ms),
        ("case_span_hours_max", &mut desk.case_span_ms_max),
    ];
    for (key, time) in hours {
        if let Some(n) = section.number(key, 1..=24 * 365) {
            *time = n * HOUR_MS;
        }
    }
    if let Some(directory) = section.text("notices_directory") {
        notices.directory = Some(folders.path(&directory.value));
    }
    if let Some(locale) = section.text("default_locale") {
        notices.default_locale = locale.value;
    }
    notices.wallet_name = section.text("wallet_name").map(|name| name.value);
    section.done();
    (desk, notices)
}

/// Reads the channels.
pub fn channels(root: &Section<'_, '_>, folders: &Folders) -> ChannelsConfig {
    let email = root.section("email");
    let sms = root.section("sms");
    let mut channels = ChannelsConfig { email: None, sms: None, ..ChannelsConfig::default() };
    channels.email = self::email(email, folders);
    channels.sms = self::sms(sms, folders);
    for (name, section) in root.section("webhook").named_sections() {
        let is_word = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
        if matches!(name.as_str(), "email" | "sms") || !is_word {
            let message = format!("`{name}` is no name for a webhook");
            let help = "small letters, digits, `-` and `_`; not `email` or `sms`";
            section.refuse_with_help("C005", &section.place(""), message, help);
        }
        channels.webhooks.insert(name, endpoint(&section, folders));
        section.done();
    }
    channels
}

fn email(section: Section<'_, '_>, folders: &Folders) -> Option<EmailConfig> {
    let host = section.needed_text("host", "the name of the mail server", "\"smtp.example\"");
    let from = section.needed_text("from", "the sender of the mails", "\"Wallet <security@wallet.example>\"");
    let security = section
        .word(
            "security",
            &[("starttls", EmailSecurity::StartTls), ("tls", EmailSecurity::Tls), ("none", EmailSecurity::Plaintext)],
        )
        .unwrap_or_default();
    let default_port = if security == EmailSecurity::Tls { 465 } else { 587 };
    let port = section.number("port", 1..=65_535).and_then(|n| u16::try_from(n).ok()).unwrap_or(default_port);
    let mut email = EmailConfig::new(String::new(), port, String::new());
    email.security = security;
    email.ca_file = secrets::readable(&section, "ca_file", folders);
    email.hello_name = section.text("hello_name").map(|name| name.value);
    email.reply_to = section.text("reply_to").map(|address| address.value);
    if let Some(n) = section.number("connections_max", 1..=100).and_then(|n| usize::try_from(n).ok()) {
        email.connections_max = n;
    }
    if let Some(n) = section.number("timeout_ms", 1000..=300_000).and_then(|n| u64::try_from(n).ok()) {
        email.timeout_ms = n;
    }
    let username = section.text("username");
    let password = secrets::read(&section, "password_file", folders);
    match (section.has("username"), section.has("password_file")) {
        (true, false) => {
            section.missing("password_file", "a file with the password of `email.username`", "\"smtp-password\"")
        }
        (false, true) => section.missing("username", "whose password `email.password_file` holds", "\"walletwatch\""),
        _ => email.credentials = username.map(|name| name.value).zip(password),
    }
    email.host = host.map(|host| host.value).unwrap_or_default();
    email.from = from.map(|from| from.value).unwrap_or_default();
    let is_there = section.is_there();
    section.done();
    is_there.then_some(email)
}

fn sms(section: Section<'_, '_>, folders: &Folders) -> Option<SmsConfig> {
    let endpoint = endpoint(&section, folders);
    let prefixes = section.texts("allowed_prefixes");
    if section.is_there() && !section.has("allowed_prefixes") {
        let what = "the beginnings of the numbers that may be written to; a thief's favourite is an expensive country";
        section.missing("allowed_prefixes", what, "[\"+86\"]");
    }
    let prefixes: Vec<String> = prefixes.unwrap_or_default().into_iter().map(|prefix| prefix.value).collect();
    let body_template = secrets::readable(&section, "body_template_file", folders);
    let sender = section.text("sender").map(|sender| sender.value);
    let is_there = section.is_there();
    section.done();
    is_there.then_some(SmsConfig { endpoint, body_template, sender, allowed_prefixes: prefixes })
}

/// What every HTTPS endpoint is told.
fn endpoint(section: &Section<'_, '_>, folders: &Folders) -> WebhookConfig {
    let (url, url_key) = address(section, folders);
    let keys = signing_keys(section, folders);
    let mut endpoint = WebhookConfig::new(String::new(), Secret::new(String::new()));
    endpoint.authorization = secrets::read(section, "authorization_file", folders);
    endpoint.ca_file = secrets::readable(section, "ca_file", folders);
    for network in section.texts("allowed_networks").unwrap_or_default() {
        match network.value.parse() {
            Ok(parsed) => endpoint.allowed_networks.push(parsed),
            Err(_) => {
                let message = format!("\"{}\" is not a network", network.value);
                section.refuse_with_help("C005", &network.at, message, "such as `10.20.0.0/16` or `fd00::/8`");
            }
        }
    }
    if let Some(n) = section.number("requests_max", 1..=1000).and_then(|n| usize::try_from(n).ok()) {
        endpoint.requests_max = n;
    }
    if let Some(n) = section.number("timeout_ms", 100..=300_000).and_then(|n| u64::try_from(n).ok()) {
        endpoint.timeout_ms = n;
    }
    (endpoint.url, endpoint.url_key) = (url, url_key);
    endpoint.secrets = keys;
    endpoint
}

/// Where is posted to, and the key that says so: written, or in a file, as whoever knows the address may often post.
fn address(section: &Section<'_, '_>, folders: &Folders) -> (Secret, &'static str) {
    let written = section.text("url").map(|url| Secret::new(url.value));
    let file = secrets::read(section, "url_file", folders);
    match (section.has("url"), section.has("url_file")) {
        (true, true) => {
            let message =
                format!("`{}` and `{}` both say where to post", section.path("url"), section.path("url_file"));
            let help = "keep one of them: the file where the address itself is a secret";
            section.refuse_with_help("C007", &section.place("url_file"), message, help);
        }
        (false, false) if section.is_there() => {
            let what = "the address that is posted to; or `url_file`, a file that holds it";
            section.missing("url", what, "\"https://hooks.example/walletwatch\"");
        }
        _ => {}
    }
    let key = if section.has("url") { "url" } else { "url_file" };
    (written.or(file).unwrap_or_else(|| Secret::new(String::new())), key)
}

/// One key, or two while they rotate. The first is `secret_file`'s, empty where that cannot be read.
fn signing_keys(section: &Section<'_, '_>, folders: &Folders) -> Vec<Secret> {
    if section.is_there() && !section.has("secret_file") {
        section.missing("secret_file", "a file with the key that signs (`whsec_…`)", "\"hook-key\"");
    }
    let new = secrets::read(section, "secret_file", folders);
    let old = secrets::read(section, "old_secret_file", folders);
    std::iter::once(new.unwrap_or_else(|| Secret::new(String::new()))).chain(old).collect()
}
