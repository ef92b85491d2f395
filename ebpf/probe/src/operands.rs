//! A program's context → the words in it, by an index or offset that is a load-time constant.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use membench_bpf_lib::kernel::global;
use membench_common::probe::operand;

use crate::settings::SETTINGS;

/// A context in which operands are found.
pub trait Operands: Copy {
    /// Returns the context, for helpers that take it.
    fn context(self) -> *mut c_void;

    /// Returns `size` bytes at a place, as the lower bytes of a word; `None` if they cannot be read.
    fn word(self, place: u32, size: u32) -> Option<u64>;
}

/// A context that is an array of arguments, each a word.
#[derive(Clone, Copy)]
pub struct Arguments(*mut c_void);

/// A context that is a structure, which probes read.
#[derive(Clone, Copy)]
pub struct Fields(*mut c_void);

/// A context without operands.
#[derive(Clone, Copy)]
pub struct Nothing(*mut c_void);

impl Arguments {
    #[inline(always)]
    pub fn new(context: *mut c_void) -> Self {
        Self(context)
    }
}

impl Fields {
    #[inline(always)]
    pub fn new(context: *mut c_void) -> Self {
        Self(context)
    }
}

impl Nothing {
    #[inline(always)]
    pub fn new(context: *mut c_void) -> Self {
        Self(context)
    }
}

/// Loads the argument whose index is a constant to the verifier. Each load is an instruction with its own displacement,
/// because the kernel rejects loads through a changed pointer to the context; assembly keeps LLVM from joining them.
macro_rules! load {
    ($context:expr, $place:expr, $($index:literal $offset:literal),+) => {
        match $place {
            $($index => {
                let word: u64;
                // SAFETY: the verifier checks that the hook has this argument.
                unsafe {
                    asm!(
                        concat!("{0} = *(u64 *)({1} + ", $offset, ")"),
                        out(reg) word, in(reg) $context,
                        options(readonly, nostack, preserves_flags)
                    );
                }
                Some(word)
            })+
            _ => None,
        }
    };
}

impl Operands for Arguments {
    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0
    }

    #[inline(always)]
    fn word(self, place: u32, _: u32) -> Option<u64> {
        load!(
            self.0, place, 0 "0", 1 "8", 2 "16", 3 "24", 4 "32", 5 "40", 6 "48", 7 "56", 8 "64", 9 "72", 10 "80",
            11 "88", 12 "96"
        )
    }
}

impl Operands for Fields {
    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0
    }

    #[inline(always)]
    fn word(self, place: u32, size: u32) -> Option<u64> {
        let mut word = 0_u64;
        // SAFETY: `size` is at most that of `word`; the helper accepts any address.
        let read = unsafe {
            let from = self.0.cast::<u8>().add(place as usize);
            bpf_probe_read_kernel((&raw mut word).cast(), size, from.cast())
        };
        if read == 0 { Some(word) } else { None }
    }
}

impl Operands for Nothing {
    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0
    }

    #[inline(always)]
    fn word(self, _: u32, _: u32) -> Option<u64> {
        None
    }
}

/// Returns the value that the histogram is of, extended to 64 bits by its sign; `None` if it cannot be read.
#[inline(always)]
pub fn value(operands: impl Operands) -> Option<u64> {
    let (place, size) = (global(&SETTINGS.place), global(&SETTINGS.size));
    let addend = global(&SETTINGS.addend) as u64;
    let word = match global(&SETTINGS.operand) {
        operand::CONTEXT => operands.word(place, size)?,
        operand::CONSTANT => addend,
        operand::MEMORY => user(operands.word(place, 8)?.wrapping_add(addend), size)?,
        _ => return None,
    };
    let unused = 64 - 8 * size;
    Some(if global(&SETTINGS.signed) != 0 {
        ((word << unused) as i64 >> unused) as u64
    } else {
        word << unused >> unused
    })
}

#[inline(always)]
fn user(from: u64, size: u32) -> Option<u64> {
    let mut word = 0_u64;
    // SAFETY: `size` is at most that of `word`; the helper accepts any address.
    let read = unsafe { bpf_probe_read_user((&raw mut word).cast(), size, from as *const _) };
    if read == 0 { Some(word) } else { None }
}
