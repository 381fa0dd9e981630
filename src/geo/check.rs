//! The whole check of a file before it answers: search tree, every record, schema.
//!
//! Guarantees: a file that passes has no range and no record that cannot be read; a tree that leads back into
//! itself ends the check, not the program. Does not read files.

use std::collections::HashSet;
use std::path::Path;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use super::error::OpenError;
use super::record::{Known, Record};
use super::schema::{Fields, Schema};

/// Names of fields a message lists.
const FIELDS_NAMED_MAX: usize = 12;

/// What a whole check counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Census {
    /// Ranges of IPv4 addresses with a record.
    pub ranges_ipv4: u64,
    /// Ranges of IPv6 addresses with a record.
    pub ranges_ipv6: u64,
    /// Distinct records.
    pub records: u64,
    /// Records that say nothing that is read.
    pub records_empty: u64,
    /// Records with a country.
    pub countries: u64,
    /// Records with a city.
    pub cities: u64,
    /// Records with coordinates.
    pub points: u64,
    /// Records with an autonomous system.
    pub asns: u64,
    /// Records with a kind of network.
    pub kinds: u64,
}

/// Whether the bytes end as an MMDB file does.
pub(super) fn has_metadata(bytes: &[u8]) -> bool {
    memchr::memmem::rfind(bytes, b"\xab\xcd\xefMaxMind.com").is_some()
}

/// Checks every range and every record, and tells the schema.
pub(super) fn check<S: AsRef<[u8]>>(path: &Path, reader: &Reader<S>) -> Result<(Schema, Census), OpenError> {
    let damaged = |e: MaxMindDbError| OpenError::Damaged { path: path.to_owned(), detail: e.to_string() };
    if !reader.metadata().description.is_empty() {
        // It refuses an empty description, which ip-location-db's files have. The rest of it is checked below too.
        reader.verify().map_err(damaged)?;
    }
    let seen = examine(reader).map_err(damaged)?;
    let readable = seen.census.records > seen.census.records_empty;
    match Schema::recognise(&seen.fields) {
        Some(_) if let Some(odd) = seen.odd => Err(damaged(odd)),
        Some(schema) if readable => Ok((schema, seen.census)),
        _ => Err(OpenError::UnknownSchema {
            path: path.to_owned(),
            database_type: reader.metadata().database_type.clone(),
            found: seen.fields.names(FIELDS_NAMED_MAX),
        }),
    }
}

/// What all records of a file hold together.
#[derive(Default)]
struct Seen<'r> {
    fields: Fields<'r>,
    census: Census,
    /// The first record that is sound but does not fit what is read.
    odd: Option<MaxMindDbError>,
}

fn examine<S: AsRef<[u8]>>(reader: &Reader<S>) -> Result<Seen<'_>, MaxMindDbError> {
    let mut seen = Seen::default();
    let mut offsets = HashSet::new();
    // A tree of N nodes has at most N + 1 leaves; many more mean that branches lead back into the tree.
    let leaves_max = u64::from(reader.metadata().node_count).saturating_mul(3);
    let mut leaves = 0_u64;
    for found in reader.networks(WithinOptions::default().include_networks_without_data())? {
        let found = found?;
        leaves += 1;
        if leaves > leaves_max {
            return Err(MaxMindDbError::invalid_database("the search tree leads back into itself"));
        }
        let Some(offset) = found.offset() else { continue };
        if found.network()?.is_ipv4() {
            seen.census.ranges_ipv4 += 1;
        } else {
            seen.census.ranges_ipv6 += 1;
        }
        if !offsets.insert(offset) {
            continue;
        }
        seen.fields.extend(found.decode::<Fields>()?.unwrap_or_default());
        match found.decode::<Record>() {
            Ok(record) => seen.census.count(&record.unwrap_or_default().known()),
            Err(odd) => seen.odd = seen.odd.or(Some(odd)),
        }
    }
    Ok(seen)
}

impl Census {
    fn count(&mut self, known: &Known<'_>) {
        self.records += 1;
        self.records_empty += u64::from(known.is_empty());
        self.countries += u64::from(known.country.is_some());
        self.cities += u64::from(known.city.is_some());
        self.points += u64::from(known.point.is_some());
        self.asns += u64::from(known.asn.is_some());
        self.kinds += u64::from(known.kind.is_some());
    }
}
