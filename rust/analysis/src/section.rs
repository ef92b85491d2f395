//! Names given to `--only` → the analyses to run.

use crate::{Error, Result};

macro_rules! sections {
    ($($variant:ident = $name:literal: $doc:literal),* $(,)?) => {
        /// One analysis.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Section { $(#[doc = $doc] $variant),* }

        impl Section {
            /// Every analysis, in the order of the report.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Name used by `--only` and in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

sections!(
    Requests = "requests": "Request rate over time, and bursts.",
    Commands = "commands": "Requests and outcomes by command.",
    Hits = "hits": "Hit ratio by command and over time.",
    Misses = "misses": "Causes of misses.",
    Keys = "keys": "Popularity of keys.",
    Sizes = "sizes": "Sizes of keys and values.",
    Ttl = "ttl": "Expiry times.",
    Connections = "connections": "Connections, pipelining, batches.",
    WorkingSet = "working_set": "Distinct and live keys and bytes over time.",
    Memory = "memory": "Hit ratio by memory size.",
    Times = "times": "Server time and queue time.",
);

impl Section {
    /// Finds the analysis of a name.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|section| section.name() == name);
        found.copied().ok_or_else(|| Error::UnknownSection {
            name: name.to_owned(),
            known: Self::ALL.iter().map(|section| section.name()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        assert_eq!(
            Section::parse("working_set").expect("a known name"),
            Section::WorkingSet
        );
        let message = Section::parse("key").expect_err("no such name").to_string();
        assert!(message.contains("`key`") && message.contains("working_set"));
    }
}
