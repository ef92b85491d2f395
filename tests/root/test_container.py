"""The documented container settings, with the namespaces and capabilities they give."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from membench._doctor.diagnose import Probe, judge_sockets
from membench._doctor.host import Identity
from support import proc
from support.cli import Recorder, read_info, recorder, starting
from support.namespace import namespace
from support.ports import free_port
from support.profile import events
from support.server import Memcached
from support.unique import traffics
from support.waiting import DEADLINE, until

DOCUMENT = Path(__file__).parents[2] / "docs/capture.md"
#: Capabilities that docker leaves to root in a container.
DOCKER = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip

pytestmark = [pytest.mark.root, pytest.mark.memcached]


def documented(language: str) -> list[str]:
    """Return the document's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def added(line: str) -> list[str]:
    """Return the capabilities that a docker line adds."""
    return [name.lower() for name in re.findall(r"--cap-add ([A-Z_]+)", line)]


def docker_lines() -> list[str]:
    """Return the docker lines of the document and of `doctor`."""
    (written,) = (line for block in documented("sh") for line in block.splitlines()
                  if line.startswith("docker run"))  # fmt: skip
    return [written, *(line for line in remedies() if line.startswith("docker run"))]


def remedies() -> tuple[str, ...]:
    """Return the remedies of `doctor` for a user without capabilities."""
    return judge_sockets(Probe(False, None, "refused", None), Identity(1000, ())).remedies


def pod() -> dict[str, Any]:
    """Return the documented pod specification."""
    (written,) = documented("yaml")
    spec: dict[str, Any] = yaml.safe_load(written)["spec"]
    return spec


def container(*capabilities: str, host_network: bool = True) -> list[str]:
    """Return a prefix that runs a command as root with these capabilities in namespaces."""
    held = ",".join(f"+{name}" for name in capabilities)
    spaces = ["--mount", "--pid", "--fork", "--mount-proc", "--cgroup"]
    spaces += [] if host_network else ["--net"]
    sets = [f"--bounding-set=-all,{held}", f"--inh-caps=-all,{held}", "--no-new-privs"]
    return ["unshare", *spaces, "--", "setpriv", *sets]


@contextmanager
def inside(profile: Path, port: int, prefix: list[str]) -> Iterator[Recorder]:
    """Start a recorder in a container and wait until it records."""
    with starting(profile, [port], prefix=prefix) as running:
        until(
            lambda: running.has_started() or running.process.poll() is not None,
            "its start",
        )
        assert running.process.poll() is None, running.stderr_text()
        yield running


def end(running: Recorder) -> None:
    """Send Ctrl-C to the command in the container: its parent here only waits for it."""
    proc.signal_children(running.pid, signal.SIGINT)


def test_the_kubernetes_lines_are_yaml_and_say_what_doctor_says() -> None:
    (one,) = pod()["containers"]
    assert one["args"][:3] == ["membench", "record", "ebpf:any"]
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}
    assert one["securityContext"]["allowPrivilegeEscalation"] is False
    (told,) = (line for line in remedies() if line.startswith("Kubernetes: "))
    said = yaml.safe_load("{" + told.removeprefix("Kubernetes: ") + "}")
    assert said["hostNetwork"] is pod()["hostNetwork"] is True
    added = said["securityContext"]["capabilities"]["add"]
    assert added == one["securityContext"]["capabilities"]["add"]


@pytest.mark.parametrize("line", [*docker_lines(), "Kubernetes"])
def test_the_documented_capabilities_are_enough_in_a_container(
    server: Memcached, output: Path, line: str
) -> None:
    held = [*DOCKER, *added(line)]
    if line == "Kubernetes":
        (one,) = pod()["containers"]
        held = [name.lower() for name in one["securityContext"]["capabilities"]["add"]]
    (traffic,) = traffics(server.port, 1)
    with inside(output, server.port, container(*held)) as running:
        traffic.pipeline()
        end(running)
        recording = running.wait().expect(0).json
    assert recording["events"] == len(traffic.connection.log)
    assert recording["ledger"]["complete"] is True
    (flows,) = recording["ledger"]["servers"]
    assert flows["pid"] == server.pid, "as it is called outside"
    told = [(one["counter"], one["server"] - one["recorded"]) for one in recording["differences"]]
    assert told == [("bytes_read", 0), ("bytes_written", 0)]
    assert recording["uncompared"] == 0


def test_in_a_network_of_its_own_a_container_records_servers_it_cannot_ask(
    server: Memcached, output: Path
) -> None:
    (traffic,) = traffics(server.port, 1)
    with inside(output, server.port, container("bpf", "perfmon", host_network=False)) as running:
        traffic.pipeline()
        end(running)
        recording = running.wait().expect(0)
    assert len(events(output)) == len(traffic.connection.log)
    assert recording.json["ledger"]["complete"] is True
    assert (recording.json["differences"], recording.json["uncompared"]) == ([], 1)
    assert "no listener found yet" in recording.stderr
    assert read_info(output)["connections"] == 1


@contextmanager
def contained(port: int) -> Iterator[int]:
    """Start a memcached in a process namespace; yield its process id in ours."""
    spaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    outer = subprocess.Popen([*spaces, "memcached", "-p", str(port), "-U", "0", "-u", "root"])
    try:
        (inner,) = until(lambda: proc.children(outer.pid), "the server's process")
        yield inner
    finally:
        outer.kill()
        outer.wait(DEADLINE)


def answers(port: int) -> bool:
    """Return true if a server accepts connections on the port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), DEADLINE):
        return True
    return False


def test_a_server_in_a_container_is_recorded_from_outside_and_not_asked(output: Path) -> None:
    port = free_port()
    with namespace() as space, ExitStack() as stack:
        with space.inside():
            pid = stack.enter_context(contained(port))
            until(lambda: answers(port), "the server")
        with recorder(output, [port]) as running:
            with space.inside():
                (traffic,) = traffics(port, 1)
            traffic.pipeline()
            recording = running.stop().expect(0)
    assert recording.json["ledger"]["servers"][0]["pid"] == pid
    assert f"in network namespace {space.inode}" in recording.stderr
    assert recording.json["events"] == len(traffic.connection.log)
    assert recording.json["ledger"]["complete"] is True
    assert (recording.json["differences"], recording.json["uncompared"]) == ([], 1)
