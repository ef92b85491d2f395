"""This machine → the tools that rebuilding the committed kernel object (`rebuild.sh`) takes."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The versions in rebuild.sh.
_RUST = "1.96.0"
_LLVM = "22"
_LINKER = "0.10.4"
_LONGEST_S = 10


@dataclass(frozen=True, slots=True)
class Tool:
    """One requirement of rebuilding the kernel object.

    Attributes:
        name: The tool and its version.
        works: True if it is here.
        found: Its path or version, or `none`.
        remedy: The command that installs it.
    """

    name: str
    works: bool
    found: str
    remedy: str | None = None


def find_tools() -> tuple[Tool, ...]:
    """Look for each requirement of `rebuild.sh`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "membench"
    rustc = _ask("/usr/bin/rustc", "--version")
    packages = f"apt-get install rustc-web cargo-web rust-web-src llvm-{_LLVM} llvm-{_LLVM}-dev"
    linker = cache / f"bpf-linker-{_LINKER}/bin/bpf-linker"
    return (
        Tool(f"rustc {_RUST}", f"rustc {_RUST} " in rustc, rustc or "none", packages),
        _file(
            "the library's source", Path("/usr/lib/rustlib/src/rust/library/Cargo.toml"), packages
        ),
        _file(f"LLVM {_LLVM}", Path(f"/usr/lib/llvm-{_LLVM}/lib"), packages),
        _file(f"llvm-objcopy-{_LLVM}", shutil.which(f"llvm-objcopy-{_LLVM}"), packages),
        _file(f"bpf-linker {_LINKER}", linker, "./rebuild.sh installs it"),
    )


def _file(name: str, path: Path | str | None, remedy: str) -> Tool:
    works = path is not None and os.access(path, os.R_OK)
    return Tool(name, works, str(path) if works else "none", None if works else remedy)


def _ask(program: str, *arguments: str) -> str:
    try:
        ended = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()
