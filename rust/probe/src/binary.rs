//! A program or library → its functions, the probes that its author placed, and offsets in the file.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use membench_bpf::{Site, matches, read_file, usdt_sites, user_functions};

use crate::{Error, Result, names::nearest};

/// Folders of libraries.
const LIBRARIES: [&str; 7] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib",
];

/// A program or library.
pub(crate) struct Binary {
    path: PathBuf,
}

impl Binary {
    /// Reads a file. A name without a folder is that of a program in `PATH`, or of a library: `libc`.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let path = find(file).unwrap_or_else(|| file.into());
        let bytes = read_file(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        object::File::parse(bytes.as_slice())
            .map_err(|_| Error::malformed(&path, "is no program or library (ELF)"))?;
        Ok(Self { path })
    }

    /// Returns the file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the offset in the file of a function's first instruction.
    pub(crate) fn function(&self, name: &str) -> Result<u64> {
        let functions = self.functions();
        let offset = functions.get(name).copied();
        offset.ok_or_else(|| self.no_function(name, &functions))
    }

    /// Fails if no function's name matches a pattern.
    pub(crate) fn require_match(&self, pattern: &str) -> Result<()> {
        let functions = self.functions();
        if functions.keys().any(|name| matches(pattern, name)) {
            return Ok(());
        }
        Err(self.no_function(pattern, &functions))
    }

    fn no_function(&self, name: &str, functions: &BTreeMap<String, u64>) -> Error {
        Error::NoSuchPlace {
            holder: self.described(functions.is_empty()),
            what: "function",
            name: name.into(),
            nearest: nearest(name, functions.keys().map(String::as_str)),
        }
    }

    /// Returns all functions that have a name, with their offsets in the file.
    pub(crate) fn functions(&self) -> BTreeMap<String, u64> {
        user_functions(&self.path).unwrap_or_default()
    }

    /// Returns the places of a probe that the program's author placed.
    pub(crate) fn usdt(&self, provider: &str, name: &str) -> Result<Vec<Site>> {
        let all = self.all_usdt()?;
        let found: Vec<Site> = all
            .iter()
            .filter(|site| site.provider == provider && site.name == name)
            .cloned()
            .collect();
        if found.is_empty() {
            let wanted = format!("{provider}:{name}");
            let known: Vec<String> = all.iter().map(Site::full_name).collect();
            return Err(Error::NoSuchPlace {
                holder: self.path.display().to_string(),
                what: "probe",
                nearest: nearest(&wanted, known.iter().map(String::as_str)),
                name: wanted,
            });
        }
        Ok(found)
    }

    /// Returns the places of all probes that the program's author placed.
    pub(crate) fn all_usdt(&self) -> Result<Vec<Site>> {
        Ok(usdt_sites(&self.path)?)
    }

    fn described(&self, is_nameless: bool) -> String {
        let path = self.path.display();
        if is_nameless {
            format!("{path}, which is stripped,")
        } else {
            path.to_string()
        }
    }
}

/// True for a program or library; `libc.so` can be a text for the linker.
fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == object::elf::ELFMAG
}

/// Finds the file that a name without a folder stands for.
fn find(name: &Path) -> Option<PathBuf> {
    if name.components().count() != 1 || name.is_file() {
        return None;
    }
    let programs = env::var_os("PATH")?;
    let mut programs = env::split_paths(&programs).map(|folder| folder.join(name));
    if let Some(program) = programs.find(|path| path.is_file()) {
        return Some(program);
    }
    let prefix = format!("{}.so", name.display());
    LIBRARIES.iter().find_map(|folder| {
        let entries = fs::read_dir(folder).ok()?.flatten();
        let mut files: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .filter(|path| is_elf(path))
            .collect();
        files.sort_unstable();
        files.into_iter().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Binary {
        Binary::open(&env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_function_has_an_offset_in_the_file() {
        let own = own();
        let functions = own.functions();
        let (name, offset) = functions.iter().next().unwrap();
        assert_eq!(own.function(name).unwrap(), *offset);
        assert!(*offset < fs::metadata(own.path()).unwrap().len());
    }

    #[test]
    fn a_name_that_no_function_has_is_told_those_like_it() {
        let libc = Binary::open(Path::new("libc")).unwrap();
        let Err(Error::NoSuchPlace { nearest, .. }) = libc.function("getppidd") else {
            panic!()
        };
        assert!(nearest.contains(&"getppid".to_owned()), "{nearest:?}");
    }

    #[test]
    fn a_file_that_is_no_program_is_refused() {
        let error = Binary::open(Path::new("/etc/passwd")).err().unwrap();
        assert!(error.to_string().contains("no program"), "{error}");
        assert!(Binary::open(Path::new("/no/such/file")).is_err());
    }
}
