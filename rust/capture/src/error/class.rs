//! Errors → the classes that users tell apart.

use super::Error;

/// The classes of failure that users tell apart, each with its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something broke inside: exit 1.
    Failed,
    /// The command or an argument is wrong: exit 2.
    Usage,
    /// A profile cannot be used: exit 1.
    Profile,
    /// This machine or its permissions do not allow it: exit 5.
    Environment,
    /// The target of a replay does not allow it: exit 5.
    Target,
    /// The output exists: exit 2.
    Exists,
}

impl Error {
    /// Which exception and exit code this becomes.
    pub fn class(&self) -> Class {
        match self {
            Self::TooManyKeys { .. } | Self::RecorderTaken | Self::RecorderPanicked => {
                Class::Failed
            }
            Self::UnknownResponses { .. }
            | Self::UnknownTier { .. }
            | Self::NotADuration { .. }
            | Self::NotACapture { .. }
            | Self::LinkType { .. }
            | Self::NotOfPackets { .. }
            | Self::NotOfInterface { .. }
            | Self::NotAProfile { .. }
            | Self::BeingRecorded { .. }
            | Self::UnknownAnalysis { .. }
            | Self::KeyFile { .. }
            | Self::KeyFileReadable { .. }
            | Self::NotForSource { .. }
            | Self::NotALog { .. }
            | Self::Sampled { .. }
            | Self::Ports { .. }
            | Self::Selection { .. } => Class::Usage,
            Self::Io { .. }
            | Self::Random(_)
            | Self::NotStarted { .. }
            | Self::NoLibpcap { .. }
            | Self::PacketsForbidden { .. }
            | Self::PacketsUnavailable { .. }
            | Self::NoSource { .. }
            | Self::FeatureMissing { .. }
            | Self::NoTrial { .. }
            | Self::HooksSilent { .. }
            | Self::WatchUnreachable { .. }
            | Self::WatchRefused { .. } => Class::Environment,
            Self::Exists { .. } => Class::Exists,
            Self::ManifestMissing { .. }
            | Self::ManifestDamaged { .. }
            | Self::NewerSchema { .. }
            | Self::PartMissing { .. }
            | Self::Parquet { .. }
            | Self::Arrow { .. }
            | Self::Column { .. } => Class::Profile,
            Self::Kernel(error) => error.class(),
            Self::Replay(error) => error.class(),
        }
    }
}
