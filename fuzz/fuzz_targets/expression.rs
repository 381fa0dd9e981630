//! Any text as a condition, as a template and as both under quotes of YAML.
//!
//! Holds: nothing panics, every problem is where it says it is, what is told is told of a condition that does not
//! load, and one that loads has an answer for a row in which everything is missing.

#![no_main]

#[path = "../../src/event/mod.rs"]
mod event;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/ruleset/mod.rs"]
mod ruleset;
mod spans;
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use event::{Event, EventType, Field, Millis, TypeSet, Value};
use libfuzzer_sys::fuzz_target;
use report::{Level, SourceFile};
use ruleset::expr::{Ast, Meaning, Scope, Snippet, Ty, check_condition, compile, parse, parse_template};
use ruleset::lists::ListSet;
use ruleset::row::{Layout, Row};
use ruleset::{HashKey, Name, Part};

/// Far more than any text of the size that is tried takes, on a busy machine and with a sanitizer.
const PATIENCE: Duration = Duration::from_secs(10);
const KEY: HashKey = HashKey::new([7; 16]);

struct World {
    on: TypeSet,
    lists: Vec<(&'static str, Arc<ListSet>)>,
    defs: Vec<(&'static str, Ast)>,
}

static WORLDS: LazyLock<[World; 2]> = LazyLock::new(|| {
    let world = |on| {
        let list = |name, ty, entry: &str| {
            let mut list = ListSet::new(name, ty);
            list.insert(entry).expect("an entry");
            (name, Arc::new(list))
        };
        let lists = vec![list("ips", Ty::Ip, "198.51.100.0/24"), list("asns", Ty::Asn, "AS9808")];
        let def = |name, text: &str| (name, parse(&snippet(&file(text)), &mut Vec::new()).expect("a tree"));
        let defs = vec![def("loud", "fails >= 3 or count == 2"), def("one", "two or fails > 1"), def("two", "one")];
        World { on, lists, defs }
    };
    [world(TypeSet::NONE), world(TypeSet::of(&[EventType::Login, EventType::Transfer]))]
});

impl Scope for World {
    fn name(&self, path: &str) -> Option<Meaning<'_>> {
        let value = |name, ty| Some(Meaning::Value { name, ty, types: TypeSet::ALL, nullable: true });
        match path {
            "kmh" => return Some(Meaning::Constant(Value::Int(900), Ty::Int)),
            "fails" => return value(Name::Feature(0, Part::Value), Ty::Int),
            "ok.geo" => return value(Name::Feature(1, Part::Field(Field::Geo)), Ty::Geo),
            "ok.age" => return value(Name::Feature(1, Part::Age), Ty::Duration),
            "mean" => return value(Name::Feature(2, Part::Value), Ty::Money),
            "sp.share(1)" => return value(Name::Feature(3, Part::Share), Ty::Float),
            "broken" => return Some(Meaning::Broken),
            _ => {}
        }
        if let Some((_, ast)) = self.defs.iter().find(|(name, _)| *name == path) {
            return Some(Meaning::Def(ast));
        }
        let field = Field::parse(path)?;
        Some(Meaning::Value { name: Name::Field(field), ty: Ty::of(field), types: field.types(), nullable: true })
    }

    fn names(&self) -> Vec<String> {
        Field::all().map(|field| field.name().to_owned()).chain(["kmh", "fails", "ok.geo"].map(str::to_owned)).collect()
    }

    fn list(&self, name: &str) -> Option<&Arc<ListSet>> {
        self.lists.iter().find(|(known, _)| *known == name).map(|(_, list)| list)
    }

    fn lists(&self) -> Vec<&str> {
        self.lists.iter().map(|(name, _)| *name).collect()
    }

    fn on(&self) -> TypeSet {
        self.on
    }
}

fn file(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { path: "x.yaml".to_owned(), text: text.to_owned() })
}

fn snippet(file: &Arc<SourceFile>) -> Snippet<'_> {
    Snippet { file, text: Cow::Borrowed(&file.text), places: Vec::new(), start: 0 }
}

fuzz_target!(|text: &str| {
    let file = file(text);
    for world in WORLDS.iter() {
        let began = Instant::now();
        let mut problems = Vec::new();
        let ast = parse(&snippet(&file), &mut problems);
        let typed = ast.as_ref().and_then(|ast| check_condition(ast, world, &mut problems));
        spans::check(&problems);
        let is_wrong = problems.iter().any(|problem| problem.level == Level::Error);
        assert!(typed.is_some() != is_wrong || ast.is_none() || text.contains("broken"), "{problems:?}");
        let mut layout = Layout::default();
        if let Some(typed) = &typed {
            answers(&compile(typed, &mut layout, KEY), &layout);
        }
        let mut told = Vec::new();
        parse_template(&snippet(&file), world, &mut layout, &mut told);
        spans::check(&told);
        assert!(began.elapsed() < PATIENCE, "{:?} for {} bytes", began.elapsed(), text.len());
    }
});

fn answers(condition: &ruleset::expr::Condition, layout: &Layout) {
    let event = Event::new("e1", EventType::Login, Millis(0));
    let numbers = vec![f64::NAN; layout.numbers.into()];
    let (ids, texts) = (vec![0; layout.ids.into()], vec!["".into(); layout.texts.into()]);
    condition.is_true(&Row { event: &event, numbers: &numbers, ids: &ids, texts: &texts });
}
