//! A scalar as an expression sees it: its text, and for each byte of it the place in the file.
//!
//! Guarantees: an expression without quotes or under `|` is lexed from the file's own bytes; a quoted one
//! from its decoded text, each byte of which knows where it came from. Does not lex.

use std::borrow::Cow;
use std::sync::Arc;

use super::expr::Snippet;
use crate::report::SourceFile;
use crate::yaml::{Kind, Node, Style};

/// The snippet of a scalar; `None` where the node is none.
pub fn snippet<'f>(file: &'f Arc<SourceFile>, node: &Node) -> Option<Snippet<'f>> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    let raw = file.text.get(node.span.clone())?;
    let start = node.span.start;
    let (text, places) = match scalar.style {
        Style::Empty | Style::Plain | Style::Block => {
            return Some(Snippet { file, text: Cow::Borrowed(raw), places: Vec::new(), start });
        }
        Style::Single => decode(raw, start, b'\''),
        Style::Double => decode(raw, start, b'"'),
    };
    if text == scalar.text {
        return Some(Snippet { file, text: Cow::Owned(text), places, start });
    }
    // Two decoders disagree: the parser's text counts, and every problem in it is shown at its first byte.
    let places = vec![start; scalar.text.len() + 1];
    Some(Snippet { file, text: Cow::Owned(scalar.text.clone()), places, start })
}

/// What a quoted scalar says, with the place of each byte and of the closing quote.
fn decode(raw: &str, start: usize, quote: u8) -> (String, Vec<usize>) {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
    let mut out = Decoded { text: String::with_capacity(inner.len()), places: Vec::with_capacity(inner.len() + 1) };
    let mut at = 0;
    // Blanks before a line break are dropped, but not those an escape has made.
    let mut keep = 0;
    while let Some(c) = inner.get(at..).and_then(|rest| rest.chars().next()) {
        let place = start + 1 + at;
        match c {
            '\'' if quote == b'\'' => {
                out.push('\'', place);
                at += 2;
            }
            '\\' if quote == b'"' => {
                let (c, len) = escape(&inner[at..]);
                at += len;
                match c {
                    Some(c) => out.push(c, place),
                    None => at += skip_blanks(&inner[at..], &mut out, start + 1 + at),
                }
                keep = out.text.len();
            }
            '\n' | '\r' => {
                let blanks = out.text[keep..].trim_end_matches([' ', '\t']).len() + keep;
                out.truncate(blanks);
                let before = out.text.len();
                at += line_break(&inner[at..]);
                at += skip_blanks(&inner[at..], &mut out, start + 1 + at);
                if out.text.len() == before {
                    out.push(' ', place);
                }
                keep = out.text.len();
            }
            c => {
                out.push(c, place);
                at += c.len_utf8();
            }
        }
    }
    out.places.push(start + raw.len().saturating_sub(1));
    (out.text, out.places)
}

struct Decoded {
    text: String,
    places: Vec<usize>,
}

impl Decoded {
    fn push(&mut self, c: char, place: usize) {
        self.text.push(c);
        self.places.resize(self.text.len(), place);
    }

    fn truncate(&mut self, len: usize) {
        self.text.truncate(len);
        self.places.truncate(len);
    }
}

/// Skips the blanks that begin a continued line and takes each empty line as a line break; how many bytes.
fn skip_blanks(rest: &str, out: &mut Decoded, place: usize) -> usize {
    let mut at = 0;
    loop {
        let blanks = rest[at..].len() - rest[at..].trim_start_matches([' ', '\t']).len();
        match line_break(&rest[at + blanks..]) {
            0 => return at + blanks,
            bytes => {
                out.push('\n', place + at + blanks);
                at += blanks + bytes;
            }
        }
    }
}

fn line_break(rest: &str) -> usize {
    match rest.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// One escape of a double-quoted scalar and its length; no character where it escapes a line break.
fn escape(rest: &str) -> (Option<char>, usize) {
    let hex = |from: usize, digits: usize| {
        rest.get(from..from + digits).and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let named = match rest.as_bytes().get(1) {
        Some(b'0') => '\0',
        Some(b'a') => '\u{7}',
        Some(b'b') => '\u{8}',
        Some(b't' | b'\t') => '\t',
        Some(b'n') => '\n',
        Some(b'v') => '\u{b}',
        Some(b'f') => '\u{c}',
        Some(b'r') => '\r',
        Some(b'e') => '\u{1b}',
        Some(b'N') => '\u{85}',
        Some(b'_') => '\u{a0}',
        Some(b'L') => '\u{2028}',
        Some(b'P') => '\u{2029}',
        Some(b'x') => return (hex(2, 2).and_then(char::from_u32), 4),
        Some(b'U') => return (hex(2, 8).and_then(char::from_u32), 10),
        Some(b'u') => match (hex(2, 4), hex(8, 4)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
                return (char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12);
            }
            (code, _) => return (code.and_then(char::from_u32), 6),
        },
        Some(b'\n' | b'\r') => return (None, 1 + line_break(&rest[1..])),
        _ => rest.chars().nth(1).unwrap_or('\\'),
    };
    (Some(named), 1 + named_len(rest))
}

fn named_len(rest: &str) -> usize {
    rest.chars().nth(1).map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ruleset::RULE_FILES;
    use crate::yaml;

    fn quoted(text: &str) -> Option<(Arc<SourceFile>, Node)> {
        let file = Arc::new(SourceFile { path: "x".to_owned(), text: text.to_owned() });
        let node = yaml::parse(&file, &RULE_FILES, &mut Vec::new())?;
        Some((file, node))
    }

    #[test]
    fn every_byte_knows_where_it_came_from() {
        let (file, node) = quoted("\"a\\u4e00 \\\"b\\\" \\\n   c  \n\n  值\"").expect("YAML");
        let snippet = snippet(&file, &node).expect("a scalar");
        assert_eq!(snippet.text, "a一 \"b\" c\n值");
        let of = |what: &str| {
            let at = snippet.text.find(what).expect("it is there");
            file.text[snippet.span(at..at + what.len())].to_owned()
        };
        assert_eq!(of("一"), "\\u4e00");
        assert_eq!(of("b"), "b");
        assert_eq!(of("值"), "值");
    }

    proptest! {
        #[test]
        fn it_decodes_as_the_parser_does(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "a", " ", "  ", "\t", "\n", "\n  ", "值", "\\n", "\\\"", "\\\\", "\\x41", "\\u4e00", "\\U0001F600",
                "\\ud83d\\ude00", "\\\n", "\\ ", "\\\t", "''", "#", ": ", "\r\n",
            ]), 0..12),
            single in any::<bool>(),
        ) {
            let quote = if single { "'" } else { "\"" };
            let text: String = pieces.concat().replace(if single { "\"" } else { "\u{1}" }, "");
            if let Some((file, node)) = quoted(&format!("k: {quote}{text}{quote}\n")) {
                let Kind::Map(map) = &node.kind else { return Ok(()) };
                let node = map.get("k").expect("the key");
                let Kind::Scalar(scalar) = &node.kind else { return Ok(()) };
                let raw = &file.text[node.span.clone()];
                let (decoded, places) = decode(raw, node.span.start, quote.as_bytes()[0]);
                prop_assert_eq!(&decoded, &scalar.text, "{:?}", raw);
                prop_assert_eq!(places.len(), decoded.len() + 1);
                prop_assert!(places.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", places);
            }
        }
    }
}
