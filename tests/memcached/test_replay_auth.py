"""Replays to a memcached that wants a user and a password (`-Y`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import membench
from support.cli import membench as run
from support.sasl import Guarded
from support.server import Memcached, memcached

pytestmark = pytest.mark.memcached

SEALED = Path(__file__).parents[1] / "data" / "sealed"
TARGET = 5
USER, SECRET = "replayer", "a:secret:of:mine"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secret") / "users"
    file.write_text(f"{USER}:{SECRET}\n")
    return file


@pytest.fixture
def guarded(secret: Path) -> Iterator[Memcached]:
    server = Guarded(arguments=("-Y", str(secret)))
    yield server
    server.stop()


def test_each_connection_signs_in_before_its_requests(guarded: Memcached, secret: Path) -> None:
    with memcached() as plain:
        over_plain = membench.replay(SEALED, plain.address, warm=True)
    result = membench.replay(SEALED, guarded.address, auth="ascii", auth_file=secret, warm=True)
    assert result.answered == over_plain.answered > 0
    assert (result.errors, result.unsent, result.reconnects) == (0, {}, 0)
    assert result.warm == over_plain.warm
    assert result.server is not None
    assert result.server.bytes_agree
    secret_size = len(f"{USER} {SECRET}")
    request = len(f"set auth 0 0 {secret_size}\r\n\r\n") + secret_size
    connections = result.server.counters["total_connections"]
    assert result.server.bytes_changed["sign_in"] == connections * request


def test_the_environment_can_hold_user_and_password(
    guarded: Memcached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_SECRET", f"{USER}:{SECRET}")
    ended = run("replay", SEALED, guarded.address, "--auth", "ascii", "--auth-env", "CACHE_SECRET")
    assert ended.code in {0, 4}
    assert "errors 0" in ended.stdout
    assert SECRET not in ended.stdout + ended.stderr


def test_what_is_wrong_with_a_sign_in_is_told_without_the_secret(
    guarded: Memcached, secret: Path, tmp_path: Path
) -> None:
    wrong, malformed = tmp_path / "wrong", tmp_path / "malformed"
    wrong.write_text(f"{USER}:{SECRET}x\n")
    malformed.write_text(f"{SECRET.replace(':', '-')}\n")
    asked = ("--auth", "ascii")
    with memcached() as plain:
        table: list[tuple[Memcached, tuple[str | Path, ...], int, str, str]] = [
            (guarded, (), TARGET, "wants a user and a password", "`--auth ascii`"),
            (guarded, (*asked, "--auth-file", wrong), TARGET, "refused the user", "memcached -Y"),
            (guarded, (*asked, "--auth-file", malformed), 2, "does not hold", "USER:PASSWORD"),
            (guarded, (*asked, "--auth-file", tmp_path / "none"), 2, "No such file", "USER:"),
            (guarded, (*asked, "--auth-env", "NOT_SET"), 2, "variable NOT_SET", "USER:"),
            (guarded, asked, 2, "takes one place of its secret", "`auth` is"),
            (guarded, ("--auth-file", secret), 2, "are for a way to sign in", "`auth` is"),
            (guarded, ("--auth", "plain"), 2, "not one of the ways to sign in", "`sasl`"),
            (plain, (*asked, "--auth-file", secret), TARGET, "answers without", "leave out"),
        ]
        for target, options, code, said, remedy in table:
            ended = run("replay", SEALED, target.address, *options).expect(code)
            message, _, hint = " ".join(ended.stderr.split()).partition("hint: ")
            assert said in message, (options, ended.stderr)
            assert remedy in hint, (options, ended.stderr)
            assert SECRET not in ended.stderr
            assert SECRET.replace(":", "-") not in ended.stderr
        # Nothing was stored on the way.
        assert plain.stats()["total_items"] == "0"
