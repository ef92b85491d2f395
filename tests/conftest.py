"""Fixtures and markers of all tests: golden files, a memcached, a path for output."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support.kernel import default_hooks
from support.server import Memcached, memcached as start_memcached
from support.workload import Connection

# A shell lets what it starts in the background ignore Ctrl-C, and so would each command under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CAP_PERFMON, CAP_BPF, CAP_SYS_ADMIN = 38, 39, 21


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--root`, `--soak` and `--update-golden`."""
    parser.addoption(
        "--root", action="store_true", help="fail, not skip, where the kernel tests cannot run"
    )
    parser.addoption(
        "--soak", action="store_true", help="also run tests that take long or depend on timing"
    )
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "root: needs the kernel's permission to load BPF programs")
    config.addinivalue_line("markers", "memcached: needs a memcached to start")
    config.addinivalue_line("markers", "kernel: holds on every kernel (`make test-kernels`)")
    config.addinivalue_line("markers", "quick: of those, what is tried unless all are asked for")
    config.addinivalue_line(
        "markers", "soak: takes long, or its verdict depends on timing; runs with --soak"
    )


@cache
def kernel_shortfall() -> str | None:
    """Return the reason that programs cannot be attached here, or None."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    held = {number for number in (CAP_PERFMON, CAP_BPF, CAP_SYS_ADMIN) if effective >> number & 1}
    if not (held >= {CAP_PERFMON, CAP_BPF} or CAP_SYS_ADMIN in held):
        return "CAP_BPF and CAP_PERFMON are missing: run as root"
    btf = Path("/sys/kernel/btf/vmlinux")
    if not btf.exists():
        return f"{btf} is missing: a kernel without BTF"
    if default_hooks() is None:
        return f"kernel {os.uname().release} has neither sock_recv_length nor sys_exit tracepoints"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that cannot run here, with the reason; with `--root` fail it."""
    if item.get_closest_marker("soak") and not item.config.getoption("--soak"):
        pytest.skip("takes long or depends on timing: run with --soak")
    if item.get_closest_marker("memcached") and shutil.which("memcached") is None:
        _fall_short(item, "memcached is not installed")
    if item.get_closest_marker("root") and (shortfall := kernel_shortfall()):
        _fall_short(item, shortfall)


def _fall_short(item: pytest.Item, reason: str) -> None:
    if item.config.getoption("--root"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Return true if golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that keeps a line to be printed after all tests."""
    return lambda line: record_property("figure", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines that tests kept with `figure`."""
    reports = [one for each in terminalreporter.stats.values() for one in each]
    properties = [one for report in reports for one in getattr(report, "user_properties", ())]
    figures = dict.fromkeys(line for name, line in properties if name == "figure")
    if figures:
        terminalreporter.section("figures")
    for line in figures:
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _keep_priority() -> Iterator[None]:
    """Undo what a recording in this process did to its priority: later tests would starve."""
    score = Path("/proc/self/oom_score_adj")
    held = os.getpriority(os.PRIO_PROCESS, 0), score.read_text()
    yield
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, held[0])
        score.write_text(held[1])


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    Connection.close_all()


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with four threads and room for everything the tests store."""
    with start_memcached(threads=4, memory=1024) as running:
        yield running


@cache
def _current_memcached() -> tuple[str | None, str]:
    """Return the path of a cached memcached of another release, or None and the reason."""
    script = Path(__file__).parent / "current_memcached.sh"
    try:
        done = subprocess.run([script], capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    found = done.stdout.strip() if done.returncode == 0 else ""
    return found or None, (done.stderr.strip().splitlines() or ["no reason given"])[-1]


@pytest.fixture(scope="session", params=["installed", "current"])
def memcached_binary(request: pytest.FixtureRequest) -> str | None:
    """Return None for the installed memcached, then the path of a current one."""
    if request.param == "installed":
        return None
    found, reason = _current_memcached()
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return a path for a recording; nothing exists there yet."""
    return tmp_path / "recording.mb"
