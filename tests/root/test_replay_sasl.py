"""A recording of a client that authenticates by SASL → a replay that does so on each connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import membench
from support.cli import membench as run, recorder
from support.sasl import SECRET, USER, Peer, guarded
from support.server import Memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached]

TARGET = 5
GETS = 20


@contextmanager
def server(folder: Path) -> Iterator[Memcached]:
    """Start a memcached that requires SASL; skip the test where there is none."""
    folder.mkdir()
    with ExitStack() as stack:
        try:
            running = stack.enter_context(guarded(folder))
        except OSError as error:
            pytest.skip(f"no SASL here: {error}")
        yield running


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Record an authenticated client that reads a value of before, and stores and reads one."""
    made = tmp_path / "recorded.mb"
    with server(tmp_path / "recorded") as source, Peer(source.port) as peer:
        peer.ask("sasl_auth", b"PLAIN", b"\0" + USER + b"\0" + SECRET)
        peer.ask("set", b"known-before-the-recording", b"x" * 50, bytes(8))
        with (
            recorder(made, [source.port], "--no-stats") as running,
            Peer(source.port) as recorded,
        ):
            recorded.ask("sasl_auth", b"PLAIN", b"\0" + USER + b"\0" + SECRET)
            recorded.ask("get", b"known-before-the-recording")
            recorded.ask("set", b"key-of-the-recording", b"y" * 40, bytes(8))
            for _ in range(GETS):
                recorded.ask("get", b"key-of-the-recording")
            running.stop().expect(0)
    return made


def test_a_replay_authenticates_and_then_does_what_was_recorded(
    profile: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(USER + b":" + SECRET + b"\n")
    with server(tmp_path / "target") as target:
        result = membench.replay(
            profile, target.address, auth="sasl", auth_file=secret, warm=True, pacing="speed=10"
        )
        wrong = tmp_path / "wrong"
        wrong.write_bytes(USER + b":not-" + SECRET)
        asked = ("replay", str(profile), target.address, "--auth", "sasl", "--allow-nonempty")
        refused = run(*asked, "--auth-file", wrong).expect(TARGET).stderr
        unsigned = run("replay", profile, target.address, "--allow-nonempty").expect(TARGET).stderr
    assert result.skipped == {"unknown_command": 1}
    assert (result.errors, result.unsent, result.unanswered) == (0, {}, {})
    assert result.sent == result.planned == GETS + 2
    assert result.outcomes.replayed == {"get": {"hit": GETS + 1}, "set": {"stored": 1}}
    assert result.warm is not None
    assert (result.warm.keys, result.warm.refused) == (1, 0)
    assert result.server is not None
    assert result.server.bytes_agree
    assert "refused the user or the password" in refused
    assert SECRET.decode() not in refused
    assert "sent no answer" in unsigned
    assert "SASL" in " ".join(unsigned.split())


def test_requests_that_the_target_would_not_take_are_refused_beforehand(tmp_path: Path) -> None:
    sealed = Path(__file__).parents[1] / "data" / "sealed"
    secret = tmp_path / "secret"
    secret.write_bytes(USER + b":" + SECRET)
    asked = ("--auth-file", secret)
    with server(tmp_path / "target") as target:
        told = run("replay", sealed, target.address, "--auth", "sasl", *asked).expect(TARGET).stderr
    assert "takes only the binary protocol, which 40 requests are not in" in " ".join(told.split())
