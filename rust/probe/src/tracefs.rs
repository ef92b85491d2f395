//! tracefs → the fields of a tracepoint, and which tracepoints there are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Folders at which tracefs is mounted.
const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A field of a tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) offset: u32,
    pub(crate) size: u32,
    pub(crate) signed: bool,
    /// True if it is one number, not a text or a list.
    pub(crate) is_number: bool,
    /// True for those that every tracepoint has.
    pub(crate) is_common: bool,
}

/// Returns the folder with the tracepoints.
pub(crate) fn events() -> Result<PathBuf> {
    let folders = ROOTS.map(|root| Path::new(root).join("events"));
    let mut last = None;
    for folder in folders {
        match fs::read_dir(&folder) {
            Ok(_) => return Ok(folder),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::Tracefs {
                    path: folder,
                    source,
                });
            }
            Err(source) => last = Some((folder, source)),
        }
    }
    let (path, source) = last.unwrap_or_else(|| (PathBuf::new(), io::ErrorKind::NotFound.into()));
    Err(Error::Tracefs { path, source })
}

/// Returns all tracepoints, each as its category and name.
pub(crate) fn tracepoints() -> Result<Vec<(String, String)>> {
    let root = events()?;
    let mut found = Vec::new();
    for category in folders(&root) {
        for name in folders(&root.join(&category)) {
            found.push((category.clone(), name));
        }
    }
    Ok(found)
}

/// Returns the fields of a tracepoint; `None` if there is no such tracepoint.
pub(crate) fn fields(category: &str, name: &str) -> Result<Option<Vec<Field>>> {
    if category.contains('/') || name.contains('/') {
        return Ok(None);
    }
    let path = events()?.join(category).join(name).join("format");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(parse(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Tracefs { path, source }),
    }
}

fn folders(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> = folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

fn parse(text: &str) -> Vec<Field> {
    // An empty line parts the fields that every tracepoint has from its own.
    let mut is_common = true;
    let mut fields = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(declared) = line.strip_prefix("field:") {
            fields.extend(field(declared, is_common));
        } else if line.is_empty() && !fields.is_empty() {
            is_common = false;
        }
    }
    fields
}

/// Parses `unsigned short common_type; offset:0; size:2; signed:0;`.
fn field(declared: &str, is_common: bool) -> Option<Field> {
    let mut parts = declared.split(';').map(str::trim);
    let declaration = parts.next()?;
    let mut number = |name: &str| -> Option<u32> {
        let part = parts.next()?;
        part.strip_prefix(name)?.strip_prefix(':')?.parse().ok()
    };
    let (offset, size, signed) = (number("offset")?, number("size")?, number("signed")?);
    let (kind, name) = declaration.rsplit_once(' ')?;
    let is_list = name.contains('[') || kind.contains('[') || kind.contains("__data_loc");
    let name = name.split('[').next()?.trim_start_matches('*');
    Some(Field {
        name: name.into(),
        offset,
        size,
        signed: signed == 1,
        is_number: !is_list && matches!(size, 1 | 2 | 4 | 8),
        is_common,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: sched_switch\nID: 316\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n\
        \tfield:__data_loc char[] name;\toffset:40;\tsize:4;\tsigned:1;\n\
        \tfield:const char * reason;\toffset:48;\tsize:8;\tsigned:0;\n\n\
        print fmt: \"prev_comm=%s\", REC->prev_comm\n";

    #[test]
    fn fields_have_their_place_size_and_sign() {
        let fields = parse(FORMAT);
        let state = fields.iter().find(|one| one.name == "prev_state").unwrap();
        assert_eq!((state.offset, state.size), (32, 8));
        assert!(state.signed && state.is_number && !state.is_common);
        assert!(fields[0].is_common && fields[1].is_common && !fields[2].is_common);
    }

    #[test]
    fn texts_and_lists_are_no_numbers() {
        let fields = parse(FORMAT);
        let is_number = |name: &str| {
            let found = fields.iter().find(|one| one.name == name);
            found.unwrap().is_number
        };
        assert!(!is_number("prev_comm") && !is_number("name"));
        assert!(is_number("reason"));
    }

    #[test]
    fn a_line_that_is_no_field_is_passed_over() {
        assert!(parse("format:\n\tfield:int a;\toffset:x;\n\tfield:b\n").is_empty());
    }
}
