//! A followed packet → records: its headers, with one window of its payload after the other.

use core::{hint::black_box, mem::size_of};

use aya_ebpf::{
    btf_maps::Array,
    helpers::generated::{bpf_get_smp_processor_id, bpf_skb_load_bytes},
    macros::btf_map,
    programs::TcContext,
};
use membench_common::{HEADERS, Packet, RECORD_PAYLOAD, counter};

use crate::maps::{is_unattended, output};

use super::headers::Place;

/// Most bytes behind a record's head,
const ROOM: u32 = RECORD_PAYLOAD as u32;
/// and most payload of one record, whatever its headers.
const WINDOW: u32 = ROOM - HEADERS as u32;
/// Most records of one packet: the largest super-packets have 512 KiB.
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
    if is_unattended(time) {
        return Err(counter::PACKETS_DROPPED);
    }
    // SAFETY: takes no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let scratch = PACKET_SCRATCH
        .get_ptr_mut(cpu)
        .ok_or(counter::PACKETS_DROPPED)?;
    let length = ctx.len();
    let end = place.end as u32;
    if length < end {
        return Err(counter::PACKETS_UNREADABLE);
    }
    let wanted = if place.wanted { length - end } else { 0 };
    let first = wanted.min(WINDOW);
    // SAFETY: the map's value outlives the program, and only this one writes it now.
    let packet = unsafe { &raw mut (*scratch).packet };
    let head = Packet {
        time,
        length,
        offset: 0,
        kept: first,
        headers: end as u16,
        network: place.network as u16,
        transport: place.transport as u16,
        way,
        windows: (first < wanted).into(),
    };
    // SAFETY: as above.
    unsafe { packet.write(head) };
    load(ctx, scratch, 0, 0, end + first)?;
    give(scratch, end + first)?;
    rest(ctx, scratch, head, wanted)
}

/// The windows after the first.
#[inline(always)]
fn rest(ctx: &TcContext, scratch: *mut Composed, head: Packet, wanted: u32) -> Result<(), u32> {
    let end = u32::from(head.headers);
    let (mut offset, mut records) = (head.kept, 1);
    while offset < wanted {
        if records >= MOST {
            return Err(counter::PACKETS_DROPPED);
        }
        let kept = (wanted - offset).min(WINDOW);
        load(ctx, scratch, end, end + offset, kept)?;
        // SAFETY: the map's value outlives the program, and only this one writes it now.
        unsafe {
            (&raw mut (*scratch).packet.offset).write(offset);
            (&raw mut (*scratch).packet.kept).write(kept);
        }
        give(scratch, end + kept)?;
        offset += kept;
        records += 1;
    }
    Ok(())
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
    if output(scratch.cast(), size) {
        Ok(())
    } else {
        Err(counter::PACKETS_DROPPED)
    }
}
