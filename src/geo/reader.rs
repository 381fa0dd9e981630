//! One MMDB file: opened, checked whole, recognised, asked.
//!
//! Guarantees: a file is read into memory, never mapped (a replaced file would kill the process); it is checked to
//! its last record before it answers; a lookup never panics, and an error is *nothing known* and counted.
//! Decoded records are kept in a bounded cache by their place in the file. Does not choose among several files.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use maxminddb::{MaxMindDbError, Reader};

use super::check::{self, Census};
use super::error::{FILE_BYTES_MAX, OpenError};
use super::network::Kind;
use super::record::{Known, Record};
use super::schema::Schema;
use crate::event::{Country, Point};

/// Decoded records kept per file; a slot has 80 bytes at most, so 1.3 MB.
pub const CACHE_RECORDS_MAX: usize = 16_384;
/// The bytes of a file, shared so that cached names can be found in them again.
#[derive(Debug, Clone)]
struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// One database file.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    bytes: Bytes,
    reader: Reader<Bytes>,
    schema: Schema,
    census: Census,
    digest: blake3::Hash,
    errors: AtomicU64,
    cache: Mutex<Vec<Slot>>,
}

/// A decoded record in the cache. The city is a range of the file's bytes, as nothing may borrow from its owner.
/// 32 bits are enough for places in a file of at most [`FILE_BYTES_MAX`].
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Place of the record in the data section, `u32::MAX` where the slot is free.
    offset: u32,
    city: Option<(u32, u32)>,
    country: Option<Country>,
    kind: Option<Kind>,
    asn: Option<u32>,
    point: Option<Point>,
    accuracy_km: Option<f64>,
}

const FREE: Slot =
    Slot { offset: u32::MAX, city: None, country: None, kind: None, asn: None, point: None, accuracy_km: None };

impl Database {
    /// Reads, checks and recognises a file. Takes seconds for one of 100 MB: on a thread that may wait.
    pub fn open(path: &Path) -> Result<Database, OpenError> {
        Self::from_bytes(path, read(path)?)
    }

    /// The same for bytes at hand; `path` is only what the file is called.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Database, OpenError> {
        let damaged = |detail: String| OpenError::Damaged { path: path.to_owned(), detail };
        if !check::has_metadata(&bytes) {
            return Err(OpenError::not_mmdb(path, &bytes));
        }
        let digest = blake3::hash(&bytes);
        let bytes = Bytes(Arc::new(bytes));
        let reader = Reader::from_source(bytes.clone()).map_err(|e| damaged(e.to_string()))?;
        let (schema, census) = check::check(path, &reader)?;
        Ok(Database {
            path: path.to_owned(),
            bytes,
            reader,
            schema,
            census,
            digest,
            errors: AtomicU64::new(0),
            cache: Mutex::new(vec![FREE; CACHE_RECORDS_MAX]),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of database it is.
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// What the whole check counted.
    pub fn census(&self) -> Census {
        self.census
    }

    /// The type its metadata names, such as `GeoLite2-City`.
    pub fn database_type(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// 4 or 6. An IPv6 database may hold IPv4 addresses too.
    pub fn ip_version(&self) -> u16 {
        self.reader.metadata().ip_version
    }

    /// When it was made, seconds since 1970.
    pub fn build_epoch(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// When it was made, as `YYYY-MM-DD` in UTC; `None` for a time no calendar has.
    pub fn date(&self) -> Option<String> {
        let second = i64::try_from(self.build_epoch()).ok()?;
        Some(jiff::Timestamp::from_second(second).ok()?.strftime("%Y-%m-%d").to_string())
    }

    /// BLAKE3 of the file.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> usize {
        self.bytes.0.len()
    }

    /// Lookups that failed since the file was opened. Each was answered with nothing known.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What the file says of an address. An address that stands in IPv6 as IPv4-mapped is looked up as IPv4.
    pub fn lookup(&self, ip: IpAddr) -> Known<'_> {
        match self.try_lookup(ip.to_canonical()) {
            Ok(known) => known,
            Err(_) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                Known::default()
            }
        }
    }

    fn try_lookup(&self, ip: IpAddr) -> Result<Known<'_>, MaxMindDbError> {
        if ip.is_ipv6() && self.ip_version() == 4 {
            return Ok(Known::default());
        }
        let found = self.reader.lookup(ip)?;
        let Some(offset) = found.offset() else { return Ok(Known::default()) };
        if let Some(known) = self.cached(offset) {
            return Ok(known);
        }
        let known = found.decode::<Record>()?.unwrap_or_default().known();
        self.keep(offset, &known);
        Ok(known)
    }

    fn cached(&self, offset: usize) -> Option<Known<'_>> {
        // Somebody else at the cache: decoding takes less time than waiting.
        let slot = *self.cache.try_lock().ok()?.get(slot_of(offset))?;
        if slot.offset as usize != offset {
            return None;
        }
        let city = match slot.city {
            Some((start, length)) => {
                let name = self.bytes.0.get(start as usize..)?.get(..length as usize)?;
                Some(std::str::from_utf8(name).ok()?)
            }
            None => None,
        };
        let Slot { country, point, accuracy_km, asn, kind, .. } = slot;
        Some(Known { country, city, point, accuracy_km, asn, kind })
    }

    fn keep(&self, offset: usize, known: &Known<'_>) {
        if let Some(kept) = self.slot(offset, known)
            && let Ok(mut cache) = self.cache.try_lock()
            && let Some(slot) = cache.get_mut(slot_of(offset))
        {
            *slot = kept;
        }
    }

    /// A record as the cache holds it; `None` where 32 bits are too few, which is then not kept.
    fn slot(&self, offset: usize, known: &Known<'_>) -> Option<Slot> {
        let Known { country, city, point, accuracy_km, asn, kind } = *known;
        let city = match city {
            Some(name) => {
                let start = name.as_ptr().addr().checked_sub(self.bytes.0.as_ptr().addr())?;
                Some((u32::try_from(start).ok()?, u32::try_from(name.len()).ok()?))
            }
            None => None,
        };
        let offset = u32::try_from(offset).ok()?;
        Some(Slot { offset, city, country, kind, asn, point, accuracy_km })
    }
}

/// The slot of a record. Neighbouring records are a few tens of bytes apart; the multiplication (by 2⁶⁴ over the
/// golden ratio, Knuth's multiplicative hash) spreads them.
fn slot_of(offset: usize) -> usize {
    ((offset as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % CACHE_RECORDS_MAX
}

fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    let path = || path.to_owned();
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => OpenError::Missing { path: path() },
        _ => OpenError::Unreadable { path: path(), source },
    };
    let file = std::fs::File::open(path()).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One more than the limit, so that a file at the limit is told from one beyond it.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(OpenError::TooLarge { path: path() }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use rand::{Rng, SeedableRng};

    /// Bytes of a file of the small world.
    fn world(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo").join(name)).unwrap()
    }

    /// A file that skipped the check, as memory that broke after it would.
    fn unchecked(bytes: Vec<u8>) -> Option<Database> {
        let bytes = Bytes(Arc::new(bytes));
        Some(Database {
            path: PathBuf::from("broken.mmdb"),
            reader: Reader::from_source(bytes.clone()).ok()?,
            bytes,
            schema: Schema::City,
            census: Census::default(),
            digest: blake3::hash(b""),
            errors: AtomicU64::new(0),
            cache: Mutex::new(vec![FREE; CACHE_RECORDS_MAX]),
        })
    }

    #[test]
    fn a_lookup_in_broken_bytes_is_missing_and_counted() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let good = world("world-city.mmdb");
        let truth = Database::from_bytes(Path::new("good.mmdb"), good.clone()).unwrap();
        let (mut errors, mut missing) = (0, 0);
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..8 {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= rng.random_range(1..=255_u8);
            }
            let Some(broken) = unchecked(bytes) else { continue };
            for _ in 0..50 {
                let ip = IpAddr::from((0xC612_0000 + rng.random_range(0..0x2_0000_u32)).to_be_bytes());
                let before = broken.errors();
                let known = broken.lookup(ip);
                if broken.errors() > before {
                    assert!(known.is_empty(), "{ip} failed and yet gave {known:?}");
                    errors += 1;
                }
                missing += u32::from(known.is_empty() && !truth.lookup(ip).is_empty());
            }
        }
        assert!(errors > 100, "{errors} errors");
        assert!(missing >= errors, "{missing} missing, {errors} errors");
        assert_eq!(truth.errors(), 0);
    }

    #[test]
    fn a_slot_is_as_small_as_the_limit_says() {
        assert!(size_of::<Slot>() <= 80, "{} bytes", size_of::<Slot>());
    }

    #[test]
    fn records_are_spread_over_the_cache() {
        let slots: HashSet<usize> = (0..2000).map(|n| slot_of(n * 37)).collect();
        assert!(slots.len() > 1400, "2000 records share {} slots", slots.len());
    }

    #[test]
    fn a_slot_taken_by_another_record_is_not_answered_from() {
        let file = Database::from_bytes(Path::new("city.mmdb"), world("world-city.mmdb")).unwrap();
        let mine = file.lookup(IpAddr::from([203, 0, 113, 9]));
        // Another record whose place in the file falls on the same slot.
        let offset = file.reader.lookup(IpAddr::from([203, 0, 113, 9])).unwrap().offset().unwrap();
        let other = (offset + 1..).find(|o| slot_of(*o) == slot_of(offset)).unwrap();
        file.keep(other, &Known { asn: Some(1), ..Known::default() });
        assert_eq!(file.lookup(IpAddr::from([203, 0, 113, 9])), mine);
    }

    #[test]
    fn a_folder_is_unreadable_and_nothing_is_missing() {
        assert!(matches!(Database::open(Path::new("/")), Err(OpenError::Unreadable { .. })));
        assert!(matches!(Database::open(Path::new("/nowhere/geo.mmdb")), Err(OpenError::Missing { .. })));
    }
}
