//! The running kernel's type information → offsets of the structure members that the programs read.

use std::collections::HashMap;

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};
use membench_common::{field, program};

use crate::{Error, Result};

/// Where the kernel describes its types.
pub(super) const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Offsets of `field::PATHS` in the running kernel, those of UNIX-domain sockets only if they are followed. Fails also
/// if it lacks a tracepoint that the programs attach to.
pub(super) fn offsets(unix: bool) -> Result<[u32; field::COUNT]> {
    // Read as a whole: the parser asks for a few bytes at a time.
    let bytes = std::fs::read(PATH).map_err(|source| Error::NoKernelTypes {
        path: PATH.into(),
        source,
    })?;
    let types = Types::parse(&bytes)?;
    for name in program::NAMES {
        types.require_tracepoint(name)?;
    }
    let mut offsets = [0; field::COUNT];
    let wanted = if unix {
        field::COUNT
    } else {
        field::FIRST_UNIX
    };
    for (offset, (structure, member)) in offsets.iter_mut().zip(field::PATHS).take(wanted) {
        *offset = types.offset(structure, member)?;
    }
    Ok(offsets)
}

struct Types {
    all: TypeInformation,
    structures: HashMap<String, u32>,
}

impl Types {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let all = TypeInformation::new(&Bytes(bytes)).map_err(|error| Error::NoKernelTypes {
            path: PATH.into(),
            source: std::io::Error::other(error.message().to_owned()),
        })?;
        // The parser's own index by name mixes structures with functions and typedefs.
        let is_structure = |kind: &TypeVariant| matches!(kind, TypeVariant::Struct(_));
        let ids = all
            .get()
            .iter()
            .filter(|(_, kind)| is_structure(kind))
            .map(|(id, _)| *id);
        let structures = ids.filter_map(|id| Some((all.name_of(id)?, id))).collect();
        Ok(Self { all, structures })
    }

    /// The kernel declares a tracepoint's prototype as a type of this name.
    fn require_tracepoint(&self, tracepoint: &'static str) -> Result<()> {
        match self.all.id_of(&format!("btf_trace_{tracepoint}")) {
            Some(_) => Ok(()),
            None => Err(Error::NoTracepoint {
                tracepoint,
                kernel: super::load::kernel_release(),
            }),
        }
    }

    fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32> {
        let found = self
            .structures
            .get(structure)
            .and_then(|id| self.all.offset_of(*id, member).ok());
        match found {
            Some((_, Offset::ByteOffset(offset))) => Ok(offset),
            Some((_, Offset::BitOffsetAndSize(..))) | None => Err(Error::NoKernelMember {
                structure,
                member,
                kernel: super::load::kernel_release(),
            }),
        }
    }
}

/// A file in memory, as the parser reads it.
struct Bytes<'a>(&'a [u8]);

impl Readable for Bytes<'_> {
    fn read(&self, offset: u64, to: &mut [u8]) -> btfparse::Result<()> {
        let from = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..)?.get(..to.len()));
        match from {
            Some(bytes) => {
                to.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(btfparse::Error::new(
                btfparse::ErrorKind::EOF,
                "the type information ends early",
            )),
        }
    }
}
