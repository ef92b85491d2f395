"""The table of decoded system calls agrees with the running kernel's own descriptions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from membench import _native
from support.process import output

pytestmark = [pytest.mark.root]

#: Calls that every decoded table must have at least.
LEAST = 50


@contextmanager
def descriptions(folder: Path) -> Iterator[Path]:
    """Find the kernel's descriptions of its calls; mount them if they are not."""
    for known in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        if (found := Path(known, "events", "syscalls")).is_dir():
            yield found
            return
    mount = ["mount", "-t", "tracefs", "tracefs", folder]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no tracefs: {done.stderr.strip()}")
    try:
        if not (found := folder / "events" / "syscalls").is_dir():
            pytest.skip("the kernel was built without CONFIG_FTRACE_SYSCALLS")
        yield found
    finally:
        output("umount", folder)


def test_names_and_numbers_of_arguments_are_those_of_the_kernel(tmp_path: Path) -> None:
    wrong, checked = [], 0
    with descriptions(tmp_path) as folder:
        for name, function, arguments in _native.decoded_calls():
            description = folder / f"sys_enter_{function}" / "format"
            if not description.exists():
                continue
            fields = [
                line for line in description.read_text().splitlines() if line.startswith("\tfield:")
            ]
            # Four fields that all events have, and the number of the call.
            if (found := len(fields) - 5) != arguments:
                wrong.append(f"{name}: {arguments} arguments, the kernel has {found}")
            checked += 1
    assert wrong == []
    assert checked >= LEAST
    # What a kernel lacks was built without: at most a few old calls.
    assert checked >= len(_native.decoded_calls()) - 10
