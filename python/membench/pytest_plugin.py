"""pytest: replays as tests. A fixture replays a profile and fails the test unless it passes.

    @pytest.mark.membench(profile="day.mb", checks=["get.p99<1ms", "hit_ratio>0.9"])
    def test_the_new_release(membench_replay):
        membench_replay("127.0.0.1:11211")

pytest finds the plugin by its entry point. It imports membench when a test uses the fixture.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from membench import Profile, ReplayResult

_MARKER = "membench(profile, checks, **options): defaults of the fixture `membench_replay`"


class Replayed(Protocol):
    """Type of the fixture `membench_replay`."""

    def __call__(
        self,
        target: str,
        profile: Profile | str | os.PathLike[str] | None = None,
        **options: Any,  # noqa: ANN401 - those of `membench.replay`
    ) -> ReplayResult:
        """Replay a profile against a target; fail the test unless the replay passes.

        Args:
            target: `HOST:PORT` or `unix:PATH` of a memcached.
            profile: The profile; the marker's unless given.
            options: Options of `membench.replay`; they replace the marker's.

        Returns:
            The result, if every check passed, the timing held and every answer came.
        """


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def membench_replay(request: pytest.FixtureRequest) -> Replayed:
    """Return a function that replays a profile and fails the test unless the replay passes.

    It fails with the report. Timing that did not hold, or missing answers, fail it as well: such a
    run says nothing about the server.
    """
    defaults: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("membench"))):  # the closest one last
        if marker.args:
            raise pytest.UsageError(
                "the marker `membench` takes keywords: `profile=...`, `checks=...`"
            )
        defaults |= marker.kwargs

    def replayed(
        target: str,
        profile: Profile | str | os.PathLike[str] | None = None,
        **options: Any,  # noqa: ANN401 - those of `membench.replay`
    ) -> ReplayResult:
        __tracebackhide__ = True
        import membench  # noqa: PLC0415 - not in every session of pytest

        chosen = defaults | options
        of_marker = chosen.pop("profile", None)
        if profile is None and of_marker is None:
            raise pytest.UsageError("no profile: give one to the fixture or to the marker")
        result = membench.replay(of_marker if profile is None else profile, target, **chosen)
        if not (result.passed and result.held):
            pytest.fail(str(result), pytrace=False)
        return result

    return replayed
