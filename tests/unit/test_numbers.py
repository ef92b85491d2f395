"""Numbers as reports write them."""

import pytest

from membench.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (184_112, "184,112"),
        (999_999, "999,999"),
        (1_000_000, "1.00 M"),
        (9_184_000, "9.18 M"),
        (31_204_000_000, "31.2 G"),
    ],
)
def test_counts_are_full_below_a_million_and_three_digits_above(value: int, text: str) -> None:
    assert numbers.count(value) == text


def test_one_thing_has_no_plural() -> None:
    told = [numbers.numbered(amount, "part") for amount in (0, 1, 2, 1204)]
    assert told == ["0 parts", "1 part", "2 parts", "1,204 parts"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (1000, "1000 B"),
        (1024, "1.00 KiB"),
        (102_360, "100 KiB"),
        ((1 << 20) - 1, "1.00 MiB"),
        (1 << 30, "1.00 GiB"),
        (2.9e9, "2.70 GiB"),
    ],
)
def test_sizes_are_in_powers_of_1024_as_options_are(value: float, text: str) -> None:
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.924, "92.4 %"), (0.0041, "0.41 %"), (0.00021, "0.021 %")],
)
def test_small_percentages_keep_their_digits(share: float, text: str) -> None:
    assert numbers.percent(share) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (800, "800 ns"),
        (999.4, "999 ns"),
        (999.7, "1.00 µs"),
        (1310, "1.31 µs"),
        (52_700_000, "52.7 ms"),
        (60_000_000_000, "60.0 s"),
    ],
)
def test_durations_take_the_unit_that_fits(nanoseconds: float, text: str) -> None:
    assert numbers.duration(nanoseconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(17.9, "00:17"), (3723, "1:02:03")])
def test_elapsed_time_reads_as_a_clock(seconds: float, text: str) -> None:
    assert numbers.clock(seconds) == text


def test_a_sparkline_fills_its_highest_bar_and_survives_silence() -> None:
    assert numbers.sparkline([0, 50, 100]) == "▁▅█"
    assert numbers.sparkline([0, 0]) == "▁▁"
    assert numbers.sparkline([]) == ""
