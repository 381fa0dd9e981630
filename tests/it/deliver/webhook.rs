//! SMS and webhooks against a real HTTPS gateway and against servers that misbehave.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use walletwatch::alert::{Message, Undeliverable};
use walletwatch::deliver::{
    Channel, Channels, ChannelsConfig, NoticesConfig, Outcome, SmsConfig, Templates, WebhookConfig,
};
use walletwatch::event::Millis;
use walletwatch::secret::Secret;

use super::alerts::{NOW, Pair};
use crate::kit::gateway::{Gateway, SIGNING_KEY};

fn channel(config: WebhookConfig) -> Arc<dyn Channel> {
    let config = ChannelsConfig { sms: Some(SmsConfig::new(config, &["+86"])), ..ChannelsConfig::default() };
    Arc::clone(Channels::build(&config).expect("channels").get("sms").expect("the channel"))
}

fn at(gateway: &Gateway) -> WebhookConfig {
    let mut config = WebhookConfig::new(gateway.url.clone(), Secret::new(SIGNING_KEY));
    config.ca_file = Some(gateway.ca_file.clone());
    config
}

fn message(channel: &dyn Channel, pair: &Pair) -> Result<Message, Undeliverable> {
    let templates = Templates::load(&NoticesConfig::default()).expect("templates");
    channel.compose(&pair.order(), Some(&templates.render(&pair.order())?))
}

async fn send(channel: &Arc<dyn Channel>, now: Millis) -> Outcome {
    let message = message(&**channel, &Pair::new("zh-CN")).expect("a message");
    Arc::clone(channel).send("nt_1".to_owned(), message, now).await
}

/// Answers each request with the next text and keeps what came.
async fn raw_server(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/send", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = vec![0; 8192];
            let mut length = 0;
            // The body is small and JSON: it is whole when it ends in a brace.
            while !request[..length].ends_with(b"}") {
                length += stream.read(&mut request[length..]).await.expect("a request");
            }
            stream.write_all(answer.as_bytes()).await.expect("answered");
            requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
        }
        requests
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_whole() {
    let (url, serving) = raw_server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]).await;
    let mut config = WebhookConfig::new(url.clone(), Secret::new(SIGNING_KEY));
    config.secrets.push(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    config.authorization = Some(Secret::new("Bearer canary-gateway-token"));
    assert_eq!(send(&channel(config), NOW).await, Outcome::Delivered);
    let request = serving.await.expect("served").remove(0);
    let host = url.trim_start_matches("http://").trim_end_matches("/send").to_owned();
    insta::assert_snapshot!(request.replace(&host, "HOST").replace("\r\n", "\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_gateway_verifies_every_request() {
    let gateway = Gateway::start();
    let sms = channel(at(&gateway));
    assert_eq!(send(&sms, walletwatch::clock::now()).await, Outcome::Delivered);
    let request = gateway.requests().remove(0);
    assert!(request.verified);
    assert_eq!(request.id, "nt_1");
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["to"], "+8613800138000");
    assert_eq!(body["segments"], 2);
    gateway.answer_next(&[500, 429, 410, 302, 400]);
    let mut ends = Vec::new();
    for _ in 0..5 {
        ends.push(send(&sms, walletwatch::clock::now()).await.reason());
    }
    assert_eq!(ends, ["status_5xx", "status_429", "gone", "status_3xx", "status_4xx"]);
    assert_eq!(gateway.requests().len(), 6, "a redirect is not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_trusted_gets_nothing() {
    let gateway = Gateway::start();
    let mut config = at(&gateway);
    config.ca_file = None;
    assert_eq!(send(&channel(config), NOW).await, Outcome::transient("tls"));
    assert!(gateway.requests().is_empty());
    let port = gateway.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let mut config = at(&gateway);
    config.url = Secret::new(format!("https://127.0.0.2:{port}/sms"));
    assert_eq!(send(&channel(config), NOW).await.reason(), "refused", "another address is another place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_ends_in_time_and_a_large_one_is_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut config = WebhookConfig::new(format!("http://{address}/"), Secret::new(SIGNING_KEY));
    config.timeout_ms = 200;
    assert_eq!(send(&channel(config.clone()), NOW).await, Outcome::transient("timeout"), "accepted, never answered");
    drop(listener);
    assert_eq!(send(&channel(config), NOW).await, Outcome::transient("refused"));
    let nowhere = WebhookConfig::new("https://sms.invalid/".to_owned(), Secret::new(SIGNING_KEY));
    assert_eq!(send(&channel(nowhere), NOW).await, Outcome::transient("dns"));
    let (url, _serving) = raw_server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx"]).await;
    let config = WebhookConfig::new(url, Secret::new(SIGNING_KEY));
    assert_eq!(send(&channel(config), NOW).await, Outcome::Delivered);
    let answer = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (url, _serving) = raw_server(vec![answer]).await;
    let config = WebhookConfig::new(url, Secret::new(SIGNING_KEY));
    let asked = Outcome::Transient { reason: "status_429", retry_after_ms: Some(7_000) };
    assert_eq!(send(&channel(config), NOW).await, asked);
}

#[test]
fn numbers_beyond_the_allowed_countries_are_refused() {
    let config = WebhookConfig::new("https://sms.example/", Secret::new(SIGNING_KEY));
    let sms = channel(config);
    let to = |phone| message(&*sms, &Pair::new("en").with_phone(phone)).map(|m| m.recipient);
    assert_eq!(to(Some("+86 138-0013-8000")).as_deref(), Ok("+8613800138000"));
    assert_eq!(to(Some("+44 20 7946 0958")), Err(Undeliverable::AddressRefused));
    assert_eq!(to(Some("13800138000")), Err(Undeliverable::AddressRefused));
    assert_eq!(to(None), Err(Undeliverable::NoAddress));
}

#[test]
fn the_security_webhook_carries_the_alert_and_nothing_personal() {
    let webhook = WebhookConfig::new("https://soc.example/", Secret::new(SIGNING_KEY));
    let config = ChannelsConfig { webhooks: [("soc".to_owned(), webhook)].into(), ..ChannelsConfig::default() };
    let channels = Channels::build(&config).expect("channels");
    let message = channels.get("soc").expect("the channel").compose(&Pair::new("en").order(), None).expect("a message");
    let body: Value = serde_json::from_slice(&message.body).expect("JSON");
    assert_eq!(message.recipient, "");
    insta::assert_json_snapshot!(body);
}
