//! System calls of chosen processes → records in a ring buffer: arguments, result, times, and what the arguments point to.
//!
//! A call is noted as it begins, and recorded as it returns: by then the kernel has touched the memory that its arguments
//! point to. One of two sets of programs is attached: `sys_enter` and `sys_exit`, which run for every call of every task,
//! or a pair at the kernel function of each traced call.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod draft;
mod end;
mod entry;
mod outcome;
mod part;
mod signal;
mod socket;
mod state;
mod total;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use membench_bpf_lib::kernel::Structure;
use membench_common::field;

/// Hook: the entry of every system call, with its registers and number.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v5.10/include/trace/events/syscalls.h#L18-L43>
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    if let Some(registers) = Structure::new(ctx.arg(0)) {
        entry::entered::<false>(registers, ctx.arg(1));
    }
    0
}

/// Hook: the return of every system call, with its registers and result.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v5.10/include/trace/events/syscalls.h#L45-L68>
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    if let Some(registers) = Structure::new(ctx.arg(0)) {
        outcome::returned::<false>(registers, ctx.arg(1));
    }
    0
}

/// Hook: a signal is delivered to a thread.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v5.10/include/trace/events/signal.h#L91-L121>
#[btf_tracepoint(function = "signal_deliver")]
pub fn signal_deliver(ctx: BtfTracePointContext) -> i32 {
    signal::delivered(ctx.arg(0), ctx.arg(1));
    0
}

/// Hook: a thread ends, on its own CPU.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v5.10/kernel/exit.c#L766>
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    if let Some(task) = Structure::new(ctx.arg(0)) {
        end::ended(task);
    }
    0
}

/// Defines pairs of programs at the functions of traced calls. Each is loaded for one function; all share their code.
macro_rules! pairs {
    ($($entry:ident $returned:ident),*) => {$(
        /// Hook: the function of a traced call begins. It is passed the registers of the caller.
        ///
        /// Oldest kernel: 5.12. <https://github.com/torvalds/linux/blob/v5.12/arch/x86/include/asm/syscall_wrapper.h>
        #[fentry]
        pub fn $entry(ctx: FEntryContext) -> i32 {
            function_entered(ctx.arg(0))
        }

        /// Hook: the function of a traced call returns. It was passed the registers of the caller.
        ///
        /// Oldest kernel: 5.12. <https://github.com/torvalds/linux/blob/v5.12/arch/x86/include/asm/syscall_wrapper.h>
        #[fexit]
        pub fn $returned(ctx: FExitContext) -> i32 {
            function_returned(ctx.arg(0), ctx.arg(1))
        }
    )*};
}

pairs! {
    entry_00 return_00, entry_01 return_01, entry_02 return_02, entry_03 return_03, entry_04 return_04, entry_05 return_05, entry_06 return_06, entry_07 return_07, entry_08 return_08, entry_09 return_09, entry_10 return_10, entry_11 return_11, entry_12 return_12, entry_13 return_13, entry_14 return_14, entry_15 return_15, entry_16 return_16, entry_17 return_17, entry_18 return_18, entry_19 return_19, entry_20 return_20, entry_21 return_21, entry_22 return_22, entry_23 return_23
}

#[inline(never)]
fn function_entered(registers: *const u8) -> i32 {
    if let Some(registers) = Structure::new(registers) {
        entry::entered::<true>(registers, registers.read(field::REGISTER_CALL));
    }
    0
}

#[inline(never)]
fn function_returned(registers: *const u8, result: i64) -> i32 {
    if let Some(registers) = Structure::new(registers) {
        outcome::returned::<true>(registers, result);
    }
    0
}

/// Loops forever. The verifier rejects that, so no program with a reachable panic loads.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// License of the object. The kernel allows most helpers only to programs that are also under the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
