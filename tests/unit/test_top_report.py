"""One interval of a source as a screen of text."""

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from membench._top import BusyClient, CommandCounts, HotKey, Snapshot
from membench.report.top import Order, render_top, sort_keys, spell

KEYS = tuple(
    HotKey(
        id=number << 40,
        key_size=10,
        count=900 - number,
        error=number,
        hits=800 - number,
        misses=number,
        bytes=1000 * number,
        value_size=100,
    )
    for number in range(1, 101)
)
SNAPSHOT = Snapshot(
    source="ebpf:any",
    elapsed_s=17.0,
    interval_s=2.0,
    events=100_000,
    key_bound=40,
    keys=KEYS,
    clients=(BusyClient(0, 60_000, 0, 1), BusyClient(None, 40_000, 0, 1)),
    commands={
        "get": CommandCounts(90_000, 80_000, 10_000, 0, 2_000_000, 9_000_000, 800, 3_100),
        "set": CommandCounts(10_000, 0, 0, 0, 1_000_000, 0, None, None),
    },
    lost={},
    connections_open=34,
)


def screen(renderable: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_screen_fits_a_small_terminal_and_says_what_matters() -> None:
    lines = screen(render_top(SNAPSHOT, height=24, keyboard=True))
    assert len(lines) <= 24
    assert lines[0] == "ebpf:any   00:17   50.0 k/s   hits 88.9 %   34 connections   lost 0"
    get = next(line for line in lines if line.startswith("get"))
    for word in ("45.0 k/s", "88.9 %", "977 KiB/s", "4.29 MiB/s", "800 ns", "3.10 µs"):
        assert word in get
    assert any(line.startswith("clients   #0 60.0 %   unknown 40.0 %") for line in lines)
    assert lines[-1] == "q quits   s changes the order"


def test_a_narrow_terminal_loses_columns_and_cuts_no_figure() -> None:
    for width in (40, 60, 100):
        lines = screen(render_top(SNAPSHOT), width)
        assert all(len(line) <= width for line in lines)
        tables = [line for line in lines if line.startswith(("get", "set", "0000"))]
        assert len(tables) > 2
        assert not any("…" in line for line in tables)
    wide, narrow = screen(render_top(SNAPSHOT), 100), screen(render_top(SNAPSHOT), 40)
    assert any(line.endswith("at most +") for line in wide)
    assert not any("at most +" in line for line in narrow)


def test_a_wide_terminal_shows_whole_keys() -> None:
    key = b"user:3757:session:settings:notifications:email"
    names = {one.id: key for one in KEYS}.get
    assert key.decode() in "\n".join(screen(render_top(SNAPSHOT, name=names), 160))
    assert "user:3757:" in "\n".join(screen(render_top(SNAPSHOT, name=names), 40))


def test_losses_are_shown_by_what_was_lost() -> None:
    lost = replace(SNAPSHOT, lost={"lines": 5_122})
    assert "lost 5,122 lines" in screen(render_top(lost), 100)[0]


def test_keys_are_ids_unless_their_names_are_given() -> None:
    first = KEYS[0].id
    assert f"{first:016x}" in "\n".join(screen(render_top(SNAPSHOT)))
    named = "\n".join(screen(render_top(SNAPSHOT, name={first: b"user:1"}.get)))
    assert "user:1" in named
    assert f"{first:016x}" not in named
    assert "on this terminal only" in named


@pytest.mark.parametrize(
    ("order", "first"), [(Order.OPERATIONS, 1), (Order.BYTES, 100), (Order.MISSES, 100)]
)
def test_keys_are_sorted_as_asked(order: Order, first: int) -> None:
    assert sort_keys(KEYS, order)[0].id == first << 40


def test_every_order_has_its_turn() -> None:
    order, seen = Order.OPERATIONS, []
    for _ in Order:
        seen.append(order)
        order = order.next
    assert (seen, order) == (list(Order), Order.OPERATIONS)


@pytest.mark.parametrize(
    ("key", "spelled"),
    [(b"user:1", "user:1"), (b"a\x1b[2Jb", "a\\x1b[2Jb"), (b"\xff\n", "\\xff\\n")],
)
def test_no_key_can_steer_the_terminal(key: bytes, spelled: str) -> None:
    assert spell(key) == spelled


def test_an_interval_without_traffic_is_no_error() -> None:
    idle = replace(SNAPSHOT, events=0, keys=(), clients=(), commands={}, interval_s=1.0)
    assert "hits –" in screen(render_top(idle))[0]  # noqa: RUF001 - a dash
