//! cas values → ordinals within a capture. Equal values get equal ordinals; a profile never holds the values.

use crate::numbering::Numbering;

/// Values in one generation. Two generations bound the table to about 100 MB.
const GENERATION: usize = 1 << 21;

/// Numbers cas values in order of first appearance.
///
/// A value not seen while two to four million others appeared is forgotten and would get a new ordinal. A `cas` follows
/// its `gets` far sooner.
pub(super) fn ordinals() -> Numbering<u64> {
    Numbering::new(GENERATION)
}
