//! A request that took long → a record of its own.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::{Array, RingBuf},
    macros::btf_map,
};
use membench_bpf_lib::{
    abi::{AF_INET, AF_INET6, MSGHDR_IOV},
    kernel::{Sock, Structure, global},
    user::read_user,
};
use membench_common::{
    field,
    observe::{
        Slow, answer, counter,
        part::{self, COUNT},
    },
};

use crate::{counters, place::CALLS, socket::Socket};

/// User space sets the size.
#[btf_map(name = "slow")]
static RING: RingBuf<Slow, 4096> = RingBuf::new();

/// The floor, ns: a request that took no longer gets no record. User space raises it while it holds enough longer ones.
#[btf_map(name = "floor")]
static FLOOR: Array<u64, 1> = Array::new();

/// The time from which a request is slow, ns.
#[unsafe(no_mangle)]
static SLOWER: u64 = u64::MAX;

/// Bytes that are read of an answer.
const WIDTH: usize = size_of::<u64>();
/// First bytes of each known answer, and the mask of those that count.
const BEGINS: [(u64, u64); answer::WORDS.len()] = begins();

/// True if a request of that time is slow.
#[inline(always)]
pub fn is_slow(whole: u64) -> bool {
    whole >= global(&SLOWER)
}

/// Keeps a request that has just been answered by a send of `length` bytes.
#[inline(always)]
pub fn keep(
    socket: &Socket,
    tcp: Structure,
    (now, length): (u64, u32),
    parts: &[u64; COUNT],
) -> Option<()> {
    counters::add(counter::SLOW, 1);
    let floor = FLOOR.get(0)?;
    if parts[part::WHOLE] <= *floor {
        return None;
    }
    let answer = answer();
    let Some(mut record) = RING.reserve(0) else {
        counters::add(counter::SLOW_LOST, 1);
        return None;
    };
    let family = Sock::read::<u16>(tcp, field::SOCK_FAMILY);
    record.write(Slow {
        time: now,
        parts: *parts,
        remote: remote(tcp, family),
        worker: socket.worker - 1,
        read: socket.copied.wrapping_sub(socket.begun),
        sent: length,
        answer,
        family,
        remote_port: u16::from_be(Sock::read(tcp, field::SOCK_REMOTE_PORT)),
        local_port: Sock::read(tcp, field::SOCK_LOCAL_PORT),
        padding: 0,
    });
    record.submit(u64::from(BPF_RB_NO_WAKEUP));
    Some(())
}

#[inline(always)]
fn remote(tcp: Structure, family: u16) -> [u8; 16] {
    let mut remote = [0_u64; 2];
    if family == AF_INET {
        remote[0] = u64::from(Sock::read::<u32>(tcp, field::SOCK_REMOTE));
    } else if family == AF_INET6 {
        remote = [
            tcp.read_at(field::SOCK_REMOTE6, 0),
            tcp.read_at(field::SOCK_REMOTE6, 1),
        ];
    }
    // SAFETY: both are 16 bytes without padding.
    unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>(remote) }
}

/// Returns how the answer begins that the current system call sends, as in [`answer`]; 0 if it cannot be told.
#[inline(always)]
fn answer() -> u32 {
    let Some(begin) = begin() else {
        return 0;
    };
    let [first, second, ..] = begin.to_le_bytes();
    if first == answer::MAGIC {
        return answer::BINARY | u32::from(second);
    }
    if first.is_ascii_digit() {
        return answer::DIGIT + 1;
    }
    let mut index = 0;
    while index < BEGINS.len() {
        let (word, mask) = BEGINS[index];
        if begin & mask == word {
            return index as u32 + 1;
        }
        index += 1;
    }
    0
}

/// Returns the first bytes that the current system call sends.
#[inline(always)]
fn begin() -> Option<u64> {
    let registers = Structure::task()?.registers()?;
    let call = registers.read::<u64>(field::REGISTER_CALL);
    let second = registers.read::<u64>(field::REGISTER_SECOND);
    let buffer = if call == global(&CALLS.message) {
        // A `struct iovec` begins with the buffer.
        word(word(second + MSGHDR_IOV)?)?
    } else if call == global(&CALLS.buffers[0]) || call == global(&CALLS.buffers[1]) {
        second
    } else {
        return None;
    };
    word(buffer)
}

/// Reads a word of user memory.
#[inline(always)]
fn word(address: u64) -> Option<u64> {
    let mut word = 0_u64;
    read_user::<{ WIDTH as u64 }>((&raw mut word).cast(), WIDTH as u64, address).then_some(word)
}

const fn begins() -> [(u64, u64); answer::WORDS.len()] {
    let mut begins = [(0, 0); answer::WORDS.len()];
    let mut index = 0;
    while index < begins.len() {
        let text = answer::WORDS[index];
        let (mut word, mut mask) = ([0; WIDTH], [0; WIDTH]);
        let mut at = 0;
        while at < text.len() {
            (word[at], mask[at]) = (text[at], u8::MAX);
            at += 1;
        }
        begins[index] = (u64::from_le_bytes(word), u64::from_le_bytes(mask));
        index += 1;
    }
    begins
}
