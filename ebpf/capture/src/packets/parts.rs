//! A packet → records, each with the next part of it.

use core::{
    hint::black_box,
    mem::size_of,
    ptr::{from_ref, read_unaligned, write_unaligned},
};

use aya_ebpf::{
    btf_maps::Array, helpers::generated::bpf_skb_load_bytes, macros::btf_map, programs::TcContext,
};
use membench_bpf_lib::{context::cpu, heartbeat, ring, server};
use membench_common::{Packet, RECORD_PAYLOAD, SCANNED, counter};

/// Most bytes after a record's head.
const ROOM: u32 = RECORD_PAYLOAD as u32;
/// Most records of one packet. The largest super-packets, of 512 KiB and their headers, have fewer.
const MOST: u32 = 40;
const WORD: usize = size_of::<u64>();
/// A 1 in each half word, and the highest bit of each.
const ONES: u64 = 0x0001_0001_0001_0001;
const HIGHEST: u64 = ONES << 15;

/// A record that is being composed. Bottom halves are disabled while a packet passes, so no other packet passes on this
/// CPU meanwhile.
#[repr(C)]
pub struct Composed {
    packet: Packet,
    bytes: [u8; RECORD_PAYLOAD],
}

/// One entry a CPU.
#[btf_map(name = "packet_scratch")]
static PACKET_SCRATCH: Array<Composed, 1> = Array::new();

/// Returns this CPU's scratch memory.
#[inline(always)]
pub fn scratch() -> Option<*mut Composed> {
    PACKET_SCRATCH.get_ptr_mut(cpu())
}

/// True if a followed port stands in the first bytes of the packet from `begin` on. All headers before the port have even
/// lengths, so every half word is compared, four at a time.
/// <https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>
#[inline(always)]
pub fn holds_port(ctx: &TcContext, scratch: *mut Composed, begin: usize) -> bool {
    let length = ctx.len().wrapping_sub(begin as u32);
    if length.cast_signed() <= 0 {
        return false;
    }
    let length = length.min(SCANNED as u32);
    if load(ctx, scratch, begin as u32, length).is_err() {
        return false;
    }
    // SAFETY: the map's value outlives the program, and no other program uses it meanwhile.
    let bytes = unsafe { (&raw mut (*scratch).bytes).cast::<u8>() };
    let length = black_box(length as usize) & (2 * SCANNED - 1);
    // SAFETY: the mask keeps the place inside the record. The last word ends with bytes of another packet otherwise.
    unsafe { write_unaligned(bytes.add(length).cast::<u64>(), 0) };
    let mut at = 0;
    while at < SCANNED {
        if at >= length {
            return false;
        }
        // SAFETY: `at` is inside the record.
        let word = unsafe { read_unaligned(bytes.add(at).cast::<u64>()) };
        if server::any_port(|port| {
            let differs = word ^ (u64::from(port.to_be()) * ONES);
            differs.wrapping_sub(ONES) & !differs & HIGHEST != 0
        }) {
            return true;
        }
        at += WORD;
    }
    false
}

/// Puts a packet into the ring, or returns the counter that says why it is not there, or not whole.
///
/// Reads the packet's length and its own progress back from memory. The verifier then knows nothing about them, so it
/// does not follow each turn of the loop separately.
#[inline(always)]
pub fn emit(ctx: &TcContext, scratch: *mut Composed, way: u16, time: u64) -> Result<(), u32> {
    if heartbeat::is_unattended(time) {
        return Err(counter::PACKETS_DROPPED);
    }
    // SAFETY: the map's value outlives the program, and no other program uses it meanwhile.
    let packet = unsafe { &mut (*scratch).packet };
    *packet = Packet {
        time,
        length: ctx.len(),
        offset: 0,
        kept: 0,
        cpu: cpu() as u16,
        way,
    };
    for _ in 0..MOST {
        let done = again(&packet.offset) + again(&packet.kept);
        let length = again(&packet.length);
        if done >= length {
            return Ok(());
        }
        let kept = (length - done).min(ROOM);
        load(ctx, scratch, done, kept)?;
        packet.offset = done;
        packet.kept = kept;
        output(scratch, kept)?;
    }
    Err(counter::PACKETS_DROPPED)
}

/// Reads a number from memory, whatever the compiler knows of it.
#[inline(always)]
fn again(number: &u32) -> u32 {
    // SAFETY: a reference is valid to read.
    unsafe { from_ref(number).read_volatile() }
}

/// Copies bytes of the packet to the record.
#[inline(always)]
fn load(ctx: &TcContext, scratch: *mut Composed, from: u32, length: u32) -> Result<(), u32> {
    // SAFETY: the record has room for as many bytes as `within` allows.
    let result = unsafe {
        let to = (&raw mut (*scratch).bytes).cast();
        bpf_skb_load_bytes(ctx.skb.skb.cast(), from, to, within(length))
    };
    if result == 0 {
        Ok(())
    } else {
        Err(counter::PACKETS_UNREADABLE)
    }
}

/// Returns the length within bounds that the verifier sees: 1 to [`ROOM`].
#[inline(always)]
fn within(length: u32) -> u32 {
    (black_box(length).wrapping_sub(1) & (ROOM - 1)) + 1
}

/// Puts the composed record into the ring, with `bytes` after its head.
#[inline(always)]
fn output(scratch: *mut Composed, bytes: u32) -> Result<(), u32> {
    let size = size_of::<Packet>() as u64 + u64::from(within(bytes));
    if ring::output(scratch.cast(), size) {
        Ok(())
    } else {
        Err(counter::PACKETS_DROPPED)
    }
}
