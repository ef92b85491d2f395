"""Objects: programs, maps and globals of a compiled file, in the kernel while they are open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Self

from membench import _arguments as check, _native
from membench.bpf._errors import AlreadyAttached, InvalidHandle, NotFound
from membench.bpf._link import Link
from membench.bpf._listing import LoadedProgram, loaded_program
from membench.bpf._map import Map
from membench.bpf._ring import Ring
from membench.bpf._targets import Target, from_section
from membench.bpf._types import Type, Types, raw_type
from membench.errors import UsageError

# Types of programs that the verifier checks against their hook, so that it must be known first.
_BOUND = ("tp_btf", "fentry", "fexit", "lsm", "lsm_cgroup", "iter")
# Maps that hold globals.
_SECTIONS = (".rodata", ".data", ".bss")
_PERF_PAGES = 64
_MOST_PAGES = 1 << 18


class Program:
    """A program of an object.

    Attributes:
        name: Its name in the object.
        kind: Its type, such as `tp_btf`.
        section: Its section in the file, such as `tp_btf/sched_switch`.
        target: The place that the section names; None if it names none.
    """

    def __init__(self, native: _native.BpfObject, name: str, kind: str, section: str) -> None:
        """Describe a program; `Object` does."""
        self._native = native
        self._links: list[Link] = []
        self.name = name
        self.kind = kind
        self.section = section
        self.target = from_section(kind, section)

    def attach(self, target: Target | None = None) -> Link:
        """Attach the program; a program can be attached to several places.

        Args:
            target: The place; None for the one that the program's section names.

        Raises:
            AlreadyAttached: It is attached there, or another program holds the place.
            NotFound: The kernel, the file or the machine has no such place.
            PermissionError: This process lacks a capability, or a policy forbids it.
            Unsupported: This kernel has no such places.
            VerifierError: The program is not loaded yet, and the verifier rejects it.
        """
        place = self.target if target is None else target
        if place is None:
            raise UsageError(f"the section {self.section} names no place: pass a target")
        if not isinstance(place, Target):
            raise UsageError(f"{place!r} is not a target", "such as `bpf.Kprobe('tcp_sendmsg')`")
        if self.kind not in place._takes():
            wanted = " or ".join(place._takes())
            raise UsageError(f"{place} takes a program of type {wanted}, got: {self.kind}")
        if any(link.target == place for link in self.links):
            raise AlreadyAttached(f"{self.name} is attached to {place} already")
        link = Link(self._native.attach(self.name, place._words()), place, self)
        self._links.append(link)
        return link

    @property
    def links(self) -> tuple[Link, ...]:
        """The places that it is attached to now, in the order that it was attached."""
        self._links = [link for link in self._links if link.attached]
        return tuple(self._links)

    @property
    def loaded(self) -> bool:
        """True if the verifier has accepted it."""
        return self._native.program_facts(self.name) is not None

    @property
    def id(self) -> int:
        """The program's number, by which tools such as `bpftool` find it."""
        return self._facts.id

    @property
    def misses(self) -> int:
        """How often it did not run because it was running on that CPU already (Linux 5.12)."""
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
    def verified_instructions(self) -> int:
        """Instructions that the verifier processed, of one million at most (Linux 5.16)."""
        return self._facts.verified_instructions

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin the loaded program in the BPF file system, where it outlives this process."""
        self._native.pin_program(self.name, check.path("path", path))

    def load(self, *, lazily: bool = False) -> None:
        """Have the verifier check the program. `Object.load` does.

        Args:
            lazily: Leaves a program that is checked against its place for `attach`, if its section
                names none.
        """
        if self.kind in _BOUND and self.target is None and lazily:
            return
        self._native.load_program(self.name, None if self.target is None else self.target._words())

    def _give_to(self, link: _native.BpfLink) -> None:
        """Have the kernel run this program for a link; `Link.replace` does."""
        self._native.replace(self.name, link)

    def _adopt(self, link: Link) -> None:
        """Count a link as one of this program."""
        self._links.append(link)

    def _forget(self, link: Link) -> None:
        """Count a link no longer as one of this program."""
        self._links = [one for one in self._links if one is not link]

    @property
    def _facts(self) -> LoadedProgram:
        facts = self._native.program_facts(self.name)
        if facts is None:
            raise InvalidHandle(f"the program {self.name} is not loaded")
        return loaded_program(facts)

    def __repr__(self) -> str:
        try:
            facts = self._facts
        except InvalidHandle:
            return f"<Program {self.name}: {self.section}, not loaded>"
        costs = f"misses={facts.misses}, run_time_ns={facts.run_time_ns}"
        return f"<Program {self.name}: {self.section}, {costs}>"


class Globals(MutableMapping[str, Any]):
    """The globals of an object: variables of `.rodata`, `.data` and `.bss`, by name.

    They can be set until the object is loaded, and read at any time.
    """

    def __init__(self, native: _native.BpfObject, types: Types | None) -> None:
        """Describe the globals; `Object` does."""
        self._native = native
        described = {} if types is None else types._variables()
        self._types: dict[str, Type] = {}
        self._sections: dict[str, str] = {}
        for name, section, size in native.globals():
            known = described.get(name)
            is_known = known is not None and known.size == size
            self._types[name] = known if known is not None and is_known else raw_type(size)
            self._sections[name] = section

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - the global's type is the object's
        known = self._find(name)
        return known.decode(self._native.global_bytes(name))

    def __setitem__(self, name: str, value: object) -> None:
        known = self._find(name)
        self._native.set_global(name, known.encode(value))

    def __delitem__(self, name: str) -> None:
        raise UsageError(f"the global {name} cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def type(self, name: str) -> Type:
        """Return the type of a global."""
        return self._find(name)

    def _find(self, name: str) -> Type:
        if name not in self._types:
            raise NotFound(f"the object has no global {name}")
        return self._types[name]

    def __repr__(self) -> str:
        return f"<Globals {', '.join(self._types)}>"


class _Named(Mapping[str, Any]):
    """Parts of an object by name."""

    def __init__(self, what: str, parts: Mapping[str, Any]) -> None:
        self._what = what
        self._parts = parts

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - typed where it is handed out
        if name not in self._parts:
            known = ", ".join(self._parts) or "none"
            raise NotFound(f"the object has no {self._what} {name}; it has {known}")
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._parts.values()))}}}"


class Object:
    """A compiled object: read by `open`, put into the kernel by `load`, taken out by `close`.

    with bpf.Object.open("count.bpf.o") as object:
        object.globals["port"] = 11211
        object.load()
        object.programs["count"].attach()

    Attributes:
        name: The file's name.
        types: The types that the file describes; None if it was compiled without.
        globals: Its globals by name.
        programs: Its programs by name.
        maps: Its maps by name, but those of globals.
    """

    def __init__(self, native: _native.BpfObject) -> None:
        """Describe what the file holds; use `open`."""
        self._native = native
        self._rings: dict[str, _native.BpfRing] = {}
        self.name = native.name
        data = native.types()
        self.types = None if data is None else Types(data)
        self.globals = Globals(native, self.types)
        programs = {one[0]: Program(native, *one) for one in native.programs()}
        self._programs: dict[str, Program] = programs
        self._maps: dict[str, Map] = {}
        for name, kind, key_size, value_size, entries in native.maps():
            if name.startswith(_SECTIONS):
                continue
            types = (None, None) if self.types is None else self.types._map_types(name)
            found = Map(name, kind, (key_size, value_size, entries), types)
            found._resize = native.set_max_entries
            self._maps[name] = found
        self.programs: Mapping[str, Program] = _Named("program", self._programs)
        self.maps: Mapping[str, Map] = _Named("map", self._maps)

    @classmethod
    def open(cls, source: str | os.PathLike[str] | bytes, name: str = "object") -> Self:
        """Read an object file, which needs no privilege; nothing is loaded yet.

        Args:
            source: The path of the file, or its bytes.
            name: The name of bytes in messages.
        """
        if isinstance(source, bytes):
            return cls(_native.BpfObject.parse(check.text("name", name), source))
        return cls(_native.BpfObject.open(check.path("source", source)))

    @property
    def closed(self) -> bool:
        """True once the object was closed, or could not be loaded."""
        return self._native.closed

    def load(self, only: Iterable[str] | None = None) -> Self:
        """Make the maps, and have the verifier check the programs.

        Programs that are checked against their place wait for `Program.attach`, if their section
        does not name it. If anything fails, the object is closed.

        Args:
            only: Names of the programs to load; None for all.

        Raises:
            VerifierError: The verifier rejects a program.
            PermissionError: This process lacks a capability, or a policy forbids it.
        """
        names = list(self._programs) if only is None else check.several("only", only)
        chosen = [self.programs[name] for name in names]
        try:
            self._native.load(None if only is None else names)
            for program in chosen:
                program.load(lazily=True)
            for name, found in self._maps.items():
                found._native, found._resize = self._native.map(name), None
        except BaseException:
            self.close()
            raise
        return self

    def ring(
        self,
        name: str,
        *,
        type: str | None = None,  # noqa: A002 - what it is
        timeout_s: float | None = None,
        lost: str | None = None,
        pages: int = _PERF_PAGES,
    ) -> Ring:
        """Read the records of a ring buffer or perf event array.

        Args:
            name: The map.
            type: The records' type in the object, such as the name of a structure; None for bytes.
            timeout_s: Wait for a record after which iteration ends, s; None waits for ever.
            lost: The global in which the programs count records without room: ring buffers do not.
            pages: Pages for each CPU of a perf event array, a power of two.
        """
        found = self.maps[check.text("name", name)]
        if found.kind not in ("ringbuf", "perf_event_array"):
            raise UsageError(f"the map {name} is of type {found.kind}, which holds no records")
        if type is not None and self.types is None:
            raise NotFound(f"{self.name} does not describe its types: compile it with -g")
        known = None if type is None else self.types
        record = None if known is None else known[check.text("type", type)]
        if lost is not None:
            self.globals.type(check.text("lost", lost))
        reader = self._rings.get(name)
        if reader is None or reader.closed:
            size = check.whole("a number of pages", pages, 1, _MOST_PAGES)
            is_perf = found.kind == "perf_event_array"
            reader = _native.BpfRing(found._made, size if is_perf else None)
            self._rings[name] = reader
        count = None if lost is None else (lambda: int(self.globals[lost]))
        return Ring(name, reader, record, timeout_s, count)

    def close(self) -> None:
        """Detach the programs and free the maps. What was pinned stays, and nothing else."""
        for program in self._programs.values():
            for link in program.links:
                link.close()
        for reader in self._rings.values():
            reader.close()
        for found in self._maps.values():
            found.close()
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<Object {self.name}, closed>"
        return f"<Object {self.name}: programs {self.programs}, maps {self.maps}>"
