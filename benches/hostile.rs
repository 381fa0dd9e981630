//! Files that are made to take long to read, of any size.

/// A shape of hostile file.
pub struct Shape {
    /// What is hostile about it.
    pub name: &'static str,
    /// A file of about so many bytes.
    pub make: fn(usize) -> String,
}

/// All of them.
pub const SHAPES: &[Shape] = &[
    Shape { name: "one line of open brackets", make: |bytes| format!("version: 1\nrules: {}\n", "[".repeat(bytes)) },
    Shape { name: "pairs of brackets", make: |bytes| format!("version: 1\nrules: [{}]\n", "[],".repeat(bytes / 3)) },
    Shape { name: "one long scalar", make: |bytes| format!("version: 1\ntitle: {}\n", "a".repeat(bytes)) },
    Shape {
        name: "one long quoted scalar",
        make: |bytes| format!("version: 1\ntitle: \"{}\"\n", "\\x41".repeat(bytes / 4)),
    },
    Shape {
        name: "a quote that does not close",
        make: |bytes| format!("version: 1\ntitle: \"{}\n", "a b\n  ".repeat(bytes / 6)),
    },
    Shape {
        name: "a long block",
        make: |bytes| format!("version: 1\ndefs:\n  a: |\n{}", lines(bytes, |n| format!("    count > {n} or\n"))),
    },
    Shape { name: "unknown keys", make: |bytes| format!("version: 1\n{}", lines(bytes, |n| format!("k{n}: 1\n"))) },
    Shape { name: "one key again and again", make: |bytes| format!("version: 1\n{}", "a: 1\n".repeat(bytes / 5)) },
    Shape {
        name: "anchors",
        make: |bytes| format!("version: 1\nrules:\n{}", lines(bytes, |n| format!("  - &a{n} x\n"))),
    },
    Shape {
        name: "aliases",
        make: |bytes| format!("version: 1\nx: &a [b]\nrules:\n{}", lines(bytes, |_| "  - *a\n".to_owned())),
    },
    Shape { name: "tags", make: |bytes| format!("version: 1\nrules:\n{}", lines(bytes, |n| format!("  - !t{n} x\n"))) },
    Shape {
        name: "errors of YAML",
        make: |bytes| format!("version: 1\nrules:\n{}", lines(bytes, |_| "  - id: a: b\n".to_owned())),
    },
    Shape { name: "a long comment", make: |bytes| format!("version: 1\n{}rules: []\n", "# a\n".repeat(bytes / 4)) },
    Shape { name: "a huge expression", make: |bytes| with_rules(&[&lines(bytes, |n| format!("count > {n} or "))]) },
    Shape {
        name: "rules that lack everything",
        make: |bytes| format!("version: 1\nrules:\n{}", lines(bytes, |n| format!("  - {{id: r{n}}}\n"))),
    },
    Shape { name: "rules with unknown names", make: |bytes| rules(bytes, |n| format!("unknwon{n} > 3")) },
    Shape {
        name: "rules with one unknown name each and many features",
        make: |bytes| {
            let features = lines(bytes / 2, |n| format!("  feature_{n}: {{count: login, by: ip, over: 1h}}\n"));
            rules(bytes / 2, |n| format!("featuer_{n} > 3"))
                .replace("rules:\n", &format!("features:\n{features}rules:\n"))
        },
    },
    Shape {
        name: "expressions at their limit",
        make: |bytes| {
            let when = (0..1000).map(|n| format!("count > {n}")).collect::<Vec<_>>().join(" or ");
            rules(bytes, |_| when.clone())
        },
    },
    Shape { name: "expressions of mistakes", make: |bytes| rules(bytes, |_| "a == == b && ".repeat(300)) },
    Shape { name: "expressions of open brackets", make: |bytes| rules(bytes, |_| "(a or ".repeat(500)) },
    Shape { name: "texts that do not close", make: |bytes| rules(bytes, |_| "'a \"b ".repeat(500)) },
    Shape {
        name: "unknown functions, zones, words and countries",
        make: |bytes| {
            rules(bytes, |n| {
                format!(
                    "fu{n}(ip) or hour(time, \\\"Asia/Sh{n}\\\") > 3 or result == \\\"sucess{n}\\\" or country == \\\"XX\\\""
                )
            })
        },
    },
    Shape {
        name: "large patterns",
        make: |bytes| rules(bytes, |_| "matches(user_agent, \\\"(a{50}){50}\\\")".to_owned()),
    },
    Shape {
        name: "defs in a chain",
        make: |bytes| {
            format!(
                "version: 1\ndefs:\n  d0: count > 3\n{}",
                lines(bytes, |n| format!("  d{}: d{n} or count > 5\n", n + 1))
            )
        },
    },
    Shape {
        name: "defs that double",
        make: |bytes| {
            format!("version: 1\ndefs:\n  d0: count > 3\n{}", lines(bytes, |n| format!("  d{}: d{n} or d{n}\n", n + 1)))
        },
    },
    Shape {
        name: "rules that all take one large def",
        make: |bytes| {
            let defs = (1..12).map(|n| format!("  d{n}: d{} or d{}\n", n - 1, n - 1)).collect::<String>();
            let rules = rules(bytes, |_| "d11".to_owned());
            rules.replace("rules:\n", &format!("defs:\n  d0: count > 3 and ip is missing\n{defs}rules:\n"))
        },
    },
    Shape {
        name: "features that read every field",
        make: |bytes| {
            let features = lines(bytes / 2, |n| format!("  f{n}: {{last: login, by: ip, over: 1h}}\n"));
            rules(bytes / 2, |n| {
                (0..20).map(|m| format!("f{}.age > {m}s", n * 20 + m)).collect::<Vec<_>>().join(" or ")
            })
            .replace("rules:\n", &format!("features:\n{features}rules:\n"))
        },
    },
    Shape {
        name: "amounts",
        make: |bytes| format!("version: 1\namounts:\n{}", lines(bytes, |n| format!("  a{n}: {{CNX: 5}}\n"))),
    },
    Shape {
        name: "params and tests that name them",
        make: |bytes| {
            let params = lines(bytes / 2, |n| format!("  p{n}: {{value: {n}}}\n"));
            let entries = lines(bytes / 2, |n| format!("          - {{ip: \"{{p{n}}}\"}}\n"));
            let tests =
                format!("    tests:\n      - name: t\n        given: {{type: login}}\n        events:\n{entries}");
            format!("version: 1\nparams:\n{params}rules:\n  - id: r\n    on: login\n    when: count > 3\n{tests}")
        },
    },
    Shape {
        name: "tests",
        make: |bytes| {
            let tests = lines(bytes, |n| format!("      - {{name: t{n}, events: [{{tpye: logn}}]}}\n"));
            format!("version: 1\nrules:\n  - id: r\n    on: login\n    when: count > 3\n    tests:\n{tests}")
        },
    },
    Shape {
        name: "exceptions",
        make: |bytes| {
            format!(
                "version: 1\nexceptions:\n{}",
                lines(bytes, |n| format!("  - {{name: e{n}, when: unknown{n} > 3}}\n"))
            )
        },
    },
    Shape {
        name: "items of a list",
        make: |bytes| {
            let items = lines(bytes, |n| format!("    - not an address {n}\n"));
            format!("version: 1\nlists:\n  l:\n    type: ip\n    items:\n{items}")
        },
    },
    Shape {
        name: "an unclosed file that declares what rules name",
        make: |bytes| format!("{}  - {{id: open\n", rules(bytes, |n| format!("unknown_{n} > 3"))),
    },
];

/// Lines until there are so many bytes.
fn lines(bytes: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(bytes + 64);
    for n in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&line(n));
    }
    text
}

/// Rules with these conditions, under double quotes.
fn rules(bytes: usize, when: impl Fn(usize) -> String) -> String {
    let rule = |n: usize| {
        format!(
            "  - {{id: r{n}, title: t, owner: o, severity: low, score: 10, on: login, audience: [security], when: \"{}\", \
             explain: e, runbook: https://example.org/r}}\n",
            when(n)
        )
    };
    format!("version: 1\nrules:\n{}", lines(bytes, rule))
}

fn with_rules(conditions: &[&str]) -> String {
    let rules =
        conditions.iter().enumerate().map(|(n, when)| format!("  - {{id: r{n}, on: login, when: \"{when}\"}}\n"));
    format!("version: 1\nrules:\n{}", rules.collect::<String>())
}
