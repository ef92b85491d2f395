"""A 128-bit key and bytes → their SipHash-2-4, which is the key id."""

from __future__ import annotations

MASK = (1 << 64) - 1


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & MASK


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a = (a + b) & MASK
    b = _rotated(b, 13) ^ a
    a = _rotated(a, 32)
    c = (c + d) & MASK
    d = _rotated(d, 16) ^ c
    a = (a + d) & MASK
    d = _rotated(d, 21) ^ a
    c = (c + b) & MASK
    b = _rotated(b, 17) ^ c
    return a, b, _rotated(c, 32), d


def siphash(key: bytes, data: bytes) -> int:
    """Return the SipHash-2-4 of `data`, 64 bits."""
    first, second = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = (
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    )
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        a, b, c, d = state
        a, b, c, d = _round(*_round(a, b, c, d ^ word))
        state = (a ^ word, b, c, d)
    a, b, c, d = state
    state = (a, b, c ^ 0xFF, d)
    for _ in range(4):
        state = _round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]
