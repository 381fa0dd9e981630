//! Writes MMDB files, after <https://maxmind.github.io/MaxMind-DB/>: tree, data section with pointers, metadata.
//!
//! Guarantees: the same ranges and records in the same order give the same bytes. Repeated maps and texts are
//! pointers, as in the vendors' files. A test's tool: it panics on ranges that overlap and on numbers too large.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// A value of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Map(Vec<(&'static str, Value)>),
    Array(Vec<Value>),
    Text(String),
    Double(f64),
    Float(f32),
    U16(u16),
    U32(u32),
    U64(u64),
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

/// What the metadata says of a file.
pub struct Header<'a> {
    pub database_type: &'a str,
    pub description: Option<&'a str>,
    pub ip_version: u16,
    pub record_size: u16,
    pub build_epoch: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Child {
    Empty,
    Node(usize),
    Record(usize),
}

/// A file in the making.
pub struct Writer<'a> {
    header: Header<'a>,
    nodes: Vec<[Child; 2]>,
    data: Encoder,
}

impl<'a> Writer<'a> {
    pub fn new(header: Header<'a>) -> Self {
        Writer { header, nodes: vec![[Child::Empty; 2]], data: Encoder::default() }
    }

    /// Puts a record under a range.
    pub fn insert(&mut self, range: IpNet, record: &Value) {
        let (bits, length) = self.key(range);
        let record = Child::Record(self.data.record(record));
        let mut at = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                assert!(self.nodes[at][side] == Child::Empty, "{range} overlaps another range");
                self.nodes[at][side] = record;
                return;
            }
            at = match self.nodes[at][side] {
                Child::Node(next) => next,
                Child::Empty => {
                    self.nodes.push([Child::Empty; 2]);
                    self.nodes[at][side] = Child::Node(self.nodes.len() - 1);
                    self.nodes.len() - 1
                }
                Child::Record(_) => panic!("{range} lies in another range"),
            };
        }
    }

    /// The bits of a range from the left, and how many: IPv4 lies in an IPv6 tree under `::/96`.
    fn key(&self, range: IpNet) -> (u128, u8) {
        match (range.addr(), self.header.ip_version) {
            (IpAddr::V4(v4), 4) => (u128::from(v4.to_bits()) << 96, range.prefix_len()),
            (IpAddr::V4(v4), _) => (u128::from(v4.to_bits()), range.prefix_len() + 96),
            (IpAddr::V6(v6), 6) => (v6.to_bits(), range.prefix_len()),
            (IpAddr::V6(_), version) => panic!("{range} in a database of IPv{version}"),
        }
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        let node_count = self.nodes.len();
        let number = |child: Child| match child {
            Child::Empty => node_count,
            Child::Node(node) => node,
            Child::Record(offset) => node_count + 16 + offset,
        };
        let mut file = Vec::new();
        for [left, right] in &self.nodes {
            self.push_node(&mut file, number(*left), number(*right));
        }
        file.extend([0; 16]);
        file.extend(&self.data.out);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        let mut metadata = Encoder::default();
        metadata.plain(&self.metadata(node_count));
        file.extend(metadata.out);
        file
    }

    fn push_node(&self, file: &mut Vec<u8>, left: usize, right: usize) {
        let (left, right) = (u32::try_from(left).expect("small"), u32::try_from(right).expect("small"));
        assert!(u64::from(left.max(right)) < 1 << self.header.record_size, "a record of {left} and {right}");
        let ([l0, l1, l2, l3], [r0, r1, r2, r3]) = (left.to_be_bytes(), right.to_be_bytes());
        match self.header.record_size {
            24 => file.extend([l1, l2, l3, r1, r2, r3]),
            28 => file.extend([l1, l2, l3, l0 << 4 | r0, r1, r2, r3]),
            32 => file.extend([l0, l1, l2, l3, r0, r1, r2, r3]),
            other => panic!("record size {other}"),
        }
    }

    fn metadata(&self, node_count: usize) -> Value {
        let description = self.header.description.map(|text| ("en", text.into()));
        Value::Map(vec![
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(self.header.build_epoch)),
            ("database_type", self.header.database_type.into()),
            ("description", Value::Map(description.into_iter().collect())),
            ("ip_version", Value::U16(self.header.ip_version)),
            ("languages", Value::Array(vec!["en".into()])),
            ("node_count", Value::U32(u32::try_from(node_count).expect("small"))),
            ("record_size", Value::U16(self.header.record_size)),
        ])
    }
}

/// A data section: values one after another, repeated ones as pointers.
#[derive(Default)]
struct Encoder {
    out: Vec<u8>,
    /// Where a value, in its encoding without pointers, already stands.
    places: HashMap<Vec<u8>, usize>,
}

impl Encoder {
    /// Writes a record once and tells its place.
    fn record(&mut self, value: &Value) -> usize {
        let key = encoded(value);
        if let Some(&place) = self.places.get(&key) {
            return place;
        }
        let place = self.out.len();
        self.write(value);
        self.places.insert(key, place);
        place
    }

    fn write(&mut self, value: &Value) {
        /// A pointer takes 2 to 5 bytes: shorter texts are written again.
        const POINTED_BYTES_MIN: usize = 6;
        let repeatable = matches!(value, Value::Map(_) | Value::Text(_));
        let key = if repeatable { encoded(value) } else { Vec::new() };
        if key.len() >= POINTED_BYTES_MIN {
            if let Some(&place) = self.places.get(&key) {
                return self.pointer(place);
            }
            self.places.insert(key, self.out.len());
        }
        match value {
            Value::Map(entries) => {
                self.control(7, entries.len());
                for (key, value) in entries {
                    self.write(&(*key).into());
                    self.write(value);
                }
            }
            Value::Array(values) => {
                self.control(11, values.len());
                values.iter().for_each(|value| self.write(value));
            }
            leaf => self.leaf(leaf),
        }
    }

    /// Writes a value without pointers.
    fn plain(&mut self, value: &Value) {
        match value {
            Value::Map(entries) => {
                self.control(7, entries.len());
                for (key, value) in entries {
                    self.leaf(&(*key).into());
                    self.plain(value);
                }
            }
            Value::Array(values) => {
                self.control(11, values.len());
                values.iter().for_each(|value| self.plain(value));
            }
            leaf => self.leaf(leaf),
        }
    }

    fn leaf(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.bytes(2, text.as_bytes()),
            Value::Double(number) => self.bytes(3, &number.to_be_bytes()),
            Value::U16(number) => self.whole(5, u64::from(*number)),
            Value::U32(number) => self.whole(6, u64::from(*number)),
            Value::U64(number) => self.whole(9, *number),
            Value::Bool(truth) => self.control(14, usize::from(*truth)),
            Value::Float(number) => self.bytes(15, &number.to_be_bytes()),
            Value::Map(_) | Value::Array(_) => unreachable!("no leaf"),
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.control(kind, bytes.len());
        self.out.extend(bytes);
    }

    /// A whole number without its leading zero bytes.
    fn whole(&mut self, kind: u8, number: u64) {
        let bytes = number.to_be_bytes();
        self.bytes(kind, &bytes[(number.leading_zeros() / 8) as usize..]);
    }

    fn control(&mut self, kind: u8, size: usize) {
        let (low, rest): (u8, Vec<u8>) = match size {
            0..29 => (u8::try_from(size).expect("small"), vec![]),
            29..285 => (29, vec![u8::try_from(size - 29).expect("small")]),
            _ => (30, u16::try_from(size - 285).expect("small").to_be_bytes().to_vec()),
        };
        if kind <= 7 {
            self.out.push(kind << 5 | low);
        } else {
            self.out.extend([low, kind - 7]);
        }
        self.out.extend(rest);
    }

    fn pointer(&mut self, place: usize) {
        let place = u32::try_from(place).expect("small");
        match place {
            0..2048 => self.out.extend((0x2000 | place as u16).to_be_bytes()),
            2048..526_336 => {
                let [_, high, b, c] = (place - 2048).to_be_bytes();
                self.out.extend([0x28 | high, b, c]);
            }
            _ => {
                self.out.push(0x38);
                self.out.extend(place.to_be_bytes());
            }
        }
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.plain(value);
    encoder.out
}
