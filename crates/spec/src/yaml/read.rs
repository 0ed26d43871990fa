//! Reading a whole document: every problem of the file, not only the first.

use serde::Deserialize;

use super::de;
use super::tree::{self, Content, Node, Position, shorten};
use crate::path::{Path, Step};

/// More problems than this are not looked for.
const MAX_PROBLEMS: usize = 50;

/// Sections and fields, by parts of their names, whose values never appear in a message.
const SECRET_WORDS: [&str; 6] = ["api", "auth", "password", "credentials", "token", "secret"];

/// Something that is wrong, or only noteworthy, at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) path: Path,
    pub(crate) at: Position,
    pub(crate) message: String,
}

impl Located {
    pub(crate) fn new(path: Path, at: Position, message: impl Into<String>) -> Self {
        Self { path, at, message: message.into() }
    }

    pub(crate) fn at(at: Position, message: impl Into<String>) -> Self {
        Self::new(Path::root(), at, message)
    }
}

/// A parsed text whose values can be read as types and whose places can be asked for.
pub(crate) struct Document {
    pub(crate) root: Node,
}

impl Document {
    /// The tree, or why there is none. Problems that leave a tree (a field given twice) are appended.
    pub(crate) fn parse(text: &str, problems: &mut Vec<Located>) -> Option<Self> {
        let (root, found) = tree::parse(text);
        problems.extend(found);
        root.map(|root| Self { root })
    }

    /// Whether it is a list as a whole.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.root.content, Content::List(_))
    }

    /// Replaces `${NAME}` in every text; `problems` gets the names that are not known.
    pub(crate) fn expand(&mut self, lookup: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<Located>) {
        expand(&mut self.root, &Path::root(), lookup, problems);
    }

    /// Reads the document as a `T`. What can't be read is appended to `problems`, marked as dropped and passed over.
    pub(crate) fn read<T: for<'de> Deserialize<'de> + Default>(&mut self, problems: &mut Vec<Located>) -> T {
        for _ in 0..MAX_PROBLEMS {
            let fault = match de::read(&self.root) {
                Ok(value) => return value,
                Err(fault) => fault,
            };
            let (path, at, message) = fault.into_parts();
            let secret = path.0.iter().any(|step| match step {
                Step::Key(key) => SECRET_WORDS.iter().any(|word| key.contains(word)),
                Step::Index(_) => false,
            });
            let dropped = self.drop_at(&path);
            let message = if secret { redact(&message) } else { message };
            problems.push(Located::new(path, at, message));
            if !dropped {
                break;
            }
        }
        T::default()
    }

    /// Marks a node so that it is passed over; false for the root or where there is none.
    fn drop_at(&mut self, path: &Path) -> bool {
        let mut node = &mut self.root;
        for step in &path.0 {
            let child = match (&mut node.content, step) {
                (Content::List(items), Step::Index(index)) => items.get_mut(*index),
                (Content::Map(entries), Step::Key(key)) => {
                    entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.value)
                }
                _ => None,
            };
            match child {
                Some(child) => node = child,
                None => return false,
            }
        }
        !path.0.is_empty() && !std::mem::replace(&mut node.dropped, true)
    }

    /// Whether the text gives a value at a path of the types.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let mut node = Some(&self.root);
        for step in &path.0 {
            node = node.and_then(|node| match (&node.content, step) {
                (Content::List(items), Step::Index(index)) => {
                    items.iter().filter(|item| !item.dropped).nth(*index)
                }
                (_, Step::Key(key)) => node.entry(key).map(|entry| &entry.value),
                _ => None,
            });
        }
        node.is_some()
    }

    /// The place of a value by its path in the types. Elements that were dropped don't count there, so the path is
    /// translated back; a value that the file doesn't give has the place of the nearest value around it. None for a
    /// value that was dropped, and is thus reported already.
    pub(crate) fn locate(&self, path: &Path) -> Option<(Path, Position)> {
        let mut node = &self.root;
        let mut at = node.at;
        let mut found = Path::root();
        for (depth, step) in path.0.iter().enumerate() {
            let child = match (&node.content, step) {
                (Content::List(items), Step::Index(index)) => items
                    .iter()
                    .enumerate()
                    .filter(|(_, item)| !item.dropped)
                    .nth(*index)
                    .map(|(original, item)| (Step::Index(original), item.at, item)),
                (_, Step::Key(key)) => node.entry(key).map(|e| (step.clone(), e.key_at, &e.value)),
                _ => None,
            };
            let Some((step, place, child)) = child else {
                if node.dropped_entry(step) {
                    return None;
                }
                found.0.extend(path.0.iter().skip(depth).cloned());
                return Some((found, at));
            };
            // A field that holds a list or map is pointed at by its name, anything else by its value.
            at = match child.content {
                Content::Scalar { .. } => child.at,
                _ => place,
            };
            found.0.push(step);
            node = child;
        }
        Some((found, at))
    }
}

/// Takes what stands between the first and the last backquote out of a message.
fn redact(message: &str) -> String {
    match (message.find("found `"), message.rfind('`')) {
        (Some(start), Some(_)) => {
            let rest = &message[start + 7..];
            let end = rest.find("`, expected").map_or(rest.len(), |end| end + 1);
            format!("{}found a text{}", &message[..start], &rest[end..])
        }
        _ => message.to_owned(),
    }
}

fn expand(
    node: &mut Node,
    path: &Path,
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Located>,
) {
    match &mut node.content {
        Content::Null => {}
        Content::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &path.index(index), lookup, problems);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                expand(&mut entry.value, &path.key(&entry.key), lookup, problems);
            }
        }
        Content::Scalar { text, .. } => {
            if let Some(expanded) = expand_text(text, lookup, &mut |name| {
                let name = shorten(name);
                let message = format!(
                    "the environment variable `{name}` is not set; set it, or write `$${{{name}}}` for the text itself"
                );
                problems.push(Located::new(path.clone(), node.at, message));
            }) {
                *text = expanded;
            }
        }
    }
}

/// None where there is nothing to replace.
fn expand_text(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    missing: &mut dyn FnMut(&str),
) -> Option<String> {
    if !text.contains("${") {
        return None;
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, tail) = rest.split_at(start);
        let name = tail.find('}').and_then(|end| tail.get(2..end)).filter(|name| is_name(name));
        let escaped = before.ends_with('$');
        let Some(name) = name else {
            result.push_str(before);
            result.push_str("${");
            rest = tail.get(2..).unwrap_or_default();
            continue;
        };
        if escaped {
            result.push_str(before.get(..before.len() - 1).unwrap_or_default());
            result.push_str(&format!("${{{name}}}"));
        } else {
            result.push_str(before);
            match lookup(name) {
                Some(value) => result.push_str(&value),
                None => missing(name),
            }
        }
        rest = tail.get(name.len() + 3..).unwrap_or_default();
    }
    result.push_str(rest);
    Some(result)
}

/// `[A-Z_][A-Z0-9_]*`: lower case stays free for `${1}` and `${name}` of regular expressions.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
