"""`10s`, `4M`, … → seconds and bytes."""

from __future__ import annotations

import re

import typer

from membench._units import NANOSECONDS

_SECONDS = {unit: ns / 1e9 for unit, ns in NANOSECONDS.items()} | {"": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_duration(text: str) -> float:
    """Read `500us`, `20ms`, `10`, `10s`, `5m` or `1h` as seconds."""
    value, unit = _split(text)
    if unit not in _SECONDS or value <= 0:
        raise typer.BadParameter(f"{text!r} is not a duration such as `500us`, `10s` or `5m`")
    return value * _SECONDS[unit]


def parse_size(text: str) -> int:
    """Read `65536`, `512K`, `4M` or `1G` as bytes (powers of 1024)."""
    value, unit = _split(text)
    unit = unit.upper().removesuffix("IB").removesuffix("B")
    if unit not in _BYTES or value <= 0 or not value.is_integer():
        raise typer.BadParameter(f"{text!r} is not a size such as `4M`")
    return int(value) * _BYTES[unit]


def format_size(size: int) -> str:
    """Write bytes as `parse_size` reads them: `512K`, `1G`."""
    fitting = [(unit, scale) for unit, scale in _BYTES.items() if size % scale == 0]
    unit, scale = max(fitting, key=lambda one: one[1])
    return f"{size // scale}{unit}"


def parse_share(text: str) -> float:
    """Read `50%` or `0.5` as a share, which may exceed 1 (`200%` is two CPUs)."""
    value, unit = _split(text.replace("%", "percent"))
    if unit not in ("", "percent") or value <= 0:
        raise typer.BadParameter(f"{text!r} is not a share such as `50%`")
    return value / 100 if unit else value


def format_share(share: float) -> str:
    """Write a share as `parse_share` reads it: `50%`."""
    return f"{share * 100:g}%"


def parse_percent(text: str) -> float:
    """Read `0.1` or `0.1%` as percent, from 0 to 100."""
    value, unit = _split(text.replace("%", "percent"))
    if unit not in ("", "percent") or not 0 <= value <= 100:  # noqa: PLR2004 - percent
        raise typer.BadParameter(f"{text!r} is not a percentage from 0 to 100")
    return value


def parse_fraction(text: str) -> int:
    """Read `1/100` as 100."""
    found = re.fullmatch(r"1/([1-9]\d{0,8})", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a fraction such as `1/100`")
    return int(found[1])


def _split(text: str) -> tuple[float, str]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z\u00b5\u03bc]*)", text.strip())
    if found is None:
        return 0.0, "?"
    return float(found[1]), found[2]
