//! Rule files from the outside: what is told about mistakes, and what a set that loads means.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use walletwatch::event::Millis;
use walletwatch::report::{self, Problem};
use walletwatch::ruleset::explain::Example;
use walletwatch::ruleset::{self, HashKey, Loaded, Sources};
use walletwatch::tuning;

/// 2027-01-01.
const TODAY: Millis = Millis(1_798_761_600_000);

fn bytes(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn data(path: &str) -> String {
    String::from_utf8(bytes(path)).expect("UTF-8")
}

fn load(files: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let mut sources = Sources::new("rules");
    for (path, text) in files {
        sources.add(*path, text.as_bytes(), None);
    }
    ruleset::load(&sources, HashKey::new([7; 16]), Some(TODAY))
}

#[test]
fn diagnostics_look_as_designed() {
    let problems = load(&[("bad.yaml", &data("errors/bad.yaml"))]).expect_err("22 problems");
    let example = data("errors/errors.txt");
    let (_, expected) = example.split_once("\n\n").expect("a line of introduction");
    assert_eq!(report::render(&problems, false), expected);
}

/// A rule file without mistakes, beside a policy that has one.
const GOOD: &str = "version: 1\nrules: []\n";

/// What is told about one file of `mistakes/`, in the place its name says.
fn told(name: &str) -> Vec<Problem> {
    let own = bytes(&format!("mistakes/{name}.yaml"));
    let mut sources = Sources::new("rules");
    // An age that only a list looks at.
    let made = Some(Millis(1_767_225_600_000)).filter(|_| name.starts_with("warning-stale"));
    match name.split('-').next() {
        Some("policy") => {
            sources.add("policy.yaml", own, None);
            sources.add("good.yaml", GOOD, None);
        }
        Some("overlay") => {
            sources.add("overlay.yaml", own, None);
            sources.add("overlaid.yaml", data("overlaid.yaml"), None);
        }
        _ => sources.add(format!("{name}.yaml"), own, made),
    }
    if name.starts_with("list-file-with") {
        sources.add(format!("lists/{name}.txt"), bytes(&format!("mistakes/{name}.txt")), None);
    }
    if name.starts_with("file-beside-one-that-cannot-be-read") {
        sources.add_unreadable("other.yaml", "permission denied");
    }
    all_told(&sources)
}

/// All that is told about a set, its failed tests too.
fn all_told(sources: &Sources) -> Vec<Problem> {
    match ruleset::load(sources, HashKey::new([7; 16]), Some(TODAY)) {
        Ok(loaded) => {
            let ruleset = Arc::new(loaded.ruleset);
            let failed = tuning::failed_tests(&ruleset, HashKey::new([7; 16]));
            ruleset.warnings.iter().cloned().chain(failed).collect()
        }
        Err(problems) => problems,
    }
}

#[test]
fn the_wrong_example_of_a_code_is_told_it_and_the_mended_one_is_not() {
    let told = |example: &Example| {
        let (name, text) = example.whole();
        let mut sources = Sources::new("rules");
        sources.add(name, text, Some(Millis(1_767_225_600_000)));
        if name == "policy.yaml" {
            sources.add("good.yaml", GOOD, None);
        }
        all_told(&sources)
    };
    for entry in ruleset::explain::entries() {
        let Some((wrong, mended)) = &entry.examples else { continue };
        let (wrong, mended) = (told(wrong), told(mended));
        let shown = || format!("{}\n{}\n{}", entry.code, report::render(&wrong, false), report::render(&mended, false));
        assert!(wrong.iter().any(|problem| problem.code == entry.code), "{}", shown());
        assert!(mended.iter().all(|problem| problem.code != entry.code), "{}", shown());
        assert!(mended.iter().all(|problem| problem.level == report::Level::Warning), "{}", shown());
    }
}

#[test]
fn a_code_is_explained_on_the_command_line() {
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        let output = command.args(["rules", "explain-code"]).args(arguments).output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    insta::assert_snapshot!(run(&["t003"]).1);
    let (exit, all, _) = run(&["--format", "json"]);
    assert_eq!((exit, all.lines().count()), (Some(0), ruleset::codes::explained().count()));
    for (code, words) in [("k001", "every test passed all the same"), ("L004", "keep one of the two")] {
        let (exit, told, _) = run(&[code]);
        assert!(exit == Some(0) && told.contains(words), "{told}");
    }
    let (exit, _, told) = run(&["T03"]);
    assert_eq!(exit, Some(64));
    assert!(told.contains("there is no code T03; did you mean T0"), "{told}");
}

/// The names of the files of `mistakes/`.
fn mistakes() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules/mistakes");
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn every_code_has_a_file_with_its_mistake() {
    let told: BTreeSet<&str> = mistakes().iter().flat_map(|name| told(name)).map(|problem| problem.code).collect();
    // A revision is compared with that of another set: `rules check --base` has tests of its own.
    let all = ruleset::codes::all().map(|(code, _)| code).filter(|code| *code != ruleset::codes::REVISION);
    let missing: Vec<&str> = all.filter(|code| !told.contains(code)).collect();
    assert!(missing.is_empty(), "no file of mistakes/ is told {missing:?}");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let names = mistakes();
    assert!(names.len() > 140, "{}", names.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("../data/rules/mistakes/told");
    settings.set_omit_expression(true);
    settings.bind(|| {
        for name in names {
            let told = report::render(&told(&name), false);
            assert!(!told.is_empty(), "nothing is told about {name}");
            insta::assert_snapshot!(name, told);
        }
    });
}

fn rules(text: &str) -> Loaded {
    load(&[("x.yaml", text)]).unwrap_or_else(|problems| panic!("{}", report::render(&problems, false)))
}

/// A draft of a rule with this condition, on logins.
fn with_condition(sections: &str, when: &str) -> String {
    format!(
        "version: 1\n{sections}rules:\n  - {{id: r1, title: t, owner: o, severity: low, score: 10, on: login, \
         audience: [security], when: '{when}', explain: e, runbook: https://example.org/r}}\n"
    )
}

#[test]
fn a_feature_is_what_it_keeps_and_not_its_name_or_place() {
    let of = |name: &str, definition: &str| {
        let sections = format!("features:\n  {name}: {definition}\n");
        rules(&with_condition(&sections, &format!("{name} > 3"))).ruleset.features[0].identity
    };
    let first = of("a", "{count: login, where: result == \"failure\" and channel == \"web\", by: account, over: 10m}");
    let same = "{over: 600s, by: account, where: 'result==\"failure\"   and (channel == \"web\")', count: login}";
    assert_eq!(first, of("b", same));
    for other in [
        "{count: login, where: result == \"failure\", by: account, over: 10m}",
        "{count: login, where: result == \"failure\" and channel == \"app\", by: account, over: 10m}",
        "{count: login, where: result == \"failure\" and channel == \"web\", by: account, over: 11m}",
        "{count: login, where: result == \"failure\" and channel == \"web\", by: ip, over: 10m}",
        "{count: login, where: result == \"failure\" and channel == \"web\", by: account, over: 10m, include: prior}",
        "{count: [login, mfa], where: result == \"failure\" and channel == \"web\", by: account, over: 10m}",
        "{distinct: login.ip, where: result == \"failure\" and channel == \"web\", by: account, over: 10m}",
        "{rate: login, where: result == \"failure\" and channel == \"web\", by: account, over: 10m}",
        "{share: login, where: result == \"failure\" and channel == \"web\", by: account, over: 10m}",
        "{decayed: login, where: result == \"failure\" and channel == \"web\", by: account, half_life: 10m}",
    ] {
        assert_ne!(first, of("a", other), "{other}");
    }
}

#[test]
fn a_rule_knows_what_it_reads() {
    let sections = "features:\n  last_ok: {last: login, by: account, over: 1h}\n  n: {count: login, by: ip, over: 1h}\n\
                    defs:\n  far: distance_km(geo, last_ok.geo) > 500\n";
    let loaded = rules(&with_condition(sections, "far and n > 2 and account.logins > 3"));
    let rule = &loaded.ruleset.rules[0];
    assert!(rule.reads_state);
    let evidence: Vec<&str> = rule.evidence.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(evidence, ["account.logins", "last_ok.geo", "n"]);
    let features = &loaded.ruleset.features;
    assert_eq!(
        features.iter().map(|f| (f.name.as_str(), f.parts.len())).collect::<Vec<_>>(),
        [("last_ok", 8), ("n", 1)],
        "a place is kept with the sighting it belongs to"
    );
    let named = |(name, _): &(String, _)| name.clone();
    assert_eq!(rule.sightings.travel.iter().map(named).collect::<Vec<_>>(), ["distance_km"]);
    assert_eq!((rule.sightings.own.len(), rule.sightings.kept.len()), (8, 8));
    let two = "features:\n  ok: {last: login, by: account, over: 1h}\n  seen: {last: login, by: device, over: 1h}\n";
    let when = "distance_km(geo, ok.geo) > 5 and distance_km( ok.geo,  seen.geo ) > 5 and distance_km(geo, ok.geo) < 9";
    let two = rules(&with_condition(two, when));
    let travel: Vec<String> = two.ruleset.rules[0].sightings.travel.iter().map(named).collect();
    assert_eq!(travel, ["distance_km(geo, ok.geo)", "distance_km( ok.geo, seen.geo )"]);
    assert_eq!(two.ruleset.rules[0].sightings.kept.len(), 16);
    let quiet = rules(&with_condition("", "channel == \"api\""));
    assert!(!quiet.ruleset.rules[0].reads_state && quiet.ruleset.rules[0].evidence.is_empty());
    assert!(quiet.ruleset.rules[0].sightings.own.is_empty());
}

#[test]
fn defaults_hold_until_a_rule_says_otherwise() {
    let text = "version: 1\ndefaults: {state: draft, owner: team, severity: low, score: 10, group: g, audience: [security],\
        \n  on: login, when: result == \"failure\", explain: \"{account}\", runbook: https://example.org/r}\nrules:\
        \n  - {id: b, title: t}\n  - {id: a, title: t, owner: other, score: 20, group: h, state: off, \
        tests: [{name: f, given: {type: login, result: failure}, events: [{expect: fire}, {result: success, expect: quiet}]}]}\n";
    let loaded = rules(text);
    let told: Vec<_> = loaded
        .ruleset
        .rules
        .iter()
        .map(|r| (r.id.as_str(), r.owner.as_str(), r.score, r.group.as_str(), r.state))
        .collect();
    use ruleset::State::{Draft, Off};
    assert_eq!(told, [("a", "other", 20, "h", Off), ("b", "team", 10, "g", Draft)]);
}

#[test]
fn an_exception_ends_with_its_day() {
    let text = with_condition(
        "exceptions:\n  - {name: x, when: channel == \"web\", reason: r, owner: o, expires: 2027-01-31}\n",
        "count > 0",
    );
    let loaded = rules(&text.replace("explain: e,", "explain: e, unless: [x],"));
    assert_eq!(loaded.ruleset.rules[0].unless[0].expires.rfc3339(), "2027-02-01T00:00:00.000Z");
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other_and_blames_no_name() {
    let uses = with_condition("", "n > 3 and ip in lists.l and amount > 5 CNY");
    let codes = |broken: &str| {
        let problems = load(&[("a.yaml", broken), ("b.yaml", &uses)]).expect_err("problems");
        let sorted = report::sorted(&problems).into_iter();
        sorted.map(|problem| format!("{} {}", problem.code, problem.message)).collect::<Vec<_>>()
    };
    let not_money = "T005 `amount` exists on limit_changed, payment, top_up, transfer and withdrawal events, but this \
                     runs on login events";
    let open = "Y001 not YAML: unclosed bracket '{'";
    assert_eq!(
        codes("version: 1\nfeatures: {l: {count: login, by: ip, over: 1h}, n: {count: login"),
        [open, not_money]
    );
    let told = codes("version: 1\nfeatures: {n: {count: login");
    assert_eq!(told, [open, "T006 unknown list `lists.l`", not_money], "no file seems to declare it");
}

#[test]
fn what_stands_before_an_error_of_yaml_is_judged_and_what_it_cuts_short_is_not() {
    let whole = |id: &str, severity: &str| {
        format!(
            "  - {{id: {id}, title: t, owner: o, severity: {severity}, score: 10, on: login, audience: [security], \
             when: later > 3, explain: e, runbook: https://example.org/r}}\n"
        )
    };
    let told = |broken: &str| {
        let text = format!("version: 1\nrules:\n{}{}{broken}", whole("r1", "hgih"), whole("r2", "low"));
        let problems = load(&[("a.yaml", &text)]).expect_err("problems");
        report::sorted(&problems).iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    // The feature `later` may be declared in what could not be read; r3 is not blamed for what it would lack.
    for broken in [
        "  - id: r3\n    title: \"open\nfeatures:\n  later: {}\n",
        "  - id: r3\n    title: t\n   owner: o\nfeatures:\n  later: {}\n",
        "  - id: r3\n    title: a: b\nfeatures:\n  later: {}\n",
        "  - {id: r3, title: t\nfeatures:\n  later: {}\n",
    ] {
        assert_eq!(told(broken), ["R009", "Y001"], "{broken}");
    }
    assert_eq!(told("\t- id: r3\n"), ["Y001"], "a tab makes the whole list doubtful");
    assert_eq!(told("  - id: \"r3\n"), ["R009", "T003", "T003", "Y001"], "`later` stands nowhere else");
    assert_eq!(told("  - id: \"r3\ndefaults: {owner: later}\n"), ["Y001"], "the defaults are not known");
}

#[test]
fn files_are_one_set() {
    let features = "version: 1\nfeatures:\n  n: {count: login, by: account, over: 1h}\n";
    let loaded = load(&[("a.yaml", &with_condition("", "n > 3")), ("z.yaml", features)]).expect("a set");
    assert_eq!(loaded.ruleset.features.len(), 1);
    let twice = load(&[("a.yaml", &with_condition("", "n > 3")), ("y.yaml", features), ("z.yaml", features)]);
    assert_eq!(twice.expect_err("twice").iter().map(|p| p.code).collect::<Vec<_>>(), ["R006"]);
}

#[test]
fn of_a_name_that_stands_twice_the_first_place_is_told() {
    let first = "version: 1\nlists:\n  l: {type: ip, owner: o, max_age: 30d, items: [192.0.2.1]}\namounts:\n  big: {CNY: 5}\n\
                 features:\n  n: {count: login, by: account, over: 1h}\ndefs:\n  d: channel == \"web\"\nparams:\n\
                 \u{20} p: {value: 5}\nexceptions:\n  - {name: e, when: d, reason: r, owner: o, expires: 2027-01-31}\n";
    let problems = load(&[("a.yaml", first), ("b.yaml", &format!("\n{first}"))]).expect_err("everything twice");
    let told: Vec<(&str, &str)> = report::sorted(&problems)
        .iter()
        .map(|problem| (problem.message.as_str(), problem.help.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(
        told,
        [
            ("there is a list `l` already", "the first one stands at rules/a.yaml:3"),
            ("there is an amount `big` already", "the first one stands at rules/a.yaml:5"),
            ("there is a feature `n` already", "the first one stands at rules/a.yaml:7"),
            ("there is a def `d` already", "the first one stands at rules/a.yaml:9"),
            ("there is a param `p` already", "the first one stands at rules/a.yaml:11"),
            ("there is an exception `e` already", "the first one stands at rules/a.yaml:13"),
        ]
    );
}

#[test]
fn an_absent_policy_is_the_default_and_a_broken_one_is_told() {
    assert_eq!(rules(GOOD).policy, ruleset::Policy::default());
    let policy = "version: 1\nbands: {low: 10, medium: 20, high: 30, critical: 40}\nroutes: [{audience: operations, from: high, channels: [pager]}]\n";
    let loaded = load(&[("x.yaml", GOOD), ("policy.yaml", policy)]).expect("a set");
    assert_eq!(loaded.policy.bands.of(35), Some(ruleset::Band::High));
    assert_eq!(loaded.policy.routes[0].channels, ["pager"]);
}

/// A copy of the shipped rules in which `from` stands as `to`.
fn rules_with(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let copy = tempfile::tempdir().expect("a temporary directory");
    for folder in ["", "lists", "runbooks"] {
        std::fs::create_dir_all(copy.path().join(folder)).expect("a folder");
        for entry in std::fs::read_dir(shipped.join(folder)).expect("the folder") {
            let entry = entry.expect("an entry");
            if entry.path().is_file() {
                std::fs::copy(entry.path(), copy.path().join(folder).join(entry.file_name())).expect("a copy");
            }
        }
    }
    let path = copy.path().join(file);
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains(from), "{from}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
    copy
}

/// Runs `walletwatch rules …` beside a directory `rules`: exit code and stdout.
fn run(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .arg("rules")
        .args(arguments)
        .args(["--rules", &directory.to_string_lossy()])
        .output()
        .expect("the binary runs");
    let shown = String::from_utf8(output.stdout).expect("UTF-8").replace(&*directory.to_string_lossy(), "rules");
    (output.status.code().expect("an exit code"), shown)
}

#[test]
fn a_test_that_fails_says_what_was_expected_and_what_happened() {
    let rules = rules_with("guessing.yaml", "failures: {value: 10,", "failures: {value: 11,");
    let (exit, told) = run(rules.path(), &["test", "--rule", "brute-force-many-sources"]);
    assert_eq!(exit, 1);
    insta::assert_snapshot!(told);
    let (exit, told) = run(rules.path(), &["test", "--rule", "velocity-sum", "--format", "json"]);
    assert_eq!(exit, 0);
    for line in told.lines() {
        let result: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&result["rule"], &result["outcome"]), (&"velocity-sum".into(), &"passed".into()));
    }
    assert_eq!(run(rules.path(), &["test", "--rule", "velocity"]).0, 64);
}

#[test]
fn a_known_gap_is_no_failure() {
    let name = "      - name: the tenth failure from five addresses of two countries\n";
    let rules = rules_with("guessing.yaml", name, &format!("{name}        todo: true\n"));
    let (exit, told) = run(rules.path(), &["test", "--rule", "brute-force-many-sources"]);
    assert_eq!(exit, 0);
    assert!(told.contains("passes now, drop its `todo`: brute-force-many-sources"), "{told}");
}

#[test]
fn check_answers_by_its_exit_code() {
    let good = rules_with("money.yaml", "version: 1", "version: 1");
    let (exit, told) = run(good.path(), &["check"]);
    let [summary, not_run] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert_eq!((exit, summary), (0, "55 rules (7 live, 2 shadow, 46 draft) and 79 features: rules"));
    let (tests, command) = not_run.split_once(" tests were not run: ").expect("what was not done");
    assert_eq!((tests.parse::<usize>().is_ok(), command), (true, "walletwatch rules test --rules rules"));
    assert_eq!(run(good.path(), &["check", "--strict"]).0, 0);
    let doubtful = rules_with("money.yaml", "runbooks/velocity-sum.md", "runbooks/lost.md");
    assert_eq!(run(doubtful.path(), &["check"]).0, 0);
    assert_eq!(run(doubtful.path(), &["check", "--strict"]).0, 1);
    let bad = rules_with("money.yaml", "owner: team-payments", "onwer: team-payments");
    let (exit, told) = run(bad.path(), &["check", "--format", "json"]);
    assert_eq!(exit, 1);
    let problem: serde_json::Value = serde_json::from_str(told.lines().next().expect("a line")).expect("JSON");
    assert_eq!(problem["fix"]["with"], "owner");
    assert_eq!(run(Path::new("/nowhere/at/all"), &["check"]).0, 66);
}
