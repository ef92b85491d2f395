"""Maps in the kernel, as mutable mappings of Python values."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

from membench import _arguments as check
from membench.bpf._errors import InvalidHandle, Unsupported
from membench.bpf._listing import LoadedMap
from membench.bpf._types import Type, Types, freeze, raw_type, whole_type
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench import _native

# Maps whose keys are numbers whatever the object tells.
_INDEXED = ("array", "percpu_array", "stack_trace", "prog_array", "array_of_maps", "cgroup_array")
_INDEX_SIZE = 4
_WITHOUT_KEYS = ("queue", "stack", "ringbuf", "bloom_filter", "perf_event_array")
# The kernel's `BPF_F_MMAPABLE`.
_MAPPABLE = 1 << 10


class Map(MutableMapping[Any, Any]):
    """A map of an object. Before `Object.load` it tells its definition, after that its elements.

    Each element that is read or written is a system call. While it runs, tracing programs of
    *other* tools on that CPU can be skipped: read arrays that change often with `memory`.

    Attributes:
        name: The map's name in its object.
        kind: Its type as `bpftool` names it, such as `percpu_array`.
        key_type: The type of its keys; bytes if the object does not describe them.
        value_type: The type of its values; bytes if the object does not describe them.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        sizes: tuple[int, int, int],
        types: tuple[Type | None, Type | None] = (None, None),
    ) -> None:
        """Describe a map by its sizes and types; `Object` and `open_pinned` do."""
        key_size, value_size, self._max_entries = sizes
        self.name = name
        self.kind = kind
        is_index = kind in _INDEXED and key_size == _INDEX_SIZE
        key_type = whole_type("", _INDEX_SIZE, signed=False) if is_index else types[0]
        self.key_type = _fitting(key_type, key_size)
        self.value_type = _fitting(types[1], value_size)
        self._native: _native.BpfMap | None = None
        self._resize: Callable[[str, int], None] | None = None
        self._memories: list[Memory] = []

    @property
    def key_size(self) -> int:
        """The size of a key, bytes."""
        return self.key_type.size

    @property
    def value_size(self) -> int:
        """The size of a value, bytes; for a per-CPU map that on one CPU."""
        return self.value_type.size

    @property
    def max_entries(self) -> int:
        """The most elements; of a ring its size, bytes. It can be set before the object is loaded.

        A ring's size is a power of two of at least a page.
        """
        return self._max_entries

    @max_entries.setter
    def max_entries(self, entries: int) -> None:
        if self._resize is None:
            raise InvalidHandle(f"the map {self.name} is made: set max_entries before `load()`")
        self._max_entries = check.whole("a number of elements", entries, 0, (1 << 32) - 1)
        self._resize(self.name, self._max_entries)

    @property
    def id(self) -> int:
        """The map's number, by which tools such as `bpftool` find it."""
        return LoadedMap(**self._made.facts()).id

    def __getitem__(self, key: object) -> Any:  # noqa: ANN401 - the value's type is the map's
        native, data = self._made, self._encode_key(key)
        if "percpu" in self.kind:
            each = native.lookup_per_cpu(data)
            if each is None:
                raise KeyError(key)
            return [self.value_type.decode(one) for one in each]
        value = native.lookup(data)
        if value is None:
            raise KeyError(key)
        return self._decode_value(value)

    def __setitem__(self, key: object, value: object) -> None:
        native, data = self._made, self._encode_key(key)
        if "percpu" not in self.kind:
            native.update(data, self.value_type.encode(value))
            return
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"a list of one value a CPU is wanted for {self.name}, got: {value!r}")
        native.update_per_cpu(data, [self.value_type.encode(one) for one in value])

    def __delitem__(self, key: object) -> None:
        if not self._made.delete(self._encode_key(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        native = self._made
        if self.kind in _WITHOUT_KEYS:
            raise Unsupported(f"a map of type {self.kind} has no keys")
        # A program that adds and removes keys meanwhile can make some come twice, or for ever.
        keys = dict.fromkeys(native.keys(2 * self._max_entries + 1))
        return (freeze(self.key_type.decode(key)) for key in keys)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def snapshot(self) -> dict[Any, Any]:
        """Copy the elements that are there; one that is removed meanwhile is left out."""
        copied = {}
        for key in self:
            try:
                copied[key] = self[key]
            except KeyError:
                continue
        return copied

    def memory(self) -> Memory:
        """Map an array's values into memory: reading them then makes no system call.

        The array must have the flag `BPF_F_MMAPABLE`; one value per CPU cannot be mapped.
        """
        native = self._made
        if self.kind != "array" or not LoadedMap(**native.facts()).flags & _MAPPABLE:
            raise Unsupported(
                f"the map {self.name} is no array with the flag BPF_F_MMAPABLE: it cannot be mapped"
            )
        memory = Memory(native.memory(), self.value_type)
        self._memories.append(memory)
        return memory

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin the map in the BPF file system, where it outlives this process."""
        self._made.pin(check.path("path", path))

    def close(self) -> None:
        """Give up the map; its object does so when it is closed."""
        for memory in self._memories:
            memory.close()
        if self._native is not None:
            self._native.close()

    def __repr__(self) -> str:
        sizes = f"{self.key_size} → {self.value_size} bytes, max_entries={self._max_entries}"
        return f"<Map {self.name}: {self.kind}, {sizes}>"

    @property
    def _made(self) -> _native.BpfMap:
        if self._native is None:
            raise InvalidHandle(f"the map {self.name} is not made: call `load()` first")
        return self._native

    def _encode_key(self, key: object) -> bytes:
        if self.kind == "lpm_trie" and isinstance(key, str):
            return _encode_prefix(key, self.key_size)
        return self.key_type.encode(key)

    def _decode_value(self, value: bytes) -> Any:  # noqa: ANN401 - the value's type is the map's
        if self.kind == "stack_trace":
            words = (value[at : at + 8] for at in range(0, len(value), 8))
            return [int.from_bytes(word, "little") for word in words if any(word)]
        return self.value_type.decode(value)


class Memory(Sequence[Any]):
    """The values of an array, read from memory without a system call.

    Each aligned word of 8 bytes is one that a program wrote; words of one value can be of
    different times.
    """

    def __init__(self, native: _native.BpfMemory, value_type: Type) -> None:
        """Decode mapped values by their type; `Map.memory` does."""
        self._native = native
        self._type = value_type

    @overload
    def __getitem__(self, index: int) -> Any: ...  # noqa: ANN401 - the value's type is the map's
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        value = self._native.read(place) if place >= 0 else None
        if value is None:
            raise IndexError(index)
        return self._type.decode(value)

    def __len__(self) -> int:
        return len(self._native)

    def close(self) -> None:
        """Unmap the values."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def from_native(name: str, native: _native.BpfMap) -> Map:
    """Return a map that exists, with its types if this process may read them."""
    facts = LoadedMap(**native.facts())
    types = _types_of(native, facts.key_type, facts.value_type)
    made = Map(name, facts.kind, (facts.key_size, facts.value_size, facts.max_entries), types)
    made._native = native
    return made


def _types_of(native: _native.BpfMap, key: int, value: int) -> tuple[Type | None, Type | None]:
    try:
        data = native.types()
    except OSError:
        return None, None
    if not data:
        return None, None
    types = Types(data)
    return (types._by_number(key) if key else None), (types._by_number(value) if value else None)


def _fitting(known: Type | None, size: int) -> Type:
    """Return the known type if a value has its size, else that of bytes."""
    return known if known is not None and known.size == size else raw_type(size)


def _encode_prefix(text: str, size: int) -> bytes:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    data = network.prefixlen.to_bytes(4, "little") + network.network_address.packed
    if len(data) != size:
        raise UsageError(f"a key of {size} bytes is no address of version {network.version}")
    return data
