//! The subset: spans, what it leaves out, and hostile files.

use super::tree::PROBLEMS_MAX;
use super::*;

fn read(text: &str) -> (Option<Node>, Vec<Problem>, Arc<SourceFile>) {
    let file = Arc::new(SourceFile { path: "rules/x.yaml".to_owned(), text: text.to_owned() });
    let mut problems = Vec::new();
    (parse(&file, &crate::ruleset::RULE_FILES, &mut problems), problems, file)
}

/// A tree in one line, each scalar as the bytes under its span.
fn outline(node: &Node, text: &str) -> String {
    match &node.kind {
        Kind::Scalar(_) => format!("‹{}›", &text[node.span.clone()]),
        Kind::Seq(items) => format!("[{}]", items.iter().map(|n| outline(n, text)).collect::<Vec<_>>().join(" ")),
        Kind::Map(map) => {
            let entry = |e: &Entry| format!("{}={}", &text[e.key_span.clone()], outline(&e.value, text));
            format!("{{{}}}", map.entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
        Kind::Broken => format!("✗‹{}›", &text[node.span.clone()]),
    }
}

#[test]
fn spans_are_the_bytes_of_each_scalar() {
    let text = "规则: 登录\nwhen: |\n    a > 1   # why\n    and b\nnext: \"q \\u4e00\"\nnone:\nlist:\n  - {k: v w, l: [1, 2]}\n  - x\n    y\nfold: >-\n  one\n\n  two\nlast: 'it''s'\n";
    let (node, problems, _) = read(text);
    assert_eq!(problems, []);
    insta::assert_snapshot!(outline(&node.expect("a tree"), text));
}

#[test]
fn what_the_subset_leaves_out_is_told_with_its_place() {
    let text = "\
when: !trusted and amount > 5000
tagged: !!map
  a: 1
anchored: &a v
aliased: *a
unknown: *b
<<: {x: 1}
? [complex]
: 1
anchored: twice
feature: {count: login, where: distance_km(geo, b) > 3 and c, by: account}
three: {where: max(1, f(2), 3), by: ip}
quoted: {where: max(1, 'x'
";
    let (node, problems, _) = read(text);
    assert_eq!(node, None, "the last line is not YAML");
    insta::assert_snapshot!(crate::report::render(&problems, false));
    let (node, problems, _) = read(&text[..text.find("quoted").expect("there")]);
    insta::assert_snapshot!(outline(&node.expect("a tree"), text));
    assert_eq!(problems.len(), 10);
}

#[test]
fn each_syntax_error_says_what_to_do() {
    let texts = [
        "a: b: c\n",
        "a: \"x\" == y\n",
        "a: {where: x in [1]}\n",
        "a: {where: f(a, \"x\")}\n",
        "a: {n} is\n",
        "a: [1\n",
        "a:\n\tb: 1\n",
        "%YAML 1.2\n---\na: 1\n",
        "a: 1\n---\nb: 1\n",
        "- ? \"",
        "a: \"\\q\"\n",
    ];
    let told: Vec<String> =
        texts.iter().map(|text| format!("{text:?}\n{}", crate::report::render(&read(text).1, false))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn hostile_files_end_soon() {
    let full = |piece: &str| piece.repeat(FILE_BYTES_MAX / piece.len());
    let lines = |line: &dyn Fn(usize) -> String| {
        let text: String = (0..60_000).map(line).collect();
        text.chars().take(FILE_BYTES_MAX).collect::<String>()
    };
    let texts = [
        full("["),
        full("{"),
        full("- "),
        full("- \n"),
        full("a: "),
        full("? "),
        full("*a "),
        full("&a "),
        full("!t "),
        full("x"),
        full("x\n"),
        full("x "),
        full(" "),
        full("\n"),
        full("\t"),
        full("#\n"),
        full("- *a\n"),
        full("- &a x\n"),
        full("- !t x\n"),
        full("- {a: f(1, 2)}\n"),
        full("\""),
        full("'"),
        full("- \"\\\n\"\n"),
        format!("[{}]", full("1,")[..FILE_BYTES_MAX - 2].to_owned()),
        format!("{{{}", full("a,")),
        format!("a: |\n{}", full(" x\n")),
        format!("a: \"{}", full("\\n")),
        format!("a: {{{}", full("f(,")),
        lines(&|n| format!("key{n}: {n}\n")),
        lines(&|_| "same: 1\n".to_owned()),
        lines(&|n| format!("- [{n}, {{a: b}}]\n")),
        full("[[[["),
        full("]"),
        full("--- \n"),
        full("\u{feff}"),
        full("值: "),
        full("%"),
        full("a:\n "),
        full("|\n"),
    ];
    // Far above what a slow machine needs, far below what a step for each pair of bytes would take.
    let limit = std::time::Duration::from_secs(60);
    for text in texts {
        let started = std::time::Instant::now();
        let (_, problems, _) = read(&text);
        let took = started.elapsed();
        let shown: String = text.chars().take(12).collect();
        assert!(took < limit, "{shown:?} took {took:?}");
        assert!(problems.len() <= PROBLEMS_MAX, "{shown:?}");
        crate::report::render(&problems, false);
        let drawn = started.elapsed() - took;
        assert!(drawn < limit, "{shown:?} took {drawn:?} to draw");
    }
}
