"""Groups of options that `record` and `top` take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from membench.errors import UsageError

Side = Literal["server", "client"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Choose whose connections are followed. Each list that is not empty narrows the choice.

    Attributes:
        side: Which end of connections: the `server`'s, or the `client`'s, which is what
            applications here send to `ports` anywhere, and the service times that they see.
        ports: Listening ports of the servers. Without ports and sockets those of `pids`, without
            these 11211.
        sockets: Paths of UNIX-domain sockets, as the servers were told them.
        pids: Processes, by their ids here.
        cgroups: Control groups (v2), with those below.
        network_namespaces: Network namespaces: names, paths or pids.
    """

    side: Side = "server"
    ports: Sequence[int] = ()
    sockets: Sequence[str | os.PathLike[str]] = ()
    pids: Sequence[int] = ()
    cgroups: Sequence[str | os.PathLike[str]] = ()
    network_namespaces: Sequence[str | int] = ()


@dataclass(frozen=True, slots=True)
class Rotation:
    """Continue a recording in another profile, at whichever limit comes first.

    `production.mb` becomes `production-000001.mb`, `production-000002.mb`, and so on.

    Attributes:
        size: Bytes of one profile.
        every_s: Seconds that one profile covers; of a stored source, by its own times.
    """

    size: int | None = None
    every_s: float | None = None

    def __post_init__(self) -> None:
        if self.size is None and self.every_s is None:
            raise UsageError("a rotation without a limit", "`Rotation(size=1 << 30)`")
        if (self.size is not None and self.size <= 0) or (
            self.every_s is not None and self.every_s <= 0
        ):
            raise UsageError("a rotation's limit must be above 0", "`Rotation(every_s=600)`")
