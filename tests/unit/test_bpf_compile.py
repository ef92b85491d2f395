"""C → an object; errors of clang are shown, and a missing clang is named with its package."""

from __future__ import annotations

from pathlib import Path

import pytest

import membench
from membench import bpf
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
