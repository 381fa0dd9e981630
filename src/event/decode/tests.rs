//! What the decoder does with every rule of the schema, as one table; and properties over any input.

use std::fmt::Write as _;

use super::*;
use crate::event::{RejectReason, encode};

/// 2026-11-22T03:10:00Z.
const NOW: Millis = Millis(1_795_317_000_000);

/// What came of a value, in one line: the event as it is written back, or the refusal.
fn outcome(value: Option<&[u8]>) -> String {
    match decode(value, NOW, &Limits::default()) {
        Ok(decoded) => {
            let mut written = Vec::new();
            encode(&decoded.event, &mut written).expect("an event is written");
            let unknown = if decoded.unknown_fields > 0 {
                format!("unknown {}: ", decoded.unknown_fields)
            } else {
                String::new()
            };
            format!("{unknown}{}", String::from_utf8(written).expect("UTF-8"))
        }
        Err(Rejection { reason, field, detail }) => format!("{reason} [{}] {detail}", field.unwrap_or("-")),
    }
}

/// An event of a type with the fields it needs, and `more`.
fn event(kind: &str, more: &str) -> String {
    let needs = match kind {
        "login" | "mfa" => r#","account":"a","result":"success""#,
        "password_reset" => r#","account":"a","stage":"requested""#,
        "mfa_changed" => r#","account":"a","change":"disabled""#,
        "contact_changed" => r#","account":"a","field":"email""#,
        "limit_changed" => r#","account":"a","amount":"5","currency":"CNY""#,
        "payee_added" => r#","account":"a","payee":"p""#,
        "lock" => r#","account":"a","change":"locked""#,
        "transfer" | "payment" | "withdrawal" | "top_up" => r#","account":"a","amount":"5","currency":"CNY""#,
        "report" => r#","account":"a","about":"e1","answer":"me""#,
        "service_status" => r#","state":"normal""#,
        _ => r#","account":"a""#,
    };
    format!(r#"{{"id":"e1","type":"{kind}","time":"2026-11-22T03:04:05.678Z"{needs}{more}}}"#)
}

#[test]
fn the_design_s_two_events() {
    for json in [
        r#"{"id":"01JDA3","type":"login","time":"2026-11-22T03:04:05.678Z","account":"acc-1029",
 "result":"failure","reason":"wrong_password","ip":"203.0.113.9","device":"dev-77","session":"s-1",
 "channel":"app","platform":"ios","app_version":"7.2.1","connection":"wifi","locale":"zh-CN"}"#,
        r#"{"id":"01JDA4","type":"transfer","time":"2026-11-22T03:09:00Z","account":"acc-1029","status":"completed",
 "amount":"1250.00","currency":"CNY","payee":"acc-88","balance":"1300.00","ip":"203.0.113.9","device":"dev-77","session":"s-1"}"#,
    ] {
        println!("{}", outcome(Some(json.as_bytes())));
    }
}
