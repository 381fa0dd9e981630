//! Events, alerts and places in the words of the story.
//!
//! Guarantees: what is not known is left out; ids are shortened to their ends. English only: this is for whoever
//! tries walletwatch out, not for users, whose notices are templates.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::model::Model;
use crate::deliver::places::country_name;
use crate::detect::document::AlertDocument;
use crate::event::{Closed, Country, Event, EventType, Millis, Money, Network, Outcome};
use crate::geo::Databases;
use crate::ruleset::Action;

/// The invented wallet's own offset from UTC, hours.
const HOME_OFFSET_HOURS: i8 = 8;
const HOUR_MS: i64 = 3_600_000;
/// Characters that are shown of an id.
const ID_CHARS: usize = 6;

/// What an event says.
pub fn step(event: &Event<'_>, geo: &Databases) -> String {
    let what = match (event.kind, event.result) {
        (EventType::Login, Some(Outcome::Failure)) => {
            let reason = event.reason.map_or("failed", Closed::word).replace('_', " ");
            format!("login refused: {reason}")
        }
        (EventType::Login, _) => "login".to_owned(),
        (EventType::PayeeAdded, _) => format!("new payee {}", id(event.payee.as_deref())),
        (kind, _) => match &event.amount {
            Some(money) => {
                let to = event.payee.as_deref().or(event.merchant.as_deref());
                let to = to.map(|to| format!(" to {}", id(Some(to)))).unwrap_or_default();
                format!("{} of {}{to}", kind.word().replace('_', " "), amount(money))
            }
            None => kind.word().replace('_', " "),
        },
    };
    match event.kind {
        EventType::Login | EventType::Mfa | EventType::PasswordReset => match from(event, geo) {
            Some(from) => format!("{what} from {from}"),
            None => what,
        },
        _ => what,
    }
}

/// City, country and kind of network of an event's address.
fn from(event: &Event<'_>, geo: &Databases) -> Option<String> {
    let known = geo.lookup(event.ip?);
    let country = known.country;
    let place = place(known.city.as_deref(), country.as_ref().map(|country| country.code()))?;
    let network = known.network.filter(|network| !matches!(network, Network::Fixed)).map(Closed::word);
    Some(match network {
        Some(network) => format!("{place} ({})", network.replace('_', " ")),
        None => place,
    })
}

/// City and country, by the country's code.
pub fn place(city: Option<&str>, country: Option<&str>) -> Option<String> {
    let country = country.and_then(Country::parse).and_then(|country| country_name(country, "en"));
    match (city, country) {
        (Some(city), Some(country)) if city != country => Some(format!("{city}, {country}")),
        (city, country) => city.or(country).map(str::to_owned),
    }
}

/// `12,000.00 CNY`.
fn amount(money: &Money) -> String {
    let decimal = money.decimal();
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal.as_str(), ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole}{point}{fraction} {}", money.currency.code())
}

/// What an alert recommends, in words; nothing where it recommends nothing.
pub fn action(action: Action) -> Option<String> {
    let word = serde_json::to_value(action).ok()?.as_str()?.replace('_', " ");
    (word != "none").then_some(word)
}

/// What is sent before the day: three weeks, but far fewer events than a wallet has in them.
pub fn learning(model: &Model) -> String {
    let (events, days) = (thousands(model.setting.learning_records), model.setting.learning_days);
    format!("learning what is usual: {events} events of the {days} days before")
}

/// What the account's owner usually does.
pub fn usual(alert: &AlertDocument) -> Option<String> {
    let usual = &alert.usual;
    let mut parts = Vec::new();
    if !usual.countries.is_empty() {
        parts.push(usual.countries.join(", "));
    }
    if usual.devices > 0 {
        parts.push(count(u64::from(usual.devices), "device", "devices"));
    }
    if let Some([from, to]) = usual.hours {
        parts.push(format!("{from} to {to} h"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Where the owner was last seen before it.
pub fn last_seen(alert: &AlertDocument) -> Option<String> {
    let last = alert.geo.last_good.as_ref()?;
    let place = place(last.place.city.as_deref(), last.place.country.as_deref())?;
    let hours = Millis::parse(&alert.time)?.since(Millis::parse(&last.time)?) / HOUR_MS;
    Some(match hours {
        0 => format!("{place}, within the hour before"),
        1..48 => format!("{place}, {hours} h before"),
        _ => format!("{place}, {} days before", hours / 24),
    })
}

/// The name of an account for a headline.
pub fn whom(account: Option<&str>) -> String {
    account.map_or_else(|| "many accounts".to_owned(), |account| id(Some(account)))
}

/// The end of an id.
pub fn id(id: Option<&str>) -> String {
    let Some(id) = id else { return "unknown".to_owned() };
    let chars = id.chars().count();
    if chars <= ID_CHARS + 4 {
        return id.to_owned();
    }
    format!("…{}", id.chars().skip(chars - ID_CHARS).collect::<String>())
}

/// The time of day in the wallet's own zone.
pub fn clock(time: Millis) -> String {
    local(time, "%H:%M")
}

/// Day and time of day in the wallet's own zone.
pub fn day_and_clock(time: Millis) -> String {
    local(time, "%a %-d %b %H:%M")
}

fn local(time: Millis, format: &str) -> String {
    let zone = TimeZone::fixed(Offset::constant(HOME_OFFSET_HOURS));
    match Timestamp::from_millisecond(time.0) {
        Ok(time) => time.to_zoned(zone).strftime(format).to_string(),
        Err(_) => time.0.to_string(),
    }
}

/// A whole number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 mail`, `2 mails`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_are_short() {
        assert_eq!(id(Some("dev-0123456789ab")), "…6789ab");
        assert_eq!(id(Some("acc-1029")), "acc-1029");
        assert_eq!((thousands(999), thousands(1_234_567)), ("999".to_owned(), "1,234,567".to_owned()));
        assert_eq!(clock(Millis(0)), "08:00");
    }
}
