"""Record what a live memcached does, replay it with the same timing, and explain it.

with membench.record("ebpf:any", "production.mb", duration_s=60) as capture:
    capture.wait()
profile = membench.open("production.mb")
membench.analyze(profile)
membench.replay(profile, "127.0.0.1:11211")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from membench.errors import (
    CaptureUnavailableError,
    MembenchError,
    OutputExistsError,
    ProfileError,
    TargetError,
    UsageError,
)

if TYPE_CHECKING:
    from membench._analysis import Analysis, analyze
    from membench._native import __version__
    from membench._profile import Profile, open, repair  # noqa: A004
    from membench._record import Capture, Recording, record
    from membench._replay import ReplayResult, replay
    from membench._top import Snapshot, Top, top
    from membench.guards import Guards
    from membench.options import Rotation, Selection
    from membench.sample import Sample

__all__ = [
    "Analysis",
    "Capture",
    "CaptureUnavailableError",
    "Guards",
    "MembenchError",
    "OutputExistsError",
    "Profile",
    "ProfileError",
    "Recording",
    "ReplayResult",
    "Rotation",
    "Sample",
    "Selection",
    "Snapshot",
    "TargetError",
    "Top",
    "UsageError",
    "__version__",
    "analyze",
    "open",
    "record",
    "repair",
    "replay",
    "top",
]

# Where each name lives: loaded when first used, so that `--help` does not wait for the engine.
_HOMES = {
    "Analysis": "_analysis",
    "analyze": "_analysis",
    "__version__": "_native",
    "Profile": "_profile",
    "open": "_profile",
    "repair": "_profile",
    "Capture": "_record",
    "Recording": "_record",
    "record": "_record",
    "Guards": "guards",
    "Rotation": "options",
    "Selection": "options",
    "Sample": "sample",
    "ReplayResult": "_replay",
    "replay": "_replay",
    "Snapshot": "_top",
    "Top": "_top",
    "top": "_top",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'membench' has no attribute {name!r}")
    value: object = getattr(import_module(f"membench.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
