//! `recvmmsg` and `sendmmsg` → which of a call's messages has just moved.
//!
//! The hooks fire once a message and do not say which. A receive goes from message to message until one fails or the
//! array ends; a send also ends with a message that goes out in part. So messages are counted as they come, and where
//! that is not certain nothing is taken for located.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;

use crate::{
    call::{Arguments, Shape},
    maps::Scratch,
    record::zero,
    vector,
};

/// Size of a `struct mmsghdr`, which begins with a `struct msghdr`.
const MESSAGE: u64 = 64;
/// Most iovecs of a message that is sent for which it can be told whether all of it was.
const SUMMED: u64 = 4;
/// Stands for a place that is not known.
const LOST: u32 = u32::MAX;

/// Where a call's messages are, and how many have moved.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Place {
    /// Address of the array; 0 while no such call runs.
    array: u64,
    task: u32,
    next: u32,
}

impl Place {
    /// No such call has run.
    #[inline(always)]
    pub fn none() -> Self {
        Self {
            array: zero(),
            task: zero() as u32,
            next: zero() as u32,
        }
    }

    /// The call has ended, or another one runs.
    #[inline(always)]
    pub fn reset(&mut self) {
        self.array = 0;
    }

    /// The message that a receive has just filled; none if that cannot be told.
    #[inline(always)]
    pub fn received(&mut self, call: Arguments) -> Option<Arguments> {
        if call.has_timeout {
            // It can end between two messages, and then nothing tells.
            self.reset();
            return (call.count == 1).then(|| message(call, 0));
        }
        let index = self.advance(call);
        (index != LOST).then(|| message(call, index))
    }

    /// The message of which a send has just moved `length` bytes; none if that cannot be told.
    #[inline(always)]
    pub fn sent(
        &mut self,
        call: Arguments,
        scratch: *mut Scratch,
        length: u32,
    ) -> Option<Arguments> {
        let index = self.advance(call);
        if index == LOST {
            return None;
        }
        let message = message(call, index);
        let count = vector::copy(scratch, message);
        if call.count > 1 && count > SUMMED {
            self.next = LOST;
            return Some(message);
        }
        let mut whole = 0;
        for index in 0..SUMMED {
            let [_, length] = vector::vector(scratch, index);
            whole += if index < count { length } else { 0 };
        }
        if whole != u64::from(length) {
            self.reset();
        }
        Some(message)
    }

    /// The index of the message that has moved.
    #[inline(always)]
    fn advance(&mut self, call: Arguments) -> u32 {
        // SAFETY: takes no arguments.
        let task = unsafe { bpf_get_current_pid_tgid() } as u32;
        let goes_on = self.array == call.address && self.task == task;
        let index = if goes_on { self.next } else { 0 };
        if index == LOST {
            return LOST;
        }
        self.array = call.address;
        self.task = task;
        self.next = index + 1;
        if u64::from(self.next) >= call.count {
            self.reset();
        }
        index
    }
}

#[inline(always)]
fn message(call: Arguments, index: u32) -> Arguments {
    Arguments {
        shape: Shape::Message,
        address: call.address + u64::from(index) * MESSAGE,
        follows: index > 0,
        ..call
    }
}
