//! The running kernel's type information → offsets of the structure members that the programs read.

use std::collections::HashMap;

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};

use crate::{KernelError, Result};

/// Where the kernel describes its types.
pub(crate) const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's types.
pub(crate) struct Types {
    all: TypeInformation,
    structures: HashMap<String, u32>,
}

impl Types {
    /// Reads them.
    pub(crate) fn of_this_kernel() -> Result<Self> {
        // Read as a whole: the parser asks for a few bytes at a time.
        let bytes = std::fs::read(PATH).map_err(|source| KernelError::NoTypes {
            path: PATH.into(),
            source,
        })?;
        Self::parse(&bytes)
    }

    /// Offsets of the first `wanted` members, each given as structure and name; 0 for the others.
    pub(crate) fn offsets<const COUNT: usize>(
        &self,
        paths: [(&'static str, &'static str); COUNT],
        wanted: usize,
    ) -> Result<[u32; COUNT]> {
        let mut offsets = [0; COUNT];
        for (offset, (structure, member)) in offsets.iter_mut().zip(paths).take(wanted) {
            *offset = self.offset(structure, member)?;
        }
        Ok(offsets)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let all = TypeInformation::new(&Bytes(bytes)).map_err(|error| KernelError::NoTypes {
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

    /// Fails if there is no such tracepoint: the kernel declares its prototype as a type of this name.
    pub(crate) fn require_tracepoint(&self, tracepoint: &'static str) -> Result<()> {
        match self.all.id_of(&format!("btf_trace_{tracepoint}")) {
            Some(_) => Ok(()),
            None => Err(KernelError::NoTracepoint {
                tracepoint,
                kernel: crate::source::sockets::kernel_release(),
            }
            .into()),
        }
    }

    fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32> {
        let found = self
            .structures
            .get(structure)
            .and_then(|id| self.all.offset_of(*id, member).ok());
        match found {
            Some((_, Offset::ByteOffset(offset))) => Ok(offset),
            Some((_, Offset::BitOffsetAndSize(..))) | None => Err(KernelError::NoMember {
                structure,
                member,
                kernel: crate::source::sockets::kernel_release(),
            }
            .into()),
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
