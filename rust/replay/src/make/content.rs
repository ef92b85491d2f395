//! Start of every key, and bytes of every value.

use crate::make::keys::KEY_MAX;
use crate::{Error, Result};

/// Longest prefix of keys, bytes. With it, a key has room for its id.
const PREFIX_MAX: usize = 100;

/// Bytes that values consist of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ValueBytes {
    /// Letters and digits.
    #[default]
    Text,
    /// Any bytes: nothing compresses them.
    Random,
    /// In every 100 bytes this share of zeros, the others random: a compressor takes that share away.
    Compressible(f64),
    /// Zeros.
    Zero,
}

impl ValueBytes {
    /// Parses `text`, `random`, `compressible=0.6` or `zero`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::Value {
            given: text.to_owned(),
        };
        match text {
            "text" => Ok(Self::Text),
            "random" => Ok(Self::Random),
            "zero" => Ok(Self::Zero),
            _ => {
                let share = text.strip_prefix("compressible=").ok_or_else(refused)?;
                let share = share.parse::<f64>().ok();
                let share = share.filter(|share| (0.0..=1.0).contains(share));
                share.map(Self::Compressible).ok_or_else(refused)
            }
        }
    }
}

/// Content of keys and values.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Seed of the values: equal seeds give equal values.
    pub seed: u64,
    /// Bytes of the values.
    pub values: ValueBytes,
    /// Bytes before every key.
    pub key_prefix: String,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            seed: 1,
            values: ValueBytes::default(),
            key_prefix: String::new(),
        }
    }
}

impl Content {
    /// Fails if no key can begin with the prefix.
    pub(crate) fn check(&self) -> Result<()> {
        let prefix = self.key_prefix.as_bytes();
        if prefix.len() <= PREFIX_MAX && prefix.iter().all(u8::is_ascii_graphic) {
            return Ok(());
        }
        Err(Error::KeyPrefix {
            given: self.key_prefix.clone(),
        })
    }

    /// Returns the bytes of the prefix, and those of the key of `size` bytes that follow it: no more than memcached allows
    /// together.
    pub(crate) fn sizes(&self, size: u8) -> (u8, u8) {
        let prefix = u8::try_from(self.key_prefix.len()).unwrap_or(0);
        if size == 0 || size > KEY_MAX {
            return (0, size);
        }
        (prefix, size.min(KEY_MAX.saturating_sub(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_or_refused() {
        let table = [
            ("text", Some(ValueBytes::Text)),
            ("random", Some(ValueBytes::Random)),
            ("zero", Some(ValueBytes::Zero)),
            ("compressible=0.6", Some(ValueBytes::Compressible(0.6))),
            ("compressible=1.1", None),
            ("compressible=NaN", None),
            ("compressible", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(ValueBytes::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_prefix_leaves_room_for_the_id_within_what_memcached_allows() {
        let with = |key_prefix: &str| Content {
            key_prefix: key_prefix.to_owned(),
            ..Content::default()
        };
        let longest = "p".repeat(PREFIX_MAX);
        for refused in ["a b", "a\n", "\u{e4}", &format!("{longest}p")] {
            assert!(with(refused).check().is_err(), "{refused:?}");
        }
        let content = with(&longest);
        content.check().unwrap();
        let table = [
            (1, (100, 1)),
            (11, (100, 11)),
            (200, (100, 150)),
            (250, (100, 150)),
        ];
        for (size, expected) in table {
            assert_eq!(content.sizes(size), expected);
        }
        assert_eq!((content.sizes(0), content.sizes(251)), ((0, 0), (0, 251)));
    }
}
