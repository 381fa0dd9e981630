//! What people would be sent: the counts and samples a backtest shows. Plain data, filled by whoever can ask the
//! desk and the channels.
//!
//! Guarantees: no recipient and no phrase of a user is in it; costs are exact to a millionth of the currency.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::Currency;

/// Decimals a price may have.
const PRICE_DECIMALS_MAX: usize = 6;
const MICRO: u64 = 1_000_000;

/// What an SMS segment costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPrice {
    /// Millionths of the currency.
    micro: u64,
    currency: Currency,
}

impl SegmentPrice {
    /// Reads a price such as `0.045 CNY`: at most six decimals.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "a price such as `0.05 CNY`, at most six decimals".to_owned();
        let text = text.trim();
        let (number, code) =
            text.split_at(text.find(|c: char| c.is_whitespace() || c.is_alphabetic()).ok_or_else(wrong)?);
        let code = code.trim();
        let currency = Currency::parse(code).ok_or_else(|| format!("`{code}` is no currency of ISO 4217"))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > PRICE_DECIMALS_MAX {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let fraction: u64 = format!("{fraction:0<PRICE_DECIMALS_MAX$}").parse().map_err(|_| wrong())?;
        let micro = whole.checked_mul(MICRO).and_then(|whole| whole.checked_add(fraction)).ok_or_else(wrong)?;
        Ok(SegmentPrice { micro, currency })
    }

    /// What so many segments cost, rounded half up to the currency's decimals: `12.35 CNY`.
    pub fn of(self, segments: u64) -> String {
        let decimals = u32::from(self.currency.decimals());
        let unit = 10u128.pow((PRICE_DECIMALS_MAX as u32).saturating_sub(decimals));
        let minor = (u128::from(self.micro) * u128::from(segments) + unit / 2) / unit;
        let (code, scale) = (self.currency.code(), 10u128.pow(decimals));
        if decimals == 0 {
            return format!("{minor} {code}");
        }
        format!("{}.{:0width$} {code}", minor / scale, minor % scale, width = decimals as usize)
    }
}

/// What one rule set would have sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Notices {
    /// Alerts that told somebody, by audience.
    pub told: BTreeMap<&'static str, u64>,
    /// Alerts that told nobody of an audience, by audience and reason.
    pub held: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Messages, by channel.
    pub sent: BTreeMap<String, u64>,
    /// Notices that no channel could carry, by reason.
    pub undeliverable: BTreeMap<&'static str, u64>,
    /// Accounts whose user got a message.
    pub users: u64,
    /// Segments of all SMS.
    pub sms_segments: u64,
    /// What they cost, where a price is known.
    pub sms_cost: Option<String>,
    /// Some of the messages to users.
    pub samples: Vec<NoticeSample>,
}

/// A message to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeSample {
    /// How it goes.
    pub channel: String,
    /// The event it is about.
    pub event: String,
    /// The account.
    pub account: Option<String>,
    /// The event's time, RFC 3339.
    pub time: String,
    /// Its band.
    pub band: &'static str,
    /// The subject of a mail.
    pub subject: Option<String>,
    /// The words, the user's phrase blanked.
    pub text: String,
    /// Segments of an SMS.
    pub segments: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        let cost = |price: &str, segments| SegmentPrice::parse(price).map(|price| price.of(segments));
        assert_eq!(cost("0.05 CNY", 247).as_deref(), Ok("12.35 CNY"));
        assert_eq!(cost("0.045 CNY", 1).as_deref(), Ok("0.05 CNY"), "half up");
        assert_eq!(cost("0.0079 USD", 1_000_000).as_deref(), Ok("7900.00 USD"));
        assert_eq!(cost("0.05CNY", 1).as_deref(), Ok("0.05 CNY"));
        assert_eq!(cost("3 JPY", 3).as_deref(), Ok("9 JPY"));
        for bad in ["0.05", "CNY", "-1 CNY", "0.0000001 CNY", "1. CNY", ".5 CNY", "1 XXX", "99999999999999999999 CNY"] {
            assert!(SegmentPrice::parse(bad).is_err(), "{bad}");
        }
    }
}
