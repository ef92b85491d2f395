"""Replays to a memcached that speaks TLS (`-Z`), and everything that can be wrong with it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import membench
from support.certificates import SERVER_NAME, Authority, Pair
from support.cli import membench as run
from support.server import Memcached, memcached
from support.waiting import PATIENCE

pytestmark = [
    pytest.mark.memcached,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
]

SEALED = Path(__file__).parents[1] / "data" / "sealed"
TARGET = 5


class Encrypted(Memcached):
    """A memcached that speaks TLS only, so plain `stats` cannot show that it is up."""

    def _answers(self, _pid: int) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1 * PATIENCE):
            return True
        return False


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("server", alternatives=f"DNS:{SERVER_NAME},IP:127.0.0.1")


@contextmanager
def encrypted(pair: Pair, *options: str) -> Iterator[Memcached]:
    words = [f"ssl_chain_cert={pair.certificate}", f"ssl_key={pair.key}", *options]
    server = Encrypted(arguments=("-Z", "-o", ",".join(words)))
    try:
        yield server
    finally:
        server.stop()


def test_a_replay_over_tls_is_that_over_a_plain_connection(
    authority: Authority, pair: Pair
) -> None:
    with encrypted(pair) as server, memcached() as plain:
        over_tls = membench.replay(
            SEALED, server.address, tls=True, tls_ca=authority.own.certificate, warm=True
        )
        over_tcp = membench.replay(SEALED, plain.address, warm=True)
    assert over_tls.answered == over_tcp.answered > 0
    assert (over_tls.errors, over_tls.reconnects, over_tls.unsent) == (0, 0, {})
    assert over_tls.target.version == over_tcp.target.version
    assert over_tls.warm == over_tcp.warm
    assert over_tls.server is not None
    assert over_tcp.server is not None
    assert over_tls.server.bytes_agree
    assert over_tls.server.bytes_read == over_tcp.server.bytes_read
    connections = over_tls.server.counters["total_connections"]
    assert connections == over_tcp.server.counters["total_connections"]
    assert over_tls.wire_ns.count == over_tls.answered


def test_each_fault_of_tls_is_told_with_its_remedy(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    stranger = Authority.create(tmp_path, "stranger")
    ca = ("--tls-ca", authority.own.certificate)
    half = tmp_path / "empty.pem"
    half.write_text("nothing\n")
    client = authority.sign("client", alternatives="DNS:client.test")
    shown = ("--tls-cert", client.certificate, "--tls-key", client.key)
    with (
        encrypted(pair) as server,
        encrypted(pair, "ssl_verify_mode=2", f"ssl_ca_cert={authority.own.certificate}") as strict,
        memcached() as plain,
    ):
        table: list[tuple[Memcached, tuple[str | Path, ...], int, str, str]] = [
            (server, ("--tls",), TARGET, "signed by nobody who is trusted", "`--tls-ca`"),
            (
                server,
                ("--tls", "--tls-ca", stranger.own.certificate),
                TARGET,
                "signed by nobody who is trusted",
                "`--tls-ca`",
            ),
            (
                server,
                ("--tls", *ca, "--tls-name", "other.test"),
                TARGET,
                "another server's",
                "`--tls-name`",
            ),
            (plain, ("--tls", *ca), TARGET, "does not speak TLS", "leave out `--tls`"),
            (strict, ("--tls", *ca), TARGET, "refused the TLS connection", "`--tls-cert`"),
            (server, ("--tls", "--tls-ca", half), 2, "no certificate is in it", "PEM"),
            (server, ("--tls", "--tls-ca", tmp_path / "none"), 2, "No such file", "PEM"),
            (server, ("--tls", *ca, *shown[:2]), 2, "one of them is missing", "`--tls-key`"),
            (server, ca, 2, "are those of TLS", "ask for TLS"),
            (server, (), TARGET, "closed the connection", "expects TLS"),
        ]
        for target, options, code, said, remedy in table:
            ended = run("replay", SEALED, target.address, *options).expect(code)
            message, _, hint = " ".join(ended.stderr.split()).partition("hint: ")
            assert said in message, (options, ended.stderr)
            assert remedy in hint, (options, ended.stderr)
        named = ("--tls", *ca, "--tls-name", SERVER_NAME)
        assert run("replay", SEALED, server.address, *named).code in {0, 4}
        assert run("replay", SEALED, strict.address, "--tls", *ca, *shown).code in {0, 4}


def test_a_path_has_no_name_of_its_own(authority: Authority) -> None:
    ended = run("replay", SEALED, "unix:/x", "--tls", "--tls-ca", authority.own.certificate)
    assert "`--tls-name` names the server" in " ".join(ended.expect(2).stderr.split())
