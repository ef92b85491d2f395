"""Files that `replay` writes beside its report, and replays as tests of pytest."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

import membench
from support.cli import COMMAND, environment, membench as run
from support.server import Memcached

pytestmark = pytest.mark.memcached

ROOT = Path(__file__).parents[2]
SEALED = ROOT / "tests" / "data" / "sealed"
SCHEMA = ROOT / "docs" / "replay.schema.json"
#: Timing may not hold on a busy machine.
DONE = {0, 4}


def test_the_result_its_seconds_and_its_checks_are_in_files(
    server: Memcached, tmp_path: Path
) -> None:
    names = {"out": "run.json", "csv": "run.csv", "hlog": "run.hlog", "junit": "run.xml"}
    out, seconds, histograms, checks = (tmp_path / name for name in names.values())
    files = [word for option, name in names.items() for word in (f"--{option}", tmp_path / name)]
    wanted = ("--check", "errors<=0", "--check", "response.max<1ns", "--check", "incr.p99<1s")
    ended = run("replay", SEALED, server.address, *files, *wanted, "--format", "json").expect(99)
    result = membench.open_run(out)
    assert json.loads(out.read_text()) == ended.json
    jsonschema.validate(ended.json, json.loads(SCHEMA.read_text()))
    assert result.sent == result.planned > 0
    cases = {case.get("name"): case for case in ElementTree.parse(checks).iter("testcase")}  # noqa: S314 - our own
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert cases.keys() - {"timing held"} == {
        "answers complete",
        "errors<=0",
        "response.max<1ns",
        "incr.p99<1s",
    }
    assert failed - {"timing held"} == {"response.max<1ns", "incr.p99<1s"}
    with seconds.open() as opened:
        rows = list(csv.DictReader(opened))
    assert all(int(row["planned"]) == result.planned for row in rows)
    assert int(rows[-1]["sent"]) == result.sent
    assert int(rows[-1]["answered"]) == result.answered
    with closing(HistogramLogReader(str(histograms), HdrHistogram(1, 1 << 40, 2))) as log:
        intervals = list(iter(log.get_next_interval_histogram, None))
    counts = Counter({"response": 0, "lag": 0})
    for interval in intervals:
        counts[interval.get_tag()] += interval.get_total_count()
        assert abs(interval.get_start_time_stamp() / 1000 - time.time()) < 3600
        if interval.get_tag() == "response":
            assert interval.get_max_value() <= result.response_ns.max * 1.01
    assert counts == {"response": result.answered, "lag": result.sent}


def test_files_that_exist_are_kept_and_nothing_is_sent(server: Memcached, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    out.write_text("kept")
    before = server.settled_stats()["bytes_read"]
    told = run("replay", SEALED, server.address, "--junit", str(tmp_path / "x"), "--out", str(out))
    assert "`--force` replaces it" in told.expect(2).stderr
    assert out.read_text() == "kept"
    assert not (tmp_path / "x").exists()
    assert server.settled_stats()["bytes_read"] == before
    (tmp_path / "link").symlink_to(tmp_path)
    twice = ("--csv", str(tmp_path / "y"), "--junit", str(tmp_path / "link" / "y"), "--force")
    assert "named twice" in run("replay", SEALED, server.address, *twice).expect(2).stderr


def test_a_file_that_cannot_be_written_takes_neither_the_report_nor_the_others(
    server: Memcached, tmp_path: Path
) -> None:
    checks = tmp_path / "run.xml"
    command = [*COMMAND, "replay", str(SEALED), server.address, "--format", "json"]
    files = ["--out", "run.json", "--csv", "run.csv", "--junit", str(checks)]
    # The largest file that may be written holds the checks, but not the result.
    limited = ["prlimit", "--fsize=1024"]
    ended = subprocess.run(
        [*limited, *command, *files],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert json.loads(ended.stdout)["sent"] > 0
    assert "run.json: cannot write" in ended.stderr
    assert ElementTree.parse(checks).getroot().tag == "testsuites"  # noqa: S314 - our own


def test_a_replay_that_fails_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    run("replay", SEALED, "127.0.0.1:1", "--out", str(out)).expect(5)
    assert not out.exists()


TESTS = """
import pytest

@pytest.mark.membench(profile={profile!r}, checks=["errors<=0"], allow_nonempty=True)
def test_of_the_marker(membench_replay):
    result = membench_replay({target!r})
    assert result.checks[0].passed

@pytest.mark.membench(profile="/nonexist", checks=["response.max<1ns"], allow_nonempty=True)
def test_that_fails(membench_replay):
    membench_replay({target!r}, {profile!r})

@pytest.mark.membench({profile!r})
def test_without_keywords(membench_replay):
    membench_replay({target!r})

def test_without_a_profile(membench_replay):
    membench_replay({target!r})
"""


def test_pytest_replays_by_a_marker_and_a_fixture(server: Memcached, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS.format(profile=str(SEALED), target=server.address))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(
        [*command, "test_it.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout
    assert done.returncode == 1, told
    assert "response.max<1ns" in told
    assert "FAIL" in told
    assert "takes keywords" in told
    assert "no profile" in told
    if "timing NOT held" not in told:
        assert "1 passed" in told
