"""Record what a live memcached does, replay it with the same timing, and explain it.

with membench.record("ebpf:any", "production.mb", duration_s=60) as capture:
    capture.wait()
profile = membench.open("production.mb")
membench.analyze(profile)
membench.replay(profile, "127.0.0.1:11211")

Every name is importable from here. `membench.errors` holds the exceptions, `membench.bpf` loads any
eBPF object, `membench.cli` and `membench.report` are the command line; everything else is private.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from membench import bpf as bpf
    from membench._analysis import Analysis, Overview, analyze
    from membench._analysis.distributions import Bin, Quantiles, Series
    from membench._analysis.items import (
        CommonTtl,
        Keys,
        Knee,
        Memory,
        Point,
        PopularKey,
        Sizes,
        TopShare,
        Ttl,
        WorkingSet,
        Zipf,
    )
    from membench._analysis.requests import (
        Burst,
        CommandShare,
        CommandTimes,
        Connections,
        HitRatio,
        Hits,
        Misses,
        OutcomeCount,
        Requests,
        Times,
    )
    from membench._demo.demonstrate import Demo, DemoStep, demo
    from membench._doctor.diagnose import Diagnosis, SourceVerdict, Trial, doctor
    from membench._doctor.forecast import Forecast, OperationCost
    from membench._doctor.host import Identity, Machine, Server
    from membench._doctor.policy import KernelPolicy
    from membench._doctor.toolchain import Tool
    from membench._hint import Hint
    from membench._keygen import keygen
    from membench._ledger import Flow, Ledger, Packets, ServerFlows
    from membench._native import Batch, Event, Table, __version__
    from membench._options import Guards, Rotation, Selection
    from membench._probe import (
        Bucket,
        FoundHook,
        Histogram,
        HitGroup,
        HitStack,
        LostHits,
        Probe,
        ProbeInterval,
        find_hooks,
        probe,
    )
    from membench._profile import (
        Anchor,
        Profile,
        Summary,
        Verification,
        open,  # noqa: A004
        repair,
    )
    from membench._reads import Reads
    from membench._record import (
        Capture,
        Cost,
        Difference,
        Ended,
        Limits,
        Pace,
        Recording,
        ServerStatus,
        Status,
        Yielding,
        record,
    )
    from membench._replay import (
        Check,
        Durations,
        Generator,
        Outcomes,
        Percentiles,
        Progress,
        ReplayResult,
        ServerCounters,
        Target,
        Warm,
        replay,
    )
    from membench._sample import Sample
    from membench._server_run import ServerRun
    from membench._sources import SourceKind
    from membench._top import BusyClient, CommandCounts, HotKey, Snapshot, Top, top
    from membench._trace import (
        Call,
        CallsLost,
        CallsSkipped,
        CallTally,
        CallTotal,
        Exchanged,
        Trace,
        trace,
    )
    from membench.errors import (
        CaptureUnavailableError,
        MembenchError,
        OutputExistsError,
        ProfileError,
        TargetError,
        UsageError,
    )

__all__ = [
    "Analysis",
    "Anchor",
    "Batch",
    "Bin",
    "Bucket",
    "Burst",
    "BusyClient",
    "Call",
    "CallTally",
    "CallTotal",
    "CallsLost",
    "CallsSkipped",
    "Capture",
    "CaptureUnavailableError",
    "Check",
    "CommandCounts",
    "CommandShare",
    "CommandTimes",
    "CommonTtl",
    "Connections",
    "Cost",
    "Demo",
    "DemoStep",
    "Diagnosis",
    "Difference",
    "Durations",
    "Ended",
    "Event",
    "Exchanged",
    "Flow",
    "Forecast",
    "FoundHook",
    "Generator",
    "Guards",
    "Hint",
    "Histogram",
    "HitGroup",
    "HitRatio",
    "HitStack",
    "Hits",
    "HotKey",
    "Identity",
    "KernelPolicy",
    "Keys",
    "Knee",
    "Ledger",
    "Limits",
    "LostHits",
    "Machine",
    "MembenchError",
    "Memory",
    "Misses",
    "OperationCost",
    "OutcomeCount",
    "Outcomes",
    "OutputExistsError",
    "Overview",
    "Pace",
    "Packets",
    "Percentiles",
    "Point",
    "PopularKey",
    "Probe",
    "ProbeInterval",
    "Profile",
    "ProfileError",
    "Progress",
    "Quantiles",
    "Reads",
    "Recording",
    "ReplayResult",
    "Requests",
    "Rotation",
    "Sample",
    "Selection",
    "Series",
    "Server",
    "ServerCounters",
    "ServerFlows",
    "ServerRun",
    "ServerStatus",
    "Sizes",
    "Snapshot",
    "SourceKind",
    "SourceVerdict",
    "Status",
    "Summary",
    "Table",
    "Target",
    "TargetError",
    "Times",
    "Tool",
    "Top",
    "TopShare",
    "Trace",
    "Trial",
    "Ttl",
    "UsageError",
    "Verification",
    "Warm",
    "WorkingSet",
    "Yielding",
    "Zipf",
    "__version__",
    "analyze",
    "demo",
    "doctor",
    "find_hooks",
    "keygen",
    "open",
    "probe",
    "record",
    "repair",
    "replay",
    "top",
    "trace",
]

# Module → its public names: imported on first use, so that `--help` does not wait for the engine.
_HOMES = {
    "_analysis": (
        "Analysis",
        "Overview",
        "analyze",
    ),
    "_analysis.distributions": (
        "Bin",
        "Quantiles",
        "Series",
    ),
    "_analysis.items": (
        "CommonTtl",
        "Keys",
        "Knee",
        "Memory",
        "Point",
        "PopularKey",
        "Sizes",
        "TopShare",
        "Ttl",
        "WorkingSet",
        "Zipf",
    ),
    "_analysis.requests": (
        "Burst",
        "CommandShare",
        "CommandTimes",
        "Connections",
        "HitRatio",
        "Hits",
        "Misses",
        "OutcomeCount",
        "Requests",
        "Times",
    ),
    "_demo.demonstrate": (
        "Demo",
        "DemoStep",
        "demo",
    ),
    "_doctor.diagnose": (
        "Diagnosis",
        "SourceVerdict",
        "Trial",
        "doctor",
    ),
    "_doctor.forecast": (
        "Forecast",
        "OperationCost",
    ),
    "_doctor.host": (
        "Identity",
        "Machine",
        "Server",
    ),
    "_doctor.policy": ("KernelPolicy",),
    "_doctor.toolchain": ("Tool",),
    "_hint": ("Hint",),
    "_keygen": ("keygen",),
    "_ledger": (
        "Flow",
        "Ledger",
        "Packets",
        "ServerFlows",
    ),
    "_native": (
        "Batch",
        "Event",
        "Table",
        "__version__",
    ),
    "_probe": (
        "Bucket",
        "FoundHook",
        "Histogram",
        "HitGroup",
        "HitStack",
        "LostHits",
        "Probe",
        "ProbeInterval",
        "find_hooks",
        "probe",
    ),
    "_profile": (
        "Anchor",
        "Profile",
        "Summary",
        "Verification",
        "open",
        "repair",
    ),
    "_reads": ("Reads",),
    "_record": (
        "Capture",
        "Cost",
        "Difference",
        "Ended",
        "Limits",
        "Pace",
        "Recording",
        "ServerStatus",
        "Status",
        "Yielding",
        "record",
    ),
    "_replay": (
        "Check",
        "Durations",
        "Generator",
        "Outcomes",
        "Percentiles",
        "Progress",
        "ReplayResult",
        "ServerCounters",
        "Target",
        "Warm",
        "replay",
    ),
    "_sample": ("Sample",),
    "_server_run": ("ServerRun",),
    "_sources": ("SourceKind",),
    "_top": (
        "BusyClient",
        "CommandCounts",
        "HotKey",
        "Snapshot",
        "Top",
        "top",
    ),
    "_trace": (
        "Call",
        "CallTally",
        "CallTotal",
        "CallsLost",
        "CallsSkipped",
        "Exchanged",
        "Trace",
        "trace",
    ),
    "errors": (
        "CaptureUnavailableError",
        "MembenchError",
        "OutputExistsError",
        "ProfileError",
        "TargetError",
        "UsageError",
    ),
    "_options": (
        "Guards",
        "Rotation",
        "Selection",
    ),
}
# Public modules, imported on first use.
_MODULES = ("bpf", "errors")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"membench.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'membench' has no attribute {name!r}")
    value: object = getattr(import_module(f"membench.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_MODULES, *__all__, *(name for name in globals() if name.startswith("__"))})
