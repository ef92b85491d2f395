"""Attached programs, and what is pinned in the BPF file system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from membench import _arguments as check, _native
from membench.bpf._errors import Unsupported
from membench.bpf._listing import LoadedProgram, loaded_program
from membench.bpf._map import Map, from_native
from membench.bpf._targets import Target
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench.bpf._object import Program


class Link:
    """An attached program. It stays attached until the link is detached, or its object closed.

    Attributes:
        target: The place; None if the link was opened by its pin.
        path: The path that it is pinned at; None if it is not.
    """

    def __init__(
        self,
        native: _native.BpfLink,
        target: Target | None = None,
        program: Program | None = None,
        path: Path | None = None,
    ) -> None:
        """Hold a link; `Program.attach` and `open_pinned` make them."""
        self._native = native
        self._program = program
        self.target = target
        self.path = path

    @property
    def attached(self) -> bool:
        """True until the link is detached by this process."""
        return not self._native.closed

    @property
    def program(self) -> Program | None:
        """The program; None if the link was opened by its pin."""
        return self._program

    @property
    def ids(self) -> tuple[int, ...]:
        """The kernel's numbers of the link: one for each place, none for attachments without."""
        return tuple(facts["id"] for facts in self._native.facts())

    def detach(self) -> None:
        """Detach the program, and remove the pin if the link has one. Maps keep what it wrote.

        The kernel lets go of a link that was pinned a moment after this returns.
        """
        self._native.detach()
        if self.path is not None:
            _native.unpin(self.path)
            self.path = None

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin the link in the BPF file system: the program then stays attached after this process.

        `detach` removes the pin; closing the object, or the end of the process, leaves it.
        """
        place = check.path("path", path)
        self._native.pin(place)
        self.path = place

    def replace(self, program: Program | PinnedProgram) -> None:
        """Run another program of the same type from here on.

        The kernel exchanges programs of interfaces (`Tcx`, `Xdp`) and control groups (`cgroup_skb`,
        `SockOps`) at once. Elsewhere the other program is attached first and this one detached
        after that: events between the two are seen by both, and none by neither.
        """
        try:
            program._give_to(self._native)
        except Unsupported:
            if isinstance(program, PinnedProgram) or self.target is None or self.path is not None:
                raise
            other = program.attach(self.target)
            self._native.detach()
            self._native = other._surrender()
        self._follow(program)

    def _surrender(self) -> _native.BpfLink:
        """Hand over the kernel's link; this one is no longer used."""
        native = self._native
        if self._program is not None:
            self._program._forget(self)
        return native

    def read(self) -> bytes:
        """Run the program of an iterator for each object, and return what it wrote."""
        written = self._native.read()
        if written is None:
            raise UsageError("only the link of an iterator can be read")
        return written

    def close(self) -> None:
        """Detach the program, unless the link is pinned."""
        self._native.detach()

    def _follow(self, program: Program | PinnedProgram) -> None:
        if self._program is not None:
            self._program._forget(self)
        self._program = None if isinstance(program, PinnedProgram) else program
        if self._program is not None:
            self._program._adopt(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = "pinned" if self._program is None else self._program.name
        place = self.path if self.target is None else self.target
        return f"<Link {name} → {place}{'' if self.attached else ', detached'}>"


class PinnedProgram:
    """A program that was pinned in the BPF file system.

    Attributes:
        path: The path.
    """

    def __init__(self, native: _native.BpfProgram, path: Path) -> None:
        """Hold a program; `open_pinned` opens them."""
        self._native = native
        self.path = path

    @property
    def id(self) -> int:
        """The program's number, by which tools such as `bpftool` find it."""
        return self._facts.id

    @property
    def misses(self) -> int:
        """How often it did not run because it was running on that CPU already."""
        return self._facts.misses

    @property
    def runs(self) -> int:
        """How often it ran while runs were counted: see `count_runs`."""
        return self._facts.runs

    @property
    def run_time_ns(self) -> int:
        """The time that those runs took, ns."""
        return self._facts.run_time_ns

    @property
    def _facts(self) -> LoadedProgram:
        return loaded_program(self._native.facts())

    def _give_to(self, link: _native.BpfLink) -> None:
        """Have the kernel run this program for a link; `Link.replace` does."""
        self._native.replace(link)

    def close(self) -> None:
        """Give up the program; it stays while it is pinned or attached."""
        self._native.close()

    def __repr__(self) -> str:
        facts = self._facts
        costs = f"misses={facts.misses}, run_time_ns={facts.run_time_ns}"
        return f"<PinnedProgram {facts.name}: {facts.kind}, {costs}>"


def open_pinned(path: str | os.PathLike[str]) -> Map | Link | PinnedProgram:
    """Open what is pinned at a path of the BPF file system: a map, a link or a program."""
    place = check.path("path", path)
    opened = _native.open_pinned(place)
    if isinstance(opened, _native.BpfMap):
        return from_native(place.name, opened)
    if isinstance(opened, _native.BpfLink):
        return Link(opened, path=place)
    return PinnedProgram(opened, place)


def unpin(path: str | os.PathLike[str]) -> None:
    """Remove a pin. What was pinned ends with it, unless it is used elsewhere.

    Raises:
        KernelError: The path holds no program, map or link; nothing is removed then.
    """
    _native.unpin(check.path("path", path))
