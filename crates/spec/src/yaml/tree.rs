//! The located tree: what the text says, and where.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::read::Located;
use crate::path::{Path, Step};

/// A config of a thousand jobs with ten targets each stays far below; an alias bomb is stopped here.
const MAX_NODES: usize = 200_000;
/// The most fields of one map: duplicates are looked for one by one.
const MAX_FIELDS: usize = 5_000;
/// Deepest nesting, aliases included; the types need fewer than ten levels.
const MAX_DEPTH: usize = 48;
/// The longest text that is parsed.
pub(crate) const MAX_TEXT_BYTES: usize = 8 << 20;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place. No `Debug`: it may hold secrets.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) content: Content,
    /// Could not be read; treated as if it were not there.
    pub(crate) dropped: bool,
}

/// What a node is.
#[derive(Clone)]
pub(crate) enum Content {
    /// Nothing, `~` or `null`.
    Null,
    /// A text as written, without quotes; `plain` if it had none, so that it may be a number or a boolean.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file.
    Map(Vec<Entry>),
}

/// One field of a map.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn new(at: Position, content: Content) -> Self {
        Self { at, content, dropped: false }
    }

    /// A field that is there and could be read.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|e| e.key == key && !e.value.dropped),
            _ => None,
        }
    }

    /// Whether there is such a field, and it could not be read.
    pub(crate) fn dropped_entry(&self, step: &Step) -> bool {
        match (&self.content, step) {
            (Content::Map(entries), Step::Key(key)) => {
                entries.iter().any(|e| e.key == *key && e.value.dropped)
            }
            _ => false,
        }
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.content {
            Content::Map(entries) => {
                entries.iter_mut().map(|e| (&e.key, &mut e.value)).find(|(k, v)| *k == key && !v.dropped)
            }
            _ => None,
        }
        .map(|(_, value)| value)
    }

    /// This node, the nodes below it, and how deep they go.
    fn measure(&self) -> (usize, usize) {
        let below = |children: &mut dyn Iterator<Item = &Node>| {
            children.map(Node::measure).fold((1, 0), |(n, d), (nodes, depth)| (n + nodes, d.max(depth)))
        };
        let (nodes, depth) = match &self.content {
            Content::Null | Content::Scalar { .. } => (1, 0),
            Content::List(items) => below(&mut items.iter()),
            Content::Map(entries) => below(&mut entries.iter().map(|e| &e.value)),
        };
        (nodes, depth + 1)
    }
}

/// A list or a map that is not closed yet.
struct Open {
    anchor: usize,
    node: Node,
    /// The key that waits for its value.
    key: Option<(String, Position)>,
    /// Values of `<<`, merged when the map closes.
    merges: Vec<Node>,
}

struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Located>,
}

/// Parses one document. Where the text is no YAML, the problems say why and there is no tree; an empty text is an empty map.
pub(crate) fn parse(text: &str) -> (Option<Node>, Vec<Located>) {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the file has {} bytes, expected at most {MAX_TEXT_BYTES}", text.len());
        return (None, vec![Located::at(Position::default(), message)]);
    }
    let mut builder =
        Builder { open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, problems: Vec::new() };
    let mut options = Options::default();
    options.emit_comments = false;
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let mark = error.marker();
                let at = Position { line: mark.line().max(1), column: mark.col() + 1 };
                Err(Located::at(at, format!("this is not YAML: {}", error.info())))
            }
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return (None, builder.problems);
        }
    }
    let root = builder.root.unwrap_or_else(|| Node::new(Position { line: 1, column: 1 }, Content::Null));
    (Some(root), builder.problems)
}

impl Builder {
    /// An error ends the parsing; what can be passed over goes to `problems`.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Located> {
        let at = Position { line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                self.check_tag(tag.as_deref(), at);
                let plain = style == ScalarStyle::Plain && !text_tag;
                let content = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Content::Null,
                    text => Content::Scalar { text: text.to_owned(), plain },
                };
                self.close(Node::new(at, content), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                self.open(Node::new(at, Content::List(Vec::new())), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                self.open(Node::new(at, Content::Map(Vec::new())), anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(mut open) => {
                    self.merge(&mut open);
                    self.close(open.node, open.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(Located::at(at, "this alias stands inside its own anchor"));
                };
                let (nodes, depth) = node.measure();
                self.nodes += nodes;
                self.check_limits(at, depth)?;
                self.close(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Located::at(at, "a second document begins here; expected one document in the file"))
            }
            _ => Ok(()),
        }
    }

    fn check_tag(&mut self, tag: Option<&granit_parser::Tag>, at: Position) {
        if let Some(tag) = tag.filter(|tag| tag.is_custom()) {
            let message = format!("the tag `{}` means nothing here: leave it out", shorten(&tag.original()));
            self.problems.push(Located::at(at, message));
        }
    }

    fn check_limits(&self, at: Position, depth: usize) -> Result<(), Located> {
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, counting each use of an alias");
            return Err(Located::at(at, message));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(Located::at(at, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(())
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), Located> {
        self.check_limits(node.at, 1)?;
        self.open.push(Open { anchor, node, key: None, merges: Vec::new() });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Located> {
        self.nodes += 1;
        self.check_limits(node.at, 0)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
            self.nodes += node.measure().0;
        }
        let Some(mut parent) = self.open.pop() else {
            self.root = Some(node);
            return Ok(());
        };
        let result = self.put(&mut parent, node);
        self.open.push(parent);
        result
    }

    fn put(&mut self, parent: &mut Open, node: Node) -> Result<(), Located> {
        let entries = match &mut parent.node.content {
            Content::List(items) => {
                items.push(node);
                return Ok(());
            }
            Content::Map(entries) => entries,
            Content::Null | Content::Scalar { .. } => return Ok(()),
        };
        let Some((key, key_at)) = parent.key.take() else {
            parent.key = Some(match node.content {
                Content::Scalar { text, .. } => (text, node.at),
                Content::Null => ("null".to_owned(), node.at),
                Content::List(_) | Content::Map(_) => {
                    return Err(Located::at(
                        node.at,
                        "found a list or map as a field's name, expected a text",
                    ));
                }
            });
            return Ok(());
        };
        if key == "<<" {
            parent.merges.push(node);
        } else if let Some(first) = entries.iter().find(|entry| entry.key == key) {
            let message =
                format!("given twice; the first is on line {}: keep one of them", first.key_at.line);
            self.problems.push(Located::new(self.path().key(&key), key_at, message));
        } else if entries.len() >= MAX_FIELDS {
            return Err(Located::at(key_at, format!("more than {MAX_FIELDS} fields in one map")));
        } else {
            entries.push(Entry { key, key_at, value: node });
        }
        Ok(())
    }

    /// Where the innermost open list or map stands.
    fn path(&self) -> Path {
        let step = |open: &Open| match (&open.node.content, &open.key) {
            (Content::List(items), _) => Step::Index(items.len()),
            (_, Some((key, _))) => Step::Key(key.clone()),
            (_, None) => Step::Key(String::new()),
        };
        Path(self.open.iter().map(step).collect())
    }

    /// YAML's merge key: fields of the merged maps that the map doesn't have itself; the earlier one wins.
    fn merge(&mut self, open: &mut Open) {
        let Content::Map(entries) = &mut open.node.content else { return };
        for merged in std::mem::take(&mut open.merges) {
            let at = merged.at;
            let sources = match merged.content {
                Content::List(items) => items,
                content => vec![Node::new(at, content)],
            };
            for source in sources {
                let Content::Map(found) = source.content else {
                    self.problems.push(Located::at(source.at, "`<<` expects a map, or a list of maps"));
                    continue;
                };
                for entry in found {
                    if entries.len() < MAX_FIELDS && entries.iter().all(|own| own.key != entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
    }
}

/// At most 60 characters of a text that somebody else wrote, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
