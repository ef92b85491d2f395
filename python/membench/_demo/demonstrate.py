"""Nothing → membench's main job, step by step, on private memcacheds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from membench._analysis import Analysis, analyze
from membench._demo.server import private_memcached
from membench._demo.workload import Load
from membench._profile import Summary, open  # noqa: A004 - `membench.open`
from membench._record import Recording, record
from membench._replay import ReplayResult, replay
from membench.errors import UsageError

Result = TypeVar("Result", Recording, Summary, Analysis, ReplayResult)

_NAME = "demo.mb"
_CHECK = "errors<=0"


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One step of a demo, before and after it is done.

    Attributes:
        command: The arguments of `membench` that do the same.
        result: The result; None before the step.
    """

    command: tuple[str, ...]
    result: Recording | Summary | Analysis | ReplayResult | None = None


OnStep = Callable[[DemoStep], object] | None


@dataclass(frozen=True, slots=True)
class Demo:
    """The results of a demo.

    Attributes:
        profile: The profile; None if it was not kept.
        recording: The recording of the workload.
        summary: The contents of the profile.
        analysis: The description of the workload.
        replay: The replay against a fresh memcached.
    """

    profile: Path | None
    recording: Recording
    summary: Summary
    analysis: Analysis
    replay: ReplayResult


def demo(
    folder: str | os.PathLike[str] | None = None,
    *,
    duration_s: float = 5.0,
    on_step: Callable[[DemoStep], object] | None = None,
) -> Demo:
    """Record, analyze and replay a private memcached with a small workload.

    Args:
        folder: An existing folder for the profile; without one, the profile is not kept.
        duration_s: Duration of the workload, s.
        on_step: Called before and after each step.

    Raises:
        CaptureUnavailableError: There is no memcached, or recording does not work here.
        OutputExistsError: The folder already holds a profile of a demo.
        UsageError: The folder cannot be written to, or the duration is none.
    """
    load = Load(duration_s=duration_s)
    with _folder(folder) as chosen:
        profile = chosen / _NAME
        recording = _record(profile, load, on_step)
        opened = open(profile)
        summary = _step(("info", _NAME), opened.summary, on_step)
        analysis = _step(("analyze", _NAME), lambda: analyze(opened), on_step)
        with private_memcached() as port:
            target = f"127.0.0.1:{port}"
            replayed = _step(
                ("replay", _NAME, target, "--warm", "--check", _CHECK),
                lambda: replay(opened, target, warm=True, checks=[_CHECK]),
                on_step,
            )
    return Demo(None if folder is None else profile, recording, summary, analysis, replayed)


def _record(profile: Path, load: Load, on_step: OnStep) -> Recording:
    def recorded() -> Recording:
        with record("ebpf:any", profile, ports=[port]) as capture:
            _send(port, load)
        return capture.result

    with private_memcached() as port:
        return _step(("record", "ebpf:any", _NAME, "--port", str(port)), recorded, on_step)


def _send(port: int, load: Load) -> None:
    """Send the workload from a process of its own: the recorder's cost is its process's CPU."""
    program = f"from membench._demo.workload import Load, run; run({port}, {load!r})"
    # Not in the terminal's session: Ctrl-C interrupts this process, which then ends the other.
    subprocess.run([sys.executable, "-c", program], check=True, start_new_session=True)


def _step(
    command: tuple[str, ...],
    work: Callable[[], Result],
    on_step: OnStep,
) -> Result:
    if on_step is not None:
        on_step(DemoStep(command))
    result = work()
    if on_step is not None:
        on_step(DemoStep(command, result))
    return result


@contextmanager
def _folder(chosen: str | os.PathLike[str] | None) -> Iterator[Path]:
    if chosen is not None:
        folder = Path(chosen)
        if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):  # noqa: PTH112
            raise UsageError(
                f"{folder} is not a folder that you may write to", "name an existing one"
            )
        yield folder
        return
    with TemporaryDirectory(prefix="membench-demo-") as temporary:
        yield Path(temporary)
