//! libpcap, loaded when a live capture starts: an owning handle over its C interface.
#![expect(unsafe_code, reason = "a library written in C")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::ptr::{NonNull, null, null_mut};

use libloading::Library;

/// An opaque `pcap_t`.
type Pcap = *mut u8;
/// Size of a buffer for an error message, bytes: `PCAP_ERRBUF_SIZE`.
const MESSAGE: usize = 256;
/// `PCAP_TSTAMP_PRECISION_NANO`.
const NANOSECONDS: c_int = 1;
/// `PCAP_NETMASK_UNKNOWN`.
const NO_NETMASK: c_uint = u32::MAX;
/// Errors of `pcap_activate` for a missing privilege: `PCAP_ERROR_PERM_DENIED` and
/// `PCAP_ERROR_PROMISC_PERM_DENIED`.
const PERMISSION_DENIED: [c_int; 2] = [-8, -11];
/// File names of the library, the most specific first.
const NAMES: [&str; 3] = ["libpcap.so.1", "libpcap.so.0.8", "libpcap.so"];

/// `struct pcap_pkthdr`: the header of a captured packet.
#[repr(C)]
struct PacketHeader {
    /// Time of capture; its fraction counts µs or ns, as the handle's precision says.
    time: libc::timeval,
    /// Number of captured bytes.
    captured: u32,
    /// Length of the packet on the wire, bytes.
    length: u32,
}

/// `struct bpf_program`: a compiled filter, whose instructions libpcap allocates and frees.
#[repr(C)]
struct FilterProgram {
    count: c_uint,
    instructions: *mut Instruction,
}

/// `struct bpf_insn`, only ever pointed to.
#[repr(C)]
struct Instruction {
    _opaque: [u8; 0],
}

/// `struct pcap_stat`: counts since the handle was activated, modulo 2^32.
#[repr(C)]
#[derive(Default)]
struct Counts {
    received: c_uint,
    dropped: c_uint,
    dropped_by_interface: c_uint,
}

/// The error of a capture through libpcap, with libpcap's own message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PcapError {
    /// libpcap is not installed, or too old.
    Missing(String),
    /// This process lacks the privilege.
    Forbidden(String),
    /// Anything else.
    Failed(String),
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The library's functions, by name.
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of pcap/pcap.h; the pointers are only used while the library is loaded.
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
    pcap_compile: fn(Pcap, *mut FilterProgram, *const c_char, c_int, c_uint) -> c_int;
    pcap_setfilter: fn(Pcap, *mut FilterProgram) -> c_int;
    pcap_freecode: fn(*mut FilterProgram);
    pcap_setnonblock: fn(Pcap, c_int, *mut c_char) -> c_int;
    pcap_next_ex: fn(Pcap, *mut *const PacketHeader, *mut *const u8) -> c_int;
    pcap_stats: fn(Pcap, *mut Counts) -> c_int;
    pcap_close: fn(Pcap);
    pcap_lib_version: fn() -> *const c_char;
}

/// The options of a capture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenOptions<'a> {
    pub(crate) interface: &'a str,
    /// Size of the kernel's buffer.
    pub(crate) buffer_bytes: u32,
    /// Longest time for which the kernel may hold packets back.
    pub(crate) timeout_ms: u16,
    /// Most bytes captured of a packet.
    pub(crate) snaplen: u32,
}

/// A packet in libpcap's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured<'a> {
    /// Time of capture, ns since 1970.
    pub(crate) time: u64,
    /// The captured bytes, at most the snaplen.
    pub(crate) bytes: &'a [u8],
    /// Length of the packet on the wire, bytes.
    pub(crate) length: u32,
}

/// An open capture.
pub(crate) struct Handle {
    pcap: NonNull<u8>,
    functions: Functions,
    /// Unit of the fraction in packet headers, ns.
    unit: u64,
    _library: Library,
}

// SAFETY: libpcap keeps no state per thread, and `&mut self` keeps two threads from using a handle at once.
unsafe impl Send for Handle {}

impl Handle {
    /// Opens an interface in non-promiscuous, non-blocking mode.
    pub(crate) fn open(options: &OpenOptions<'_>) -> Result<Self, PcapError> {
        let library = find()?;
        let functions =
            Functions::find(&library).map_err(|error| PcapError::Missing(error.to_string()))?;
        let name = terminated(options.interface)?;
        let mut message = [0; MESSAGE];
        // SAFETY: the name is terminated, and the buffer is as large as libpcap requires.
        let pcap = unsafe { (functions.pcap_create)(name.as_ptr(), message.as_mut_ptr()) };
        let Some(pcap) = NonNull::new(pcap) else {
            return Err(PcapError::Failed(message_text(&message)));
        };
        let mut handle = Self {
            pcap,
            functions,
            unit: 1000,
            _library: library,
        };
        handle.activate(options)?;
        Ok(handle)
    }

    fn activate(&mut self, options: &OpenOptions<'_>) -> Result<(), PcapError> {
        let (pcap, functions) = (self.pcap.as_ptr(), &self.functions);
        let integer = |number: u32| c_int::try_from(number).unwrap_or(c_int::MAX);
        // SAFETY: the handle is open and not active yet, as these functions require.
        let status = unsafe {
            (functions.pcap_set_snaplen)(pcap, integer(options.snaplen));
            (functions.pcap_set_promisc)(pcap, 0);
            (functions.pcap_set_timeout)(pcap, options.timeout_ms.into());
            (functions.pcap_set_buffer_size)(pcap, integer(options.buffer_bytes));
            (functions.pcap_set_tstamp_precision)(pcap, NANOSECONDS);
            (functions.pcap_activate)(pcap)
        };
        if status < 0 {
            let reason = format!("{} {}", self.status(status), self.error())
                .trim()
                .to_owned();
            return Err(if PERMISSION_DENIED.contains(&status) {
                PcapError::Forbidden(reason)
            } else {
                PcapError::Failed(reason)
            });
        }
        let mut message = [0; MESSAGE];
        // SAFETY: the handle is active, and the buffer is as large as libpcap requires.
        let (precision, blocking) = unsafe {
            let blocking = (functions.pcap_setnonblock)(pcap, 1, message.as_mut_ptr());
            ((functions.pcap_get_tstamp_precision)(pcap), blocking)
        };
        if blocking != 0 {
            return Err(PcapError::Failed(message_text(&message)));
        }
        self.unit = if precision == NANOSECONDS { 1 } else { 1000 };
        Ok(())
    }

    /// Captures only packets that match an expression of libpcap's filter language.
    pub(crate) fn filter(&mut self, expression: &str) -> Result<(), PcapError> {
        let expression = terminated(expression)?;
        let (pcap, functions) = (self.pcap.as_ptr(), &self.functions);
        let mut program = FilterProgram {
            count: 0,
            instructions: null_mut(),
        };
        // SAFETY: the first call fills the program, the second uses it, and the third frees it, once.
        let status = unsafe {
            let compiled = (functions.pcap_compile)(
                pcap,
                &raw mut program,
                expression.as_ptr(),
                1,
                NO_NETMASK,
            );
            if compiled == 0 {
                let set = (functions.pcap_setfilter)(pcap, &raw mut program);
                (functions.pcap_freecode)(&raw mut program);
                set
            } else {
                compiled
            }
        };
        if status == 0 {
            Ok(())
        } else {
            Err(PcapError::Failed(self.error()))
        }
    }

    /// The type of the header that packets start with: one of libpcap's `DLT_` numbers.
    pub(crate) fn link(&self) -> c_int {
        // SAFETY: the handle is active.
        unsafe { (self.functions.pcap_datalink)(self.pcap.as_ptr()) }
    }

    /// Returns the next packet, if one has been captured.
    pub(crate) fn next(&mut self) -> Result<Option<Captured<'_>>, String> {
        let (mut header, mut bytes) = (null(), null());
        // SAFETY: the handle is active; libpcap sets both pointers if it returns 1.
        let status = unsafe {
            (self.functions.pcap_next_ex)(self.pcap.as_ptr(), &raw mut header, &raw mut bytes)
        };
        match status {
            1 if !header.is_null() && !bytes.is_null() => {
                // SAFETY: libpcap returned 1, so the pointer leads to a whole header, which is copied.
                let PacketHeader {
                    time,
                    captured,
                    length,
                } = unsafe { header.read_unaligned() };
                let captured = usize::try_from(captured).unwrap_or(0);
                Ok(Some(Captured {
                    time: self.nanoseconds(time),
                    // SAFETY: as many bytes as the header says, valid until the next call, which borrows `self`.
                    bytes: unsafe { std::slice::from_raw_parts(bytes, captured) },
                    length,
                }))
            }
            0 | 1 => Ok(None),
            _ => Err(self.error()),
        }
    }

    /// Converts the time of a packet to ns since 1970; 0 for one before that.
    fn nanoseconds(&self, time: libc::timeval) -> u64 {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let fraction = u64::try_from(time.tv_usec).unwrap_or(0);
        seconds
            .wrapping_mul(1_000_000_000)
            .wrapping_add(fraction.wrapping_mul(self.unit))
    }

    /// Returns the packets dropped so far for lack of buffer space and by the interface, each modulo 2^32.
    pub(crate) fn drops(&mut self) -> Option<[u32; 2]> {
        let mut counts = Counts::default();
        // SAFETY: the handle is active, and `counts` outlives the call.
        let status = unsafe { (self.functions.pcap_stats)(self.pcap.as_ptr(), &raw mut counts) };
        (status == 0).then_some([counts.dropped, counts.dropped_by_interface])
    }

    /// Returns the library's name and version.
    pub(crate) fn version(&self) -> String {
        // SAFETY: libpcap returns a static string.
        unsafe { owned((self.functions.pcap_lib_version)()) }
    }

    fn status(&self, status: c_int) -> String {
        // SAFETY: libpcap returns a terminated string for any number; it is copied at once.
        unsafe { owned((self.functions.pcap_statustostr)(status)) }
    }

    fn error(&self) -> String {
        // SAFETY: the string is inside the handle; it is copied at once.
        unsafe { owned((self.functions.pcap_geterr)(self.pcap.as_ptr())) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: `self` owns the handle, and nothing borrowed from it outlives `self`.
        unsafe { (self.functions.pcap_close)(self.pcap.as_ptr()) }
    }
}

fn find() -> Result<Library, PcapError> {
    let mut reason = String::new();
    for name in NAMES {
        // SAFETY: this is the system's libpcap, whose initializers touch nothing of ours.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(PcapError::Missing(reason))
}

fn terminated(text: &str) -> Result<CString, PcapError> {
    CString::new(text).map_err(|error| PcapError::Failed(error.to_string()))
}

/// Returns the text in a buffer for an error message.
fn message_text(message: &[c_char; MESSAGE]) -> String {
    let bytes = message.map(|character| character.to_ne_bytes()[0]);
    CStr::from_bytes_until_nul(&bytes).map_or_else(
        |_| String::new(),
        |text| text.to_string_lossy().into_owned(),
    )
}

/// Copies a C string; empty if it is null.
///
/// # Safety
///
/// `text` is null or points to a terminated string.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the string is terminated, because the pointer is not null.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use super::*;

    fn now_ns() -> u128 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    }

    #[test]
    #[ignore = "root"]
    fn a_packet_cut_short_has_its_time_its_first_bytes_and_its_whole_length() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut handle = Handle::open(&OpenOptions {
            interface: "lo",
            buffer_bytes: 2 << 20,
            timeout_ms: 10,
            snaplen: 60,
        })
        .unwrap();
        handle
            .filter(&format!("udp dst port {}", address.port()))
            .unwrap();

        let before = now_ns();
        socket.send_to(&[b'x'; 100], address).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let packet = loop {
            assert!(Instant::now() < deadline, "no packet was captured");
            if let Some(packet) = handle.next().unwrap() {
                break (packet.time, packet.bytes.to_vec(), packet.length);
            }
            std::thread::yield_now();
        };

        let (time, bytes, length) = packet;
        assert!((before..=now_ns()).contains(&u128::from(time)), "{time}");
        // Headers of Ethernet, IPv4 and UDP precede the payload.
        assert_eq!((bytes.len(), length), (60, 14 + 20 + 8 + 100));
        assert_eq!(bytes[14 + 20 + 8..], [b'x'; 60 - 42]);
        assert_eq!(handle.drops(), Some([0, 0]));
    }
}
