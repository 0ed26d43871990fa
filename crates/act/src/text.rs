//! Texts of the config with the component filled in.

use std::path::{Path, PathBuf};

use larnax_core::ComponentId;
use larnax_spec::placeholder::{self, Piece};

use crate::ActError;

/// Puts the component and its parts where `{component}`, `{kind}`, `{scope}` and `{name}` stand; a doubled brace is a brace. What was put in isn't looked at again,
/// and stays within the text: an argument stays one argument.
pub(crate) fn fill(text: &str, component: &ComponentId) -> Result<String, ActError> {
    let pieces = placeholder::pieces(text).map_err(|error| ActError::cannot(error.to_string()))?;
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Placeholder(placeholder) => {
                check(component)?;
                filled.push_str(placeholder.of(component));
            }
        }
    }
    Ok(filled)
}

/// The same for a path.
pub(crate) fn fill_path(path: &Path, component: &ComponentId) -> Result<PathBuf, ActError> {
    match path.to_str() {
        Some(text) => Ok(fill(text, component)?.into()),
        None => Ok(path.to_owned()),
    }
}

/// What metrics call themselves comes from outside: it must not be read as an option, nor lead out of a folder.
fn check(component: &ComponentId) -> Result<(), ActError> {
    let parts = [component.kind(), component.scope(), component.name()];
    match parts.iter().find(|part| part.starts_with('-') || **part == "." || **part == "..") {
        Some(part) => Err(ActError::cannot(format!(
            "the part `{part}` of {component} could be read as an option or as another folder; nothing is done to it"
        ))),
        None => Ok(()),
    }
}

/// The beginning of a text from outside, on one line, for messages.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, cut) = text.split_at(end);
    let mut line: String = kept.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if !cut.is_empty() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> ComponentId {
        text.parse().unwrap()
    }

    #[test]
    fn the_component_and_its_parts_are_put_in() {
        let orders = id("service/shop/orders");
        assert_eq!(
            fill("{kind}-{scope}-{name}:{component}", &orders).unwrap(),
            "service-shop-orders:service/shop/orders"
        );
    }

    #[test]
    fn what_was_put_in_is_not_filled_again_and_doubled_braces_are_braces() {
        assert_eq!(fill("{name} {{x}} {{", &id("service/{kind}/{scope}")).unwrap(), "{scope} {x} {");
        assert!(fill("{x}", &id("service/shop/web")).is_err());
    }

    #[test]
    fn a_part_that_could_be_an_option_or_a_folder_above_is_refused_where_it_would_be_put_in() {
        for bad in ["service/shop/-rf", "-x/shop/a", "service/../a", "service/shop/."] {
            let message = fill("/run/{name}.pid", &id(bad)).unwrap_err().to_string();
            assert!(message.contains(bad), "{message}");
            assert_eq!(fill("plain", &id(bad)).unwrap(), "plain");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shorten("aé\u{7}b", 2), "a…");
        assert_eq!(shorten("a\u{7}\nb", 9), "a \nb");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".{0,60}", name in "[^/\\s\\p{C}]{1,9}") {
            let _ = fill(&text, &ComponentId::from_parts("service", "shop", &name));
            prop_assert!(shorten(&text, 20).len() <= 20 + '…'.len_utf8());
        }
    }
}
