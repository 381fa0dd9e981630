//! What a configuration says, without what nobody else may read: for problems that show its lines.
//!
//! Guarantees: the value of a key whose name says secret, and the user and the query values of an address, are
//! covered; a cover has as many bytes and as many characters as what it covers, so that every place stays right.
//! Works on what is no TOML, too. Covers rather too much than too little. Does not judge values.

use std::ops::Range;

use crate::report::Problem;

/// Parts of names of keys whose values are secrets.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "authorization", "credential", "apikey"];
/// The ends of names that name a file with a secret, and hold none.
const FILE_ENDS: [&str; 2] = ["_file", "-file"];
/// A secret this short is covered in a message only where it is quoted: it may be part of any word.
const SHORT_CHARS_MAX: usize = 3;

/// A text without its secrets, and the secrets.
#[derive(Debug, Default)]
pub struct Masked {
    /// As long as the text itself.
    pub text: String,
    /// What was covered.
    pub covered: Covered,
}

/// What was covered somewhere, for messages that repeat it.
#[derive(Clone, Default)]
pub struct Covered(Vec<String>);

impl std::fmt::Debug for Covered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} covered", self.0.len())
    }
}

impl Covered {
    /// Takes in what was covered elsewhere.
    pub fn add(&mut self, other: &Covered) {
        self.0.extend(other.0.iter().cloned());
        // The longest first: one may be part of another.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// A problem whose words hold none of them.
    pub fn clean(&self, mut problem: Problem) -> Problem {
        problem.message = self.words(&problem.message);
        problem.help = problem.help.map(|help| self.words(&help));
        if let Some(fix) = &mut problem.fix {
            fix.with = self.words(&fix.with);
        }
        problem
    }

    fn words(&self, words: &str) -> String {
        let mut words = address(words);
        for secret in &self.0 {
            if secret.chars().count() > SHORT_CHARS_MAX {
                words = without(&words, secret);
                continue;
            }
            for quote in ['"', '`', '\''] {
                let quoted = |text: &str| format!("{quote}{text}{quote}");
                words = words.replace(&quoted(secret), &quoted(&cover(secret)));
            }
        }
        words
    }
}

/// Words in which a secret is covered. A path is none behind a slash: there another address begins.
fn without(words: &str, secret: &str) -> String {
    let mut shown = String::new();
    let mut done = 0;
    for (at, _) in words.match_indices(secret) {
        let before = words.get(done..at).unwrap_or_default();
        if secret.starts_with('/') && before.ends_with('/') {
            continue;
        }
        shown.push_str(before);
        shown.push_str(&cover(secret));
        done = at + secret.len();
    }
    shown.push_str(words.get(done..).unwrap_or_default());
    shown
}

/// Whether the value of a key of this name is a secret.
fn says_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let part = |part: &str| {
        let is_key = part.split(['_', '-']).next_back() == Some("key");
        is_key || SECRET_WORDS.iter().any(|word| part.contains(word))
    };
    !FILE_ENDS.iter().any(|end| name.ends_with(end)) && name.split('.').any(part)
}

/// Whether the value of a key of this name is an address, with its scheme or without.
fn says_address(name: &str) -> bool {
    name.rsplit(['.', '_']).next().is_some_and(|last| last.eq_ignore_ascii_case("url"))
}

/// A file's text.
pub fn file(text: &str) -> Masked {
    let mut ranges = addresses(text);
    ranges.extend(paths(text));
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let is_word = |c: char| c.is_alphanumeric() || "_-.\"'".contains(c);
        let begin = at + rest.find(is_word).unwrap_or(rest.len());
        let word = text.get(begin..).map_or("", |rest| rest.split(|c| !is_word(c)).next().unwrap_or_default());
        at = begin + word.len();
        let name = word.replace(['"', '\''], "");
        if says_address(&name)
            && let Some(value) = value_behind(text, begin, at)
        {
            ranges.extend(text.get(value.clone()).and_then(path_of).map(|path| shifted(path, value.start)));
        }
        // Quoted names stand in quotes; a value that holds such a word is a name only where something follows it.
        let value = says_secret(&name).then(|| value_behind(text, begin, at)).flatten();
        if let Some(value) = value {
            at = value.end.max(at);
            ranges.push(value);
        }
    }
    masked(text, ranges)
}

/// The value of a variable.
pub fn variable(name: &str, value: &str) -> Masked {
    let all = says_secret(name).then_some(0..value.len());
    let mut ranges = addresses(value);
    ranges.extend(paths(value));
    ranges.extend(path_of(value).filter(|_| says_address(name)));
    ranges.extend(all);
    masked(value, ranges)
}

/// A text with the users and query values of its addresses covered. Not their paths: an example in a message has one.
pub fn address(text: &str) -> String {
    masked(text, addresses(text)).text
}

/// The value of a key as it may be shown; of an address scheme and host.
pub fn origin(key: &str, value: &str) -> String {
    let path = path_of(value).filter(|_| says_address(key) || value.contains("://"));
    let shown = path.and_then(|path| value.get(..path.start)).map(|origin| format!("{origin}/…"));
    address(shown.as_deref().unwrap_or(value))
}

/// The path of an address with what follows it, where that is more than `/`.
fn path_of(address: &str) -> Option<Range<usize>> {
    let host = address.find("://").map_or(0, |scheme| scheme + 3);
    let path = host + address.get(host..)?.find(['/', '?', '#'])?;
    (address.get(path..)? != "/").then_some(path..address.len())
}

fn shifted(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// The paths of the addresses in a text.
fn paths(text: &str) -> Vec<Range<usize>> {
    let addresses = words(text).into_iter().filter(|(_, word)| word.contains("://"));
    addresses.filter_map(|(at, word)| path_of(word).map(|path| shifted(path, at))).collect()
}

/// The words of a text, each with its place.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| c.is_whitespace() || "\"'`<>".contains(c)) {
        // The character that parts may take several bytes.
        at += text.get(at..).and_then(|rest| rest.find(word)).unwrap_or(0);
        words.push((at, word));
        at += word.len();
    }
    words
}

/// The bytes of the value that belongs to a name; `None`: nothing belongs to it.
fn value_behind(text: &str, name_begin: usize, name_end: usize) -> Option<Range<usize>> {
    let behind = text.get(name_end..)?;
    let gap = behind.len() - behind.trim_start_matches([' ', '\t']).len();
    let line_begin = text.get(..name_begin)?.rfind('\n').map_or(0, |at| at + 1);
    let is_first = text.get(line_begin..name_begin)?.chars().all(|c| c == ' ' || c == '\t' || c == '#');
    let sign = behind.get(gap..)?.chars().next()?;
    let mut begin = name_end + gap;
    if sign == '=' || sign == ':' {
        begin += 1;
    } else if !is_first || gap == 0 {
        return None;
    }
    let value = text.get(begin..)?;
    begin += value.len() - value.trim_start_matches([' ', '\t']).len();
    let value = text.get(begin..)?;
    let line = value.lines().next().unwrap_or_default().len();
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inner) = value.strip_prefix(quotes) {
            return Some(begin + 3..begin + 3 + inner.find(quotes).unwrap_or(inner.len()));
        }
    }
    if value.starts_with('[') {
        return Some(begin + 1..begin + value.find(']').unwrap_or(value.len()));
    }
    let Some(quote) = value.chars().next().filter(|c| *c == '"' || *c == '\'') else {
        return Some(begin..begin + line);
    };
    Some(begin + 1..begin + closing(value.get(..line)?, quote).unwrap_or(line))
}

/// Where the quote closes that a line begins with.
fn closing(line: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    line.char_indices()
        .skip(1)
        .find(|(_, c)| {
            let closes = *c == quote && !is_escaped;
            is_escaped = quote == '"' && *c == '\\' && !is_escaped;
            closes
        })
        .map(|(at, _)| at)
}

/// What is to be covered of the addresses in a text: who asks, and what.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    words(text).into_iter().for_each(|(at, word)| of_address(word, at, &mut ranges));
    ranges
}

fn of_address(word: &str, at: usize, ranges: &mut Vec<Range<usize>>) {
    let scheme = word.find("://").map(|scheme| scheme + 3);
    let begin = scheme.unwrap_or(0);
    let Some(rest) = word.get(begin..) else { return };
    let query = rest.find(['?', '#']).unwrap_or(rest.len());
    let before = rest.get(..query).unwrap_or_default();
    if let Some(user) = before.rfind('@').filter(|user| scheme.is_some() || rest.find(':').is_some_and(|c| c < *user)) {
        ranges.push(at + begin..at + begin + user);
    }
    if scheme.is_none() {
        return;
    }
    let mut part_at = at + begin + query;
    for part in rest.get(query..).unwrap_or_default().split_inclusive(['?', '&', ';', '#']) {
        let end = part.trim_end_matches(['?', '&', ';', '#']).len();
        let value = part.find('=').map_or(0, |equals| equals + 1);
        ranges.push(part_at + value..part_at + end.max(value));
        part_at += part.len();
    }
}

fn masked(text: &str, mut ranges: Vec<Range<usize>>) -> Masked {
    ranges.sort_by_key(|range| range.start);
    let mut masked = Masked::default();
    let mut done = 0;
    for range in ranges {
        let begin = range.start.max(done);
        let (Some(before), Some(secret)) = (text.get(done..begin), text.get(begin..range.end)) else { continue };
        masked.text.push_str(before);
        // The slash behind a host tells nothing, and shows that a path follows.
        let path = secret.strip_prefix('/').filter(|_| before.ends_with(|c: char| c.is_alphanumeric() || c == ']'));
        masked.text.push_str(&path.map_or_else(|| cover(secret), |path| format!("/{}", cover(path))));
        done = range.end;
        let lines =
            secret.lines().map(|line| line.trim().trim_matches(['"', '\'', ','])).filter(|line| !line.is_empty());
        masked.covered.add(&Covered(lines.map(str::to_owned).collect()));
    }
    masked.text.push_str(text.get(done..).unwrap_or_default());
    masked
}

/// A star for each character, of as many bytes; line breaks stay.
fn cover(secret: &str) -> String {
    let star = |c: char| match (c, c.len_utf8()) {
        ('\n' | '\r', _) => c,
        (_, 1) => '*',
        (_, 2) => '·',
        (_, 3) => '•',
        _ => '𐄁',
    };
    secret.chars().map(star).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_covered_and_places_stay() {
        for (text, shown) in [
            ("password=\"PWCANARY\"\n", "password=\"********\"\n"),
            ("smtp.password = 'a\\' # c", "smtp.password = '**' # c"),
            ("\"pass\\word\" = 1", "\"pass\\word\" = 1"),
            ("\"api_key\" = \"a\\\"b\" # c", "\"api_key\" = \"****\" # c"),
            ("Password = hunter2 x\nb = 1", "Password = *********\nb = 1"),
            ("# token: abc", "# token: ***"),
            ("password hunter2", "password *******"),
            ("auth = { secret = \"s\", x = 1 }", "auth = { secret = \"*\", x = 1 }"),
            ("secret = \"\"\"\nab\ncd\"\"\"\nx = 1", "secret = \"\"\"\n**\n**\"\"\"\nx = 1"),
            ("tokens = [\"ab\",\n\"cd\"]\nx = 1", "tokens = [*****\n****]\nx = 1"),
            ("password = \"open\nx = 1", "password = \"****\nx = 1"),
            ("password = \"密é𐄁x\" # 密", "password = \"•·𐄁*\" # 密"),
            ("password_file = \"p\"\ntoken-file = 't'", "password_file = \"p\"\ntoken-file = 't'"),
            ("monkey = \"m\"\nkeys_max = 5", "monkey = \"m\"\nkeys_max = 5"),
            (
                "url = \"https://user:hunter2@h.example/p?t=tok3n&b=&c#f\"",
                "url = \"https://************@h.example/****************\"",
            ),
            (
                "url = \"https://hooks.slack.com/services/T0/B0/x\" # a chat",
                "url = \"https://hooks.slack.com/****************\" # a chat",
            ),
            ("url = \"hooks.slack.com/services/T0/B0/x\"", "url = \"hooks.slack.com/****************\""),
            ("url = https:hooks.slack.com/services/T0", "url = https:hooks.slack.com/***********"),
            ("ulr = \"htps://hooks.slack.com/services/T0\"", "ulr = \"htps://hooks.slack.com/***********\""),
            ("webhook.soc.url = 'https://h.example?k=v'", "webhook.soc.url = 'https://h.example****'"),
            ("url = \"https://h.example/\"\nurl_file = \"a/b\"", "url = \"https://h.example/\"\nurl_file = \"a/b\""),
            ("brokers = [\"me:pw@k:9092\", \"k:9093\"]", "brokers = [\"*****@k:9092\", \"k:9093\"]"),
            ("from = \"Wallet <a@b.example>\"", "from = \"Wallet <a@b.example>\""),
        ] {
            let masked = file(text);
            assert_eq!(masked.text, shown);
            assert_eq!((masked.text.len(), masked.text.chars().count()), (text.len(), text.chars().count()));
        }
        assert_eq!(variable("WALLETWATCH_X__PASSWORD", "abc").text, "***");
        assert_eq!(variable("WALLETWATCH_X__PASSWORD_FILE", "abc").text, "abc");
        assert_eq!(variable("WALLETWATCH_SMS__URL", "https://u@h/").text, "https://*@h/");
        assert_eq!(variable("WALLETWATCH_SMS__URL", "h.example/abc").text, "h.example/***");
        assert_eq!(variable("WALLETWATCH_SMS__SENDER", "https://h/abc").text, "https://h/***");
    }

    #[test]
    fn of_an_address_scheme_and_host_are_shown() {
        for (key, value, shown) in [
            ("url", "https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/…"),
            ("url", "https://h.example:8443?k=v", "https://h.example:8443/…"),
            ("url", "https://me:pw@h.example/x", "https://*****@h.example/…"),
            ("url", "h.example/x", "h.example/…"),
            ("url", "https://h.example/", "https://h.example/"),
            ("url", "https://h.example", "https://h.example"),
            ("url", "https://h.example/…", "https://h.example/…"),
            ("secret_file", "https://h.example/x", "https://h.example/…"),
            ("directory", "/var/lib/x", "/var/lib/x"),
            ("url_file", "keys/url", "keys/url"),
        ] {
            assert_eq!(origin(key, value), shown, "{key} {value}");
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        let pieces = ["password", "=", "\"", "'''", "[", "]", "密", "\n", "://", "@", "?", "&", "#", " ", "\\", "é"];
        let mut state = 7_u64;
        for _ in 0..5_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(state >> 60) as usize]);
            }
            let masked = file(&text).text;
            assert_eq!((masked.len(), masked.chars().count()), (text.len(), text.chars().count()), "{text}");
            let breaks = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            assert_eq!(breaks(&masked), breaks(&text), "{text}");
        }
    }

    #[test]
    fn messages_repeat_nothing_that_was_covered() {
        let covered = file("password = \"hunter2\"\ntoken = 'ab'\nurl = \"https://h.example/s/T0\"\n").covered;
        let problem = Problem::nowhere("C001", "`hunter2` is no table, \"ab\" neither").help("write https://u:p@h/");
        let problem = covered.clean(problem);
        assert_eq!(problem.message, "`*******` is no table, \"**\" neither");
        assert_eq!(problem.help.as_deref(), Some("write https://***@h/"));
        let path = covered.clean(Problem::nowhere("C006", "cannot read /etc/https://h.example/s/T0: not there"));
        assert_eq!(path.message, "cannot read /etc/https://h.example*****: not there");
        let example =
            covered.clean(Problem::nowhere("C003", "missing").help("such as \"https://h.example/walletwatch\""));
        assert_eq!(example.help.as_deref(), Some("such as \"https://h.example/walletwatch\""));
        let covered = file("url = \"https://10.0.0.1/hook\"\n").covered;
        let example = covered.clean(Problem::nowhere("C003", "no /hook").help("\"https://hooks.example/\""));
        assert_eq!(
            (example.message.as_str(), example.help.as_deref()),
            ("no *****", Some("\"https://hooks.example/\""))
        );
    }
}
