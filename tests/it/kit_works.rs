//! The harness itself: each real server starts, answers and stops.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::kit::{gateway, kafka, postfix, process};

#[test]
fn kafka_has_a_clear_and_a_secure_listener() {
    let broker = kafka::broker();
    let topic = broker.topic("kit", 3);
    let (Some(secure), Some(ca)) = (&broker.secure, &broker.ca_file) else { return };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", secure)
        .set("security.protocol", "SASL_SSL")
        .set("sasl.mechanism", "SCRAM-SHA-256")
        .set("sasl.username", kafka::SCRAM_USER)
        .set("sasl.password", kafka::SCRAM_PASSWORD)
        .set("ssl.ca.location", ca.display().to_string())
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(20)).expect("metadata over TLS");
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
}

#[test]
fn postfix_demands_tls() {
    use std::io::{BufRead, BufReader, Write};
    let stream = std::net::TcpStream::connect(("127.0.0.1", postfix::postfix().port)).expect("a connection");
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let mut stream = stream;
    assert!(lines.next().expect("a greeting").expect("text").starts_with("220"));
    stream.write_all(b"EHLO test\r\nMAIL FROM:<a@localhost>\r\n").expect("written");
    let answers: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.starts_with("530")).collect();
    assert!(answers.iter().any(|l| l.contains("STARTTLS")), "{answers:?}");
}

#[test]
fn the_gateway_answers_over_tls() {
    let gateway = gateway::Gateway::start();
    assert!(process::has_program("sh"));
    let address = gateway.url.trim_start_matches("https://").trim_end_matches("/sms").to_owned();
    std::net::TcpStream::connect(address).expect("it listens");
    assert!(gateway.requests().is_empty());
}
