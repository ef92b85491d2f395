"""Origin of a profile → the limits of what it shows."""

from __future__ import annotations

from membench._profile import Summary

# `Summary.time_basis` of a profile from memcached's own log.
LOG_TIME = "log"
NOT_IN_A_LOG = (
    "look-ups of delete, incr, decr, touch and meta commands (all count as `get`), requests and "
    "multi-gets (each key is a request), batches, server time, client flags"
)


# `Summary.time_basis` of a profile from clients' sockets.
CLIENT_TIME = "send"
SEEN_BY_CLIENT = "server time is the service time at the client: sent → last byte received"


def is_from_client(info: Summary) -> bool:
    """Return True if a profile was recorded at clients' sockets."""
    return info.time_basis == CLIENT_TIME


def is_from_log(info: Summary) -> bool:
    """Return True if a profile came from memcached's own log."""
    return info.time_basis == LOG_TIME


def remark_on_analysis(info: Summary) -> str | None:
    """Describe the limits of an analysis of this profile; None if there are none."""
    if is_from_client(info):
        return f"note: recorded at clients; {SEEN_BY_CLIENT}"
    if not is_from_log(info):
        return None
    return f"note: recorded from memcached's own log; not known: {NOT_IN_A_LOG}"


def remark_on_replay(info: Summary) -> str | None:
    """Describe the limits of a replay of this profile; None if there are none."""
    if not is_from_log(info):
        return None
    return (
        "note: recorded from memcached's own log: each key is sent as a request of its own, when "
        "memcached logged it; look-ups of delete, incr, decr and touch are sent as get"
    )
