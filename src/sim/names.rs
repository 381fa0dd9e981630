//! What numbers look like as text: ids, contacts, times, amounts, addresses.
//!
//! Guarantees: no text needs escaping in JSON; telephone numbers and mail addresses are nobody's.

use std::io::Write;
use std::net::IpAddr;

use super::people::salt;
use super::random::hash;
use crate::event::Millis;

/// How to reach a person, as far as it is not made from their number.
#[derive(Debug, Clone, Copy)]
pub struct Contact {
    /// The person's number.
    pub person: u64,
    /// The number that telephone and phrase are made from.
    pub bits: u64,
    /// Language.
    pub locale: &'static str,
    /// Zone.
    pub zone: &'static str,
    /// The phrase that tells the wallet's own messages from others.
    pub phrase: Option<&'static str>,
}

/// What turns numbers into texts.
#[derive(Debug, Clone)]
pub struct Names {
    /// Makes ids of different seeds differ.
    pub seed: u64,
    /// The domain of the users' mail addresses.
    pub mail_domain: String,
}

impl Contact {
    /// The mail address, by the account's number.
    pub fn email(&self, names: &Names, out: &mut Vec<u8>) {
        out.push(b'u');
        write_digits(names.number(self.person), 10, out);
        out.push(b'@');
        out.extend_from_slice(names.mail_domain.as_bytes());
    }

    /// A number that nobody has: China gives no mobile numbers that begin with 11; +44 7700 900 000 to 999 and
    /// +1 … 555 01 00 to 99 are kept for fiction (Ofcom, NANPA).
    pub fn phone(&self, out: &mut Vec<u8>) {
        match self.zone {
            zone if zone.starts_with("America/") => {
                out.extend_from_slice(b"+120255501");
                write_digits(self.bits % 100, 2, out);
            }
            zone if zone.starts_with("Europe/") => {
                out.extend_from_slice(b"+447700900");
                write_digits(self.bits % 1000, 3, out);
            }
            _ => {
                out.extend_from_slice(b"+8611");
                write_digits(self.bits % 1_000_000_000, 9, out);
            }
        }
    }
}

impl Names {
    /// The account's own number: the rank scrambled, so that it says nothing of how busy the person is.
    fn number(&self, person: u64) -> u64 {
        // An odd factor is a bijection of 32 bits.
        person.wrapping_mul(2_654_435_761).wrapping_add(self.seed) & 0xffff_ffff
    }

    /// The account id of a person, `acc-` and ten digits.
    pub fn account(&self, person: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"acc-");
        write_digits(self.number(person), 10, out);
    }

    /// An event's id in the form of a ULID: time, then bits that are a bijection of the serial number.
    pub fn id(&self, serial: u64, time: Millis, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let time = u64::try_from(time.0).unwrap_or(0) & 0xffff_ffff_ffff;
        let salt = hash(self.seed, salt::EVENT, u64::MAX) & 0xffff;
        let unique = hash(self.seed, salt::EVENT, serial);
        let value = (u128::from(time) << 80) | (u128::from(salt) << 64) | u128::from(unique);
        for place in (0..26u32).rev() {
            out.push(DIGITS[(value >> (5 * place)) as usize & 31]);
        }
    }

    /// A text that one of the writers makes.
    pub fn text(&self, write: impl FnOnce(&Self, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(self, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Exactly `places` decimal digits of a number.
pub fn write_digits(mut number: u64, places: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + places, b'0');
    for digit in out.iter_mut().skip(at).rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A prefix and 12 hexadecimal digits: enough that a million devices differ.
pub fn write_hex(prefix: &[u8], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    for place in (0..12u32).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]);
    }
}

/// A whole number.
pub fn write_number(number: u64, out: &mut Vec<u8>) {
    let places = number.checked_ilog10().unwrap_or(0) as usize + 1;
    write_digits(number, places, out);
}

/// Minor units of a currency with two decimals.
pub fn write_minor(minor: i64, out: &mut Vec<u8>) {
    let minor = minor.unsigned_abs();
    write_number(minor / 100, out);
    out.push(b'.');
    write_digits(minor % 100, 2, out);
}

/// An address.
pub fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_number(u64::from(octet), out);
            }
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(ip) => write!(out, "{ip}").unwrap_or(()),
    }
}

/// RFC 3339 in UTC with milliseconds.
pub fn write_time(time: Millis, out: &mut Vec<u8>) {
    let day = time.0.div_euclid(86_400_000);
    let within = time.0.rem_euclid(86_400_000).unsigned_abs();
    // The civil calendar from days since 1970 (Howard Hinnant's algorithm), years 0 to 9999.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    write_digits(year.unsigned_abs(), 4, out);
    for (mark, value, places) in [
        (b'-', month.unsigned_abs(), 2),
        (b'-', day_of_month.unsigned_abs(), 2),
        (b'T', within / 3_600_000, 2),
        (b':', within / 60_000 % 60, 2),
        (b':', within / 1000 % 60, 2),
        (b'.', within % 1000, 3),
    ] {
        out.push(mark);
        write_digits(value, places, out);
    }
    out.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_event_stage_writes_them() {
        for ms in [0, 951_782_399_999, 951_782_400_000, 1_709_164_800_000, 1_767_571_200_001, 4_102_444_799_999] {
            let mut out = Vec::new();
            write_time(Millis(ms), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), Millis(ms).rfc3339());
        }
    }

    #[test]
    fn ids_differ_and_amounts_have_two_decimals() {
        let names = Names { seed: 1, mail_domain: "wallet.example".into() };
        let id = |serial| names.text(|n, out| n.id(serial, Millis(1_767_571_200_001), out));
        assert_eq!(id(1).len(), 26);
        assert_ne!(id(1), id(2));
        assert_eq!(id(1)[..10], id(2)[..10]);
        let minor = |m| names.text(|_, out| write_minor(m, out));
        assert_eq!([minor(0), minor(5), minor(123_456)], ["0.00", "0.05", "1234.56"]);
    }
}
