"""A profile that this user may not read: the library's words, also on the command line."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import membench
from membench import cli

SEALED = Path(__file__).parent.parent / "data" / "sealed"
NOBODY = 65534
HINT = "check who owns it, or run as its owner"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Act as a user whom permissions hold back."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(params=["the profile", "its folder", "its manifest"])
def unreadable(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A profile of which one part may not be read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        profile = Path(shutil.copytree(SEALED, folder / "shelf" / "own.mb"))
        (folder / "shelf").chmod(0o755)
        closed = {
            "the profile": profile,
            "its folder": profile.parent,
            "its manifest": profile / "manifest.json",
        }[request.param]
        mode = closed.stat().st_mode
        closed.chmod(0)
        try:
            yield profile
        finally:
            closed.chmod(mode)


USES: dict[str, Callable[[Path], object]] = {
    "open": membench.open,
    "analyze": membench.analyze,
    "repair": membench.repair,
    "replay": lambda profile: membench.replay(profile, "127.0.0.1:1"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_library_says_who_may_read_it(unreadable: Path, use: Callable[[Path], object]) -> None:
    with unprivileged(), pytest.raises(membench.CaptureUnavailableError) as raised:
        use(unreadable)
    assert str(unreadable) in str(raised.value)
    assert raised.value.hint == HINT


@pytest.mark.parametrize("command", ["info", "analyze", "repair", "replay"])
def test_a_command_says_the_same(
    unreadable: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["127.0.0.1:1"] if command == "replay" else []
    cli.main([command, str(SEALED), *target])  # imports what this user may not read later
    capsys.readouterr()
    with unprivileged():
        code = cli.main([command, str(unreadable), *target])
    printed = capsys.readouterr()
    assert (code, printed.out) == (5, "")
    assert printed.err.startswith(f"error: {unreadable}")
    assert printed.err.endswith(f"\n\nhint: {HINT}\n")


def test_no_path_is_judged_by_typer() -> None:
    """Its words would name neither what was wanted nor a remedy."""
    paths = {}
    for command in cli.commands([]).registered_commands:
        hints = get_type_hints(command.callback, include_extras=True)
        for name, hint in hints.items():
            if Path in classes_in(hint):
                (paths[command.name, name],) = hint.__metadata__
    assert {("info", "profile"), ("record", "key_file"), ("demo", "keep")} <= set(paths)
    for place, option in paths.items():
        assert (option.readable, option.writable, option.exists) == (False, False, False), place


def classes_in(hint: object) -> Iterator[object]:
    yield hint
    for inner in get_args(hint):
        yield from classes_in(inner)
