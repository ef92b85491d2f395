"""Capabilities → the prefix of a command that runs it as nobody with these alone."""

from __future__ import annotations

from support.kernel import release

NOBODY = 65534
#: First kernel that does not count maps as locked memory, whose limit only root may raise.
NO_LOCKED = (5, 11)


def with_capabilities(*names: str) -> list[str]:
    """Return a prefix that runs a command as nobody with these capabilities alone."""
    unlimited = ["prlimit", "--memlock=unlimited"] if release() < NO_LOCKED else []
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    held = ",".join(f"+{name}" for name in names)
    bound = ["-all", *(f"+{name}" for name in names)]
    sets = [f"--inh-caps={held}", f"--ambient-caps={held}"] if names else ["--inh-caps=-all"]
    return [*unlimited, "setpriv", *user, *sets, f"--bounding-set={','.join(bound)}"]
