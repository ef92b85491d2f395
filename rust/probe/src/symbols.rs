//! Addresses → the names of the functions that they are in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    num::NonZeroU32,
    path::Path,
};

use blazesym::{
    MaybeDefault, Pid,
    symbolize::{
        Input, Symbolized, Symbolizer,
        source::{Kernel, Process, Source},
    },
};

/// Ends the names of the kernel's functions in stacks, as in folded stacks of other tools.
pub const KERNEL: &str = "_[k]";

/// Names of functions of the kernel and of processes.
#[derive(Default)]
pub struct Symbols {
    /// By process, 0 for the kernel, and address.
    names: HashMap<(u32, u64), String>,
    /// Parts of files in a process's memory, by process.
    mappings: HashMap<u32, Vec<Mapping>>,
}

struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    file: String,
}

impl Symbols {
    /// Names the frames of a kernel stack. An address without a name stands for itself; the kernel tells names only to
    /// privileged processes.
    pub fn kernel(&mut self, addresses: &[u64]) -> Vec<String> {
        self.process(0, addresses)
    }

    /// Names the frames of a process's stack, of the kernel's for process 0. An address without a name is written as the
    /// file and the offset in it; the process must still be there.
    pub fn process(&mut self, process: u32, addresses: &[u64]) -> Vec<String> {
        self.learn([(process, addresses)]);
        self.known(process, addresses)
    }

    /// Looks up frames of several processes at once, which reads each file only once.
    pub(crate) fn learn<'a>(&mut self, stacks: impl IntoIterator<Item = (u32, &'a [u64])>) {
        let mut unknown: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (process, addresses) in stacks {
            let addresses =
                called(addresses).filter(|address| !self.names.contains_key(&(process, *address)));
            unknown.entry(process).or_default().extend(addresses);
        }
        unknown.retain(|_, addresses| !addresses.is_empty());
        if unknown.is_empty() {
            return;
        }
        let symbolizer = Symbolizer::builder().enable_code_info(false).build();
        for (process, addresses) in unknown {
            let addresses: Vec<u64> = addresses.into_iter().collect();
            let found = symbolizer.symbolize(&source(process), Input::AbsAddr(&addresses));
            let found: Vec<Option<String>> = match found {
                Ok(found) => found.iter().map(name).collect(),
                Err(_) => vec![None; addresses.len()],
            };
            for (address, name) in addresses.into_iter().zip(found) {
                let name = name.unwrap_or_else(|| self.place(process, address));
                self.names.insert((process, address), name);
            }
        }
    }

    /// Returns the names that frames were found to have.
    pub(crate) fn known(&self, process: u32, addresses: &[u64]) -> Vec<String> {
        let names = called(addresses).map(|address| {
            let name = self.names.get(&(process, address));
            name.cloned().unwrap_or_else(|| format!("{address:#x}"))
        });
        names.collect()
    }

    /// Returns the file that an address is in and the offset in it, else the address.
    fn place(&mut self, process: u32, address: u64) -> String {
        if process == 0 {
            return format!("{address:#x}");
        }
        let mappings = self
            .mappings
            .entry(process)
            .or_insert_with(|| mappings(process));
        let inside = |one: &&Mapping| (one.start..one.end).contains(&address);
        match mappings.iter().find(inside) {
            Some(found) => format!("{}+{:#x}", found.file, address - found.start + found.offset),
            None => format!("{address:#x}"),
        }
    }
}

/// Returns where the names of a process's functions are, of the kernel's for process 0.
fn source(process: u32) -> Source<'static> {
    match NonZeroU32::new(process) {
        Some(pid) => Source::Process(Process {
            debug_syms: false,
            // The files in `/proc/PID/map_files` are right in other mount namespaces, but only root reads them.
            map_files: fs::read_dir(format!("/proc/{process}/map_files")).is_ok(),
            ..Process::new(Pid::Pid(pid))
        }),
        None => Source::Kernel(Kernel {
            vmlinux: MaybeDefault::None,
            debug_syms: false,
            ..Kernel::default()
        }),
    }
}

/// Returns the addresses inside the calls: all but the innermost are those that the calls return to.
fn called(addresses: &[u64]) -> impl Iterator<Item = u64> {
    let returns = addresses.iter().skip(1).map(|address| address - 1);
    addresses.iter().take(1).copied().chain(returns)
}

fn name(found: &Symbolized<'_>) -> Option<String> {
    found.as_sym().map(|symbol| symbol.name.to_string())
}

fn mappings(process: u32) -> Vec<Mapping> {
    let text = fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    text.lines().filter_map(mapping).collect()
}

/// Parses `7f00-7f10 r-xp 00001000 08:01 1234   /usr/bin/memcached`.
fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let file = Path::new(fields.nth(2)?).file_name()?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapping {
        start: number(start)?,
        end: number(end)?,
        offset: number(offset)?,
        file: file.to_string_lossy().into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_of_this_test() -> u64 {
        std::hint::black_box(7)
    }

    #[test]
    fn a_functions_address_has_its_name() {
        let address = a_function_of_this_test as fn() -> u64 as usize as u64;
        let names = Symbols::default().process(std::process::id(), &[address, address + 1]);
        assert_eq!(a_function_of_this_test(), 7);
        for name in names {
            assert!(name.contains("a_function_of_this_test"), "{name}");
        }
    }

    #[test]
    fn an_address_of_a_process_that_is_gone_stands_for_itself() {
        let names = Symbols::default().process(u32::MAX, &[0x1000, 0x2001]);
        assert_eq!(names, ["0x1000", "0x2000"]);
    }

    #[test]
    fn a_line_of_the_maps_is_a_part_of_a_file() {
        let found = mapping("7f00-7f10 r-xp 00001000 08:01 1234      /usr/bin/memcached").unwrap();
        assert_eq!(
            (found.start, found.end, found.offset),
            (0x7f00, 0x7f10, 0x1000)
        );
        assert_eq!(found.file, "memcached");
        assert!(mapping("7f00-7f10 rw-p 00000000 00:00 0").is_none());
    }
}
