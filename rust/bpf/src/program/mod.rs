//! Programs of a loaded object → verified, attached to their hooks, and asked for their cost.

mod cgroup;
pub(crate) mod classifier;
mod hook;
mod info;
mod kind;
mod link;
mod probe;
mod tracing;

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::OnceLock,
};

use aya::{
    Btf, EbpfError,
    programs::{self, ProgramError},
};

pub use hook::{Direction, Hook, PerfEvent, Sampling, UserPlace, XdpMode};
pub use info::{Info, RunStatistics, Runs};
pub use kind::Kind;
pub use link::Link;

use crate::{Capability, Error, ProgramFacts, Result, failure};

/// A program of a [`Loaded`](crate::Loaded) object.
pub struct Program<'a> {
    name: String,
    inner: &'a mut programs::Program,
    types: &'a OnceLock<Btf>,
    /// The program as it was loaded for many functions.
    copy: Option<BorrowedFd<'a>>,
}

impl<'a> Program<'a> {
    pub(crate) fn new(
        name: &str,
        inner: &'a mut programs::Program,
        types: &'a OnceLock<Btf>,
        copy: Option<BorrowedFd<'a>>,
    ) -> Self {
        Self {
            name: name.into(),
            inner,
            types,
            copy,
        }
    }

    /// Returns the program's name in its object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the program's type.
    pub fn kind(&self) -> Kind {
        Kind::from(&*self.inner)
    }

    /// Returns true if the verifier has accepted the program.
    pub fn is_loaded(&self) -> bool {
        self.inner.fd().is_ok()
    }

    /// Has the verifier check the program, and the kernel compile it. [`attach`](Self::attach) does so by itself;
    /// programs that others continue in (by a tail call) are only loaded.
    ///
    /// Programs of the types `tp_btf`, `fentry`, `fexit`, `lsm` and `iter` are checked against the types of their hook,
    /// which must be passed; others need none.
    ///
    /// # Errors
    ///
    /// [`Error::Load`] with the verifier's log if the program is rejected; [`Error::MissingCapabilities`] if it may not
    /// be loaded by this process; [`Error::WrongHook`] if a program of its type has no such hook.
    pub fn load(&mut self, hook: Option<&Hook>) -> Result<()> {
        if !tracing::is_bound(self.inner) {
            let loaded = load_unbound(self.inner);
            return loaded.map_err(|error| self.not_loaded(error));
        }
        let types = self.types()?;
        match tracing::load(self.inner, hook, types) {
            Ok(true) => Ok(()),
            Ok(false) => Err(hook.map_or_else(|| self.wrong("no hook"), |hook| self.wrong(hook))),
            Err(error) => Err(self.not_loaded(error)),
        }
    }

    /// Attaches the program, which is loaded first if it is not yet. A program can be attached to several hooks.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does, and with [`Error::Attach`] if the kernel lacks the hook or another program
    /// holds it.
    pub fn attach(&mut self, hook: &Hook) -> Result<Link> {
        if !self.is_loaded() {
            self.load(Some(hook))?;
        }
        probe::require_rate(hook)?;
        let attached = match &mut *self.inner {
            programs::Program::SchedClassifier(_) | programs::Program::Xdp(_) => {
                classifier::attach(self.inner, hook)
            }
            program if tracing::is_bound(program) && !matches!(hook, Hook::Cgroup { .. }) => {
                tracing::attach(program, hook)
            }
            program => match probe::attach(program, hook) {
                Ok(None) => cgroup::attach(program, hook),
                attached => attached,
            },
        };
        match attached {
            Ok(Some(link)) => Ok(link),
            Ok(None) => Err(self.wrong(hook)),
            Err(error) => Err(self.not_attached(error)),
        }
    }

    /// Attaches a program of the type `socket` or `sk_reuseport` to a socket, which keeps it until it is closed or is
    /// given another program.
    pub fn attach_to_socket(&mut self, socket: BorrowedFd<'_>) -> Result<()> {
        if !self.is_loaded() {
            self.load(None)?;
        }
        let attached = match &*self.inner {
            programs::Program::SocketFilter(program) => program.attach(socket),
            programs::Program::ReusePortSocketFilter(program) => program.attach(socket),
            programs::Program::SkReuseport(program) => program.attach(socket),
            _ => return Err(self.wrong("a socket")),
        };
        attached.map_err(|error| self.not_attached(error))
    }

    pub(crate) fn classifier(&mut self) -> Result<&mut programs::SchedClassifier> {
        let wrong = self.wrong("an interface");
        match &mut *self.inner {
            programs::Program::SchedClassifier(program) => Ok(program),
            _ => Err(wrong),
        }
    }

    /// Pins the loaded program in the BPF file system, where it outlives this process.
    pub fn pin(&mut self, path: &Path) -> Result<()> {
        let pinned = self.inner.pin(path);
        pinned.map_err(|error| Error::Pin {
            path: path.into(),
            source: failure::pin_cause(error),
        })
    }

    /// Returns the descriptor of the loaded program, for arrays of programs.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        if let Some(copy) = self.copy {
            return Ok(copy);
        }
        let descriptor = self.inner.fd().map(AsFd::as_fd);
        descriptor.map_err(|error| self.not_loaded(error))
    }

    /// Returns what the kernel knows of the loaded program. This is a system call.
    pub fn info(&self) -> Result<Info> {
        Info::of(self.descriptor()?).map_err(|source| self.untold(source))
    }

    /// Returns everything that the kernel tells of the loaded program. This is a system call.
    pub fn facts(&self) -> Result<ProgramFacts> {
        ProgramFacts::of(self.descriptor()?).map_err(|source| self.untold(source))
    }

    /// Opens what the kernel counts of the program, for reading after privileges were given up.
    pub fn runs(&self) -> Result<Runs> {
        Runs::open(self.descriptor()?)
    }

    /// Returns the kernel's types, read once for the object.
    fn types(&self) -> Result<&'a Btf> {
        if let Some(types) = self.types.get() {
            return Ok(types);
        }
        let types = Btf::from_sys_fs()
            .map_err(|error| failure::load(&self.name, &[], EbpfError::from(error)))?;
        Ok(self.types.get_or_init(|| types))
    }

    fn untold(&self, source: std::io::Error) -> Error {
        Error::Handle {
            name: self.name.clone(),
            operation: "info",
            source,
        }
    }

    fn not_loaded(&self, error: ProgramError) -> Error {
        failure::load(&self.name, self.kind().capabilities(), error.into())
    }

    fn not_attached(&self, error: ProgramError) -> Error {
        let error = failure::attach(&self.name, self.kind().capabilities(), error.into());
        let is_user = matches!(self.kind(), Kind::UserProbe | Kind::UserReturnProbe);
        let missing = Capability::missing(&[Capability::SysAdmin]);
        match error {
            // Perf events of functions of programs take more than other programs of their type do.
            Error::Attach { source, .. }
                if is_user
                    && source.raw_os_error() == Some(libc::EACCES)
                    && !missing.is_empty() =>
            {
                Error::MissingCapabilities { missing }
            }
            error => error,
        }
    }

    fn wrong(&self, hook: &(impl ToString + ?Sized)) -> Error {
        Error::WrongHook {
            program: self.name.clone(),
            kind: self.kind(),
            hook: hook.to_string(),
        }
    }
}

/// Loads a program whose type does not depend on a hook.
fn load_unbound(program: &mut programs::Program) -> std::result::Result<(), ProgramError> {
    use programs::Program;
    match program {
        Program::KProbe(program) => program.load(),
        Program::UProbe(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        Program::PerfEvent(program) => program.load(),
        Program::SocketFilter(program) => program.load(),
        Program::ReusePortSocketFilter(program) => program.load(),
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::SkMsg(program) => program.load(),
        Program::SkSkb(program) => program.load(),
        Program::SkLookup(program) => program.load(),
        Program::SkReuseport(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::FlowDissector(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSockopt(program) => program.load(),
        Program::CgroupSysctl(program) => program.load(),
        Program::CgroupDevice(program) => program.load(),
        Program::LircMode2(program) => program.load(),
        // A replaced function's program would have to be passed; the others are loaded for their hook.
        Program::Extension(_)
        | Program::BtfTracePoint(_)
        | Program::FEntry(_)
        | Program::FExit(_)
        | Program::Lsm(_)
        | Program::LsmCgroup(_)
        | Program::Iter(_) => Err(ProgramError::UnexpectedProgramType),
    }
}
