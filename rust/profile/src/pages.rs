//! A Parquet file that anybody may have made → proof that reading it takes bounded memory.
//!
//! Readers reserve what headers claim: of a page its size before decompression, of a dictionary its number of values.
//! Neither follows from the size of the file.

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;

use super::content::Content;
use super::guarded::guarded;

/// Most rows of a part. A recorder seals a part of 1,000,000 events; earlier ones had four times as many.
pub(super) const PART_ROWS: u64 = 1 << 23;
/// Most rows of a table, in which each connection has an ordinal of 32 bits.
pub(super) const TABLE_ROWS: u64 = 1 << 32;
/// Longest description of all columns at the end of a file, bytes.
const LONGEST_FOOTER: u32 = 1 << 22;
/// Largest page, bytes. A part's dictionary of keys has at most 8 MiB, that of options about as many.
const LARGEST_PAGE: i64 = 32 << 20;
/// Longest header of a page, bytes.
const LONGEST_HEADER: usize = 4096;
/// Deepest nesting of a header.
const DEEPEST: u32 = 4;

/// The reason why a file is not read.
type Found = String;

/// Checks that the pages of a file fit into memory, and that it has no more rows than `most_rows`.
pub(super) fn check(content: &Content, most_rows: u64) -> Result<(), Found> {
    check_footer(content)?;
    let described = guarded(|| ParquetMetaDataReader::new().parse_and_finish(content));
    let described = described
        .ok_or("a footer that cannot be read")?
        .map_err(|error| error.to_string())?;
    guarded(|| check_columns(content, &described, most_rows)).ok_or("a footer that lies")?
}

fn check_footer(content: &Content) -> Result<(), Found> {
    let mut end = [0; 8];
    let start = content.len().checked_sub(8);
    start
        .and_then(|start| content.fill(&mut end, start).ok())
        .ok_or("not a Parquet file")?;
    let [a, b, c, d, magic @ ..] = end;
    let length = u32::from_le_bytes([a, b, c, d]);
    if magic != *b"PAR1" {
        return Err("not a Parquet file, or not the whole of one".into());
    }
    if length > LONGEST_FOOTER {
        return Err(format!("a footer of {length} bytes"));
    }
    Ok(())
}

fn check_columns(
    content: &Content,
    described: &ParquetMetaData,
    most_rows: u64,
) -> Result<(), Found> {
    let mut rows: u64 = 0;
    for group in described.row_groups() {
        let in_group = u64::try_from(group.num_rows()).map_err(|_| "a negative number of rows")?;
        rows = rows.saturating_add(in_group);
        if rows > most_rows {
            return Err(format!("more than {most_rows} rows"));
        }
        for column in group.columns() {
            let (start, length) = column.byte_range();
            let end = start.saturating_add(length);
            if end > content.len() {
                return Err("a column beyond the end of the file".into());
            }
            check_pages(content, start, end, most_rows)?;
        }
    }
    Ok(())
}

fn check_pages(content: &Content, start: u64, end: u64, most_rows: u64) -> Result<(), Found> {
    let mut position = start;
    while position < end {
        let mut space = [0; LONGEST_HEADER];
        let length =
            usize::try_from(end - position).map_or(LONGEST_HEADER, |left| left.min(LONGEST_HEADER));
        let space = &mut space[..length];
        content
            .fill(space, position)
            .map_err(|error| error.to_string())?;
        let (header, length) = Header::parse(space).ok_or("a page without a header")?;
        header.check(most_rows)?;
        position += length + header.compressed.cast_unsigned();
    }
    if position > end {
        return Err("a page beyond its column".into());
    }
    Ok(())
}

/// The numbers of a page's header that decide on memory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    /// Bytes before compression.
    size: i64,
    /// Bytes after compression.
    compressed: i64,
    values: i64,
    is_dictionary: bool,
}

impl Header {
    /// Parses the header at the start of `bytes`, and returns its length as well.
    fn parse(bytes: &[u8]) -> Option<(Self, u64)> {
        let mut header = Self::default();
        let mut compact = Compact { rest: bytes };
        compact.structure(0, &mut |path, number| match path {
            [2, 0] => header.size = number,
            [3, 0] => header.compressed = number,
            [5 | 8, 1] => header.values = number,
            [7, 1] => (header.values, header.is_dictionary) = (number, true),
            _ => {}
        })?;
        Some((header, (bytes.len() - compact.rest.len()) as u64))
    }

    fn check(&self, most_rows: u64) -> Result<(), Found> {
        for size in [self.size, self.compressed] {
            if !(0..=LARGEST_PAGE).contains(&size) {
                return Err(format!("a page of {size} bytes"));
            }
        }
        // A value of a dictionary takes at least one byte of its page.
        let most = if self.is_dictionary {
            self.size
        } else {
            most_rows.cast_signed()
        };
        if !(0..=most).contains(&self.values) {
            return Err(format!("a page of {} values", self.values));
        }
        Ok(())
    }
}

/// Reader of Thrift's compact protocol, in which Parquet writes headers.
struct Compact<'a> {
    rest: &'a [u8],
}

impl Compact<'_> {
    /// Reads a structure, and hands each number in it or directly below it to `take` with the numbers of its fields.
    fn structure(&mut self, depth: u32, take: &mut dyn FnMut([u64; 2], i64)) -> Option<()> {
        self.fields(depth, 0, take)
    }

    fn fields(
        &mut self,
        depth: u32,
        outer: u64,
        take: &mut dyn FnMut([u64; 2], i64),
    ) -> Option<()> {
        let mut field = 0;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Some(());
            }
            field = match byte >> 4 {
                0 => self.number()?.cast_unsigned(),
                delta => field.wrapping_add(delta.into()),
            };
            let path = if depth == 0 {
                [field, 0]
            } else {
                [outer, field]
            };
            self.value(byte & 15, depth, path, take)?;
        }
    }

    fn value(
        &mut self,
        kind: u8,
        depth: u32,
        path: [u64; 2],
        take: &mut dyn FnMut([u64; 2], i64),
    ) -> Option<()> {
        match kind {
            // A truth value of a field is in its kind.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => {
                let number = self.number()?;
                if depth <= 1 {
                    take(path, number);
                }
            }
            7 => self.skip(8)?,
            8 => {
                let length = self.varint()?;
                self.skip(length)?;
            }
            12 if depth < DEEPEST => self.fields(depth + 1, path[0], take)?,
            // Headers have no lists.
            _ => return None,
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, length: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * place).min(63);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Reads a number whose sign is in its lowest bit.
    fn number(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_its_sizes_and_its_values() {
        // A data page of 300 bytes, 7 compressed, with 5 values and statistics.
        let bytes = [
            0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x0e, 0x2c, 0x15, 0x0a, 0x15, 0x00, 0x15, 0x06,
            0x15, 0x06, 0x1c, 0x18, 0x01, 0x7f, 0x00, 0x00, 0x00, 0xaa,
        ];
        let wanted = Header {
            size: 300,
            compressed: 7,
            values: 5,
            is_dictionary: false,
        };
        assert_eq!(Header::parse(&bytes), Some((wanted, 23)));
        for length in 0..23 {
            assert_eq!(Header::parse(&bytes[..length]), None);
        }
    }

    #[test]
    fn absurd_headers_are_refused() {
        let page = |size, values, is_dictionary| Header {
            size,
            compressed: 1,
            values,
            is_dictionary,
        };
        assert_eq!(page(8, 8, true).check(PART_ROWS), Ok(()));
        assert_eq!(page(8, 1 << 23, false).check(PART_ROWS), Ok(()));
        for absurd in [
            page(LARGEST_PAGE + 1, 0, false),
            page(-1, 0, false),
            page(8, 9, true),
            page(8, -1, false),
            page(8, 1 << 24, false),
        ] {
            assert!(absurd.check(PART_ROWS).is_err(), "{absurd:?}");
        }
    }
}
