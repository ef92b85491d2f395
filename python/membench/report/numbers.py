"""Numbers → text with units, as every report writes them."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
# A value that three digits would round up to a power of ten is written as that power.
_ROUNDS_UP = 0.9995
_THOUSANDS = ("", " k", " M", " G", " T")


def count(value: float) -> str:
    """Write a count in full below a million and to three digits above: `184,112`, `9.18 M`."""
    if abs(value) < 1_000_000:
        return f"{value:,.0f}"
    return _scaled(value, 1000, _THOUSANDS)


def numbered(amount: int, thing: str) -> str:
    """Write an amount of things in full: `1 part`, `1,204 parts`."""
    return f"{amount:,} {thing}{'s' * (amount != 1)}"


def size(value: float) -> str:
    """Write a size in bytes: `812 B`, `22.0 MiB`, `1.31 GiB` (powers of 1024, as options take)."""
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def rate(value: float) -> str:
    """Write a rate: `184 k/s`, `12.3/s`."""
    return f"{_scaled(value, 1000, _THOUSANDS)}/s"


def percent(share: float) -> str:
    """Write a share of one as a percentage with three digits: `92.4 %`, `0.021 %`."""
    value = share * 100
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f} %"
    digits = 1 if abs(value) >= 1 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f} %"


def duration(nanoseconds: float) -> str:
    """Write a duration with the unit that fits: `0.8 µs`, `1.31 ms`, `60.0 s`."""
    for limit, unit in ((1e3, "ns"), (1e6, "µs"), (1e9, "ms")):
        if abs(nanoseconds) < limit * _ROUNDS_UP:
            return f"{_three_digits(nanoseconds / limit * 1e3)} {unit}"
    return f"{nanoseconds / 1e9:.1f} s"


def clock(seconds: float) -> str:
    """Write elapsed time as a clock: `00:17`, `1:02:03`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"


def sparkline(values: Sequence[float]) -> str:
    """Draw values as one row of bars, the highest full."""
    highest = max(values, default=0)
    if highest <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[round(max(value, 0) / highest * (len(_BARS) - 1))] for value in values)


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    scale = 0
    while abs(value) >= base * _ROUNDS_UP and scale < len(units) - 1:
        value /= base
        scale += 1
    text = f"{value:.0f}" if scale == 0 and value == int(value) else _three_digits(value)
    return f"{text}{units[scale]}"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 100 * _ROUNDS_UP or value == 0:
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 10 * _ROUNDS_UP else f"{value:.2f}"
