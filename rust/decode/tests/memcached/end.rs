//! The request behind all others of a step, and its answer, by which both sides know that the step is over.

/// A request that random traffic does not hold, and its answer.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) request: &'static [u8],
    pub(crate) answer: &'static [u8],
}

/// End of a step of the text and meta protocols: arithmetic on an item that does not exist.
pub(crate) const END_OF_LINES: End = End {
    request: b"ma zz O!end\r\n",
    answer: b"NF O!end\r\n",
};

/// End of a step of the binary protocol: a no-op.
pub(crate) const END_OF_MESSAGES: End = End {
    request: &noop(0x80),
    answer: &noop(0x81),
};

/// Makes a binary no-op with this magic byte, and an opaque value of its own.
const fn noop(magic: u8) -> [u8; 24] {
    let mut message = [0; 24];
    (message[0], message[1]) = (magic, 0x0a);
    (message[12], message[15]) = (0xee, 0xee);
    message
}
