"""Options of a replay, checked, as the engine takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from membench import _arguments as check
from membench.errors import UsageError

Auth = Literal["ascii", "sasl"]
Wait = Literal["sleep", "hybrid", "spin"]
Fill = Literal["recorded", "lookaside"]

_AUTH = "`auth` is `ascii` or `sasl`; a file or an environment variable holds `USER:PASSWORD`"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_SEED = (1 << 64) - 1
_MOST_THREADS = 1024
# The engine numbers rounds and copies in 32 bits.
_MOST_ROUNDS = (1 << 32) - 1
_MOST_COPIES = 65_535
# Options that change what is sent, and the value that changes nothing.
_LOAD: Mapping[str, object] = {
    "from_s": 0,
    "until_s": None,
    "loop": 1,
    "fresh_keys": False,
    "scale": 1,
    "shared_keys": False,
    "server": None,
    "warm": False,
    "late": "send",
    "fill": "recorded",
    "key_prefix": "",
    "value": "text",
    "allow_admin": False,
}


def parse_shard(text: str) -> tuple[int, int]:
    """Read `0/4` as the first of four processes.

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", check.text("shard", text))
    index, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if index >= of:
        raise UsageError(
            f"`{text}` is no share of a replay",
            "`0/4` is the first of four processes, `3/4` the last",
        )
    return index, of


def start_ns(start: datetime | None) -> int | None:
    """Return a start as ns since 1970.

    Raises:
        UsageError: It is no time, or its zone is not known.
    """
    if start is None:
        return None
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise UsageError(
            f"{start!r} is not a time of a known zone",
            "a `datetime` with a `tzinfo`; on the command line `2026-11-30T12:00:00Z`",
        )
    if start < _EPOCH:
        raise UsageError(f"{start} is before 1970", "choose a time to come")
    since = start - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options of a replay, by the names that `membench.replay` gives them."""

    pacing: str
    late: str
    from_s: float
    until_s: float | None
    loop: int
    fresh_keys: bool
    scale: int
    shared_keys: bool
    warm: bool
    allow_nonempty: bool
    allow_admin: bool
    allow_sampled: bool
    seed: int
    receive_stamps: bool
    log_histograms: bool
    threads: int
    tls: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_name: str | None
    auth: str | None
    auth_file: Path | None
    auth_env: str | None
    server: str | None
    shard: tuple[int, int]
    start_at_ns: int | None
    keep_histograms: bool
    key_prefix: str
    value: str
    wait: str
    fill: str

    def __post_init__(self) -> None:
        check.text("pacing", self.pacing)
        check.text("late", self.late)
        check.flags(
            fresh_keys=self.fresh_keys,
            shared_keys=self.shared_keys,
            warm=self.warm,
            allow_nonempty=self.allow_nonempty,
            allow_admin=self.allow_admin,
            allow_sampled=self.allow_sampled,
            receive_stamps=self.receive_stamps,
            log_histograms=self.log_histograms,
        )
        if self.from_s != 0:
            check.seconds("a start", self.from_s)
        if self.until_s is not None and check.seconds("an end", self.until_s) <= self.from_s:
            raise UsageError(
                f"the part from {self.from_s:g} s until {self.until_s:g} s is empty",
                "`until` comes after `from`; both count from the start of the recording",
            )
        check.whole("a number of rounds", self.loop, 1, _MOST_ROUNDS)
        check.whole("a number of copies", self.scale, 1, _MOST_COPIES)
        if self.fresh_keys and self.loop == 1:
            raise UsageError("fresh keys are those of later rounds", "ask for two rounds or more")
        if self.shared_keys and self.scale == 1:
            raise UsageError("shared keys are those of copies", "ask for two copies or more")
        check.whole("a seed", self.seed, 0, _MOST_SEED)
        check.whole("a number of threads", self.threads, 1, _MOST_THREADS)
        self._check_access()

        if self.server is not None:
            check.text("server", self.server)
        check.text("key_prefix", self.key_prefix)
        check.text("value", self.value)
        check.one_of("ways to wait", self.wait, get_args(Wait))
        check.one_of("kinds of fills", self.fill, get_args(Fill))

    def _check_access(self) -> None:
        check.flags(tls=self.tls)
        given = (self.tls_ca, self.tls_cert, self.tls_key, self.tls_name)
        if not self.tls and any(one is not None for one in given):
            raise UsageError("certificates and their names are those of TLS", "ask for TLS as well")
        if self.tls_name is not None:
            check.text("tls_name", self.tls_name)
        secrets = [one for one in (self.auth_file, self.auth_env) if one is not None]
        if self.auth is None:
            if secrets:
                raise UsageError("user and password are for a way to sign in", _AUTH)
            return
        check.one_of("ways to sign in", self.auth, get_args(Auth))
        if len(secrets) != 1:
            raise UsageError(f"a sign-in takes one place of its secret, not {len(secrets)}", _AUTH)
        if self.auth_env is not None:
            check.text("auth_env", self.auth_env)


def changed_load(options: ReplayOptions) -> dict[str, str]:
    """Return the options that change what is sent, by name; those left alone are not in it."""
    given = {name: getattr(options, name) for name in _LOAD}
    return {name: str(value) for name, value in given.items() if value != _LOAD[name]}


def named_targets(
    target: str | Mapping[str, str], server: str | None
) -> str | list[tuple[str, str]]:
    """Return the target, or each server's name with its target.

    Raises:
        UsageError: They are no targets, or a server is chosen among several.
    """
    if not isinstance(target, Mapping):
        return check.text("target", target)
    if server is not None:
        raise UsageError(
            "a target for each server leaves no choice of one", "name one target, or no server"
        )
    if not target:
        raise UsageError("no server has a target", '`target={"11211": "HOST:PORT"}`')
    return [(check.text("target", name), check.text("target", at)) for name, at in target.items()]


def only_target(target: str | Mapping[str, str]) -> str:
    """Return the target.

    Raises:
        UsageError: There are several.
    """
    if isinstance(target, str):
        return target
    raise UsageError("several targets cannot be observed", "observe the replay of one server")
