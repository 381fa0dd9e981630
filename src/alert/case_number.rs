//! The number people read out: `WW-7F3K-92D`.
//!
//! Guarantees: different counters give different numbers (30 bits); the order of the numbers tells nobody how
//! many cases there are; one wrong symbol, or two in each other's place, is noticed. Does not count.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Crockford's base 32: no I, L, O, U.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols that carry the number; the seventh checks them.
const DATA_SYMBOLS: u32 = 6;
/// The counter must be below this.
pub const CASES_MAX: u32 = 1 << (5 * DATA_SYMBOLS);
/// `7F3K92`.
const SAMPLE: u32 = 0x0ef1_cd22;
const HALF_BITS: u32 = 15;
const HALF_MASK: u32 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 4;

/// A case number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaseNumber(u32);

impl CaseNumber {
    /// The number of the `counter`-th case of the desk whose key is `key`; `None` from `CASES_MAX` on.
    pub fn of(counter: u32, key: &[u8; 16]) -> Option<Self> {
        (counter < CASES_MAX).then(|| CaseNumber(scramble(counter, key)))
    }

    /// The number of samples and documentation.
    pub fn sample() -> Self {
        CaseNumber(SAMPLE)
    }

    /// Reads a number as people write it: small letters, no dashes, O for 0, I or L for 1. `None` where the
    /// check symbol does not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let upper: String =
            text.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect::<String>().to_ascii_uppercase();
        // A number may itself begin with WW: only what is left tells whether the prefix was written.
        let rest = upper.strip_prefix("WW").filter(|rest| rest.len() > DATA_SYMBOLS as usize).unwrap_or(&upper);
        let symbols = rest.chars().map(value).collect::<Option<Vec<u8>>>()?;
        let (check, data) = symbols.split_last()?;
        if data.len() != DATA_SYMBOLS as usize || check_symbol(data) != *check {
            return None;
        }
        Some(CaseNumber(data.iter().fold(0, |all, s| (all << 5) | u32::from(*s))))
    }

    fn data(self) -> [u8; DATA_SYMBOLS as usize] {
        let mut rest = self.0;
        let mut data = [0; DATA_SYMBOLS as usize];
        for symbol in data.iter_mut().rev() {
            *symbol = (rest & 31) as u8;
            rest >>= 5;
        }
        data
    }
}

impl fmt::Display for CaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data();
        f.write_str("WW-")?;
        for (at, symbol) in data.iter().chain([&check_symbol(&data)]).enumerate() {
            if at == 4 {
                f.write_str("-")?;
            }
            write!(f, "{}", SYMBOLS.get(usize::from(*symbol)).map_or('?', |s| char::from(*s)))?;
        }
        Ok(())
    }
}

/// A four-round Feistel network over two halves of 15 bits: a permutation, whatever the key.
fn scramble(counter: u32, key: &[u8; 16]) -> u32 {
    let (mut left, mut right) = (counter >> HALF_BITS, counter & HALF_MASK);
    for round in 0..ROUNDS {
        let mut hasher = SipHasher13::new_with_key(key);
        hasher.write_u8(round);
        hasher.write_u32(right);
        let mixed = (hasher.finish() as u32) & HALF_MASK;
        (left, right) = (right, left ^ mixed);
    }
    (left << HALF_BITS) | right
}

fn value(c: char) -> Option<u8> {
    let c = match c {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = SYMBOLS.iter().position(|s| char::from(*s) == c)?;
    u8::try_from(at).ok()
}

/// A weighted sum in the field of 32 elements. The weights are different powers of a generator, so no change
/// of one symbol and no swap of two leaves it as it was.
fn check_symbol(data: &[u8]) -> u8 {
    data.iter()
        .rev()
        .fold((0, 1), |(sum, weight), s| {
            let weight = times_generator(weight);
            (sum ^ times(*s, weight), weight)
        })
        .0
}

fn times(a: u8, b: u8) -> u8 {
    let mut product = 0;
    let mut shifted = a;
    for bit in 0..5 {
        if b & (1 << bit) != 0 {
            product ^= shifted;
        }
        shifted = times_generator(shifted);
    }
    product
}

/// Times x, modulo the primitive polynomial x⁵ + x² + 1.
fn times_generator(a: u8) -> u8 {
    let doubled = a << 1;
    if doubled & 32 != 0 { (doubled ^ 0b10_0101) & 31 } else { doubled }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = *b"a key of a desk.";

    #[test]
    fn numbers_look_like_the_one_on_the_page() {
        let texts: Vec<String> =
            (1..4).map(|n| CaseNumber::of(n, &KEY).expect("below the limit").to_string()).collect();
        insta::assert_debug_snapshot!(texts);
    }

    #[test]
    fn no_two_counters_share_a_number() {
        let numbers: HashSet<_> = (0..100_000).map(|n| CaseNumber::of(n, &KEY)).collect();
        assert_eq!(numbers.len(), 100_000);
        assert_eq!(CaseNumber::of(CASES_MAX, &KEY), None);
    }

    #[test]
    fn a_number_that_begins_like_the_prefix_is_read_with_and_without_it() {
        let number = CaseNumber((28 << 25) | (28 << 20) | 7);
        let text = number.to_string();
        assert!(text.starts_with("WW-WW"), "{text}");
        for written in [&text, &text[3..], &text.replace('-', ""), &text[3..].replace('-', "")] {
            assert_eq!(CaseNumber::parse(written), Some(number), "{written}");
        }
    }

    proptest! {
        #[test]
        fn read_as_written(counter in 0..CASES_MAX) {
            let number = CaseNumber::of(counter, &KEY).expect("below the limit");
            prop_assert_eq!(CaseNumber::parse(&number.to_string()), Some(number));
            let spoken = number.to_string().to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            prop_assert_eq!(CaseNumber::parse(&spoken), Some(number));
        }

        #[test]
        fn a_slip_of_the_tongue_is_noticed(counter in 0..CASES_MAX, at in 0_usize..7, other in 0_usize..32, swap in 0_usize..7) {
            let text = CaseNumber::of(counter, &KEY).expect("below the limit").to_string();
            let mut symbols: Vec<char> = text[3..].chars().filter(|c| *c != '-').collect();
            let before = symbols.clone();
            symbols[at] = char::from(SYMBOLS[other]);
            prop_assert_eq!(CaseNumber::parse(&symbols.iter().collect::<String>()).is_some(), symbols == before);
            let mut swapped = before.clone();
            swapped.swap(at, swap);
            prop_assert_eq!(CaseNumber::parse(&swapped.iter().collect::<String>()).is_some(), swapped == before);
        }
    }
}
