//! What a notice can say: the facts of an alert, as texts in the user's language.
//!
//! Guarantees: a fact that is not known is absent, never guessed; what came from an event or a contact is
//! cleaned; no rule, score or address is among them. Does not choose the words around them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::clean;
use super::places::country_name;
use super::samples;
use crate::alert::Order;
use crate::detect::document::AlertDocument;
use crate::event::{Country, Currency, Money};

/// Longest texts of others that a notice shows, characters.
const CITY_CHARS_MAX: usize = 32;
const PHRASE_CHARS_MAX: usize = 24;
const BRIEF_PHRASE_CHARS_MAX: usize = 12;
const ZONE_CHARS_MAX: usize = 64;

/// The facts. Templates see each field by its name; absent ones are `none`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What happened.
    pub happened: Happened,
    /// `requested`, `completed` or `declined`: how far a movement of money has come.
    pub status: Option<&'static str>,
    /// When, with year and offset from UTC.
    pub when: Option<String>,
    /// When, for an SMS.
    pub when_short: Option<String>,
    /// City and country.
    pub place: Option<String>,
    /// Country alone.
    pub country: Option<String>,
    /// Kind of device.
    pub platform: Option<&'static str>,
    /// The end of the device's id, where its kind is not known.
    pub device: Option<String>,
    /// How much.
    pub amount: Option<String>,
    /// To whom: the end of the id.
    pub payee: Option<String>,
    /// The case number.
    pub case: String,
    /// The phrase the user chose.
    pub phrase: Option<String>,
    /// What users call the wallet.
    pub wallet: Option<String>,
    /// Leave out what can be left out: the SMS did not fit.
    pub brief: bool,
}

/// What happened, as far as the words of a notice differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum Happened {
    Login,
    LoginFailed,
    /// The password was right, the second factor was not.
    PasswordKnown,
    /// A second factor was not passed; of the password nothing is known.
    SecondFactorFailed,
    Transfer,
    Payment,
    Withdrawal,
    TopUp,
    Other,
}

impl Facts {
    /// The facts of a notice in a language.
    pub fn of(order: &Order<'_>, locale: &str, wallet: Option<&str>) -> Self {
        let Order { alert, contact, .. } = order;
        let time = alert.time.parse::<Timestamp>().ok();
        let zone = zone(contact.and_then(|c| c.zone.as_deref()), text(alert, "zone"));
        let country = alert.geo.country.as_deref().and_then(Country::parse);
        let country = country.and_then(|c| country_name(c, locale)).map(str::to_owned);
        let city = alert.geo.city.as_deref().and_then(|c| clean::value(c, CITY_CHARS_MAX));
        Facts {
            happened: happened(alert),
            status: text(alert, "status").and_then(|s| STATUSES.into_iter().find(|known| *known == s)),
            when: time.map(|t| when(t, &zone, locale)),
            when_short: time.map(|t| when_short(t, &zone, locale)),
            place: place(city, country.clone(), locale),
            country,
            platform: text(alert, "platform").and_then(|p| platform(p, locale)),
            device: text(alert, "device").and_then(|d| device(d, text(alert, "platform"), locale)),
            amount: amount(&alert.event, locale),
            payee: text(alert, "payee").or(text(alert, "merchant")).and_then(|p| payee(p, locale)),
            case: order.case.to_string(),
            phrase: contact.and_then(|c| clean::value(c.anti_phishing.as_deref()?, PHRASE_CHARS_MAX)),
            wallet: wallet.map(str::to_owned),
            brief: false,
        }
    }

    /// What the facts are called in templates.
    pub fn names() -> &'static [String] {
        static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
            let sample = samples::all().into_iter().next();
            let facts = sample.and_then(|s| serde_json::to_value(Facts::of(&s.order(), "en", None)).ok());
            facts.as_ref().and_then(|facts| facts.as_object()).into_iter().flat_map(|f| f.keys().cloned()).collect()
        });
        &NAMES
    }

    /// The same without any text that somebody else wrote.
    #[must_use]
    pub fn without_outside_texts(mut self) -> Self {
        self.place = self.country.clone();
        self.device = None;
        self.payee = None;
        self.phrase = None;
        self
    }

    /// The same for an SMS that did not fit: `brief` is set and the phrase keeps only its beginning.
    #[must_use]
    pub fn in_brief(mut self) -> Self {
        self.phrase = self.phrase.and_then(|p| clean::line(&p, BRIEF_PHRASE_CHARS_MAX));
        self.brief = true;
        self
    }

    /// The values made here from numbers and clocks: they may hold many digits.
    pub fn trusted(&self) -> Vec<&str> {
        let optional = [&self.when, &self.when_short, &self.amount].into_iter().flatten();
        optional.chain([&self.case]).map(String::as_str).collect()
    }
}

const STATUSES: [&str; 3] = ["requested", "completed", "declined"];

fn payee(id: &str, locale: &str) -> Option<String> {
    let end = ends_in(&clean::id_end(id)?, locale);
    Some(if language(locale) == "en" { format!("an account {end}") } else { end })
}

/// The end of a device's id tells nobody anything where the kind of device is known.
fn device(id: &str, platform_word: Option<&str>, locale: &str) -> Option<String> {
    let is_known = platform_word.and_then(|p| platform(p, locale)).is_some();
    clean::id_end(id).filter(|_| !is_known).map(|end| ends_in(&end, locale))
}

fn ends_in(last: &str, locale: &str) -> String {
    match language(locale) {
        "zh" => format!("尾号 {last}"),
        "en" => format!("ending in {last}"),
        _ => format!("…{last}"),
    }
}

fn text<'a>(alert: &'a AlertDocument, field: &str) -> Option<&'a str> {
    alert.event.get(field).and_then(serde_json::Value::as_str)
}

fn happened(alert: &AlertDocument) -> Happened {
    match (text(alert, "type"), text(alert, "result")) {
        (Some("login"), Some("failure")) if text(alert, "reason") == Some("mfa_failed") => Happened::PasswordKnown,
        (Some("mfa"), Some("failure" | "denied" | "timeout")) => Happened::SecondFactorFailed,
        (Some("login"), Some("failure")) => Happened::LoginFailed,
        (Some("login"), _) => Happened::Login,
        (Some("transfer"), _) => Happened::Transfer,
        (Some("payment"), _) => Happened::Payment,
        (Some("withdrawal"), _) => Happened::Withdrawal,
        (Some("top_up"), _) => Happened::TopUp,
        _ => Happened::Other,
    }
}

/// The user's zone, else the event's, else UTC.
fn zone(of_contact: Option<&str>, of_event: Option<&str>) -> TimeZone {
    let known = |name: &str| if name.len() <= ZONE_CHARS_MAX { TimeZone::get(name).ok() } else { None };
    of_contact.and_then(known).or_else(|| of_event.and_then(known)).unwrap_or(TimeZone::UTC)
}

fn when(time: Timestamp, zone: &TimeZone, locale: &str) -> String {
    let local = time.to_zoned(zone.clone());
    let offset = offset(local.offset().seconds());
    let (year, month, day) = (local.year(), local.month(), local.day());
    let clock = format!("{:02}:{:02}", local.hour(), local.minute());
    match language(locale) {
        "zh" => format!("{year}年{month}月{day}日 {clock}（{offset}）"),
        "en" => format!("{day} {} {year}, {clock} ({offset})", month_name(month)),
        _ => format!("{year:04}-{month:02}-{day:02} {clock} ({offset})"),
    }
}

fn when_short(time: Timestamp, zone: &TimeZone, locale: &str) -> String {
    let local = time.to_zoned(zone.clone());
    let (month, day) = (local.month(), local.day());
    let clock = format!("{:02}:{:02}", local.hour(), local.minute());
    match language(locale) {
        "zh" => format!("{month}月{day}日{clock}"),
        "en" => format!("{day} {} {clock}", month_name(month).get(..3).unwrap_or_default()),
        _ => format!("{month:02}-{day:02} {clock}"),
    }
}

fn language(locale: &str) -> &str {
    locale.split('-').next().unwrap_or(locale)
}

fn month_name(month: i8) -> &'static str {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    usize::try_from(month).ok().and_then(|m| MONTHS.get(m.checked_sub(1)?)).copied().unwrap_or_default()
}

/// `UTC+8`, `UTC-3:30`, `UTC`.
fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, rest) => format!("UTC{sign}{hours}:{rest:02}"),
    }
}

fn place(city: Option<String>, country: Option<String>, locale: &str) -> Option<String> {
    match (city, country) {
        // Singapore, Monaco: once is enough.
        (Some(city), Some(country)) if city == country => Some(country),
        (Some(city), Some(country)) if language(locale) == "zh" => Some(format!("{country} {city}")),
        (Some(city), Some(country)) => Some(format!("{city}, {country}")),
        (city, country) => city.or(country),
    }
}

/// The kinds of device people know by name; others are better left out than shown as a source spells them.
fn platform(word: &str, locale: &str) -> Option<&'static str> {
    let (english, chinese) = match word.to_ascii_lowercase().as_str() {
        "ios" | "iphone" | "ipados" => ("iPhone or iPad", "苹果手机或平板"),
        "android" => ("Android phone or tablet", "安卓手机或平板"),
        "harmonyos" => ("HarmonyOS phone or tablet", "鸿蒙手机或平板"),
        "web" | "browser" => ("web browser", "网页浏览器"),
        "windows" => ("Windows computer", "Windows 电脑"),
        "macos" | "mac" => ("Mac", "Mac 电脑"),
        "linux" => ("Linux computer", "Linux 电脑"),
        _ => return None,
    };
    Some(if language(locale) == "zh" { chinese } else { english })
}

/// `12,000.00 CNY`; in Chinese, yuan are called 元.
fn amount(event: &BTreeMap<String, serde_json::Value>, locale: &str) -> Option<String> {
    let number = match event.get("amount")? {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let code = event.get("currency").and_then(serde_json::Value::as_str);
    let (number, code) = match (code, number.split_once(' ')) {
        (None, Some((number, code))) => (number.to_owned(), code.to_owned()),
        (code, _) => (number, code?.to_owned()),
    };
    let money = Money::parse(&number, Currency::parse(&code)?).ok()?;
    let grouped = grouped(&money.decimal());
    let is_yuan = language(locale) == "zh" && code == "CNY";
    Some(if is_yuan { format!("{grouped} 元") } else { format!("{grouped} {code}") })
}

fn grouped(decimal: &str) -> String {
    let (whole, fraction) = decimal.split_once('.').map_or((decimal, None), |(w, f)| (w, Some(f)));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_and_say_so() {
        let time: Timestamp = "2026-11-22T03:09:00Z".parse().expect("a time");
        let told = |contact, event, locale| when(time, &zone(contact, event), locale);
        assert_eq!(told(Some("Asia/Shanghai"), None, "zh-CN"), "2026年11月22日 11:09（UTC+8）");
        assert_eq!(told(None, Some("America/St_Johns"), "en"), "21 November 2026, 23:39 (UTC-3:30)");
        assert_eq!(told(Some("Mars/Base"), None, "en"), "22 November 2026, 03:09 (UTC)", "an unknown zone");
        assert_eq!(told(None, None, "de"), "2026-11-22 03:09 (UTC)");
        assert_eq!(when_short(time, &zone(Some("Asia/Kolkata"), None), "en"), "22 Nov 08:39");
    }

    #[test]
    fn amounts_are_grouped_and_never_floats() {
        let told = |amount: serde_json::Value, currency: Option<&str>, locale| {
            let mut event = BTreeMap::from([("amount".to_owned(), amount)]);
            if let Some(code) = currency {
                event.insert("currency".to_owned(), code.into());
            }
            super::amount(&event, locale)
        };
        assert_eq!(told("12000.00".into(), Some("CNY"), "zh-CN").as_deref(), Some("12,000.00 元"));
        assert_eq!(told("12000.00 CNY".into(), None, "en").as_deref(), Some("12,000.00 CNY"));
        assert_eq!(told(999.into(), Some("JPY"), "en").as_deref(), Some("999 JPY"));
        assert_eq!(told("1234567.5".into(), Some("USD"), "en").as_deref(), Some("1,234,567.50 USD"));
        assert_eq!(told("1e9".into(), Some("USD"), "en"), None);
        assert_eq!(told("5".into(), None, "en"), None);
        assert_eq!(told("5".into(), Some("XXX"), "en"), None);
    }
}
