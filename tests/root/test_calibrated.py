"""`doctor --calibrate`: it records a private memcached and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from support.cli import Completed, membench
from support.ports import free_port
from support.server import Memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached]

MEASURED = "measured here, 16 requests in a write, median of 3 rounds"
Calibrate = Callable[..., Completed]


def marked(mark: str) -> list[str]:
    """Return the processes that have `mark` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        found += [process.name] * (mark.encode() in variables)
    return found


@pytest.fixture
def calibrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibrate:
    """Return a function that runs the command and fails if it leaves processes or files."""
    own = tmp_path / "own"
    own.mkdir()
    name, value = "MEMBENCH_CALIBRATED", str(uuid4())

    def run(*options: str) -> Completed:
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            changed.setenv("TMPDIR", str(own))
            ended = membench("doctor", "--calibrate", *options, timeout=300)
        assert (marked(f"{name}={value}"), list(own.iterdir())) == ([], [])
        return ended

    return run


def test_the_forecast_uses_the_measured_costs(server: Memcached, calibrate: Calibrate) -> None:
    told = calibrate("--port", str(server.port), "--format", "json").expect(0).json
    measured = told["calibration"]
    assert sorted(measured) == ["bytes", "measured", "recorder_ns", "server_ns"]
    assert measured["measured"].startswith(MEASURED)
    assert measured["recorder_ns"] > 0
    assert measured["bytes"] > 0
    assert measured["server_ns"] >= 0, "noise may hide what a server pays, but not turn it round"
    (forecast,) = told["forecasts"]
    assert (forecast["port"], forecast["measured"]) == (server.port, measured["measured"])
    for name, unit in (("recorder_cpus", "recorder_ns"), ("server_cpus", "server_ns")):
        expected = forecast["operations_per_s"] * measured[unit] / 1e9
        assert forecast[name] == pytest.approx([expected, expected])


def test_a_calibration_is_shown_without_a_server_to_forecast_for(calibrate: Calibrate) -> None:
    shown = " ".join(calibrate("--port", str(free_port())).expect(0).stdout.split())
    assert "calibrated an operation costs" in shown
    assert MEASURED in shown


def test_without_a_memcached_it_says_what_to_install(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = calibrate("--port", str(free_port())).expect(5)
    assert "there is no `memcached` on this machine" in refused.stderr
    assert "apt-get install memcached" in refused.stderr
