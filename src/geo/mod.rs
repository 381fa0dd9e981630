//! What is known of an address, from MMDB files.
//!
//! Guarantees: what no file says is missing, never a default; a lookup never fails and never panics, errors are
//! counted per file; files are checked whole before they answer, and all that is wrong with them is told at once.
//! Parts are merged in the order of the files, the kind of network by the strength of its evidence (`network.rs`).
//! Distances are [`Point::distance_km`](crate::event::Point::distance_km), which rules use too. Fetches nothing.

mod check;
mod error;
pub mod network;
mod reader;
mod record;
mod schema;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use check::Census;
pub use error::{FILE_BYTES_MAX, OpenError};
pub use network::{Evidence, Kind};
pub use reader::{CACHE_RECORDS_MAX, Database};
pub use record::Known;
pub use schema::Schema;

use crate::event::{Place, Text};

/// Where one part of a place came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A database file.
    File(&'a Path),
    /// The table of autonomous systems compiled in.
    AsnTable,
}

/// A place with the source of each of its parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explained<'a> {
    /// The place, the same that [`Databases::lookup`] gives.
    pub place: Place<'a>,
    /// Whence the country.
    pub country: Option<Source<'a>>,
    /// Whence the city.
    pub city: Option<Source<'a>>,
    /// Whence the coordinates and their accuracy.
    pub point: Option<Source<'a>>,
    /// Whence the autonomous system.
    pub asn: Option<Source<'a>>,
    /// Whence the kind of network, and why.
    pub network: Option<(Source<'a>, Evidence)>,
}

/// The databases in force, in the order in which they are believed.
#[derive(Debug, Default)]
pub struct Databases {
    files: Vec<Database>,
}

impl Databases {
    /// Opens all files, or tells what is wrong with each that cannot be used. Takes seconds for 100 MB.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Databases, Vec<OpenError>> {
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match Database::open(path.as_ref()) {
                Ok(file) => files.push(file),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Databases { files }) } else { Err(errors) }
    }

    /// Databases at hand.
    pub fn new(files: Vec<Database>) -> Databases {
        Databases { files }
    }

    /// The files.
    pub fn files(&self) -> &[Database] {
        &self.files
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What is known of an address. Takes `&self` from any thread.
    pub fn lookup(&self, ip: IpAddr) -> Place<'_> {
        self.explain(ip).place
    }

    /// What is known of an address, and from which file each part came.
    ///
    /// City and coordinates are taken together with the country: a later file that puts the address into another
    /// country than the one found so far gives neither, as no place is better than one that does not exist.
    pub fn explain(&self, ip: IpAddr) -> Explained<'_> {
        let mut explained = Explained::default();
        let mut kind: Option<Kind> = None;
        for file in &self.files {
            let known = file.lookup(ip);
            let source = Source::File(file.path());
            explained.fill(&known, source);
            let better = Kind::stronger(kind, known.kind);
            if better != kind {
                explained.network = better.map(|k| (source, k.evidence));
                kind = better;
            }
        }
        let refined = Kind::with_asn(kind, explained.place.asn, ip.to_canonical().is_ipv6());
        if refined != kind {
            explained.network = refined.map(|k| (Source::AsnTable, k.evidence));
        }
        explained.place.network = refined.map(|k| k.network);
        explained
    }

    /// Lookups that failed, by file, since the files were opened.
    pub fn errors(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.files.iter().map(|file| (file.path(), file.errors()))
    }

    /// The date of the newest file, `YYYY-MM-DD`: the `versions.geo` of an alert.
    pub fn date(&self) -> Option<String> {
        self.files.iter().max_by_key(|file| file.build_epoch()).and_then(Database::date)
    }

    /// When the oldest file was made, seconds since 1970: what staleness is measured from.
    pub fn oldest_epoch(&self) -> Option<u64> {
        self.files.iter().map(Database::build_epoch).min()
    }

    /// The digest of all files in their order, `b3:` and 16 hexadecimal digits. `None` without files.
    pub fn digest(&self) -> Option<String> {
        if self.files.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for file in &self.files {
            hasher.update(file.digest().as_bytes());
        }
        let hex = hasher.finalize().to_hex();
        Some(format!("b3:{}", hex.get(..16).unwrap_or(&hex)))
    }

    /// The files' paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path().to_owned()).collect()
    }
}

impl<'a> Explained<'a> {
    /// Takes from `known` what is not known yet, but for the kind of network.
    fn fill(&mut self, known: &Known<'a>, source: Source<'a>) {
        let place = &mut self.place;
        let elsewhere = matches!((place.country, known.country), (Some(a), Some(b)) if a != b);
        if place.country.is_none() && known.country.is_some() {
            (place.country, self.country) = (known.country, Some(source));
        }
        if place.city.is_none() && known.city.is_some() && !elsewhere {
            (place.city, self.city) = (known.city.map(Text::Borrowed), Some(source));
        }
        if place.point.is_none() && known.point.is_some() && !elsewhere {
            (place.point, self.point) = (known.point, Some(source));
            place.accuracy_km = known.accuracy_km;
        }
        if place.asn.is_none() && known.asn.is_some() {
            (place.asn, self.asn) = (known.asn, Some(source));
        }
    }
}
