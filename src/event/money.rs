//! Money: whole minor units of one currency. Floats never hold it.
//!
//! Guarantees: an amount read is an amount written; overflow is an error, never a wrap. The currencies
//! and their decimals are ISO 4217's active list. Does not convert between currencies.

use std::fmt;

/// The largest amount that is accepted, minor units: every whole number up to it is exact in the
/// 53 bits of the conditions' numbers.
pub const AMOUNT_MINOR_UNITS_MAX: i64 = 1 << 53;

/// A currency of ISO 4217: its place in the table below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(u8);

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Whole minor units (fen, cents, yen), 0 to [`AMOUNT_MINOR_UNITS_MAX`] on events.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most one point.
    #[error("a decimal number such as 12.50 is expected")]
    NotDecimal,
    /// Below zero.
    #[error("an amount is never negative")]
    Negative,
    /// More decimals than the currency has.
    #[error("more decimals than the currency has")]
    TooManyDecimals,
    /// Beyond [`AMOUNT_MINOR_UNITS_MAX`].
    #[error("larger than any amount that is kept exactly")]
    TooLarge,
}

/// ISO 4217 (active codes, 2026-01), by code, with the number of decimals.
#[rustfmt::skip]
const TABLE: &[(&str, u8)] = &[
    ("AED", 2), ("AFN", 2), ("ALL", 2), ("AMD", 2), ("AOA", 2), ("ARS", 2), ("AUD", 2), ("AWG", 2), ("AZN", 2),
    ("BAM", 2), ("BBD", 2), ("BDT", 2), ("BHD", 3), ("BIF", 0), ("BMD", 2), ("BND", 2), ("BOB", 2), ("BRL", 2),
    ("BSD", 2), ("BTN", 2), ("BWP", 2), ("BYN", 2), ("BZD", 2), ("CAD", 2), ("CDF", 2), ("CHF", 2), ("CLF", 4),
    ("CLP", 0), ("CNY", 2), ("COP", 2), ("CRC", 2), ("CUP", 2), ("CVE", 2), ("CZK", 2), ("DJF", 0), ("DKK", 2),
    ("DOP", 2), ("DZD", 2), ("EGP", 2), ("ERN", 2), ("ETB", 2), ("EUR", 2), ("FJD", 2), ("FKP", 2), ("GBP", 2),
    ("GEL", 2), ("GHS", 2), ("GIP", 2), ("GMD", 2), ("GNF", 0), ("GTQ", 2), ("GYD", 2), ("HKD", 2), ("HNL", 2),
    ("HTG", 2), ("HUF", 2), ("IDR", 2), ("ILS", 2), ("INR", 2), ("IQD", 3), ("IRR", 2), ("ISK", 0), ("JMD", 2),
    ("JOD", 3), ("JPY", 0), ("KES", 2), ("KGS", 2), ("KHR", 2), ("KMF", 0), ("KPW", 2), ("KRW", 0), ("KWD", 3),
    ("KYD", 2), ("KZT", 2), ("LAK", 2), ("LBP", 2), ("LKR", 2), ("LRD", 2), ("LSL", 2), ("LYD", 3), ("MAD", 2),
    ("MDL", 2), ("MGA", 2), ("MKD", 2), ("MMK", 2), ("MNT", 2), ("MOP", 2), ("MRU", 2), ("MUR", 2), ("MVR", 2),
    ("MWK", 2), ("MXN", 2), ("MYR", 2), ("MZN", 2), ("NAD", 2), ("NGN", 2), ("NIO", 2), ("NOK", 2), ("NPR", 2),
    ("NZD", 2), ("OMR", 3), ("PAB", 2), ("PEN", 2), ("PGK", 2), ("PHP", 2), ("PKR", 2), ("PLN", 2), ("PYG", 0),
    ("QAR", 2), ("RON", 2), ("RSD", 2), ("RUB", 2), ("RWF", 0), ("SAR", 2), ("SBD", 2), ("SCR", 2), ("SDG", 2),
    ("SEK", 2), ("SGD", 2), ("SHP", 2), ("SLE", 2), ("SOS", 2), ("SRD", 2), ("SSP", 2), ("STN", 2), ("SVC", 2),
    ("SYP", 2), ("SZL", 2), ("THB", 2), ("TJS", 2), ("TMT", 2), ("TND", 3), ("TOP", 2), ("TRY", 2), ("TTD", 2),
    ("TWD", 2), ("TZS", 2), ("UAH", 2), ("UGX", 0), ("USD", 2), ("UYU", 2), ("UZS", 2), ("VED", 2), ("VES", 2),
    ("VND", 0), ("VUV", 0), ("WST", 2), ("XAF", 0), ("XCD", 2), ("XOF", 0), ("XPF", 0), ("YER", 2), ("ZAR", 2),
    ("ZMW", 2), ("ZWG", 2),
];

impl Currency {
    /// The currency of an upper-case code.
    pub fn parse(code: &str) -> Option<Self> {
        let at = TABLE.binary_search_by_key(&code, |(c, _)| c).ok()?;
        u8::try_from(at).ok().map(Currency)
    }

    /// The code.
    pub fn code(self) -> &'static str {
        TABLE.get(usize::from(self.0)).map_or("???", |(code, _)| code)
    }

    /// How many decimals an amount has.
    pub fn decimals(self) -> u8 {
        TABLE.get(usize::from(self.0)).map_or(0, |(_, decimals)| *decimals)
    }

    /// The number a compiled condition compares.
    pub fn number(self) -> u8 {
        self.0
    }

    /// All codes, for "did you mean".
    pub fn codes() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(code, _)| *code)
    }

    /// The currency of a number made by [`Currency::number`].
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < TABLE.len()).then_some(Currency(number))
    }
}

impl Money {
    /// An amount from decimal text, such as `1250.00`. Zeros beyond the currency's decimals are allowed.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let digits = match text.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|b| b.is_ascii_digit() || b == b'.') => return Err(MoneyError::Negative),
            Some(_) => return Err(MoneyError::NotDecimal),
            None => text,
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
            return Err(MoneyError::NotDecimal);
        }
        let decimals = usize::from(currency.decimals());
        let (kept, beyond) = fraction.split_at(fraction.len().min(decimals));
        if beyond.bytes().any(|b| b != b'0') {
            return Err(MoneyError::TooManyDecimals);
        }
        let mut minor: i64 = 0;
        let padding = std::iter::repeat_n(b'0', decimals - kept.len());
        for digit in whole.bytes().chain(kept.bytes()).chain(padding) {
            minor = minor
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(digit - b'0')))
                .filter(|m| *m <= AMOUNT_MINOR_UNITS_MAX)
                .ok_or(MoneyError::TooLarge)?;
        }
        Ok(Money { minor, currency })
    }

    /// The amount without its currency: `1250.00`.
    pub fn decimal(self) -> String {
        let decimals = usize::from(self.currency.decimals());
        let sign = if self.minor < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, code: &str) -> Result<String, MoneyError> {
        Money::parse(text, Currency::parse(code).expect("a currency")).map(|m| m.to_string())
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn read_as_written() {
        assert_eq!(read("1250.00", "CNY").as_deref(), Ok("1250.00 CNY"));
        assert_eq!(read("0.5", "CNY").as_deref(), Ok("0.50 CNY"));
        assert_eq!(read("5.000", "JPY").as_deref(), Ok("5 JPY"));
        assert_eq!(read("1.2345", "BHD"), Err(MoneyError::TooManyDecimals));
        assert_eq!(read("-1", "CNY"), Err(MoneyError::Negative));
        for bad in ["", ".", "1.", ".5", "NaN", "1e5", "+1", "１", "-NaN"] {
            assert_eq!(read(bad, "CNY"), Err(MoneyError::NotDecimal), "{bad:?}");
        }
        assert_eq!(read("90071992547409.92", "CNY").as_deref(), Ok("90071992547409.92 CNY"));
        assert_eq!(read("90071992547409.93", "CNY"), Err(MoneyError::TooLarge));
        assert_eq!(read(&"9".repeat(400), "CNY"), Err(MoneyError::TooLarge));
    }
}
