//! libpcap, found when it is asked for: a handle that owns what it was given.
//!
//! Its structures are read word by word as they lie on x86-64: `pcap_pkthdr` is a `timeval` and two 32-bit lengths,
//! `bpf_program` a 32-bit count and a pointer, `pcap_stat` three 32-bit counts.
#![expect(unsafe_code, reason = "a library written in C")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::ptr::NonNull;

use libloading::Library;

/// An opaque `pcap_t`.
type Pcap = *mut u8;
/// `PCAP_ERRBUF_SIZE`.
const MESSAGE: usize = 256;
/// `PCAP_TSTAMP_PRECISION_NANO`.
const NANOSECONDS: c_int = 1;
/// `PCAP_NETMASK_UNKNOWN`.
const NO_NETMASK: c_uint = u32::MAX;
/// What `pcap_activate` returns without the privilege, and for promiscuous mode alone.
const PERMISSION_DENIED: [c_int; 2] = [-8, -11];
const NAMES: [&str; 3] = ["libpcap.so.1", "libpcap.so.0.8", "libpcap.so"];

/// Why libpcap does not capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not installed, or too old.
    Missing(String),
    /// This process may not.
    Forbidden(String),
    /// Something else, in its words.
    Failed(String),
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Functions of the library.
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of pcap/pcap.h; the pointers are used while the library is held.
                unsafe { Ok(Self { $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)* }) }
            }
        }
    };
}

functions! {
    pcap_create: fn(*const c_char, *mut c_char) -> Pcap;
    pcap_set_snaplen: fn(Pcap, c_int) -> c_int;
    pcap_set_promisc: fn(Pcap, c_int) -> c_int;
    pcap_set_timeout: fn(Pcap, c_int) -> c_int;
    pcap_set_buffer_size: fn(Pcap, c_int) -> c_int;
    pcap_set_tstamp_precision: fn(Pcap, c_int) -> c_int;
    pcap_get_tstamp_precision: fn(Pcap) -> c_int;
    pcap_activate: fn(Pcap) -> c_int;
    pcap_statustostr: fn(c_int) -> *const c_char;
    pcap_geterr: fn(Pcap) -> *const c_char;
    pcap_datalink: fn(Pcap) -> c_int;
    pcap_compile: fn(Pcap, *mut [u64; 2], *const c_char, c_int, c_uint) -> c_int;
    pcap_setfilter: fn(Pcap, *mut [u64; 2]) -> c_int;
    pcap_freecode: fn(*mut [u64; 2]);
    pcap_setnonblock: fn(Pcap, c_int, *mut c_char) -> c_int;
    pcap_next_ex: fn(Pcap, *mut *const [u64; 3], *mut *const u8) -> c_int;
    pcap_stats: fn(Pcap, *mut [c_uint; 3]) -> c_int;
    pcap_close: fn(Pcap);
    pcap_lib_version: fn() -> *const c_char;
}

/// What a handle is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) interface: &'a str,
    pub(crate) buffer_bytes: u32,
    /// How long the kernel may hold packets back.
    pub(crate) timeout_ms: u16,
    /// Most bytes captured of a packet.
    pub(crate) snaplen: u32,
}

/// A packet as it lies in libpcap's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured<'a> {
    /// ns since 1970.
    pub(crate) time: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) length: u32,
}

/// An open capture.
pub(crate) struct Handle {
    pcap: NonNull<u8>,
    functions: Functions,
    /// Units of its times, ns.
    unit: u64,
    _library: Library,
}

// SAFETY: a handle is used by one thread at a time, of which libpcap does not care which.
unsafe impl Send for Handle {}

impl Handle {
    /// Opens an interface, not promiscuous, not blocking.
    pub(crate) fn open(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let library = find()?;
        let functions =
            Functions::find(&library).map_err(|error| Trouble::Missing(error.to_string()))?;
        let name = text(opening.interface)?;
        let mut message = [0; MESSAGE];
        // SAFETY: a terminated name and a buffer as large as the library wants.
        let pcap = unsafe { (functions.pcap_create)(name.as_ptr(), message.as_mut_ptr()) };
        let Some(pcap) = NonNull::new(pcap) else {
            return Err(Trouble::Failed(said(&message)));
        };
        let mut handle = Self {
            pcap,
            functions,
            unit: 1000,
            _library: library,
        };
        handle.activate(opening)?;
        Ok(handle)
    }

    fn activate(&mut self, opening: &Opening<'_>) -> Result<(), Trouble> {
        let (pcap, of) = (self.pcap.as_ptr(), &self.functions);
        let integer = |number: u32| c_int::try_from(number).unwrap_or(c_int::MAX);
        // SAFETY: the handle is open and not active yet, as these want it.
        let status = unsafe {
            (of.pcap_set_snaplen)(pcap, integer(opening.snaplen));
            (of.pcap_set_promisc)(pcap, 0);
            (of.pcap_set_timeout)(pcap, opening.timeout_ms.into());
            (of.pcap_set_buffer_size)(pcap, integer(opening.buffer_bytes));
            (of.pcap_set_tstamp_precision)(pcap, NANOSECONDS);
            (of.pcap_activate)(pcap)
        };
        if status < 0 {
            let said = format!("{} {}", self.status(status), self.error())
                .trim()
                .to_owned();
            return Err(if PERMISSION_DENIED.contains(&status) {
                Trouble::Forbidden(said)
            } else {
                Trouble::Failed(said)
            });
        }
        let mut message = [0; MESSAGE];
        // SAFETY: the handle is active; the buffer is as large as the library wants.
        let (precision, blocking) = unsafe {
            let blocking = (of.pcap_setnonblock)(pcap, 1, message.as_mut_ptr());
            ((of.pcap_get_tstamp_precision)(pcap), blocking)
        };
        if blocking != 0 {
            return Err(Trouble::Failed(said(&message)));
        }
        self.unit = if precision == NANOSECONDS { 1 } else { 1000 };
        Ok(())
    }

    /// Lets only packets through that an expression of libpcap's language describes.
    pub(crate) fn filter(&mut self, expression: &str) -> Result<(), Trouble> {
        let expression = text(expression)?;
        let (pcap, of) = (self.pcap.as_ptr(), &self.functions);
        let mut program = [0_u64; 2];
        // SAFETY: the program is filled by the first call, used by the second, and freed once.
        let status = unsafe {
            let compiled =
                (of.pcap_compile)(pcap, &raw mut program, expression.as_ptr(), 1, NO_NETMASK);
            if compiled == 0 {
                let set = (of.pcap_setfilter)(pcap, &raw mut program);
                (of.pcap_freecode)(&raw mut program);
                set
            } else {
                compiled
            }
        };
        if status == 0 {
            Ok(())
        } else {
            Err(Trouble::Failed(self.error()))
        }
    }

    /// What packets begin with, by libpcap's number.
    pub(crate) fn link(&self) -> c_int {
        // SAFETY: the handle is active.
        unsafe { (self.functions.pcap_datalink)(self.pcap.as_ptr()) }
    }

    /// The next packet, if one is there.
    pub(crate) fn next(&mut self) -> Result<Option<Captured<'_>>, String> {
        let (mut header, mut bytes) = (std::ptr::null(), std::ptr::null());
        // SAFETY: the handle is active; both pointers are set when 1 is returned.
        let status = unsafe {
            (self.functions.pcap_next_ex)(self.pcap.as_ptr(), &raw mut header, &raw mut bytes)
        };
        match status {
            1 if !header.is_null() && !bytes.is_null() => {
                // SAFETY: a whole header and as many bytes as it says, valid until the next call, which borrows `self`.
                unsafe {
                    let [seconds, fraction, lengths] = header.read_unaligned();
                    let [captured, length] = [lengths & 0xffff_ffff, lengths >> 32];
                    Ok(Some(Captured {
                        time: seconds
                            .wrapping_mul(1_000_000_000)
                            .wrapping_add(fraction * self.unit),
                        bytes: std::slice::from_raw_parts(
                            bytes,
                            usize::try_from(captured).unwrap_or(0),
                        ),
                        length: u32::try_from(length).unwrap_or(u32::MAX),
                    }))
                }
            }
            0 | 1 => Ok(None),
            _ => Err(self.error()),
        }
    }

    /// Packets dropped for want of room, and by the interface, so far; modulo 2^32.
    pub(crate) fn drops(&mut self) -> Option<[u32; 2]> {
        let mut counts = [0; 3];
        // SAFETY: the handle is active; room for the three counts.
        let status = unsafe { (self.functions.pcap_stats)(self.pcap.as_ptr(), &raw mut counts) };
        (status == 0).then_some([counts[1], counts[2]])
    }

    /// The library's name and version.
    pub(crate) fn version(&self) -> String {
        // SAFETY: a static string.
        unsafe { owned((self.functions.pcap_lib_version)()) }
    }

    fn status(&self, status: c_int) -> String {
        // SAFETY: a static string for any number.
        unsafe { owned((self.functions.pcap_statustostr)(status)) }
    }

    fn error(&self) -> String {
        // SAFETY: a string inside the handle, copied at once.
        unsafe { owned((self.functions.pcap_geterr)(self.pcap.as_ptr())) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle that `open` was given; nothing borrowed from it outlives `self`.
        unsafe { (self.functions.pcap_close)(self.pcap.as_ptr()) }
    }
}

fn find() -> Result<Library, Trouble> {
    let mut said = String::new();
    for name in NAMES {
        // SAFETY: the system's libpcap; its initializers set up nothing of ours.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => said = error.to_string(),
        }
    }
    Err(Trouble::Missing(said))
}

fn text(text: &str) -> Result<CString, Trouble> {
    CString::new(text).map_err(|error| Trouble::Failed(error.to_string()))
}

fn said(message: &[c_char; MESSAGE]) -> String {
    let bytes = message.map(i8::cast_unsigned);
    CStr::from_bytes_until_nul(&bytes).map_or_else(
        |_| String::new(),
        |text| text.to_string_lossy().into_owned(),
    )
}

/// # Safety
///
/// Null, or a terminated string.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, so terminated.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}
