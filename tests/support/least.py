"""Capabilities → the prefix of a command that runs it as nobody with these alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from support.kernel import release

NOBODY = 65534
#: First kernel that does not count maps as locked memory, whose limit only root may raise.
NO_LOCKED = (5, 11)


def with_capabilities(*names: str) -> list[str]:
    """Return a prefix that runs a command as nobody with these capabilities alone.

    Skips the test if nobody cannot read this checkout.
    """
    if closed := _closed_folder():
        pytest.skip(f"{closed} is closed to other users: move the checkout, for example to /srv")
    unlimited = ["prlimit", "--memlock=unlimited"] if release() < NO_LOCKED else []
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    held = ",".join(f"+{name}" for name in names)
    bound = ["-all", *(f"+{name}" for name in names)]
    sets = [f"--inh-caps={held}", f"--ambient-caps={held}"] if names else ["--inh-caps=-all"]
    return [*unlimited, "setpriv", *user, *sets, f"--bounding-set={','.join(bound)}"]


@cache
def _closed_folder() -> Path | None:
    """Return the outermost folder above the checkout that the user nobody may not enter."""
    here = Path(__file__).resolve()
    closed = [folder for folder in here.parents if not folder.stat().st_mode & 0o001]
    return closed[-1] if closed else None
