//! The event: what happened to an account, as the rest of the program sees it.
//!
//! Guarantees: a value of [`Event`] obeys the schema (required fields present, enums and amounts valid
//! for its type, fields of other types absent, empty text absent). Texts borrow from the record.
//! Does not read bytes (`decode.rs` does), does not know rules, and uses no other stage.

mod closed;
mod decode;
mod encode;
mod fields;
mod key;
pub mod mapping;
mod money;
mod place;
mod raw;
mod reject;
mod time;
mod value;

use std::borrow::Cow;
use std::net::IpAddr;

pub use closed::{
    Actor, Answer, Change, Channel, Closed, Connection, ContactField, EventType, Method, Network, Outcome, Reason,
    ReasonClass, Scope, ServiceState, SourceRisk, Stage, Status, Via,
};
pub use decode::{Decoded, Limits, decode};
pub use encode::encode;
pub use fields::{Field, FieldKind, IdKind, TypeSet};
pub use money::{AMOUNT_MINOR_UNITS_MAX, Currency, Money, MoneyError};
pub use place::{Country, EARTH_RADIUS_KM, Place, Point};
pub use raw::{Moment, Raw, RawAmount, RawAsn, RawContact, RawPlace};
pub use reject::{RejectReason, Rejection};
pub use time::{Millis, TIME_MS_MAX, TIME_MS_MIN};
pub use value::Value;

/// A text of an event: borrowed from its record where the record holds it unescaped.
pub type Text<'a> = Cow<'a, str>;

/// What may be told to the account's owner, and how. Personal: it leaves detection only on `wallet.contacts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact<'a> {
    /// Mail address.
    pub email: Option<Text<'a>>,
    /// Telephone number as the wallet writes it.
    pub phone: Option<Text<'a>>,
    /// BCP 47 tag, such as `zh-CN`.
    pub locale: Option<Text<'a>>,
    /// IANA zone, such as `Asia/Shanghai`.
    pub zone: Option<Text<'a>>,
    /// The phrase the user chose to recognise the wallet's own messages.
    pub anti_phishing: Option<Text<'a>>,
}

/// One event. Fields that its type does not have are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Unique for ever: what makes redelivery harmless.
    pub id: Text<'a>,
    /// What happened.
    pub kind: EventType,
    /// When it happened.
    pub time: Millis,
    /// The event stands for this many equal ones (≥ 1).
    pub count: u32,
    /// Whom it happened to.
    pub account: Option<Text<'a>>,
    /// What was typed where an account is asked for. Personal.
    pub login_name: Option<Text<'a>>,
    /// The address it came from.
    pub ip: Option<IpAddr>,
    /// The wallet's own stable device id.
    pub device: Option<Text<'a>>,
    /// The session.
    pub session: Option<Text<'a>>,
    /// The user agent header. Personal.
    pub user_agent: Option<Text<'a>>,
    /// The application or OAuth client signed in to.
    pub client: Option<Text<'a>>,
    /// Where the user acted.
    pub channel: Option<Channel>,
    /// What is known of the place: the event's own word, then the databases', part by part.
    pub geo: Place<'a>,
    /// The verdict of another system.
    pub source_risk: Option<SourceRisk>,
    /// Operating system.
    pub platform: Option<Text<'a>>,
    /// Version of the wallet's app.
    pub app_version: Option<Text<'a>>,
    /// How the device was connected.
    pub connection: Option<Connection>,
    /// The user's language.
    pub locale: Option<Text<'a>>,
    /// The user's IANA zone.
    pub zone: Option<Text<'a>>,
    /// How to reach the user, as of this event. Personal.
    pub contact: Option<Box<Contact<'a>>>,
    /// Outcome of a login or second factor.
    pub result: Option<Outcome>,
    /// Why a login failed.
    pub reason: Option<Reason>,
    /// How the user proved who they are.
    pub method: Option<Method>,
    /// Whether a second factor was part of a login.
    pub mfa: Option<bool>,
    /// Who acted, on logout, lock and report.
    pub by: Option<Actor>,
    /// How far a reset has come.
    pub stage: Option<Stage>,
    /// How the reset code travelled.
    pub via: Option<Via>,
    /// What changed.
    pub change: Option<Change>,
    /// Which contact changed.
    pub field: Option<ContactField>,
    /// The contact before the change. Personal.
    pub old: Option<Text<'a>>,
    /// Amount of money, or of a limit.
    pub amount: Option<Money>,
    /// How far the movement has come.
    pub status: Option<Status>,
    /// Who gets the money.
    pub payee: Option<Text<'a>>,
    /// Where the payee is.
    pub payee_country: Option<Country>,
    /// Balance before the movement, in the amount's currency.
    pub balance: Option<Money>,
    /// The merchant.
    pub merchant: Option<Text<'a>>,
    /// The merchant's category.
    pub merchant_category: Option<Text<'a>>,
    /// A case number or an event id.
    pub about: Option<Text<'a>>,
    /// What was said of it.
    pub answer: Option<Answer>,
    /// State of the service.
    pub state: Option<ServiceState>,
    /// Part of the service.
    pub scope: Option<Scope>,
    /// Until when the state is expected to last.
    pub until: Option<Millis>,
}

impl<'a> Event<'a> {
    /// An event with nothing but what every event has.
    pub fn new(id: impl Into<Text<'a>>, kind: EventType, time: Millis) -> Self {
        Event {
            id: id.into(),
            kind,
            time,
            count: 1,
            account: None,
            login_name: None,
            ip: None,
            device: None,
            session: None,
            user_agent: None,
            client: None,
            channel: None,
            geo: Place::default(),
            source_risk: None,
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
}
