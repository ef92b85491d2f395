# Each line stands for the system call that it makes.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH109, PTH115, PTH116, PTH208, PTH211
"""A process that makes many kinds of system calls, in several threads, once it is told to.

It reads a line from standard input before it begins, and marks its begin and end by asking for
paths that do not exist.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

BEGIN, END = "/traced/begin", "/traced/end"
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Make the calls between the two marks."""
    sys.stdin.readline()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.access(BEGIN, os.F_OK)
        files(folder)
        descriptors()
        sockets(folder)
        waits()
        signals()
        process()
        memory()
        together(folder)
        os.access(END, os.F_OK)


def files(folder: Path) -> None:
    """Files and folders, some of which do not exist."""
    path = str(folder / 'a "file" ü')
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    os.write(number, b"0123456789")
    os.pwrite(number, b"ab", 3)
    os.pread(number, 4, 2)
    os.lseek(number, 0, os.SEEK_SET)
    os.read(number, 100)
    os.writev(number, [b"one", b"two"])
    os.lseek(number, -3, os.SEEK_END)
    os.readv(number, [bytearray(2), bytearray(2)])
    os.fstat(number)
    os.ftruncate(number, 5)
    os.fsync(number)
    os.fdatasync(number)
    os.fchmod(number, 0o600)
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(number)
    os.stat(path)
    os.lstat("/dev/null")
    os.chmod(path, 0o444)
    os.truncate(path, 3)
    os.access(path, os.R_OK | os.W_OK)
    os.mkdir(folder / "below", 0o755)
    os.rename(path, folder / "below" / "b")
    os.link(folder / "below" / "b", folder / "c")
    os.symlink("below/b", folder / "d")
    os.readlink(folder / "d")
    os.listdir(folder)
    os.chdir(folder)
    os.getcwd()
    os.chdir("/")
    for one in ("c", "d", "below/b"):
        os.unlink(folder / one)
    os.rmdir(folder / "below")
    os.umask(os.umask(0o22))
    for wrong in ("/no/such/file", "/etc/shadow/below"):
        with suppress(OSError):
            os.open(wrong, os.O_RDONLY)
    with suppress(OSError):
        os.close(999)


def descriptors() -> None:
    """Pipes, copies and flags."""
    reader, writer = os.pipe()
    copy = os.dup(reader)
    os.dup2(writer, copy)
    fcntl.fcntl(reader, fcntl.F_GETFD)
    fcntl.fcntl(reader, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    flags = fcntl.fcntl(reader, fcntl.F_GETFL)
    fcntl.fcntl(reader, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.read(reader, 10)
    os.write(copy, b"x")
    os.read(reader, 10)
    for one in (reader, writer, copy):
        os.close(one)
    os.close(os.eventfd(3, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
    os.close(os.memfd_create("traced", os.MFD_CLOEXEC))


def sockets(folder: Path) -> None:
    """Connections over IPv4, IPv6 and paths, and datagrams."""
    del folder
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener, socket.socket(family) as client:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, 0))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    continue
                raise
            listener.listen(5)
            client.connect(listener.getsockname())
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            server, _ = listener.accept()
            client.sendall(b"get a\r\n")
            server.recv(100)
            server.sendmsg([b"EN", b"D\r\n"])
            client.recvmsg(50)
            client.getpeername()
            server.shutdown(socket.SHUT_WR)
            client.recv(10)
            server.close()
    one, other = socket.socketpair()
    one.send(b"x", socket.MSG_DONTWAIT)
    other.recv(1, socket.MSG_PEEK)
    one.close()
    other.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        datagrams.sendto(b"datagram", datagrams.getsockname())
        datagrams.recvfrom(100)
    with socket.socket(socket.AF_UNIX) as nobody, suppress(OSError):
        nobody.connect("/no/such/socket")


def waits() -> None:
    """Polls that are ready, and some that are not."""
    reader, writer = os.pipe()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.poll(1)
    os.write(writer, b"x")
    poll.poll(1000)
    with select.epoll() as events:
        events.register(reader, select.EPOLLIN | select.EPOLLET)
        events.poll(1)
        events.modify(reader, select.EPOLLOUT)
        events.poll(0)
        events.unregister(reader)
    os.close(reader)
    os.close(writer)
    time.sleep(0.001)


def signals() -> None:
    """A signal with a handler, and a mask."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGCHLD})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGCHLD})
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)


def process() -> None:
    """Questions of a process about itself."""
    os.getppid()
    os.getuid()
    os.geteuid()
    os.getgid()
    os.getegid()
    os.getpgid(0)
    os.getsid(0)
    threading.get_native_id()
    os.uname()
    os.sched_getaffinity(0)
    os.sched_yield()
    os.getpriority(os.PRIO_PROCESS, 0)
    resource.getrlimit(resource.RLIMIT_NOFILE)
    os.urandom(8)
    child = os.fork()
    if child == 0:
        os._exit(7)
    os.waitpid(child, 0)


def memory() -> None:
    """Mappings that nobody uses."""
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    LIBC.madvise.argtypes = LIBC.mprotect.argtypes = [*LIBC.munmap.argtypes, ctypes.c_int]
    size = 1 << 16
    place = LIBC.mmap(None, size, 3, 0x22, -1, 0)
    LIBC.madvise(place, size, 4)
    LIBC.mprotect(place, size, 1)
    LIBC.munmap(place, size)
    LIBC.munmap(1, 1)


def together(folder: Path) -> None:
    """Threads that work at the same time."""

    def work(number: int) -> None:
        path = folder / f"thread {number}"
        for turn in range(20):
            path.write_text(str(turn))
            path.read_text()
        path.unlink()

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
