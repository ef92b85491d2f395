//! The programs of an interface → attached to it, and removed from it whatever happens.
//!
//! A TCX link is gone with its process. A filter of clsact stays until somebody removes it, which takes a privilege that
//! a recording has given up by then: a helper keeps it, waits for this process to end in whatever way, and removes the
//! filters. What is left when the helper was killed too is removed at the next start.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, TcError};
use aya::{Ebpf, EbpfError};

use crate::bpf::failure;
use crate::source::sockets::options::Attachment;
use crate::{Error, KernelError, Result};

/// The programs, and where each is attached.
const PROGRAMS: [(&str, TcAttachType); 2] = [
    ("membench_in", TcAttachType::Ingress),
    ("membench_out", TcAttachType::Egress),
];
/// Before all other filters: what they drop or send elsewhere has passed as well.
const PRIORITY: u16 = 1;
/// The upper half of our filters' handles, `mb`; the lower is of the process.
const HANDLE: u16 = 0x6d62;
/// Where `tc` is.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// What the helper does, told interface, priority, handle, and whether the queueing discipline is ours: it waits for the
/// end, removes the filters, and the queueing discipline if it was made for them and nobody uses it.
const HELPER: &str = r#"
trap '' HUP INT QUIT TERM
read -r _
for side in ingress egress; do
    tc filter del dev "$1" "$side" pref "$2" handle "$3" bpf
done
left=$(tc filter show dev "$1" ingress; tc filter show dev "$1" egress)
[ "$4" = made ] && [ -z "$left" ] && tc qdisc del dev "$1" clsact
case $left in *"handle $3 "*) exit 1 ;; esac
exit 0
"#;

/// Where to attach.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The interface's name.
    pub(crate) interface: &'a str,
    /// Packets pass it twice: then one way is enough.
    pub(crate) is_loopback: bool,
}

/// Attached programs.
pub(crate) enum Hooks {
    /// By links.
    Tcx(Vec<SchedClassifierLink>),
    /// By filters.
    Clsact(Filters),
}

/// Filters of ours, and what will remove them.
pub(crate) struct Filters {
    links: Vec<SchedClassifierLink>,
    helper: Option<Child>,
    interface: String,
    handle: TcHandle,
    /// Held as long as this process lives: says that filters of ours on this interface are not left over.
    _owner: UnixDatagram,
}

impl Hooks {
    /// Loads and attaches the programs, by the first way that this kernel has; also why not by the one before.
    pub(crate) fn attach(
        object: &mut Ebpf,
        place: Place<'_>,
        wanted: Option<Attachment>,
    ) -> Result<(Self, Option<String>)> {
        let programs = &PROGRAMS[..if place.is_loopback { 1 } else { 2 }];
        for (name, _) in programs {
            let program = program(object, name)?;
            program
                .load()
                .map_err(|error| failure::load(name, error.into()))?;
        }
        let tcx = match wanted {
            Some(Attachment::Clsact) => None,
            Some(Attachment::Tcx) | None => Some(by_links(object, place, programs)),
        };
        match tcx {
            Some(Ok(links)) => Ok((Self::Tcx(links), None)),
            Some(Err(error)) if wanted.is_some() || !is_unknown(&error) => Err(error),
            refused => {
                let filters = Filters::attach(object, place, programs)?;
                let why = refused.map(|_| "no TCX, which Linux 6.6 has".to_owned());
                Ok((Self::Clsact(filters), why))
            }
        }
    }

    /// Which way.
    pub(crate) fn attachment(&self) -> Attachment {
        match self {
            Self::Tcx(_) => Attachment::Tcx,
            Self::Clsact(_) => Attachment::Clsact,
        }
    }

    /// What removes them by hand, where that may become necessary.
    pub(crate) fn removal(&self) -> Option<String> {
        match self {
            Self::Tcx(_) => None,
            Self::Clsact(filters) => Some(filters.removal()),
        }
    }

    /// Detaches. Returns what is left to be done by hand, if that failed.
    pub(crate) fn detach(&mut self) -> Option<String> {
        match self {
            Self::Tcx(links) => {
                links.clear();
                None
            }
            Self::Clsact(filters) => filters.remove(),
        }
    }
}

fn by_links(
    object: &mut Ebpf,
    place: Place<'_>,
    programs: &[(&'static str, TcAttachType)],
) -> Result<Vec<SchedClassifierLink>> {
    let link = |(name, way): &(&'static str, TcAttachType)| {
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        link(object, name, place.interface, *way, options)
    };
    programs.iter().map(link).collect()
}

impl Filters {
    fn attach(
        object: &mut Ebpf,
        place: Place<'_>,
        programs: &[(&'static str, TcAttachType)],
    ) -> Result<Self> {
        let Place { interface, .. } = place;
        require_tc()?;
        let owner = own(interface)?;
        let is_made = match tc::qdisc_add_clsact(interface) {
            Ok(()) => true,
            Err(error) if errno(&error) == Some(libc::EEXIST) => false,
            Err(error) => return Err(failure::attach("clsact", ProgramError::from(error).into())),
        };
        for (name, way) in PROGRAMS {
            // Nobody else owns filters of these names now: what there is was left over.
            let _ = tc::qdisc_detach_program(interface, way, name);
        }
        #[expect(clippy::cast_possible_truncation, reason = "tells processes apart")]
        let handle = TcHandle::new(HANDLE, std::process::id() as u16);
        let mut filters = Self {
            links: Vec::new(),
            helper: Some(help(interface, handle, is_made)?),
            interface: interface.to_owned(),
            handle,
            _owner: owner,
        };
        for (name, way) in programs {
            let options = TcAttachOptions::Netlink(NlOptions {
                priority: PRIORITY,
                handle,
                classid: None,
            });
            let attached = link(object, name, interface, *way, options);
            filters.links.push(attached?);
        }
        Ok(filters)
    }

    fn removal(&self) -> String {
        let Self {
            interface, handle, ..
        } = self;
        let handle = u32::from(*handle);
        let one = |side| {
            format!("tc filter del dev {interface} {side} pref {PRIORITY} handle {handle:#x} bpf")
        };
        format!("{}; {}", one("ingress"), one("egress"))
    }

    /// Has the helper remove them.
    fn remove(&mut self) -> Option<String> {
        let mut helper = self.helper.take()?;
        drop(helper.stdin.take());
        let is_removed = helper.wait().is_ok_and(|status| status.success());
        for link in self.links.drain(..) {
            // Its own way of detaching takes a privilege that may be gone.
            std::mem::forget(link);
        }
        (!is_removed).then(|| self.removal())
    }
}

impl Drop for Filters {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Makes it known, in this network namespace, that filters of ours on this interface have an owner.
fn own(interface: &str) -> Result<UnixDatagram> {
    let name = format!("membench-clsact-{interface}");
    let bound =
        SocketAddr::from_abstract_name(name).and_then(|name| UnixDatagram::bind_addr(&name));
    bound.map_err(|error| {
        let source = match error.kind() {
            io::ErrorKind::AddrInUse => io::Error::from_raw_os_error(libc::EBUSY),
            _ => error,
        };
        KernelError::Attach {
            name: "clsact",
            source,
        }
        .into()
    })
}

/// Refuses to attach what nobody could remove.
fn require_tc() -> Result<()> {
    let mut ask = Command::new("tc");
    ask.env("PATH", PATH).arg("-V").stdout(Stdio::null());
    match ask.status() {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::NotStarted {
            what: "`tc` of iproute2, which removes filters at the end",
            source,
        }),
    }
}

/// Starts what removes the filters once its input ends.
fn help(interface: &str, handle: TcHandle, is_made: bool) -> Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", HELPER, "membench-clsact", interface])
        .arg(PRIORITY.to_string())
        .arg(format!("{:#x}", u32::from(handle)))
        .arg(if is_made { "made" } else { "found" })
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| Error::NotStarted {
            what: "helper that removes filters",
            source,
        })
}

fn program<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier> {
    let program = object
        .program_mut(name)
        .ok_or_else(|| failure::absent(name))?;
    program
        .try_into()
        .map_err(|error: ProgramError| failure::load(name, error.into()))
}

fn link(
    object: &mut Ebpf,
    name: &'static str,
    interface: &str,
    way: TcAttachType,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink> {
    let program = program(object, name)?;
    let link = program.attach_with_options(interface, way, options);
    link.and_then(|id| program.take_link(id))
        .map_err(|error| failure::attach(name, EbpfError::from(error)))
}

fn errno(error: &TcError) -> Option<i32> {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

/// Whether the kernel does not know this way of attaching.
fn is_unknown(error: &Error) -> bool {
    let Error::Kernel(KernelError::Attach { source, .. }) = error else {
        return false;
    };
    matches!(
        source.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::E2BIG)
    )
}
