//! A map of the kernel → its entries.

use std::{collections::HashMap, hash::Hash};

use membench_bpf::Map;
use zerocopy::FromBytes;

use crate::Result;

/// Reads a map. An entry that goes meanwhile is left out.
pub(crate) fn entries<K: FromBytes + Eq + Hash, V: FromBytes>(map: &Map) -> Result<HashMap<K, V>> {
    let keys = map.keys().collect::<std::result::Result<Vec<_>, _>>()?;
    let mut found = HashMap::with_capacity(keys.len());
    for bytes in keys {
        let value = map.lookup(&bytes)?;
        let value = value.and_then(|value| V::read_from_bytes(&value).ok());
        if let (Ok(key), Some(value)) = (K::read_from_bytes(&bytes), value) {
            found.insert(key, value);
        }
    }
    Ok(found)
}
