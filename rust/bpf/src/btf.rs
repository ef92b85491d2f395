//! The running kernel's type information → offsets of structure members, and which tracepoints exist.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
};

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};

use crate::{Error, Result};

/// The file in which the kernel describes its types.
const PATH: &str = "/sys/kernel/btf/vmlinux";
/// The file in which the kernel lists its symbols.
const SYMBOLS: &str = "/proc/kallsyms";
/// A kernel that has both this variable and this structure does not disable preemption at tracepoints. Older kernels
/// have one of the two, for other reasons. <https://github.com/torvalds/linux/commit/a46023d5616e>
const PREEMPTIBLE: (&str, &str) = ("tracepoint_srcu_srcu_data", "tracepoint_ext");

/// The types of the running kernel, by name.
///
/// Compiled programs that read kernel structures need the members' offsets. Programs in C have them patched in by the
/// loader (CO-RE); programs in Rust take them as globals, which this type looks up.
///
/// The kernel describes its types since Linux 5.4, if it was built with `CONFIG_DEBUG_INFO_BTF`.
///
/// ```no_run
/// let types = membench_bpf::KernelTypes::read()?;
/// types.require_tracepoint("sched_switch")?;
/// println!("tgid is at {}", types.offset("task_struct", "tgid")?);
/// # Ok::<(), membench_bpf::Error>(())
/// ```
pub struct KernelTypes {
    all: TypeInformation,
    structures: HashMap<String, u32>,
    variables: HashSet<String>,
}

impl KernelTypes {
    /// Reads and parses the types of the running kernel.
    pub fn read() -> Result<Self> {
        // Read as a whole: the parser asks for a few bytes at a time.
        let bytes = fs::read(PATH).map_err(|source| Error::NoTypes {
            path: PATH.into(),
            source,
        })?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let all = TypeInformation::new(&Bytes(bytes)).map_err(|error| Error::NoTypes {
            path: PATH.into(),
            source: io::Error::other(error.message().to_owned()),
        })?;
        // The parser's own index by name mixes structures with functions and typedefs.
        let is_structure = |kind: &TypeVariant| matches!(kind, TypeVariant::Struct(_));
        let ids = all
            .get()
            .iter()
            .filter(|(_, kind)| is_structure(kind))
            .map(|(id, _)| *id);
        let structures = ids.filter_map(|id| Some((all.name_of(id)?, id))).collect();
        let is_variable = |kind: &TypeVariant| matches!(kind, TypeVariant::Var(_));
        let ids = all.get().iter().filter(|(_, kind)| is_variable(kind));
        let variables = ids.filter_map(|(id, _)| all.name_of(*id)).collect();
        Ok(Self {
            all,
            structures,
            variables,
        })
    }

    /// Returns a member's offset in its structure, bytes; of a bit field, that of the byte in which it begins. `member`
    /// may be a path through nested structures, such as `ns.inum`.
    pub fn offset(&self, structure: &str, member: &str) -> Result<u32> {
        Ok(self.bit_offset(structure, member)? / 8)
    }

    /// Returns a member's offset in its structure, as [`offset`](Self::offset) does, bits.
    pub fn bit_offset(&self, structure: &str, member: &str) -> Result<u32> {
        let found = self
            .structures
            .get(structure)
            .and_then(|id| self.all.offset_of(*id, member).ok());
        let offset = match found {
            Some((_, Offset::ByteOffset(bytes))) => bytes.checked_mul(8),
            Some((_, Offset::BitOffsetAndSize(bits, _))) => Some(bits),
            None => None,
        };
        offset.ok_or_else(|| Error::NoMember {
            structure: structure.into(),
            member: member.into(),
            kernel: kernel_release(),
        })
    }

    /// Returns the offsets of the first `wanted` members, each given as structure and member; 0 for the others.
    pub fn offsets<const COUNT: usize>(
        &self,
        members: [(&str, &str); COUNT],
        wanted: usize,
    ) -> Result<[u32; COUNT]> {
        let mut offsets = [0; COUNT];
        for (offset, (structure, member)) in offsets.iter_mut().zip(members).take(wanted) {
            *offset = self.offset(structure, member)?;
        }
        Ok(offsets)
    }

    /// Returns true if a task can be preempted inside a program at a tracepoint (Linux 7.0). The kernel then skips the
    /// program for every other task of that CPU until the first goes on.
    pub fn preempts_tracepoints(&self) -> bool {
        let (variable, structure) = PREEMPTIBLE;
        self.structures.contains_key(structure) && self.has_variable(variable)
    }

    /// Returns all types.
    pub(crate) fn all(&self) -> &TypeInformation {
        &self.all
    }

    /// Looks among the symbols where the types include no variables.
    fn has_variable(&self, name: &str) -> bool {
        if self.variables.is_empty() {
            return has_symbol(name);
        }
        self.variables.contains(name)
    }

    /// Fails with [`Error::NoTracepoint`] if the kernel has no such tracepoint for programs of the type `tp_btf`: it
    /// declares the prototype of each as a type.
    pub fn require_tracepoint(&self, tracepoint: &str) -> Result<()> {
        match self.all.id_of(&format!("btf_trace_{tracepoint}")) {
            Some(_) => Ok(()),
            None => Err(Error::NoTracepoint {
                tracepoint: tracepoint.into(),
                kernel: kernel_release(),
            }),
        }
    }
}

/// True if the kernel lists a symbol.
fn has_symbol(name: &str) -> bool {
    fs::read_to_string(SYMBOLS).is_ok_and(|symbols| {
        let mut names = symbols.lines().filter_map(|line| line.split(' ').nth(2));
        names.any(|listed| listed == name)
    })
}

/// Returns the kernel's release, as `uname -r` shows it.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// Type information in memory, in the form that the parser reads.
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
