//! An object's globals: by name, their section, and their place in it.

use std::collections::BTreeMap;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};
use zerocopy::FromZeros;

/// Most bytes of sections that are zeros.
const MOST_ZEROS: u64 = 256 << 20;

/// A global of an object: a `static` whose value is set before the programs are loaded, or that programs change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The section, such as `.rodata` or `.bss`; its map has the same name.
    pub section: String,
    /// Offset in the section, bytes.
    pub offset: usize,
    /// Size, bytes.
    pub size: usize,
}

/// Returns a list as programs read it from a global of a fixed size: ended by zeros unless full. What does not fit is left
/// out.
pub fn list<T: Copy + FromZeros, const MOST: usize>(wanted: &[T]) -> [T; MOST] {
    std::array::from_fn(|index| wanted.get(index).copied().unwrap_or_else(T::new_zeroed))
}

/// Finds the globals of an object; sections without a map have none.
pub(crate) fn globals(bytes: &[u8], has_map: impl Fn(&str) -> bool) -> BTreeMap<String, Global> {
    let Ok(file) = object::File::parse(bytes) else {
        return BTreeMap::new();
    };
    let named = file.symbols().filter_map(|symbol| {
        let section = file.section_by_index(symbol.section_index()?).ok()?;
        let global = Global {
            section: section.name().ok()?.into(),
            offset: usize::try_from(symbol.address()).ok()?,
            size: usize::try_from(symbol.size()).ok()?,
        };
        let end = global.offset.checked_add(global.size)?;
        let is_inside = u64::try_from(end).is_ok_and(|end| end <= section.size());
        let is_data = !matches!(symbol.kind(), SymbolKind::Section | SymbolKind::Text);
        let is_named =
            is_data && is_inside && is_data_section(&global.section) && has_map(&global.section);
        is_named.then_some((symbol.name().ok()?.into(), global))
    });
    named
        .filter(|(name, _): &(String, _)| !name.is_empty())
        .collect()
}

/// Fails if sections that are zeros, which take no room in the file, would take more memory than objects have use for, or
/// if a function lies outside its section.
pub(crate) fn check_sizes(bytes: &[u8]) -> std::result::Result<(), String> {
    let Ok(file) = object::File::parse(bytes) else {
        return Ok(()); // the parser of programs tells more
    };
    let zeros = file
        .sections()
        .filter(|section| section.kind() == SectionKind::UninitializedData);
    let size = zeros.fold(0_u64, |sum, section| sum.saturating_add(section.size()));
    if size > MOST_ZEROS {
        return Err(format!(
            "its variables that are zero have {size} bytes; {MOST_ZEROS} are the most"
        ));
    }
    let functions = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text);
    for symbol in functions {
        let index = symbol.section_index();
        let Some(section) = index.and_then(|index| file.section_by_index(index).ok()) else {
            continue;
        };
        let end = symbol.address().checked_add(symbol.size());
        if end.is_none_or(|end| end > section.size()) {
            let name = symbol.name().unwrap_or_default();
            return Err(format!("the function {name} lies outside its section"));
        }
    }
    Ok(())
}

/// Finds the section of each function of an object, by the function's name.
pub(crate) fn program_sections(bytes: &[u8]) -> BTreeMap<String, String> {
    let Ok(file) = object::File::parse(bytes) else {
        return BTreeMap::new();
    };
    let named = file.symbols().filter_map(|symbol| {
        let section = file.section_by_index(symbol.section_index()?).ok()?;
        let is_function = symbol.kind() == SymbolKind::Text;
        is_function.then_some((symbol.name().ok()?.into(), section.name().ok()?.into()))
    });
    named.collect()
}

/// Copies the bytes of a section.
pub(crate) fn section(bytes: &[u8], name: &str) -> Option<Vec<u8>> {
    let file = object::File::parse(bytes).ok()?;
    let section = file.section_by_name(name)?;
    section.data().ok().map(<[u8]>::to_vec)
}

fn is_data_section(name: &str) -> bool {
    [".rodata", ".data", ".bss"]
        .iter()
        .any(|section| name.starts_with(section))
}
