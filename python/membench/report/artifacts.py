"""A replay → files that other tools read: a row a second, and checks as JUnit XML."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from membench._metrics import Check, is_ratio
from membench._replay import Progress, ReplayResult
from membench.report.numbers import duration, percent

_COLUMNS = [field.name for field in fields(Progress) if field.name != "histogram_log"]


class PerSecond:
    """Rows of a running replay as CSV, the figures of `Progress`; an empty cell is None."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Write to a file, nothing yet."""
        self._write = write
        self._is_headed = False

    def add(self, progress: Progress) -> None:
        """Write the row of a second, and before the first the heading."""
        if not self._is_headed:
            self._row(list(_COLUMNS))
            self._is_headed = True
        values = (getattr(progress, name) for name in _COLUMNS)
        self._row(["" if value is None else value for value in values])

    def _row(self, cells: list[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._write(line.getvalue().encode())


class HistogramLog:
    """Histograms of each second as the tools of HdrHistogram read them, tagged `response`, `lag`.

    <https://github.com/HdrHistogram/HdrHistogram/blob/master/src/main/java/org/HdrHistogram/HistogramLogWriter.java>
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Write to a file, nothing yet."""
        self._write = write
        self._is_headed = False

    def add(self, progress: Progress) -> None:
        """Write the lines of a second, and before the first the heading."""
        if not self._is_headed:
            self._write(self._heading(time.time() - progress.elapsed_s))
            self._is_headed = True
        self._write((progress.histogram_log or "").encode())

    @staticmethod
    def _heading(start: float) -> bytes:
        told = datetime.fromtimestamp(start, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
        return (
            "#[membench replay: durations in ns; a lag is intended to actual send]\n"
            "#[Histogram log format version 1.3]\n"
            f"#[StartTime: {start:.3f} (seconds since epoch), {told}]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        ).encode()


def as_junit(result: ReplayResult) -> bytes:
    """Return the checks as JUnit XML, and two that every replay has: timing, and answers.

    <https://github.com/testmoapp/junitxml>
    """
    suite = Element("testsuite", name="membench replay", time=f"{result.duration_s:.3f}")
    failed = 0
    for name, failure in _cases(result):
        case = SubElement(suite, "testcase", classname="membench.replay", name=name)
        if failure is not None:
            failed += 1
            SubElement(case, "failure", message=failure)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failed))
    root = Element("testsuites")
    root.append(suite)
    indent(root)
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _cases(result: ReplayResult) -> Iterator[tuple[str, str | None]]:
    """Name each case, with the reason of its failure if it failed."""
    lag = f"lag p99 {duration(result.lag_ns.p99)}, {result.sent:,} of {result.planned:,} sent"
    is_sent = result.timing_held and result.sent == result.planned
    yield "timing held", None if is_sent else lag
    missing, unsent = sum(result.unanswered.values()), sum(result.unsent.values())
    told = f"{missing:,} requests got none, {unsent:,} were not sent"
    yield "answers complete", told if missing or unsent else None
    for check in result.checks:
        yield check.text, None if check.passed else describe_value(check)


def describe_value(check: Check) -> str:
    """Describe what a check measured."""
    return measured(check.text, check.value, at_least=check.at_least)


def measured(metric: str, value: float | None, *, at_least: bool) -> str:
    """Write what was measured of a metric, which the text begins with: a ratio, or a duration."""
    if value is None:
        return "not measured"
    text = percent(value) if is_ratio(metric) else duration(value)
    return f"≥ {text}" if at_least else text
