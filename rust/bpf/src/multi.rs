//! Programs at many functions by one link (`kprobe.multi`, `uprobe.multi`), which aya does not attach: the kernel takes
//! only programs that were loaded for it, so these are loaded a second time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya::Btf;

use crate::{
    Error, Hook, Kind, Link, Result, VerifierLog,
    cause::newer_than_this,
    failure, functions, kernel_release,
    sys::command::{self, LoadedFor},
};

/// `BPF_TRACE_KPROBE_MULTI` and `BPF_TRACE_UPROBE_MULTI`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
const KERNEL: u32 = 42;
const USER: u32 = 48;
/// First kernel whose links of functions of a file keep to a process:
/// <https://github.com/torvalds/linux/blob/v6.10/kernel/trace/bpf_trace.c>.
const ONE_PROCESS: &str = "6.10";

/// Fails if the kernel is older than such links.
pub(crate) fn require(hook: &Hook) -> Result<()> {
    let oldest = match hook {
        Hook::KernelFunctions(_) => "5.18",
        Hook::UserFunctions {
            process: Some(_), ..
        } => ONE_PROCESS,
        _ => "6.6",
    };
    match newer_than_this(oldest) {
        Some(oldest) => Err(Error::OldKernel {
            hook: hook.to_string(),
            oldest,
            kernel: kernel_release(),
        }),
        None => Ok(()),
    }
}

/// Returns true if a [`Hook::UserFunctions`] can be that of one process: before Linux 6.10 it is that of the process's
/// first thread.
pub fn keeps_to_process() -> bool {
    newer_than_this(ONE_PROCESS).is_none()
}

/// Loads a program of an object for many functions; `maps` are those that the object has made.
pub(crate) fn load(
    name: &str,
    (bytes, values): (&[u8], &BTreeMap<String, Vec<u8>>),
    maps: &BTreeMap<String, OwnedFd>,
    hook: &Hook,
) -> Result<OwnedFd> {
    let malformed = |error: &dyn std::error::Error| Error::NotAnObject {
        object: name.into(),
        reason: failure::reason(error),
    };
    let mut object = aya_obj::Object::parse(bytes).map_err(|error| malformed(&error))?;
    let values: HashMap<&str, (&[u8], bool)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), (value.as_slice(), true)))
        .collect();
    let patched = object.patch_map_data(values);
    patched.map_err(|error| malformed(&error))?;
    if object.has_btf_relocations() {
        let types = Btf::from_sys_fs().map_err(|error| failure::load(name, &[], error.into()))?;
        let relocated = object.relocate_btf(&types);
        relocated.map_err(|error| malformed(&error))?;
    }
    let sections: HashSet<usize> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let described = std::mem::take(&mut object.maps);
    let made = described
        .iter()
        .filter_map(|(name, map)| Some((name.as_str(), maps.get(name)?.as_raw_fd(), map)));
    let relocated = object.relocate_maps(made, &sections);
    relocated.map_err(|error| malformed(&error))?;
    let linked = object.relocate_calls(&sections);
    linked.map_err(|error| malformed(&error))?;
    object.sanitize_functions(aya::features());
    let program = object.programs.get(name);
    let function = program.and_then(|program| object.functions.get(&program.function_key()));
    let Some(function) = function else {
        return Err(Error::Absent {
            object: name.into(),
            item: "program",
            name: name.into(),
        });
    };
    let loaded_for = match hook {
        Hook::KernelFunctions(_) => KERNEL,
        _ => USER,
    };
    let program = LoadedFor {
        name,
        instructions: &function.instructions,
        license: &object.license,
        attach_type: loaded_for,
    };
    command::load(&program).map_err(|(source, log)| Error::Load {
        name: name.into(),
        source,
        log: VerifierLog::new(log),
    })
}

/// Attaches a program that was loaded for it; returns the functions, in the order of the numbers by which the program knows
/// them (`bpf_get_attach_cookie`).
pub(crate) fn attach(
    name: &str,
    program: BorrowedFd<'_>,
    hook: &Hook,
    kind: Kind,
) -> Result<(Link, Vec<String>)> {
    let returns = matches!(kind, Kind::KernelReturnProbe | Kind::UserReturnProbe);
    let failed = |source| Error::Attach {
        name: name.into(),
        source,
    };
    let none = |pattern: &str| {
        let text = format!("no function matches {pattern}");
        failed(io::Error::new(io::ErrorKind::NotFound, text))
    };
    let (link, functions) = match hook {
        Hook::KernelFunctions(pattern) => {
            let names = functions::kernel_functions(pattern);
            if names.is_empty() {
                return Err(none(pattern));
            }
            let known: Vec<CString> = names
                .iter()
                .filter_map(|name| CString::new(name.as_str()).ok())
                .collect();
            let link = command::link_kernel_functions(program, &known, KERNEL, returns);
            (link, names)
        }
        Hook::UserFunctions {
            file,
            pattern,
            process,
        } => {
            let places = places(file, pattern)?;
            if places.is_empty() {
                return Err(none(pattern));
            }
            let path = CString::new(file.as_os_str().as_bytes());
            let path = path.map_err(|error| failed(io::Error::other(error)))?;
            let offsets: Vec<u64> = places.keys().copied().collect();
            let link =
                command::link_user_functions(program, (&path, &offsets, *process), USER, returns);
            (link, places.into_values().collect())
        }
        _ => (Err(io::Error::from_raw_os_error(libc::EINVAL)), Vec::new()),
    };
    let link = link.map(Link::from_descriptor).map_err(failed)?;
    Ok((link, functions))
}

/// Returns the functions that match, by offset; of several names of one the first.
fn places(file: &Path, pattern: &str) -> Result<BTreeMap<u64, String>> {
    let found = functions::user_functions(file)?.into_iter();
    let mut places = BTreeMap::new();
    for (name, offset) in found.filter(|(name, _)| functions::matches(pattern, name)) {
        places.entry(offset).or_insert(name);
    }
    Ok(places)
}

/// Copies the descriptors of an object's maps, by name.
pub(crate) fn descriptors<'a>(
    maps: impl Iterator<Item = (&'a str, BorrowedFd<'a>)>,
) -> io::Result<BTreeMap<String, OwnedFd>> {
    maps.map(|(name, map)| Ok((name.to_owned(), map.as_fd().try_clone_to_owned()?)))
        .collect()
}
