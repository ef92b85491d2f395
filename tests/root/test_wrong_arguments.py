"""Wrong arguments from Python: an error of membench refuses each."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import membench
from membench import bpf
from membench.errors import MembenchError
from support.bpf_programs import RECORDS, compiled, counter

pytestmark = [pytest.mark.root]

WRONG: tuple[Any, ...] = (
    *(None, "", "x", "\0", "a" * 5000, "ü\ud800", b"", b"\0\xff"),
    *(-1, 0, 1 << 70, 1.5, float("nan"), float("inf"), True, object()),
    *([], [None], ["x"], [-1], [1 << 40], ["\ud800"], {}, {"a": 1}, range(3)),
    *((1, 2), (1, 2, 3), (0, "a", 2)),
)
SEALED = Path(__file__).parent.parent / "data" / "sealed"
HOOKS = (
    *("tp_btf:", "tp_btf:*", "tracepoint:a:b:c", "raw_tp:x", "tp_btf:sched_switch\n"),
    *("kprobe:a+", "fentry:*", "uprobe:::", "uprobe:/etc/passwd:x", "uprobe:/:x", "usdt:libc:*:*"),
    *("uprobe:libc:0xffffffffffffffff", "uprobe:libc:0x0", "uretprobe:libc:0x10"),
    *("perf:cpu-clock@99999999999999999999", "perf:cpu-clock@1000000000", "perf:cpu-clock/0"),
)


def attempt(call: Callable[..., Any], *arguments: object, **options: object) -> None:
    """Call it; end what it starts. Another error than membench's own is a failure."""
    try:
        started = call(*arguments, **options)
    except MembenchError:
        return
    for end in ("stop", "close"):
        if hasattr(started, end):
            getattr(started, end)()


def options_of(call: Callable[..., Any]) -> list[str]:
    """Name what it takes, but for what cannot be undone."""
    return [name for name in inspect.signature(call).parameters if name != "drop_privileges"]


@pytest.mark.parametrize("option", options_of(membench.probe))
def test_a_probe_tells_what_is_wrong(option: str) -> None:
    for value in (*WRONG, *(HOOKS if option == "hook" else ())):
        attempt(membench.probe, **{"hook": "tp_btf:sched_process_exec", option: value})


@pytest.mark.parametrize("option", options_of(membench.trace))
def test_a_trace_tells_what_is_wrong(option: str) -> None:
    for value in WRONG:
        attempt(membench.trace, **{"pids": [os.getpid()], "calls": "getppid", option: value})


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (membench.observe, {"ports": [1]}),
        (membench.record, {"source": "ebpf:any", "ports": [1]}),
        (membench.top, {"source": "ebpf:any", "ports": [1]}),
        (membench.open, {"path": SEALED}),
        (membench.repair, {"path": SEALED}),
        (membench.analyze, {"profile": SEALED}),
        (membench.replay, {"profile": SEALED, "target": "127.0.0.1:1"}),
        (membench.keygen, {"path": "/nonexist/key"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_function_tells_what_is_wrong(
    call: Callable[..., Any], right: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some of the values are names of files
    for option in options_of(call):
        for value in WRONG:
            attempt(call, **{**right, option: value})


@pytest.mark.parametrize("value", WRONG, ids=lambda value: ascii(value)[:20])
def test_the_loader_tells_what_is_wrong(value: object) -> None:
    attempt(membench.find_hooks, value)
    for call in (bpf.open_pinned, bpf.unpin, bpf.compile, bpf.symbolize, bpf.Object.open):
        attempt(call, value)
    attempt(bpf.symbolize, [1], pid=value)
    with bpf.Object.open(compiled(RECORDS)) as found:
        for name in found.globals:
            attempt(found.globals.__setitem__, name, value)
        for one in found.maps.values():
            attempt(setattr, one, "max_entries", value)
        attempt(found.load, only=value)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: ascii(value)[:20])
def test_what_is_loaded_tells_what_is_wrong(value: object) -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        found.load()
        attempt(found.ring, value)
        for option in ("type", "lost", "timeout_s", "pages"):
            attempt(found.ring, "events", **{option: value})
        attempt(found.ring("events").read, limit=value)
    with bpf.Object.open(counter("raw_tp")) as found:
        found.load()
        attempt(found.programs["count"].attach, value)
        for one in found.maps.values():
            attempt(one.pin, value)
            for use in (one.__getitem__, one.__delitem__):
                with suppress(KeyError):
                    attempt(use, value)
            with suppress(KeyError):
                attempt(one.__setitem__, value, value)
