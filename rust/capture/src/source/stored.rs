//! A stored source → its bytes, decompressed, and its kind by how they begin.

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use membench_decode::open_file;
use membench_decode::packet::file::{begins_capture, decompressed};

/// Standard input, as a source is typed.
pub(crate) const STDIN: &str = "-";
/// Bytes by which a source is told.
const BEGINNING: u64 = 16;

/// Content of a stored source.
pub(crate) type Content = Box<dyn Read + Send>;

/// Kind of a stored source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Packets.
    Capture,
    /// Lines of text, which may be memcached's log.
    Text,
    /// Anything else.
    Unknown,
}

/// Standard input, of which the beginning was read to tell its kind.
struct Begun {
    beginning: Vec<u8>,
    rest: Content,
}

/// Standard input once its beginning was read: a process has one, and its bytes come only once.
static BEGUN: Mutex<Option<Begun>> = Mutex::new(None);

/// Opens a file, or standard input, decompressed.
pub(crate) fn open(path: &Path) -> io::Result<Content> {
    if path != Path::new(STDIN) {
        return decompressed(Box::new(open_file(path)?));
    }
    let begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner).take();
    match begun {
        Some(Begun { beginning, rest }) => Ok(Box::new(Cursor::new(beginning).chain(rest))),
        None => decompressed(Box::new(io::stdin())),
    }
}

/// Tells the kind of standard input, which waits for its first bytes.
pub(crate) fn kind_of_stdin() -> Kind {
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    if begun.is_none() {
        *begun = begin(decompressed(Box::new(io::stdin()))).ok();
    }
    begun
        .as_ref()
        .map_or(Kind::Unknown, |begun| kind(&begun.beginning))
}

/// Tells the kind of what has this name; `None` if nothing has.
pub(crate) fn kind_of(path: &Path) -> Option<Kind> {
    let begun = match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        file => begin(file.and_then(|file| decompressed(Box::new(file)))),
    };
    Some(begun.map_or(Kind::Unknown, |begun| kind(&begun.beginning)))
}

fn begin(content: io::Result<Content>) -> io::Result<Begun> {
    let mut rest = content?;
    let mut beginning = Vec::new();
    rest.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
    Ok(Begun { beginning, rest })
}

fn kind(beginning: &[u8]) -> Kind {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if begins_capture(beginning) {
        Kind::Capture
    } else if !beginning.is_empty() && beginning.iter().all(is_text) {
        Kind::Text
    } else {
        Kind::Unknown
    }
}
