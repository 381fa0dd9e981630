//! The rules for notices to users, checked on the rendered text.
//!
//! A message from a wallet must not look like the messages that rob its users: so no link, no picture, no
//! telephone number, no request for a code or password, no score and no rule. Checked over sample data when templates are loaded,
//! and on every single notice before it is queued.
//!
//! Guarantees: pure; an offence names its rule and the words that break it. Does not mend texts.

use std::sync::LazyLock;

use regex::Regex;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The code of the problem at load.
    pub code: &'static str,
    /// What the rule forbids.
    pub rule: &'static str,
    /// The words that break it.
    pub words: String,
}

const LINK: (&str, &str) = ("N004", "a notice holds no link and nothing that looks like one");
const PICTURE: (&str, &str) = ("N005", "a notice holds no picture and no QR code");
const PHONE: (&str, &str) = ("N006", "a notice holds no telephone number and no account to write to");
const SECRET: (&str, &str) = ("N007", "a notice never asks for a code or password");
const INSIDE: (&str, &str) = ("N015", "a notice tells no score and no rule");
const LEFT_OVER: (&str, &str) = ("N009", "every placeholder is replaced");
const MARKUP: (&str, &str) =
    ("N011", "HTML holds only text, tables and lists, with inline styles and a sheet of plain colours");

/// Digits that make a telephone number, with what people put between them.
const PHONE_DIGITS_MIN: usize = 7;

static LINKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // Browsers take the ideographic full stop for a dot; between Chinese words it only ends a sentence.
    // A name, a dot and two letters or more make a domain in the eyes of a mail program. `@` makes an address.
    regex(
        r"(?i)https?:|hxxp|ftp:|www\.|://|mailto:|tel:|[\p{L}\p{N}_-]+[.．｡](?:\p{L}){2,}|[a-z0-9-]+\s?。\s?[a-z]{2,}|\bdot\W{1,3}(?:com|cn|net|org|info|app|top|vip|xyz|cc|co|io)\b|@\s*[\p{L}\p{N}]|\b(?:click|tap|press) (?:here|below|this|the (?:link|button))\b|点此|点这里|点击(?:此|这|下|链)",
    )
});
static PICTURES: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"(?i)\bQR\b|二维码|扫码|扫一扫|掃碼|\bscan\b|data:image|<img|<svg"));
static NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"\+?\p{Nd}(?:[ \u{a0}()./‐‑–-]{0,3}\p{Nd})+"));
/// What is a number to call or an account to write to by the words around it, however short; and digits in words.
static REACHES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:dial|call|text|hotline|telephone)\b[^.!?\n]{0,20}\p{Nd}{3,}|(?:拨打|致电|来电|热线|电话)[^。！？\n]{0,8}[\p{Nd}零〇一二三四五六七八九]{3,}|[零〇一二三四五六七八九幺]{5,}|(?:拨打|致电)[^。！？\n]{0,8}(?:热线|电话|客服)|(?:微信|QQ)(?:号|群|客服)|(?:加|联系)微信|\b(?:call|ring|phone) (?:us|our|the (?:hotline|support|bank))\b|\b(?:wechat|whatsapp|telegram)\s*(?:id|:|：)",
    )
});
static REQUESTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"(?i)(?:\b(?:enter|send|read|reply|text|tell|give|share|provide|confirm|type|submit|forward)\b[^.!?\n]{0,60}\b(?:codes?|passwords?|passcodes?|pins?|otps?|digits?)\b)|(?:(?:输入|发送|回复|告诉|告知|提供|填写|转发|报给|提交|发给)[^。！？\n]{0,24}(?:验证码|密码|口令|动态码|校验码|位数字|PIN))|(?:(?:验证码|密码|口令|动态码|校验码)[^。！？\n]{0,12}(?:发给|发送|发来|转发|告诉|告知|提供给|回复给|报给))",
    )
});
/// What only the team needs to know.
static INSIDES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"(?i)\bscores?\b|风险分|评分|得分|\brules? [`\x22']?[a-z0-9]+(?:-[a-z0-9]+)+|规则\s*[a-z0-9]+(?:-[a-z0-9]+)+",
    )
});
static REFUSALS: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"(?i)\b(?:never|not|don't|do not|no one|nobody|won't)\b|不|勿|别|绝非"));
static TAGS: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"(?s)<(/?)([A-Za-z!][A-Za-z0-9]*)([^>]*)>"));
static ATTRIBUTES: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r#"^(?:\s+([a-z-]+)="([^"<>]*)")*\s*$"#));
static ATTRIBUTE: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r#"([a-z-]+)="([^"<>]*)""#));

/// A sheet of its own, for what cannot stand inline: the colours for readers who prefer the dark.
static SHEETS: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"(?s)<style>([^<]*)</style>"));
/// Rules of colours. No quotes, escapes or comments: nothing that writes, loads or hides a word.
static SHEET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let rule = r"[.:a-z][a-z. -]*\{\s*(?:(?:color|background-color|border-color|color-scheme)\s*:\s*[#a-zA-Z0-9 ]+(?:!important)?\s*;\s*)*\}\s*";
    regex(&format!(r"^\s*(?:{rule}|@media\s*\(prefers-color-scheme:\s*(?:dark|light)\)\s*\{{\s*(?:{rule})*\}}\s*)*$"))
});

/// A pattern of ours: a test builds them all.
fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

/// The first offence in a text that came from outside.
pub fn first_offence(text: &str) -> Option<Offence> {
    offences(text, &[]).into_iter().next()
}

/// The offences in a rendered text. `trusted` are values that were made here from numbers and clocks, which may
/// hold as many digits as they like.
pub fn offences(text: &str, trusted: &[&str]) -> Vec<Offence> {
    let mut rest = text.to_owned();
    for value in trusted.iter().filter(|v| !v.is_empty()) {
        rest = rest.replace(value, "\u{1}");
    }
    let mut found = Vec::new();
    found.extend(matches(&LINKS, &rest).map(|words| offence(LINK, whole_link(&rest, words))));
    found.extend(matches(&PICTURES, &rest).map(|words| offence(PICTURE, words)));
    let is_phone = |words: &&str| words.chars().filter(|c| c.is_numeric()).count() >= PHONE_DIGITS_MIN;
    found.extend(matches(&NUMBERS, &rest).filter(is_phone).map(|words| offence(PHONE, words)));
    found.extend(matches(&REACHES, &rest).map(|words| offence(PHONE, words)));
    found.extend(sentences(&rest).filter(|s| asks(s)).map(|words| offence(SECRET, words.trim())));
    found.extend(matches(&INSIDES, &rest).map(|words| offence(INSIDE, words)));
    for mark in ["{{", "}}", "{%", "%}", "{#"] {
        found.extend(rest.match_indices(mark).map(|(at, _)| offence(LEFT_OVER, beginning(&rest, at))));
    }
    found
}

/// The offences in rendered HTML: in its markup, and in the text a reader sees.
pub fn html_offences(html: &str, trusted: &[&str]) -> Vec<Offence> {
    let (Some(tags), Some(sheets), Some(sheet)) = (TAGS.as_ref(), SHEETS.as_ref(), SHEET.as_ref()) else {
        return vec![offence(MARKUP, "<")];
    };
    let mut found: Vec<Offence> = sheets
        .captures_iter(html)
        .filter(|found| !sheet.is_match(&found[1]))
        .map(|found| offence(MARKUP, found[1].trim()))
        .collect();
    let html = sheets.replace_all(html, "");
    let refused: Vec<_> = tags
        .captures_iter(&html)
        .map(|tag| (tag[2].to_ascii_lowercase(), tag))
        .filter(|(name, tag)| !is_allowed_tag(name, &tag[3]))
        .collect();
    // The end of an element is one cause with its beginning.
    let is_end = |name: &str, tag: &regex::Captures<'_>| {
        &tag[1] == "/" && refused.iter().any(|(other, begin)| other == name && &begin[1] != "/")
    };
    found.extend(refused.iter().filter(|(name, tag)| !is_end(name, tag)).map(|(_, tag)| offence(MARKUP, &tag[0])));
    let text = tags.replace_all(&html, "\n");
    found.extend(text.match_indices('<').map(|(at, _)| offence(MARKUP, beginning(&text, at))));
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'");
    let text = text.replace("&#x2f;", "/").replace("&nbsp;", " ").replace("&amp;", "&");
    found.extend(offences(&text, trusted));
    found
}

fn is_allowed_tag(name: &str, attributes: &str) -> bool {
    const TAGS: &[&str] = &[
        "!doctype", "html", "head", "meta", "title", "body", "div", "p", "h1", "h2", "table", "tbody", "tr", "td",
        "th", "ol", "ul", "li", "strong", "em", "span", "br", "hr",
    ];
    const ATTRIBUTES_ALLOWED: &[&str] = &[
        "style",
        "lang",
        "dir",
        "charset",
        "name",
        "content",
        "role",
        "width",
        "cellpadding",
        "cellspacing",
        "border",
        "align",
        "bgcolor",
        "class",
    ];
    if name == "!doctype" {
        return attributes.trim().eq_ignore_ascii_case("html");
    }
    let well_formed = ATTRIBUTES.as_ref().is_some_and(|r| r.is_match(attributes.trim_end_matches('/')));
    let harmless = |name: &str, value: &str| {
        let value = value.to_ascii_lowercase();
        ATTRIBUTES_ALLOWED.contains(&name) && !["url", "expression", "import", "//"].iter().any(|w| value.contains(w))
    };
    let all_harmless = ATTRIBUTE.as_ref().is_some_and(|r| r.captures_iter(attributes).all(|a| harmless(&a[1], &a[2])));
    TAGS.contains(&name) && well_formed && all_harmless
}

/// Whether a sentence asks for a secret. One that says it is never asked for, or must not be given, does not.
fn asks(sentence: &str) -> bool {
    let is = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|p| p.is_match(sentence));
    is(&REQUESTS) && !is(&REFUSALS)
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split(['.', '!', '?', '。', '！', '？', ';', '；', '\n'])
}

fn matches<'t>(pattern: &'static LazyLock<Option<Regex>>, text: &'t str) -> impl Iterator<Item = &'t str> {
    pattern.iter().flat_map(|p| p.find_iter(text)).map(|m| m.as_str())
}

/// The link that a match is part of, as far as its letters are ASCII: `https:` of `https://evil.example/x`.
fn whole_link<'t>(text: &'t str, part: &'t str) -> &'t str {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let (before, from) = text.split_at_checked(start).unwrap_or(("", part));
    let is_link = |c: char| c.is_ascii_graphic();
    let start = before.trim_end_matches(is_link).len();
    let more = from.get(part.len()..).unwrap_or_default();
    let end = before.len() + part.len() + (more.len() - more.trim_start_matches(is_link).len());
    let whole = text.get(start..end).unwrap_or(part);
    whole.trim_matches(['.', ',', ';', ':', '!', '?', '(', ')', '"', '\'', '<', '>'])
}

/// A few words from a place on, so that it can be found again.
fn beginning(text: &str, at: usize) -> &str {
    const CHARS: usize = 20;
    let rest = text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    rest.char_indices().nth(CHARS).and_then(|(end, _)| rest.get(..end)).unwrap_or(rest).trim_end()
}

fn offence((code, rule): (&'static str, &'static str), words: &str) -> Offence {
    const WORDS_CHARS_MAX: usize = 80;
    Offence { code, rule, words: words.chars().take(WORDS_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        offences(text, &["2026-11-22 11:09"]).into_iter().map(|o| o.code).collect()
    }

    #[test]
    fn all_patterns_build() {
        for pattern in [
            &LINKS,
            &PICTURES,
            &NUMBERS,
            &REACHES,
            &REQUESTS,
            &INSIDES,
            &REFUSALS,
            &TAGS,
            &ATTRIBUTES,
            &ATTRIBUTE,
            &SHEETS,
            &SHEET,
        ] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn lures_are_found() {
        for link in [
            "see https://a",
            "www.a",
            "wallet.example",
            "WALLET.CO/x",
            "钱包.中国",
            "a．com",
            "mail me@home",
            "hxxp//x",
            "请点击 wallet。cn",
            "visit wallet dot com",
            "Click here to confirm",
            "请点此处理。",
            "点击下方按钮",
        ] {
            assert!(codes(link).contains(&"N004"), "{link}");
        }
        for picture in ["Scan this", "请扫码", "the QR below"] {
            assert_eq!(codes(picture), ["N005"], "{picture}");
        }
        for phone in [
            "+86 138 0013 8000",
            "95588123",
            "call 020 7946 0958",
            "（０２０）８８８８８８８８",
            "400-820-8820",
            "Dial 95588",
            "拨打九五五八八",
            "请致电 955",
            "微信号 abc123",
            "WhatsApp: wallet-help",
            "Text HELP to 12345",
            "请拨打客服热线。",
            "请联系微信客服。",
            "Call us at once",
        ] {
            assert!(codes(phone).contains(&"N006"), "{phone}");
        }
        for request in [
            "Reply with the code you got",
            "please enter your password",
            "请回复验证码",
            "请输入您的登录密码",
            "把验证码发给我们",
            "Confirm your PIN in the app",
            "send us the 6 digits you got",
            "请回复收到的6位数字",
            "Read us the code you just received.",
            "请将密码发送给我们。",
        ] {
            assert_eq!(codes(request), ["N007"], "{request}");
        }
        for inside in
            ["Your score is 97", "the rule brute-force-account fired", "风险分 97", "触发规则 new-payee-large"]
        {
            assert_eq!(codes(inside), ["N015"], "{inside}");
        }
        assert!(codes("Dear {{ name }}").contains(&"N009"));
    }

    #[test]
    fn plain_words_pass() {
        for good in [
            "We never ask for your password or a code.",
            "我们不会向您索要密码或验证码。",
            "请勿把验证码告诉任何人。",
            "Change your password in the app.",
            "请修改登录密码。",
            "1,250.00 CNY at 2026-11-22 11:09",
            "case WW-7F3K-92D",
            "App version 7.2.1",
            "iPhone (iOS), …7788. We are here.",
            "UTC+5:30",
            "请在应用中核实。App 中可锁定账户",
            "上海市一百二十三号，电话未变",
            "WeChat Pay",
        ] {
            assert_eq!(codes(good), Vec::<&str>::new(), "{good}");
        }
    }

    #[test]
    fn html_holds_nothing_that_loads_or_leads_away() {
        let codes = |html: &str| html_offences(html, &[]).into_iter().map(|o| o.code).collect::<Vec<_>>();
        assert!(codes("<!DOCTYPE html><p style=\"color: red\">Hello<br></p>").is_empty());
        let dark = "@media (prefers-color-scheme: dark) {\n.a .b { color: #fff !important; }\np { background-color: black; }\n}";
        assert!(
            codes(&format!("<style>:root {{ color-scheme: light dark; }}\n{dark}</style><p class=\"a\">x</p>"))
                .is_empty()
        );
        for bad in [
            "<style>p { background-color: url(x); }</style>",
            "<style>p::after { content: \"call us\"; }</style>",
            "<style>p { display: none; }</style>",
            "<style>@media screen { p { color: red; } }</style>",
            "<style>p { color: \\75rl; }</style>",
            "<style>p { color: red; } /* x */</style>",
            "<style>p { color: red; }",
            "<STYLE>p { display: none; }</STYLE>",
            "<style media=\"x\">p { color: red; }</style>",
            "<a href=\"x\">y</a>",
            "<img src=\"x\">",
            "<p onclick=\"x()\">",
            "<p style=\"background: url(x)\">",
            "<script>x</script>",
            "<form><input></form>",
            "<style>@import x</style>",
            "<p style='x'>",
            "<p hidden>",
            "<iframe></iframe>",
            "a < b",
        ] {
            assert!(codes(bad).contains(&"N011"), "{bad}");
        }
        assert!(codes("<p>evil&#x2f;x www.evil.example</p>").contains(&"N004"));
    }
}
