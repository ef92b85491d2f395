"""The option that judges a result, as Typer takes it."""

from __future__ import annotations

from typing import Annotated

import typer

CheckOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHECK",
        help="Exit code 99 unless `get.p99<1ms`, `hit_ratio>0.9`, …; repeatable.",
    ),
]
