"""A refusal of the kernel, by errno → an exception that says what to do about it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import membench
from membench import bpf
from membench.errors import UsageError
from support.bpf_mounts import tracefs
from support.bpf_programs import PRELUDE, RECORDS, compiled, counter
from support.exclusive import exclusive
from support.least import with_capabilities

pytestmark = [pytest.mark.root]

# It reads beyond what the kernel hands it.
REJECTED = f"""{PRELUDE}
SEC("raw_tp/sys_enter")
int count(unsigned long long *ctx)
{{
    char *end = (char *)ctx + 4096;
    return *end;
}}
"""
# The verifier follows each turn before it comes to what it rejects.
LONG = f"""{PRELUDE}
SEC("raw_tp/sys_enter")
int count(unsigned long long *ctx)
{{
    for (__u32 turn = 0; turn < 3000; turn++)
        hit();
    char *end = (char *)ctx + 4096;
    return *end;
}}
"""


def load(data: bytes) -> None:
    with bpf.Object.open(data) as found:
        found.load()


def attach(data: bytes, target: bpf.Target) -> None:
    with bpf.Object.open(data) as found:
        found.load(only=["count"])
        found.programs["count"].attach(target)


def load_ring(size: int) -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        found.maps["events"].max_entries = size
        found.load()


def attach_twice() -> None:
    with bpf.Object.open(counter("raw_tp")) as found:
        found.load()
        found.programs["count"].attach(bpf.RawTp("sys_enter"))
        found.programs["count"].attach(bpf.RawTp("sys_enter"))


def attach_where_another_is() -> None:
    with exclusive("filters of lo"), bpf.Object.open(counter("xdp", result=2)) as first:
        first.load()
        first.programs["count"].attach(bpf.Xdp("lo", "generic"))
        attach(counter("xdp", result=2), bpf.Xdp("lo", "generic"))


def attach_to_no_tracepoint_of_tracefs() -> None:
    with tracefs():
        attach(counter("tracepoint"), bpf.Tracepoint("sched", "no_such"))


def read_closed() -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        found.load()
    _ = found.maps["events"].id


def read_early() -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        _ = found.maps["events"].id


def set_late() -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        found.load()
        found.globals["pid"] = 1


TABLE: dict[str, tuple[Callable[[], object], type[Exception], int | None, str]] = {
    "EACCES, the verifier": (
        lambda: load(compiled(REJECTED)), bpf.VerifierError, errno.EACCES, "invalid bpf_context"),
    "ENOENT, no such raw tracepoint": (
        lambda: attach(counter("raw_tp"), bpf.RawTp("no_such")), bpf.NotFound, errno.ENOENT,
        "No such file"),
    "ENOENT, no such typed tracepoint": (
        lambda: attach(counter("tp_btf"), bpf.TpBtf("no_such")), bpf.NotFound, None, "no_such"),
    "ENOENT, no such tracepoint of tracefs": (
        attach_to_no_tracepoint_of_tracefs, bpf.NotFound, errno.ENOENT, "No such file"),
    "ENOENT, no such file": (
        lambda: bpf.Object.open("/no/such.o"), bpf.NotFound, errno.ENOENT, "/no/such.o"),
    "ENOENT, no such group": (
        lambda: attach(counter("cgroup/skb", result=1), bpf.Cgroup("/no/such")), bpf.NotFound,
        errno.ENOENT, "No such file"),
    "ENODEV, no such interface": (
        lambda: attach(counter("classifier"), bpf.Tcx("nosuch0", "ingress")), bpf.NotFound, None,
        "nosuch0"),
    "no such function of a file": (
        lambda: attach(counter("uprobe"), bpf.Uprobe(sys.executable, "no_such")), bpf.NotFound,
        None, "no_such"),
    "no such function of a file whose debug symbols are in another, which is absent": (
        lambda: attach(counter("uprobe"), bpf.Uprobe("/bin/true", "no_such")), bpf.NotFound,
        None, "cannot find the symbol `no_such`"),
    "no such library": (
        lambda: attach(counter("uprobe"), bpf.Uprobe("libnone.so.1", "none")), bpf.NotFound, None,
        "libnone"),
    "ENOENT, no such pin": (
        lambda: bpf.open_pinned("/sys/fs/bpf/no-such"), bpf.NotFound, errno.ENOENT, "no-such"),
    "EINVAL, the size of a ring": (
        lambda: load_ring(0), bpf.KernelError, errno.EINVAL, "events"),
    "a ring whose size has no number": (
        lambda: load_ring(3 << 30), UsageError, None, "at most 2147483648 bytes, and events has"),
    "EBUSY, another program has the place": (
        attach_where_another_is, bpf.AlreadyAttached, errno.EBUSY, "busy"),
    "the same program at the same place": (
        attach_twice, bpf.AlreadyAttached, None, "sys_enter.* already"),
    "used after close": (read_closed, bpf.InvalidHandle, None, "closed"),
    "used before load": (read_early, bpf.InvalidHandle, None, "call `load"),
    "set after load": (set_late, bpf.InvalidHandle, None, "before `load"),
    "more samples a second than the kernel takes": (
        lambda: attach(counter("perf_event"), bpf.PerfEvent("cpu-clock", hz=1 << 30)), UsageError,
        None, "at most [0-9]+ samples a second, got: 1073741824"),
    "no object": (
        lambda: bpf.Object.open(b"#!/bin/sh"), membench.UsageError, None, "not an eBPF object"),
    "a type of program that the place does not take": (
        lambda: attach(counter("raw_tp"), bpf.TpBtf("sys_enter")), membench.UsageError, None,
        "takes a program of type tp_btf, got: raw_tp"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_each_refusal_is_an_exception_of_its_own(name: str) -> None:
    act, kind, number, words = TABLE[name]
    with pytest.raises(kind, match=words) as raised:
        act()
    assert type(raised.value) is kind
    assert isinstance(raised.value, membench.MembenchError)
    if number is not None:
        assert isinstance(raised.value, OSError)
        assert raised.value.errno == number
    assert not str(raised.value).startswith("(")


def test_the_whole_log_of_the_verifier_is_kept_and_its_end_shown() -> None:
    with pytest.raises(bpf.VerifierError) as raised:
        load(compiled(REJECTED))
    error = raised.value
    assert error.log.rstrip().splitlines()[-1] in str(error)
    assert error.processed_instructions is not None
    assert 0 < error.processed_instructions < 100
    assert "processed" in str(error)
    with pytest.raises(bpf.VerifierError) as raised:
        load(compiled(LONG))
    error = raised.value
    # More than the loader's first buffers hold.
    assert len(error.log) > 100_000
    assert "\n0: " in error.log[:500]
    assert error.processed_instructions is not None
    assert error.processed_instructions > 6_000
    assert len(str(error)) < 3_000


@pytest.fixture
def as_nobody() -> Path:
    """Return a folder that everybody may read, with objects in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name, data in {
        "raw_tp": counter("raw_tp"),
        "uprobe": counter("uprobe"),
        "classifier": counter("classifier", result=-1),
    }.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o644)
    return folder


SCRIPT = """
import sys
from membench import bpf
section, path = sys.argv[1:]
from pathlib import Path
words = Path("/proc/self/maps").read_text().split()
libc = next(word for word in words if "/libc.so" in word or "/libc-" in word)
target = {
    "raw_tp": bpf.RawTp("sys_enter"),
    "classifier": bpf.Tcx("lo", "ingress"),
    "uprobe": bpf.Uprobe(libc, "getppid"),
    "list": None,
}[section]
try:
    if target is None:
        bpf.list()
    else:
        with bpf.Object.open(path) as found:
            found.load()
            found.programs["count"].attach(target)
    print("works")
except bpf.PermissionError as error:
    print(*error.missing or ["policy"], sep=",")
    print(error.hint)
"""


@pytest.mark.parametrize(
    ("section", "held", "missing"),
    [
        ("raw_tp", (), "CAP_BPF,CAP_PERFMON"),
        ("raw_tp", ("bpf",), "CAP_PERFMON"),
        ("raw_tp", ("bpf", "perfmon"), None),
        ("classifier", (), "CAP_BPF,CAP_NET_ADMIN"),
        ("classifier", ("bpf",), "CAP_NET_ADMIN"),
        ("classifier", ("bpf", "net_admin"), None),
        ("uprobe", ("bpf", "perfmon"), "CAP_SYS_ADMIN"),
        ("uprobe", ("sys_admin",), None),
        ("list", ("bpf", "perfmon"), "CAP_SYS_ADMIN"),
        ("list", ("sys_admin",), None),
    ],
)
def test_the_missing_capability_is_named_and_having_it_suffices(
    as_nobody: Path, section: str, held: tuple[str, ...], missing: str | None
) -> None:
    command = [*with_capabilities(*held), sys.executable, "-c", SCRIPT, section]
    done = subprocess.run(
        [*command, str(as_nobody / section)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    if missing is None:
        if section == "classifier" and "Unsupported" in done.stdout:
            pytest.skip("this kernel has no TCX")
        assert first == "works"
    else:
        assert first == missing
        assert all(name in rest[0] for name in missing.split(","))


def test_an_error_is_also_the_builtin_exception_that_people_catch() -> None:
    assert issubclass(bpf.PermissionError, PermissionError)
    assert issubclass(bpf.NotFound, KeyError)
    assert issubclass(bpf.KernelError, membench.CaptureUnavailableError)
    assert issubclass(bpf.InvalidHandle, membench.UsageError)
    with bpf.Object.open(counter("raw_tp")) as found:
        with pytest.raises(KeyError):
            found.maps["none"]
        assert found.maps.get("none") is None
        assert "none" not in found.globals
    assert os.strerror(errno.EACCES)
