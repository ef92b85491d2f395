//! The bytes of an object → what it holds, with globals and map sizes set → loaded into the kernel.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, UnwindSafe, catch_unwind},
    path::Path,
    sync::OnceLock,
};

use aya::{Btf, Ebpf, EbpfError, EbpfLoader};
use zerocopy::{Immutable, IntoBytes};

use crate::{
    Capability, Error, Global, Hook, Kind, Link, Map, Program, Result, failure,
    global::{check_sizes, globals, program_sections, section},
    map::{self, kind_name},
    multi, program, read_file,
};

/// Size of the largest ring, bytes.
const MOST_RING: u32 = 1 << 31;

/// A map of an object, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// The type as `bpftool` names it, such as `ringbuf`.
    pub kind: &'static str,
    /// Size of a key, bytes.
    pub key_size: u32,
    /// Size of a value, bytes.
    pub value_size: u32,
    /// Most elements; of a ring its size, bytes.
    pub max_entries: u32,
}

/// An object that was read but not loaded: its programs, maps and globals, and how they are to be loaded.
///
/// Reading needs no privilege and no kernel support. The order of use is that of the
/// [example](crate#example): parse, set globals and sizes, [`load`](Object::load), attach.
pub struct Object {
    name: String,
    bytes: Cow<'static, [u8]>,
    programs: BTreeMap<String, Kind>,
    sections: BTreeMap<String, String>,
    maps: BTreeMap<String, MapSpec>,
    globals: BTreeMap<String, Global>,
    values: BTreeMap<String, Vec<u8>>,
    max_entries: BTreeMap<String, u32>,
    /// Names of the programs that are going to be loaded; all if `None`.
    wanted: Option<BTreeSet<String>>,
}

impl Object {
    /// Reads an object file.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = read_file(path).map_err(|source| Error::Io {
            path: path.into(),
            source,
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self::parse(&name.to_string_lossy(), bytes)
    }

    /// Reads an object from memory. `name` is the object's name in error messages.
    ///
    /// Embed objects with [`include_object!`](crate::include_object), which aligns them.
    pub fn parse(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        let malformed = |reason| Error::NotAnObject {
            object: name.into(),
            reason,
        };
        check_sizes(&bytes).map_err(malformed)?;
        let parsed = guarded(|| aya_obj::Object::parse(&bytes)).map_err(malformed)?;
        let parsed = parsed.map_err(|error| malformed(failure::reason(&error)))?;
        let programs = parsed.programs.iter();
        let programs = programs.map(|(name, program)| (name.clone(), Kind::from(&program.section)));
        let maps = parsed.maps.iter().map(|(name, map)| {
            let spec = MapSpec {
                kind: kind_name(map.map_type()),
                key_size: map.key_size(),
                value_size: map.value_size(),
                max_entries: map.max_entries(),
            };
            (name.clone(), spec)
        });
        let maps: BTreeMap<_, _> = maps.collect();
        Ok(Self {
            name: name.into(),
            programs: programs.collect(),
            sections: program_sections(&bytes),
            globals: globals(&bytes, |section| maps.contains_key(section)),
            maps,
            bytes,
            values: BTreeMap::new(),
            max_entries: BTreeMap::new(),
            wanted: None,
        })
    }

    /// Returns the object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the programs, by name, with their types.
    pub fn programs(&self) -> &BTreeMap<String, Kind> {
        &self.programs
    }

    /// Returns the section of each program, by the program's name, such as `tp_btf/sched_switch`.
    pub fn sections(&self) -> &BTreeMap<String, String> {
        &self.sections
    }

    /// Returns the object's own types in the kernel's format (BTF); `None` if it was compiled without.
    pub fn types(&self) -> Option<Vec<u8>> {
        section(&self.bytes, ".BTF")
    }

    /// Returns the bytes that a global is going to have, as they stand in the object or were set.
    pub fn global(&self, name: &str) -> Result<Vec<u8>> {
        let global = self.find("global", &self.globals, name)?;
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let place = global.offset..global.offset + global.size;
        let found = section(&self.bytes, &global.section);
        // A section of zeros has no bytes in the file.
        let found = found.and_then(|bytes| bytes.get(place).map(<[u8]>::to_vec));
        Ok(found.unwrap_or_else(|| vec![0; global.size]))
    }

    /// Returns the maps, by name. The sections `.rodata`, `.data` and `.bss` are maps, too.
    pub fn maps(&self) -> &BTreeMap<String, MapSpec> {
        &self.maps
    }

    /// Returns the globals, by name.
    pub fn globals(&self) -> &BTreeMap<String, Global> {
        &self.globals
    }

    /// Sets a global to the bytes of `value`, which must have the global's size. The verifier knows globals in `.rodata`
    /// as constants, and removes branches that they rule out.
    pub fn set_global<T: IntoBytes + Immutable + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
    ) -> Result<&mut Self> {
        let global = self.find("global", &self.globals, name)?;
        let bytes = value.as_bytes();
        if bytes.len() != global.size {
            return Err(Error::GlobalSize {
                name: name.into(),
                size: global.size as u64,
                given: bytes.len(),
            });
        }
        self.values.insert(name.into(), bytes.to_vec());
        Ok(self)
    }

    /// Sets how many elements a map holds; of a ring its size, bytes, a power of two of at least a page.
    pub fn set_max_entries(&mut self, map: &str, entries: u32) -> Result<&mut Self> {
        self.find("map", &self.maps, map)?;
        self.max_entries.insert(map.into(), entries);
        Ok(self)
    }

    /// Names the programs that are going to be loaded, so that errors name only the capabilities that these need.
    pub fn use_only<'a>(
        &mut self,
        programs: impl IntoIterator<Item = &'a str>,
    ) -> Result<&mut Self> {
        let mut wanted = BTreeSet::new();
        for program in programs {
            self.find("program", &self.programs, program)?;
            wanted.insert(program.to_owned());
        }
        self.wanted = Some(wanted);
        Ok(self)
    }

    /// Returns the capabilities that loading and attaching the programs takes.
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut needed = Vec::new();
        let is_wanted = |name: &String| {
            let wanted = self.wanted.as_ref();
            wanted.is_none_or(|wanted| wanted.contains(name))
        };
        let programs = self.programs.iter().filter(|(name, _)| is_wanted(name));
        for capability in programs.flat_map(|(_, kind)| kind.capabilities()) {
            if !needed.contains(capability) {
                needed.push(*capability);
            }
        }
        if needed.is_empty() {
            needed.extend(Kind::MAPS);
        }
        needed
    }

    /// Makes the maps in the kernel and resolves what the programs refer to. Programs themselves are loaded one by one,
    /// when they are attached or by [`Program::load`].
    pub fn load(&self) -> Result<Loaded> {
        let mut loader = EbpfLoader::new();
        loader.allow_unsupported_maps();
        for (name, value) in &self.values {
            loader.override_global(name, value.as_slice(), true);
        }
        for (name, entries) in &self.max_entries {
            loader.map_max_entries(name, *entries);
        }
        self.check_rings()?;
        let made = guarded(AssertUnwindSafe(|| loader.load(&self.bytes)));
        let made = made.map_err(|reason| Error::NotAnObject {
            object: self.name.clone(),
            reason,
        })?;
        let ebpf = made.map_err(|error| match error {
            EbpfError::ParseError(error) => Error::NotAnObject {
                object: self.name.clone(),
                reason: failure::reason(&error),
            },
            error => failure::make(&self.name, &self.capabilities(), error),
        })?;
        Ok(Loaded {
            name: self.name.clone(),
            globals: self.globals.clone(),
            ebpf,
            types: OnceLock::new(),
            kinds: self.programs.clone(),
            bytes: self.bytes.clone(),
            values: self.values.clone(),
            copies: BTreeMap::new(),
        })
    }

    /// Fails if a ring is larger than the kernel's largest, whose next power of two has no number.
    fn check_rings(&self) -> Result<()> {
        for (name, map) in &self.maps {
            let size = self.max_entries.get(name).copied();
            let size = size.unwrap_or(map.max_entries);
            if map.kind == "ringbuf" && size > MOST_RING {
                return Err(Error::RingSize {
                    map: name.clone(),
                    most: MOST_RING,
                    found: size,
                });
            }
        }
        Ok(())
    }

    fn find<'a, T>(
        &self,
        item: &'static str,
        all: &'a BTreeMap<String, T>,
        name: &str,
    ) -> Result<&'a T> {
        all.get(name).ok_or_else(|| absent(&self.name, item, name))
    }
}

/// An object in the kernel. Dropping it unloads its programs and frees its maps, unless links, [`Map`]s or pins still
/// hold them.
pub struct Loaded {
    name: String,
    globals: BTreeMap<String, Global>,
    ebpf: Ebpf,
    kinds: BTreeMap<String, Kind>,
    /// The kernel's types, for programs that are verified against them.
    types: OnceLock<Btf>,
    bytes: Cow<'static, [u8]>,
    values: BTreeMap<String, Vec<u8>>,
    /// Programs that were loaded a second time, for many functions.
    copies: BTreeMap<String, OwnedFd>,
}

impl Loaded {
    /// Returns a map. It stays open when the object is dropped.
    pub fn map(&self, name: &str) -> Result<Map> {
        let map = self.ebpf.map(name);
        let map = map.ok_or_else(|| absent(&self.name, "map", name))?;
        Map::from_fd(name, map::descriptor(map))
    }

    /// Returns a program, which can be loaded, attached and asked for its cost.
    pub fn program(&mut self, name: &str) -> Result<Program<'_>> {
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or_else(|| absent(&self.name, "program", name))?;
        let copy = self.copies.get(name).map(OwnedFd::as_fd);
        Ok(program::Program::new(name, program, &self.types, copy))
    }

    /// Attaches a program to many functions by one link, [`Hook::KernelFunctions`] or [`Hook::UserFunctions`]. A copy of
    /// it is loaded for that, by which the program is known from then on. Returns the functions, too, in the order of the
    /// numbers that `bpf_get_attach_cookie` gives the program.
    ///
    /// # Errors
    ///
    /// Fails as [`Program::attach`] does, with `ENOENT` if no function matches.
    pub fn attach_all(&mut self, name: &str, hook: &Hook) -> Result<(Link, Vec<String>)> {
        let kind = self.program(name)?.kind();
        let fits = match hook {
            Hook::KernelFunctions(_) => {
                matches!(kind, Kind::KernelProbe | Kind::KernelReturnProbe)
            }
            Hook::UserFunctions { .. } => matches!(kind, Kind::UserProbe | Kind::UserReturnProbe),
            _ => false,
        };
        if !fits {
            return Err(Error::WrongHook {
                program: name.into(),
                kind,
                hook: hook.to_string(),
            });
        }
        multi::require(hook)?;
        if !self.copies.contains_key(name) {
            let maps = self.ebpf.maps();
            let maps = multi::descriptors(maps.map(|(name, map)| (name, map::descriptor(map))));
            let maps = maps.map_err(|source| Error::Handle {
                name: name.into(),
                operation: "copy",
                source,
            })?;
            let copy = multi::load(name, (&self.bytes, &self.values), &maps, hook)?;
            self.copies.insert(name.into(), copy);
        }
        let copy = self.copies.get(name);
        let copy = copy.ok_or_else(|| absent(&self.name, "program", name))?;
        multi::attach(name, copy.as_fd(), hook, kind)
    }

    /// Returns the programs, by name, with their types.
    pub fn programs(&self) -> &BTreeMap<String, Kind> {
        &self.kinds
    }

    /// Returns the current bytes of a global.
    pub fn global(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || absent(&self.name, "global", name);
        let global = self.globals.get(name).ok_or_else(missing)?;
        let section = self.map(&global.section)?;
        let bytes = section.lookup(&0_u32.to_ne_bytes())?;
        let place = global.offset..global.offset + global.size;
        let found = bytes.as_ref().and_then(|bytes| bytes.get(place));
        found.map(<[u8]>::to_vec).ok_or_else(missing)
    }
}

/// Runs a parser of somebody else's bytes; it is a reason against them if it panics.
fn guarded<T>(parse: impl FnOnce() -> T + UnwindSafe) -> std::result::Result<T, String> {
    catch_unwind(parse).map_err(|_| "its parts contradict each other".to_owned())
}

fn absent(object: &str, item: &'static str, name: &str) -> Error {
    Error::Absent {
        object: object.into(),
        item,
        name: name.into(),
    }
}
