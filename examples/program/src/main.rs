//! Each send of one process on any socket → a record in a ring buffer, or a count if the ring is full.
#![no_std]
#![no_main]
#![allow(internal_features)]
#![feature(core_intrinsics)]

use core::{
    intrinsics::{AtomicOrdering::Relaxed, atomic_xadd},
    ptr::{from_ref, read_volatile},
};

use aya_ebpf::{
    btf_maps::RingBuf,
    helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};

/// One send.
#[repr(C)]
pub struct Sent {
    /// CLOCK_MONOTONIC, ns.
    time_ns: u64,
    /// Bytes that the kernel took.
    bytes: u32,
    /// The thread that sent.
    thread: u32,
}

/// The ring. User space may set another size before it loads the object.
#[btf_map(name = "sent")]
static SENT: RingBuf<Sent, 65_536> = RingBuf::new();

/// The process to watch. User space sets it before it loads the object.
#[unsafe(no_mangle)]
static PROCESS: u32 = 0;

/// Sends for which the ring had no room.
#[unsafe(no_mangle)]
static mut LOST: u64 = 0;

/// Runs after every send on any socket of the machine, with the number of bytes or a negative errno.
#[btf_tracepoint(function = "sock_send_length")]
pub fn record_send(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the helper takes no arguments.
    let ids = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: the static is valid. The volatile read keeps the compiler from putting 0 in its place.
    let process = unsafe { read_volatile(from_ref(&PROCESS)) };
    let bytes: i32 = ctx.arg(1);
    if (ids >> 32) as u32 != process || bytes <= 0 {
        return 0;
    }
    if let Some(mut room) = SENT.reserve(0) {
        room.write(Sent {
            // SAFETY: the helper takes no arguments.
            time_ns: unsafe { bpf_ktime_get_ns() },
            bytes: bytes as u32,
            thread: ids as u32,
        });
        room.submit(0);
    } else {
        // The target has no `AtomicU64::fetch_add`, but it has the instruction.
        // SAFETY: the static is valid and aligned, and programs change it by atomic additions only.
        unsafe { atomic_xadd::<_, _, { Relaxed }>(&raw mut LOST, 1_u64) };
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
