//! Hits of any hook → counts, histograms, times and stacks, aggregated in the kernel.
//!
//! One program for each type that a hook can take, and one for its end where a call has a beginning and an end. User
//! space loads those that a probe needs; `SETTINGS` says what they do, so that the verifier removes the rest.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod admission;
mod histogram;
mod operands;
mod pairs;
mod sample;
mod settings;
mod stacks;
mod totals;

use aya_ebpf::{
    EbpfContext,
    macros::{
        btf_tracepoint, fentry, fexit, kprobe, kretprobe, perf_event, raw_tracepoint, tracepoint,
        uprobe, uretprobe,
    },
    programs::{
        BtfTracePointContext, FEntryContext, FExitContext, PerfEventContext, ProbeContext,
        RawTracePointContext, RetProbeContext, TracePointContext,
    },
};

use operands::{Arguments, Fields, Nothing};

/// Defines programs: oldest kernel, attribute, name, its context, how operands are found there, and the part of a call.
macro_rules! programs {
    ($($(#[$doc:meta])+ $attribute:ident $name:ident($context:ty) $operands:ident $part:ident;)+) => {
        $($(#[$doc])+
        #[$attribute]
        pub fn $name(ctx: $context) -> u32 {
            match sample::$part($operands::new(ctx.as_ptr())) {
                Some(()) | None => 0,
            }
        })+
    };
}

programs! {
    /// Hook: a tracepoint, with arguments whose types the verifier knows. Chosen over the others because it costs least.
    ///
    /// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L2296-L2340>
    btf_tracepoint probe_btf(BtfTracePointContext) Arguments begin;
    /// Hook: the tracepoint at the end of what began at the one of `probe_btf`.
    ///
    /// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L2296-L2340>
    btf_tracepoint probe_btf_end(BtfTracePointContext) Arguments end;
    /// Hook: a tracepoint, with arguments as words, on kernels without types.
    ///
    /// Oldest kernel: 4.17. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L2296-L2340>
    raw_tracepoint probe_raw(RawTracePointContext) Arguments begin;
    /// Hook: the tracepoint at the end of what began at the one of `probe_raw`.
    ///
    /// Oldest kernel: 4.17. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L2296-L2340>
    raw_tracepoint probe_raw_end(RawTracePointContext) Arguments end;
    /// Hook: a tracepoint, with the fields that tracefs documents. Chosen where a field has a name and no argument has.
    ///
    /// Oldest kernel: 4.7. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L104-L148>
    tracepoint probe_tp(TracePointContext) Fields begin;
    /// Hook: the tracepoint at the end of what began at the one of `probe_tp`.
    ///
    /// Oldest kernel: 4.7. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L104-L148>
    tracepoint probe_tp_end(TracePointContext) Fields end;
    /// Hook: the beginning of a kernel function, with arguments whose types the verifier knows.
    ///
    /// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/trampoline.c>
    fentry probe_fentry(FEntryContext) Arguments begin;
    /// Hook: the return of a kernel function, with its arguments and its result.
    ///
    /// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/trampoline.c>
    fexit probe_fexit(FExitContext) Arguments end;
    /// Hook: an instruction of the kernel, with the registers.
    ///
    /// Oldest kernel: 4.1. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_kprobe.c>
    kprobe probe_kprobe(ProbeContext) Fields begin;
    /// Hook: the return of a kernel function, with the registers.
    ///
    /// Oldest kernel: 4.1. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_kprobe.c>
    kretprobe probe_kretprobe(RetProbeContext) Fields end;
    /// Hook: an instruction of a program or library, with the registers. The task takes a trap for each.
    ///
    /// Oldest kernel: 4.3. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_uprobe.c>
    uprobe probe_uprobe(ProbeContext) Fields begin;
    /// Hook: the return of a function of a program or library, with the registers.
    ///
    /// Oldest kernel: 4.3. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_uprobe.c>
    uretprobe probe_uretprobe(RetProbeContext) Fields end;
    /// Hook: the beginnings of many kernel functions, which are counted one by one.
    ///
    /// Oldest kernel: 5.18. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c>
    kprobe probe_kprobes(ProbeContext) Fields each;
    /// Hook: the returns of many kernel functions, which are counted one by one.
    ///
    /// Oldest kernel: 5.18. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c>
    kretprobe probe_kretprobes(RetProbeContext) Fields each;
    /// Hook: the beginnings of many functions of a program or library, which are counted one by one.
    ///
    /// Oldest kernel: 6.6. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c>
    uprobe probe_uprobes(ProbeContext) Fields each;
    /// Hook: the returns of many functions of a program or library, which are counted one by one.
    ///
    /// Oldest kernel: 6.6. <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c>
    uretprobe probe_uretprobes(RetProbeContext) Fields each;
    /// Hook: a clock's tick or a counter's overflow.
    ///
    /// Oldest kernel: 4.9. <https://github.com/torvalds/linux/blob/v6.12/kernel/events/core.c>
    perf_event probe_perf(PerfEventContext) Nothing begin;
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
