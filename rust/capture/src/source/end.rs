//! The end of a recording → a tag for programs, a reason for people.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// The reason why a recording ended. As JSON it has two fields: `by`, which names the variant, and `reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody asked for it: a call, a signal, or a limit that the recording was started with.
    Asked(String),
    /// The source holds no more.
    EndOfFile,
    /// A live source broke off.
    Source(String),
    /// A guard was reached.
    Guard(String),
    /// The capture file is damaged from here on.
    Damage(String),
    /// The profile cannot be written any further.
    Output,
}

impl Ended {
    /// The duration that was asked for is over.
    pub(crate) fn duration() -> Self {
        Self::Asked("duration".to_owned())
    }

    /// The variant's name in JSON.
    pub const fn by(&self) -> &'static str {
        match self {
            Self::Asked(_) => "asked",
            Self::EndOfFile => "end_of_file",
            Self::Source(_) => "source",
            Self::Guard(_) => "guard",
            Self::Damage(_) => "damage",
            Self::Output => "output",
        }
    }
}

/// The reason, as manifests keep it.
impl fmt::Display for Ended {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(reason) | Self::Source(reason) | Self::Guard(reason) => {
                to.write_str(reason)
            }
            Self::EndOfFile => to.write_str("end of file"),
            Self::Damage(found) => write!(to, "damaged file: {found}"),
            Self::Output => to.write_str("output failed"),
        }
    }
}

impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Ended", 2)?;
        fields.serialize_field("by", self.by())?;
        fields.serialize_field("reason", &self.to_string())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_tag_and_a_reason() {
        for (ended, json) in [
            (
                Ended::Asked("SIGINT".into()),
                r#"{"by":"asked","reason":"SIGINT"}"#,
            ),
            (
                Ended::Damage("it ends early".into()),
                r#"{"by":"damage","reason":"damaged file: it ends early"}"#,
            ),
            (Ended::Output, r#"{"by":"output","reason":"output failed"}"#),
        ] {
            assert_eq!(serde_json::to_string(&ended).unwrap(), json);
        }
    }
}
