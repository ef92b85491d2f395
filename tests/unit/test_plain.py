"""Text that strangers wrote: nothing in it steers a terminal or forges a line, and none is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

import pytest
from rich.table import Table
from rich.text import Text

from membench.cli import output
from membench.report.plain import plain, plain_json, plain_result
from support.strangers import ESCAPES, steering

FORGED = f"1.6\nerror: forged{ESCAPES}"


class Kind(StrEnum):
    """Words of membench's own."""

    ONE = "one"


@dataclass(frozen=True, slots=True)
class Inner:
    """A part of a result."""

    name: str
    count: int = 3


@dataclass(frozen=True, slots=True)
class Result:
    """A result with text in every kind of place."""

    inner: Inner
    texts: tuple[str, ...]
    names: dict[str, int]
    kind: Kind = Kind.ONE
    nothing: str | None = None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1.6.38", "1.6.38"),
        ("größe 値 🙂", "größe 値 🙂"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("\x9b5m", r"\x9b5m"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\r\nb\tc\0\x7f", r"a\r\nb\tc\x00\x7f"),
        ("\u2028\U000e0041\udc80", r"\u2028\U000e0041\udc80"),
    ],
)
def test_characters_that_are_not_printable_are_shown_as_their_codes(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_every_text_of_a_result_is_plain_and_all_else_is_kept() -> None:
    found = plain_result(Result(Inner(FORGED), (ESCAPES, "ok"), {FORGED: 7}))
    shown = plain(FORGED)
    assert found == Result(Inner(shown), (plain(ESCAPES), "ok"), {shown: 7})
    assert "\n" not in shown
    assert steering(shown) == ""


def test_json_is_plain_and_says_the_same() -> None:
    data = {"name": FORGED, "tag": "\U000e0041", "umlaut": "ä"}
    text = plain_json(json.dumps(data, ensure_ascii=False, indent=2))
    assert json.loads(text) == data
    assert steering(text) == ""
    assert "ä" in text


def test_nothing_that_is_printed_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=ESCAPES)
    table.add_column(ESCAPES)
    table.add_row(Text(ESCAPES))
    output.show(table)
    output.say(f"remark {ESCAPES}")
    output.show_error(FORGED, FORGED)
    output.show_json({"name": FORGED})
    shown = capsys.readouterr()
    assert steering(shown.out + shown.err) == ""
    assert "owned" in shown.out
    assert "owned" in shown.err
    assert not any(line.startswith("error: forged") for line in shown.err.splitlines())


def test_a_very_long_message_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error("x" * 1_000_000)
    assert len(capsys.readouterr().err) < 2 * output.LONGEST_MESSAGE
