//! A followed packet → records: its headers, each time with the next window of its payload.

use core::{hint::black_box, mem::size_of};

use aya_ebpf::{
    btf_maps::Array, helpers::generated::bpf_skb_load_bytes, macros::btf_map, programs::TcContext,
};
use membench_bpf_lib::{context::cpu, heartbeat, ring};
use membench_common::{HEADERS, Packet, RECORD_PAYLOAD, counter};

use super::headers::Place;

/// Most bytes after a record's head.
const ROOM: u32 = RECORD_PAYLOAD as u32;
/// Most payload of one record, however long the headers are.
const WINDOW: u32 = ROOM - HEADERS as u32;
/// Most windows of one packet after the first. The largest super-packets, of 512 KiB, have fewer.
const MOST: u32 = 40;

/// A record that is being composed. Bottom halves are disabled while a packet passes, so no other packet passes on this
/// CPU meanwhile.
#[repr(C)]
pub struct Composed {
    packet: Packet,
    bytes: [u8; HEADERS + RECORD_PAYLOAD],
}

/// One entry a CPU.
#[btf_map(name = "packet_scratch")]
static PACKET_SCRATCH: Array<Composed, 1> = Array::new();

/// Puts a packet into the ring, or returns the counter that says why it is not there, or not whole.
#[inline(always)]
pub fn emit(ctx: &TcContext, place: Place, way: u16, time: u64) -> Result<(), u32> {
    if heartbeat::is_unattended(time) {
        return Err(counter::PACKETS_DROPPED);
    }
    let scratch = PACKET_SCRATCH
        .get_ptr_mut(cpu())
        .ok_or(counter::PACKETS_DROPPED)?;
    let length = ctx.len();
    if length < place.end as u32 {
        return Err(counter::PACKETS_UNREADABLE);
    }
    // SAFETY: the map's value outlives the program, and no other program uses it meanwhile.
    let packet = unsafe { &mut (*scratch).packet };
    *packet = Packet {
        time,
        length,
        offset: 0,
        kept: 0,
        headers: place.end as u16,
        network: place.network as u16,
        transport: place.transport as u16,
        way,
        windows: 0,
    };
    if place.wanted {
        emit_windows(ctx, scratch)
    } else {
        load(ctx, scratch, 0, 0, place.end as u32)?;
        output(scratch, place.end as u32)
    }
}

/// Emits the packet's headers with the first window of its payload, then with each window after it.
///
/// Reads the packet's layout and its own progress back from memory. The verifier then knows nothing about them, so it
/// follows neither each way through the headers nor each turn of the loop separately.
#[inline(always)]
fn emit_windows(ctx: &TcContext, scratch: *mut Composed) -> Result<(), u32> {
    // SAFETY: the map's value outlives the program, and no other program uses it meanwhile.
    let packet = unsafe { &raw mut (*scratch).packet };
    // SAFETY: as above; volatile, or LLVM would not read memory.
    let (end, length) = unsafe {
        (
            u32::from((&raw const (*packet).headers).read_volatile()),
            (&raw const (*packet).length).read_volatile(),
        )
    };
    let wanted = length.wrapping_sub(end);
    let first = wanted.min(WINDOW);
    // SAFETY: as above.
    unsafe {
        (*packet).kept = first;
        (*packet).windows = (first < wanted).into();
    }
    load(ctx, scratch, 0, 0, end + first)?;
    output(scratch, end + first)?;
    for _ in 0..MOST {
        // SAFETY: as above.
        let done = unsafe {
            (&raw const (*packet).offset).read_volatile()
                + (&raw const (*packet).kept).read_volatile()
        };
        if done >= wanted {
            return Ok(());
        }
        let kept = (wanted - done).min(WINDOW);
        load(ctx, scratch, end, end + done, kept)?;
        // SAFETY: as above.
        unsafe {
            (*packet).offset = done;
            (*packet).kept = kept;
        }
        output(scratch, end + kept)?;
    }
    Err(counter::PACKETS_DROPPED)
}

/// Copies bytes of the packet to the record, after the first `skip` of its bytes.
#[inline(always)]
fn load(
    ctx: &TcContext,
    scratch: *mut Composed,
    skip: u32,
    from: u32,
    length: u32,
) -> Result<(), u32> {
    // SAFETY: the mask keeps the place inside the room for headers, and a whole record fits after that.
    let result = unsafe {
        let to = (&raw mut (*scratch).bytes)
            .cast::<u8>()
            .add(black_box(skip) as usize & (HEADERS - 1));
        bpf_skb_load_bytes(ctx.skb.skb.cast(), from, to.cast(), within(length))
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
