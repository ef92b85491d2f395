"""A timeline in Perfetto's format → its tracks and their slices, by Perfetto's own definitions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as Timeline, TrackEvent


@dataclass(frozen=True)
class Slice:
    """A slice of a track; `depth` is the number of those around it."""

    name: str
    began: int
    length: int
    depth: int
    facts: dict[str, str]


def decoded(timeline: Path) -> Timeline:
    """Decode a timeline, which holds nothing that is not defined."""
    found = Timeline()
    found.ParseFromString(timeline.read_bytes())
    size = found.ByteSize()
    found.DiscardUnknownFields()
    assert found.ByteSize() == size == timeline.stat().st_size
    return found


def tracks(timeline: Timeline) -> list[Any]:
    """Return the descriptors of the tracks."""
    return [p.track_descriptor for p in timeline.packet if p.HasField("track_descriptor")]


def slices(timeline: Timeline) -> dict[int, list[Slice]]:
    """Return the slices of each track, those inside others first; none crosses another."""
    known = {track.uuid for track in tracks(timeline)}
    done: dict[int, list[Slice]] = {uuid: [] for uuid in known}
    around: dict[int, list[tuple[int, Any]]] = {uuid: [] for uuid in known}
    last: dict[int, int] = dict.fromkeys(known, 0)
    for packet in timeline.packet:
        assert packet.trusted_packet_sequence_id
        if not packet.HasField("track_event"):
            continue
        event, uuid = packet.track_event, packet.track_event.track_uuid
        assert packet.timestamp >= last[uuid]
        last[uuid] = packet.timestamp
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            around[uuid].append((packet.timestamp, event))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            began, one = around[uuid].pop()
            facts = {fact.name: fact.string_value for fact in one.debug_annotations}
            length = packet.timestamp - began
            done[uuid].append(Slice(one.name, began, length, len(around[uuid]), facts))
    assert not any(around.values())
    return done
