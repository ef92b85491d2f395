//! Maps of loaded objects, and pinned ones: their elements as bytes, their type and their sizes.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
};

use aya::maps::{self, MapData};

use crate::{
    Error, MapFacts, Result, failure, possible_cpus,
    sys::{Elements, Words, command},
};

/// Names of the kernel's map types, by number.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
const KINDS: [&str; 34] = [
    "unspec",
    "hash",
    "array",
    "prog_array",
    "perf_event_array",
    "percpu_hash",
    "percpu_array",
    "stack_trace",
    "cgroup_array",
    "lru_hash",
    "lru_percpu_hash",
    "lpm_trie",
    "array_of_maps",
    "hash_of_maps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroup_storage",
    "reuseport_sockarray",
    "percpu_cgroup_storage",
    "queue",
    "stack",
    "sk_storage",
    "devmap_hash",
    "struct_ops",
    "ringbuf",
    "inode_storage",
    "task_storage",
    "bloom_filter",
    "user_ringbuf",
    "cgrp_storage",
    "arena",
];

/// Condition on which [`Map::update`] writes an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Update {
    /// Writes the key whether the map has it or not.
    #[default]
    Any = 0,
    /// Fails with `EEXIST` if the map has the key.
    New = 1,
    /// Fails with `ENOENT` if the map lacks the key.
    Existing = 2,
}

/// A map in the kernel: elements are bytes, in the layout of the program that shares them.
///
/// Every access is a system call, which takes the privilege that loading took. While it runs, tracing programs of other
/// tools on that CPU can be skipped (`bpf_prog_active` in the kernel): read what changes often through
/// [`Counters`](crate::Counters), which map an array into memory.
///
/// The map lives as long as this value, its object, or a pin.
pub struct Map {
    name: String,
    kind: u32,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
    /// Values of one element: 1, or one for each possible CPU.
    values: usize,
    elements: Elements,
}

impl Map {
    pub(crate) fn from_fd(name: &str, map: BorrowedFd<'_>) -> Result<Self> {
        let unreadable = |source| Error::Map {
            map: name.into(),
            source,
        };
        let copy = map.try_clone_to_owned().map_err(unreadable)?;
        let elements = map.try_clone_to_owned().map_err(unreadable)?;
        let info = MapData::from_fd(copy).and_then(|data| data.info());
        let info = info.map_err(|error| unreadable(failure::map_cause(error)))?;
        let kind = info.map_type().map_or(0, |kind| kind as u32);
        let (key_size, value_size) = (info.key_size() as usize, info.value_size() as usize);
        let (values, stored) = if is_per_cpu(kind) {
            let cpus = possible_cpus()? as usize;
            (cpus, cpus * value_size.next_multiple_of(8))
        } else {
            (1, value_size)
        };
        Ok(Self {
            name: name.into(),
            kind,
            key_size,
            value_size,
            max_entries: info.max_entries(),
            values,
            elements: Elements::new(elements, key_size, stored),
        })
    }

    /// Opens a map that was pinned in the BPF file system.
    pub fn open_pinned(path: &Path) -> Result<Self> {
        let data = MapData::from_pin(path).map_err(|error| Error::Pin {
            path: path.into(),
            source: failure::map_cause(error),
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self::from_fd(&name.to_string_lossy(), data.fd().as_fd())
    }

    /// Pins the map in the BPF file system, where it outlives this process.
    pub fn pin(&self, path: &Path) -> Result<()> {
        self.data()?.pin(path).map_err(|error| Error::Pin {
            path: path.into(),
            source: failure::pin_cause(error),
        })
    }

    /// Returns the map's name in its object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the map's type as `bpftool` names it, such as `percpu_array`.
    pub fn kind(&self) -> &'static str {
        kind_name(self.kind)
    }

    /// Returns the size of a key, bytes.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Returns the size of a value, bytes; for a per-CPU map that on one CPU.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// Returns the most elements that the map holds; for a ring its size, bytes.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Returns true if an element has a value for each CPU.
    pub fn is_per_cpu(&self) -> bool {
        is_per_cpu(self.kind)
    }

    /// Returns a copy of a key's value; `None` if the map lacks the key. Queues and stacks have no keys: pass none to see
    /// the next element. Of a per-CPU map this is the value on the first
    /// CPU: see [`Map::lookup_per_cpu`].
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = self.stored(key)?;
        if let Some(value) = &mut value {
            value.truncate(self.value_size);
        }
        Ok(value)
    }

    /// Returns copies of a key's values, one for each possible CPU; a single one if the map is not per CPU.
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        let Some(stored) = self.stored(key)? else {
            return Ok(None);
        };
        let each = stored.len() / self.values;
        let values = stored.chunks(each.max(1));
        let values = values.map(|value| value.get(..self.value_size).unwrap_or(value).to_vec());
        Ok(Some(values.collect()))
    }

    fn stored(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.check("key", self.key_size, key)?;
        self.elements
            .lookup(key)
            .map_err(|source| self.failed("lookup", source))
    }

    /// Stores a value under a key; in a per-CPU map the same value on every CPU.
    pub fn update(&self, key: &[u8], value: &[u8], which: Update) -> Result<()> {
        self.check("key", self.key_size, key)?;
        self.check("value", self.value_size, value)?;
        let mut stored = value.to_vec();
        if self.is_per_cpu() {
            stored.resize(self.value_size.next_multiple_of(8), 0);
            stored = stored.repeat(self.values);
        }
        self.elements
            .update(key, &stored, which as u64)
            .map_err(|source| self.failed("update", source))
    }

    /// Stores one value for each possible CPU under a key of a per-CPU map.
    pub fn update_per_cpu(&self, key: &[u8], values: &[Vec<u8>], which: Update) -> Result<()> {
        self.check("key", self.key_size, key)?;
        self.check_count(values.len())?;
        let mut stored = Vec::new();
        for value in values {
            self.check("value", self.value_size, value)?;
            stored.extend_from_slice(value);
            stored.resize(stored.len().next_multiple_of(8), 0);
        }
        self.elements
            .update(key, &stored, which as u64)
            .map_err(|source| self.failed("update", source))
    }

    /// Returns what the kernel tells of the map. This is a system call.
    pub fn facts(&self) -> Result<MapFacts> {
        MapFacts::of(self.as_fd()).map_err(|source| self.failed("info", source))
    }

    /// Copies the types that describe the map's keys and values; `None` if it has none. Reading those of a map that
    /// another process made takes `CAP_SYS_ADMIN`.
    pub fn types(&self) -> Result<Option<Vec<u8>>> {
        let number = self.facts()?.types;
        if number == 0 {
            return Ok(None);
        }
        let types = command::by_id(command::Command::TypesById, number);
        let types = types.and_then(|types| command::types(types.as_fd()));
        types
            .map(Some)
            .map_err(|source| self.failed("types", source))
    }

    /// Maps the values of an array into this process's memory. The array must have been made with `BPF_F_MMAPABLE`
    /// (Linux 5.5), which arrays of one value per CPU cannot be.
    pub fn memory(&self) -> Result<Memory> {
        let stride = self.value_size.next_multiple_of(8);
        let words = stride * self.max_entries as usize / size_of::<u64>();
        let words = Words::map(self.as_fd(), words).map_err(|source| Error::Map {
            map: self.name.clone(),
            source,
        })?;
        Ok(Memory {
            words,
            stride,
            value_size: self.value_size,
            entries: self.max_entries as usize,
        })
    }

    fn check_count(&self, given: usize) -> Result<()> {
        if self.is_per_cpu() && given == self.values {
            return Ok(());
        }
        Err(Error::ElementSize {
            map: self.name.clone(),
            part: "list of values",
            size: self.values,
            given,
        })
    }

    /// Stores a program or map in an array of them.
    pub fn set_descriptor(&self, index: u32, descriptor: BorrowedFd<'_>) -> Result<()> {
        let value = descriptor.as_raw_fd().to_ne_bytes();
        self.update(&index.to_ne_bytes(), &value, Update::Any)
    }

    /// Removes a key; returns false if the map lacks it.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check("key", self.key_size, key)?;
        self.elements
            .delete(key)
            .map_err(|source| self.failed("delete", source))
    }

    /// Iterates over the keys. Elements that programs add or remove meanwhile may be missed or come twice.
    pub fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let mut last: Option<Vec<u8>> = None;
        std::iter::from_fn(move || {
            let next = self.elements.next_key(last.as_deref());
            match next {
                Ok(next) => {
                    last.clone_from(&next);
                    next.map(Ok)
                }
                Err(source) => Some(Err(self.failed("next key", source))),
            }
        })
    }

    pub(crate) fn data(&self) -> Result<MapData> {
        let unreadable = |source| Error::Map {
            map: self.name.clone(),
            source,
        };
        let map = self.as_fd().try_clone_to_owned().map_err(unreadable)?;
        MapData::from_fd(map).map_err(|error| unreadable(failure::map_cause(error)))
    }

    fn check(&self, part: &'static str, size: usize, given: &[u8]) -> Result<()> {
        if given.len() == size {
            return Ok(());
        }
        Err(Error::ElementSize {
            map: self.name.clone(),
            part,
            size,
            given: given.len(),
        })
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        Error::Element {
            map: self.name.clone(),
            operation,
            source,
        }
    }
}

/// The values of an array in this process's memory. Reading makes no system call and takes no privilege.
pub struct Memory {
    words: Words,
    stride: usize,
    value_size: usize,
    entries: usize,
}

impl Memory {
    /// Returns the number of values.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Copies a value; `None` beyond the last. Each aligned word of 8 bytes is one that a program wrote; words that
    /// belong together can be of different times.
    pub fn read(&self, index: usize) -> Option<Vec<u8>> {
        if index >= self.entries {
            return None;
        }
        let first = index * self.stride / size_of::<u64>();
        let words = first..first + self.stride / size_of::<u64>();
        let mut value: Vec<u8> = words
            .flat_map(|word| self.words.read(word).to_ne_bytes())
            .collect();
        value.truncate(self.value_size);
        Some(value)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.elements.as_fd()
    }
}

/// Returns the name of a map type, by the kernel's number.
pub(crate) fn kind_name(kind: u32) -> &'static str {
    KINDS.get(kind as usize).copied().unwrap_or("unknown")
}

fn is_per_cpu(kind: u32) -> bool {
    kind_name(kind).contains("percpu")
}

/// Returns the descriptor of a map, whatever its type.
pub(crate) fn descriptor(map: &maps::Map) -> BorrowedFd<'_> {
    use maps::Map::{
        Array, ArrayOfMaps, BloomFilter, CgroupArray, CgroupStorage, CgrpStorage, CpuMap, DevMap,
        DevMapHash, HashMap, HashOfMaps, InodeStorage, LpmTrie, LruHashMap, PerCpuArray,
        PerCpuCgroupStorage, PerCpuHashMap, PerCpuLruHashMap, PerfEventArray, ProgramArray, Queue,
        ReusePortSockArray, RingBuf, SkStorage, SockHash, SockMap, Stack, StackTraceMap,
        Unsupported, XskMap,
    };
    let (Array(data)
    | ArrayOfMaps(data)
    | BloomFilter(data)
    | CgroupArray(data)
    | CgroupStorage(data)
    | CgrpStorage(data)
    | CpuMap(data)
    | DevMap(data)
    | DevMapHash(data)
    | HashMap(data)
    | HashOfMaps(data)
    | InodeStorage(data)
    | LpmTrie(data)
    | LruHashMap(data)
    | PerCpuArray(data)
    | PerCpuCgroupStorage(data)
    | PerCpuHashMap(data)
    | PerCpuLruHashMap(data)
    | PerfEventArray(data)
    | ProgramArray(data)
    | Queue(data)
    | ReusePortSockArray(data)
    | RingBuf(data)
    | SkStorage(data)
    | SockHash(data)
    | SockMap(data)
    | Stack(data)
    | StackTraceMap(data)
    | Unsupported(data)
    | XskMap(data)) = map;
    data.fd().as_fd()
}
