//! One line taken apart.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::MAX_COLUMNS;

/// The fields of one line, in buffers that are used again. Quotes are taken off; a quoted field ends on its line.
pub(super) struct Fields {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

/// How taking apart went. In any case the fields up to there can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Whole,
    OpenQuote,
    /// More than [`MAX_COLUMNS`].
    TooMany,
}

impl Fields {
    pub(super) fn new(delimiter: u8) -> Self {
        // CR stays in the field: lines have been told apart before.
        let reader = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self { reader, text: Vec::new(), ends: vec![0; MAX_COLUMNS + 1], count: 0 }
    }

    /// Takes a line apart that is not empty and has no line end.
    ///
    /// Hot path: allocates only for a line longer than any before.
    pub(super) fn split(&mut self, line: &[u8]) -> Split {
        if self.text.len() <= line.len() {
            self.text.resize((line.len() + 1).next_power_of_two(), 0);
        }
        let (mut result, _, length, mut count) =
            self.reader.read_record(line, &mut self.text, &mut self.ends);
        if result == ReadRecordResult::InputEmpty {
            let (text, ends) = (&mut self.text[length..], &mut self.ends[count..]);
            let (last, _, _, more) = self.reader.read_record(b"\n", text, ends);
            (result, count) = (last, count + more);
        }
        self.count = count;
        let split = match result {
            ReadRecordResult::Record if count <= MAX_COLUMNS => return Split::Whole,
            ReadRecordResult::InputEmpty | ReadRecordResult::End => Split::OpenQuote,
            _ => Split::TooMany,
        };
        self.reader.reset();
        self.count = self.count.min(MAX_COLUMNS);
        split
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// A field's bytes; none when there are not that many.
    pub(super) fn bytes(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends[..self.count].get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text.get(start..end)
    }

    /// A field as text; none when there are not that many or it is not UTF-8.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(index)?).ok()
    }
}

/// Reads a value: a number, or NaN for one that is missing (empty, `-`, `NA`, `NaN`, `null`, in any case). None for any
/// other text.
pub(super) fn value(field: &str) -> Option<f64> {
    let field = field.trim();
    if let Ok(number) = field.parse() {
        return Some(number);
    }
    let missing =
        matches!(field, "" | "-") || field.eq_ignore_ascii_case("na") || field.eq_ignore_ascii_case("null");
    missing.then_some(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> (Split, Vec<String>) {
        let mut fields = Fields::new(b',');
        let split = fields.split(line.as_bytes());
        (split, (0..fields.len()).map(|i| fields.text(i).unwrap().to_owned()).collect())
    }

    #[test]
    fn quotes_are_taken_off_and_delimiters_within_them_kept() {
        assert_eq!(
            split("a,\"b,\"\"c\"\"\",,"),
            (Split::Whole, ["a", "b,\"c\"", "", ""].map(String::from).to_vec())
        );
        assert_eq!(split("\"\""), (Split::Whole, vec![String::new()]));
        assert_eq!(split("a\rb"), (Split::Whole, vec!["a\rb".to_owned()]));
    }

    #[test]
    fn a_quote_that_is_not_closed_ends_with_its_line() {
        let mut fields = Fields::new(b',');
        assert_eq!(fields.split(b"a,\"b,c"), Split::OpenQuote);
        assert_eq!(fields.text(0), Some("a"));
        assert_eq!(fields.split(b"d,e"), Split::Whole);
        assert_eq!((fields.len(), fields.text(0), fields.text(1)), (2, Some("d"), Some("e")));
    }

    #[test]
    fn too_many_fields_are_told_and_the_next_line_is_read() {
        let mut fields = Fields::new(b',');
        assert_eq!(fields.split(",".repeat(MAX_COLUMNS - 1).as_bytes()), Split::Whole);
        assert_eq!(fields.len(), MAX_COLUMNS);
        assert_eq!(fields.split(",".repeat(MAX_COLUMNS).as_bytes()), Split::TooMany);
        assert_eq!(fields.split(",".repeat(5 * MAX_COLUMNS).as_bytes()), Split::TooMany);
        assert_eq!(fields.split(b"a,b"), Split::Whole);
        assert_eq!((fields.len(), fields.text(1)), (2, Some("b")));
    }

    #[test]
    fn values_are_numbers_or_missing() {
        assert_eq!(value(" 1.5e3 "), Some(1500.0));
        for missing in ["", " ", "-", "NaN", "nan", "NA", "na", "null", "NULL"] {
            assert!(value(missing).unwrap().is_nan(), "{missing}");
        }
        for text in ["abc", "1,5", "0x10", "12:30", "--"] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
