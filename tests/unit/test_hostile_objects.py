"""Objects that somebody spoiled: `bpf.Object.open` refuses them, or reads what is left of them."""

from __future__ import annotations

import random
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from membench import bpf
from membench.errors import MembenchError

OBJECTS = Path(__file__).parents[2] / "rust" / "bpf" / "objects"
#: Fewer spoiled objects of the large ones, which take longer to read.
BYTES = 40_000_000
#: Most memory that reading may take, beside what the interpreter has.
MEMORY = 1 << 30
LARGE = (0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)


def cut(whole: bytes, chance: random.Random) -> bytes:
    """Cut an object somewhere."""
    return whole[: chance.randrange(len(whole))]


def flipped(whole: bytes, chance: random.Random) -> bytes:
    """Flip bits here and there."""
    spoiled = bytearray(whole)
    for _ in range(chance.choice((1, 3, 30))):
        spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def claimed(whole: bytes, chance: random.Random) -> bytes:
    """Let a word of the header, of a section's description or of a symbol claim another size."""
    spoiled = bytearray(whole)
    (sections,) = struct.unpack_from("<Q", whole, 40)
    place = chance.choice(
        (chance.randrange(16, 64), chance.randrange(sections, len(whole) - 8), *words(whole))
    )
    width = chance.choice((2, 4, 8))
    value = chance.choice(LARGE) & ((1 << 8 * width) - 1)
    spoiled[place : place + width] = value.to_bytes(width, "little")
    return bytes(spoiled[: len(whole)])


def words(whole: bytes) -> Iterator[int]:
    """Find places in the sections of symbols, types and their extensions."""
    (table,) = struct.unpack_from("<Q", whole, 40)
    size, count = struct.unpack_from("<HH", whole, 58)
    chance = random.Random(len(whole))
    for index in range(count):
        _, kind, _, _, offset, length = struct.unpack_from("<IIQQQQ", whole, table + index * size)
        # SHT_PROGBITS, SHT_SYMTAB and SHT_REL.
        if kind in (1, 2, 9) and length > 8:
            yield offset + chance.randrange(min(length - 8, 64) + 1) // 4 * 4
            yield offset + chance.randrange(length - 7) // 4 * 4


def look(data: bytes) -> None:
    """Read an object and everything that it says of itself."""
    with bpf.Object.open(data) as found:
        for program in found.programs.values():
            repr(program)
        for one in found.maps.values():
            repr(one)
        for name in found.globals:
            repr(found.globals[name])
        for name in found.types or ():
            repr(found.types[name])


def attack(path: str) -> None:
    """Open an object in many spoiled forms."""
    # What the interpreter has mapped already is mostly not in use.
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    whole = Path(path).read_bytes()
    chance = random.Random(17)
    opened = 0
    for number in range(max(BYTES // len(whole), 90)):
        spoil = (cut, flipped, claimed)[number % 3]
        try:
            look(spoil(whole, chance))
            opened += 1
        except MembenchError:
            pass
    look(whole)
    sys.stdout.write(f"opened {opened}\n")


@pytest.mark.parametrize("name", ["capture", "probe", "trace"])
def test_a_spoiled_object_is_refused_in_bounded_memory(name: str) -> None:
    command = [sys.executable, __file__, str(OBJECTS / f"{name}.bpf.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    # Many flips change nothing that reading depends on.
    assert int(done.stdout.split()[-1]) > 10


def test_variables_of_more_memory_than_objects_have_use_for_are_refused() -> None:
    whole = bytearray((OBJECTS / "probe.bpf.o").read_bytes())
    (table,) = struct.unpack_from("<Q", whole, 40)
    size, count, names = struct.unpack_from("<HHH", whole, 58)
    del names
    for index in range(count):
        place = table + index * size
        (kind,) = struct.unpack_from("<I", whole, place + 4)
        if kind == 1:  # SHT_PROGBITS becomes SHT_NOBITS
            spoiled = bytearray(whole)
            struct.pack_into("<I", spoiled, place + 4, 8)
            struct.pack_into("<Q", spoiled, place + 8, 3)  # written, and in memory
            struct.pack_into("<Q", spoiled, place + 32, 1 << 40)
            with pytest.raises(MembenchError, match="zero have 1099511627776 bytes"):
                bpf.Object.open(bytes(spoiled))


if __name__ == "__main__":
    attack(sys.argv[1])
