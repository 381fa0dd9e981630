//! Exceptions: where one is true the hit is eaten, and counted.
//!
//! Guarantees: an exception says why, who answers for it and when it ends. There is none for all rules at
//! once. Does not compile conditions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::declare::first_stands;
use super::expr::Ast;
use crate::event::Millis;
use crate::report::{Lines, SourceFile};
use crate::yaml::{Kind, Node, Reader};

/// Exceptions of one rule, at most.
const EXCEPTIONS_MAX: usize = 100;

pub(super) const EXCEPTION_KEYS: &[&str] = &["name", "when", "reason", "owner", "expires"];

/// An exception as it was read.
#[derive(Debug)]
pub(super) struct ExceptionSpec {
    pub file: Arc<SourceFile>,
    /// The bytes of its name.
    pub span: Range<usize>,
    pub when: Option<Ast>,
    pub expires: Option<Millis>,
}

/// What a rule's `unless` holds.
#[derive(Debug)]
pub(super) enum Unless {
    Shared { name: String, file: Arc<SourceFile>, span: Range<usize> },
    Own(String, ExceptionSpec),
}

impl Unless {
    /// Its name, and where that stands.
    pub fn named(&self) -> (&str, &Arc<SourceFile>, &Range<usize>) {
        match self {
            Unless::Shared { name, file, span } => (name, file, span),
            Unless::Own(name, spec) => (name, &spec.file, &spec.span),
        }
    }
}

/// Reads an exception. Its name is told apart by whoever asks; one without a name is read on, so that what else
/// is wrong with it is told at once.
pub(super) fn read_exception(reader: &mut Reader<'_>, node: &Node) -> Option<(Option<String>, ExceptionSpec)> {
    let map = reader.map(node, "an exception")?;
    reader.keys(map, EXCEPTION_KEYS, &[]);
    let before = reader.problems.len();
    reader.require(node, "an exception", EXCEPTION_KEYS);
    reader.problems.iter_mut().skip(before).for_each(|problem| problem.code = codes::EXCEPTION);
    let span = map.get("name").map_or_else(|| node.head(), |node| node.span.clone());
    let name = map.get("name").and_then(|node| reader.text(node, "the name of an exception"));
    for key in ["reason", "owner"] {
        map.get(key).and_then(|node| reader.text(node, &format!("`{key}`")));
    }
    let when = map.get("when").and_then(|node| reader.expression(node, "`when`"));
    let expires = map.get("expires").and_then(|node| reader.end_of_day(node, "`expires`"));
    Some((name, ExceptionSpec { file: Arc::clone(reader.file), span, when, expires }))
}

/// Reads the `unless` of a rule; `what` is the key it stands under.
pub(super) fn read_unless(reader: &mut Reader<'_>, node: &Node, what: &str) -> Vec<Unless> {
    let Some(items) = reader.seq(node, what) else { return Vec::new() };
    if items.len() > EXCEPTIONS_MAX {
        reader.error(codes::LIMIT, node.head(), format!("a rule has at most {EXCEPTIONS_MAX} exceptions"));
    }
    let (mut names, mut lines) = (BTreeMap::new(), Lines::default());
    let mut unless = Vec::new();
    for item in items.iter().take(EXCEPTIONS_MAX) {
        let read = match &item.kind {
            Kind::Scalar(scalar) => Some(Unless::Shared {
                name: scalar.text.clone(),
                file: Arc::clone(reader.file),
                span: item.span.clone(),
            }),
            Kind::Broken => None,
            _ => read_exception(reader, item).map(|(name, spec)| {
                let nameless = || format!("exception at byte {}", item.span.start);
                Unless::Own(name.unwrap_or_else(nameless), spec)
            }),
        };
        let Some(read) = read else { continue };
        let (name, _, span) = read.named();
        let span = span.clone();
        match names.entry(name.to_owned()) {
            Slot::Vacant(slot) => drop(slot.insert(span)),
            Slot::Occupied(slot) => {
                let help = first_stands(&mut lines, reader.file, slot.get());
                reader.error_help(codes::NAME, span, format!("the exception `{name}` stands here twice"), &help);
            }
        }
        unless.push(read);
    }
    unless
}
