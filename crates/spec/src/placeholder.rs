//! What stands for the component in the texts of an action.

use larnax_core::ComponentId;

use crate::suggest;
use crate::value::ValueError;

/// What a word in braces stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{component}`: the whole id, `service/shop/orders`.
    Component,
    /// `{kind}`: `service`.
    Kind,
    /// `{scope}`: `shop`.
    Scope,
    /// `{name}`: `orders`.
    Name,
}

impl Placeholder {
    const ALL: [Self; 4] = [Self::Component, Self::Kind, Self::Scope, Self::Name];

    /// The word in the braces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Kind => "kind",
            Self::Scope => "scope",
            Self::Name => "name",
        }
    }

    /// What is put in its place.
    pub fn of(self, component: &ComponentId) -> &str {
        match self {
            Self::Component => component.as_str(),
            Self::Kind => component.kind(),
            Self::Scope => component.scope(),
            Self::Name => component.name(),
        }
    }
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// It stands for itself.
    Text(&'a str),
    /// It stands for the component or a part of it.
    Placeholder(Placeholder),
}

/// Takes a text of an action apart. `{{` is a brace, and `}}` is one.
///
/// # Errors
/// Where a brace is alone, or what stands in braces is unknown. A text of a checked config has no such place.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ValueError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let (brace, after) = from.split_at(1);
        rest = if let Some(after) = after.strip_prefix(brace) {
            pieces.push(Piece::Text(brace));
            after
        } else {
            let word = (brace == "{").then(|| after.split_once('}')).flatten();
            let Some((word, after)) = word else { return Err(lone_brace(text, brace)) };
            let known = Placeholder::ALL.into_iter().find(|one| one.as_str() == word);
            pieces.push(Piece::Placeholder(known.ok_or_else(|| unknown(word))?));
            after
        };
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// The text that stands for `text` in an action, whatever braces are in it.
pub fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn lone_brace(text: &str, brace: &str) -> ValueError {
    ValueError::new(text, &format!("`{brace}{brace}` for a brace, or one of {}", all()))
}

fn unknown(word: &str) -> ValueError {
    let hint = match suggest::nearest(word, Placeholder::ALL.map(Placeholder::as_str)) {
        Some(name) => format!("; did you mean `{{{name}}}`?"),
        None => "; a brace itself is written `{{` or `}}`".to_owned(),
    };
    ValueError::new(&format!("{{{word}}}"), &format!("one of {}{hint}", all()))
}

fn all() -> String {
    Placeholder::ALL.map(|one| format!("`{{{}}}`", one.as_str())).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_and_doubled_braces_are_braces() {
        assert_eq!(
            pieces("a {kind}{name}é{{x}}").unwrap(),
            [
                Piece::Text("a "),
                Piece::Placeholder(Placeholder::Kind),
                Piece::Placeholder(Placeholder::Name),
                Piece::Text("é"),
                Piece::Text("{"),
                Piece::Text("x"),
                Piece::Text("}"),
            ]
        );
        assert_eq!(pieces("").unwrap(), []);
    }

    #[test]
    fn what_is_unknown_or_alone_says_what_is_known() {
        for (text, message) in [
            (
                "/run/{nmae}",
                "found `{nmae}`, expected one of `{component}`, `{kind}`, `{scope}`, `{name}`; did you mean `{name}`?",
            ),
            (
                "{}",
                "found `{}`, expected one of `{component}`, `{kind}`, `{scope}`, `{name}`; a brace itself is written `{{` or `}}`",
            ),
            (
                "a{",
                "found `a{`, expected `{{` for a brace, or one of `{component}`, `{kind}`, `{scope}`, `{name}`",
            ),
            (
                "{{x}",
                "found `{{x}`, expected `}}` for a brace, or one of `{component}`, `{kind}`, `{scope}`, `{name}`",
            ),
        ] {
            assert_eq!(pieces(text).unwrap_err().to_string(), message);
        }
    }
}
