//! A thread → the call that it is in, and whether calls are recorded at all.

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    helpers::generated::bpf_get_current_pid_tgid,
    macros::btf_map,
};
use membench_common::trace::{Entered, NO_CALL, Socket};

/// The call of each thread of a traced process, by the thread's id in the initial pid namespace. An entry stays until the
/// thread ends, so that a call whose return was not seen is found when the next one begins.
#[btf_map(name = "threads")]
static THREADS: HashMap<u32, Entered, 1> = HashMap::new();

/// 1 while calls are recorded. Programs are attached one after the other, and so begin and end at the same time.
#[btf_map(name = "control")]
static CONTROL: Array<u64, 1> = Array::new();

/// True while calls are recorded.
#[inline(always)]
pub fn is_recording() -> bool {
    // SAFETY: the map's value outlives the program; volatile because user space changes it.
    CONTROL
        .get_ptr_mut(0)
        .is_some_and(|value| unsafe { value.read_volatile() } != 0)
}

/// Returns the state of the current thread.
#[inline(always)]
pub fn current() -> Option<*mut Entered> {
    THREADS.get_ptr_mut(thread())
}

/// Makes a state for the current thread; `None` if there are too many threads.
#[inline(always)]
pub fn create() -> Option<*mut Entered> {
    let empty = Entered {
        began: 0,
        arguments: [0; 6],
        pid: 0,
        tid: 0,
        number: NO_CALL,
        has_socket: 0,
        socket: Socket {
            inode: 0,
            family: 0,
            protocol: 0,
            local_port: 0,
            remote_port: 0,
            local: [0; 16],
            remote: [0; 16],
            followed: 0,
            client: 0,
        },
    };
    THREADS.insert(thread(), &empty, 0).ok()?;
    current()
}

/// Forgets the current thread.
#[inline(always)]
pub fn forget() {
    // A thread without a state has none to forget.
    let _ = THREADS.remove(thread());
}

#[inline(always)]
fn thread() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { bpf_get_current_pid_tgid() as u32 }
}
