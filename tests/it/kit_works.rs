//! The harness itself: each real server starts, answers and stops.

use crate::kit::{gateway, postfix, process};

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
