//! YAML as rule files may use it: a strict subset, read into a tree whose nodes know their bytes.
//!
//! Guarantees: one document, no tags, anchors, aliases, merge keys or duplicate keys; every such problem is
//! told with its place, and a node that had one is [`Kind::Broken`], so that nobody tells a second one about
//! it. Time and memory grow with the file's size only. Does not know what keys mean.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle};

use super::codes;
use crate::report::{Problem, SourceFile};

/// Size of one file, at most.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Collections inside each other, at most.
pub const DEPTH_MAX: usize = 32;
/// Scalars and collections of one file, at most.
pub const NODES_MAX: usize = 200_000;
/// Problems after which one file is not read further.
const PROBLEMS_MAX: usize = 1000;

const QUOTE_HELP: &str = "inside {…} an expression with a comma or a bracket goes under quotes";
const TAG_HELP: &str = "write `not x` rather than `!x`; put an expression that starts with ! & * [ { \" under `|`";

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its bytes in the file. A quoted scalar's include the quotes; a block's begin at its first character.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping.
    Map(Map),
    /// Something a problem was told about already.
    Broken,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, decoded and folded.
    pub text: String,
    /// How it is written.
    pub style: Style,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing at all: the value of `a:`.
    Empty,
    /// Without quotes.
    Plain,
    /// Under single quotes.
    Single,
    /// Under double quotes.
    Double,
    /// Under `|` or `>`.
    Block,
}

/// A mapping, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// Its entries; no key stands twice.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's bytes.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }
}

impl Node {
    /// Its first byte: where a problem about the whole of it is shown.
    pub fn head(&self) -> Range<usize> {
        self.span.start..self.span.start + 1
    }

    /// Whether it is `null` in the core schema: nothing, `~` or `null`, without quotes.
    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => match scalar.style {
                Style::Empty => true,
                Style::Plain => matches!(scalar.text.as_str(), "~" | "null" | "Null" | "NULL"),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Reads one file. `None` where it is no tree at all; then a problem says why.
pub fn parse(file: &Arc<SourceFile>, problems: &mut Vec<Problem>) -> Option<Node> {
    let (tree, is_whole) = parse_partly(file, problems);
    tree.filter(|_| is_whole)
}

/// The same, with what stands before an error of YAML, and whether that is everything. What the error may have
/// cut short is left out.
pub fn parse_partly(file: &Arc<SourceFile>, problems: &mut Vec<Problem>) -> (Option<Node>, bool) {
    if file.text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", file.text.len());
        problems.push(Problem::error(codes::YAML_LIMIT, file, 0..0, message));
        return (None, false);
    }
    let mut options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    options.set_emit_comments(false);
    let mut tree = Tree { file, problems, stack: Vec::new(), root: None, nodes: 0, told: 0, plain_in_flow: false };
    for event in Parser::new_from_str_with_options(&file.text, options) {
        let goes_on = match event {
            Ok((event, span)) => tree.take(event, span),
            Err(error) => tree.syntax_error(&error),
        };
        if !goes_on {
            return (tree.before_error(), false);
        }
    }
    (tree.root, true)
}

/// The depth of a file's sections: the file itself, and the list or mapping of one section.
const SECTION_DEPTH: usize = 2;

/// A collection that is not closed yet.
enum Open {
    Seq { items: Vec<Node> },
    Map { map: Map, seen: HashSet<String>, key: Option<(Key, Range<usize>)>, flow: bool, split: usize },
}

/// A key that waits for its value.
enum Key {
    Word(String),
    /// A problem was told about it; its value is read and dropped.
    Broken,
}

struct Frame {
    open: Open,
    span: Range<usize>,
    tagged: bool,
}

struct Tree<'a> {
    file: &'a Arc<SourceFile>,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    told: usize,
    /// Whether the scalar just before stood without quotes inside `{…}`: what a syntax error is likely about.
    plain_in_flow: bool,
}

impl Tree<'_> {
    fn tell(&mut self, problem: Problem) -> bool {
        self.problems.push(problem);
        self.told += 1;
        self.told < PROBLEMS_MAX
    }

    /// Tells a problem after which nothing can be read.
    fn stop(&mut self, code: &'static str, span: Range<usize>, message: &str) -> bool {
        self.problems.push(Problem::error(code, self.file, span, message));
        false
    }

    /// Takes one event; `false` where reading must end.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let bytes = span.byte_range().unwrap_or(0..0);
        if event.is_node() {
            self.nodes += 1;
            if self.nodes > NODES_MAX {
                let message = format!("more than {NODES_MAX} values in one file");
                return self.stop(codes::YAML_LIMIT, bytes, &message);
            }
        }
        let tag = span.tag_start().and_then(|start| start.byte_offset());
        match event {
            Event::Scalar(text, style, _, tagged) => {
                let node = scalar_node(&self.file.text, &text, style, bytes.clone());
                let in_flow = matches!(self.stack.last(), Some(Frame { open: Open::Map { flow: true, .. }, .. }));
                self.plain_in_flow = in_flow && style == ScalarStyle::Plain;
                match tag.filter(|_| tagged.is_some()) {
                    Some(start) => {
                        let span = start..node.span.end.max(start);
                        self.tag_problem(span.clone()) && self.add(Node { span, kind: Kind::Broken })
                    }
                    None => self.add(node),
                }
            }
            Event::SequenceStart(_, _, tagged) => {
                let tagged = tagged.is_some();
                self.open(Open::Seq { items: Vec::new() }, bytes, tag.filter(|_| tagged))
            }
            Event::MappingStart(style, _, tagged) => {
                let flow = style == StructureStyle::Flow;
                let map = Open::Map { map: Map::default(), seen: HashSet::new(), key: None, flow, split: 0 };
                let tagged = tagged.is_some();
                self.open(map, bytes, tag.filter(|_| tagged))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(bytes),
            Event::Anchor(..) => self.anchor_problem(bytes),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.anchor_problem(bytes.clone()) && self.add(Node { span: bytes, kind: Kind::Broken })
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                self.stop(codes::YAML_DOCUMENT, bytes, "a rule file is one document; a second one begins here")
            }
            _ => true,
        }
    }

    fn tag_problem(&mut self, span: Range<usize>) -> bool {
        let message = "YAML tags are not allowed in rule files";
        self.tell(Problem::error(codes::YAML_TAG, self.file, span, message).help(TAG_HELP))
    }

    fn anchor_problem(&mut self, span: Range<usize>) -> bool {
        let message = "YAML anchors and aliases are not allowed in rule files";
        let help =
            "write the value out, or give it a name under `defs`; an expression that starts with & or * goes under `|`";
        self.tell(Problem::error(codes::YAML_ANCHOR, self.file, span, message).help(help))
    }

    fn open(&mut self, open: Open, span: Range<usize>, tag: Option<usize>) -> bool {
        self.plain_in_flow = false;
        if self.stack.len() >= DEPTH_MAX {
            return self.stop(codes::YAML_LIMIT, span, "nested deeper than 32 levels");
        }
        self.stack.push(Frame { open, span: span.clone(), tagged: tag.is_some() });
        match tag {
            Some(start) => {
                let end = self.file.text[start..].find(char::is_whitespace).map_or(span.start, |n| start + n);
                self.tag_problem(start..end.max(start))
            }
            None => true,
        }
    }

    fn close(&mut self, span: Range<usize>) -> bool {
        self.plain_in_flow = false;
        let Some(Frame { open, span: start, tagged }) = self.stack.pop() else { return true };
        let (kind, end) = match open {
            Open::Seq { items } => {
                let end = items.last().map_or(start.end, |n| n.span.end);
                (Kind::Seq(items), end)
            }
            Open::Map { map, .. } => {
                let end = map.entries.last().map_or(start.end, |e| e.value.span.end.max(e.key_span.end));
                (Kind::Map(map), end)
            }
        };
        // The end of a block collection is an empty span on a later line.
        let end = if span.is_empty() { end } else { span.end };
        let kind = if tagged { Kind::Broken } else { kind };
        self.add(Node { span: start.start..end.max(start.start), kind })
    }

    /// Puts a whole node where it belongs: into its list, or as key or value into its mapping.
    fn add(&mut self, node: Node) -> bool {
        let problem = match self.stack.last_mut() {
            None => {
                self.root.get_or_insert(node);
                None
            }
            Some(Frame { open: Open::Seq { items }, .. }) => {
                items.push(node);
                None
            }
            Some(Frame { open: Open::Map { map, seen, key, flow, split }, .. }) => match key.take() {
                None => {
                    let (word, problem) = read_key(self.file, &node, seen);
                    *key = Some((word, node.span));
                    problem
                }
                Some((Key::Broken, _)) => None,
                Some((Key::Word(word), key_span)) => {
                    let entry = Entry { key: word, key_span, value: node };
                    if *flow { add_flow_entry(self.file, map, entry, split) } else { push(map, entry) }
                }
            },
        };
        problem.is_none_or(|problem| self.tell(problem))
    }

    /// The file's sections as far as they were read. An entry that was open is left out, and so is the last one
    /// where none was: a wrong indent ends an entry too early.
    fn before_error(mut self) -> Option<Node> {
        let had_open_entry = self.stack.len() > SECTION_DEPTH;
        self.stack.truncate(SECTION_DEPTH);
        while !self.stack.is_empty() {
            self.close(0..0);
        }
        let mut root = self.root?;
        let Kind::Map(map) = &mut root.kind else { return None };
        if let Some(last) = map.entries.last_mut().filter(|_| !had_open_entry) {
            match &mut last.value.kind {
                Kind::Seq(items) => items.pop().map(drop),
                Kind::Map(inner) => inner.entries.pop().map(drop),
                _ => map.entries.pop().map(drop),
            };
        }
        // Without these the rules would seem to lack what only was not read.
        let is_unread = |key: &str| map.get(key).is_none() && self.file.text.contains(&format!("\n{key}:"));
        (map.get("version").is_some() && !is_unread("defaults")).then_some(root)
    }

    fn syntax_error(&mut self, error: &granit_parser::ScanError) -> bool {
        let at = error.marker().byte_offset().unwrap_or(0);
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            return self.stop(codes::YAML_LIMIT, at..at + 1, "nested deeper than 32 levels");
        }
        if *error.kind() == ErrorKind::DirectiveDisallowed {
            return self.stop(codes::YAML_DOCUMENT, at..at + 1, "YAML directives are not allowed in rule files");
        }
        let problem = Problem::error(codes::YAML_SYNTAX, self.file, at..at + 1, format!("not YAML: {}", error.info()));
        let line_start = self.file.text.get(..at).map_or(0, |before| before.rfind('\n').map_or(0, |n| n + 1));
        let line = self.file.text.get(line_start..at).unwrap_or("");
        let problem = match error.kind() {
            ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::InvalidTrailingDoubleQuotedScalar
                if self.plain_in_flow || line.contains('{') =>
            {
                problem.help(QUOTE_HELP)
            }
            ErrorKind::InvalidTrailingDoubleQuotedScalar
            | ErrorKind::InvalidTrailingSingleQuotedScalar
            | ErrorKind::ExpectedBlockMappingKey => {
                problem.help("put a text or an expression that starts with ! & * [ { \" under `|`")
            }
            ErrorKind::MappingValueNotAllowed => problem.help("a text that holds `: ` goes under quotes"),
            ErrorKind::TabInIndentation | ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed => {
                problem.help("indent with spaces")
            }
            _ => problem,
        };
        self.problems.push(problem);
        false
    }
}

fn push(map: &mut Map, entry: Entry) -> Option<Problem> {
    map.entries.push(entry);
    None
}

fn read_key(file: &Arc<SourceFile>, node: &Node, seen: &mut HashSet<String>) -> (Key, Option<Problem>) {
    let error = |code, message: String| Problem::error(code, file, node.span.clone(), message);
    let word = match &node.kind {
        Kind::Scalar(scalar) if scalar.style == Style::Plain => &scalar.text,
        Kind::Scalar(scalar) if matches!(scalar.style, Style::Single | Style::Double) => &scalar.text,
        Kind::Broken => return (Key::Broken, None),
        _ => return (Key::Broken, Some(error(codes::YAML_KEY, "a key is a plain word".to_owned()))),
    };
    if word == "<<" {
        let problem = error(codes::YAML_MERGE_KEY, "the merge key `<<` is not allowed in rule files".to_owned());
        return (
            Key::Broken,
            Some(problem.help("write the keys out; keys that all rules of a file share go under `defaults`")),
        );
    }
    if !seen.insert(word.clone()) {
        let problem = error(codes::YAML_DUPLICATE_KEY, format!("the key `{word}` stands here twice"));
        return (Key::Broken, Some(problem.help("keep one of them")));
    }
    (Key::Word(word.clone()), None)
}

/// Adds an entry of a `{…}`; where a comma has split `f(a, b)` it says so and takes the pieces as one value.
/// `split` is the number of parentheses still open.
fn add_flow_entry(file: &Arc<SourceFile>, map: &mut Map, entry: Entry, split: &mut usize) -> Option<Problem> {
    let is_piece = matches!(&entry.value.kind, Kind::Scalar(s) if s.style == Style::Empty);
    let Some(before) = map.entries.last_mut().filter(|_| is_piece) else {
        *split = 0;
        return push(map, entry);
    };
    let begins = match &before.value.kind {
        Kind::Scalar(scalar) if scalar.style == Style::Plain => still_open(0, &scalar.text),
        _ => 0,
    };
    if *split == 0 && begins == 0 {
        return push(map, entry);
    }
    let told = *split > 0;
    *split = still_open(if told { *split } else { begins }, &entry.key);
    let span = before.value.span.start..entry.key_span.end;
    before.value = Node { span: span.clone(), kind: Kind::Broken };
    if told {
        return None;
    }
    let whole = file.text.get(span.clone()).unwrap_or("");
    let problem = Problem::error(codes::YAML_SPLIT, file, span.clone(), "a comma ends the value inside {…}");
    let quote = if whole.contains('"') { '\'' } else { '"' };
    let can_quote = *split == 0 && !whole.contains([quote, '\\', '\n']);
    Some(if can_quote { problem.fix(span, format!("{quote}{whole}{quote}")) } else { problem.help(QUOTE_HELP) })
}

/// How many parentheses are open after `text` where `open` were before it.
fn still_open(open: usize, text: &str) -> usize {
    text.bytes().fold(open, |open, byte| match byte {
        b'(' => open + 1,
        b')' => open.saturating_sub(1),
        _ => open,
    })
}

fn scalar_node(source: &str, text: &str, style: ScalarStyle, span: Range<usize>) -> Node {
    let style = match style {
        ScalarStyle::Plain if span.is_empty() => Style::Empty,
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    };
    // A block's span runs into the next line's indent.
    let span = match (style, source.get(span.clone())) {
        (Style::Block, Some(raw)) => span.start..span.start + raw.trim_end().len(),
        _ => span,
    };
    let text = if style == Style::Empty { String::new() } else { text.to_owned() };
    Node { span, kind: Kind::Scalar(Scalar { text, style }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<Problem>, Arc<SourceFile>) {
        let file = Arc::new(SourceFile { path: "rules/x.yaml".to_owned(), text: text.to_owned() });
        let mut problems = Vec::new();
        (parse(&file, &mut problems), problems, file)
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
}
