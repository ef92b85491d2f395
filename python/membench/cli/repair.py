"""`membench repair`: unsealed profile → the same profile, sealed."""

from __future__ import annotations

from membench.cli import output
from membench.cli.output import Format, FormatOption
from membench.cli.paths import ProfileArgument
from membench.report.plain import plain, plain_result


def command(
    profile: ProfileArgument,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Seal a profile whose recording was killed.

    Its contents stay as they are.

    \b
    Example: membench repair production.mb
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.info import render_summary

    summary = membench.repair(profile)
    if format is Format.JSON:
        output.show_json(summary)
    else:
        output.show(render_summary(plain(str(profile)), plain_result(summary)))
    return 0
