"""An observation that runs beside a recording or a replay, on a thread of its own."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from membench import _native
from membench._observe.observe import Observation, ObserveInterval
from membench._observe.tables import to_rows
from membench._running import interval_ends

logger = logging.getLogger(__name__)

# Length of an interval, s.
INTERVAL_S = 1.0
# A request of this length is slow, s; the longest of each interval are kept.
SLOWER_THAN_S = 0.001
KEPT = 10
# How long one wait lasts before slow requests are read, s.
_TURN_S = 0.1
# How long the end waits for the last interval, s.
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class ObservedBeside:
    """Tally and cost of an observation beside a recording or a replay.

    Attributes:
        intervals: Intervals that were handed on.
        lost: Intervals that were not kept: the recording lagged behind, or the replay took longer
            than an hour.
        requests: Requests in the account; None if none were observed.
        left_out: Requests that the account should hold, and does not.
        cost_ns_per_request: Time that the kernel's programs took for each request, ns; None without
            requests, or without CAP_SYS_ADMIN.
        cpu_share: Time that these programs took, as a share of one CPU; None without CAP_SYS_ADMIN.
        failure: Reason why it ended before the recording did; None if it did not.
    """

    intervals: int = 0
    lost: int = 0
    requests: int | None = None
    left_out: int = 0
    cost_ns_per_request: float | None = None
    cpu_share: float | None = None
    failure: str | None = None


class Companion:
    """A thread that takes an interval a second, and hands each on."""

    def __init__(
        self,
        observation: Observation,
        native: _native.Observer | None,
        is_over: Callable[[], bool],
        hand_on: Callable[[ObserveInterval], bool],
        at_end: Callable[[], None],
    ) -> None:
        """Begin, with the privileges of this moment.

        Args:
            observation: The servers.
            native: The engine's observer, if requests are observed.
            is_over: Returns true once the last interval is to be handed on.
            hand_on: Takes an interval; returns false if there was no room for it.
            at_end: Called after the last interval, whatever happens.
        """
        self._observation, self._native = observation, native
        self._is_over, self._hand_on, self._at_end = is_over, hand_on, at_end
        self._found = ObservedBeside(requests=None if native is None else 0)
        self._spent_ns = self._observed_s = 0.0
        # What came before is none of what it runs beside.
        observation.take()
        self._thread = threading.Thread(target=self._run, name="membench-observe", daemon=True)
        self._thread.start()

    def result(self) -> ObservedBeside:
        """Wait for the end, which must have been asked for; return what was observed."""
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            return replace(self._found, failure="its last interval did not come in time")
        return self._found

    def _run(self) -> None:
        try:
            with self._observation:
                begun = time.monotonic()
                for _ in interval_ends(begun, INTERVAL_S, None, self._wait, self._is_over):
                    self._take()
                self._observation.stop()
                self._take()
        except Exception as error:  # what it runs beside must not be harmed
            logger.warning("the observation ended: %s", error)
            self._found = replace(self._found, failure=str(error) or type(error).__name__)
        finally:
            self._at_end()

    def _wait(self, until: float) -> None:
        while not self._is_over() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _TURN_S))
            if self._native is not None:
                self._native.read_slow()

    def _take(self) -> None:
        interval = self._observation.take()
        has_room = self._hand_on(interval)
        found = self._found
        self._observed_s += interval.interval_s
        if interval.cpu_share is not None:
            self._spent_ns += interval.cpu_share * interval.interval_s * 1e9
        requests = found.requests
        if requests is not None and interval.account is not None:
            requests += interval.account.requests
        is_known = interval.cpu_share is not None and self._observed_s > 0
        self._found = replace(
            found,
            intervals=found.intervals + has_room,
            lost=found.lost + (not has_room),
            requests=requests,
            left_out=found.left_out + (interval.misses.lost if interval.misses else 0),
            cost_ns_per_request=self._spent_ns / requests if is_known and requests else None,
            cpu_share=self._spent_ns / 1e9 / self._observed_s if is_known else None,
        )


class Recorder(Protocol):
    """The part of a recorder that its companion uses."""

    @property
    def is_ending(self) -> bool:
        """True once the recording is to end."""

    def observe(self, rows: str) -> bool:
        """Take rows; return false if there is no room for them."""

    def end_observation(self) -> None:
        """Wait for no more rows."""


def beside_recording(
    observation: Observation, native: _native.Observer | None, recorder: Recorder
) -> Companion:
    """Store the intervals of an observation in the profile that a recorder writes."""

    def hand_on(interval: ObserveInterval) -> bool:
        return recorder.observe(json.dumps(to_rows(interval, observation.began_ns)))

    return Companion(
        observation, native, lambda: recorder.is_ending, hand_on, recorder.end_observation
    )
