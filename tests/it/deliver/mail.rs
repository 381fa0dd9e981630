//! Mail: whole, against a scripted server that misbehaves, and against a real Postfix.

use std::sync::Arc;

use mail_parser::MessageParser;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use walletwatch::alert::{Message, Record, Undeliverable};
use walletwatch::deliver::{
    Channel, Channels, ChannelsConfig, Composer, EmailConfig, EmailSecurity, NoticesConfig, Outcome, Templates,
};
use walletwatch::ruleset::{Audience, Band, Policy, Route};
use walletwatch::secret::Secret;

use super::alerts::{NOW, Pair, alert, contact, desk};
use crate::kit::postfix::{PASSWORD, USER, postfix};
use crate::kit::process::wait_until;

const FROM: &str = "Wallet 钱包 <security@wallet.example>";

fn channel(config: EmailConfig) -> Arc<dyn Channel> {
    let config = ChannelsConfig { email: Some(config), ..ChannelsConfig::default() };
    Arc::clone(Channels::build(&config).expect("channels").get("email").expect("the channel"))
}

fn message(channel: &dyn Channel, pair: &Pair) -> Result<Message, Undeliverable> {
    let templates = Templates::load(&NoticesConfig::default()).expect("templates");
    channel.compose(&pair.order(), Some(&templates.render(&pair.order())?))
}

async fn send(channel: &Arc<dyn Channel>) -> Outcome {
    let message = message(&**channel, &Pair::new("zh-CN")).expect("a message");
    Arc::clone(channel).send("nt_1".to_owned(), message, NOW).await
}

/// A server that answers the greeting and each command with the next line; an empty line ends the connection, a
/// lone dash answers nothing more. Connections follow each other; what was said is kept.
async fn server(scripts: Vec<Vec<&'static str>>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        let mut said = Vec::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut stream = BufReader::new(stream);
            for answer in script {
                match answer {
                    "" => break,
                    "-" => {
                        let mut rest = String::new();
                        while stream.read_line(&mut rest).await.is_ok_and(|n| n > 0) {}
                        break;
                    }
                    // A client that is gone needs no answer.
                    text => drop(stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).await),
                }
                // A mail is read whole: what is unread at the end of a connection would reset it.
                let in_data = answer.starts_with("354");
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        break;
                    }
                    if !in_data {
                        said.push(line.trim_end().to_owned());
                        break;
                    }
                    if line == ".\r\n" {
                        break;
                    }
                }
            }
        }
        said
    });
    (port, serving)
}

fn plain(port: u16) -> EmailConfig {
    EmailConfig { security: EmailSecurity::Plaintext, timeout_ms: 2_000, ..EmailConfig::new("127.0.0.1", port, FROM) }
}

#[test]
fn the_mail_whole_and_the_same_at_each_try() {
    let email = channel(EmailConfig {
        reply_to: Some("help@wallet.example".to_owned()),
        ..EmailConfig::new("mail.wallet.example", 587, FROM)
    });
    let first = message(&*email, &Pair::new("zh-CN")).expect("a message");
    assert_eq!(message(&*email, &Pair::new("zh-CN")).expect("a message"), first);
    let raw = String::from_utf8(first.body.clone()).expect("ASCII");
    assert!(raw.is_ascii());
    insta::assert_snapshot!("mail.zh-CN", raw.replace("\r\n", "\n"));
    let parsed = MessageParser::default().parse(&first.body).expect("a mail");
    assert_eq!(parsed.subject(), Some("您的钱包账户有一笔异常转账"));
    assert_eq!(parsed.message_id(), Some("nt_5a3f0c11d2ef4b9c8d5e77aa0b8a3c52@wallet.example"));
    assert!(parsed.body_text(0).is_some_and(|t| t.contains("1,250.00 元")));
    assert!(parsed.body_html(0).is_some_and(|t| t.contains("1,250.00 元")));
    assert_eq!((parsed.text_body_count(), parsed.html_body_count(), parsed.attachment_count()), (1, 1, 0));
}

#[test]
fn addresses_that_are_none_are_refused() {
    let email = channel(EmailConfig::new("mail.wallet.example", 587, FROM));
    let to = |address| message(&*email, &Pair::new("en").with_email(address)).map(|m| m.recipient);
    assert_eq!(to(Some(" a@wallet.example ")).as_deref(), Ok("a@wallet.example"));
    for bad in [
        "a",
        "a@b@c",
        "a@wallet.example\r\nBcc: x@y.example",
        "a@wallet.example, b@wallet.example",
        "A <a@wallet.example>",
        "",
    ] {
        assert_eq!(to(Some(bad)), Err(Undeliverable::AddressRefused), "{bad:?}");
    }
    assert_eq!(to(None), Err(Undeliverable::NoAddress));
}

#[test]
fn the_owner_is_told_at_the_address_a_thief_replaced() {
    let email = channel(EmailConfig::new("mail.wallet.example", 587, FROM));
    let mut channels = Channels::default();
    channels.add("email", email);
    let route = Route { audience: Audience::User, from: Band::Info, channels: vec!["email".to_owned()], all: false };
    let policy = Policy { routes: vec![route], ..Policy::default() };
    let templates = Templates::load(&NoticesConfig::default()).expect("templates");
    let composer = Composer::new(Arc::new(policy), channels, Arc::new(templates));
    let told = |changed_at: &str| {
        let (desk, _folder) = desk();
        let known = contact("acc-1029", "zh-CN").to_string().into_bytes();
        // What detection says that has seen no more of the account than the change.
        let change = json!({
            "schema": 1, "account": "acc-1029", "as_of": changed_at, "email": "thief@evil.example",
            "previous_email": {"value": "acc-1029@wallet.example", "until": changed_at},
        });
        let (change, alert) = (change.to_string(), alert("al_1", "acc-1029", "high").to_string());
        let records = [Record::Contact(&known), Record::Contact(change.as_bytes()), Record::Alert(alert.as_bytes())];
        desk.take(&records, &[], &composer, NOW).expect("taken");
        let (mut due, _) = desk.claim("email", &Default::default(), 10, NOW).expect("claimed");
        due.sort_by(|a, b| a.message.recipient.cmp(&b.message.recipient));
        let mut keys = std::collections::BTreeSet::new();
        for claimed in &due {
            let mail = MessageParser::default().parse(&claimed.message.body).expect("a mail");
            let to = mail.to().and_then(|to| to.first()).and_then(|to| to.address()).expect("a recipient");
            assert_eq!(to, claimed.message.recipient);
            assert!(mail.body_text(0).is_some_and(|text| text.contains("蓝色的鹭")), "the owner's phrase");
            keys.insert(mail.message_id().expect("a key").to_owned());
        }
        assert_eq!(keys.len(), due.len(), "a key each");
        due.into_iter().map(|claimed| claimed.message.recipient).collect::<Vec<_>>()
    };
    // The alert is of 2026-11-22T03:09:00Z.
    assert_eq!(told("2026-11-22T03:08:00Z"), ["acc-1029@wallet.example", "thief@evil.example"]);
    assert_eq!(told("2026-11-20T03:09:00.001Z"), ["acc-1029@wallet.example", "thief@evil.example"]);
    assert_eq!(told("2026-11-20T03:09:00Z"), ["thief@evil.example"]);
}

#[test]
fn every_mistake_of_the_configuration_is_told_at_once() {
    let bad = EmailConfig {
        security: EmailSecurity::Plaintext,
        reply_to: Some("nobody".to_owned()),
        ca_file: Some("/no/such/ca.pem".into()),
        timeout_ms: 0,
        ..EmailConfig::new("mail.wallet.example", 25, "a@b.example\r\nBcc: c@d.example")
    };
    let config = ChannelsConfig { email: Some(bad), ..ChannelsConfig::default() };
    let problems = Channels::build(&config).map(|_| ()).expect_err("problems");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reply_250_is_success() {
    let to_data = ["220 hello", "250 hello", "250 from", "250 to", "354 data"];
    let with = |last: &'static str| to_data.into_iter().chain([last]).collect::<Vec<_>>();
    let cases = [
        (with("250 queued"), Outcome::Delivered),
        (with("251 elsewhere"), Outcome::transient("smtp_reply")),
        (with("451 greylisted"), Outcome::transient("smtp_4xx")),
        (with("554 no"), Outcome::Permanent { reason: "smtp_5xx" }),
        (with(""), Outcome::transient("smtp_reply")),
        (vec!["220 hello", "250 hello", "250 from", "550 nobody here"], Outcome::Permanent { reason: "smtp_5xx" }),
        (vec!["220 hello", "250 hello", "421 closing"], Outcome::transient("smtp_4xx")),
        (vec!["554 go away"], Outcome::transient("greeting")),
        (vec!["nonsense"], Outcome::transient("greeting")),
    ];
    for (script, expected) in cases {
        let shown = format!("{:?}", script.last());
        let (port, _serving) = server(vec![script]).await;
        assert_eq!(send(&channel(plain(port))).await, expected, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_told_from_who_has_no_name() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    assert_eq!(send(&channel(plain(free))).await, Outcome::transient("refused"));
    let nowhere = EmailConfig::new("mail.invalid", free, FROM);
    assert_eq!(send(&channel(nowhere)).await, Outcome::transient("dns"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answering_is_left_in_time_and_its_connection_with_it() {
    let hangs = vec!["220 hello", "250 hello", "250 from", "250 to", "354 data", "-"];
    let good = vec!["220 hello", "250 hello", "250 from", "250 to", "354 data", "250 queued", "250 noop", "250 from"];
    let (port, serving) = server(vec![hangs, good]).await;
    let email = channel(EmailConfig { timeout_ms: 300, ..plain(port) });
    assert_eq!(send(&email).await, Outcome::transient("timeout"));
    assert_eq!(send(&email).await, Outcome::Delivered, "on a connection of its own");
    drop(email);
    let said = serving.await.expect("served");
    assert_eq!(said.iter().filter(|line| line.starts_with("EHLO")).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_starttls_nothing_is_said() {
    let (port, serving) = server(vec![vec!["220 hello", "250 hello", "221 bye"]]).await;
    let email = channel(EmailConfig {
        timeout_ms: 2_000,
        credentials: Some((USER.to_owned(), Secret::new(PASSWORD))),
        ..EmailConfig::new("127.0.0.1", port, FROM)
    });
    assert_eq!(send(&email).await, Outcome::transient("starttls"));
    drop(email);
    let said = serving.await.expect("served");
    assert_eq!(said.first().map(String::as_str), Some("EHLO wallet.example"));
    assert!(said.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_takes_it_by_starttls_and_authentication() {
    let server = postfix();
    let config = |credentials: &str| EmailConfig {
        ca_file: Some(server.ca_file.clone()),
        credentials: Some((USER.to_owned(), Secret::new(credentials))),
        ..EmailConfig::new("localhost", server.port, FROM)
    };
    let email = channel(config(PASSWORD));
    assert_eq!(send(&email).await, Outcome::Delivered);
    assert_eq!(send(&email).await, Outcome::Delivered, "on the same connection");
    assert_eq!(send(&channel(config("wrong"))).await, Outcome::transient("auth"));
    assert_eq!(send(&channel(EmailConfig { ca_file: None, ..config(PASSWORD) })).await, Outcome::transient("starttls"));
    let ours = || {
        let is_ours = |mail: &Vec<u8>| String::from_utf8_lossy(mail).contains("<nt_5a3f0c11d2ef4b9c8d5e77aa0b8a3c52@");
        let mails: Vec<Vec<u8>> = server.mails().into_iter().filter(is_ours).collect();
        (mails.len() == 2).then_some(mails)
    };
    let mails = wait_until("two mails", std::time::Duration::from_secs(30), ours);
    let parsed = MessageParser::default().parse(&mails[0]).expect("a mail");
    assert_eq!(parsed.subject(), Some("您的钱包账户有一笔异常转账"));
    assert_eq!(parsed.to().and_then(|t| t.first()).and_then(|a| a.address()), Some("acc-1029@wallet.example"));
    assert_eq!(parsed.from().and_then(|t| t.first()).and_then(|a| a.name()), Some("Wallet 钱包"));
    assert!(parsed.body_text(0).is_some_and(|t| t.contains("您的防伪短语：蓝色的鹭")));
}
