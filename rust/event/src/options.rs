//! [`OptionsTable`]: the distinct options strings of a capture, each with a small index.

use std::collections::HashMap;
use std::sync::Arc;

/// Index of an options string in an [`OptionsTable`]; 0 is the empty string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Options(pub u16);

/// The distinct options strings of a capture (`noreply`, `s v q MA`, …): canonical flag letters, never user content.
///
/// ```
/// use membench_event::OptionsTable;
///
/// let mut options = OptionsTable::default();
/// let quiet = options.intern("v q").ok_or("the table is full")?;
/// assert_eq!(options.intern("v q"), Some(quiet));
/// assert_eq!(options.name(quiet), "v q");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
pub struct OptionsTable {
    names: Vec<Arc<str>>,
    /// Indices of the names. Clients choose the strings, so the hashes are keyed at random.
    indices: HashMap<Arc<str>, Options>,
}

impl Default for OptionsTable {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Self {
            names: vec![Arc::clone(&empty)],
            indices: HashMap::from([(empty, Options(0))]),
        }
    }
}

impl OptionsTable {
    /// Returns the index of `name`, which is added if new. Returns `None` for a new string if the table is full: it
    /// holds 65,536.
    #[inline]
    pub fn intern(&mut self, name: &str) -> Option<Options> {
        if let Some(known) = self.get(name) {
            return Some(known);
        }
        let options = Options(u16::try_from(self.names.len()).ok()?);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.indices.insert(name, options);
        Some(options)
    }

    /// Returns the index of `name` if the table holds it.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Options> {
        // Most requests carry no options.
        if name.is_empty() {
            return Some(Options(0));
        }
        self.indices.get(name).copied()
    }

    /// Returns the string at an index; empty if unknown.
    #[inline]
    pub fn name(&self, options: Options) -> &str {
        self.names
            .get(usize::from(options.0))
            .map_or("", |name| name)
    }

    /// Every string, in order of its index.
    #[inline]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_refuses_new_strings_and_keeps_the_known_ones() {
        let mut options = OptionsTable::default();
        for number in 1..=u16::MAX {
            assert_eq!(options.intern(&number.to_string()), Some(Options(number)));
        }
        assert_eq!(options.intern("one more"), None);
        assert_eq!(options.intern("65535"), Some(Options(u16::MAX)));
        assert_eq!(options.intern(""), Some(Options(0)));
        assert_eq!(options.names().len(), 1 << 16);
    }
}
