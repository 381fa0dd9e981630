//! What holds for every event and for every input.

use std::net::IpAddr;

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::event::key::{ContactKey, Key, Name, PlaceKey};
use crate::event::money::AMOUNT_MINOR_UNITS_MAX;
use crate::event::time::{TIME_MS_MAX, TIME_MS_MIN};
use crate::event::{
    Closed, Contact, Country, Currency, EventType, Field, Money, Outcome, Place, Point, Reason, Text, encode,
};

// === Any valid event ===

/// A text that is there, with all that JSON escapes. Boxed, as the parts of an event all are: an event has
/// so many that their strategies' state would not fit a test's stack.
fn text() -> BoxedStrategy<Text<'static>> {
    "[\\PC\"\\\\\n\u{0}\u{7f}]{1,16}".prop_map(Text::Owned).boxed()
}

/// A word of a list, as its value.
fn word<C: Closed + std::fmt::Debug>() -> impl Strategy<Value = C> {
    select(C::WORDS).prop_map(|word| C::parse(word).expect("a word"))
}

/// A word that a type allows in a field.
fn word_on<C: Closed + std::fmt::Debug>(field: Field, kind: EventType) -> impl Strategy<Value = C> {
    select(field.words_on(kind)).prop_map(|word| C::parse(word).expect("a word"))
}

fn country() -> impl Strategy<Value = Country> {
    "[A-Z]{2}".prop_map(|code| Country::parse(&code).expect("a code"))
}

fn place() -> BoxedStrategy<Place<'static>> {
    let point = (-180i32..=180, -360i32..=360)
        .prop_map(|(lat, lon)| Point { latitude: f64::from(lat) / 2.0, longitude: f64::from(lon) / 2.0 });
    let parts = (of(country()), of(text()), of(point), of(0u32..9000), of(any::<u32>()), of(word()));
    parts
        .prop_map(|(country, city, point, km, asn, network)| Place {
            country,
            city,
            point,
            accuracy_km: km.map(|km| f64::from(km) / 4.0),
            asn,
            network,
        })
        .boxed()
}

fn contact() -> BoxedStrategy<Option<Box<Contact<'static>>>> {
    (of(text()), of(text()), of(text()), of(text()), of(text()))
        .prop_map(|(email, phone, locale, zone, anti_phishing)| {
            let contact = Contact { email, phone, locale, zone, anti_phishing };
            (contact != Contact::default()).then(|| Box::new(contact))
        })
        .boxed()
}

/// The fields that every type has.
fn common(kind: EventType) -> BoxedStrategy<Event<'static>> {
    let ip = any::<IpAddr>().prop_map(|ip| ip.to_canonical());
    let count = prop_oneof![1u32..4, 1u32..];
    let first = (text(), TIME_MS_MIN..=TIME_MS_MAX, count, text(), of(text()), of(ip), of(text()), of(text()));
    let second = (of(text()), of(text()), of(word()), of(word()), of(word()), of(text()), of(text()), of(text()));
    (first, second, of(text()), place(), contact())
        .prop_map(move |(first, second, zone, geo, contact)| {
            let (id, time, count, account, login_name, ip, device, session) = first;
            let (user_agent, client, channel, source_risk, connection, platform, app_version, locale) = second;
            Event {
                count,
                account: Some(account),
                login_name,
                ip,
                device,
                session,
                user_agent,
                client,
                channel,
                source_risk,
                connection,
                platform,
                app_version,
                locale,
                zone,
                geo,
                contact,
                ..Event::new(id, kind, Millis(time))
            }
        })
        .boxed()
}

/// What is done to an event to make it one of its type.
struct Change(Box<dyn Fn(&mut Event<'static>)>);

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

/// What a type adds to the common fields.
fn own(kind: EventType) -> BoxedStrategy<Change> {
    use EventType::*;
    fn change(change: impl Fn(&mut Event<'static>) + 'static) -> Change {
        Change(Box::new(change))
    }
    let by = of(word_on(Field::By, kind));
    match kind {
        Login => {
            let parts = (word_on(Field::Result, kind), word(), of(word_on(Field::Method, kind)), any::<Option<bool>>());
            parts
                .prop_map(|(result, reason, method, mfa): (Outcome, Reason, _, _)| {
                    change(move |e| {
                        e.result = Some(result);
                        e.reason = (result == Outcome::Failure).then_some(reason);
                        (e.method, e.mfa) = (method, mfa);
                    })
                })
                .boxed()
        }
        Mfa => (word_on(Field::Result, kind), of(word_on(Field::Method, kind)))
            .prop_map(|(result, method)| change(move |e| (e.result, e.method) = (Some(result), method)))
            .boxed(),
        Logout => by.prop_map(|by| change(move |e| e.by = by)).boxed(),
        PasswordReset => (word(), of(word()), any::<bool>())
            .prop_map(|(stage, via, known)| {
                change(move |e| {
                    (e.stage, e.via) = (Some(stage), via);
                    e.account = e.account.take().filter(|_| known);
                })
            })
            .boxed(),
        MfaChanged => word_on(Field::Change, kind).prop_map(|word| change(move |e| e.change = Some(word))).boxed(),
        Lock => (word_on(Field::Change, kind), by)
            .prop_map(|(word, by)| change(move |e| (e.change, e.by) = (Some(word), by)))
            .boxed(),
        ContactChanged => (word(), of(text()))
            .prop_map(|(field, old)| change(move |e| (e.field, e.old) = (Some(field), old.clone())))
            .boxed(),
        PayeeAdded => text().prop_map(|payee| change(move |e| e.payee = Some(payee.clone()))).boxed(),
        Report => (text(), word(), by, of(text()))
            .prop_map(|(about, answer, by, payee)| {
                change(move |e| {
                    (e.about, e.answer) = (Some(about.clone()), Some(answer));
                    (e.by, e.payee) = (by, payee.clone());
                })
            })
            .boxed(),
        ServiceStatus => (word(), of(word()), of(TIME_MS_MIN..=TIME_MS_MAX))
            .prop_map(|(state, scope, until)| {
                change(move |e| {
                    (e.state, e.scope, e.until) = (Some(state), scope, until.map(Millis));
                    e.account = None;
                })
            })
            .boxed(),
        LimitChanged => money().prop_map(|(amount, _)| change(move |e| e.amount = Some(amount))).boxed(),
        Transfer | Payment | Withdrawal | TopUp => {
            let parts = (money(), of(word()), of(text()), of(country()), of(text()), of(text()));
            parts
                .prop_map(|((amount, balance), status, payee, country, merchant, category)| {
                    change(move |e| {
                        (e.amount, e.balance, e.status) = (Some(amount), balance, status);
                        (e.payee, e.payee_country) = (payee.clone(), country);
                        (e.merchant, e.merchant_category) = (merchant.clone(), category.clone());
                    })
                })
                .boxed()
        }
        PasswordChanged | SimChanged | DeviceBound | DeviceRemoved => Just(()).prop_map(|()| change(|_| {})).boxed(),
    }
}

fn money() -> impl Strategy<Value = (Money, Option<Money>)> {
    let codes: Vec<_> = Currency::codes().collect();
    let minor = || 0..=AMOUNT_MINOR_UNITS_MAX;
    (select(codes), minor(), of(minor())).prop_map(|(code, amount, balance)| {
        let currency = Currency::parse(code).expect("a code");
        (Money { minor: amount, currency }, balance.map(|minor| Money { minor, currency }))
    })
}

pub(in crate::event) fn event() -> BoxedStrategy<Event<'static>> {
    word::<EventType>()
        .prop_flat_map(|kind| {
            (common(kind), own(kind)).prop_map(|(mut event, change)| {
                (change.0)(&mut event);
                event
            })
        })
        .boxed()
}

// === Any JSON ===

/// The text of any JSON value, not too deep.
pub(in crate::event) fn json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-9i8..9).prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| n.to_string()),
        select(&["1e3", "-0", "1e400", "0.5", "99999999999999999999", "5.00"][..]).prop_map(str::to_owned),
        select(&["\"\"", "\"\\u0061\"", "\"\\ud800\"", "\"CN\"", "\"AS7\"", "\"::1\""][..]).prop_map(str::to_owned),
        select(&["\"9999-12-31T23:59:59Z\"", "\"+010000-01-01T00:00:00Z\"", "-99999999999999999999"][..])
            .prop_map(str::to_owned),
        "\\PC{0,9}".prop_map(|text| serde_json::to_string(&text).expect("a text")),
        select(all_words()).prop_map(|word| format!("\"{word}\"")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name(), inner), 0..4).prop_map(object),
        ]
    })
    .boxed()
}

fn all_words() -> Vec<&'static str> {
    Field::all().flat_map(|field| field.words().iter().copied()).collect()
}

/// A name of the schema, or another.
fn name() -> impl Strategy<Value = String> {
    let part = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let places = PlaceKey::all().map(PlaceKey::path).map(part);
    let contacts = ContactKey::all().map(ContactKey::path).map(part);
    let names: Vec<_> = Key::all().map(Key::path).chain(places).chain(contacts).collect();
    prop_oneof![8 => select(names).prop_map(str::to_owned), 1 => "[a-z]{0,4}"]
}

fn object(entries: Vec<(String, String)>) -> String {
    let entries: Vec<_> = entries.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", entries.join(","))
}

/// A record that may be good but for a few fields.
fn nearly() -> BoxedStrategy<String> {
    (event(), prop::collection::vec((name(), json()), 0..4), any::<bool>())
        .prop_map(|(event, extra, replace)| {
            let mut written = Vec::new();
            encode(&event, &mut written).expect("written");
            let all: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_slice(&written).expect("an object");
            let keep = |name: &String| !replace || !extra.iter().any(|(other, _)| other == name);
            let mut entries: Vec<_> = all
                .into_iter()
                .filter(|(name, _)| keep(name))
                .map(|(name, value)| (name, value.get().to_owned()))
                .collect();
            entries.extend(extra.iter().cloned());
            object(entries)
        })
        .boxed()
}

const LATE_ENOUGH: Millis = Millis(TIME_MS_MAX);

/// What the three ways of reading make of a text: the event and the unknown fields, or the refusal.
/// A way that leaves a text to the next gives what that one gives.
fn three_ways<'a>(text: &'a str) -> [Result<(Event<'a>, u32), Rejection>; 3] {
    let limits = Limits::default();
    let by = |read: &dyn Fn() -> Result<Raw<'a>, Rejection>| {
        shallow(readable(Some(text.as_bytes()), &limits)?, &limits)?;
        let decoded = judge::judge(&mut read()?, text.len(), LATE_ENOUGH, &limits)?;
        Ok((decoded.event, decoded.unknown_fields))
    };
    let slow = || diagnose::read_carefully(text);
    let serde = || Raw::parse(text).or_else(|_| slow());
    let decoded = decode(Some(text.as_bytes()), LATE_ENOUGH, &limits);
    [decoded.map(|d| (d.event, d.unknown_fields)), by(&serde), by(&slow)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read_back(event in event()) {
        let mut written = Vec::new();
        encode(&event, &mut written).expect("written");
        let decoded = decode(Some(&written), LATE_ENOUGH, &Limits::default());
        let decoded = decoded.map_err(|e| TestCaseError::fail(format!("{e}: {}", String::from_utf8_lossy(&written))))?;
        prop_assert_eq!(decoded.event, event);
        prop_assert_eq!(decoded.unknown_fields, 0);
    }

    /// The fast way is checked by serde's and that by the slow one, on records with any value in any field.
    #[test]
    fn all_ways_of_reading_agree(text in nearly()) {
        let [plain, serde, slow] = three_ways(&text);
        prop_assert_eq!(&serde, &slow, "{}", text);
        prop_assert_eq!(plain, serde, "{}", text);
    }

    #[test]
    fn any_object_is_read_or_refused(text in prop::collection::vec((name(), json()), 0..12).prop_map(object)) {
        let [plain, serde, slow] = three_ways(&text);
        prop_assert_eq!(&serde, &slow, "{}", text);
        prop_assert_eq!(plain, serde, "{}", text);
    }

    /// What passes obeys the schema: written and read again it is the same.
    #[test]
    fn what_passes_is_valid(text in nearly()) {
        if let Ok(first) = decode(Some(text.as_bytes()), LATE_ENOUGH, &Limits::default()) {
            let mut written = Vec::new();
            encode(&first.event, &mut written).expect("written");
            let again = decode(Some(&written), LATE_ENOUGH, &Limits::default());
            prop_assert_eq!(again.map(|d| (d.event, d.unknown_fields)), Ok((first.event, 0)));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in any::<prop::sample::Index>(), text in nearly()) {
        let _ = decode(Some(&bytes), LATE_ENOUGH, &Limits::default());
        let cut = cut.index(text.len());
        let _ = decode(text.as_bytes().get(..cut), LATE_ENOUGH, &Limits::default());
    }
}
