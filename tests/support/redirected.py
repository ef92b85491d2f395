"""Bytes that a socket receives → sent on another by a kernel thread (sockmap)."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

from support.waiting import DEADLINE

_C = ctypes.CDLL(None, use_errno=True)
_C.syscall.restype = ctypes.c_long
_BPF = 321
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD, _PROG_ATTACH = 0, 2, 5, 8
_SOCKMAP, _SK_SKB, _STREAM_VERDICT = 15, 14, 5
_REDIRECT = 52
_SIZE = 128


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, _SIZE)
    result = int(_C.syscall(_BPF, command, buffer, _SIZE))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _address(data: bytes) -> tuple[int, object]:
    buffer = ctypes.create_string_buffer(data, len(data))
    return ctypes.addressof(buffer), buffer


def _sockets() -> int:
    return _bpf(_MAP_CREATE, struct.pack("IIII", _SOCKMAP, 4, 4, 1))


def _put(sockets: int, one: socket.socket) -> None:
    key, held_key = _address(bytes(4))
    value, held_value = _address(struct.pack("I", one.fileno()))
    _bpf(_MAP_UPDATE, struct.pack("IIQQQ", sockets, 0, key, value, 0))
    del held_key, held_value


def _verdict(to: int) -> int:
    """Load a program that redirects everything to the socket in the map `to`."""
    code = [(0x18, 2, 1, to), (0, 0, 0, 0), (0xB7, 3, 0, 0), (0xB7, 4, 0, 0)]
    code += [(0x85, 0, 0, _REDIRECT), (0x95, 0, 0, 0)]
    program = b"".join(
        struct.pack("BBhi", opcode, register | source << 4, 0, number)
        for opcode, register, source, number in code
    )
    instructions, held = _address(program)
    license_of, held_license = _address(b"GPL\0")
    attributes = struct.pack("IIQQIIQ", _SK_SKB, len(code), instructions, license_of, 0, 0, 0)
    loaded = _bpf(_PROG_LOAD, attributes)
    del held, held_license
    return loaded


class Redirected:
    """A socket whose bytes a kernel thread sends on the target socket."""

    def __init__(self, target: socket.socket) -> None:
        """Load and attach the program; raises OSError where that is not allowed."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._near = socket.create_connection(listening.getsockname(), timeout=DEADLINE)
            self._far, _ = listening.accept()
        self._maps = [_sockets(), _sockets()]
        source, to = self._maps
        _put(to, target)
        self._program = _verdict(to)
        _bpf(_PROG_ATTACH, struct.pack("IIII", source, self._program, _STREAM_VERDICT, 0))
        _put(source, self._far)

    def send(self, _target: socket.socket, data: bytes) -> None:
        """Send `data` on the target socket through the kernel thread."""
        self._near.sendall(data)

    def close(self) -> None:
        """Close the maps, the program and the sockets."""
        for one in (*self._maps, self._program):
            os.close(one)
        self._near.close()
        self._far.close()
