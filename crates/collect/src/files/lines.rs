//! Lines of a stream, in bounded memory.

use std::io::{self, Read};
use std::ops::Range;

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 1 << 20;

const FIRST_BUFFER_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line, without its end.
pub(super) enum Line {
    /// Where it stands; [`Lines::text`] has it until the next line is read.
    Text(Range<usize>),
    /// It was longer than the limit and has been left out.
    TooLong,
}

/// Reads line after line. A line ends with LF or CRLF, the last one also with the stream.
pub(super) struct Lines {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// What has been read and not handed out: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// There is nothing more to read, because of this error or the end of the stream.
    ended: bool,
    error: Option<io::Error>,
    /// Number of the line handed out last, from 1.
    number: u64,
}

impl Lines {
    /// Starts with the first bytes, without a byte-order mark.
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        let buffer = vec![0; FIRST_BUFFER_BYTES];
        let mut lines = Self { reader, buffer, start: 0, end: 0, ended: false, error: None, number: 0 };
        while lines.end < BYTE_ORDER_MARK.len() && !lines.ended {
            lines.fill();
        }
        if lines.buffer[..lines.end].starts_with(BYTE_ORDER_MARK) {
            lines.start = BYTE_ORDER_MARK.len();
        }
        lines
    }

    /// The first `count` lines without taking them, fewer when they are longer than [`MAX_LINE_BYTES`] together. What
    /// it gives depends on the stream alone, not on how its bytes arrive. Only for use before the first line is taken.
    pub(super) fn head(&mut self, count: usize) -> Vec<&[u8]> {
        loop {
            let enough =
                memchr::memchr_iter(b'\n', &self.buffer[self.start..self.end]).nth(count - 1).is_some();
            if enough || self.end - self.start >= MAX_LINE_BYTES || self.ended {
                break;
            }
            self.fill();
        }
        let head = &self.buffer[self.start..self.end];
        let whole_end = self.ended && self.error.is_none() && head.len() <= MAX_LINE_BYTES;
        let head = &head[..head.len().min(MAX_LINE_BYTES)];
        let mut lines: Vec<&[u8]> = head.split(|&byte| byte == b'\n').take(count + 1).collect();
        // The last piece is a line only if the stream ends there.
        if lines.len() > count || !whole_end || lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        lines.into_iter().map(without_return).collect()
    }

    /// Whether the stream has no byte at all.
    pub(super) fn is_empty(&self) -> bool {
        self.ended && self.start == self.end && self.number == 0
    }

    /// Why the stream ended, if not by its end. Hands the error out once.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Number of the line handed out last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The text of the line handed out last.
    pub(super) fn text(&self, line: &Range<usize>) -> &[u8] {
        &self.buffer[line.clone()]
    }

    /// The next line; none at the end. What stands before an error is handed out first, without a cut off last line.
    ///
    /// Hot path: allocates only for a line longer than any before.
    pub(super) fn next(&mut self) -> Result<Option<Line>, io::Error> {
        let mut searched = 0;
        loop {
            let open = &self.buffer[self.start..self.end];
            if let Some(at) = memchr::memchr(b'\n', &open[searched..]) {
                let line = self.start..self.start + searched + at;
                self.start = line.end + 1;
                return Ok(Some(self.hand_out(line)));
            }
            searched = open.len();
            if searched > MAX_LINE_BYTES {
                return self.skip_line().map(Some);
            }
            if self.ended {
                if let Some(error) = self.error.take() {
                    self.start = self.end;
                    return Err(error);
                }
                let line = self.start..self.end;
                self.start = self.end;
                return Ok(if line.is_empty() { None } else { Some(self.hand_out(line)) });
            }
            self.fill();
        }
    }

    fn hand_out(&mut self, line: Range<usize>) -> Line {
        self.number += 1;
        if line.len() > MAX_LINE_BYTES {
            return Line::TooLong;
        }
        let length = without_return(&self.buffer[line.clone()]).len();
        Line::Text(line.start..line.start + length)
    }

    /// Reads on to the end of a line that is too long, keeping none of it.
    fn skip_line(&mut self) -> Result<Line, io::Error> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                self.start += at + 1;
                break;
            }
            self.start = self.end;
            if self.ended {
                match self.error.take() {
                    Some(error) => return Err(error),
                    None => break,
                }
            }
            self.fill();
        }
        self.number += 1;
        Ok(Line::TooLong)
    }

    /// Reads once, making room first.
    fn fill(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.reader.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.ended = true,
            Ok(count) => self.end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.ended = true;
                self.error = Some(error);
            }
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its bytes a few at a time.
    struct Drip(Vec<u8>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn read(bytes: &[u8], at_once: usize) -> (Vec<Vec<u8>>, Vec<Option<Vec<u8>>>) {
        let mut lines = Lines::new(Box::new(Drip(bytes.to_vec(), at_once)));
        let head = lines.head(3).into_iter().map(<[u8]>::to_vec).collect();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Text(range) => Some(lines.text(&range).to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.number(), all.len() as u64);
        (head, all)
    }

    #[test]
    fn a_byte_order_mark_and_both_line_ends_are_left_out() {
        let (head, all) = read(b"\xef\xbb\xbfa\r\nb\n\nc", 1);
        assert_eq!(head, [b"a".to_vec(), b"b".to_vec(), Vec::new()]);
        assert_eq!(all, [Some(b"a".to_vec()), Some(b"b".to_vec()), Some(Vec::new()), Some(b"c".to_vec())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_read() {
        let long = vec![b'x'; 10 << 20];
        for (before, after) in [("a\n", "\nb\n"), ("", ""), ("a\n", "")] {
            let bytes = [before.as_bytes(), &long, after.as_bytes()].concat();
            let mut lines = Lines::new(Box::new(io::Cursor::new(bytes)));
            let mut too_long = 0;
            while let Some(line) = lines.next().unwrap() {
                too_long += usize::from(matches!(line, Line::TooLong));
            }
            assert_eq!(too_long, 1);
            assert!(lines.buffer.len() <= 4 * MAX_LINE_BYTES, "{}", lines.buffer.len());
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_bytes_arrive(bytes in "[a\r\n]{0,40}", at_once in 1usize..50) {
            let (head, all) = read(bytes.as_bytes(), at_once);
            let expected: Vec<Option<Vec<u8>>> = bytes
                .split_inclusive('\n')
                .map(|line| without_return(line.trim_end_matches('\n').as_bytes()).to_vec())
                .map(Some)
                .collect();
            prop_assert_eq!(&all, &expected);
            let expected: Vec<Vec<u8>> = expected.into_iter().take(3).flatten().collect();
            prop_assert_eq!(head, expected);
        }
    }
}
