//! One event before it is bytes: numbers and words only, so that making one allocates nothing.
//!
//! Guarantees: what it writes is one line of JSON of the event schema; texts of its own need no escaping.
//! Does not check: the tests decode every line with the decoder.

use std::io::Write;
use std::net::IpAddr;

use crate::event::{
    Actor, Answer, Change, Channel, Closed, Connection, ContactField, Country, EventType, Method, Millis, Outcome,
    Reason, Scope, ServiceState, Stage, Status, Via,
};

/// An amount in a currency of two decimals: minor units and code.
pub type Amount = (i64, &'static str);

/// The event. Ids are numbers; their text is made when it is written.
#[derive(Debug, Clone, Copy)]
pub struct Draft {
    /// What the id is made from; unique in a stream.
    pub serial: u64,
    pub kind: EventType,
    pub time: Millis,
    /// The number of the person.
    pub account: Option<u64>,
    pub login_name: Option<u64>,
    pub ip: Option<IpAddr>,
    pub device: Option<u64>,
    pub session: Option<u64>,
    pub user_agent: Option<&'static str>,
    pub channel: Option<Channel>,
    pub platform: Option<&'static str>,
    pub app_version: Option<&'static str>,
    pub connection: Option<Connection>,
    pub locale: Option<&'static str>,
    pub zone: Option<&'static str>,
    pub contact: Option<Contact>,
    pub result: Option<Outcome>,
    pub reason: Option<Reason>,
    pub method: Option<Method>,
    pub mfa: Option<bool>,
    pub by: Option<Actor>,
    pub stage: Option<Stage>,
    pub via: Option<Via>,
    pub change: Option<Change>,
    pub field: Option<ContactField>,
    /// The contact before a change, of this person.
    pub old: Option<Contact>,
    pub amount: Option<Amount>,
    pub status: Option<Status>,
    pub payee: Option<u64>,
    pub payee_country: Option<Country>,
    pub balance: Option<i64>,
    pub merchant: Option<u64>,
    pub merchant_category: Option<&'static str>,
    pub about: Option<u64>,
    pub answer: Option<Answer>,
    pub state: Option<ServiceState>,
    pub scope: Option<Scope>,
    pub until: Option<Millis>,
}

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

impl Draft {
    /// An event with nothing but its type and time.
    pub fn new(kind: EventType, time: Millis) -> Self {
        Draft {
            serial: 0,
            kind,
            time,
            account: None,
            login_name: None,
            ip: None,
            device: None,
            session: None,
            user_agent: None,
            channel: None,
            platform: None,
            app_version: None,
            connection: None,
            locale: None,
            zone: None,
            contact: None,
            result: None,
            reason: None,
            method: None,
            mfa: None,
            by: None,
            stage: None,
            via: None,
            change: None,
            field: None,
            old: None,
            amount: None,
            status: None,
            payee: None,
            payee_country: None,
            balance: None,
            merchant: None,
            merchant_category: None,
            about: None,
            answer: None,
            state: None,
            scope: None,
            until: None,
        }
    }

    /// Appends the event as JSON, without a line end.
    pub fn write(&self, names: &Names, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        names.id(self.serial, self.time, out);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(self.kind.word().as_bytes());
        out.extend_from_slice(b"\",\"time\":\"");
        write_time(self.time, out);
        out.push(b'"');
        self.write_common(names, out);
        self.write_access(out);
        self.write_money(out);
        self.write_rest(names, out);
        out.push(b'}');
    }

    fn write_common(&self, names: &Names, out: &mut Vec<u8>) {
        text(out, "account", self.account, |n, out| names.account(n, out));
        text(out, "login_name", self.login_name, |n, out| write_hex(b"ln-", n, out));
        text(out, "ip", self.ip, write_ip);
        text(out, "device", self.device, |n, out| write_hex(b"dev-", n, out));
        text(out, "session", self.session, |n, out| write_hex(b"s-", n, out));
        word(out, "channel", self.channel);
        plain(out, "user_agent", self.user_agent);
        plain(out, "platform", self.platform);
        plain(out, "app_version", self.app_version);
        word(out, "connection", self.connection);
        plain(out, "locale", self.locale);
        plain(out, "zone", self.zone);
        if let Some(contact) = &self.contact {
            out.extend_from_slice(b",\"contact\":{\"email\":\"");
            contact.email(names, out);
            out.extend_from_slice(b"\",\"phone\":\"");
            contact.phone(out);
            out.push(b'"');
            plain(out, "locale", Some(contact.locale));
            plain(out, "zone", Some(contact.zone));
            plain(out, "anti_phishing", contact.phrase);
            out.push(b'}');
        }
    }

    fn write_access(&self, out: &mut Vec<u8>) {
        word(out, "result", self.result);
        word(out, "reason", self.reason);
        word(out, "method", self.method);
        if let Some(mfa) = self.mfa {
            out.extend_from_slice(if mfa { b",\"mfa\":true" } else { b",\"mfa\":false" });
        }
        word(out, "by", self.by);
        word(out, "stage", self.stage);
        word(out, "via", self.via);
        word(out, "change", self.change);
    }

    fn write_money(&self, out: &mut Vec<u8>) {
        if let Some((minor, currency)) = self.amount {
            text(out, "amount", Some(minor), write_minor);
            plain(out, "currency", Some(currency));
        }
        word(out, "status", self.status);
        text(out, "payee", self.payee, |n, out| write_hex(b"p-", n, out));
        plain(out, "payee_country", self.payee_country.as_ref().map(Country::code));
        text(out, "balance", self.balance, write_minor);
        text(out, "merchant", self.merchant, |n, out| {
            out.extend_from_slice(b"m-");
            write_digits(n, 6, out);
        });
        plain(out, "merchant_category", self.merchant_category);
    }

    fn write_rest(&self, names: &Names, out: &mut Vec<u8>) {
        word(out, "field", self.field);
        text(out, "old", self.old, |old, out| match self.field {
            Some(ContactField::Phone) => old.phone(out),
            _ => old.email(names, out),
        });
        text(out, "about", self.about, |n, out| names.id(n, self.time, out));
        word(out, "answer", self.answer);
        word(out, "state", self.state);
        word(out, "scope", self.scope);
        text(out, "until", self.until, write_time);
    }
}

impl Contact {
    fn email(&self, names: &Names, out: &mut Vec<u8>) {
        out.push(b'u');
        write_digits(names.number(self.person), 10, out);
        out.push(b'@');
        out.extend_from_slice(names.mail_domain.as_bytes());
    }

    /// A number that nobody has: China gives no mobile numbers that begin with 11; +44 7700 900 000 to 999 and
    /// +1 … 555 01 00 to 99 are kept for fiction (Ofcom, NANPA).
    fn phone(&self, out: &mut Vec<u8>) {
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
        let salt = super::random::hash(self.seed, super::people::salt::EVENT, u64::MAX) & 0xffff;
        let unique = super::random::hash(self.seed, super::people::salt::EVENT, serial);
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

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
}

fn text<T>(out: &mut Vec<u8>, name: &str, value: Option<T>, write: impl FnOnce(T, &mut Vec<u8>)) {
    if let Some(value) = value {
        key(out, name);
        write(value, out);
        out.push(b'"');
    }
}

fn plain(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    text(out, name, value, |value, out| out.extend_from_slice(value.as_bytes()));
}

fn word<C: Closed>(out: &mut Vec<u8>, name: &str, value: Option<C>) {
    plain(out, name, value.map(Closed::word));
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

fn write_number(number: u64, out: &mut Vec<u8>) {
    let places = number.checked_ilog10().unwrap_or(0) as usize + 1;
    write_digits(number, places, out);
}

/// Minor units of a currency with two decimals.
fn write_minor(minor: i64, out: &mut Vec<u8>) {
    let minor = minor.unsigned_abs();
    write_number(minor / 100, out);
    out.push(b'.');
    write_digits(minor % 100, 2, out);
}

fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
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
