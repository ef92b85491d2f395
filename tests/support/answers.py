"""Requests and their answers over one connection."""

from __future__ import annotations

import socket


def answer(client: socket.socket, request: bytes, end: bytes = b"END\r\n") -> bytes:
    """Send a request and return its answer."""
    client.sendall(request)
    return receive(client, end)


def receive(client: socket.socket, end: bytes = b"END\r\n") -> bytes:
    """Receive an answer."""
    reply = bytearray(client.recv(1 << 16))
    while not reply.endswith(end):
        reply += client.recv(1 << 20)
    return bytes(reply)
