//! Texts broken into lines by the columns they take on a terminal, where a Chinese character takes two.
//!
//! Guarantees: no line is wider than asked (but for one character wider than that); nothing is lost but blanks
//! at a break. Chinese breaks between any two characters, but never before closing punctuation.

use ratatui::text::Span;

/// What stands at the end of a line rather than at the beginning of one.
const CLOSING: &str = "。，、；：！？）】》」』”’,.;:!?)]";

/// Columns a text takes.
pub fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// The lines of a text.
pub fn wrapped(text: &str, columns_max: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrap_line(line, columns_max)).collect()
}

/// The text, or as much of it as fits, with an ellipsis.
pub fn shortened(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut line = text.to_owned();
    cut(&mut line, columns_max.saturating_sub(1));
    line.truncate(line.trim_end().len());
    line + "…"
}

fn wrap_line(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in pieces(text) {
        // Blanks at the end of a line take no room.
        if !line.trim().is_empty() && columns(&line) + columns(piece.trim_end()) > columns_max {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(piece);
        // What is longer than a line is cut.
        while columns(line.trim_end()) > columns_max {
            let rest = cut(&mut line, columns_max);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// Cuts a line after so many columns and gives back the rest.
fn cut(line: &mut String, columns_max: usize) -> String {
    let mut width = 0;
    let end = line.char_indices().find(|(at, c)| {
        width += columns(c.encode_utf8(&mut [0; 4]));
        width > columns_max && *at > 0
    });
    match end {
        Some((at, _)) => line.split_off(at),
        None => String::new(),
    }
}

/// What may not be broken: a word with the blanks after it, a wide character with closing punctuation after it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices().peekable();
        let (_, first) = chars.next()?;
        let mut before = first;
        let mut end = rest.len();
        for (at, c) in chars {
            let is_break = c != ' ' && (before == ' ' || is_wide(before) || is_wide(c));
            if is_break && !CLOSING.contains(c) && !is_opening(before) {
                end = at;
                break;
            }
            before = c;
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn is_wide(c: char) -> bool {
    columns(c.encode_utf8(&mut [0; 4])) > 1
}

fn is_opening(c: char) -> bool {
    "（【《「『“‘([".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_and_characters_break_where_they_may() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("您的账户，有一笔", 8), ["您的账", "户，有一", "笔"]);
        assert_eq!(wrapped("打开App修改", 6), ["打开", "App修", "改"]);
        assert_eq!(wrapped("a\nb", 5), ["a", "b"]);
        assert_eq!(columns("您a"), 3);
        assert_eq!((shortened("您的账户", 8), shortened("您的账户", 7)), ("您的账户".to_owned(), "您的账…".to_owned()));
        assert_eq!(shortened("one two", 5), "one…");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_nothing_is_lost(text in "[a-c 您，（）。A-Z0-9]{0,60}", wide in 4usize..30) {
            let lines = wrapped(&text, wide);
            for line in &lines {
                prop_assert!(columns(line) <= wide, "{line:?}");
            }
            let kept = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(kept(&lines.concat()), kept(&text));
        }
    }
}
