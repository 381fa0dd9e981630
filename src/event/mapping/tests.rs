//! What a mapping makes of records: the small rules one by one, and what holds for every record.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::event::decode::properties::{event, json};
use crate::event::{Event, TIME_MS_MAX, decode, encode};
use crate::report::render;

const LATE_ENOUGH: Millis = Millis(TIME_MS_MAX);

fn origin() -> Origin<'static> {
    Origin { topic: "logins", partition: 3, offset: 17, stamp: Some(Millis(1_795_316_646_000)), key: Some(b"acc-9") }
}

fn mapping(text: &str) -> Mapping {
    load_bytes("mappings/x.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{}", render(&problems, false)))
}

/// What becomes of a record, in one line.
fn becomes(mapping: &Mapping, record: &str) -> String {
    match mapping.decode(Some(record.as_bytes()), &origin(), LATE_ENOUGH, &Limits::default()) {
        Ok(Mapped::Event(decoded)) => {
            let mut json = Vec::new();
            encode(&decoded.event, &mut json).expect("JSON");
            String::from_utf8(json).expect("UTF-8")
        }
        Ok(Mapped::Ignored(reason)) => format!("ignored {reason}"),
        Err(rejection) => rejection.to_string(),
    }
}

/// A logout with these further fields, from a record with `i`, `t`, `u` and these.
fn logout(fields: &str, record: &str) -> String {
    let mapping = mapping(&format!(
        "version: 1\nname: x\nfields:\n  id: /i\n  time: {{at: /t, unit: ms}}\n  account: /u\n{fields}\nrecords:\n  - type: logout\n"
    ));
    let whole = becomes(&mapping, &format!(r#"{{"i":"e1","t":5,"u":"a"{record}}}"#));
    let head = r#"{"id":"e1","type":"logout","time":"1970-01-01T00:00:00.005Z","account":"a""#;
    whole
        .strip_prefix(head)
        .map_or(whole.clone(), |rest| rest.trim_start_matches(',').strip_suffix('}').unwrap_or(rest).to_owned())
}

#[test]
fn the_first_that_is_there_counts() {
    let fields = "  session: [/a, /b/0, /c]";
    assert_eq!(logout(fields, r#","a":"x","c":"z""#), r#""session":"x""#);
    assert_eq!(logout(fields, r#","a":null,"b":[],"c":"z""#), r#""session":"z""#);
    assert_eq!(logout(fields, r#","a":"","b":["y"]"#), r#""session":"y""#);
    assert_eq!(logout(fields, ""), "");
}

#[test]
fn names_with_points_lead_down_where_the_file_says_so() {
    let of = |dotted: &str, record: &str| {
        let text = "version: 1\nname: x\nDOTTEDfields: {id: /e/id, time: {at: /t, unit: ms}, account: /u/a/id, \
                    session: /u/a, device: /l/0}\nrecords:\n  - type: logout\n";
        let text = text.replace("DOTTED", dotted).replace("session: /u/a, ", "");
        becomes(&mapping(&text), record)
    };
    let event = r#"{"id":"e1","type":"logout","time":"1970-01-01T00:00:00.005Z","account":"a"}"#;
    for record in [
        r#"{"e":{"id":"e1"},"t":5,"u":{"a":{"id":"a"}}}"#,
        r#"{"e.id":"e1","t":5,"u.a.id":"a"}"#,
        r#"{"e.id":"e1","t":5,"u.a":{"id":"a"}}"#,
        r#"{"e.id":"e1","t":5,"u":{"a.id":"a"},"u.a":{"id":null},"u.b":"x","t.x":{},"":1,".":2}"#,
    ] {
        assert_eq!(of("dotted: true\n", record), event, "{record}");
    }
    assert!(of("", r#"{"e.id":"e1","t":5,"u.a.id":"a"}"#).contains("missing_field"));
    for record in [r#"{"e.id":"e1","t":5,"u.a.id":"a","u":{"a.id":"a"}}"#, r#"{"e.id":"e1","e.id":"e1","t":5}"#] {
        assert!(of("dotted: true\n", record).contains("duplicate_field"), "{record}");
    }
}

#[test]
fn who_has_only_a_name_is_told_what_to_do() {
    let of = |account: &str, record: &str| {
        let text = "version: 1\nname: x\nfields: {id: /i, time: {at: /t, unit: ms}, account: ACCOUNT, login_name: /n}\n\
                    records:\n  - type: login\n    fields: {result: /r}\n";
        becomes(&mapping(&text.replace("ACCOUNT", account)), record)
    };
    let good = r#"{"i":"e","t":5,"n":"mei","r":"success"}"#;
    let told = of("/u", good);
    assert!(told.contains("missing_field (account)") && told.contains("`/u`"), "{told}");
    assert!(told.contains("name its place behind those of `account` in a mapping of your own"), "{told}");
    assert!(!told.contains("mei"), "what was typed may be a password: {told}");
    assert!(!of("/u", r#"{"i":"e","t":5,"r":"success"}"#).contains("login name"), "there is none");
    assert!(of("[/u, /n]", good).contains(r#""account":"mei","login_name":"mei""#));
    assert!(
        of("/u", r#"{"i":"e","t":5,"n":"mei","r":"failure"}"#).contains(r#""login_name":"mei""#),
        "a failure is an event"
    );
}

#[test]
fn a_number_may_stand_for_a_text_and_a_text_for_a_number() {
    assert_eq!(logout("  device: /d", r#","d":12345678901234567890"#), r#""device":"12345678901234567890""#);
    assert_eq!(logout("  count: /n", r#","n":"7""#), r#""count":7"#);
    assert_eq!(logout("  geo.asn: /n", r#","n":"29465""#), r#""geo":{"asn":29465}"#);
    assert_eq!(logout("  geo.asn: /n", r#","n":"AS29465""#), r#""geo":{"asn":29465}"#);
    let wrong = logout("  count: /n", r#","n":"many""#);
    assert_eq!(wrong, "bad_value (count): a whole number is expected; it comes from `/n`");
}

#[test]
fn a_list_of_one_is_its_value_and_anything_else_is_refused() {
    assert_eq!(logout("  device: /d", r#","d":["x"]"#), r#""device":"x""#);
    let refused = "bad_value (device): one value is expected, not a list or an object; it comes from `/d`";
    assert_eq!(logout("  device: /d", r#","d":["x","y"]"#), refused);
    assert_eq!(logout("  device: /d", r#","d":{"x":1}"#), refused);
}

#[test]
fn texts_are_joined_cut_and_looked_up() {
    assert_eq!(logout(r#"  session: {join: [/a, "-", /b]}"#, r#","a":1,"b":"x""#), r#""session":"1-x""#);
    assert_eq!(logout(r#"  session: {join: [/a, "-", /b]}"#, r#","a":1"#), "", "half a text is none");
    let forwarded = r#"  ip: {at: /f, split: ",", take: first}"#;
    assert_eq!(logout(forwarded, r#","f":"203.0.113.9, 10.0.0.1""#), r#""ip":"203.0.113.9""#);
    let table = "  channel: {at: /c, table: {ios: app, www: web}}";
    assert_eq!(logout(table, r#","c":"www""#), r#""channel":"web""#);
    assert_eq!(logout(table, ""), "");
    let refused = "bad_value (channel): a value of the mapping's table is expected; it comes from `/c`";
    assert_eq!(logout(table, r#","c":"fax""#), refused, "and the value itself is not repeated");
    assert_eq!(logout("  channel: {at: /c, table: {ios: app}, else: null}", r#","c":"fax""#), "");
    assert_eq!(logout("  channel: {at: /c, table: {ios: app}, else: api}", r#","c":"fax""#), r#""channel":"api""#);
}

#[test]
fn what_kafka_says_of_a_record_can_be_used() {
    let text = "version: 1\nname: x\nfields:\n  id: {record: position}\n  time: {record: timestamp}\n  account: {record: key}\n  client: {record: topic}\nrecords:\n  - type: logout\n";
    let all = r#"{"id":"logins:3:17:1795316646000","type":"logout","time":"2026-11-22T03:04:06.000Z","account":"acc-9","client":"logins"}"#;
    assert_eq!(becomes(&mapping(text), "{}"), all);
}

#[test]
fn a_position_is_an_id_whatever_the_topic_is_called() {
    let position = |topic: &str| Origin { topic, ..origin() }.position();
    let (one, two) = (position(&"t".repeat(249)), position(&format!("{}x", "t".repeat(248))));
    assert!(one != two && one.chars().count() <= ID_CHARS_MAX && one.ends_with(":3:17:1795316646000"), "{one}");
    assert_eq!(Origin { stamp: None, ..origin() }.position(), "logins:3:17");
}

#[test]
fn an_object_of_a_list_is_picked_by_one_of_its_values() {
    let record = r#","target":[{"id":1,"type":"App"},"x",{"type":"User","id":2},{"type":"User","id":3}]"#;
    assert_eq!(logout("  device: /target/*type=User/id", record), r#""device":"2""#);
    assert_eq!(logout("  device: /target/*type=None/id", record), "");
    let both = "  device: /target/*type=User/id\n  session: /target/0/id";
    assert_eq!(logout(both, record), r#""device":"2","session":"1""#);
}

#[test]
fn a_name_that_stands_twice_is_refused_where_it_is_asked_for() {
    let refused = "duplicate_field: `/d/x`, or what it goes through, is there more than once";
    assert_eq!(logout("  device: /d/x", r#","d":{"x":1,"x":2}"#), refused);
    assert_eq!(logout("  device: /d/x", r#","d":{"x":1},"d":{"x":2}"#), refused);
    assert_eq!(logout("  device: /d/x", r#","d":{"x":1,"y":2,"y":3},"z":0,"z":1"#), r#""device":"1""#);
}

#[test]
fn texts_that_hold_json_are_gone_into_only_where_the_file_says_so() {
    assert_eq!(logout("  device: /d/x", r#","d":"{\"x\":\"y\"}""#), "");
    let file = |holds: &str| {
        mapping(&format!(
            "version: 1\nname: x\nembedded: {{/d: {holds}}}\nfields: {{id: /i, time: /t, account: /u, device: /d/x/y}}\nrecords:\n  - type: logout\n"
        ))
    };
    let of = |mapping: &Mapping, d: &str| becomes(mapping, &format!(r#"{{"i":"e","t":5,"u":"a","d":{d}}}"#));
    let head = r#"{"id":"e","type":"logout","time":"1970-01-01T00:00:00.005Z","account":"a""#;
    let (json, base64) = (file("json"), file("base64"));
    assert_eq!(of(&json, r#""{\"x\":{\"y\":\"\\u4e00\"}}""#), format!(r#"{head},"device":"一"}}"#));
    assert_eq!(of(&json, r#"{"x":{"y":7}}"#), format!(r#"{head},"device":"7"}}"#), "an object needs no text");
    assert_eq!(of(&json, "\"\""), format!("{head}}}"));
    assert_eq!(of(&json, "\"{\""), "not_json: the text that `/d/x/y` goes into is no JSON");
    let deep = format!("\"{}1{}\"", "[".repeat(40), "]".repeat(40));
    assert_eq!(of(&json, &deep), "not_json: the text that `/d/x/y` goes into is no JSON", "parsers recurse");
    let text = STANDARD.encode(r#"{"x":{"y":"z"}}"#);
    assert_eq!(of(&base64, &format!("\"{text}\"")), format!(r#"{head},"device":"z"}}"#));
    let unpadded = text.trim_end_matches('=');
    assert_eq!(of(&base64, &format!("\"{unpadded}\"")), format!(r#"{head},"device":"z"}}"#));
    assert_eq!(of(&base64, "\"%\""), "bad_value: the text that `/d/x/y` goes into is no base64 of UTF-8");
}

#[test]
fn money_in_minor_units_gets_its_currencys_point() {
    let text = "version: 1\nname: x\nfields: {id: /i, time: /t, account: /u}\nrecords:\n  - type: payment\n    fields: {amount: {at: /a, unit: minor}, currency: /c, balance: /b}\n";
    let of = |record: &str| becomes(&mapping(text), &format!(r#"{{"i":"e","t":5,"u":"a"{record}}}"#));
    let head = r#"{"id":"e","type":"payment","time":"1970-01-01T00:00:00.005Z","account":"a""#;
    assert_eq!(of(r#","a":1250,"c":"CNY""#), format!(r#"{head},"amount":"12.50","currency":"CNY"}}"#));
    assert_eq!(of(r#","a":"5","c":"BHD""#), format!(r#"{head},"amount":"0.005","currency":"BHD"}}"#));
    let exact = format!(r#"{head},"amount":"90071992547409.92","currency":"CNY","balance":"0.10"}}"#);
    assert_eq!(of(r#","a":9007199254740992,"c":"CNY","b":0.10"#), exact, "no float on the way");
    let fraction = "bad_value (amount): whole minor units, such as 1250 for 12.50, are expected; it comes from `/a`";
    assert_eq!(of(r#","a":12.5,"c":"CNY""#), fraction);
    assert!(of(r#","a":5"#).starts_with("missing_field (currency)"));
}

#[test]
fn the_first_entry_that_takes_a_record_has_it() {
    let text = "version: 1\nname: x\nfields: {id: /i, time: /t, account: /u}\nrecords:\n  - when: {/k: [a, b], /s: {not: test}}\n    type: logout\n  - when: [{/k: a}, {/s: {starts_with: te}, /n: {at_least: 2, at_most: 4}}]\n    ignore: second\n";
    let of = |record: &str| becomes(&mapping(text), &format!(r#"{{"i":"e","t":5,"u":"a",{record}}}"#));
    assert!(of(r#""k":"b""#).contains("logout"));
    assert_eq!(of(r#""k":"a","s":"test""#), "ignored second");
    assert_eq!(of(r#""s":"term","n":4"#), "ignored second");
    let refused = "unknown_type (type): no entry of the mapping `x` takes this record";
    assert_eq!(of(r#""s":"term","n":5"#), refused);
}

#[test]
fn what_is_no_record_is_refused_for_the_reasons_of_our_own_events() {
    let mapping = mapping("version: 1\nname: x\nrecords:\n  - ignore: all\n");
    let limits = Limits::default();
    let reason = |value: Option<&[u8]>| {
        let read = mapping.decode(value, &origin(), LATE_ENOUGH, &limits);
        read.err().map(|rejection| rejection.reason)
    };
    assert_eq!(reason(None), Some(RejectReason::NoValue));
    assert_eq!(reason(Some(b"")), Some(RejectReason::NoValue));
    assert_eq!(reason(Some(b"\xff")), Some(RejectReason::NotUtf8));
    assert_eq!(reason(Some(b"{")), Some(RejectReason::NotJson));
    assert_eq!(reason(Some(b"{} {}")), Some(RejectReason::NotJson));
    assert_eq!(reason(Some(b"[]")), Some(RejectReason::NotObject));
    assert_eq!(reason(Some("[".repeat(40).as_bytes())), Some(RejectReason::TooDeep));
    assert_eq!(reason(Some(&vec![b' '; 70_000])), Some(RejectReason::TooLarge));
    assert_eq!(reason(Some(b" {\"x\":[{}]}\n")), None);
}

#[test]
fn the_future_and_texts_beyond_their_limits_are_refused_as_of_our_own_events() {
    let text = "version: 1\nname: x\nfields: {id: /i, time: /t, account: /u, device: {join: [/d, /d, /d]}}\nrecords:\n  - type: logout\n";
    let mapping = mapping(text);
    let read = |record: String| {
        let read = mapping.decode(Some(record.as_bytes()), &origin(), Millis(0), &Limits::default()).map(|_| ());
        read.err().map(|rejection| (rejection.reason, rejection.field))
    };
    let record = |t: i64, d: usize| format!(r#"{{"i":"e","t":{t},"u":"a","d":"{}"}}"#, "x".repeat(d));
    assert_eq!(read(record(300_000, 1)), None);
    assert_eq!(read(record(300_001, 1)), Some((RejectReason::TimeInFuture, Some("time"))));
    // Longer than its field may be, in a record that is not.
    assert_eq!(read(record(0, 1500)), Some((RejectReason::TooLong, Some("device"))));
}

/// The shipped mappings, loaded once.
static SHIPPED: LazyLock<Vec<Mapping>> =
    LazyLock::new(|| builtin().iter().map(|builtin| builtin.load().expect("it loads")).collect());

fn cloudevents() -> &'static Mapping {
    SHIPPED.iter().find(|mapping| mapping.name() == "cloudevents").expect("it ships")
}

fn event_in(mapping: &Mapping, record: &str) -> Result<Event<'static>, String> {
    // Written and read natively, so that it owns its texts.
    let written = becomes(mapping, record);
    let decoded =
        decode(Some(Box::leak(written.clone().into_bytes().into_boxed_slice())), LATE_ENOUGH, &Limits::default());
    decoded.map(|decoded| decoded.event).map_err(|_| written)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The oracle: an event in an envelope, in each of its three forms, is the event without it.
    #[test]
    fn an_event_in_an_envelope_is_the_event(event in event()) {
        let mapping = cloudevents();
        let mut written = Vec::new();
        encode(&event, &mut written).expect("written");
        let text = String::from_utf8(written).expect("UTF-8");
        let quoted = serde_json::to_string(&text).expect("a text");
        let envelopes = [
            format!(r#"{{"id":"x","source":"/s","data":{text}}}"#),
            format!(r#"{{"id":"x","source":"/s","data":{quoted}}}"#),
            format!(r#"{{"id":"x","source":"/s","data_base64":"{}"}}"#, STANDARD.encode(&text)),
        ];
        for envelope in envelopes {
            let found = event_in(mapping, &envelope);
            prop_assert_eq!(found.as_ref(), Ok(&event), "{}", envelope);
        }
    }

    /// Whatever a record holds, it is an event, ignored or refused, twice the same.
    #[test]
    fn any_json_has_one_of_three_ends(text in json(), cut in any::<prop::sample::Index>()) {
        for mapping in SHIPPED.iter() {
            let record = format!(r#"{{"type":"LOGIN","data":{text},"eventType":"user.session.start","class_uid":3002,"event":{text},"details":{text},"target":[{text}]}}"#);
            prop_assert_eq!(becomes(mapping, &record), becomes(mapping, &record));
            let mut end = cut.index(record.len());
            while !record.is_char_boundary(end) {
                end -= 1;
            }
            becomes(mapping, record.get(..end).unwrap_or_default());
            becomes(mapping, &text);
        }
    }

    /// Any text of a file loads or is refused with problems that can be drawn.
    #[test]
    fn any_file_loads_or_says_why(cut in any::<prop::sample::Index>(), noise in "[-{}\\[\\]:/a-z*&!\"' \n]{0,12}") {
        for builtin in builtin().iter().filter(|builtin| builtin.name != "okta") {
            let mut at = cut.index(builtin.text.len());
            while !builtin.text.is_char_boundary(at) {
                at -= 1;
            }
            let (head, tail) = builtin.text.split_at(at);
            for text in [format!("{head}{noise}{tail}"), format!("{head}{noise}")] {
                if let Err(problems) = load_bytes("mappings/x.yaml", text.as_bytes()) {
                    prop_assert!(!render(&problems, false).is_empty());
                }
            }
        }
    }
}
