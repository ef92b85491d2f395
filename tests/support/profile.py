"""A profile folder → rows, read with pyarrow alone: no code is shared with the product."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

Row = dict[str, Any]


def event_tables(profile: Path) -> Iterator[pa.Table]:
    """Yield every part, sealed ones first; an open part up to its last complete batch."""
    sealed = sorted(profile.glob("events-*.parquet"))
    for part in sealed:
        yield pq.read_table(part)
    for part in sorted(profile.glob("events-*.arrows.part")):
        if part.name.split(".")[0] not in {done.name.split(".")[0] for done in sealed}:
            try:
                yield from _open_part(part)
            except FileNotFoundError:  # sealed since the folder was listed
                yield pq.read_table(part.with_name(f"{part.name.split('.')[0]}.parquet"))


def stats(profile: Path) -> dict[str, os.stat_result]:
    """Return the status of each file by name, without those renamed or removed meanwhile."""
    found = {}
    for file in profile.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[file.name] = file.stat()
    return found


def _open_part(part: Path) -> Iterator[pa.Table]:
    batches: list[pa.RecordBatch] = []
    cut = contextlib.suppress(pa.ArrowInvalid, OSError)  # a part cut by a kill
    with part.open("rb") as file, cut, pa.ipc.open_stream(file) as stream:
        batches.extend(stream)
    if batches:
        yield pa.Table.from_batches(batches)


def events(profile: Path) -> list[Row]:
    """Return every event; keys are unsigned integers."""
    return [row for table in event_tables(profile) for row in table.to_pylist()]


def by_connection(rows: list[Row]) -> dict[int, list[Row]]:
    """Group events by connection, in the order of their requests."""
    connections: dict[int, list[Row]] = {}
    for row in rows:
        connections.setdefault(row["connection"], []).append(row)
    for of_one in connections.values():
        of_one.sort(key=lambda row: row["request"])
    return connections


def table(profile: Path, name: str) -> list[Row]:
    """Return the rows of a table: `connections`, by their ordinals, or `losses`."""
    rows: list[Row] = pq.read_table(profile / f"{name}.parquet").to_pylist()
    return sorted(rows, key=lambda row: row["connection"]) if name == "connections" else rows


def texts(profile: Path) -> bytes:
    """Return everything that could hold text: the files' bytes, and each column decompressed."""
    held = [file.read_bytes() for file in sorted(profile.iterdir()) if file.is_file()]
    for part in event_tables(profile):
        for column in part.columns:
            dictionary = (
                column.unify_dictionaries().combine_chunks()
                if pa.types.is_dictionary(column.type)
                else None
            )
            held += [] if dictionary is None else [str(dictionary.dictionary.to_pylist()).encode()]
            plain = (
                column.to_pylist()
                if pa.types.is_binary(column.type) or pa.types.is_string(column.type)
                else []
            )
            held += [str(plain).encode()]
            held += [
                buffer.to_pybytes()
                for chunk in column.chunks
                for buffer in chunk.buffers()
                if buffer is not None
            ]
    return b"\n".join(held)
