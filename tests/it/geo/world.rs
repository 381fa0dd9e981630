//! The databases of the small world in `src/sim/world.csv`, and the test that they are made from it.
//!
//! `WRITE_GEO=1 cargo test --release --test it geo::world` writes tests/data/geo anew.

use std::path::PathBuf;

use ipnet::IpNet;

use super::writer::{Header, Value, Writer};

const WORLD: &str = include_str!("../../../src/sim/world.csv");
/// 2026-11-01T00:00:00Z.
pub const BUILD_EPOCH: u64 = 1_793_491_200;

/// One range of the world.
pub struct Row {
    pub range: IpNet,
    pub country: &'static str,
    pub city: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    pub accuracy_km: u16,
    pub asn: u32,
    pub carrier: &'static str,
    pub network: &'static str,
}

pub fn rows() -> Vec<Row> {
    let lines = WORLD.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| {
            let cells: Vec<&'static str> = line.split(',').collect();
            let [range, country, city, latitude, longitude, accuracy_km, asn, carrier, network] = cells[..] else {
                panic!("nine columns: {line}")
            };
            Row {
                range: range.parse().expect(line),
                country,
                city,
                latitude: latitude.parse().expect(line),
                longitude: longitude.parse().expect(line),
                accuracy_km: accuracy_km.parse().expect(line),
                asn: asn.parse().expect(line),
                carrier,
                network,
            }
        })
        .collect()
}

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo").join(name)
}

/// Makes the bytes of a file.
pub type Make = fn() -> Vec<u8>;

pub const FILES: [(&str, Make); 4] = [
    ("world-city.mmdb", city),
    ("world-asn.mmdb", asn),
    ("world-anonymous.mmdb", anonymous),
    ("world-flat.mmdb", flat),
];

fn header(database_type: &str, record_size: u16) -> Header<'_> {
    let description = Some("The invented world of walletwatch, for tests");
    Header { database_type, description, ip_version: 6, record_size, build_epoch: BUILD_EPOCH }
}

/// MaxMind's City schema, with fields around those that are read.
fn city() -> Vec<u8> {
    let mut writer = Writer::new(header("Walletwatch-World-City", 28));
    for row in rows() {
        let country = Value::Map(vec![("is_in_european_union", Value::Bool(false)), ("iso_code", row.country.into())]);
        let names = vec![("de", row.city.into()), ("en", row.city.into())];
        let location = vec![
            ("accuracy_radius", Value::U16(row.accuracy_km)),
            ("latitude", Value::Double(row.latitude)),
            ("longitude", Value::Double(row.longitude)),
        ];
        let record = Value::Map(vec![
            ("city", Value::Map(vec![("names", Value::Map(names))])),
            ("country", country.clone()),
            ("location", Value::Map(location)),
            ("registered_country", country),
            ("subdivisions", Value::Array(vec![Value::Map(vec![("iso_code", "1".into())])])),
        ]);
        writer.insert(row.range, &record);
    }
    writer.finish()
}

fn asn() -> Vec<u8> {
    let mut writer = Writer::new(header("Walletwatch-World-ASN", 24));
    for row in rows() {
        let record = Value::Map(vec![
            ("autonomous_system_number", Value::U32(row.asn)),
            ("autonomous_system_organization", row.carrier.into()),
        ]);
        writer.insert(row.range, &record);
    }
    writer.finish()
}

/// MaxMind's Anonymous-IP flags where there is one, else our own `network`.
fn anonymous() -> Vec<u8> {
    let mut writer = Writer::new(header("Walletwatch-World-Anonymous-IP", 32));
    for row in rows() {
        let flag = |name| Value::Map(vec![("is_anonymous", Value::Bool(true)), (name, Value::Bool(true))]);
        let record = match row.network {
            "tor" => flag("is_tor_exit_node"),
            "vpn" => flag("is_anonymous_vpn"),
            "hosting" => flag("is_hosting_provider"),
            "public_proxy" => flag("is_public_proxy"),
            "residential_proxy" => flag("is_residential_proxy"),
            other => Value::Map(vec![("network", other.into())]),
        };
        writer.insert(row.range, &record);
    }
    writer.finish()
}

/// ip-location-db's schema as its converter writes it: 24 bits, IPv4 only, no description, floats, empty texts.
fn flat() -> Vec<u8> {
    let mut writer = Writer::new(Header { description: None, ip_version: 4, ..header("city ipv4", 24) });
    for row in rows().iter().filter(|row| row.range.addr().is_ipv4() && ["CN", "HK"].contains(&row.country)) {
        let record = Value::Map(vec![
            ("city", row.city.into()),
            ("country_code", row.country.into()),
            ("latitude", Value::Float(row.latitude as f32)),
            ("longitude", Value::Float(row.longitude as f32)),
            ("postcode", "".into()),
            ("state1", "".into()),
            ("timezone", "".into()),
        ]);
        writer.insert(row.range, &record);
    }
    writer.finish()
}

#[test]
fn the_committed_databases_are_made_from_the_world() {
    let mut total_bytes = 0;
    for (name, make) in FILES {
        let made = make();
        total_bytes += made.len();
        if std::env::var_os("WRITE_GEO").is_some() {
            std::fs::write(path(name), &made).expect("a writable folder");
        }
        let committed = std::fs::read(path(name)).expect(name);
        assert!(made == committed, "{name} differs from what the world makes: run with WRITE_GEO=1");
    }
    assert!(total_bytes < 1 << 20, "{total_bytes} bytes");
}

/// The oracle: for every range, its first, a middle and its last address say what the table says.
#[test]
fn every_range_of_the_world_is_found_where_the_table_puts_it() {
    let paths = [path("world-city.mmdb"), path("world-asn.mmdb"), path("world-anonymous.mmdb")];
    let geo = walletwatch::geo::Databases::open(&paths).expect("good files");
    let rows = rows();
    assert!(rows.len() > 900);
    for row in &rows {
        let first = row.range.network();
        for ip in [first, middle(row.range), row.range.broadcast()] {
            let place = geo.lookup(ip);
            let told = (
                place.country.map(|c| c.code().to_owned()),
                place.city.as_deref(),
                place.point.map(|p| (p.latitude, p.longitude)),
                place.accuracy_km,
                place.asn,
                place.network.map(|n| n.to_string()),
            );
            let table = (
                Some(row.country.to_owned()),
                Some(row.city),
                Some((row.latitude, row.longitude)),
                Some(f64::from(row.accuracy_km)),
                Some(row.asn),
                Some(row.network.to_owned()),
            );
            assert_eq!(told, table, "{ip} of {}", row.range);
        }
    }
    assert!(geo.errors().all(|(_, errors)| errors == 0));
}

fn middle(range: IpNet) -> std::net::IpAddr {
    match range {
        IpNet::V4(r) => std::net::Ipv4Addr::from_bits(r.network().to_bits() | (!r.netmask().to_bits() >> 1)).into(),
        IpNet::V6(r) => std::net::Ipv6Addr::from_bits(r.network().to_bits() | (!r.netmask().to_bits() >> 1)).into(),
    }
}
