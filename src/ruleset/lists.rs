//! Lists: named sets of accounts, addresses, networks, countries, devices and the like.
//!
//! Guarantees: an address list answers for prefixes; a lookup costs one hash probe for each length of prefix
//! the list has, whatever its size. Age never changes what a list answers. Does not read or watch files.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::codes;
use super::expr::{Ty, countries};
use crate::event::{IdKind, Millis};
use crate::report::{Problem, SourceFile, did_you_mean};

/// Entries of one list, at most.
pub const LIST_ENTRIES_MAX: usize = 1_000_000;
/// Size of one list file, at most, bytes.
pub const LIST_BYTES_MAX: usize = 64 << 20;
/// Length of one entry, at most, bytes: that of the longest id an event can have.
pub const LIST_ENTRY_BYTES_MAX: usize = 128;
/// Bad entries of one list after which no more are told.
const BAD_ENTRIES_TOLD_MAX: usize = 20;

/// The types a list can have, by the word in its file.
pub const LIST_TYPES: &[(&str, Ty)] = &[
    ("account", Ty::Id(IdKind::Account)),
    ("app_version", Ty::Text),
    ("asn", Ty::Asn),
    ("client", Ty::Id(IdKind::Client)),
    ("country", Ty::Country),
    ("device", Ty::Id(IdKind::Device)),
    ("ip", Ty::Ip),
    ("login_name", Ty::Id(IdKind::LoginName)),
    ("merchant", Ty::Id(IdKind::Merchant)),
    ("payee", Ty::Id(IdKind::Payee)),
    ("session", Ty::Id(IdKind::Session)),
    ("text", Ty::Text),
];

/// One list.
#[derive(Debug)]
pub struct ListSet {
    /// Its name.
    pub name: String,
    /// The type of its entries.
    pub ty: Ty,
    /// The entries as texts, for hashing at compile time; empty for numbers and addresses.
    pub texts: Vec<String>,
    /// Entries that are numbers: asns, countries.
    pub numbers: HashSet<u32, RandomState>,
    /// Entries that are address prefixes.
    pub prefixes: Prefixes,
    /// When its entries were last known to be right: when its file was written, or what a file of the shipped pack
    /// says ([`said_as_of`]).
    pub as_of: Option<Millis>,
    /// Whether it is compiled in: then nobody can renew it, and no load warns of its age.
    pub is_shipped: bool,
    /// After how long it is stale, ms.
    pub max_age_ms: i64,
}

/// Address prefixes, IPv4 as IPv6-mapped.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// For each length, longest first, the network parts that are listed.
    by_length: Vec<(u8, HashSet<u128, RandomState>)>,
}

impl Prefixes {
    /// Whether an address is in one of the prefixes.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.contains_bits(bits_of(ip))
    }

    /// The same for the address as IPv6 bits (IPv4 mapped), as a row holds it.
    pub fn contains_bits(&self, bits: u128) -> bool {
        self.by_length.iter().any(|(length, networks)| networks.contains(&network(bits, *length)))
    }

    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.by_length.iter().map(|(_, networks)| networks.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    fn insert(&mut self, bits: u128, length: u8) {
        let at = match self.by_length.binary_search_by(|(l, _)| length.cmp(l)) {
            Ok(at) => at,
            Err(at) => {
                self.by_length.insert(at, (length, HashSet::default()));
                at
            }
        };
        if let Some((_, networks)) = self.by_length.get_mut(at) {
            networks.insert(network(bits, length));
        }
    }
}

fn bits_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn network(bits: u128, length: u8) -> u128 {
    match length {
        0 => 0,
        length => bits & (u128::MAX << (128 - u32::from(length.min(128)))),
    }
}

/// An address or a prefix: its bits and the length of its network part.
fn parse_prefix(text: &str) -> Option<(u128, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => {
            let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            (address, Some(length.parse::<u8>().ok().filter(|_| digits)?))
        }
        None => (text, None),
    };
    let ip: IpAddr = address.parse().ok()?;
    let (whole, before) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
    let length = length.unwrap_or(whole);
    (length <= whole).then(|| (bits_of(ip), before + length))
}

/// An autonomous system: `AS9808`.
pub fn parse_asn(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"))?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl ListSet {
    /// A list without entries.
    pub fn new(name: impl Into<String>, ty: Ty) -> Self {
        ListSet {
            name: name.into(),
            ty,
            texts: Vec::new(),
            numbers: HashSet::default(),
            prefixes: Prefixes::default(),
            as_of: None,
            is_shipped: false,
            max_age_ms: 0,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.texts.len() + self.numbers.len() + self.prefixes.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry; the error says what such an entry looks like.
    pub fn insert(&mut self, entry: &str) -> Result<(), String> {
        match self.ty {
            Ty::Ip => {
                let (bits, length) = parse_prefix(entry).ok_or("an address or a prefix, such as `192.0.2.0/24`")?;
                self.prefixes.insert(bits, length);
            }
            Ty::Asn => {
                self.numbers.insert(parse_asn(entry).ok_or("an asn, such as `AS9808`")?);
            }
            Ty::Country => {
                let country = countries::parse(entry).map_err(|meant| {
                    format!("a country as its two letters of ISO 3166, such as `{}`", meant.unwrap_or("CN"))
                })?;
                self.numbers.insert(u32::from(country.number()));
            }
            _ if entry.is_empty() || entry.len() > LIST_ENTRY_BYTES_MAX => {
                return Err(format!("a text of 1 to {LIST_ENTRY_BYTES_MAX} bytes"));
            }
            _ => self.texts.push(entry.to_owned()),
        }
        Ok(())
    }

    /// Adds the entries of a list file, one a line; `#` begins a comment.
    pub fn read(&mut self, file: &Arc<SourceFile>, problems: &mut Vec<Problem>) {
        let mut line_start = 0;
        let mut bad = 0;
        for line in file.text.split_inclusive('\n') {
            let entry = line.split('#').next().unwrap_or("").trim();
            let start = line_start + line.find(entry).unwrap_or(0);
            line_start += line.len();
            if entry.is_empty() {
                continue;
            }
            if self.len() >= LIST_ENTRIES_MAX {
                let message = format!("a list has at most {LIST_ENTRIES_MAX} entries");
                problems.push(Problem::error(codes::LIMIT, file, start..start + entry.len(), message));
                return;
            }
            if let Err(wanted) = self.insert(entry) {
                bad += 1;
                if bad <= BAD_ENTRIES_TOLD_MAX {
                    problems.push(bad_entry(file, start..start + entry.len(), entry, &wanted));
                }
            }
        }
        if bad > BAD_ENTRIES_TOLD_MAX {
            let message = format!("and {} more entries that cannot be read", bad - BAD_ENTRIES_TOLD_MAX);
            problems.push(Problem::error(codes::LIST_ENTRY, file, file.text.len()..file.text.len(), message));
        }
    }
}

/// The moment of a line `# as of 2026-11-22` among the comments that a file begins with: its entries were right then.
pub fn said_as_of(text: &str) -> Option<Millis> {
    let comments = text.lines().map_while(|line| line.trim().strip_prefix('#'));
    let day = comments.into_iter().find_map(|comment| comment.trim().strip_prefix("as of "))?;
    Millis::parse(&format!("{}T00:00:00Z", day.split_whitespace().next()?))
}

/// What is said of an entry that is not of its list's type.
pub fn bad_entry(file: &Arc<SourceFile>, span: Range<usize>, entry: &str, wanted: &str) -> Problem {
    let shown: String = entry.chars().take(40).collect();
    Problem::error(codes::LIST_ENTRY, file, span, format!("`{shown}` is not {wanted}"))
}

/// The type of a list by its word, or the word that was meant.
pub fn list_type(word: &str) -> Result<Ty, Option<&'static str>> {
    let found = LIST_TYPES.iter().find(|(w, _)| *w == word).map(|(_, ty)| *ty);
    found.ok_or_else(|| did_you_mean(word, LIST_TYPES.iter().map(|(w, _)| *w)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(entries: &[&str]) -> Prefixes {
        let mut list = ListSet::new("l", Ty::Ip);
        entries.iter().for_each(|entry| list.insert(entry).expect("an address or a prefix"));
        list.prefixes
    }

    #[test]
    fn prefixes_of_both_families() {
        let listed = prefixes(&["192.0.2.66", "198.51.100.0/24", "2001:db8:1:1::/64", "2001:db8:1:2::5", "10.0.0.0/8"]);
        let has = |ip: &str| listed.contains(ip.parse().expect("an address"));
        assert!(has("192.0.2.66") && has("198.51.100.255") && has("2001:db8:1:1::ffff") && has("10.255.0.1"));
        assert!(!has("192.0.2.67") && !has("198.51.101.0") && !has("2001:db8:1:2::6") && !has("::1"));
        assert!(has("::ffff:192.0.2.66"), "an IPv4 address however it is written");
        assert!(prefixes(&["0.0.0.0/0"]).contains("203.0.113.9".parse().expect("an address")));
        assert!(!prefixes(&["0.0.0.0/0"]).contains("2001:db8::1".parse().expect("an address")));
        assert!(prefixes(&["::/0"]).contains("203.0.113.9".parse().expect("an address")));
    }

    #[test]
    fn what_is_no_entry() {
        for (ty, bad) in [
            (Ty::Ip, vec!["", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+8", "::1/129", "host", "1.2.3.4 5"]),
            (Ty::Asn, vec!["9808", "AS", "AS-1", "AS99999999999", "ASX"]),
            (Ty::Country, vec!["UK", "ZZ", "CHN", "", "中国"]),
            (Ty::Text, vec![""]),
        ] {
            for entry in bad {
                assert!(ListSet::new("l", ty).insert(entry).is_err(), "{ty:?} {entry:?}");
            }
        }
    }

    #[test]
    fn a_file_says_when_its_entries_were_right() {
        let day = Millis::parse("2026-11-22T00:00:00Z");
        assert!(day.is_some());
        assert_eq!(said_as_of("# exits\n#  as of 2026-11-22 \n192.0.2.1\n"), day);
        for text in ["", "192.0.2.1\n# as of 2026-11-22\n", "# as of yesterday\n", "# as of 2026-13-01\n", "#as of\n"] {
            assert_eq!(said_as_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_file_is_one_entry_a_line() {
        let text = "# feed of today\n192.0.2.66\n\n  2001:db8::/32   # a network\nnonsense # what\n1.2.3.4/40\r\n";
        let file = Arc::new(SourceFile { path: "rules/lists/bad.txt".to_owned(), text: text.to_owned() });
        let mut list = ListSet::new("bad", Ty::Ip);
        let mut problems = Vec::new();
        list.read(&file, &mut problems);
        assert_eq!(list.len(), 2);
        insta::assert_snapshot!(crate::report::render(&problems, false));
    }

    proptest! {
        #[test]
        fn the_same_answer_as_a_scan(
            listed in prop::collection::vec((any::<u32>(), 0u8..=32), 0..20), asked in any::<u32>(), near in any::<u8>(),
        ) {
            let entries: Vec<String> =
                listed.iter().map(|(ip, length)| format!("{}/{length}", std::net::Ipv4Addr::from(*ip))).collect();
            let prefixes = prefixes(&entries.iter().map(String::as_str).collect::<Vec<_>>());
            let asked = listed.first().map_or(asked, |(ip, _)| ip ^ u32::from(near));
            let scan = entries.iter().any(|e| {
                e.parse::<ipnet::Ipv4Net>().is_ok_and(|net| net.contains(&std::net::Ipv4Addr::from(asked)))
            });
            prop_assert_eq!(prefixes.contains(std::net::Ipv4Addr::from(asked).into()), scan);
        }
    }
}
