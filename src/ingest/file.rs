//! Records from lines: a file of NDJSON, or what is piped in.
//!
//! Guarantees: one record a line, in order, the line's number as its offset; lines without content are
//! no records but count as lines; no line takes more memory than its limit. Does not look into a line.

use std::io::{self, BufRead};

use super::source::{Fill, Source, SourceError};
use super::{Batch, Position, Record};

/// Lines as records.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    /// The longest line that is handed over whole, bytes. Of a longer one, a byte more is handed over:
    /// enough for the decoder to refuse it.
    line_bytes_max: usize,
    /// The line being read, as far as it does not lie in the reader's buffer in one piece.
    line: Vec<u8>,
    /// The number of the last line read, from 1.
    number: i64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`.
    pub fn new(reader: R, line_bytes_max: usize) -> Self {
        Lines { reader, line_bytes_max, line: Vec::new(), number: 0 }
    }

    /// Takes one line into the batch; false at the end.
    fn take_line(&mut self, batch: &mut Batch) -> io::Result<bool> {
        let kept_max = self.line_bytes_max.saturating_add(1);
        let mut began = false;
        self.line.clear();
        // A line that was cut keeps what looks like its end: it is none.
        let mut cut = false;
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if bytes.is_empty() {
                if began {
                    push(batch, &mut self.number, &self.line, cut);
                }
                return Ok(began);
            }
            let (part, ended, used) = match memchr::memchr(b'\n', bytes) {
                Some(at) => (bytes.get(..at).unwrap_or_default(), true, at + 1),
                None => (bytes, false, bytes.len()),
            };
            if ended && !began && part.len() <= kept_max {
                push(batch, &mut self.number, part, false);
            } else {
                let room = kept_max - self.line.len();
                cut |= part.len() > room;
                self.line.extend_from_slice(part.get(..room).unwrap_or(part));
                if ended {
                    push(batch, &mut self.number, &self.line, cut);
                }
            }
            self.reader.consume(used);
            began = true;
            if ended {
                return Ok(true);
            }
        }
    }
}

/// Counts a line and takes it as a record, if it has content.
fn push(batch: &mut Batch, number: &mut i64, line: &[u8], cut: bool) {
    *number = number.saturating_add(1);
    let content = if cut { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
    if content.is_empty() {
        return;
    }
    let position = Position { topic: 0, partition: 0, offset: *number };
    let stamp = batch.moment;
    batch.push(Record { position, lane: 0, stamp, key: None, value: Some(content) });
}

impl<R: BufRead> Source for Lines<R> {
    fn fill(&mut self, batch: &mut Batch) -> Result<Fill, SourceError> {
        while !batch.is_full() {
            match self.take_line(batch) {
                Ok(true) => {}
                Ok(false) => return Ok(Fill::End),
                Err(error) => return Err(SourceError::Permanent(Box::new(error))),
            }
        }
        Ok(Fill::More)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;
    use crate::event::Millis;
    use crate::ingest::batch::BATCH_RECORDS_MAX;

    /// Every record of a text, as (line, content), read with a buffer of `buffer` bytes.
    fn read(text: &[u8], line_bytes_max: usize, buffer: usize) -> Vec<(i64, Vec<u8>)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text), line_bytes_max);
        let mut batch = Batch::default();
        let mut all = Vec::new();
        loop {
            batch.clear(Millis(7));
            let fill = lines.fill(&mut batch).expect("readable");
            for record in batch.records() {
                assert_eq!((record.stamp, record.lane, record.key), (Millis(7), 0, None));
                all.push((record.position.offset, record.value.expect("content").to_vec()));
            }
            assert!(lines.line.capacity() <= 2 * (line_bytes_max + 1).max(8), "more was held than may be");
            if fill == Fill::End {
                return all;
            }
        }
    }

    fn shown(text: &str, line_bytes_max: usize) -> Vec<(i64, String)> {
        let read = read(text.as_bytes(), line_bytes_max, 3);
        read.into_iter().map(|(line, bytes)| (line, String::from_utf8(bytes).expect("UTF-8"))).collect()
    }

    fn lines(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
        expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn a_line_is_a_record_and_empty_lines_only_count() {
        assert_eq!(shown("a\n\n\r\nbb\r\nccccc", 9), lines(&[(1, "a"), (4, "bb"), (5, "ccccc")]));
        assert_eq!(shown("", 9), []);
        assert_eq!(shown("\n", 9), []);
        assert_eq!(shown("a\n", 9), lines(&[(1, "a")]));
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut_to_one_byte_more() {
        assert_eq!(shown("123456789\n1234\n12345\r\n", 4), lines(&[(1, "12345"), (2, "1234"), (3, "12345")]));
        // The return belongs to the line's end only where the line ends there.
        assert_eq!(shown("1234\r\n1234\r5\n", 4), lines(&[(1, "1234"), (2, "1234\r")]));
    }

    #[test]
    fn a_full_batch_is_not_the_end() {
        let text = "x\n".repeat(BATCH_RECORDS_MAX + 1);
        let mut source = Lines::new(text.as_bytes(), 9);
        let mut batch = Batch::default();
        assert_eq!(source.fill(&mut batch).expect("readable"), Fill::More);
        assert_eq!(batch.len(), BATCH_RECORDS_MAX);
        batch.clear(Millis(0));
        assert_eq!(source.fill(&mut batch).expect("readable"), Fill::End);
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn what_was_read_before_an_error_is_kept() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let mut source = Lines::new(BufReader::new("a\nb".as_bytes().chain(Broken)), 9);
        let mut batch = Batch::default();
        assert!(matches!(source.fill(&mut batch), Err(SourceError::Permanent(_))));
        assert_eq!(batch.len(), 1);
    }

    proptest! {
        /// However the reader's buffer cuts the text, the lines are those of the whole text.
        #[test]
        fn lines_do_not_depend_on_the_buffer(text in "[ab\r\n]{0,60}", limit in 1usize..9, buffer in 1usize..20) {
            let expected: Vec<_> = (1i64..)
                .zip(text.split('\n'))
                .map(|(number, line)| match line.get(..limit + 1) {
                    Some(cut) if cut.len() < line.len() => (number, cut.as_bytes().to_vec()),
                    _ => (number, line.strip_suffix('\r').unwrap_or(line).as_bytes().to_vec()),
                })
                .filter(|(_, line)| !line.is_empty())
                .collect();
            prop_assert_eq!(read(text.as_bytes(), limit, buffer), expected);
        }
    }
}
