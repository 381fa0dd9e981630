//! What people are told of their mistakes.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::report::{Level, render, sorted};

/// How diagnostics look: the contract.
const ERRORS: &str = include_str!("../../../../tests/data/errors.txt");

/// The file the contract's problems are in, as far as it shows its lines.
fn bad_file() -> Arc<SourceFile> {
    let mut lines: Vec<String> = Vec::new();
    for shown in ERRORS.lines() {
        let Some((number, text)) = shown.split_once(" | ") else { continue };
        let Ok(number) = number.trim().parse::<usize>() else { continue };
        lines.resize(lines.len().max(number), String::new());
        // Of the patched lines the first, which is the file's own, stays.
        if lines[number - 1].is_empty() {
            lines[number - 1] = text.to_string();
        }
    }
    file("rules/bad.yaml", &lines.join("\n"))
}

/// The snippet from the first place of `from` to the end of the line of `to`.
fn part<'f>(file: &'f Arc<SourceFile>, from: &str, to: &str) -> Snippet<'f> {
    let start = file.text.find(from).expect("the first words");
    let last = start + file.text[start..].find(to).expect("the last words");
    let end = file.text[last..].find('\n').map_or(file.text.len(), |n| last + n);
    Snippet { file, text: Cow::Borrowed(&file.text[start..end]), places: Vec::new(), start }
}

#[test]
fn problems_look_as_agreed() {
    let file = bad_file();
    let mut problems = Vec::new();
    for (on, from, to) in [
        (EventType::Transfer, "amount > 5", "amount > 5"),
        (EventType::Login, "type ==", "&& asn > 5"),
        (EventType::Login, "ip in lists.vip\n", "ip in"),
        (EventType::Transfer, "amount > 5000 and amount < \"9\"", "amount > 5000"),
    ] {
        let ast = parse(&part(&file, from, to), &mut problems).expect("a tree");
        assert!(check_condition(&ast, &World::on(&[on]), &mut problems).is_none());
    }
    let blocks = ERRORS.split("\nerror[").skip(1).filter(|b| b.starts_with(['E', 'T']));
    let expected: String = blocks.map(|b| format!("error[{}\n", b.trim_end_matches("\n22 problems\n"))).collect();
    let rendered = render(&problems, false);
    let (rendered, _) = rendered.rsplit_once("\n\n").expect("a closing line");
    assert_eq!(rendered.trim_end(), expected.trim_end());
}

/// Each expression with all its problems: code, what is marked, what is said.
fn told(world: &World, expressions: &[&str]) -> String {
    let mut told = String::new();
    for expression in expressions {
        let (typed, problems) = check(world, expression);
        assert_eq!(typed.is_none(), problems.iter().any(|p| p.level == Level::Error), "{expression}");
        writeln!(told, "{expression}").expect("a string");
        for problem in sorted(&problems) {
            let (file, span) = problem.at.as_ref().expect("a place");
            let at = file.text.get(span.clone()).expect("a span on character boundaries");
            let place = if file.path == "rules/test.yaml" { String::new() } else { format!(" ({})", file.path) };
            write!(told, "  {} `{at}`{place}: {}", problem.code, problem.message).expect("a string");
            if let Some(help) = &problem.help {
                write!(told, "; {help}").expect("a string");
            }
            if let Some(fix) = &problem.fix {
                let mut fixed = file.text.clone();
                fixed.replace_range(fix.span.clone(), &fix.with);
                write!(told, " → {fixed}").expect("a string");
            }
            told.push('\n');
        }
    }
    told
}

#[test]
fn mistakes_of_writing() {
    insta::assert_snapshot!(told(
        &World::on(&[EventType::Login]),
        &[
            "!new_device && (mfa || loud)",
            "mfa = true",
            "mfa <> true",
            "mfa AND NOT loud",
            "acct_fail_10m => 3 & loud",
            "result == 'success'",
            "result == “success”",
            "acct_fail_10m ＞ 3",
            "金额 > 5 and loud",
            "acct_fail_10m > 3 %",
            "result == \"success",
            "matches(platform, \"\\d+\")",
            "acct_fail_10m > 1_000",
            "acct_fail_10m > 99999999999999999999",
            "acct_device.age > 10 m",
            "acct_device.age > 1.5h",
            "acct_device.age > 10min",
            "acct_device.age > 99999999999d",
            "acct_out_90d.mean > 5 CNX",
            "acct_out_90d.mean > 5 cny",
            "acct_out_90d.mean > 5CNY",
            "acct_out_90d.mean > 5.001 CNY",
            "1 < acct_fail_10m < 3 and loud and foo",
            "acct_fail_10m < 3 is missing",
            "device in lists.vipp in lists.vip",
            "geo.accuracy_km ?? 1 ?? 2 > 3",
            "",
            "# nothing",
            "loud and",
            "and loud",
            "loud or or mfa",
            "(loud and mfa",
            "loud) and foo",
            "(loud mfa) and foo",
            "loud mfa and foo",
            "lower(platform",
            "lower(platform and foo",
            "lower(platform) == ",
            "account in (\"a\", \"b\") and foo",
            "account in \"a\"",
            "account in",
            "country in [CN, \"US\"]",
            "country in []",
            "country in [\"CN\" \"US\"]",
            "country in [\"CN\", \"US\"",
            "country in [lower(platform)]",
            "device is null and loud",
            "device is not",
            "device == missing",
            "[1, 2] == 3",
            "acct_fail_10m + not loud",
            "asn == AS4294967296",
            "* 3 == 2",
            "mfa == True",
        ]
    ));
}

#[test]
fn mistakes_of_types() {
    insta::assert_snapshot!(told(
        &World::on(&[EventType::Login]),
        &[
            "acct_fail_10m",
            "loud and 5",
            "not device",
            "acct_out_90d.mean > 5",
            "5 < acct_out_90d.mean",
            "acct_out_90d.mean > acct_fail_10m",
            "acct_out_90d.mean < \"9\"",
            "\"9\" < acct_out_90d.mean",
            "acct_device.age > 5",
            "acct_device.age > \"5h\"",
            "time > 5m",
            "asn == 9808",
            "asn == \"AS9808\"",
            "asn > AS1",
            "device > \"d\"",
            "device == account",
            "device == acct_last_ok.device and device < acct_last_ok.device",
            "device == \"\"",
            "mfa == \"true\"",
            "mfa == 1",
            "result == \"sucess\"",
            "result == \"SUCCESS\"",
            "result == \"denied\"",
            "method == \"sms\"",
            "result == success",
            "result == reason",
            "country == \"UK\"",
            "country == \"ZZ\"",
            "country == CN",
            "country in [\"CN\", \"USA\", 5]",
            "ip == \"198.51.100.0/24\"",
            "ip == \"localhost\"",
            "ip in [\"10.0.0.1\", \"ten\"]",
            "5 CNY < 3 USD",
            "acct_out_90d.mean + 5 > 1 CNY",
            "acct_out_90d.mean * acct_out_90d.mean > 1 CNY",
            "time + time > time",
            "device - 1 == 2",
            "-device == 2",
            "acct_device.age / 2 CNY > 1",
            "5 CNY + 3 USD > 1 CNY",
            "(device ?? 5) == \"d\"",
            "(acct_device.age ?? 5) > 5h",
            "(result ?? \"succes\") == \"success\"",
            "acct_out_90d.maen > 3 CNY and acct_fial_10m > 1",
            "nothing_like_it > 3",
            "device == null",
            "amount > 5",
            "lists.vip == 3",
            "lists.vip",
            "device in lists.vip",
            "ip in lists.vipp",
            "account in lists.carrier_nat",
            "distnce_km(geo, geo) > 5",
            "distance_km(geo) > 5",
            "min(1) > 5",
            "distance_km(geo, ip) > device",
            "speed_kmh(geo, acct_last_ok.geo, 5) > 3",
            "now() > time",
            "lower(5) == \"x\"",
            "min(5 CNY, 5) > 1 CNY",
            "max(device, account) == \"x\"",
            "hour(time, \"Asia/Shangai\") > 3",
            "hour(time, zone) > \"3\"",
            "matches(platform, \"a(b\")",
            "matches(platform, \"(a{1000}){1000}\")",
            "matches(platform, device)",
            "matches(platform, lower(platform))",
            "one",
            "wrong or wrong",
            "broken_feature > 3 and foo",
            "new_device > 3",
        ]
    ));
}

#[test]
fn fields_that_only_some_types_have() {
    let world = World::on(&[EventType::Login, EventType::Transfer, EventType::Logout]);
    insta::assert_snapshot!(told(&world, &["amount > 5 CNY", "result == \"success\" or mfa", "by == \"user\""]), @r#"
    amount > 5 CNY
      T005 `amount`: `amount` exists on limit_changed, payment, top_up, transfer and withdrawal events, but this runs on login and logout events
    result == "success" or mfa
      T005 `result`: `result` exists on login and mfa events, but this runs on logout and transfer events
      T005 `mfa`: `mfa` exists on login events, but this runs on logout and transfer events
    by == "user"
      T005 `by`: `by` exists on lock, logout and report events, but this runs on login and transfer events
    "#);
}

#[test]
fn absence_that_is_easily_overlooked() {
    insta::assert_snapshot!(told(
        &World::on(&[EventType::Login]),
        &[
            "device != acct_last_ok.device",
            "device is missing or acct_last_ok.device is missing or device != acct_last_ok.device",
            "device is missing or (loud and device != \"d1\")",
            "(device ?? \"d0\") != \"d1\"",
            "asn not in lists.carrier_nat",
            "asn is missing or asn not in lists.carrier_nat",
            "device is not missing and device != \"d1\"",
            "not (acct_device.age < 24h or mfa)",
            "not new_device",
            "not (not mfa)",
            "result != \"success\"",
            "device == \"d1\"",
        ]
    ));
}

#[test]
fn templates() {
    let world = World::on(&[EventType::Login]);
    let read = |text: &str| {
        let (mut problems, mut layout) = (Vec::new(), Layout::default());
        let file = file("rules/test.yaml", text);
        let pieces = parse_template(&snippet(&file), &world, &mut layout, &mut problems);
        let mut told = format!("{text}\n");
        for problem in sorted(&problems) {
            let (file, span) = problem.at.as_ref().expect("a place");
            let (help, fix) = (problem.help.as_deref().unwrap_or("-"), problem.fix.as_ref().map(|f| f.with.as_str()));
            writeln!(told, "  {} `{}`: {}; {help} → {fix:?}", problem.code, &file.text[span.clone()], problem.message)
                .expect("a string");
        }
        for piece in pieces.into_iter().flatten() {
            writeln!(told, "  {piece:?}").expect("a string");
        }
        told
    };
    let all: String = [
        "{acct_fail_10m} failed logins from {ip}, {{so}} faster than {kmh} km/h",
        "  登录失败 {acct_fail_10m} 次\n    来自 { ip }  \n",
        "{acct_fial_10m} and {acct_last_ok.nothing}",
        "{login_name} {acct_last_ok.login_name} {amount} {new_device} {lists.vip}",
        "{ip and } {} {acct_fail_10m + 1} {broken_feature} 金{",
        "",
    ]
    .into_iter()
    .map(read)
    .collect();
    insta::assert_snapshot!(all);
}

#[test]
fn limits_hold_and_are_told_once() {
    let mut world = World::on(&[EventType::Login]);
    let deep = [
        format!("{}loud{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}loud", "not ".repeat(4000)),
        format!("{}1 == 1", "-".repeat(9000)),
        format!("1{} > 0", " + 1".repeat(4000)),
        format!("{} > 0", "abs(".repeat(4000)),
        format!("{}loud", "f(a b and ".repeat(1600)),
        format!("loud or {}", "x".repeat(EXPRESSION_BYTES_MAX)),
    ];
    for text in deep {
        let (typed, problems) = check(&world, &text);
        let limits = problems.iter().filter(|p| [codes::TOO_DEEP, codes::TOO_LONG].contains(&p.code)).count();
        assert!(typed.is_none() && limits <= 1 && problems.len() <= 70, "{}: {}", &text[..20], problems.len());
    }
    // Defs that double each time: sixty of them are 2^60 parts.
    const NAMES: [&str; 12] = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11"];
    world.def("d0", &["loud"; 9].join(" and "));
    for pair in NAMES.windows(2) {
        world.def(pair[1], &[pair[0]; 9].join(" and "));
    }
    let (typed, problems) = check(&world, "d11");
    assert!(typed.is_none());
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), [codes::TOO_LARGE]);
}

#[test]
fn in_a_quoted_scalar_the_fix_is_escaped_like_the_text() {
    let file = file("rules/test.yaml", r#"when: "type == \"lgoin\" && mfa""#);
    let (start, text) = (7, "type == \"lgoin\" && mfa");
    let mut places = Vec::new();
    let mut at = start;
    for byte in text.bytes() {
        places.push(at);
        at += if byte == b'"' { 2 } else { 1 };
    }
    places.push(at);
    let snippet = Snippet { file: &file, text: text.into(), places, start };
    let mut problems = Vec::new();
    let ast = parse(&snippet, &mut problems).expect("a tree");
    assert!(check_condition(&ast, &World::on(&[EventType::Login]), &mut problems).is_none());
    let mut fixed = file.text.clone();
    for problem in sorted(&problems).iter().rev() {
        let fix = problem.fix.as_ref().expect("a fix");
        fixed.replace_range(fix.span.clone(), &fix.with);
    }
    assert_eq!(fixed, r#"when: "type == \"login\" and mfa""#);
}

/// Pieces from which nonsense is made.
const PIECES: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "is",
    "missing",
    "true",
    "==",
    "!=",
    "<",
    "=",
    "&&",
    "!",
    "+",
    "-",
    "*",
    "/",
    "??",
    "(",
    ")",
    "[",
    "]",
    ",",
    "5",
    "2.5",
    "10m",
    "5 CNY",
    "AS1",
    "\"d\"",
    "\"",
    "'",
    "\\",
    "#",
    "\n",
    "loud",
    "device",
    "amount",
    "geo",
    "lists.vip",
    "lower(",
    "min(",
    "foo.bar",
    "金额",
    "＞",
    "“",
    "é",
    "\u{0}",
    "sp.share(1)",
    ".",
    "not in",
    "is missing",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn nonsense_is_answered_with_places(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40), gap in 0..2) {
        let text = pieces.join(if gap == 0 { " " } else { "" });
        let (typed, problems) = check(&World::on(&[EventType::Login]), &text);
        prop_assert_eq!(typed.is_none(), problems.iter().any(|p| p.level == Level::Error), "{}", text);
        for problem in &problems {
            let (file, span) = problem.at.as_ref().expect("a place");
            prop_assert!(file.text.get(span.clone()).is_some(), "{} {:?}", text, span);
            prop_assert!(problem.fix.iter().all(|fix| file.text.get(fix.span.clone()).is_some()));
        }
        let file = file("rules/test.yaml", &text);
        parse_template(&snippet(&file), &World::on(&[EventType::Login]), &mut Layout::default(), &mut Vec::new());
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}") {
        let (typed, problems) = check(&World::on(&[EventType::Login]), &text);
        prop_assert_eq!(typed.is_none(), problems.iter().any(|p| p.level == Level::Error), "{}", text);
    }
}
