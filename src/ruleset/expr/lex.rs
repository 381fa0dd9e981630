//! Text → tokens.
//!
//! Guarantees: every token lies on character boundaries of the snippet; a symbol of another language is
//! reported with its fix and goes on as the right one, so one mistake gives one problem; time is linear in
//! the text. Does not know the grammar.

use std::ops::Range;

use super::Snippet;
use super::ast::Comparison;
use super::codes;
use crate::report::Problem;

/// Whole numbers are exact in the 53 bits of a row's numbers up to here.
const INT_MAX: i64 = 1 << 53;

/// The units of durations with their length, ms.
pub(super) const UNITS: [(&str, i64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// What a token is. A number keeps its text for money: the parser knows whether a currency follows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Int(i64),
    Float(f64),
    Duration(i64),
    Asn(u32),
    Text(String),
    Name,
    And,
    Or,
    Not,
    In,
    Is,
    Missing,
    Bool(bool),
    Compare(Comparison),
    Plus,
    Minus,
    Star,
    Slash,
    Coalesce,
    Open,
    Close,
    OpenSet,
    CloseSet,
    Comma,
    /// Could not be read; reported.
    Broken,
}

/// A token and its bytes in the snippet.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub range: Range<usize>,
}

/// Reads all tokens of a snippet.
pub(super) fn lex(snippet: &Snippet<'_>, problems: &mut Vec<Problem>) -> Vec<Token> {
    let mut lexer = Lexer { snippet, text: &snippet.text, at: 0, problems };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next() {
        tokens.push(token);
    }
    tokens
}

struct Lexer<'s, 'p> {
    snippet: &'s Snippet<'s>,
    text: &'s str,
    at: usize,
    problems: &'p mut Vec<Problem>,
}

impl<'s> Lexer<'s, '_> {
    fn rest(&self) -> &'s str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<Token> {
        self.skip_space_and_comments();
        let start = self.at;
        let first = self.rest().chars().next()?;
        let kind = match first {
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            '"' => self.quoted(),
            '\'' | '“' | '”' | '‘' | '’' => self.wrongly_quoted(first),
            _ => self.symbol(first),
        };
        Some(Token { kind, range: start..self.at })
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn problem(&self, code: &'static str, range: Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(code, self.snippet.file, self.snippet.span(range), message)
    }

    fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Moves past the longest run of characters that `is` accepts and returns it.
    fn run(&mut self, is: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let run = &rest[..rest.find(|c| !is(c)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    // === numbers ===

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let whole = self.run(|c| c.is_ascii_digit());
        let mut fraction = None;
        let rest = self.rest();
        if rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.at += 1;
            fraction = Some(self.run(|c| c.is_ascii_digit()));
        }
        let digits = &self.text[start..self.at];
        let unit = self.run(|c| c.is_ascii_alphanumeric() || c == '_');
        match (unit, fraction) {
            ("", None) => match whole.parse::<i64>() {
                Ok(n) if n <= INT_MAX => TokenKind::Int(n),
                _ => self.bad_number(start, "this number is too large to be kept exactly"),
            },
            ("", Some(_)) => match digits.parse::<f64>() {
                Ok(n) if n <= INT_MAX as f64 => TokenKind::Float(n),
                _ => self.bad_number(start, "this number is too large to be kept exactly"),
            },
            _ => self.with_unit(start, digits, fraction.is_some(), unit),
        }
    }

    fn bad_number(&mut self, start: usize, message: &str) -> TokenKind {
        let problem = self.problem(codes::BAD_NUMBER, start..self.at, message);
        self.push(problem);
        TokenKind::Broken
    }

    fn with_unit(&mut self, start: usize, digits: &str, has_fraction: bool, unit: &str) -> TokenKind {
        if unit.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
            let plain: String = self.text[start..self.at].chars().filter(|c| *c != '_').collect();
            let problem = self.problem(codes::BAD_NUMBER, start..self.at, "digits are written without `_`");
            let span = self.snippet.span(start..self.at);
            self.push(problem.fix(span, plain));
            return TokenKind::Broken;
        }
        if let Some((_, size)) = UNITS.iter().find(|(u, _)| *u == unit) {
            if has_fraction {
                return self.bad_number(start, "a duration is a whole number of its unit");
            }
            let ms = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(*size)).filter(|ms| *ms <= INT_MAX);
            return ms.map_or_else(
                || self.bad_number(start, "this duration is too long to be kept exactly"),
                TokenKind::Duration,
            );
        }
        let at = start + digits.len()..self.at;
        let code = unit.to_ascii_uppercase();
        let problem = if crate::event::Currency::parse(&code).is_some() {
            let problem = self.problem(codes::UNKNOWN_UNIT, at.clone(), "a currency stands apart from its number");
            let span = self.snippet.span(at);
            problem.fix(span, format!(" {code}"))
        } else {
            let problem = self.problem(codes::UNKNOWN_UNIT, at, format!("unknown unit `{unit}`"));
            problem.help("durations are written like `30s`, `10m`, `24h` or `90d`")
        };
        self.push(problem);
        TokenKind::Broken
    }

    // === words and names ===

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.run(is_part);
        while self.rest().starts_with('.')
            && self.rest()[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        {
            self.at += 1;
            self.run(is_part);
        }
        let word = &self.text[start..self.at];
        if let Some(digits) = word.strip_prefix("AS")
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            return match digits.parse() {
                Ok(asn) => TokenKind::Asn(asn),
                Err(_) => self.bad_number(start, "an asn is at most AS4294967295"),
            };
        }
        if let Some(kind) = reserved(word) {
            return kind;
        }
        if matches!(word, "AND" | "OR" | "NOT" | "IN" | "IS" | "TRUE" | "FALSE" | "True" | "False")
            && let right = word.to_ascii_lowercase()
            && let Some(kind) = reserved(&right)
        {
            let what = if matches!(kind, TokenKind::Bool(_)) { "a value" } else { "an operator" };
            self.foreign(start, &format!("`{word}` is not {what} here"), &right);
            return kind;
        }
        TokenKind::Name
    }

    // === texts ===

    fn quoted(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            text.push_str(self.run(|c| !matches!(c, '"' | '\\' | '\n' | '\r')));
            let rest = self.rest();
            if rest.starts_with('"') {
                self.at += 1;
                return TokenKind::Text(text);
            }
            if !rest.starts_with('\\') {
                let end = start + self.text[start..self.at].trim_end().len();
                let problem = self.problem(codes::TEXT_NOT_CLOSED, start..end, "this text is not closed");
                self.push(problem.help("texts end with `\"` on the line they begin on"));
                return TokenKind::Broken;
            }
            self.escape(&mut text);
        }
    }

    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        self.at += 1;
        let Some(escaped) = self.rest().chars().next() else { return };
        if matches!(escaped, '\n' | '\r') {
            return;
        }
        self.at += escaped.len_utf8();
        match escaped {
            '"' | '\\' => text.push(escaped),
            'n' => text.push('\n'),
            't' => text.push('\t'),
            _ => {
                text.push('\\');
                text.push(escaped);
                let range = start..self.at;
                let problem = self.problem(codes::UNKNOWN_ESCAPE, range, format!("`\\{escaped}` is not an escape"));
                self.push(problem.help("a backslash in a text is written `\\\\`"));
            }
        }
    }

    /// `'text'`, and what word processors make of quotes.
    fn wrongly_quoted(&mut self, quote: char) -> TokenKind {
        let start = self.at;
        self.at += quote.len_utf8();
        let closes = |c: char| if quote == '\'' { c == '\'' } else { matches!(c, '“' | '”' | '‘' | '’') };
        let text = self.run(|c| !closes(c) && !matches!(c, '\n' | '\r' | '"' | '\\'));
        match self.rest().chars().next() {
            Some(close) if closes(close) => self.at += close.len_utf8(),
            _ => {
                self.at = start + quote.len_utf8();
                let problem =
                    self.problem(codes::UNEXPECTED_CHARACTER, start..self.at, format!("unexpected `{quote}`"));
                self.push(problem.help("texts stand in double quotes"));
                return TokenKind::Broken;
            }
        }
        self.foreign(start, &format!("`{quote}` does not quote a text"), &format!("\"{text}\""));
        TokenKind::Text(text.to_string())
    }

    // === symbols ===

    fn symbol(&mut self, first: char) -> TokenKind {
        use Comparison as C;
        use TokenKind as K;
        /// Symbols of this language, the longer ones first.
        const OURS: &[(&str, TokenKind)] = &[
            ("==", K::Compare(C::Equal)),
            ("!=", K::Compare(C::NotEqual)),
            ("<=", K::Compare(C::LessOrEqual)),
            (">=", K::Compare(C::GreaterOrEqual)),
            ("??", K::Coalesce),
            ("<", K::Compare(C::Less)),
            (">", K::Compare(C::Greater)),
            ("+", K::Plus),
            ("-", K::Minus),
            ("*", K::Star),
            ("/", K::Slash),
            ("(", K::Open),
            (")", K::Close),
            ("[", K::OpenSet),
            ("]", K::CloseSet),
            (",", K::Comma),
        ];
        /// Symbols of other languages, what is said of them, and what stands here in their place.
        const FOREIGN: &[(&str, &str, &str, TokenKind)] = &[
            ("===", "`===` does not compare", "==", K::Compare(C::Equal)),
            ("!==", "`!==` does not compare", "!=", K::Compare(C::NotEqual)),
            ("<>", "`<>` does not compare", "!=", K::Compare(C::NotEqual)),
            ("=<", "`=<` does not compare", "<=", K::Compare(C::LessOrEqual)),
            ("=>", "`=>` does not compare", ">=", K::Compare(C::GreaterOrEqual)),
            ("&&", "`&&` is not an operator here", "and", K::And),
            ("||", "`||` is not an operator here", "or", K::Or),
            ("&", "`&` is not an operator here", "and", K::And),
            ("|", "`|` is not an operator here", "or", K::Or),
        ];
        let start = self.at;
        let rest = self.rest();
        if let Some((symbol, message, right, kind)) = FOREIGN.iter().find(|(s, ..)| rest.starts_with(s)) {
            self.at += symbol.len();
            self.foreign(start, message, right);
            return kind.clone();
        }
        if let Some((symbol, kind)) = OURS.iter().find(|(s, _)| rest.starts_with(s)) {
            self.at += symbol.len();
            return kind.clone();
        }
        match first {
            '=' => {
                self.at += 1;
                self.foreign(start, "`=` does not compare", "==");
                K::Compare(C::Equal)
            }
            '!' => {
                self.at += 1;
                let space = if self.rest().starts_with(char::is_whitespace) { "" } else { " " };
                self.foreign(start, "`!` is not an operator here", &format!("not{space}"));
                K::Not
            }
            _ => self.unexpected(first),
        }
    }

    /// A symbol of another language: reported, and read as the right one.
    fn foreign(&mut self, start: usize, message: &str, right: &str) {
        let problem = self.problem(codes::SYMBOL_FOR_WORD, start..self.at, message);
        let span = self.snippet.span(start..self.at);
        self.push(problem.fix(span, right));
    }

    fn unexpected(&mut self, first: char) -> TokenKind {
        let start = self.at;
        if first.is_alphanumeric() {
            self.run(|c| c.is_alphanumeric() || c == '_' || c == '.');
        } else {
            self.at += first.len_utf8();
            if is_currency_sign(first) {
                self.run(|c| c.is_ascii_digit() || matches!(c, '.' | ','));
            }
        }
        let found = &self.text[start..self.at];
        let problem = self.problem(codes::UNEXPECTED_CHARACTER, start..self.at, format!("unexpected `{found}`"));
        let span = self.snippet.span(start..self.at);
        self.push(match ascii_of_fullwidth(first) {
            Some(plain) => problem.fix(span, plain),
            None if is_currency_sign(first) => {
                problem.help("an amount is written with its currency, such as `5000 CNY`")
            }
            None if first == '%' => problem.help("a share is a number from 0 to 1, such as `0.1`"),
            None if first.is_alphanumeric() => problem.help("names are made of a-z, 0-9, `_` and `.`"),
            None => problem,
        });
        TokenKind::Broken
    }
}

fn reserved(word: &str) -> Option<TokenKind> {
    Some(match word {
        "and" => TokenKind::And,
        "or" => TokenKind::Or,
        "not" => TokenKind::Not,
        "in" => TokenKind::In,
        "is" => TokenKind::Is,
        "missing" => TokenKind::Missing,
        "true" => TokenKind::Bool(true),
        "false" => TokenKind::Bool(false),
        _ => return None,
    })
}

fn is_currency_sign(c: char) -> bool {
    matches!(c, '¥' | '￥' | '$' | '€' | '£' | '元')
}

/// The plain form of a punctuation mark as a Chinese or Japanese keyboard writes it.
fn ascii_of_fullwidth(c: char) -> Option<char> {
    let plain = u32::from(c).checked_sub(0xFEE0).and_then(char::from_u32)?;
    (plain.is_ascii_punctuation() && !plain.is_ascii_alphanumeric()).then_some(plain)
}
