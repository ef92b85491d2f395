//! The system call that sends an answer → how the answer begins, and the class of command that it tells.

use membench_bpf_lib::{
    abi::MSGHDR_IOV,
    kernel::{Structure, global},
    user::read_user,
};
use membench_common::{
    field,
    observe::{
        answer::{self, OPCODES},
        class,
    },
};

use crate::place::CALLS;

/// Bytes that are read of an answer.
const WIDTH: usize = size_of::<u64>();
/// First bytes of each known answer, and the mask of those that count.
const BEGINS: [(u64, u64); answer::WORDS.len()] = begins();
/// Classes of commands by what [`begin`] returns, of the text protocol: they are read where they lie.
static CLASSES: [u8; CODES] = classes();
/// Classes by opcode.
static BINARY: [u8; OPCODES] = binary();
/// Room for what [`begin`] returns of the text protocol: a power of two.
const CODES: usize = 32;

/// Returns the class of command that the begin of an answer tells.
#[inline(always)]
pub fn class_of(begin: u32) -> usize {
    let class = if begin & answer::BINARY == 0 {
        global(&CLASSES[begin as usize & (CODES - 1)])
    } else {
        let opcode = begin as usize & 0xff;
        if opcode >= OPCODES {
            return class::OTHER;
        }
        global(&BINARY[opcode & (OPCODES - 1)])
    };
    class as usize & (class::STRIDE - 1)
}

/// Returns how the answer begins that the current system call sends, as in [`answer`]; 0 if it cannot be told.
#[inline(always)]
pub fn begin() -> u32 {
    let Some(begin) = first_bytes() else {
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
fn first_bytes() -> Option<u64> {
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

const fn classes() -> [u8; CODES] {
    let mut classes = [class::OTHER as u8; CODES];
    let mut index = 0;
    while index < answer::CLASSES.len() {
        classes[index + 1] = answer::CLASSES[index] as u8;
        index += 1;
    }
    classes
}

const fn binary() -> [u8; OPCODES] {
    let mut classes = [class::OTHER as u8; OPCODES];
    let mut opcode = 0;
    while opcode < OPCODES {
        classes[opcode] = answer::class_of(opcode) as u8;
        opcode += 1;
    }
    classes
}
