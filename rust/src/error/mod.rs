//! Everything that can go wrong, as facts; the bindings turn each into the exception a Python user expects.

mod class;
mod hint;
mod kernel;
mod replay;

use std::path::PathBuf;

pub use class::Class;
pub use kernel::KernelError;
pub use replay::ReplayError;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed: what was wanted and what was found. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An analysis was asked for that does not exist.
    #[error("no analysis is called `{name}`; there are {}", known.join(", "))]
    UnknownAnalysis {
        /// What was asked for.
        name: String,
        /// Those that exist.
        known: Vec<&'static str>,
    },
    /// An analysis met more distinct keys than it can number.
    #[error("more than {limit} distinct keys")]
    TooManyKeys {
        /// How many it can number.
        limit: u64,
    },
    /// The output exists and was not to be replaced.
    #[error("{} exists", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// What stands at the output's path is no profile, so it is not replaced.
    #[error("{} is not a membench profile: {found}", path.display())]
    NotAProfile {
        /// Which.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// Another process is writing the profile.
    #[error("{} is still being recorded by another process", path.display())]
    BeingRecorded {
        /// Which.
        path: PathBuf,
    },
    /// A profile's manifest is absent though its parts are there.
    #[error("{}: manifest.json is missing, but there are parts of a profile", path.display())]
    ManifestMissing {
        /// The profile's folder.
        path: PathBuf,
    },
    /// A profile's manifest is not what this schema version promises.
    #[error("{}: manifest.json is damaged: {source}", path.display())]
    ManifestDamaged {
        /// The profile's folder.
        path: PathBuf,
        /// Where, and what was expected.
        source: serde_json::Error,
    },
    /// A profile was written by a newer membench.
    #[error(
        "{}: schema version {found} is newer than this membench ({supported}); upgrade it",
        path.display()
    )]
    NewerSchema {
        /// The profile's folder.
        path: PathBuf,
        /// The profile's version.
        found: u64,
        /// What this membench reads.
        supported: u32,
    },
    /// The manifest names a part that is not there.
    #[error("{}: the part {name} is missing", path.display())]
    PartMissing {
        /// The profile's folder.
        path: PathBuf,
        /// The part's file name.
        name: String,
    },
    /// A file of a profile cannot be read as Parquet.
    #[error("{}: damaged: {}", path.display(), without_kind(&source.to_string()))]
    Parquet {
        /// Which.
        path: PathBuf,
        /// Why.
        source: parquet::errors::ParquetError,
    },
    /// A file of a profile cannot be read as Arrow.
    #[error("{}: {source}", path.display())]
    Arrow {
        /// Which.
        path: PathBuf,
        /// Why.
        source: arrow_schema::ArrowError,
    },
    /// A column of a part has another type, or holds a name that this schema version does not know.
    #[error("{}: the column {column} holds {found}", path.display())]
    Column {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: &'static str,
        /// What it holds.
        found: String,
    },
    /// A key file that does not hold a 128-bit key.
    #[error("{}: {found}, wanted 32 hexadecimal digits or 16 bytes", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A key file that others can read.
    #[error("{}: others can read this key file (mode {mode:04o})", path.display())]
    KeyFileReadable {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for the key that protects keys: {0}")]
    Random(getrandom::Error),
    /// A source cannot be recorded so.
    #[error("{origin}: {option} is for `ebpf:any` only")]
    NotForSource {
        /// What was asked for.
        option: &'static str,
        /// The source.
        origin: String,
    },
    /// A profile is a sample, which cannot tell what was asked for.
    #[error("{} holds {sample}: {why}", path.display())]
    Sampled {
        /// Which profile.
        path: PathBuf,
        /// What it holds.
        sample: crate::profile::Sample,
        /// Why that does not do.
        why: &'static str,
    },
    /// The system did not give what a recording runs on.
    #[error("no {what} for the recording: {source}")]
    NotStarted {
        /// What was wanted.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A server whose log was to be recorded cannot be reached, or broke off before it began.
    #[error("watch:{server}: {source}")]
    WatchUnreachable {
        /// Which.
        server: String,
        /// Why.
        source: std::io::Error,
    },
    /// A server does not send its log.
    #[error("watch:{server}: the server does not send its log: {}", if found.is_empty() { "it hung up" } else { found })]
    WatchRefused {
        /// Which.
        server: String,
        /// What it said instead.
        found: String,
    },
    /// A file that was to be recorded from is no log of memcached's.
    #[error("{}: no log of memcached's (`watch fetchers mutations`)", path.display())]
    NotALog {
        /// Which.
        path: PathBuf,
    },
    /// The connection of our own over which the hooks are tried did not come about.
    #[error("a connection of our own over 127.0.0.1, to try the hooks with: {source}")]
    NoTrial {
        /// Why.
        source: std::io::Error,
    },
    /// The programs were attached, but did not see what passed.
    #[error("the kernel programs are attached but see {seen:?} of {sent} bytes sent both ways")]
    HooksSilent {
        /// Bytes read and sent as the programs counted them.
        seen: [u64; 2],
        /// Bytes that were.
        sent: u64,
    },
    /// What to keep of responses is not one of three.
    #[error("unknown responses mode `{found}`; wanted `bytes`, `lengths` or `none`")]
    UnknownResponses {
        /// What was given.
        found: String,
    },
    /// An unknown name of hooks.
    #[error("unknown hooks `{found}`; wanted `sockets`, `syscalls`, `tcx` or `clsact`")]
    UnknownTier {
        /// What was given.
        found: String,
    },
    /// A time that cannot be waited for.
    #[error("{seconds} is no duration in seconds")]
    NotADuration {
        /// What was given.
        seconds: f64,
    },
    /// A recording's result was asked for twice.
    #[error("the recording's result was already taken")]
    RecorderTaken,
    /// The recording's thread ended by a bug.
    #[error("the recorder stopped unexpectedly; what it wrote can be opened")]
    RecorderPanicked,
    /// A file is no packet capture.
    #[error("{} is no pcap or pcapng file: {found}", path.display())]
    NotACapture {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A capture file's packets begin with headers that are not understood.
    #[error("{}: packets of link type {number} cannot be read", path.display())]
    LinkType {
        /// Which file or interface.
        path: PathBuf,
        /// Its number (<https://www.tcpdump.org/linktypes.html>).
        number: u32,
    },
    /// libpcap is not there.
    #[error("no libpcap: {reason}")]
    NoLibpcap {
        /// What the loader said.
        reason: String,
    },
    /// This process may not capture packets.
    #[error("pcap:{interface}: packets may not be captured: {reason}")]
    PacketsForbidden {
        /// Where.
        interface: String,
        /// What libpcap said.
        reason: String,
    },
    /// libpcap does not capture here.
    #[error("pcap:{interface}: packets cannot be captured: {reason}")]
    PacketsUnavailable {
        /// Where.
        interface: String,
        /// What libpcap said.
        reason: String,
    },
    /// Neither the kernel's hooks nor packets can be recorded here.
    #[error("{kernel}\n{packets}")]
    NoSource {
        /// Why the hooks cannot.
        kernel: Box<Error>,
        /// Why packets cannot.
        packets: Box<Error>,
    },
    /// A source cannot do what is asked of it.
    #[error("{source_name}: `{wanted}` is for `ebpf:any` only")]
    NotOfPackets {
        /// The source.
        source_name: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A way of attaching to interfaces is asked of another source.
    #[error("{origin}: `--hooks {wanted}` is for `ebpf:INTERFACE` only")]
    NotOfInterface {
        /// The source.
        origin: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A source needs something this build leaves out.
    #[error("{} capture requires --features {feature}, got: {wanted}", if *feature == "ebpf" { "eBPF" } else { "packet" })]
    FeatureMissing {
        /// The Cargo feature.
        feature: &'static str,
        /// The source.
        wanted: &'static str,
    },
    /// The programs can follow some ports, but not these.
    #[error("between 1 and {most} ports can be followed, none of them 0, got: {wanted:?}")]
    Ports {
        /// The ports asked for.
        wanted: Vec<u16>,
        /// Most at once.
        most: usize,
    },
    /// What a recording was to be narrowed to is not there.
    #[error("{option} {wanted}: {found}")]
    Selection {
        /// The option.
        option: &'static str,
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The kernel lacks or refuses what a recording takes.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A recording cannot be replayed, or not there.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// The Parquet reader's message without its own `Parquet error: `.
fn without_kind(message: &str) -> &str {
    message
        .split_once(": ")
        .map_or(message, |(_, reason)| reason)
}
