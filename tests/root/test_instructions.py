"""Instructions that this kernel's verifier processes for each program, against the list."""

from __future__ import annotations

import pytest

from support.instructions import MOST, TOLERANCE, UPDATE, Count, compare, count, listed

pytestmark = pytest.mark.root

KNOWN = Count("6.12.1-amd64", "sockets", "ports", "sys_exit", 1000)


def test_no_program_has_grown_since_it_was_listed() -> None:
    found = count()
    if found[0].series not in {one.series for one in listed()}:
        pytest.skip(f"Linux {found[0].series} is not listed; {UPDATE} host would")
    assert compare(found, listed()) == [], f"if that is meant: {UPDATE}"


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (KNOWN, ""),
        (KNOWN._replace(release="6.12.99-cloud"), ""),
        (KNOWN._replace(instructions=10), ""),
        (KNOWN._replace(instructions=int(1000 * (1 + TOLERANCE))), ""),
        (KNOWN._replace(instructions=int(1000 * (1 + TOLERANCE)) + 1), "1000 are listed"),
        (KNOWN._replace(instructions=MOST + 1), "at most"),
        (KNOWN._replace(program="more_sent"), "not listed"),
        (KNOWN._replace(release="6.13.1-amd64"), "not listed"),
    ],
)
def test_growth_and_missing_entries_are_reported(found: Count, wrong: str) -> None:
    said = compare([found], [KNOWN])
    assert wrong in "".join(said)
    assert bool(said) == bool(wrong)
