"""`count FILE` on this kernel, `compare FILE` with the list, or `update FILE` into the list."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.instructions import LIST, UPDATE, compare, count, listed, write


def main(do: str, file: Path) -> str | None:
    """Run one of the commands; return the differences found, if any."""
    if do == "count":
        write(count(), file)
        return None
    found = listed(file)
    if do == "update":
        series = {one.series for one in found}
        write([*found, *(one for one in listed() if one.series not in series)], LIST)
        return None
    wrong = compare(found, listed())
    return "\n".join([*wrong, f"if that is meant: {UPDATE}"]) if wrong else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
