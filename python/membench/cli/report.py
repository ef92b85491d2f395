"""`membench report`: profile → requests' times, where they went, what memcached counted."""

from __future__ import annotations

from membench.cli import output
from membench.cli.output import Format, FormatOption
from membench.cli.paths import ProfileArgument


def command(
    profile: ProfileArgument,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Join a recording's server and queue times, what the kernel said, and memcached's counters.

    Record with --observe=requests for the account of each second, run queue and neighbours.

    \b
    Example: membench report production.mb
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.joined import render_report

    found = membench.report_on(profile)
    if format is Format.JSON:
        output.show_json(found)
    else:
        output.show(render_report(found))
    return 0
