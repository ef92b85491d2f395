"""memcached's log, stored: rotated and cut by its own times, however fast it is read."""

from itertools import pairwise
from pathlib import Path

import pytest

import membench
from membench import Rotation, UsageError

#: Of the log: seconds, and reads in each.
SECONDS, READS = 200, 40
START = 1_795_254_562


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a log of misses on one connection, evenly spread over its time."""
    path = tmp_path_factory.mktemp("stored") / "watch.log"
    lines = [
        f"ts={START + n // READS}.{n % READS * (1_000_000 // READS):06} gid={n + 1} "
        f"type=item_get key=k{n % 97} status=not_found clsid=0 cfd=16 size=0"
        for n in range(SECONDS * READS)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def recorded(log: Path, output: Path, **options: object) -> membench.Recording:
    with membench.record(str(log), output, **options) as capture:
        capture.wait()
    return capture.result


def events_of(path: str) -> list[int]:
    return sorted(event.time_us for event in membench.open(path))


@pytest.mark.parametrize("every_s", [40, 10])
def test_a_stored_log_is_rotated_by_its_own_times(
    log: Path, tmp_path: Path, every_s: float
) -> None:
    recording = recorded(log, tmp_path / "aged.mb", rotation=Rotation(every_s=every_s))
    times = [events_of(path) for path in recording.profiles]
    # A turn takes 64 lines, 1.6 s of this log; a profile is cut after the turn in which it is due.
    assert SECONDS / (every_s + 2) <= len(times) <= SECONDS / every_s
    assert sum(map(len, times)) == recording.events == SECONDS * READS
    assert all(early[-1] <= late[0] for early, late in pairwise(times))
    assert all(part[-1] - part[0] <= (every_s + 2) * 1_000_000 for part in times)


def test_a_stored_log_is_rotated_and_ended_by_size(log: Path, tmp_path: Path) -> None:
    rotated = recorded(log, tmp_path / "sized.mb", rotation=Rotation(size=4 << 10))
    assert len(rotated.profiles) >= 2
    assert sum(len(events_of(path)) for path in rotated.profiles) == SECONDS * READS


def test_a_stored_log_is_cut_after_its_first_seconds(log: Path, tmp_path: Path) -> None:
    recording = recorded(log, tmp_path / "cut.mb", duration_s=7.5)
    times = events_of(recording.profile or "")
    # The event at the very moment of the cut is inside.
    assert (len(times), recording.events) == (7.5 * READS + 1,) * 2
    assert recording.ended.by == "asked"
    assert recording.duration_s == pytest.approx(7.5, abs=0.1)


def test_ebpf_is_required_of_every_source(log: Path) -> None:
    for source in (str(log), "pcap:lo", "watch:127.0.0.1:1"):
        with pytest.raises(UsageError, match="is not ebpf, which is required"):
            membench.record(source, require="ebpf")


@pytest.mark.parametrize("options", [{"hooks": "sockets"}, {"responses": "none"}], ids=str)
def test_a_log_refuses_what_is_for_the_kernels_programs(
    log: Path, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="is not for memcached's own log"):
        membench.record(str(log), **options)
