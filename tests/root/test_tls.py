"""memcached with TLS: what cannot be read is lost, and named."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import membench, read_ledger, recorder
from support.ports import free_port
from support.process import started
from support.waiting import DEADLINE, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.memcached,
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate"),
]

ROUNDS = 50
CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Start a memcached that speaks TLS only, and yield its port."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [*CERTIFICATE.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    chosen = free_port()
    options = f"ssl_chain_cert={certificate},ssl_key={key}"
    command = ["memcached", "-Z", "-o", options, "-p", str(chosen), "-U", "0"]
    command += ["-u", "root"] * (os.geteuid() == 0)
    with started(command, stderr=subprocess.PIPE) as server:

        def listens() -> bool:
            if server.poll() is not None:
                return True
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", chosen)) == 0

        until(listens, "memcached listening")
        if server.poll() is not None:
            pytest.skip(f"this memcached has no TLS: {server.stderr and server.stderr.read()}")
        yield chosen


def connected(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), DEADLINE))


def use(client: ssl.SSLSocket) -> None:
    for number in range(ROUNDS):
        client.sendall(b"set key-%d 0 0 5\r\nhello\r\n" % number)
        assert client.recv(4096) == b"STORED\r\n"


@pytest.mark.parametrize(
    ("opened_before", "responses"),
    [(True, "bytes"), (True, "lengths"), (True, "none"), (False, "bytes")],
)
def test_a_connection_that_carries_tls_is_named_and_not_complete(
    output: Path, hooks: str, port: int, opened_before: bool, responses: str
) -> None:
    options = ("--hooks", hooks, "--responses", responses)
    if opened_before:
        with connected(port) as client:
            use(client)
            with recorder(output, [port], *options) as running:
                use(client)
                running.stop().expect(4)
    else:
        with recorder(output, [port], *options) as running:
            with connected(port) as client:
                use(client)
            running.stop().expect(4)
    ledger = read_ledger(output)
    assert (ledger["complete"], ledger["tls_connections"]) == (False, 1)
    assert ledger["unsynced"] > ROUNDS * 20
    for flow in ("request", "response"):
        found = ledger["servers"][0][flow]
        terms = {"seen", "missed"}
        assert found["seen"] == sum(found[term] for term in found.keys() - terms)
    assert "1 connection carries TLS" in membench("info", output).expect(0).stdout
