//! What ordinary people do all day: logins, money, and now and then something about the account.
//!
//! Guarantees: about 40 % logins and 57 % money, 15 % of the logins fail, and nobody does by accident what a
//! rule looks for: people pay regular payees small amounts from the telephone they always had.
//! Does not decide when or how late a record is; what takes several events is told in `episodes`.

use super::draft::{Amount, Draft};
use super::episodes::Episode;
use super::names::Contact;
use super::people::{PAYEES, People, Person, Whereabouts, salt};
use super::random::{Random, choose, hash, scale};
use crate::event::{
    Actor, Channel, Connection, ContactField, EventType, Method, Millis, Outcome, Reason, Stage, Status, Via,
};

/// The busiest ranks pay small amounts: forty payments a day are coffee and buses.
pub const BUSY_RANKS: u64 = 300;
/// How often the least amount doubles at the most: for the busiest, and for all others.
const DOUBLINGS_MAX: [u32; 2] = [2, 6];
/// What an amount is divided by where the currency is worth more.
const DOLLAR: i64 = 7;
/// A login in so many carries the contact.
const CONTACT_IN: u64 = 25;
/// How often each thing is begun: a visit has about three events, a forgotten password eight. With first logins and
/// scenes this makes 390 logins of a thousand events, 59 of them failed, and 570 movements of money.
const ACTS: [(Act, u64); 10] = [
    (Act::Enter, 2500),
    (Act::Fail, 250),
    (Act::Pay, 5200),
    (Act::Account, 60),
    (Act::Play(Episode::Visit), 400),
    (Act::Play(Episode::Mistyped), 250),
    (Act::Play(Episode::SecondFactor), 50),
    (Act::Play(Episode::NewPayee), 20),
    (Act::Play(Episode::Forgotten), 10),
    (Act::Play(Episode::LockedOut), 3),
];

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Logs in.
    Enter,
    /// Tries to.
    Fail,
    /// Moves money.
    Pay,
    /// Changes something about the account, or ends the session.
    Account,
    /// Does something that takes several events.
    Play(Episode),
}

impl Act {
    /// What the next person does.
    pub fn draw(random: &mut Random) -> Act {
        let mut left = random.below(ACTS.iter().map(|(_, often)| often).sum());
        for (act, often) in ACTS {
            match left.checked_sub(often) {
                None => return act,
                Some(more) => left = more,
            }
        }
        Act::Pay
    }

    /// What somebody does at once where there is no time for the whole of it.
    pub fn single(self) -> Act {
        match self {
            Act::Play(Episode::Mistyped | Episode::Forgotten | Episode::LockedOut) => Act::Fail,
            Act::Play(Episode::Visit | Episode::SecondFactor | Episode::NewPayee) => Act::Enter,
            single => single,
        }
    }
}

/// The merchants' categories.
const CATEGORIES: [&str; 8] =
    ["grocery", "transport", "restaurant", "pharmacy", "games", "utilities", "clothing", "books"];
/// Phrases that users chose.
const PHRASES: [&str; 8] = [
    "蓝色的风筝",
    "老街的桂花糕",
    "七只白鹭",
    "外婆的茶壶",
    "blue kite",
    "paper lantern",
    "seven herons",
    "rainy tram",
];
/// What browsers say they are.
const BROWSERS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/143.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_2) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0",
];

/// The language a person reads, and where the clock on their wall stands.
pub fn contact(people: &People, person: &Person) -> Contact {
    let bits = people.hash(salt::PHRASE, person.number);
    let of = if person.locale == "zh-CN" { PHRASES.get(..4) } else { PHRASES.get(4..) };
    let phrase = choose(of.unwrap_or(&[]), bits.rotate_left(9)).copied().filter(|_| scale(bits, 10) < 3);
    let bits = people.hash(salt::PHONE, person.number);
    Contact { person: person.number, bits, locale: person.locale, zone: person.zone, phrase }
}

/// An event of a person on one of their devices, at an address.
pub fn act(people: &People, person: &Person, kind: EventType, which: u64, time: Millis, draw: u64) -> Draft {
    let at = people.whereabouts(person.number, time);
    let (ip, connection) = people.address(person, at, time, draw);
    let device = people.device(person.number, which);
    let hour = u64::try_from(time.0 / 3_600_000).unwrap_or(0);
    Draft {
        account: Some(person.number),
        ip: Some(ip),
        device: Some(device),
        session: Some(hash(device, salt::SESSION, hour)),
        connection: (kind == EventType::Login && connection == Connection::Cellular).then_some(connection),
        ..Draft::new(kind, time)
    }
}

/// A login, with what the app says of itself.
fn login_from(people: &People, person: &Person, which: u64, time: Millis, draw: u64) -> Draft {
    let event = act(people, person, EventType::Login, which, time, draw);
    let is_browser = which == 2;
    Draft {
        user_agent: if is_browser { choose(&BROWSERS, draw).copied() } else { None },
        platform: Some(if is_browser { "web" } else { person.platform }),
        app_version: (!is_browser).then_some(person.app_version),
        channel: Some(if is_browser { Channel::Web } else { Channel::App }),
        locale: Some(person.locale),
        zone: Some(person.zone),
        ..event
    }
}

/// A good login.
pub fn login_ok(people: &People, person: &Person, which: u64, time: Millis, draw: u64) -> Draft {
    let method = match scale(draw.rotate_left(19), 10) {
        0..5 => Method::Biometric,
        5..8 => Method::Password,
        8 => Method::Code,
        _ => Method::Passkey,
    };
    Draft {
        result: Some(Outcome::Success),
        method: Some(method),
        mfa: Some(scale(draw.rotate_left(27), 4) == 0),
        ..login_from(people, person, which, time, draw)
    }
}

/// A failed login.
pub fn login_bad(people: &People, person: &Person, which: u64, time: Millis, reason: Reason, draw: u64) -> Draft {
    Draft {
        result: Some(Outcome::Failure),
        reason: Some(reason),
        method: Some(Method::Password),
        ..login_from(people, person, which, time, draw)
    }
}

/// Money to a payee.
pub fn pay(
    people: &People,
    person: &Person,
    kind: EventType,
    time: Millis,
    amount: Amount,
    payee: u64,
    draw: u64,
) -> Draft {
    let more = i64::try_from(scale(draw.rotate_left(33), 2_000_000)).unwrap_or(0);
    Draft {
        amount: Some(amount),
        status: Some(Status::Completed),
        payee: Some(payee),
        balance: Some(amount.0.saturating_add(more)),
        ..act(people, person, kind, 0, time, draw)
    }
}

/// The currency a person pays in.
pub fn currency(person: &Person) -> &'static str {
    match person.zone {
        "Asia/Hong_Kong" => "HKD",
        zone if zone.starts_with("America/") => "USD",
        _ => "CNY",
    }
}

/// One ordinary event of a person at a moment, with an `index` that makes invented names unique.
pub fn ordinary(people: &People, person: &Person, what: Act, time: Millis, index: u64, random: &mut Random) -> Draft {
    match what.single() {
        Act::Enter | Act::Play(_) => login(people, person, time, random),
        Act::Fail => failure(people, person, time, index, random),
        Act::Pay => money(people, person, time, random),
        Act::Account => account(people, person, time, random),
    }
}

/// Which device a login comes from: mostly the telephone, always so on a journey.
pub fn which_device(people: &People, person: &Person, time: Millis, random: &mut Random) -> u64 {
    if person.devices == 1 || people.whereabouts(person.number, time) != Whereabouts::Home || !random.chance(150_000) {
        return 0;
    }
    1 + random.below(person.devices - 1)
}

fn login(people: &People, person: &Person, time: Millis, random: &mut Random) -> Draft {
    let which = which_device(people, person, time, random);
    let draw = random.bits();
    let mut event = login_ok(people, person, which, time, draw);
    if scale(draw.rotate_left(41), CONTACT_IN) == 0 {
        event.contact = Some(contact(people, person));
    }
    event
}

fn failure(people: &People, person: &Person, time: Millis, index: u64, random: &mut Random) -> Draft {
    let which = which_device(people, person, time, random);
    let draw = random.bits();
    let reason = match scale(draw.rotate_left(7), 100) {
        0..52 => Reason::WrongPassword,
        52..58 => Reason::MfaFailed,
        58..62 => Reason::BadCredentials,
        62..70 => Reason::UnknownAccount,
        70..82 => Reason::NetworkError,
        82..87 => Reason::AppOutdated,
        87..90 => Reason::AppError,
        90..94 => Reason::ServerError,
        94..97 => Reason::Timeout,
        97..99 => Reason::AccountLocked,
        _ => Reason::RateLimited,
    };
    let mut event = login_bad(people, person, which, time, reason, draw);
    if reason == Reason::UnknownAccount {
        event.account = None;
        event.login_name = Some(people.hash(salt::NAME, index));
    }
    event
}

/// Money on its way: mostly to regular payees and merchants, now and then cash and a top-up.
pub fn money(people: &People, person: &Person, time: Millis, random: &mut Random) -> Draft {
    let draw = random.bits();
    let kind = match scale(draw, 100) {
        0..42 => EventType::Transfer,
        42..88 => EventType::Payment,
        88..94 => EventType::Withdrawal,
        _ => EventType::TopUp,
    };
    let amount = amount(person, kind, random);
    let payee = people.payee(person.number, random.below(PAYEES));
    let mut event = pay(people, person, kind, time, (amount, currency(person)), payee, draw);
    event.status = Some(match scale(draw.rotate_left(13), 100) {
        0..94 => Status::Completed,
        94..98 => Status::Declined,
        _ => Status::Requested,
    });
    match kind {
        EventType::Payment => {
            (event.payee, event.balance) = (None, None);
            event.merchant = Some(scale(draw.rotate_left(21), 4000));
            event.merchant_category = choose(&CATEGORIES, draw.rotate_left(21)).copied();
        }
        EventType::Withdrawal | EventType::TopUp => event.payee = None,
        _ => {}
    }
    event
}

/// Most amounts are small, each doubling is half as likely: 5 to 100 or 1600 yuan. Minor units.
pub fn amount(person: &Person, kind: EventType, random: &mut Random) -> i64 {
    let [busy, other] = DOUBLINGS_MAX;
    let most = if person.number < BUSY_RANKS { busy } else { other };
    let minor = random.between(500, 2500) << random.bits().trailing_zeros().min(most);
    let (minor, note) = if currency(person) == "USD" { (minor / DOLLAR, 1000) } else { (minor, 5000) };
    // A machine gives whole notes.
    if matches!(kind, EventType::Withdrawal | EventType::TopUp) { (minor / note + 1) * note } else { minor }
}

/// Things that happen to an account now and then.
fn account(people: &People, person: &Person, time: Millis, random: &mut Random) -> Draft {
    let draw = random.bits();
    let event = |kind| act(people, person, kind, 0, time, draw);
    match random.below(100) {
        0..36 => Draft { by: Some(Actor::User), ..event(EventType::Logout) },
        36..62 => Draft { result: Some(Outcome::Sent), method: Some(Method::Sms), ..event(EventType::Mfa) },
        62..80 => Draft { result: Some(Outcome::Success), method: Some(Method::Totp), ..event(EventType::Mfa) },
        80..86 => Draft { stage: Some(Stage::Requested), via: Some(Via::Email), ..event(EventType::PasswordReset) },
        86..89 => event(EventType::PasswordChanged),
        89..94 => {
            Draft { payee: Some(people.payee(person.number, random.below(PAYEES))), ..event(EventType::PayeeAdded) }
        }
        94..97 => Draft { amount: Some((2_000_000, currency(person))), ..event(EventType::LimitChanged) },
        97..99 => event(EventType::DeviceBound),
        _ => {
            let now = contact(people, person);
            let before = Contact { bits: now.bits.rotate_left(5), ..now };
            let field = Some(ContactField::Phone);
            Draft { field, old: Some(before), contact: Some(now), ..event(EventType::ContactChanged) }
        }
    }
}
