"""The lines for containers: the namespaces and capabilities that docker and Kubernetes give."""

from __future__ import annotations

import os
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
from support.cli import Recorder, membench, recorder
from support.namespace import namespace
from support.profile import events
from support.server import Memcached, free_port
from support.unique import traffics
from support.waiting import until

DOCUMENT = Path(__file__).parents[2] / "docs/capture.md"
RUNS = "keys leave memory only as keyed ids"
#: What docker leaves to root in a container.
DOCKER = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip

pytestmark = [pytest.mark.root, pytest.mark.memcached]


def documented(language: str) -> list[str]:
    """The blocks of the document in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def added(line: str) -> list[str]:
    """The capabilities that a docker line adds."""
    return [name.lower() for name in re.findall(r"--cap-add ([A-Z_]+)", line)]


def docker_lines() -> list[str]:
    """What the document and `doctor` say to run."""
    (written,) = (line for block in documented("sh") for line in block.splitlines()
                  if line.startswith("docker run"))  # fmt: skip
    return [written, *(line for line in remedies() if line.startswith("docker run"))]


def remedies() -> tuple[str, ...]:
    """What `doctor` says to someone who has nothing."""
    return judge_sockets(Probe(False, None, "refused", None), Identity(1000, ())).remedies


def pod() -> dict[str, Any]:
    """The documented Kubernetes lines."""
    (written,) = documented("yaml")
    spec: dict[str, Any] = yaml.safe_load(written)["spec"]
    return spec


def container(*capabilities: str, host_network: bool = True) -> list[str]:
    """A prefix that runs a command as root with these alone, in namespaces of its own."""
    held = ",".join(f"+{name}" for name in capabilities)
    spaces = ["--mount", "--pid", "--fork", "--mount-proc", "--cgroup"]
    spaces += [] if host_network else ["--net"]
    sets = [f"--bounding-set=-all,{held}", f"--inh-caps=-all,{held}", "--no-new-privs"]
    return ["unshare", *spaces, "--", "setpriv", *sets]


@contextmanager
def inside(profile: Path, port: int, prefix: list[str]) -> Iterator[Recorder]:
    """A recorder in a container, at work."""
    running = Recorder(profile, [port], prefix=prefix)
    try:
        until(lambda: RUNS in running.told() or running.process.poll() is not None, "its start")
        assert running.process.poll() is None, running.told()
        yield running
    finally:
        running.forget()


def children(pid: int) -> list[int]:
    """What a process has begun."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def end(running: Recorder) -> None:
    """Ctrl-C for the command in the container: its parent here only waits for it."""
    for child in children(running.pid):
        os.kill(child, signal.SIGINT)


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
def test_what_the_lines_give_a_container_is_enough(
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
        recording = running.wait().must(0).json
    assert recording["events"] == len(traffic.connection.log)
    assert recording["ledger"]["complete"] is True
    (flows,) = recording["ledger"]["servers"]
    assert flows["pid"] == server.pid, "as it is called outside"
    told = [(one["counter"], one["server"] - one["recorded"]) for one in recording["differences"]]
    assert told == [("bytes_read", 0), ("bytes_written", 0)]
    assert recording["not_compared"] == 0


def test_in_a_network_of_its_own_a_container_records_servers_it_cannot_ask(
    server: Memcached, output: Path
) -> None:
    (traffic,) = traffics(server.port, 1)
    with inside(output, server.port, container("bpf", "perfmon", host_network=False)) as running:
        traffic.pipeline()
        end(running)
        recording = running.wait().must(0)
    assert len(events(output)) == len(traffic.connection.log)
    assert recording.json["ledger"]["complete"] is True
    assert (recording.json["differences"], recording.json["not_compared"]) == ([], 1)
    assert "nothing listens on that port yet, as far as can be seen" in recording.stderr
    assert membench("info", output, "--format", "json").must().json["connections"] == 1


@contextmanager
def contained(port: int) -> Iterator[int]:
    """A memcached in a process namespace of its own; its process as it is called here."""
    spaces = ["unshare", "--pid", "--fork", "--mount-proc"]
    outer = subprocess.Popen([*spaces, "memcached", "-p", str(port), "-U", "0", "-u", "root"])
    try:
        (inner,) = until(lambda: children(outer.pid), "the server's process")
        yield inner
    finally:
        for one in children(outer.pid):
            os.kill(one, signal.SIGKILL)
        outer.wait(60)


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 60):
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
            recording = running.stop().must(0)
    assert recording.json["ledger"]["servers"][0]["pid"] == pid
    assert f"in network namespace {space.inode}" in recording.stderr
    assert recording.json["events"] == len(traffic.connection.log)
    assert recording.json["ledger"]["complete"] is True
    assert (recording.json["differences"], recording.json["not_compared"]) == ([], 1)
