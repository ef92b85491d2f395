//! Commands of `bpf` that aya does not make: objects by number and by path, their descriptions, links and updates.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io, mem,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya_obj::generated::{bpf_btf_info, bpf_insn, bpf_link_info, bpf_map_info, bpf_prog_info};

/// Numbers of `enum bpf_cmd`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Command {
    Load = 5,
    Pin = 6,
    Get = 7,
    NextProgram = 11,
    NextMap = 12,
    ProgramById = 13,
    MapById = 14,
    Info = 15,
    TypesById = 19,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkById = 30,
    NextLink = 31,
    IteratorCreate = 33,
}

/// The first words of `union bpf_attr`, as these commands use them; the rest is zero.
#[repr(C, align(8))]
#[derive(Default)]
struct Attributes {
    words: [u32; 32],
}

impl Attributes {
    fn new<const COUNT: usize>(words: [u32; COUNT]) -> Self {
        let mut all = Self::default();
        for (to, word) in all.words.iter_mut().zip(words) {
            *to = word;
        }
        all
    }

    /// Stores an address in a pair of words.
    fn set_address(&mut self, pair: usize, address: u64) {
        let halves = address.to_ne_bytes();
        for (to, half) in self.words.iter_mut().skip(2 * pair).zip(halves.chunks(4)) {
            *to = half.try_into().map_or(0, u32::from_ne_bytes);
        }
    }

    fn set_word(&mut self, index: usize, value: u32) {
        if let Some(word) = self.words.get_mut(index) {
            *word = value;
        }
    }

    fn word(&self, index: usize) -> u32 {
        self.words.get(index).copied().unwrap_or(0)
    }
}

fn call(command: Command, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the attributes outlive the call, their size is passed, and every address in them is that of a buffer which
    // its caller keeps for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            &raw mut *attributes,
            size_of::<Attributes>(),
        )
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

fn open(command: Command, mut attributes: Attributes) -> io::Result<OwnedFd> {
    let descriptor = call(command, &mut attributes)?;
    // SAFETY: these commands return a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Returns the number after `id` in the kernel's list of programs, maps or links; `None` after the last.
pub(crate) fn next_id(command: Command, id: u32) -> io::Result<Option<u32>> {
    let mut attributes = Attributes::new([id]);
    match call(command, &mut attributes) {
        Ok(_) => Ok(Some(attributes.word(1))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a program, a map, a link or types by their number.
pub(crate) fn by_id(command: Command, id: u32) -> io::Result<OwnedFd> {
    open(command, Attributes::new([id]))
}

/// Pins an object.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attributes = Attributes::new([0, 0, object.as_raw_fd().cast_unsigned()]);
    attributes.set_address(0, path.as_ptr() as u64);
    call(Command::Pin, &mut attributes).map(drop)
}

/// Opens what is pinned at a path.
pub(crate) fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = Attributes::default();
    attributes.set_address(0, path.as_ptr() as u64);
    open(Command::Get, attributes)
}

/// Links a program to a file, or to the interface of that number.
pub(crate) fn link(
    program: BorrowedFd<'_>,
    target: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd().cast_unsigned();
    open(
        Command::LinkCreate,
        Attributes::new([program, target, attach_type, flags]),
    )
}

/// A program of the type `kprobe` that is going to be loaded for one kind of attachment.
pub(crate) struct LoadedFor<'a> {
    pub(crate) name: &'a str,
    pub(crate) instructions: &'a [bpf_insn],
    pub(crate) license: &'a CStr,
    pub(crate) attach_type: u32,
}

/// `BPF_PROG_TYPE_KPROBE`.
const KPROBE: u32 = 2;
/// Bytes of the verifier's log.
const LOG: u32 = 1 << 20;

/// Loads a program; an error comes with the verifier's log.
pub(crate) fn load(program: &LoadedFor<'_>) -> Result<OwnedFd, (io::Error, String)> {
    let mut attributes = Attributes::default();
    let count = u32::try_from(program.instructions.len()).unwrap_or(u32::MAX);
    let mut log = vec![0_u8; LOG as usize];
    for (index, value) in [
        (0, KPROBE),
        (1, count),
        (6, 1),
        (7, LOG),
        (17, program.attach_type),
    ] {
        attributes.set_word(index, value);
    }
    attributes.set_address(1, program.instructions.as_ptr() as u64);
    attributes.set_address(2, program.license.as_ptr() as u64);
    attributes.set_address(4, log.as_mut_ptr() as u64);
    // The kernel keeps the first 15 bytes of a name.
    for (index, part) in program.name.as_bytes().chunks(4).take(4).enumerate() {
        let mut word = [0; 4];
        for (to, byte) in word
            .iter_mut()
            .zip(part)
            .take(if index == 3 { 3 } else { 4 })
        {
            *to = *byte;
        }
        attributes.set_word(12 + index, u32::from_ne_bytes(word));
    }
    open(Command::Load, attributes).map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
        let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default());
        (error, text.into_owned())
    })
}

/// Links a program to kernel functions, by their names. The program knows each by its place among them.
pub(crate) fn link_kernel_functions(
    program: BorrowedFd<'_>,
    names: &[CString],
    attach_type: u32,
    returns: bool,
) -> io::Result<OwnedFd> {
    let names: Vec<u64> = names.iter().map(|name| name.as_ptr() as u64).collect();
    let numbers: Vec<u64> = (0..names.len() as u64).collect();
    let count = u32::try_from(names.len()).map_err(io::Error::other)?;
    let program = program.as_raw_fd().cast_unsigned();
    let mut attributes = Attributes::new([program, 0, attach_type, 0, u32::from(returns), count]);
    attributes.set_address(3, names.as_ptr() as u64);
    attributes.set_address(5, numbers.as_ptr() as u64);
    open(Command::LinkCreate, attributes)
}

/// Links a program to functions of a file, by their offsets, in one process or in all. The program knows each by its
/// place among them.
pub(crate) fn link_user_functions(
    program: BorrowedFd<'_>,
    (path, offsets, process): (&CStr, &[u64], Option<u32>),
    attach_type: u32,
    returns: bool,
) -> io::Result<OwnedFd> {
    let numbers: Vec<u64> = (0..offsets.len() as u64).collect();
    let count = u32::try_from(offsets.len()).map_err(io::Error::other)?;
    let program = program.as_raw_fd().cast_unsigned();
    let mut attributes = Attributes::new([program, 0, attach_type, 0]);
    attributes.set_address(2, path.as_ptr() as u64);
    attributes.set_address(3, offsets.as_ptr() as u64);
    attributes.set_address(5, numbers.as_ptr() as u64);
    for (index, value) in [
        (12, count),
        (13, u32::from(returns)),
        (14, process.unwrap_or(0)),
    ] {
        attributes.set_word(index, value);
    }
    open(Command::LinkCreate, attributes)
}

/// Opens a file that runs the program of an iterator's link while it is read.
pub(crate) fn iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let words = [link.as_raw_fd().cast_unsigned()];
    open(Command::IteratorCreate, Attributes::new(words)).map(File::from)
}

/// Replaces the program of a link.
pub(crate) fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let words = [link, program].map(|one| one.as_raw_fd().cast_unsigned());
    call(Command::LinkUpdate, &mut Attributes::new(words)).map(drop)
}

/// Describes a program.
pub(crate) fn program(descriptor: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: the structure is plain numbers; zeros ask for no arrays.
    let mut found: bpf_prog_info = unsafe { mem::zeroed() };
    describe(descriptor, &mut found)?;
    Ok(found)
}

/// Returns the numbers of a program's maps.
pub(crate) fn program_maps(descriptor: BorrowedFd<'_>, count: u32) -> io::Result<Vec<u32>> {
    let mut maps = vec![0_u32; count as usize];
    // SAFETY: the structure is plain numbers, and the one array that it asks for has the length that it states.
    let mut asked: bpf_prog_info = unsafe { mem::zeroed() };
    asked.nr_map_ids = count;
    asked.map_ids = maps.as_mut_ptr() as u64;
    describe(descriptor, &mut asked)?;
    maps.truncate(asked.nr_map_ids as usize);
    Ok(maps)
}

/// Describes a map.
pub(crate) fn map(descriptor: BorrowedFd<'_>) -> io::Result<bpf_map_info> {
    // SAFETY: the structure is plain numbers.
    let mut found: bpf_map_info = unsafe { mem::zeroed() };
    describe(descriptor, &mut found)?;
    Ok(found)
}

/// Returns the type, the number and the program's number of a link.
pub(crate) fn link_info(descriptor: BorrowedFd<'_>) -> io::Result<[u32; 3]> {
    // SAFETY: the structure is plain numbers; zeros ask for no names.
    let mut found: bpf_link_info = unsafe { mem::zeroed() };
    describe(descriptor, &mut found)?;
    Ok([found.type_, found.id, found.prog_id])
}

/// Copies types that are loaded.
pub(crate) fn types(descriptor: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // SAFETY: the structure is plain numbers; zeros ask for no bytes.
    let mut asked: bpf_btf_info = unsafe { mem::zeroed() };
    describe(descriptor, &mut asked)?;
    let mut bytes = vec![0_u8; asked.btf_size as usize];
    asked.btf = bytes.as_mut_ptr() as u64;
    // The kernel answers with names only if it is asked for them.
    (asked.name, asked.name_len) = (0, 0);
    describe(descriptor, &mut asked)?;
    Ok(bytes)
}

/// Fills a structure of the kernel; every address in it must be that of a live buffer of the length that it states.
fn describe<T>(descriptor: BorrowedFd<'_>, to: &mut T) -> io::Result<()> {
    let length = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    let mut attributes = Attributes::new([descriptor.as_raw_fd().cast_unsigned(), length]);
    attributes.set_address(1, &raw mut *to as u64);
    call(Command::Info, &mut attributes).map(drop)
}

/// Returns the number of an interface in this network namespace.
pub(crate) fn interface(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(io::Error::other)?;
    // SAFETY: the name ends with a zero and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Reads a name that ends at its first zero.
pub(crate) fn name(bytes: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = bytes.iter().map(|one| one.to_ne_bytes()[0]).collect();
    let name = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    name.to_string_lossy().into_owned()
}
