//! An Arrow IPC stream that anybody may have made → its whole messages, and proof that reading them takes bounded memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use arrow_ipc::{Message, RecordBatch, root_as_message};

use super::pages::PART_ROWS;

/// First bytes of every message in the stream.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Longest metadata of a message, bytes; a longer one is taken for damage.
const LONGEST_METADATA: u32 = 1 << 20;
/// Most names in a dictionary, which has indices of 16 bits.
const MOST_NAMES: u64 = 1 << 16;
/// Most bytes of all names in a dictionary.
const LARGEST_DICTIONARY: u64 = 16 << 20;
/// Widest value, bytes.
const WIDEST: u64 = 8;
/// Bytes by which a writer may pad a buffer.
const PADDING: u64 = 64;

/// The reason why a stream is not read.
#[derive(Debug)]
pub(super) enum Trouble {
    Io(io::Error),
    /// A message that no recorder writes, in words.
    Absurd(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Returns the length of the whole messages at the start of a file of `size` bytes.
pub(super) fn whole_length(file: &File, size: u64) -> Result<u64, Trouble> {
    let (mut end, mut rows) = (0, 0);
    while let Some(next) = message_end(file, end, size, &mut rows)? {
        end = next;
        if rows > PART_ROWS {
            return Err(Trouble::Absurd(format!("more than {PART_ROWS} events")));
        }
    }
    Ok(end)
}

/// Finds the end of the message that starts at an offset, and adds its events to `rows`; `None` if it is incomplete or
/// not a message.
fn message_end(file: &File, start: u64, size: u64, rows: &mut u64) -> Result<Option<u64>, Trouble> {
    let Some(metadata) = start.checked_add(8).filter(|metadata| *metadata <= size) else {
        return Ok(None);
    };
    let mut prefix = [0; 8];
    file.read_exact_at(&mut prefix, start)?;
    let [a, b, c, d, length @ ..] = prefix;
    let length = u32::from_le_bytes(length);
    if [a, b, c, d] != CONTINUATION || length == 0 || length > LONGEST_METADATA {
        return Ok(None);
    }
    let body = metadata + u64::from(length);
    if body > size {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, metadata)?;
    let Ok(message) = root_as_message(&bytes) else {
        return Ok(None);
    };
    let length = u64::try_from(message.bodyLength()).ok();
    let end = length.and_then(|length| body.checked_add(length));
    let Some(end) = end.filter(|end| *end <= size) else {
        return Ok(None);
    };
    *rows += check(
        &message,
        &Body {
            file,
            start: body,
            end,
        },
    )?;
    Ok(Some(end))
}

/// The bytes that follow the metadata of a message.
struct Body<'a> {
    file: &'a File,
    start: u64,
    end: u64,
}

/// Checks that a message has the shape of an event's columns. Returns its number of events.
fn check(message: &Message<'_>, body: &Body<'_>) -> Result<u64, Trouble> {
    if let Some(batch) = message.header_as_record_batch() {
        let rows = rows(&batch, PART_ROWS)?;
        check_buffers(&batch, body, rows * WIDEST + PADDING)?;
        return Ok(rows);
    }
    if let Some(dictionary) = message.header_as_dictionary_batch() {
        let names = dictionary.data();
        let names = names.ok_or_else(|| absurd("a dictionary without names"))?;
        rows(&names, MOST_NAMES)?;
        check_buffers(&names, body, LARGEST_DICTIONARY)?;
    }
    Ok(0)
}

fn rows(batch: &RecordBatch<'_>, most: u64) -> Result<u64, Trouble> {
    let rows = batch.length();
    let whole = u64::try_from(rows).ok().filter(|rows| *rows <= most);
    let whole = whole.ok_or_else(|| absurd(&format!("a batch of {rows} rows")))?;
    let nodes = batch.nodes().into_iter().flatten();
    for node in nodes {
        if node.length() != rows || !(0..=rows).contains(&node.null_count()) {
            return Err(absurd("a column of another length than its batch"));
        }
    }
    Ok(whole)
}

/// Checks that all buffers lie in the body, and that none claims more than `most` bytes before compression.
fn check_buffers(batch: &RecordBatch<'_>, body: &Body<'_>, most: u64) -> Result<(), Trouble> {
    for buffer in batch.buffers().into_iter().flatten() {
        let inside = || {
            let offset = u64::try_from(buffer.offset()).ok()?;
            let length = u64::try_from(buffer.length()).ok()?;
            let start = body.start.checked_add(offset)?;
            let end = start.checked_add(length)?;
            (end <= body.end).then_some((start, length))
        };
        let (start, length) = inside().ok_or_else(|| absurd("a buffer outside of its message"))?;
        if batch.compression().is_none() || length == 0 {
            continue;
        }
        if length < 8 {
            return Err(absurd("a compressed buffer without its size"));
        }
        let mut size = [0; 8];
        body.file.read_exact_at(&mut size, start)?;
        // -1 marks a buffer that is not compressed.
        let size = i64::from_le_bytes(size);
        let fits = u64::try_from(size).is_ok_and(|size| size <= most);
        if size != -1 && !fits {
            return Err(absurd(&format!("a buffer of {size} bytes")));
        }
    }
    Ok(())
}

fn absurd(found: &str) -> Trouble {
    Trouble::Absurd(found.into())
}
