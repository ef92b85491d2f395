"""The demo's memcached and its workload."""

from pathlib import Path

import pytest

from membench import CaptureUnavailableError, cli
from membench._demo.server import private_memcached
from membench._demo.workload import Load, run
from membench._doctor.host import find_server

pytestmark = pytest.mark.memcached


def test_the_workload_is_answered_by_a_memcached_of_its_own() -> None:
    with private_memcached() as port:
        answered = run(port, Load(connections=2, requests_per_s=400, duration_s=0.5))
        found = find_server(port)
    assert answered > 0
    assert found is not None
    assert found.version
    assert found.pid
    assert find_server(port) is None


def test_the_same_seed_asks_for_the_same_keys() -> None:
    load = Load(connections=1, requests_per_s=400, duration_s=0.5)
    counts = []
    for _ in range(2):
        with private_memcached() as port:
            counts.append(run(port, load))
    assert counts[0] == counts[1]


def test_a_demo_that_cannot_run_says_nothing_about_skipping(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--keep", str(tmp_path / "missing")], ["--seconds", "-5"]):
        assert cli.main(["demo", *arguments]) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.startswith("error: ")) == ("", True)


def test_without_memcached_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CaptureUnavailableError, match="no `memcached`"), private_memcached():
        pass
