//! From the parser's events to the tree, and what the subset leaves out.
//!
//! Guarantees: each thing left out is one problem at its place; after [`PROBLEMS_MAX`] the rest of a file is not
//! read. Does not judge keys or values.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle};

use super::{DEPTH_MAX, Dialect, Entry, Kind, Map, NODES_MAX, Node, Scalar, Style, codes};
use crate::report::{Problem, SourceFile};

/// Problems after which one file is not read further.
pub(super) const PROBLEMS_MAX: usize = 1000;

const QUOTE_HELP: &str = "inside {…} an expression with a comma or a bracket goes under quotes";

/// Builds it, as far as it can be read, and whether that is everything; where it is not, a problem says why.
pub(super) fn build(
    file: &Arc<SourceFile>,
    dialect: &'static Dialect,
    problems: &mut Vec<Problem>,
) -> (Option<Node>, bool) {
    let mut tree = Tree {
        file,
        dialect,
        problems,
        stack: Vec::new(),
        root: None,
        nodes: 0,
        told: 0,
        plain_in_flow: false,
        no_yaml_at: None,
    };
    for event in Parser::new_from_str_with_options(&file.text, options()) {
        let goes_on = match event {
            Ok((event, span)) => tree.take(event, span),
            Err(error) => tree.syntax_error(&error),
        };
        if !goes_on {
            tree.later_syntax_errors();
            return (tree.before_error(), false);
        }
    }
    (tree.root, true)
}

fn options() -> granit_parser::Options {
    let mut options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    options.set_emit_comments(false);
    options
}

/// Errors of YAML of one file that are looked for, each by reading the rest once more.
const SYNTAX_ERRORS_MAX: usize = 20;

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
    dialect: &'static Dialect,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    told: usize,
    /// Whether the scalar just before stood without quotes inside `{…}`: what a syntax error is likely about.
    plain_in_flow: bool,
    /// Where the file stops being YAML.
    no_yaml_at: Option<usize>,
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
                return self.stop(codes::LIMIT, bytes, &message);
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
                let message = format!("a {} is one document; a second one begins here", self.dialect.file);
                self.stop(codes::DOCUMENT, bytes, &message)
            }
            _ => true,
        }
    }

    fn tag_problem(&mut self, span: Range<usize>) -> bool {
        let message = format!("YAML tags are not allowed in {}s", self.dialect.file);
        self.tell(Problem::error(codes::TAG, self.file, span, message).help(self.dialect.tag_help))
    }

    fn anchor_problem(&mut self, span: Range<usize>) -> bool {
        let message = format!("YAML anchors and aliases are not allowed in {}s", self.dialect.file);
        self.tell(Problem::error(codes::ANCHOR, self.file, span, message).help(self.dialect.anchor_help))
    }

    fn open(&mut self, open: Open, span: Range<usize>, tag: Option<usize>) -> bool {
        self.plain_in_flow = false;
        if self.stack.len() >= DEPTH_MAX {
            return self.stop(codes::LIMIT, span, "nested deeper than 32 levels");
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
                    let (word, problem) = read_key(self.file, self.dialect, &node, seen);
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
            return self.stop(codes::LIMIT, at..at + 1, "nested deeper than 32 levels");
        }
        if *error.kind() == ErrorKind::DirectiveDisallowed {
            let message = format!("YAML directives are not allowed in {}s", self.dialect.file);
            return self.stop(codes::DOCUMENT, at..at + 1, &message);
        }
        self.no_yaml_at = Some(at);
        let line_start = self.file.text.get(..at).map_or(0, |before| before.rfind('\n').map_or(0, |n| n + 1));
        let line = self.file.text.get(line_start..at).unwrap_or("");
        // The parser stops behind a tab, sometimes several; people look for the first.
        let blanks = line.len() - line.trim_end_matches([' ', '\t']).len();
        let tab = line.get(line.len() - blanks..).and_then(|blanks| blanks.find('\t'));
        let is_tab = matches!(
            error.kind(),
            ErrorKind::TabInIndentation | ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed
        );
        let at = tab.filter(|_| is_tab).map_or(at, |tab| line_start + line.len() - blanks + tab);
        let problem = Problem::error(codes::SYNTAX, self.file, at..at + 1, format!("not YAML: {}", error.info()));
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
            _ if is_tab => problem.help("indent with spaces"),
            _ => problem,
        };
        self.problems.push(problem);
        false
    }
}

impl Tree<'_> {
    /// Tells what else is no YAML further down: the item with the error is blanked out and the text read again.
    fn later_syntax_errors(&mut self) {
        let Some(mut at) = self.no_yaml_at else { return };
        let mut text = self.file.text.clone();
        for _ in 0..SYNTAX_ERRORS_MAX {
            let item = item_around(&text, at);
            if item.end >= text.len() {
                return;
            }
            let blank: String = text.get(item.clone()).unwrap_or_default().chars().map(blanked).collect();
            text.replace_range(item.clone(), &blank);
            let next = Parser::new_from_str_with_options(&text, options()).find_map(Result::err);
            match next.as_ref().and_then(|error| error.marker().byte_offset().map(|at| (error, at))) {
                // What stands before was cut short here, and is no mistake of its own.
                Some((error, next_at)) if next_at >= item.end => {
                    self.plain_in_flow = false;
                    self.syntax_error(error);
                    at = next_at;
                }
                _ => return,
            }
        }
    }
}

/// A blank for each byte of a character, so that everything else keeps its place.
fn blanked(c: char) -> &'static str {
    match c.len_utf8() {
        _ if c == '\n' => "\n",
        1 => " ",
        2 => "  ",
        3 => "   ",
        _ => "    ",
    }
}

/// The item of a list, or the section, in which a byte stands: whole lines.
fn item_around(text: &str, at: usize) -> Range<usize> {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let line_of = |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let begins_item = |line: &str| {
        let word = line.trim_start_matches(' ');
        word.starts_with("- ") || (indent(line) == 0 && word.starts_with(|c: char| c.is_ascii_alphabetic()))
    };
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let mut start = line_of(at);
    while start > 0 && !begins_item(text.get(start..).unwrap_or_default()) {
        start = line_of(start - 1);
    }
    let depth = indent(text.get(start..).unwrap_or_default());
    let mut end = start;
    for line in text.get(start..).unwrap_or_default().split_inclusive('\n') {
        let is_next = end > at && !line.trim().is_empty() && indent(line) <= depth;
        if is_next {
            return start..end;
        }
        end += line.len();
    }
    start..text.len()
}

fn push(map: &mut Map, entry: Entry) -> Option<Problem> {
    map.entries.push(entry);
    None
}

fn read_key(
    file: &Arc<SourceFile>,
    dialect: &Dialect,
    node: &Node,
    seen: &mut HashSet<String>,
) -> (Key, Option<Problem>) {
    let error = |code, message: String| Problem::error(code, file, node.span.clone(), message);
    let word = match &node.kind {
        Kind::Scalar(scalar) if scalar.style == Style::Plain => &scalar.text,
        Kind::Scalar(scalar) if matches!(scalar.style, Style::Single | Style::Double) => &scalar.text,
        Kind::Broken => return (Key::Broken, None),
        _ => return (Key::Broken, Some(error(codes::KEY, "a key is a plain word".to_owned()))),
    };
    if word == "<<" {
        let message = format!("the merge key `<<` is not allowed in {}s", dialect.file);
        return (Key::Broken, Some(error(codes::MERGE_KEY, message).help(dialect.merge_help)));
    }
    if !seen.insert(word.clone()) {
        let problem = error(codes::DUPLICATE_KEY, format!("the key `{word}` stands here twice"));
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
    let problem = Problem::error(codes::SPLIT, file, span.clone(), "a comma ends the value inside {…}");
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
