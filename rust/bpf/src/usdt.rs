//! Notes that `sys/sdt.h` leaves in a program → its probes: their places and their arguments.

use std::{io, path::Path};

use object::{Object as _, ObjectSection as _};

use crate::{Error, Result, functions::offset_in_file, read_file};

/// Vendor of these notes.
const VENDOR: &[u8] = b"stapsdt\0";
/// Type of these notes.
const TYPE: u32 = 3;

/// A place of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The provider.
    pub provider: String,
    /// The probe's name.
    pub name: String,
    /// Offset of the instruction in the file, bytes.
    pub offset: u64,
    /// Offset in the file of the counter that turns the probe on, bytes; 0 if it is always on.
    pub semaphore: u64,
    /// Arguments as the note writes them; `None` for those that are not understood.
    pub arguments: Vec<Option<Argument>>,
}

impl Site {
    /// Returns the provider and the name.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.provider, self.name)
    }
}

/// An argument: its size and sign, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Size, bytes.
    pub size: u32,
    /// True if it can be negative.
    pub signed: bool,
    /// The place.
    pub place: Place,
}

/// The place of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A constant.
    Constant(i64),
    /// A register by its name.
    Register(String),
    /// Memory at the sum of a register and an addend.
    Memory(String, i64),
}

/// Returns the places of all probes that the author of a program or library placed in it.
pub fn usdt_sites(path: &Path) -> Result<Vec<Site>> {
    let failed = |source| Error::Io {
        path: path.into(),
        source,
    };
    let malformed = |reason: &str| failed(io::Error::new(io::ErrorKind::InvalidData, reason));
    let bytes = read_file(path).map_err(failed)?;
    let file = object::File::parse(bytes.as_slice())
        .map_err(|_| malformed("is no program or library (ELF)"))?;
    let Some(notes) = file.section_by_name(".note.stapsdt") else {
        return Ok(Vec::new());
    };
    let notes = notes.data();
    let notes = notes.map_err(|_| malformed("its notes cannot be read"))?;
    let base = file.section_by_name(".stapsdt.base");
    let base = base.map(|section| section.address());
    let sites = parse(notes, base, file.is_little_endian());
    let sites = sites.into_iter().filter_map(|site| {
        let semaphore = match site.semaphore {
            0 => 0,
            address => offset_in_file(&file, address)?,
        };
        Some(Site {
            offset: offset_in_file(&file, site.offset)?,
            semaphore,
            ..site
        })
    });
    Ok(sites.collect())
}

/// Parses the notes of a section, whose places are addresses; `base` is the address of `.stapsdt.base`, from which prelinking is told. A note that
/// breaks off ends the list.
fn parse(mut notes: &[u8], base: Option<u64>, little: bool) -> Vec<Site> {
    let word = |bytes: &[u8]| -> Option<u32> {
        let bytes = bytes.get(..4)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    let mut sites = Vec::new();
    while let (Some(vendor_size), Some(size), Some(kind)) = (
        word(notes),
        notes.get(4..).and_then(word),
        notes.get(8..).and_then(word),
    ) {
        let body = 12 + (vendor_size as usize).next_multiple_of(4);
        let end = body + (size as usize).next_multiple_of(4);
        let vendor = notes.get(12..12 + vendor_size as usize);
        let Some(description) = notes.get(body..body + size as usize) else {
            break;
        };
        if vendor == Some(VENDOR) && kind == TYPE {
            sites.extend(site(description, base, little));
        }
        notes = notes.get(end..).unwrap_or_default();
    }
    sites
}

fn site(description: &[u8], base: Option<u64>, little: bool) -> Option<Site> {
    let (numbers, texts) = description.split_at_checked(24)?;
    let mut numbers = numbers.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().unwrap_or_default();
        if little {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        }
    });
    let (address, linked, semaphore) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let moved = base.map_or(0, |base| base.wrapping_sub(linked));
    let mut texts = texts.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let (provider, name) = (texts.next()?, texts.next()?);
    let arguments = texts.next().unwrap_or_default();
    Some(Site {
        provider: provider.into_owned(),
        name: name.into_owned(),
        offset: address.wrapping_add(moved),
        semaphore: match semaphore {
            0 => 0,
            address => address.wrapping_add(moved),
        },
        arguments: arguments.split_whitespace().map(argument).collect(),
    })
}

/// Parses `-4@%edi`, `8@$5`, `8@-16(%rbp)`, and on arm64 `4@x0`, `8@[sp, 16]`.
fn argument(text: &str) -> Option<Argument> {
    let (size, place) = text.split_once('@')?;
    let size: i32 = size.parse().ok()?;
    let place = if let Some(constant) = place.strip_prefix('$') {
        Place::Constant(constant.parse().ok()?)
    } else if let Some((addend, register)) = place.split_once('(') {
        let register = register.strip_suffix(')')?.strip_prefix('%')?;
        if register.contains(',') {
            return None; // an index is added
        }
        let addend = if addend.is_empty() {
            0
        } else {
            addend.parse().ok()?
        };
        Place::Memory(register.into(), addend)
    } else if let Some(inside) = place.strip_prefix('[') {
        let mut parts = inside.strip_suffix(']')?.split(',');
        let register = parts.next()?;
        let addend = match parts.next() {
            Some(addend) => addend.trim().parse().ok()?,
            None => 0,
        };
        Place::Memory(register.into(), addend)
    } else if let Ok(constant) = place.parse() {
        Place::Constant(constant)
    } else {
        Place::Register(place.trim_start_matches('%').into())
    };
    let size_bytes = size.unsigned_abs();
    matches!(size_bytes, 1 | 2 | 4 | 8).then_some(Argument {
        size: size_bytes,
        signed: size < 0,
        place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(address: u64, base: u64, texts: &str) -> Vec<u8> {
        let mut description: Vec<u8> = [address, base, 0]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        description.extend(texts.bytes());
        let mut note: Vec<u8> = [8_u32, description.len().try_into().unwrap(), TYPE]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        note.extend(VENDOR);
        note.extend(&description);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    }

    #[test]
    fn probes_have_their_place_and_their_arguments() {
        let mut notes = note(0x1000, 0x2000, "server\0hit\0-4@%edi 8@$5 8@-16(%rbp)\0");
        notes.extend(note(0x1100, 0x2000, "server\0miss\0\0"));
        let sites = parse(&notes, Some(0x2100), true);
        assert_eq!(sites.len(), 2);
        assert_eq!(sites[0].full_name(), "server:hit");
        assert_eq!((sites[0].offset, sites[1].offset), (0x1100, 0x1200));
        let places: Vec<_> = sites[0].arguments.iter().flatten().collect();
        assert_eq!(places[0].place, Place::Register("edi".into()));
        assert!(places[0].signed && places[0].size == 4);
        assert_eq!(places[1].place, Place::Constant(5));
        assert_eq!(places[2].place, Place::Memory("rbp".into(), -16));
        assert!(sites[1].arguments.is_empty());
    }

    #[test]
    fn an_argument_that_is_not_understood_keeps_its_place_in_the_list() {
        for text in ["8@-16(%rbp,%rax,8)", "16@%xmm0", "x", "3@%eax"] {
            assert_eq!(argument(text), None, "{text}");
        }
        let arm = argument("8@[sp, 16]").unwrap();
        assert_eq!(arm.place, Place::Memory("sp".into(), 16));
    }

    #[test]
    fn notes_that_break_off_are_no_probes() {
        let whole = note(0x1000, 0, "a\0b\0\0");
        for length in 0..whole.len() - 3 {
            assert!(parse(&whole[..length], None, true).is_empty(), "{length}");
        }
    }
}
