//! Programs of an interface → attached to it, and removed from it however the process ends.
//!
//! TCX links end with their process. Filters of a `clsact` queueing discipline stay until somebody removes them, which
//! takes a privilege that this process can have given up by then. So a helper process keeps the privilege, waits for
//! this process to end in whatever way, and removes the filters. Filters that stay because the helper was killed too are
//! removed at the next start.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixDatagram},
            process::CommandExt,
        },
    },
    process::{Child, Command, Stdio},
};

use aya::programs::{
    self, ProgramError, TcAttachType, TcError, XdpMode as AyaXdpMode,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};

use super::link::has_xdp_links;
use crate::{Direction, Error, Hook, Link, Loaded, Result, XdpMode, failure, sys::command};

/// The queueing discipline through which filters see packets.
pub(crate) const CLSACT: &str = "clsact";
/// `BPF_XDP`, `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
const XDP: u32 = 37;
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
/// `BPF_F_BEFORE` without another program: before all of them.
const BEFORE_ALL_OTHERS: u32 = 1 << 3;
/// `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>
const XDP_GENERIC: u32 = 1 << 1;
const XDP_NATIVE: u32 = 1 << 2;
/// Before all other filters: packets that these drop or redirect were seen, too.
const PRIORITY: u16 = 1;
/// Upper half of our filters' handles, `mb`; the lower half tells processes apart.
const HANDLE: u16 = 0x6d62;
/// Folders searched for `tc`.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The helper: waits for the end of its input, then removes the filters, and the queueing discipline if that was made
/// for them and nobody else uses it. Its arguments are the interface, the priority, the handle, and `made` or `found`.
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

/// Attaches a loaded program by a link; `None` if it is of another type or the hook does not fit.
pub(super) fn attach(
    program: &mut programs::Program,
    hook: &Hook,
) -> std::result::Result<Option<Link>, ProgramError> {
    let link = match (program, hook) {
        (
            programs::Program::SchedClassifier(program),
            Hook::Tcx {
                interface,
                direction,
            },
        ) => {
            let attach_type = match direction {
                Direction::Ingress => TCX_INGRESS,
                Direction::Egress => TCX_EGRESS,
            };
            let program = program.fd()?.as_fd();
            link_interface(program, interface, attach_type, BEFORE_ALL_OTHERS)?
        }
        (programs::Program::Xdp(program), Hook::Xdp { interface, mode }) if has_xdp_links() => {
            let flags = match mode {
                XdpMode::Any => 0,
                XdpMode::Generic => XDP_GENERIC,
                XdpMode::Native => XDP_NATIVE,
            };
            link_interface(program.fd()?.as_fd(), interface, XDP, flags)?
        }
        (programs::Program::Xdp(program), Hook::Xdp { interface, mode }) => {
            let mode = match mode {
                XdpMode::Any => AyaXdpMode::Default,
                XdpMode::Generic => AyaXdpMode::Skb,
                XdpMode::Native => AyaXdpMode::Driver,
            };
            let id = program.attach(interface, mode)?;
            Link::other(program.take_link(id)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(link))
}

/// Links a program to an interface: such links can be updated.
fn link_interface(
    program: BorrowedFd<'_>,
    interface: &str,
    attach_type: u32,
    flags: u32,
) -> std::result::Result<Link, ProgramError> {
    let index = command::interface(interface).map_err(|_| ProgramError::UnknownInterface {
        name: interface.into(),
    })?;
    Ok(Link::from_descriptor(command::link(
        program,
        index,
        attach_type,
        flags,
    )?))
}

impl From<Direction> for TcAttachType {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
        }
    }
}

/// Programs that see an interface's packets as filters of its `clsact` queueing discipline (Linux 4.5).
///
/// [`Hook::Tcx`] needs neither a helper nor `tc`, but a kernel with TCX (Linux 6.6).
///
/// The filters are removed when this value is dropped or its process ends, however that ends. One process at a time
/// owns the filters of an interface in a network namespace.
pub struct Filters {
    links: Vec<SchedClassifierLink>,
    helper: Option<Child>,
    interface: String,
    handle: TcHandle,
    /// Bound as long as this process lives, which shows that its filters on this interface are not left over.
    _owner: UnixDatagram,
}

impl Filters {
    /// Loads the programs, and attaches each to the interface. Filters of the same programs that an earlier process left
    /// behind are removed first.
    ///
    /// # Errors
    ///
    /// [`Error::NoHelper`] without `tc` of iproute2, which removes filters at the end; [`Error::Attach`] if another
    /// process owns filters on this interface.
    pub fn attach(
        object: &mut Loaded,
        interface: &str,
        programs: &[(&str, Direction)],
    ) -> Result<Self> {
        for (name, _) in programs {
            let mut program = object.program(name)?;
            if !program.is_loaded() {
                program.load(None)?;
            }
        }
        require_tc()?;
        let owner = own(interface)?;
        let is_made = match tc::qdisc_add_clsact(interface) {
            Ok(()) => true,
            Err(error) if errno(&error) == Some(libc::EEXIST) => false,
            Err(error) => return Err(refused(CLSACT, error.into())),
        };
        for (name, direction) in programs {
            // Nobody else owns filters of these names now, so those that exist were left over.
            let _ = tc::qdisc_detach_program(interface, (*direction).into(), name);
        }
        #[expect(clippy::cast_possible_truncation, reason = "tells processes apart")]
        let handle = TcHandle::new(HANDLE, std::process::id() as u16);
        let mut filters = Self {
            links: Vec::new(),
            helper: Some(start_helper(interface, handle, is_made)?),
            interface: interface.to_owned(),
            handle,
            _owner: owner,
        };
        for (name, direction) in programs {
            let link = filters.link(object, name, *direction)?;
            filters.links.push(link);
        }
        Ok(filters)
    }

    fn link(
        &self,
        object: &mut Loaded,
        name: &str,
        direction: Direction,
    ) -> Result<SchedClassifierLink> {
        let mut program = object.program(name)?;
        let options = TcAttachOptions::Netlink(NlOptions {
            priority: PRIORITY,
            handle: self.handle,
            classid: None,
        });
        let link = program.classifier()?;
        let id = link.attach_with_options(&self.interface, direction.into(), options);
        id.and_then(|id| link.take_link(id))
            .map_err(|error| refused(name, error))
    }

    /// Returns the shell command that removes the filters, for the case that this process and its helper are killed.
    pub fn removal_command(&self) -> String {
        let Self {
            interface, handle, ..
        } = self;
        let handle = u32::from(*handle);
        let one = |side| {
            format!("tc filter del dev {interface} {side} pref {PRIORITY} handle {handle:#x} bpf")
        };
        format!("{}; {}", one("ingress"), one("egress"))
    }

    /// Has the helper remove the filters. Returns the command to do it by hand if that failed.
    pub fn detach(&mut self) -> Option<String> {
        let mut helper = self.helper.take()?;
        drop(helper.stdin.take());
        let is_removed = helper.wait().is_ok_and(|status| status.success());
        for link in self.links.drain(..) {
            // Dropping the link would detach it, which takes a privilege that may be gone.
            std::mem::forget(link);
        }
        (!is_removed).then(|| self.removal_command())
    }
}

impl From<Filters> for Link {
    fn from(filters: Filters) -> Self {
        Self::other(filters)
    }
}

impl Drop for Filters {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Binds a socket that shows, in this network namespace, that the filters on this interface have an owner.
fn own(interface: &str) -> Result<UnixDatagram> {
    let name = format!("membench-clsact-{interface}");
    let bound =
        SocketAddr::from_abstract_name(name).and_then(|name| UnixDatagram::bind_addr(&name));
    bound.map_err(|error| {
        let source = match error.kind() {
            io::ErrorKind::AddrInUse => io::Error::from_raw_os_error(libc::EBUSY),
            _ => error,
        };
        Error::Attach {
            name: CLSACT.into(),
            source,
        }
    })
}

/// Refuses to attach filters that nobody could remove.
fn require_tc() -> Result<()> {
    let mut ask = Command::new("tc");
    ask.env("PATH", PATH).arg("-V").stdout(Stdio::null());
    match ask.status() {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::NoHelper {
            what: "`tc` of iproute2, which removes filters at the end",
            source,
        }),
    }
}

/// Starts the process that removes the filters once its input ends.
fn start_helper(interface: &str, handle: TcHandle, is_made: bool) -> Result<Child> {
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
        .map_err(|source| Error::NoHelper {
            what: "helper that removes filters",
            source,
        })
}

fn refused(name: &str, error: ProgramError) -> Error {
    failure::attach(name, crate::Kind::Classifier.capabilities(), error.into())
}

fn errno(error: &TcError) -> Option<i32> {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}
