"""System calls that Python does not wrap, on a connected socket."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import socket
import struct
from collections.abc import Sequence

_C = ctypes.CDLL(None, use_errno=True)
_C.syscall.restype = ctypes.c_long

MSG_DONTWAIT = 0x40
_IO_URING_SETUP, _IO_URING_ENTER = 425, 426
_GETEVENTS = 1
_SEND, _RECEIVE = 26, 27
_MAP_POPULATE, _MAP_32BIT = 0x8000, 0x40
#: Offsets for `mmap`: the two rings, and the submission entries.
_SUBMISSIONS, _COMPLETIONS, _ENTRIES = 0, 0x8000000, 0x10000000


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_uint32),
        ("moved", ctypes.c_uint32),
        ("end", ctypes.c_uint32),
    )


class Messages:
    """An array of `mmsghdr`, each message with its buffers."""

    def __init__(
        self, buffers: Sequence[Sequence[bytearray]], peer: tuple[str, int] | None = None
    ) -> None:
        """Lay out one message for each sequence of buffers, to or from an IPv4 address."""
        self._kept = [
            [(ctypes.c_char * len(one)).from_buffer(one) for one in message] for message in buffers
        ]
        self._vectors = [
            (_Vector * len(message))(*(_Vector(ctypes.addressof(one), len(one)) for one in message))
            for message in self._kept
        ]
        address = b""
        if peer:
            family = struct.pack("=H", socket.AF_INET)
            address = family + struct.pack("!H4s8x", peer[1], socket.inet_aton(peer[0]))
        self._names = [ctypes.create_string_buffer(address, len(address)) for _ in buffers]
        self._array = (_Message * len(buffers))(
            *(
                _Message(
                    name=ctypes.addressof(name) if peer else None,
                    name_length=len(address),
                    vectors=vectors,
                    count=len(vectors),
                )
                for name, vectors in zip(self._names, self._vectors, strict=True)
            )
        )

    def receive(self, descriptor: int, timeout_s: int | None = None) -> list[int]:
        """Fill as many messages as there are bytes for; return the size of each."""
        timeout = None if timeout_s is None else struct.pack("qq", timeout_s, 0)
        count = _checked(
            _C.recvmmsg(descriptor, self._array, len(self._array), MSG_DONTWAIT, timeout)
        )
        return [message.moved for message in self._array[:count]]

    def send(self, descriptor: int) -> list[int]:
        """Send the messages; return the number of bytes sent of each."""
        count = _checked(_C.sendmmsg(descriptor, self._array, len(self._array), MSG_DONTWAIT))
        return [message.moved for message in self._array[:count]]


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Uring:
    """An io_uring with a single entry."""

    def __init__(self) -> None:
        """Set up the rings; raises OSError where that is not allowed."""
        parameters = bytearray(120)
        buffer = (ctypes.c_char * len(parameters)).from_buffer(parameters)
        self._descriptor = _checked(_C.syscall(_IO_URING_SETUP, 1, buffer))
        numbers = struct.unpack("30I", parameters)
        entries, completions = numbers[0], numbers[1]
        self._tail, self._array = numbers[11], numbers[16]
        self._head, self._results = numbers[20], numbers[25]
        self._submitted = self._map(self._array + entries * 4, _SUBMISSIONS)
        self._completed = self._map(self._results + completions * 16, _COMPLETIONS)
        self._entries = self._map(entries * 64, _ENTRIES)

    def _map(self, length: int, offset: int) -> mmap.mmap:
        flags = mmap.MAP_SHARED | _MAP_POPULATE
        return mmap.mmap(self._descriptor, length, flags, offset=offset)

    def receive(self, descriptor: int, size: int) -> bytes:
        """Receive at most `size` bytes."""
        buffer = bytearray(size)
        return bytes(buffer[: self._move(_RECEIVE, descriptor, buffer)])

    def send(self, descriptor: int, data: bytes) -> int:
        """Send; return the number of bytes sent."""
        return self._move(_SEND, descriptor, bytearray(data))

    def _move(self, operation: int, descriptor: int, buffer: bytearray) -> int:
        held = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        address = ctypes.addressof(held)
        entry = struct.pack("BBHiQQI", operation, 0, 0, descriptor, 0, address, len(buffer))
        self._entries[:64] = entry.ljust(64, b"\0")
        self._submitted[self._array : self._array + 4] = bytes(4)
        (tail,) = struct.unpack_from("I", self._submitted, self._tail)
        struct.pack_into("I", self._submitted, self._tail, tail + 1)
        _checked(_C.syscall(_IO_URING_ENTER, self._descriptor, 1, 1, _GETEVENTS, None, 0))
        (head,) = struct.unpack_from("I", self._completed, self._head)
        _, result, _ = struct.unpack_from("QiI", self._completed, self._results + head % 2 * 16)
        struct.pack_into("I", self._completed, self._head, head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)

    def close(self) -> None:
        """Unmap the rings and close the descriptor."""
        for one in (self._submitted, self._completed, self._entries):
            one.close()
        os.close(self._descriptor)


class Compat:
    """The 32-bit system call `read`, made by interrupt 0x80 from an x86-64 process."""

    #: push rbx; mov eax, 3 (read); mov ebx, edi; mov ecx, esi; int 0x80; pop rbx; ret
    CODE = bytes.fromhex("53b80300000089fb89f1cd805bc3")
    SIZE = 4096

    def __init__(self) -> None:
        """Map the code, and a buffer below 4 GiB; raises OSError where that is impossible."""
        if platform.machine() != "x86_64":
            raise OSError(errno.ENOSYS, "no 32-bit calls on this machine")
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        shared = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._code = mmap.mmap(-1, self.SIZE, shared, protection | mmap.PROT_EXEC)
        self._code[: len(self.CODE)] = self.CODE
        self._buffer = mmap.mmap(-1, self.SIZE, shared | _MAP_32BIT, protection)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint32)
        self._read = kind(self._address(self._code))

    def _address(self, memory: mmap.mmap) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(memory))

    def read(self, descriptor: int, size: int) -> bytes:
        """Read at most `size` bytes."""
        # The third argument, the size, is in edx already.
        result = self._read(descriptor, self._address(self._buffer), size)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return bytes(self._buffer[:result])
