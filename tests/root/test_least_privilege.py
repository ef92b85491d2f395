"""Two capabilities suffice, as setpriv shows; what the user cannot see is said, not fatal."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.cli import membench, starting
from support.exclusive import exclusive
from support.kernel import has_tcx
from support.least import NOBODY, with_capabilities
from support.server import Memcached
from support.unique import traffics
from support.waiting import until

DOCUMENT = Path(__file__).parents[2] / "docs/capture.md"

pytestmark = [pytest.mark.root, pytest.mark.memcached]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create a folder that the user nobody may write to."""
    for part in (tmp_path, *tmp_path.parents):
        if part == Path(tempfile.gettempdir()):
            break
        part.chmod(0o755)
    own = tmp_path / "own"
    own.mkdir()
    shutil.chown(own, NOBODY, NOBODY)
    return own


@pytest.mark.kernel
@pytest.mark.quick
def test_two_capabilities_record_everything_and_name_the_server_by_its_own_word(
    server: Memcached, folder: Path
) -> None:
    profile = folder / "least.mb"
    (one,) = traffics(server.port, 1)
    prefix = with_capabilities("bpf", "perfmon")
    with starting(profile, [server.port], prefix=prefix) as running:
        # `ready` would wait for an empty bounding set, which takes CAP_SETPCAP to empty.
        until(lambda: f"pid {server.pid}" in running.stderr_text(), "the server's name")
        one.pipeline()
        recording = running.stop().expect(0)
    assert recording.json["events"] == len(one.connection.log)
    assert recording.json["ledger"]["complete"] is True
    assert profile.stat().st_uid == NOBODY


@pytest.mark.kernel
@pytest.mark.parametrize("hooks", ["tcx", "clsact"])
def test_three_capabilities_record_an_interface(
    server: Memcached, folder: Path, hooks: str
) -> None:
    if hooks == "tcx" and not has_tcx():
        pytest.skip("Linux before 6.6")
    prefix = with_capabilities("bpf", "perfmon", "net_admin")
    options = ("--no-stats", "--hooks", hooks)
    profile = folder / "least.mb"
    with (
        exclusive("filters of lo"),
        starting(profile, [server.port], *options, prefix=prefix, source="ebpf:lo") as running,
    ):
        # `ready` would wait for an empty bounding set, which takes CAP_SETPCAP to empty.
        until(running.has_started, "the recorder at work")
        (one,) = traffics(server.port, 1)
        one.pipeline()
        recording = running.stop().expect(0)
    assert recording.json["events"] == len(one.connection.log)
    assert recording.json["removal"] is None


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        ((), "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"),
        (("bpf", "perfmon"), "CAP_NET_ADMIN"),
        (("bpf", "net_admin"), "CAP_PERFMON"),
    ],
    ids=["none", "bpf+perfmon", "bpf+net_admin"],
)
def test_capabilities_missing_for_an_interface_are_named(
    server: Memcached, folder: Path, held: tuple[str, ...], missing: str
) -> None:
    source = ("record", "ebpf:lo", folder / "none.mb", "--port", str(server.port))
    ended = membench(*source, "--duration", "1", prefix=with_capabilities(*held)).expect(5)
    first = f"Insufficient permissions to load eBPF programs. Missing: {missing}"
    assert ended.stderr.splitlines()[0].endswith(first), ended.stderr
    assert not (folder / "none.mb").exists()


@pytest.mark.parametrize(
    ("held", "missing"),
    [((), "CAP_BPF, CAP_PERFMON"), (("bpf",), "CAP_PERFMON"), (("perfmon",), "CAP_BPF")],
    ids=["none", "bpf", "perfmon"],
)
def test_missing_capabilities_are_named_with_the_remedy(
    server: Memcached, folder: Path, held: tuple[str, ...], missing: str
) -> None:
    prefix = with_capabilities(*held)
    source = ("record", "ebpf:any", folder / "none.mb", "--port", str(server.port))
    ended = membench(*source, "--duration", "1", prefix=prefix).expect(5)
    first = f"Insufficient permissions to load eBPF programs. Missing: {missing}"
    assert ended.stderr.splitlines()[0].endswith(first), ended.stderr
    assert "hint: " in ended.stderr
    assert not (folder / "none.mb").exists()
    told = membench("doctor", "--port", str(server.port), "--format", "json", prefix=prefix)
    (sockets,) = [one for one in told.expect(5).json["sources"] if one["source"] == "ebpf:any"]
    assert ", ".join(sockets["missing"]) == missing


def test_doctor_runs_as_nobody_and_its_exit_code_follows_require(server: Memcached) -> None:
    prefix, port = with_capabilities(), ("--port", str(server.port))
    told = membench("doctor", *port, "--require", "watch", prefix=prefix).expect(0)
    assert "other users' processes are hidden" in told.stdout
    assert f"pid {server.pid}" in told.stdout
    membench("doctor", *port, "--require", "ebpf", prefix=prefix).expect(5)
    membench("doctor", *port, "--require", "sock_recv_length", prefix=prefix).expect(5)
    assert "nothing is called" in membench("doctor", "--require", "nothing").expect(2).stderr


def test_doctor_tries_each_hook(server: Memcached) -> None:
    told = membench("doctor", "--port", str(server.port), "--format", "json").expect(0).json
    (sockets,) = [one for one in told["sources"] if one["source"] == "ebpf:any"]
    tried = {check["name"]: check["works"] for check in sockets["checks"]}
    hooks = {"sock_recv_length", "sock_send_length", "inet_sock_set_state"}
    assert hooks | {"load and attach", "detach"} <= {name for name, works in tried.items() if works}
    assert told["forecasts"][0]["port"] == server.port


def test_the_documented_service_is_one_that_systemd_takes(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    unit = re.search(r"```ini\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert unit is not None
    text = unit[1].replace("/opt/membench/bin/python", sys.executable)
    file = tmp_path / "membench-record.service"
    file.write_text(text.replace("User=membench", "User=daemon"))
    ended = subprocess.run(
        [verify, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    about_ours = [line for line in ended.stderr.splitlines() if "membench-record" in line]
    assert (ended.returncode, about_ours) == (0, []), ended.stderr
