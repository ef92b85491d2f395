//! A followed packet → records: its headers, with one window of its payload after the other.

use core::{hint::black_box, mem::size_of};

use aya_ebpf::{
    btf_maps::Array, helpers::generated::bpf_skb_load_bytes, macros::btf_map, programs::TcContext,
};
use membench_bpf_lib::{context::cpu, heartbeat, ring};
use membench_common::{HEADERS, Packet, RECORD_PAYLOAD, counter};

use super::headers::Place;

/// Most bytes behind a record's head,
const ROOM: u32 = RECORD_PAYLOAD as u32;
/// and most payload of one record, whatever its headers.
const WINDOW: u32 = ROOM - HEADERS as u32;
/// Most windows of one packet after the first: the largest super-packets, of 512 KiB, have fewer.
const MOST: u32 = 40;

/// Where a record is composed. A packet passes with bottom halves disabled, so that no other does on this CPU meanwhile.
#[repr(C)]
pub struct Composed {
    packet: Packet,
    bytes: [u8; HEADERS + RECORD_PAYLOAD],
}

/// One entry a CPU.
#[btf_map(name = "packet_scratch")]
static PACKET_SCRATCH: Array<Composed, 1> = Array::new();

/// Puts a packet into the ring; else the counter that says why not, or not whole.
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
    // SAFETY: the map's value outlives the program, and only this one writes it now.
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
        whole(ctx, scratch)
    } else {
        load(ctx, scratch, 0, 0, place.end as u32)?;
        give(scratch, place.end as u32)
    }
}

/// The packet's headers with the first window of its payload, and the windows after it.
///
/// What was found out about the packet comes back from memory, and so does how far it is copied: to the verifier one
/// packet is like the other then, whatever way its headers led here, and one window like the next.
#[inline(always)]
fn whole(ctx: &TcContext, scratch: *mut Composed) -> Result<(), u32> {
    // SAFETY: the map's value outlives the program, and only this one writes it now.
    let packet = unsafe { &raw mut (*scratch).packet };
    // SAFETY: as above; volatile, or it would not come from memory.
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
    give(scratch, end + first)?;
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
        give(scratch, end + kept)?;
    }
    Err(counter::PACKETS_DROPPED)
}

/// Copies bytes of the packet behind so many of the record's.
#[inline(always)]
fn load(
    ctx: &TcContext,
    scratch: *mut Composed,
    behind: u32,
    from: u32,
    length: u32,
) -> Result<(), u32> {
    // SAFETY: the mask keeps the place inside the room for headers, behind which there is room for a whole record.
    let result = unsafe {
        let to = (&raw mut (*scratch).bytes)
            .cast::<u8>()
            .add(black_box(behind) as usize & (HEADERS - 1));
        bpf_skb_load_bytes(ctx.skb.skb.cast(), from, to.cast(), within(length))
    };
    if result == 0 {
        Ok(())
    } else {
        Err(counter::PACKETS_UNREADABLE)
    }
}

/// The length, in bounds that the verifier sees: 1 to a record's.
#[inline(always)]
fn within(length: u32) -> u32 {
    (black_box(length).wrapping_sub(1) & (ROOM - 1)) + 1
}

/// Hands the composed record over, with so many bytes behind its head.
#[inline(always)]
fn give(scratch: *mut Composed, bytes: u32) -> Result<(), u32> {
    let size = size_of::<Packet>() as u64 + u64::from(within(bytes));
    if ring::output(scratch.cast(), size) {
        Ok(())
    } else {
        Err(counter::PACKETS_DROPPED)
    }
}
