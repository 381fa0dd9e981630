//! What databases say together: schemas, placeholders, order, evidence.

use std::net::IpAddr;
use std::path::Path;

use walletwatch::event::{Network, Place};
use walletwatch::geo::{Database, Databases, Evidence, OpenError, Schema};

use super::world::{BUILD_EPOCH, path};
use super::writer::{Header, Value, Writer};

/// A database of one record for 192.0.2.0/24 and 2001:db8::/32.
pub fn bytes_of(record: Value) -> Vec<u8> {
    let mut writer = Writer::new(Header {
        database_type: "Test",
        description: Some("test"),
        ip_version: 6,
        record_size: 24,
        build_epoch: BUILD_EPOCH,
    });
    writer.insert("192.0.2.0/24".parse().unwrap(), &record);
    writer.insert("2001:db8::/32".parse().unwrap(), &record);
    writer.finish()
}

fn open(name: &str, record: Value) -> Result<Database, OpenError> {
    Database::from_bytes(Path::new(name), bytes_of(record))
}

fn map(entries: Vec<(&'static str, Value)>) -> Value {
    Value::Map(entries)
}

/// What databases of these records, in this order, say of 192.0.2.1.
fn say(records: Vec<Value>) -> (Databases, IpAddr) {
    let files = records.into_iter().map(|record| open("test.mmdb", record).expect("a good file")).collect();
    (Databases::new(files), "192.0.2.1".parse().unwrap())
}

fn nested(country: &str, city: &str, latitude: f64, longitude: f64) -> Value {
    map(vec![
        ("city", map(vec![("names", map(vec![("en", city.into())]))])),
        ("country", map(vec![("iso_code", country.into())])),
        ("location", map(vec![("latitude", Value::Double(latitude)), ("longitude", Value::Double(longitude))])),
    ])
}

fn country(code: &str) -> Value {
    map(vec![("country", map(vec![("iso_code", code.into())]))])
}

fn asn(number: u32) -> Value {
    map(vec![("autonomous_system_number", Value::U32(number))])
}

#[test]
fn each_schema_is_recognised_by_its_fields() {
    let flag = map(vec![("is_tor_exit_node", Value::Bool(true))]);
    let connection = map(vec![("connection_type", "Cellular".into())]);
    let flat = map(vec![("country_code", "CN".into()), ("city", "Wuhan".into())]);
    let own = map(vec![("network", "carrier_nat".into())]);
    let traits = map(vec![("traits", map(vec![("is_anycast", Value::Bool(true))]))]);
    for (record, schema) in [
        (nested("CN", "Wuhan", 30.6, 114.3), Schema::City),
        (country("CN"), Schema::Country),
        (traits, Schema::Country),
        (asn(4134), Schema::Asn),
        (flag, Schema::AnonymousIp),
        (connection, Schema::ConnectionType),
        (flat, Schema::Flat),
        (own, Schema::Network),
    ] {
        assert_eq!(open("t", record).expect("accepted").schema(), schema);
    }
}

#[test]
fn other_vendors_schemas_are_refused_with_what_was_found() {
    let ipinfo = map(vec![("country", "US".into()), ("asn", "AS15169".into())]);
    let cidr_only = map(vec![("network", "192.0.2.0/24".into())]);
    let empty = map(vec![]);
    let says_nothing = map(vec![("country_code", "ZZ".into())]);
    for (record, found) in
        [(ipinfo, "asn, country"), (cidr_only, "network"), (empty, "none"), (says_nothing, "country_code")]
    {
        match open("other.mmdb", record) {
            Err(OpenError::UnknownSchema { found: told, .. }) => assert_eq!(told, found),
            other => panic!("{found}: {other:?}"),
        }
    }
}

#[test]
fn a_field_of_another_type_damages_the_file() {
    let record = map(vec![("autonomous_system_number", Value::U32(1)), ("is_anonymous", "yes".into())]);
    assert!(matches!(open("odd.mmdb", record), Err(OpenError::Damaged { .. })));
}

#[test]
fn placeholders_are_missing() {
    let record = map(vec![
        ("country_code", "ZZ".into()),
        ("city", " ".into()),
        ("latitude", Value::Float(0.0)),
        ("longitude", Value::Float(0.0)),
        ("autonomous_system_number", Value::U32(0)),
        ("network", "fixed".into()),
    ]);
    let (geo, ip) = say(vec![record]);
    assert_eq!(geo.lookup(ip), Place { network: Some(Network::Fixed), ..Place::default() });
    let (geo, ip) = say(vec![nested("CN", "Nowhere", 91.0, 10.0)]);
    assert_eq!(geo.lookup(ip).point, None);
    let (geo, ip) = say(vec![nested("CN", "Nowhere", f64::NAN, 10.0)]);
    assert_eq!(geo.lookup(ip).point, None);
}

#[test]
fn the_file_named_first_is_believed_part_by_part() {
    let (geo, ip) = say(vec![country("CN"), nested("CN", "Wuhan", 30.6, 114.3), asn(1), asn(2)]);
    let place = geo.lookup(ip);
    assert_eq!(place.country.unwrap().code(), "CN");
    assert_eq!(place.city.as_deref(), Some("Wuhan"));
    assert_eq!(place.asn, Some(1));
}

#[test]
fn a_city_of_another_country_is_not_taken() {
    let (geo, ip) = say(vec![country("CN"), nested("NG", "Lagos", 6.5, 3.4)]);
    let place = geo.lookup(ip);
    assert_eq!(place.country.unwrap().code(), "CN");
    assert_eq!((place.city, place.point), (None, None));
}

#[test]
fn the_strongest_evidence_names_the_network_whatever_the_order() {
    let hosting = asn(14061);
    let vpn = map(vec![("is_anonymous_vpn", Value::Bool(true))]);
    let own = map(vec![("network", "relay".into())]);
    for records in [vec![hosting.clone(), vpn.clone(), own.clone()], vec![own, vpn.clone(), hosting.clone()]] {
        let (geo, ip) = say(records);
        let explained = geo.explain(ip);
        assert_eq!(explained.place.network, Some(Network::Relay));
        assert_eq!(explained.network.unwrap().1, Evidence::Named);
    }
    let (geo, ip) = say(vec![hosting.clone(), vpn]);
    assert_eq!(geo.lookup(ip).network, Some(Network::Vpn));
    let (geo, ip) = say(vec![hosting]);
    assert_eq!(geo.lookup(ip).network, Some(Network::Hosting));
}

#[test]
fn an_enterprise_record_is_judged_by_its_strongest_trait() {
    let traits = |entries| map(vec![("traits", map(entries))]);
    let office = vec![("connection_type", "Corporate".into())];
    let rented = vec![("connection_type", "Corporate".into()), ("user_type", "hosting".into())];
    let phone = vec![("connection_type", "Cellular".into()), ("user_type", "residential".into())];
    let roof = vec![("is_satellite_provider", Value::Bool(true)), ("autonomous_system_number", Value::U16(64))];
    for (entries, network) in
        [(office, Network::Business), (rented, Network::Hosting), (phone, Network::Mobile), (roof, Network::Satellite)]
    {
        let (geo, ip) = say(vec![traits(entries)]);
        assert_eq!(geo.lookup(ip).network, Some(network));
    }
}

#[test]
fn a_carriers_translation_is_seen_in_ipv4_only() {
    let cellular = map(vec![("connection_type", "Cellular".into())]);
    let (geo, v4) = say(vec![cellular, asn(55836)]);
    assert_eq!(geo.lookup(v4).network, Some(Network::CarrierNat));
    assert_eq!(geo.lookup("2001:db8::1".parse().unwrap()).network, Some(Network::Mobile));
}

#[test]
fn a_mapped_ipv4_address_is_the_ipv4_address() {
    let (geo, v4) = say(vec![nested("CN", "Wuhan", 30.6, 114.3), asn(55836)]);
    let mapped = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(geo.lookup(mapped), geo.lookup(v4));
    assert_eq!(geo.lookup(mapped).network, Some(Network::CarrierNat));
}

#[test]
fn an_ipv6_address_in_an_ipv4_file_is_missing_and_no_error() {
    let geo = Databases::open(&[path("world-flat.mmdb")]).expect("a good file");
    assert_eq!(geo.lookup("2001:db8:1::1".parse().unwrap()), Place::default());
    assert_eq!(geo.lookup("203.0.113.9".parse().unwrap()).city.as_deref(), Some("Shanghai"));
    assert!(geo.errors().all(|(_, errors)| errors == 0));
}

#[test]
fn private_and_unlisted_addresses_are_missing() {
    let geo = Databases::open(&[path("world-city.mmdb"), path("world-asn.mmdb")]).expect("good files");
    for ip in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "0.0.0.0", "255.255.255.255", "203.0.113.250", "::1", "fe80::1"]
    {
        assert_eq!(geo.lookup(ip.parse().unwrap()), Place::default(), "{ip}");
    }
    assert_eq!(Databases::default().lookup("203.0.113.9".parse().unwrap()), Place::default());
}

#[test]
fn the_cache_answers_as_the_file_does() {
    let paths = [path("world-city.mmdb")];
    let cached = Databases::open(&paths).expect("a good file");
    let ips: Vec<IpAddr> = super::world::rows().iter().map(|row| row.range.network()).collect();
    let first: Vec<_> = ips.iter().map(|ip| cached.lookup(*ip)).collect();
    let again: Vec<_> = ips.iter().rev().map(|ip| cached.lookup(*ip)).collect();
    assert!(first.iter().eq(again.iter().rev()));
}

#[test]
fn date_digest_and_age_speak_for_all_files() {
    let older = Header {
        database_type: "Older",
        description: Some("test"),
        ip_version: 6,
        record_size: 28,
        build_epoch: BUILD_EPOCH - 86_400,
    };
    let mut writer = Writer::new(older);
    writer.insert("192.0.2.0/24".parse().unwrap(), &asn(1));
    let older = || Database::from_bytes(Path::new("older"), writer.finish()).expect("a good file");
    let geo = Databases::new(vec![older(), open("newer", asn(2)).expect("a good file")]);
    assert_eq!(geo.date().as_deref(), Some("2026-11-01"));
    assert_eq!(geo.oldest_epoch(), Some(BUILD_EPOCH - 86_400));
    assert!(geo.digest().unwrap().starts_with("b3:"));
    assert_eq!((Databases::default().date(), Databases::default().digest()), (None, None));
}

#[test]
fn databases_may_be_asked_from_several_threads() {
    fn shareable<T: Send + Sync>() {}
    shareable::<Databases>();
}
