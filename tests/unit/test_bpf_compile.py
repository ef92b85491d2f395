"""C → an object; errors of clang are shown, and a missing clang is named with its package."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import membench
from membench import bpf
from membench.bpf import _compile
from support.bpf_programs import PRELUDE, compiled

SOURCE = f"""{PRELUDE}
SEC("raw_tp/sys_enter")
int count(void *ctx)
{{
    return 0;
}}
"""


def test_a_file_and_its_text_give_the_same_object(tmp_path: Path) -> None:
    compiled(SOURCE)
    path = tmp_path / "count.bpf.c"
    path.write_text(SOURCE)
    data = bpf.compile(path)
    assert data == bpf.compile(SOURCE)
    assert list(bpf.Object.open(data).programs) == ["count"]


def test_folders_and_flags_reach_the_compiler(tmp_path: Path) -> None:
    compiled(SOURCE)
    (tmp_path / "own.h").write_text("#define RESULT SET\n")
    source = '#include "own.h"\nint value __attribute__((section(".data"))) = RESULT;\n'
    found = bpf.Object.open(bpf.compile(source, include=[tmp_path], flags=["-DSET=41"]))
    assert found.globals["value"] == 41


@pytest.mark.parametrize("name", ["pipe", "socket", "folder", "absent", "binary", "/dev/zero"])
def test_a_source_that_is_no_text_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    compiled(SOURCE)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with pytest.raises(membench.UsageError, match=name) as raised:
            bpf.compile(tmp_path / name)
    assert raised.value.hint


def test_a_compiler_that_waits_for_a_pipe_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(SOURCE)
    os.mkfifo(tmp_path / "own.h")
    monkeypatch.setattr(_compile, "_LONGEST_S", 0.5)
    with pytest.raises(bpf.CompileError, match=r"not ended after 0\.5 s: does the source include"):
        bpf.compile('#include "own.h"\n', include=[tmp_path])


def test_what_clang_finds_wrong_is_shown() -> None:
    compiled(SOURCE)
    with pytest.raises(bpf.CompileError, match="use of undeclared identifier 'nothing'") as raised:
        bpf.compile("int value = nothing;\nint other = none;\n")
    assert "none" in raised.value.log
    assert isinstance(raised.value, membench.MembenchError)


def test_a_missing_compiler_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(bpf.CompilerMissing) as raised:
        bpf.compile(SOURCE)
    assert raised.value.hint is not None
    assert "apt-get install clang" in raised.value.hint
