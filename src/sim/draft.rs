//! One event before it is bytes: numbers and words only, so that making one allocates nothing.
//!
//! Guarantees: what it writes is one line of JSON of the event schema; texts of its own need no escaping.
//! Does not check: the tests decode every line with the decoder.

use std::net::IpAddr;

use super::names::{Contact, Names, write_digits, write_hex, write_ip, write_minor, write_number, write_time};
use crate::event::{
    Actor, Answer, Change, Channel, Closed, Connection, ContactField, Country, EventType, Method, Millis, Outcome,
    Reason, Scope, ServiceState, Stage, Status, Via,
};

/// An amount in a currency of two decimals: minor units and code.
pub type Amount = (i64, &'static str);

/// The event. Ids are numbers; their text is made when it is written. Without a kind it is nothing yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft {
    /// What the id is made from; unique in a stream.
    pub serial: u64,
    pub kind: Option<EventType>,
    pub time: Millis,
    /// The event stands for so many.
    pub count: Option<u64>,
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

impl Draft {
    /// An event with nothing but its type and time.
    pub fn new(kind: EventType, time: Millis) -> Self {
        Draft { kind: Some(kind), time, ..Draft::default() }
    }

    /// Appends the event as JSON, without a line end.
    pub fn write(&self, names: &Names, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        names.id(self.serial, self.time, out);
        out.push(b'"');
        word(out, "type", self.kind);
        text(out, "time", Some(self.time), write_time);
        if let Some(count) = self.count {
            out.extend_from_slice(b",\"count\":");
            write_number(count, out);
        }
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
