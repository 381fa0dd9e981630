//! What the decoder does with every rule of the schema, as one table; and properties over any input.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::*;
use crate::event::{Closed, EventType, Field, FieldKind, encode};

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

/// The table: a name, and a value's text.
fn cases() -> Vec<(&'static str, String)> {
    let login = |more: &str| event("login", more);
    let transfer = |more: &str| event("transfer", more);
    let base = |fields: &str| format!(r#"{{"id":"e1","type":"login","account":"a","result":"success",{fields}}}"#);
    let money = |fields: &str| format!(r#"{{"id":"e1","type":"payment","time":1,"account":"a",{fields}}}"#);
    let failed = |fields: &str| format!(r#"{{"id":"e1","type":"login","time":1,"result":"failure"{fields}}}"#);
    let geo = |parts: &str| event("login", &format!(r#","geo":{{{parts}}}"#));
    let deep = |levels: usize| login(&format!(r#","x":{}{}"#, "[".repeat(levels), "]".repeat(levels)));
    let padded = |bytes: usize| format!("{}{}", login(""), " ".repeat(bytes - login("").len()));
    let texts = |n: usize| "é".repeat(n);
    let mut cases = vec![
        // --- the record as a whole
        ("an empty value", String::new()),
        ("a value at the limit", padded(65_536)),
        ("a value beyond the limit", padded(65_537)),
        ("not JSON", "{".to_owned()),
        ("more than one value", login("") + "{}"),
        ("a control character in a text", login(",\"device\":\"a\nb\"")),
        ("half a surrogate pair", login(r#","device":"\ud800""#)),
        ("a number with a leading zero", login(r#","x":01"#)),
        ("a number without digits", login(r#","x":-"#)),
        ("a fraction without digits", login(r#","x":1."#)),
        ("an exponent without digits", login(r#","x":1e+"#)),
        ("a comma too many", login(",")),
        (
            "spaces wherever they may be",
            " { \"id\" : \"e1\" , \"type\" : \"logout\" , \"time\" : 1 , \"account\" : \"a\" , \"geo\" : { } } "
                .to_owned(),
        ),
        ("an array", "[1]".to_owned()),
        ("a text, which is not repeated", r#""secret""#.to_owned()),
        ("depth at the limit", deep(31)),
        ("depth beyond the limit", deep(32)),
        ("brackets in texts are no depth", login(&format!(r#","device":"\"{}""#, "[".repeat(40)))),
        ("many brackets side by side are no depth", login(&format!(r#","x":[{}[]]"#, "[],".repeat(40)))),
        ("unknown fields are counted", login(r#","x":1,"y":{"z":[]},"account_":null"#)),
        ("a field twice", login(r#","ip":"::1","ip":"::2""#)),
        ("a field twice, once null", login(r#","ip":null,"ip":"::2""#)),
        ("an unknown field twice", login(r#","x":1,"x":1"#)),
        (
            "names with escapes",
            r#"{"\u0069d":"\u0065\n","type":"l\u006fck","time":1,"account":"a","change":"l\u006fcked"}"#.to_owned(),
        ),
        // --- id, type, account
        ("no id", r#"{"type":"login"}"#.to_owned()),
        ("null id", r#"{"id":null,"type":"login"}"#.to_owned()),
        ("empty id", r#"{"id":"","type":"login"}"#.to_owned()),
        ("id as number", r#"{"id":5,"type":"login"}"#.to_owned()),
        ("id of 128 characters", login("").replace("e1", &texts(128))),
        ("id of 129 characters", login("").replace("e1", &texts(129))),
        ("no type", r#"{"id":"e1"}"#.to_owned()),
        ("type as number", r#"{"id":"e1","type":5}"#.to_owned()),
        ("an unknown type", r#"{"id":"e1","type":"Login"}"#.to_owned()),
        ("an unknown type before all else", r#"{"id":5,"type":"logon"}"#.to_owned()),
        ("account of 129 characters", login("").replace(r#":"a""#, &format!(r#":"{}""#, texts(129)))),
        ("login without account", r#"{"id":"e1","type":"login","time":1,"result":"success"}"#.to_owned()),
        ("failed login without account", failed("")),
        ("failed login with empty account", failed(r#","account":"""#)),
        ("reset without account", r#"{"id":"e1","type":"password_reset","time":1,"stage":"code_sent"}"#.to_owned()),
        ("logout without account", r#"{"id":"e1","type":"logout","time":1}"#.to_owned()),
        // --- time
        ("no time", base(r#""time":null"#)),
        ("empty time", base(r#""time":"""#)),
        ("time in ms", base(r#""time":1795316645678"#)),
        ("time cut to ms", base(r#""time":"2026-11-22T11:04:05.678999999+08:00""#)),
        ("time without offset", base(r#""time":"2026-11-22T03:04:05""#)),
        ("time as float", base(r#""time":1795316645678.0"#)),
        ("time as bool", base(r#""time":true"#)),
        ("time as minus zero", base(r#""time":-0"#)),
        ("time before year 0", base(r#""time":-99999999999999999"#)),
        ("time below 64 bits", base(r#""time":-99999999999999999999"#)),
        ("time in year 9999", base(r#""time":"9999-12-31T23:59:59Z""#)),
        ("time in year 10000", base(r#""time":"+010000-01-01T00:00:00Z""#)),
        ("time in year 10000 without its sign", base(r#""time":"10000-01-01T00:00:00Z""#)),
        ("time in a month of year 10000 that is none", base(r#""time":"+010000-13-01T00:00:00Z""#)),
        ("time in ms beyond year 9999", base(r#""time":999999999999999"#)),
        ("time beyond 63 bits", base(r#""time":18446744073709551615"#)),
        ("time beyond 64 bits", base(r#""time":99999999999999999999"#)),
        ("time beyond 64 bits, read by serde", base(r#""time":99999999999999999999,"device":"\u0064""#)),
        ("time as float beyond 64 bits", base(r#""time":1e30"#)),
        ("far future, and no result", r#"{"id":"e1","type":"login","time":"9999-12-31T23:59:59Z"}"#.to_owned()),
        ("until for ever", event("service_status", r#","until":"9999-12-31T23:59:59Z""#)),
        ("time at the limit of the future", base(r#""time":1795317300000"#)),
        ("time in the future", base(r#""time":1795317300001"#)),
        // --- common fields
        ("count", login(r#","count":4294967295"#)),
        ("count of one", login(r#","count":1"#)),
        ("count of nothing", login(r#","count":0"#)),
        ("count below nothing", login(r#","count":-1"#)),
        ("count beyond 32 bits", login(r#","count":4294967296"#)),
        ("count as float", login(r#","count":1.0"#)),
        ("count as text", login(r#","count":"1""#)),
        ("IPv6", login(r#","ip":"2001:DB8::0:1""#)),
        ("IPv4 within IPv6", login(r#","ip":"::ffff:203.0.113.9""#)),
        ("not an address", login(r#","ip":"203.0.113.009""#)),
        ("address as number", login(r#","ip":3405803785"#)),
        (
            "null and empty are absent",
            login(r#","ip":"","device":null,"channel":"","geo":null,"contact":null,"count":null,"zone":"""#),
        ),
        ("text at the limit", login(&format!(r#","user_agent":"{}""#, texts(2048)))),
        ("text beyond the limit", login(&format!(r#","user_agent":"{}x""#, texts(2048)))),
        ("text as object", login(r#","device":{"id":"secret"}"#)),
        ("word out of its list", login(r#","channel":"pigeon""#)),
        ("word as number", login(r#","source_risk":3"#)),
        (
            "zone need not be valid",
            login(
                r#","zone":"Mars/Olympus","locale":"xx","connection":"wired","source_risk":"high","client":"c","login_name":"n","platform":"p""#,
            ),
        ),
        // --- geo, contact
        (
            "place",
            geo(
                r#""country":"cn","city":"上海","latitude":31,"longitude":121.5,"accuracy_km":5,"asn":"AS4134","network":"carrier_nat","x":0"#,
            ),
        ),
        ("place without anything", geo("")),
        ("half a point is none", geo(r#""latitude":31.2,"asn":4134"#)),
        ("latitude out of range", geo(r#""latitude":90.001,"longitude":0"#)),
        ("longitude out of range", geo(r#""latitude":-90,"longitude":-180.5"#)),
        ("latitude as text", geo(r#""latitude":"31.2""#)),
        ("latitude beyond floats", geo(r#""latitude":1e400"#)),
        ("accuracy below zero", geo(r#""accuracy_km":-1"#)),
        ("country of three letters", geo(r#""country":"CHN""#)),
        ("asn beyond 32 bits", geo(r#""asn":4294967296"#)),
        ("asn without its letters", geo(r#""asn":"4134""#)),
        ("asn with a sign", geo(r#""asn":"AS+5""#)),
        ("unknown network", geo(r#""network":"5g""#)),
        ("city beyond the limit", geo(&format!(r#""city":"{}""#, texts(2049)))),
        ("a part twice", geo(r#""city":"a","city":"b""#)),
        ("place as text", login(r#","geo":"Shanghai""#)),
        ("place as array", login(r#","geo":["Shanghai"]"#)),
        (
            "contact",
            login(
                r#","contact":{"email":"a@example.com","phone":"+861","locale":"zh-CN","zone":"Asia/Shanghai","anti_phishing":"春\n","x":1}"#,
            ),
        ),
        ("contact without anything", login(r#","contact":{"email":""}"#)),
        ("contact with a wrong part", login(r#","contact":{"phone":861}"#)),
        ("contact with a long part", login(&format!(r#","contact":{{"email":"{}"}}"#, texts(2049)))),
        ("contact as text", login(r#","contact":"a@example.com""#)),
        // --- login, mfa
        ("login without result", r#"{"id":"e1","type":"login","time":1}"#.to_owned()),
        ("login with a second factor's result", failed("").replace("failure", "sent")),
        ("login with a second factor's method", login(r#","method":"totp""#)),
        ("login with its own", login(r#","method":"passkey","mfa":true"#)),
        ("mfa as text", login(r#","mfa":"true""#)),
        ("failed without reason", failed(r#","account":"a""#)),
        ("failed with an unknown reason", failed(r#","reason":"moon phase""#)),
        ("failed with a very long reason", failed(&format!(r#","reason":"{}""#, texts(3000)))),
        ("failed with a known reason", failed(r#","reason":"app_outdated""#)),
        ("failed with reason as number", failed(r#","reason":401"#)),
        ("reason on a success", login(r#","reason":"wrong_password""#)),
        ("reason as number on a success", login(r#","reason":401"#)),
        ("second factor", event("mfa", r#","method":"push""#).replace("success", "timeout")),
        ("second factor with a login's method", event("mfa", r#","method":"password""#)),
        ("second factor without result", r#"{"id":"e1","type":"mfa","time":1,"account":"a"}"#.to_owned()),
        ("reason on a second factor", event("mfa", r#","reason":5"#)),
        // --- fields of other types
        ("money on a login", login(r#","amount":"x","payee":"p","until":"never","scope":null"#)),
        ("money of a wrong type on a login", login(r#","amount":{},"payee":5,"mfa":false,"until":[],"scope":null"#)),
        ("money twice on a login", login(r#","payee":"p","payee":"p""#)),
        ("device bound with a result", event("device_bound", r#","result":"maybe""#)),
        // --- money
        ("amount as number", money(r#""amount":1250.5,"currency":"CNY""#)),
        ("amount beyond floats' digits", money(r#""amount":90071992547409.92,"currency":"CNY""#)),
        ("amount too large", money(r#""amount":90071992547409.93,"currency":"CNY""#)),
        ("amount with an exponent", money(r#""amount":1e3,"currency":"CNY""#)),
        ("amount below zero", money(r#""amount":"-5","currency":"CNY""#)),
        ("amount with too many decimals", money(r#""amount":"5.5","currency":"JPY""#)),
        ("amount with zeros beyond its decimals", money(r#""amount":"5.00","currency":"JPY""#)),
        ("amount with escapes", money(r#""amount":"\u0035","currency":"CNY""#)),
        ("amount with a broken escape", money(r#""amount":"\ud800","currency":"CNY""#)),
        ("amount NaN", money(r#""amount":"NaN","currency":"CNY""#)),
        ("amount as bool", money(r#""amount":true,"currency":"CNY""#)),
        ("amount as object", money(r#""amount":{"minor":5},"currency":"CNY""#)),
        ("no amount", money(r#""currency":"CNY""#)),
        ("empty amount", money(r#""amount":"","currency":"CNY""#)),
        ("no currency", money(r#""amount":"5""#)),
        ("unknown currency", money(r#""amount":"5","currency":"cny""#)),
        (
            "all of money",
            transfer(
                r#","status":"declined","payee":"p","payee_country":"hk","balance":7,"merchant":"m","merchant_category":"5411""#,
            ),
        ),
        ("balance below zero", transfer(r#","balance":"-0.01""#)),
        ("balance as text that is none", transfer(r#","balance":"much""#)),
        ("unknown status", transfer(r#","status":"done""#)),
        ("country of one letter", transfer(r#","payee_country":"H""#)),
        // --- the other types
        ("limit", event("limit_changed", r#","status":"completed""#)),
        ("limit without amount", r#"{"id":"e1","type":"limit_changed","time":1,"account":"a"}"#.to_owned()),
        ("logout by", event("logout", r#","by":"support""#)),
        ("reset", event("password_reset", r#","via":"call_center""#)),
        ("reset without stage", r#"{"id":"e1","type":"password_reset","time":1}"#.to_owned()),
        ("second factor changed", event("mfa_changed", "")),
        ("second factor locked", event("mfa_changed", "").replace("disabled", "locked")),
        ("lock", event("lock", r#","by":"system""#)),
        ("lock disabled", event("lock", "").replace("locked", "disabled")),
        ("lock without change", r#"{"id":"e1","type":"lock","time":1,"account":"a"}"#.to_owned()),
        ("contact changed", event("contact_changed", r#","old":"o@example.com""#)),
        ("contact changed without field", r#"{"id":"e1","type":"contact_changed","time":1,"account":"a"}"#.to_owned()),
        ("payee added without payee", r#"{"id":"e1","type":"payee_added","time":1,"account":"a"}"#.to_owned()),
        ("report", event("report", r#","by":"user","payee":"p""#)),
        ("report without about", r#"{"id":"e1","type":"report","time":1,"account":"a","answer":"me"}"#.to_owned()),
        ("report without answer", r#"{"id":"e1","type":"report","time":1,"account":"a","about":"x"}"#.to_owned()),
        ("report without account", r#"{"id":"e1","type":"report","time":1,"about":"x","answer":"me"}"#.to_owned()),
        ("service", event("service_status", r#","scope":"all","until":"2027-01-01T00:00:00+08:00""#)),
        ("service until some day", event("service_status", r#","until":"some day""#)),
        ("service without state", r#"{"id":"e1","type":"service_status","time":1}"#.to_owned()),
    ];
    for kind in EventType::WORDS {
        cases.push((kind, event(kind, "")));
    }
    cases
}

#[test]
fn every_rule_of_the_schema() {
    let mut table = format!("no value\n    {}\n", outcome(None));
    let _ = writeln!(table, "not UTF-8\n    {}", outcome(Some(b"{\"id\":\"\xff\"}")));
    for (name, value) in cases() {
        let short = |text: String| if text.len() > 300 { format!("{} bytes", text.len()) } else { text };
        let shown = short(outcome(Some(value.as_bytes())));
        let _ = writeln!(table, "{name}\n    {shown}");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_reason_has_a_case() {
    let mut reasons: Vec<_> = cases()
        .iter()
        .map(|(_, value)| Some(value.as_bytes()))
        .chain([None, Some(b"\xff".as_slice())])
        .filter_map(|value| decode(value, NOW, &Limits::default()).err().map(|r| r.reason.word()))
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    let mut all = RejectReason::WORDS.to_vec();
    all.sort_unstable();
    assert_eq!(reasons, all);
}

#[test]
fn a_refusal_never_repeats_the_value() {
    for (name, value) in cases() {
        if let Err(refused) = decode(Some(value.as_bytes()), NOW, &Limits::default()) {
            assert!(!refused.detail.contains("secret"), "{name}: {refused}");
        }
    }
}

#[test]
fn both_ways_of_reading_agree() {
    for (name, value) in cases() {
        if let Ok(mut raw) = Raw::parse(&value) {
            let fast =
                judge::judge(&mut raw, value.len(), NOW, &Limits::default()).map(|d| (d.event, d.unknown_fields));
            let slow = diagnose::read_carefully(&value)
                .and_then(|mut raw| judge::judge(&mut raw, value.len(), NOW, &Limits::default()))
                .map(|d| (d.event, d.unknown_fields));
            assert_eq!(fast, slow, "{name}");
        }
    }
}

#[test]
fn texts_borrow_from_the_record_whichever_way_it_is_read() {
    let plain = event("transfer", r#","payee":"p","device":"d","geo":{"city":"c"},"merchant":"m""#);
    for record in [plain.clone(), plain + "\n"] {
        let event = decode(Some(record.as_bytes()), NOW, &Limits::default()).expect("an event").event;
        let texts = [Some(event.id), event.account, event.payee, event.device, event.geo.city, event.merchant];
        for text in texts {
            assert!(matches!(text, Some(Cow::Borrowed(_))), "{text:?}");
        }
    }
}

#[test]
fn every_text_has_its_limit() {
    let mut refused = Vec::new();
    for (kind, fields) in [
        ("login", "login_name device session user_agent client platform app_version locale zone"),
        ("login", "geo.city contact.email contact.phone contact.locale contact.zone contact.anti_phishing"),
        ("contact_changed", "old"),
        ("transfer", "payee merchant merchant_category"),
        ("report", "about"),
    ] {
        for field in fields.split(' ') {
            let text = format!(r#""{}""#, "x".repeat(4097));
            let more = match field.split_once('.') {
                Some((object, part)) => format!(r#","{object}":{{"{part}":{text}}}"#),
                None => format!(r#","{field}":{text}"#),
            };
            let record = match field {
                "about" => event(kind, &more).replace(r#","about":"e1""#, ""),
                _ => event(kind, &more),
            };
            let rejection = decode(Some(record.as_bytes()), NOW, &Limits::default()).expect_err(field);
            assert_eq!((rejection.reason, rejection.field), (RejectReason::TooLong, Some(field)));
            refused.push(field);
        }
    }
    // Of the fields that are text or ids to the rules, all but the two that have a limit in characters.
    let free = |f: &Field| matches!(f.kind(), FieldKind::Text | FieldKind::Id(_));
    let of_rules = Field::all().filter(free).map(Field::name).filter(|name| !["id", "account"].contains(name));
    for name in of_rules {
        assert!(refused.contains(&name), "{name}");
    }
}

/// A batch's moment may be anything in a test or a replay; a time that cannot be written must not pass for it.
#[test]
fn no_moment_lets_a_time_pass_that_cannot_be_written() {
    for time in ["\"9999-12-31T23:59:59Z\"", "99999999999999999999", "253402207201000"] {
        let text = format!(r#"{{"id":"e1","type":"logout","time":{time},"account":"a"}}"#);
        let refused = decode(Some(text.as_bytes()), Millis(i64::MAX), &Limits::default()).expect_err("refused");
        assert_eq!((refused.reason, refused.field), (RejectReason::TimeInFuture, Some("time")), "{time}");
    }
}
