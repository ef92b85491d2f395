"""This machine → whether the committed kernel object can be rebuilt here (`rebuild.sh`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# As in rebuild.sh.
_RUST = "1.96.0"
_LLVM = "22"
_LINKER = "0.10.4"


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that rebuilding needs; `remedy` gets it."""

    name: str
    works: bool
    found: str
    remedy: str | None = None


def find_tools() -> tuple[Tool, ...]:
    """Look for each of them."""
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
            [program, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return ""
    return ended.stdout.strip()
