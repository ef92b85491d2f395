"""The demo: what it shows is what a person would have typed, and what it returns is all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import membench
from support.cli import membench as run

pytestmark = [pytest.mark.root, pytest.mark.memcached]

STEPS = ["record", "info", "analyze", "replay"]


def test_the_function_returns_each_result_and_keeps_nothing_unless_told(tmp_path: Path) -> None:
    told: list[membench.DemoStep] = []
    done = membench.demo(duration_s=0.5, on_step=told.append)
    assert [step.command[0] for step in told] == [name for name in STEPS for _ in range(2)]
    assert [step.result is None for step in told] == [True, False] * len(STEPS)
    results = [done.recording, done.summary, done.analysis, done.replay]
    assert [step.result for step in told[1::2]] == results
    assert done.profile is None
    assert done.recording.events == done.summary.events > 0
    assert done.replay.planned == done.summary.requests
    assert list(tmp_path.iterdir()) == []


def test_the_command_shows_each_step_as_it_would_be_typed(tmp_path: Path) -> None:
    ended = run("demo", "--keep", tmp_path, "--seconds", "0.5").expect(0)
    typed = [line.split() for line in ended.stderr.splitlines() if line.startswith("$ ")]
    assert [line[4] for line in typed] == STEPS
    for shown in ("every byte accounted for", "yes, lost 0", "hit ratio for -m", "response time"):
        assert shown in ended.stdout
    assert len(membench.open(tmp_path / "demo.mb")) > 0
