//! What all pictures share. They are SVG files written by hand (docs/decisions says why): one style sheet lets a picture
//! follow its reader's light or dark preference.

mod axis;

pub use axis::{number, round_numbers};

/// The style of text, grid, lines and dots. Colours are variables, so that what a picture adds follows the preference too:
/// `--back`, `--text`, `--soft` (lesser text), `--grid`, `--line`.
const STYLE: &str = "\
svg{--back:#fff;--text:#1f2328;--soft:#656d76;--grid:#e4e7eb;--line:#0a5ad6}\
@media (prefers-color-scheme:dark){svg{--back:#0d1117;--text:#e6edf3;--soft:#8b949e;--grid:#262c36;--line:#6cb2ff}}\
.back{fill:var(--back)}text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:var(--soft)}\
.head{font-size:17px;font-weight:600;fill:var(--text)}.name{font-size:13px;font-weight:600;fill:var(--text)}\
.end{text-anchor:end}.mid{text-anchor:middle}.grid{stroke:var(--grid);stroke-width:1;fill:none}\
.line{stroke:var(--line);stroke-width:1.3;fill:none;stroke-linejoin:round}.dot{fill:var(--line)}";

/// The beginning of a picture of so many pixels, with its background and a style of its own after the common one. The
/// caller ends it with `</svg>`.
pub fn begin(width: f64, height: f64, title: &str, style: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\">\n<title>{}</title>\n<style>{STYLE}{style}</style>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n",
        escaped(title)
    )
}

/// Text that is no markup: metrics and files may be called anything. Control characters can't stand in XML.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push('\n'),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}')
            }
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_something_is_called_is_never_markup() {
        let svg = begin(10.0, 10.0, "a\"</title><script>&\u{1}", "");
        assert!(svg.contains("a&quot;&lt;/title&gt;&lt;script&gt;&amp;\u{fffd}"), "{svg}");
    }
}
