"""What a profile came from → what it cannot tell."""

from __future__ import annotations

from membench._profile import Summary

# What `time_basis` says of a profile that came from memcached's own log.
LOG_TIME = "log"
NOT_IN_A_LOG = (
    "which look-ups were delete, incr, decr, touch or meta commands (all count as `get`), requests "
    "and multi-gets (each key is a request), batches, server time, client flags"
)


def is_from_log(info: Summary) -> bool:
    """Tell whether a profile came from memcached's own log."""
    return info.time_basis == LOG_TIME


def remark_on_analysis(info: Summary) -> str | None:
    """Say what an analysis of this profile cannot know."""
    if not is_from_log(info):
        return None
    return f"note: recorded from memcached's own log; not known: {NOT_IN_A_LOG}"


def remark_on_replay(info: Summary) -> str | None:
    """Say what a replay of this profile cannot repeat."""
    if not is_from_log(info):
        return None
    return (
        "note: recorded from memcached's own log: requests are sent when memcached logged them, "
        "each key as a request of its own; look-ups of delete, incr, decr and touch are sent as get"
    )
