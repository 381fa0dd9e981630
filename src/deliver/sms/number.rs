//! Telephone numbers as E.164 writes them.
//!
//! Guarantees: only numbers with a country code and a configured beginning are written to: the rest of the world
//! costs money and belongs to nobody we know. Does not guess a country.

/// Digits of a number, country code included (E.164: at most 15).
const DIGITS_MIN: usize = 8;
const DIGITS_MAX: usize = 15;

/// The number in E.164, without the blanks, dots, dashes and brackets people write; `None` where it is not one.
pub fn e164(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '\u{a0}')).collect();
    let digits = kept.strip_prefix('+').or_else(|| kept.strip_prefix("00"))?;
    let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
    let fits = (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && !digits.starts_with('0');
    (all_digits && fits).then(|| format!("+{digits}"))
}

/// Whether a beginning such as `+86` is one: a plus and digits.
pub fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    !digits.is_empty() && digits.len() <= DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_by_people() {
        assert_eq!(e164("+86 138-0013-8000").as_deref(), Some("+8613800138000"));
        assert_eq!(e164("0044 (20) 7946.0958").as_deref(), Some("+442079460958"));
        for bad in [
            "13800138000",
            "+86",
            "+0138001380",
            "+86138001380001234",
            "+86１３８00138000",
            "+8613800\r\n138000",
            "",
            "+",
        ] {
            assert_eq!(e164(bad), None, "{bad:?}");
        }
        assert!(is_prefix("+86") && is_prefix("+1"));
        assert!(!is_prefix("86") && !is_prefix("+") && !is_prefix("+86x"));
    }
}
