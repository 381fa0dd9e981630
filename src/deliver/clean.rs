//! Texts from events and contacts, made harmless before they stand in a notice.
//!
//! Guarantees: no control, bidirectional, invisible or private character, no line break, a bounded length; what
//! could be taken for a link, a telephone number or a request for a code is left out whole, since whoever made
//! the event may have written it. Does not escape: the templates do.

use super::notice_rules;

/// The text in one line of at most `chars_max` characters; `None` where nothing is left.
pub fn line(text: &str, chars_max: usize) -> Option<String> {
    let mut out = String::new();
    let mut kept = 0;
    for c in text.chars().take(chars_max.saturating_mul(4)) {
        let c = if c.is_whitespace() { ' ' } else { c };
        if is_hidden(c) || (c == ' ' && (out.is_empty() || out.ends_with(' '))) {
            continue;
        }
        if kept == chars_max {
            out.push('…');
            break;
        }
        out.push(c);
        kept += 1;
    }
    let out = out.trim_end();
    (!out.is_empty()).then(|| out.to_owned())
}

/// A text of somebody else's, as a notice may show it.
pub fn value(text: &str, chars_max: usize) -> Option<String> {
    line(text, chars_max).filter(|text| notice_rules::first_offence(text).is_none())
}

/// The end of an id of somebody else's (an account, a merchant, a device): its last letters and digits, at most four.
/// Never the whole: ids are often telephone numbers, and who sees an SMS on a locked screen need not know more. Fewer
/// than two tell nobody anything; other scripts could spell a lure. The same for every notice, channel and language.
pub fn id_end(text: &str) -> Option<String> {
    const SHOWN_CHARS_MAX: usize = 4;
    const SHOWN_CHARS_MIN: usize = 2;
    let id: Vec<char> = text.trim().chars().collect();
    let end = id.iter().rev().take_while(|c| c.is_ascii_alphanumeric()).take(SHOWN_CHARS_MAX).count();
    let shown = id.get(id.len().saturating_sub(end)..)?;
    (end >= SHOWN_CHARS_MIN).then(|| shown.iter().collect())
}

/// Characters that are not seen, or that change how others are seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            // The joiner U+200D stays: emoji and Indic scripts need it.
            | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{fff0}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_goes_and_what_is_language_stays() {
        let shown = |text: &str| line(text, 20);
        assert_eq!(shown("a\r\nBcc: x\tb").as_deref(), Some("a Bcc: x b"));
        assert_eq!(shown("\u{202e}gnp.exe\u{2066}").as_deref(), Some("gnp.exe"));
        assert_eq!(shown("上海 مرحبا 👩\u{200d}💻").as_deref(), Some("上海 مرحبا 👩\u{200d}💻"));
        assert_eq!(shown("\u{200b}\u{feff} \n"), None);
        assert_eq!(line(&"长".repeat(1_000_000), 5).as_deref(), Some("长长长长长…"));
    }

    #[test]
    fn what_looks_like_a_lure_is_left_out() {
        for lure in ["http://evil.example", "evil.example/x", "call +44 20 7946 0958", "reply with your code"] {
            assert_eq!(value(lure, 40), None, "{lure}");
        }
        assert_eq!(value("O'Neill & Söhne", 40).as_deref(), Some("O'Neill & Söhne"));
    }

    #[test]
    fn ids_are_shown_by_their_end() {
        for (id, end) in [
            ("13800138000", Some("8000")),
            ("0b8a3c52-77aa-4b9c-9d5e-3a5f0c11d2ef", Some("d2ef")),
            ("alice.chen", Some("chen")),
            ("dev-77", Some("77")),
            ("acc-1029\n", Some("1029")),
            ("a1", Some("a1")),
            ("7", None),
            ("", None),
            ("ends in a mark...", None),
            ("加我微信领奖", None),
            ("\u{202e}gnp", Some("gnp")),
        ] {
            assert_eq!(id_end(id).as_deref(), end, "{id}");
        }
    }

    proptest! {
        #[test]
        fn one_short_line_whatever_comes(text in any::<String>(), chars_max in 1_usize..50) {
            if let Some(line) = line(&text, chars_max) {
                prop_assert!(line.chars().count() <= chars_max + 1);
                prop_assert!(!line.chars().any(|c| c.is_control() || is_hidden(c)));
                prop_assert_eq!(line.trim(), line.as_str());
            }
        }
    }
}
