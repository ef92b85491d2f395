//! Functions of the kernel and of programs, by name and by pattern.

use std::{collections::BTreeMap, fs, io, path::Path};

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind};

use crate::{Error, Result, read_file};

/// Files in which the kernel lists the functions that probes can be attached to, the first that can be read.
const PROBED: [&str; 2] = [
    "/sys/kernel/tracing/available_filter_functions",
    "/sys/kernel/debug/tracing/available_filter_functions",
];
/// The file in which it lists all its symbols.
const SYMBOLS: &str = "/proc/kallsyms";

/// Returns the functions of the kernel whose names match a pattern. Without tracefs some of them may take no probe.
pub fn kernel_functions(pattern: &str) -> Vec<String> {
    let probed = PROBED.iter().find_map(|path| fs::read_to_string(path).ok());
    let mut names: Vec<String> = match probed {
        Some(text) => {
            let names = text.lines().filter_map(|line| line.split(' ').next());
            names
                .filter(|name| matches(pattern, name))
                .map(String::from)
                .collect()
        }
        None => symbols(pattern),
    };
    names.sort_unstable();
    names.dedup();
    names
}

fn symbols(pattern: &str) -> Vec<String> {
    let text = fs::read_to_string(SYMBOLS).unwrap_or_default();
    let names = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let kind = fields.next()?;
        fields.next().filter(|_| matches!(kind, "t" | "T"))
    });
    names
        .filter(|name| matches(pattern, name))
        .map(String::from)
        .collect()
}

/// Returns all functions of a program or library that have a name, with their offsets in the file.
pub fn user_functions(path: &Path) -> Result<BTreeMap<String, u64>> {
    let failed = |source| Error::Io {
        path: path.into(),
        source,
    };
    let bytes = read_file(path).map_err(failed)?;
    let file = object::File::parse(bytes.as_slice()).map_err(|_| {
        let reason = "is no program or library (ELF)";
        failed(io::Error::new(io::ErrorKind::InvalidData, reason))
    })?;
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let functions = symbols.filter(|symbol| {
        symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.address() != 0
    });
    let functions = functions.filter_map(|symbol| {
        let name = symbol.name().ok().filter(|name| !name.is_empty())?;
        // Versions of a symbol are no part of its name.
        let name = name.split('@').next()?;
        Some((name.to_owned(), offset_in_file(&file, symbol.address())?))
    });
    Ok(functions.collect())
}

/// Returns the offset in a file of what is loaded at an address.
pub(crate) fn offset_in_file(file: &object::File<'_>, address: u64) -> Option<u64> {
    file.segments().find_map(|segment| {
        let inside = address.checked_sub(segment.address())?;
        let (start, size) = segment.file_range();
        (inside < size).then(|| start + inside)
    })
}

/// Returns true if a name matches a pattern, in which `*` stands for any letters and `?` for one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // The place behind the last `*`, and how much of the name that stands for.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), name.get(read)) {
            (Some(b'*'), _) => {
                star = Some((at + 1, read));
                at += 1;
            }
            (Some(b'?'), _) => (at, read) = (at + 1, read + 1),
            (Some(wanted), Some(found)) if wanted == found => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((behind, until)) => {
                    star = Some((behind, until + 1));
                    (at, read) = (behind, until + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("tcp_*", "tcp_sendmsg", true),
            ("*send*", "tcp_sendmsg", true),
            ("tcp_?endmsg", "tcp_sendmsg", true),
            ("tcp_sendmsg", "tcp_sendmsg", true),
            ("*", "", true),
            ("*a*b", "xaxxb", true),
            ("tcp", "tcp_sendmsg", false),
            ("*x", "tcp_sendmsg", false),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
