"""C → an object, by clang where it is installed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from membench import _arguments as check
from membench._files import read_regular
from membench.bpf._errors import CompileError, CompilerMissing
from membench.errors import UsageError

# Debian names the compiler of each version, too.
_CLANGS = ("clang", *(f"clang-{version}" for version in range(30, 11, -1)))
_LONGEST_S = 120
# More than any program of the kernel.
_MOST_SOURCE = 64 << 20
_ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}


def compile(  # noqa: A001 - `bpf.compile`
    source: str | os.PathLike[str],
    *,
    include: Sequence[str | os.PathLike[str]] = (),
    flags: Sequence[str] = (),
) -> bytes:
    """Compile a program in C; `Object.open` takes the result.

    The helpers' headers (`bpf/bpf_helpers.h`) come with libbpf, in Debian `libbpf-dev`.

    Args:
        source: The text of the program, or with a path-like object its file.
        include: Folders of headers.
        flags: More flags for clang.

    Raises:
        CompilerMissing: No clang is installed.
        CompileError: Clang rejects the source, or does not end within two minutes; `log` has what
            it printed.
        UsageError: The file cannot be read, or is none.
    """
    clang = next(filter(None, map(shutil.which, _CLANGS)), None)
    if clang is None:
        raise CompilerMissing(
            "clang is not installed", "install it: `apt-get install clang libbpf-dev`"
        )
    text = source if isinstance(source, str) else _read(check.path("source", source))
    check.text("source", text)
    flags = check.texts("flags", flags)
    try:
        done = subprocess.run(
            [clang, *_flags(include), *flags, "-x", "c", "-c", "-", "-o", "-"],
            input=text.encode(),
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        printed = (late.stderr or b"").decode(errors="replace")
        raise CompileError(
            f"clang has not ended after {_LONGEST_S} s: does the source include a pipe?", printed
        ) from late
    log = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        first = next((line for line in log.splitlines() if "error:" in line), log.strip())
        raise CompileError(f"clang rejects the source: {first}", log)
    return done.stdout


def _read(path: Path) -> str:
    """Return the text of a file. A pipe is refused: nobody may ever write to it."""
    try:
        return read_regular(path, _MOST_SOURCE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error}", "name a file in C") from error


def _flags(include: Sequence[str | os.PathLike[str]]) -> list[str]:
    folders = check.paths("include", include)
    # The kernel's headers include `asm/…`, which lies in the folder of this machine's kind.
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        folders.append(f"/usr/include/{multiarch}")
    machine = platform.machine()
    architecture = _ARCHITECTURES.get(machine, machine)
    return [
        *("-g", "-O2", "-target", "bpf", "-mcpu=v3", f"-D__TARGET_ARCH_{architecture}"),
        *(f"-I{folder}" for folder in folders),
    ]
